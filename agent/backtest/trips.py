"""The trades of a day as round trips: the agent's account of its orders, the exchange's instants.

Values in paise come from the order rows that the agent was told; instants come from the fills at
the exchange, because a row's stamp is a whole second. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.backtest.market import BacktestMarket
from agent.backtest.results import RoundTrip
from agent.core.result import result_of
from agent.core.state import Desk
from agent.core.trade import Trade
from agent.orders.fills import legs_of
from agent.paper.exchange import Exchange
from agent.paper.records import Trade as Traded


def trips_of(desk: Desk, exchange: Exchange, market: BacktestMarket) -> tuple[RoundTrip, ...]:
    """Return the trades of a day that came in, in the order of their numbers."""
    fills: dict[str, list[Traded]] = {}
    for one in exchange.desk.trades:
        fills.setdefault(one.order_id, []).append(one)
    return tuple(_trip(trade, fills, market) for trade in desk.trades.values() if trade.entered)


def _trip(trade: Trade, fills: Mapping[str, list[Traded]], market: BacktestMarket) -> RoundTrip:
    levels, result = trade.levels, result_of(trade)
    came = [] if trade.entry is None else fills.get(trade.entry.order_id or "", [])
    went = [one for leg in trade.exits for one in fills.get(leg.order_id or "", [])]
    exit_ms = max((one.at_ms for one in went), default=trade.closed_ms)
    return RoundTrip(
        day=market.days[0],
        number=trade.number,
        key=trade.key,
        side=trade.side,
        quantity=trade.entered,
        version=trade.pin.version,
        strength=trade.pin.strength,
        signal_ms=int(trade.pin.request_id or 0),
        entry_ms=_first(came, trade.opened_ms),
        exit_ms=exit_ms,
        entry_paise=trade.entered_paise,
        exit_paise=trade.left_paise,
        gross_paise=result.gross,
        charges_paise=result.charges,
        reason="" if trade.reason is None else trade.reason.value,
        tick_paise=trade.instrument.tick_paise,
        stop_ticks=None if levels is None else levels.plan.stop,
        target_ticks=None if levels is None else levels.plan.target,
        last_stop_ticks=None if levels is None else levels.trail.stop,
        last_target_ticks=None if levels is None else levels.trail.target,
        stop_moves=0 if levels is None else levels.stop_moves,
        target_moves=0 if levels is None else levels.target_moves,
        naked_ms=trade.naked_ms_max,
        orders=sum(1 for leg in legs_of(trade) if leg.order_id),
        ambiguous=_ambiguous(trade, market.range_at(trade.key, exit_ms)),
    )


def _ambiguous(trade: Trade, span: tuple[int, int] | None) -> bool:
    """Tell whether a candle's prices (low, high; paise) hold both levels of the end."""
    levels = trade.levels
    if span is None or levels is None or levels.trail.target is None:
        return False
    tick = trade.instrument.tick_paise
    return all(
        span[0] <= level * tick <= span[1] for level in (levels.trail.stop, levels.trail.target)
    )


def _first(fills: Iterable[Traded], otherwise: int) -> int:
    return min((one.at_ms for one in fills), default=otherwise)
