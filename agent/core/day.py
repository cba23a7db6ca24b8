"""The day's course: open, decide, watch, square off, over. All of it by timers that come back.

What fires when (a regular day): session opened -> books, bands, windows read; 09:20 (or the next
candle) decisions; every `poll_ms` the order book while something is open; flat by 15:05, the
closing starting early enough; after the close the day is put away and the next one prepared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agent.core.commands import Describe, OpenDay, ReadBook, ReadMargins, ReadQuotes, Watch
from agent.core.decisions import decide_now
from agent.core.events import DayOpened, ModelDescribed
from agent.core.restore import rebook
from agent.core.turn import Turn
from agent.core.values import Mode, Priority, Reason
from agent.core.windows import read_history
from agent.frozen import replace
from agent.market.sessions import epoch_ms
from agent.orders.exits import close
from agent.risk.book import open_book
from agent.risk.limits import guards, sector_note

CALLS_A_SECOND = 9
AFTER_CLOSE_MS = 120_000
BEFORE_OPEN_MS = 15 * 60_000
MONEY_GUARDS = ("max_daily_loss", "max_drawdown", "margin.no_entry_at", "margin.reduce_at")
RETRY_MS = 15_000


def start(turn: Turn) -> None:
    """Begin: nothing is opened before the books have been read."""
    words = "the broker's books have not been read"
    turn.guard("books", Mode.NO_NEW, words, "the first reading", level="info")
    if turn.desk.rules.model is not None:
        turn.emit(Describe(turn.ask("describe"), Priority.READ))
    else:
        rules = turn.desk.rules
        turn.set(universe=rules.universe, interval=rules.interval, window=rules.window)
    if turn.desk.open_trades or turn.desk.rules.model is None:
        _open_day(turn)  # what is held is protected whether a model answers or not


def on_described(turn: Turn, event: ModelDescribed) -> None:
    """Know what the model wants; the symbols of its universe are watched from now on."""
    turn.answered(event.call)
    rules = turn.desk.rules
    versions = {info.version: info for info in event.versions}
    changed = (event.interval, event.window) != (turn.desk.interval, turn.desk.window)
    turn.set(
        model=event.name,
        interval=event.interval,
        window=event.window,
        universe=rules.universe or event.universe,
        versions={**turn.desk.versions, **versions},
        windows={} if changed else turn.desk.windows,
    )
    turn.lift("model")
    _open_day(turn)


def on_day(turn: Turn, event: DayOpened) -> None:
    """Take in the session and its instruments; read everything that a day starts from."""
    turn.answered(event.call)
    desk, session = turn.desk, event.session
    new_day = desk.session is None or desk.session.on != session.on
    turn.set(session=session, instruments={**desk.instruments, **event.instruments})
    if new_day:
        money = desk.money
        trades = {n: t for n, t in desk.trades.items() if not t.done or t.opened_ms >= _dawn(turn)}
        turn.set(trades=trades, squaring=False, mismatches={}, candidates=())
        if money is None or money.portfolio.on != session.on:
            turn.set(money=open_book(session.on, turn.desk.rules.sectors))
            rebook(turn)
        turn.lift("session")
        for name in MONEY_GUARDS:
            turn.lift(name)
        _say_what_is_off(turn)
    for key in event.missing:
        turn.note("universe", key, "the day's instruments dump does not list it")
    keys = tuple(sorted(turn.desk.instruments))
    turn.emit(Watch(keys))
    turn.want_book()
    turn.emit(ReadMargins(turn.ask("margins"), Priority.READ))
    if keys:
        turn.emit(ReadQuotes(turn.ask("quotes"), Priority.READ, keys))
    for key in turn.desk.universe:
        if turn.desk.window and not turn.desk.windows.get(key):
            read_history(turn, key)
    _timers(turn, event)


def _say_what_is_off(turn: Turn) -> None:
    """Tell a person, once a day, of a limit that is set and does nothing."""
    money = turn.desk.money
    words = None if money is None else sector_note(money, turn.desk.rules.money)
    if words is not None:
        turn.note("guard", "", words)
        turn.notify("warning", "guard", words)


def on_timer(turn: Turn, name: str) -> None:
    """Do what is due; timers of a trade or a symbol carry its name behind a colon."""
    kind, _, rest = name.partition(":")
    if kind == "trade":
        trade = turn.desk.trades.get(int(rest))
        if trade is not None:
            turn.put(replace(trade, timer_ms=0))
    elif kind == "history":
        read_history(turn, rest)
    else:
        DUE[kind](turn)


def money_guards(turn: Turn) -> None:
    """Set the modes that the day's losses and the margin call for."""
    desk = turn.desk
    if desk.money is None or (desk.money is turn.calm and not desk.guards):
        return  # asked already in this turn: what they say hangs on the money alone
    breaches = guards(desk.money, desk.rules.money)
    if not breaches and not desk.guards:
        turn.calm = desk.money
        return
    found = {breach.limit: breach for breach in breaches}
    for name in MONEY_GUARDS:
        if name not in found and name.startswith("margin"):
            turn.lift(name)
    for breach in found.values():
        if breach.mode is None:
            continue
        turn.guard(breach.limit, Mode[breach.mode], breach.words, breach.lifts)
        for key, product in breach.closes:
            trade = turn.desk.trade_of(key, product)
            if trade is not None and trade.open > 0:
                turn.put(close(turn, trade, Reason.FLATTEN, breach.words))


def keep_polling(turn: Turn) -> None:
    """Read the order book now and then for as long as something is open."""
    if not turn.desk.polling and turn.desk.open_trades:
        turn.set(polling=True)
        turn.timer("poll", turn.at_ms + turn.desk.rules.watch.poll_ms)


def flatten(turn: Turn) -> None:
    """In FLATTEN everything goes through the ladder; then HALT."""
    if turn.desk.mode < Mode.FLATTEN or turn.desk.operator is Mode.HALT:
        return
    for trade in turn.desk.open_trades:
        if trade.closing is None:
            turn.put(close(turn, trade, Reason.FLATTEN, "FLATTEN"))
    if not turn.desk.open_trades:
        turn.set(operator=Mode.HALT)
        turn.notify("alarm", "halt", "everything is flat: HALT until resume")


def _open_day(turn: Turn) -> None:
    if "day" in turn.desk.asking.values():
        turn.timer("day", turn.at_ms + RETRY_MS)
        return
    held = {trade.key for trade in turn.desk.open_trades}
    keys = tuple(sorted({*turn.desk.universe, *held}))
    turn.emit(OpenDay(turn.ask("day"), Priority.BOOK, keys, turn.at_ms))


def _timers(turn: Turn, event: DayOpened) -> None:
    session, rules, now = event.session, turn.desk.rules, turn.at_ms
    lead = rules.exit.lead_ms + 1000 * len(turn.desk.universe) // CALLS_A_SECOND
    flat = epoch_ms(session.before_close(rules.exit.flat_by))
    turn.timer("squareoff", max(now, flat - lead))
    turn.timer("over", session.closes_ms + AFTER_CLOSE_MS)
    if session.opens_ms > now:
        turn.timer("quotes", session.opens_ms + 1_000)
    if turn.desk.interval == "day":
        turn.timer("decide", max(now, epoch_ms(session.after_open(rules.entry.since))))
    if event.next_opens_ms:
        turn.timer("day", event.next_opens_ms - BEFORE_OPEN_MS)


def _dawn(turn: Turn) -> int:
    session = turn.desk.session
    return 0 if session is None else epoch_ms(session.opens.replace(hour=0, minute=0))


def _square_off(turn: Turn) -> None:
    if turn.desk.rules.product != "MIS":
        return
    turn.set(squaring=True, candidates=())
    for trade in turn.desk.open_trades:
        if trade.product == "MIS":
            turn.put(close(turn, trade, Reason.SQUARE_OFF, "flat before the broker's square-off"))


def _poll(turn: Turn) -> None:
    """Read the order book as a backup for updates that never came."""
    desk, watch = turn.desk, turn.desk.rules.watch
    session = desk.session
    open_now = session is not None and session.opens_ms <= turn.at_ms < session.closes_ms
    if not open_now or not (desk.open_trades or "books" in desk.guards):
        turn.set(polling=False)  # the next trade starts it again
        return
    turn.timer("poll", turn.at_ms + watch.poll_ms)
    if desk.open_trades and not any(p.startswith("book") for p in desk.asking.values()):
        turn.set(polls=desk.polls + 1)
        whole = desk.polls % watch.positions_every == 0
        purpose = "book:full" if whole else "book:orders"
        turn.emit(ReadBook(turn.ask(purpose), Priority.BOOK, positions=whole))
        if whole:
            turn.emit(ReadMargins(turn.ask("margins"), Priority.READ))
    elif "books" in desk.guards:
        turn.want_book()
    stale = [
        trade.key
        for trade in desk.open_trades
        if (sight := desk.sights.get(trade.key)) is None
        or turn.at_ms - sight.at_ms > watch.stale_ms
    ]
    if stale and "quotes" not in desk.asking.values():
        keys = tuple(sorted(set(stale)))
        turn.emit(ReadQuotes(turn.ask("quotes"), Priority.BOOK, keys))


def _read_quotes(turn: Turn) -> None:
    keys = tuple(sorted(turn.desk.instruments))
    if keys and "quotes" not in turn.desk.asking.values():
        turn.emit(ReadQuotes(turn.ask("quotes"), Priority.READ, keys))


def _day_over(turn: Turn) -> None:
    """Say what is still open after the close; forget the day's prices."""
    for trade in turn.desk.open_trades:
        if trade.open > 0 and trade.product == "MIS":
            words = f"{trade.open} {trade.side.value} shares are open after the close"
            turn.note("open after close", trade.key, words, trade.number)
            turn.notify("alarm", "open after close", f"{trade.key}: {words}")
    # No range reaches over a night: a gap or a split is not how far a minute goes. (The ATR of
    # the model's candles comes anew with their history.)
    atrs = {at: replace(atr, close=0) for at, atr in turn.desk.atrs.items()}
    turn.set(sights={}, bands={}, candidates=(), windows={}, margins_per_share={}, atrs=atrs)


def _decide(turn: Turn) -> None:
    if turn.desk.session is not None:
        decide_now(turn)


def _describe(turn: Turn) -> None:
    if "describe" not in turn.desk.asking.values():
        turn.emit(Describe(turn.ask("describe"), Priority.READ))


DUE: Final[dict[str, Callable[[Turn], None]]] = {
    "decide": _decide,
    "squareoff": _square_off,
    "poll": _poll,
    "recheck": Turn.want_book,
    "quotes": _read_quotes,
    "day": _open_day,
    "over": _day_over,
    "describe": _describe,
}
