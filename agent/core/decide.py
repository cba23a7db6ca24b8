"""One event in, a new state and commands out: `decide(desk, event) -> (desk, commands)`.

Rule 1: no decision is taken anywhere else, and this one takes no clock, no draw, no I/O.
Rule 2: the state is frozen; the `Turn` lives within one call.
Rule 3: a tick that is proven to change nothing (idle.py) is answered at once, so is a reading that
brings no news (quiet.py); all else goes the plain way, `decide_plainly`, which alone says what an
event means.
Order: what the event says is taken in; then everything that it touched is driven (drive.py) until
nothing changes; then the modes that money and operator call for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.core import events as ev
from agent.core.commands import Command, Reconnect
from agent.core.day import (
    flatten,
    keep_polling,
    money_guards,
    on_day,
    on_described,
    on_timer,
    start,
)
from agent.core.decisions import on_model, on_model_failed
from agent.core.entries import try_candidates
from agent.core.idle import idle_after, lull_of
from agent.core.levels import ensure_levels, hit_while_halted, mark, on_price
from agent.core.quiet import QUIET, quiet_after
from agent.core.restore import after_death
from agent.core.state import Desk, Sight
from agent.core.trade import Trade
from agent.core.turn import Turn
from agent.core.values import Fault, Mode, Quote, Role
from agent.core.windows import on_candle, on_history
from agent.frozen import replace
from agent.orders.drive import at_rest, drive
from agent.orders.exits import pushed_back
from agent.orders.fills import legs_of, put_leg, take_row
from agent.orders.leg import Leg, answered, failed
from agent.orders.reconcile import on_book
from agent.risk import book as money
from agent.risk.margin import Margins

ROUNDS_MAX = 8  # one is usual; a trade that makes another (surplus, reverse) needs a second


def decide(desk: Desk, event: ev.Event) -> tuple[Desk, tuple[Command, ...]]:
    """Return the state after an event, and what is to be done about it.

    Raises
    ------
    Broken
        If an invariant of ours does not hold; the caller keeps the old state and opens nothing.
    """
    if type(event) is ev.TickSeen:
        after = idle_after(desk, event)
        if after is not None:
            return after, ()
    elif type(event) in QUIET:
        answer = quiet_after(desk, event)
        if answer is not None:
            return answer
    return decide_plainly(desk, event)


def decide_plainly(desk: Desk, event: ev.Event) -> tuple[Desk, tuple[Command, ...]]:
    """Do what `decide` promises, whatever the event."""
    turn = Turn(desk, event.at_ms)
    HANDLERS[type(event)](turn, event)
    for _ in range(ROUNDS_MAX):
        flatten(turn)
        if not turn.touched:
            break
        numbers, turn.touched = sorted(turn.touched), set()
        for number in numbers:
            before = turn.desk.trades[number]
            after = ensure_levels(turn, before)
            if after is not before:
                turn.put(after)
            said = len(turn.commands)
            drive(turn, number)
            driven = turn.desk.trades[number]
            if driven is after and len(turn.commands) == said:
                turn.still.add(number)
            elif at_rest(turn, driven):  # the round that would find this out is spared
                turn.touched.discard(number)
                turn.still.add(number)
            else:
                turn.still.discard(number)
        money_guards(turn)
        keep_polling(turn)
    if turn.still:
        found = {turn.desk.trades[n].key: lull_of(turn.desk, n) for n in sorted(turn.still)}
        proven = {key: lull for key, lull in found.items() if lull is not None}
        turn.set(lulls={**turn.desk.lulls, **proven})
    return turn.desk, tuple(turn.commands)


def _started(turn: Turn, event: ev.Started) -> None:
    del event
    after_death(turn)
    start(turn)


def _timer(turn: Turn, event: ev.TimerFired) -> None:
    on_timer(turn, event.name)


def _tick(turn: Turn, event: ev.TickSeen) -> None:
    """Take in a packet: quote first, then levels if it shows a trade of the continuous session."""
    desk, quote = turn.desk, event.quote
    old = desk.sights.get(event.key)
    turn.set(sights={**desk.sights, event.key: Sight(quote, turn.at_ms)})
    session = desk.session
    if session is None or not session.is_continuous_ms(quote.exchange_ms):
        return
    if event.cached or (old is not None and quote.exchange_ms < old.quote.exchange_ms):
        return
    for trade in desk.trades.values():
        if trade.key == event.key and not trade.done:
            _price(turn, trade, quote, old)
    if turn.desk.candidates:
        try_candidates(turn)


def _price(turn: Turn, trade: Trade, quote: Quote, old: Sight | None) -> None:
    after = on_price(turn, trade, quote, None if old is None else old.quote)
    mark(turn, after, quote)
    turn.put(after)


def _candle(turn: Turn, event: ev.CandleClosed) -> None:
    if on_candle(turn, event):
        turn.timer("decide", turn.at_ms)


def _order(turn: Turn, event: ev.OrderSeen) -> None:
    take_row(turn, event.row)


def _book(turn: Turn, event: ev.BookRead) -> None:
    purpose = turn.answered(event.call)
    on_book(turn, event)
    if event.positions is not None:
        turn.lift("books")
        turn.lift("token")
    elif purpose == "book:full":  # half of a reading answers nothing that asked for the whole
        turn.timer("recheck", turn.at_ms + turn.desk.rules.lookup.confirm_ms)
    if turn.desk.wanted_book:
        turn.want_book()


def _answered(turn: Turn, event: ev.CallAnswered) -> None:
    found = _flying(turn, event.call)
    if found is None:
        return
    trade, leg = found
    after = answered(leg, event.order_id, call=turn.desk.calls, at_ms=turn.at_ms)
    put_leg(turn, trade, leg, after)
    trade = turn.desk.trades[trade.number]
    if leg.role is Role.EXIT and trade.refusals:
        turn.put(replace(trade, refusals=0))
    turn.lift("writes")


def _failed(turn: Turn, event: ev.CallFailed) -> None:
    purpose = turn.answered(event.call)
    if event.fault is Fault.TOKEN:
        turn.guard("token", Mode.NO_NEW, event.words, "a login (`ratchet-agent login`)")
    if event.fault is Fault.BLOCKED:
        turn.guard("writes", Mode.NO_NEW, event.words, "the next order that the broker takes")
    if purpose:
        _read_failed(turn, purpose, event)
        return
    found = _flying(turn, event.call)
    if found is None:
        return
    trade, leg = found
    flight = leg.flight
    turn.note(
        "call failed",
        trade.key,
        f"{flight.doing if flight else 'call'} of {leg.tag}: {event.fault.value}: {event.words}",
        trade.number,
        {"fault": event.fault.value, "words": event.words},
    )
    after = failed(leg, event.fault, event.words, call=turn.desk.calls, at_ms=turn.at_ms)
    put_leg(turn, trade, leg, after)
    turn.put(pushed_back(turn, turn.desk.trades[trade.number], leg, event.fault))


def _read_failed(turn: Turn, purpose: str, event: ev.CallFailed) -> None:
    kind, _, rest = purpose.partition(":")
    turn.note("call failed", rest, f"{kind}: {event.words}", 0, {"fault": event.fault.value})
    match kind:
        case "model":
            on_model_failed(turn, event.words)
        case "describe":
            turn.guard("model", Mode.NO_NEW, event.words, "the next answer of the served model")
            turn.timer("describe", turn.at_ms + 15_000)
        case "book":
            turn.timer("recheck", turn.at_ms + turn.desk.rules.lookup.confirm_ms)
        case "history":
            turn.timer(f"history:{rest}", turn.at_ms + 5_000)
        case "day":
            turn.timer("day", turn.at_ms + 15_000)
        case "quotes":
            turn.timer("quotes", turn.at_ms + 5_000)
        case "order margins":
            try_candidates(turn)
        case _:
            pass


def _flying(turn: Turn, call: int) -> tuple[Trade, Leg] | None:
    for trade in turn.desk.trades.values():
        for leg in legs_of(trade):
            if leg.flight is not None and leg.flight.call == call:
                return trade, leg
    return None


def _quotes(turn: Turn, event: ev.QuotesRead) -> None:
    """Bands for all; for positions a price where the ticker is blind."""
    turn.answered(event.call)
    turn.set(bands={**turn.desk.bands, **event.bands})
    for key, quote in event.quotes.items():
        sight = turn.desk.sights.get(key)
        if sight is not None and turn.at_ms - sight.at_ms <= turn.desk.rules.watch.stale_ms:
            continue
        session = turn.desk.session
        if session is None or not session.is_continuous_ms(quote.exchange_ms):
            continue
        turn.set(sights={**turn.desk.sights, key: Sight(quote, turn.at_ms)})
        for trade in turn.desk.open_trades:
            if trade.key == key:
                _price(turn, trade, quote, sight)


def _margins(turn: Turn, event: ev.MarginsRead) -> None:
    turn.answered(event.call)
    book = turn.desk.money
    if book is None:
        return
    unseen = frozenset(
        t.intent for t in turn.desk.open_trades if t.reserved and t.entry and not t.entry.order_id
    )
    figures = Margins(event.available_paise, event.utilised_paise, event.at_ms)
    turn.set(money=money.on_margins(book, figures, unseen=unseen))
    money_guards(turn)


def _order_margins(turn: Turn, event: ev.OrderMarginsRead) -> None:
    turn.answered(event.call)
    merged = {**turn.desk.margins_per_share, **event.per_share_paise}
    turn.set(margins_per_share=merged)
    try_candidates(turn)


def _history(turn: Turn, event: ev.HistoryRead) -> None:
    turn.answered(event.call)
    on_history(turn, event)


def _feed(turn: Turn, event: ev.FeedChanged) -> None:
    turn.set(feed_up=event.connected)
    if event.connected:
        turn.lift("feed")
        turn.want_book()  # whatever happened meanwhile is read, not guessed
        return
    turn.guard("feed", Mode.NO_NEW, f"ticker: {event.words}", "the next packet")
    if event.words.startswith("silent"):
        turn.emit(Reconnect())
    turn.set(polling=True)
    turn.timer("poll", turn.at_ms)


def _guard_raised(turn: Turn, event: ev.GuardRaised) -> None:
    turn.guard(event.guard, Mode.NO_NEW, event.words, "the fault going away")


def _guard_lifted(turn: Turn, event: ev.GuardLifted) -> None:
    turn.lift(event.guard)


def _ordered(turn: Turn, event: ev.Ordered) -> None:
    modes = {
        "halt": Mode.HALT,
        "resume": Mode.NORMAL,
        "flatten": Mode.FLATTEN,
        "no_new": Mode.NO_NEW,
        "reduce_only": Mode.REDUCE_ONLY,
    }
    mode = modes[event.verb]
    turn.set(operator=mode)
    turn.note("operator", "", f"{event.who}: {event.verb}")
    turn.notify("warning", "operator", f"{event.who}: {event.verb}")
    if event.verb == "resume":
        for name in ("second_agent", "unexplained", "broken", "max_daily_loss", "max_drawdown"):
            turn.lift(name)
    for trade in turn.desk.open_trades:
        turn.put(hit_while_halted(turn, trade) if event.verb == "resume" else trade)


def _tick_refused(turn: Turn, event: ev.TickRefused) -> None:
    turn.note("tick refused", event.key, event.words)


HANDLERS: dict[type, Callable[[Turn, Any], None]] = {
    ev.Started: _started,
    ev.DayOpened: on_day,
    ev.TimerFired: _timer,
    ev.TickSeen: _tick,
    ev.TickRefused: _tick_refused,
    ev.CandleClosed: _candle,
    ev.OrderSeen: _order,
    ev.CallAnswered: _answered,
    ev.CallFailed: _failed,
    ev.BookRead: _book,
    ev.QuotesRead: _quotes,
    ev.MarginsRead: _margins,
    ev.OrderMarginsRead: _order_margins,
    ev.HistoryRead: _history,
    ev.ModelDescribed: on_described,
    ev.ModelAnswered: on_model,
    ev.FeedChanged: _feed,
    ev.GuardRaised: _guard_raised,
    ev.GuardLifted: _guard_lifted,
    ev.Ordered: _ordered,
}
