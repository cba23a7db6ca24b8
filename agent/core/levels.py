"""Stop and target of a trade: opened at the first fill, moved by every trade of the market.

Rule 1: the arithmetic is agent/trailing's; this is where its answers meet a trade.
Rule 2: nothing moves a level outside the continuous session or on a cached first packet.
Rule 3: a level moves only in the trade's favour, whatever the average entry does meanwhile.
With the journal lost, the levels start from the LAST price, and the stop is the tighter of that
and what stands at the broker.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from agent.core.state import Desk
from agent.core.trade import Levels, Trade
from agent.core.turn import Turn
from agent.core.values import Mode, Quote, Reason
from agent.errors import SettingRefused
from agent.frozen import replace
from agent.market.sessions import from_epoch_ms
from agent.orders.exits import close
from agent.orders.lifecycle import OrderState
from agent.risk import book as money
from agent.trailing.plan import Plan
from agent.trailing.planner import budget_for
from agent.trailing.policy import Policy, plan_for
from agent.trailing.ratchet import (
    EXIT,
    Move,
    StepResult,
    TrailState,
    open_position,
    scale_in,
    settle_by_quote,
    step,
    with_circuit,
    with_signal,
)
from agent.trailing.screen import Screen, agrees

ATR_PARTS = 1000  # an ATR is passed on in thousandths of a tick


@lru_cache(maxsize=64)
def policy_of(text: str) -> Policy:
    """Return a policy by its text.

    Raises
    ------
    SettingRefused
        If it cannot be used.
    """
    return Policy.parse(text, source="the version's policy")


def atr_ticks(desk: Desk, key: str) -> Fraction | None:
    """Return the ATR of an instrument on the model's candles, ticks."""
    known = desk.atrs.get((key, desk.interval))
    return None if known is None or known.value is None else _in_parts(known.value)


@lru_cache(maxsize=1024)
def _in_parts(atr: float) -> Fraction:
    """Return an ATR as it is passed on; asked at every tick, another only after a candle."""
    return Fraction(round(atr * ATR_PARTS), ATR_PARTS)


def ensure_levels(turn: Turn, trade: Trade) -> Trade:
    """Open the levels at the first fill; let a changed average move the lock."""
    if trade.open <= 0:
        return trade
    if trade.levels is None:
        return _opened(turn, trade)
    if trade.averages(trade.levels.average) or trade.pin.agent == "adopted":
        return trade
    levels = trade.levels
    plan, trail = scale_in(levels.plan, levels.trail, trade.average)
    return replace(trade, levels=replace(levels, plan=plan, trail=trail, average=trade.average))


def _opened(turn: Turn, trade: Trade) -> Trade:
    adopted = trade.pin.agent == "adopted"
    entry: Fraction | Decimal = trade.average
    text = trade.pin.policy_toml
    if adopted:
        sight = turn.sight(trade.key)
        text = text or champion_policy(turn)
        if sight is None or not text:
            return trade  # the standing stop protects meanwhile; without one drive.py closes
        entry = trade.instrument.price(sight.quote.last)
    atr = atr_ticks(turn.desk, trade.key)
    tick = trade.instrument.tick_size
    try:
        plan = plan_for(
            policy_of(text),
            side=trade.side,
            entry=entry,
            tick_size=tick,
            quantity=trade.entered,
            on=from_epoch_ms(turn.at_ms).date(),
            atr=None if atr is None else atr * Fraction(tick),
        )
    except SettingRefused as fault:
        return close(turn, trade, Reason.UNPROTECTED, f"no levels at this entry: {fault}")
    # the plan's own ATR, as the very value that the ticks will bring: then no sum tells it is known
    trail = open_position(plan, opened_ms=turn.at_ms // 1000 * 1000, atr=atr)
    standing = trade.exit.terms.trigger_ticks if trade.exit is not None else None
    if adopted and standing is not None and trade.side.sign * (standing - trail.stop) > 0:
        trail = replace(trail, stop=standing)
    on = from_epoch_ms(turn.at_ms).date()
    levels = Levels(plan, trail, trade.average, trade.entered, on, budget_for(plan))
    turn.note(
        "levels",
        trade.key,
        f"stop {plan.price(trail.stop)}, target "
        + ("none" if trail.target is None else str(plan.price(trail.target))),
        trade.number,
        {"stop": trail.stop, "target": trail.target},
    )
    return replace(trade, levels=levels)


def champion_policy(turn: Turn) -> str:
    """Return the policy of the champion, "" while the model has not been described."""
    for info in turn.desk.versions.values():
        if info.alias == "champion":
            return info.policy_toml
    return ""


def on_price(turn: Turn, trade: Trade, quote: Quote, before: Quote | None) -> Trade:
    """Take a packet to a position's levels; `before` is the instrument's last one, if any."""
    levels = trade.levels
    if levels is None or trade.frozen or trade.open <= 0 or levels.trail.exited is not None:
        return trade
    levels = _within_the_day(turn.desk, trade.key, levels)
    rejected = levels.trail.screen.rejected
    atr = atr_ticks(turn.desk, trade.key)
    if _shows_a_trade(levels.trail.screen, quote, before):
        trail, result = step(
            levels.plan,
            levels.trail,
            quote.last,
            atr,
            ts_ms=quote.exchange_ms,
            volume=quote.volume or None,
        )
    else:
        trail, result = _repeated(levels, trade.side.sign, quote, atr)
    if trail.screen.rejected != rejected and _outside(trail.screen, quote.last):
        _ask_for_the_band(turn, trail.screen.rejected)
    targets = levels.target_moves
    if result.move is not None:
        targets += trail.target != levels.trail.target
        _explain(turn, trade, levels.plan, result.move)
    trade = replace(trade, levels=replace(levels, trail=trail, target_moves=targets))
    if result.event == EXIT:
        trade = _hit(turn, trade, str(result.reason), quote)
    return trade


def circuit_of(desk: Desk, key: str) -> tuple[int, int] | None:
    """Return the day's lowest and highest price of an instrument as last told, ticks."""
    band = desk.bands.get(key)
    return None if band is None else (band.lower, band.upper)


def _within_the_day(desk: Desk, key: str, levels: Levels) -> Levels:
    circuit = circuit_of(desk, key)
    if levels.trail.screen.circuit == circuit:
        return levels
    return replace(levels, trail=with_circuit(levels.trail, circuit))


def _outside(screen: Screen, price: int) -> bool:
    return screen.circuit is not None and not screen.circuit[0] <= price <= screen.circuit[1]


def _ask_for_the_band(turn: Turn, rejected: int) -> None:
    """Ask whether the exchange has widened the band: less and less often while it has not."""
    if rejected & (rejected - 1) == 0 and "quotes" not in turn.desk.asking.values():
        turn.timer("quotes", turn.at_ms)


def _shows_a_trade(screen: Screen, quote: Quote, before: Quote | None) -> bool:
    """Tell a trade from a change of depth: new volume or a new trade time."""
    if before is None or screen.last_ms is None or quote.exchange_ms < screen.last_ms:
        return True  # nothing to compare with, or an older packet, which the step rejects
    same = quote.volume == screen.last_volume and quote.traded_ms == before.traded_ms
    return not quote.volume or not same


def _repeated(
    levels: Levels, sign: int, quote: Quote, atr: Fraction | None
) -> tuple[TrailState, StepResult]:
    """Take in a packet without a trade: it counts for nothing; its book may settle a suspect."""
    plan, trail = levels.plan, levels.trail
    suspect, way_out = trail.screen.suspect, quote.bid if sign > 0 else quote.ask
    if suspect is not None and way_out is not None and agrees(trail.screen, suspect, way_out):
        return settle_by_quote(
            plan, trail, quote.last, ts_ms=quote.exchange_ms, volume=quote.volume
        )
    seen = trail.screen
    trail, result = step(plan, trail, quote.last, atr, ts_ms=seen.last_ms, volume=seen.last_volume)
    return replace(trail, screen=replace(trail.screen, last_ms=quote.exchange_ms)), result


def _hit(turn: Turn, trade: Trade, reason: str, quote: Quote) -> Trade:
    if turn.desk.mode is Mode.HALT:
        return trade  # the stop at the exchange stands; nothing else is sent
    price = trade.instrument.price(quote.last)
    if reason == "target":
        return close(turn, trade, Reason.TARGET, f"target reached at {price}")
    leg = trade.exit
    placed = None if leg is None else leg.terms.trigger_ticks
    sign = trade.side.sign
    resting = leg is not None and leg.state is OrderState.RESTING
    if resting and placed is not None and sign * (quote.last - placed) <= 0:
        return replace(trade, hit_ms=turn.at_ms)  # the exchange saw that price, too
    words = f"stop crossed at {price} while the placed one lags"
    return close(turn, trade, Reason.STOP, words)


def hit_while_halted(turn: Turn, trade: Trade) -> Trade:
    """Close what reached a level while nothing was to be sent, once that is over."""
    if trade.levels is None or trade.levels.trail.exited is None or trade.closing is not None:
        return trade
    reason = Reason.TARGET if trade.levels.trail.exited == "target" else Reason.STOP
    return close(turn, trade, reason, "reached while halted")


def hear(trade: Trade, signal: int | None) -> Trade:
    """Tell the levels what the model says now: 1 agrees, 0 nothing, -1 against."""
    if trade.levels is None:
        return trade
    trail = with_signal(trade.levels.trail, signal)
    return replace(trade, levels=replace(trade.levels, trail=trail))


def mark(turn: Turn, trade: Trade, quote: Quote) -> None:
    """Let the money's book see the last price and what the stop's limit would lose."""
    book = turn.desk.money
    if book is None or trade.open <= 0:
        return
    book = money.on_mark(book, trade.key, trade.instrument.paise(quote.last))
    left = tighter_risk(book, trade)
    if left is not None:
        book = money.on_stop(book, trade.slot, left)
    turn.set(money=book)


def tighter_risk(book: money.Book, trade: Trade) -> int | None:
    """Return what the exit's limit would lose, paise, where that is less than the book plans for.

    A stop only tightens, so does what it risks.
    """
    leg, planned = trade.exit, book.planned_risk.get(trade.slot)
    if leg is None or leg.terms.price_ticks is None or planned is None:
        return None
    limit = trade.instrument.paise(leg.terms.price_ticks)
    risk = trade.side.sign * (trade.entered_paise - limit * trade.entered)
    left = max(risk, 0) * trade.open // trade.entered
    return left if left < planned else None


def _explain(turn: Turn, trade: Trade, plan: Plan, move: Move) -> None:
    """Keep the sum that moved a level, in ticks: what went in, what came out, what decided."""
    price, before, after = trade.instrument.price, move.before, move.after
    target = "none" if after.target is None else price(after.target)
    facts = {
        "mode": plan.policy.mode,
        "price": float(move.price),
        "best": float(move.best),
        "atr": _float(move.atr),
        "atr_at_entry": _float(after.atr_at_entry),
        "stop_before": before.stop,
        "stop": after.stop,
        "target_before": before.target,
        "target": after.target,
        "candidate": _float(move.candidate),
        "bound_by": move.bound_by,
    }
    turn.note("trail", trade.key, f"stop {price(after.stop)}, target {target}", trade.number, facts)


def _float(ticks: Fraction | None) -> float | None:
    # JSON has no ratios, and nobody reads one.
    return None if ticks is None else float(ticks)
