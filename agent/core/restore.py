"""A desk from what the journal kept: the state to start with, before any book has been read.

Whatever was on its way when the process died is "lost": nobody knows whether it arrived. The
books decide (orders/reconcile.py), and until they have been read nothing is opened. How long a lost
order is looked for counts from the start, by the clock that the process goes by from then on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from agent.core.rules import Rules
from agent.core.state import Desk
from agent.core.trade import Trade
from agent.core.turn import Turn
from agent.core.values import Fault, Mode, Role, Transaction
from agent.market.sessions import from_epoch_ms
from agent.orders.exits import with_leg
from agent.orders.fills import fill_of, legs_of
from agent.orders.leg import Leg, failed
from agent.risk import book as money
from agent.risk.book import Reserve
from agent.risk.margin import fallback_margin


@dataclass(frozen=True, slots=True)
class Kept:
    """What the journal kept of the process before.

    Parameters
    ----------
    calls, numbers : int
        The last call number and trade number given out.
    trades : tuple of Trade
        Those that are not over, and those of the last days.
    decided : mapping of key to epoch ms
    operator : Mode
        HALT stays HALT over a restart.
    """

    calls: int = 0
    numbers: int = 0
    trades: tuple[Trade, ...] = ()
    decided: Mapping[str, int] = field(default_factory=dict)
    operator: Mode = Mode.NORMAL


def restored(rules: Rules, kept: Kept) -> Desk:
    """Return the desk to start with; `Started` is the first event that it must see."""
    numbers = max([kept.numbers, *(trade.number for trade in kept.trades)])
    trades = {trade.number: trade for trade in kept.trades}
    return Desk(
        rules,
        now_ms=0,
        calls=kept.calls,
        numbers=numbers,
        operator=kept.operator,
        trades=dict(sorted(trades.items())),
        instruments={t.key: t.instrument for t in kept.trades if not t.done},
        decided=dict(kept.decided),
    )


def after_death(turn: Turn) -> None:
    """Take every call that was on its way when the process died for lost."""
    for trade in turn.desk.open_trades:
        for leg in legs_of(trade):
            lost = failed(
                leg, Fault.UNKNOWN, "the process ended", call=turn.desk.calls, at_ms=turn.at_ms
            )
            trade = with_leg(trade, lost)  # noqa: PLW2901  (the trade with one leg after the other)
        turn.put(replace(trade, book_call=0, timer_ms=0, retry_ms=0))


def rebook(turn: Turn) -> None:
    """Book today's fills and entries in flight into a day's new book of money."""
    book = turn.desk.money
    if book is None:
        return
    today = book.portfolio.on
    for trade in turn.desk.trades.values():
        if from_epoch_ms(trade.opened_ms).date() != today and trade.done:
            continue
        if trade.reserved and trade.entry is not None and trade.entry_live:
            book = money.reserve(book, _reserve(turn, trade, trade.entry))
        for leg in legs_of(trade):
            if leg.filled:
                intent = trade.intent if trade.reserved and leg.role is Role.ENTRY else None
                fill = fill_of(
                    trade,
                    leg.transaction,
                    leg.filled,
                    leg.value_paise,
                    order=leg.tag,
                    upto=leg.filled,
                    ts_ms=trade.opened_ms,
                )
                book, _ = money.on_fill(book, fill, intent)
        for shares, paise, transaction, name in _others(trade):
            fill = fill_of(
                trade, transaction, shares, paise, order=name, upto=shares, ts_ms=trade.opened_ms
            )
            book, _ = money.on_fill(book, fill)
    turn.set(money=book)


def _reserve(turn: Turn, trade: Trade, entry: Leg) -> Reserve:
    unit = trade.instrument.paise(entry.terms.price_ticks or 1)
    margin = fallback_margin(trade.product, unit, turn.desk.rules.money.margin)
    return Reserve(trade.intent, trade.slot, trade.side, entry.terms.quantity, unit, 0, margin)


def _others(trade: Trade) -> Iterator[tuple[int, int, Transaction, str]]:
    """Yield what came in or went out without an order of ours."""
    if trade.adopted_shares:
        how = trade.side.entry_transaction
        yield trade.adopted_shares, trade.adopted_paise, how, f"{trade.intent}-adopted"
    if trade.external_shares > 0:
        how = trade.side.exit_transaction
        yield trade.external_shares, trade.external_paise, how, f"{trade.intent}-external"
