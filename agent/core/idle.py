"""Idle ticks: which change nothing but what was last seen, and what many of them add up to.

Nearly every tick is such a one. `decide` in full would take it through levels, planner, money and
drive, only to find that nothing moves; here that is known beforehand, by comparing whole numbers.
Rule 1: the plain way (decide.py) is the truth. This file may only skip what it has proven idle; a
tick that is not proven takes the plain way. A test takes random days both ways, event for event.
Rule 2: pure. An idle tick gives a new desk that is not written down yet (`Desk.idle` holds what it
adds up to); whoever reads it finds what the plain way would have written (`Idle.written`).

A `Lull` is the proof for one trade, made after an event through which it stood still. It holds
for the very values it was made of (compared by identity) and says within which bounds:
 1. levels: the price is inside the day's circuit and both levels, and no further than the best
    price, so step 1 exits nothing and `m` stays; the ATR is the one the levels know; where
    `min_gap` bound the stop, the price gives no room. Candidates are then what they were, and the
    ratchet gave their answer;
 2. screens: time in order, no suspect, no row of shallow breaches, no farther from the trade
    before than `outlier`; what they remember is the last tick alone;
 3. orders: one exit rests at the exchange with all shares and no call in flight, nothing closes;
    drive.py, asked in that very state, did nothing, and what it does then hangs on time alone:
    until its next timer;
 4. money: profit, the day's best and the loss limits are worked out exactly at every tick.
A key without a trade has nothing to prove: its packet is the last one seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from agent.core.events import TickSeen
from agent.core.levels import atr_ticks, circuit_of, tighter_risk
from agent.core.marks import on_marks
from agent.core.state import AtrState, Desk, Guard, Sight, blank_desk, put_bare
from agent.core.trade import Trade
from agent.core.values import Mode, Quote
from agent.frozen import replace
from agent.market.sessions import Session
from agent.orders.lifecycle import OrderState
from agent.portfolio.lots import Paise, Position
from agent.portfolio.pnl import exit_cost, slots_of
from agent.risk import book as money
from agent.risk.margin import Margins
from agent.trailing.ratchet import TrailState, guarded, is_news, stop_after, target_now
from agent.trailing.rules import Rules

IDLE_MAX = 1_000  # ticks of keys without a trade that may wait: what a desk holds stays bounded
FAR = 1 << 62
PRICES_MAX = 4_096  # prices whose worth a lull remembers


@dataclass(frozen=True, slots=True)
class Lull:
    """The proof that ticks of a trade are idle, and its bounds.

    Parameters
    ----------
    low, high : int, ticks
        Prices from one to the other, both included.
    jump : int, ticks
        How far a price may lie from the one before.
    until_ms : int, epoch ms
        Before this instant.
    room : (paise, paise)
        What the day must stay above, and how far it may not fall below its best.
    position : Position or None
        What the money's book holds in the trade's slot, and nothing else of its instrument: its
        lots give what it is worth at a price, which `worths` remembers.
    """

    trade: Trade
    atr: AtrState | None
    session: Session
    guards: Mapping[str, Guard]
    operator: Mode
    low: int
    high: int
    jump: int
    until_ms: int
    room: tuple[Paise, Paise]
    position: Position | None
    worths: dict[int, Paise]

    def holds(self, desk: Desk) -> bool:
        """Tell whether the desk still has the values that this was made of."""
        trade = self.trade
        return (
            desk.trades.get(trade.number) is trade
            and desk.atrs.get((trade.key, desk.interval)) is self.atr
            and desk.session is self.session
            and trade.levels is not None
            and trade.levels.trail.screen.circuit == circuit_of(desk, trade.key)
            and desk.guards is self.guards
            and desk.operator is self.operator
            and _same_lots(self.position, _position(desk, trade))
        )


# The last tick of a key with a trade: its time, its price in ticks, what the key is worth at it,
# and itself (before the first idle one: what the desk saw).
# Idle ticks of other keys, newest first: a list that many desks share. Both are bare tuples: made
# at every tick.
Seen = tuple[int, int, Paise, TickSeen | Sight]
Log = tuple[TickSeen, "Log | None"]


class Known:
    """What quiet.py has worked out of a frame: the rows that it proved to be no news, who holds."""

    __slots__ = ("held", "rows")

    def __init__(self) -> None:
        self.rows: list[tuple[object, ...]] | None = None  # each as a tuple of its fields
        self.held: Mapping[tuple[str, str], int] | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """What stays the same over a stretch of idle ticks.

    `desk` is the last one written down; `lulls` has every key with a trade, None where its ticks
    are not idle; `floor` and `fall` are a lull's `room`; `whole` tells whether every trade stands
    still, `known` is what readings found then (quiet.py).
    """

    desk: Desk
    lulls: Mapping[str, Lull | None]
    opens_ms: int
    closes_ms: int
    floor: Paise
    fall: Paise
    whole: bool
    known: Known

    def idle(self, bare: Bare) -> Idle:
        """Return what a desk holds, by name."""
        return tuple.__new__(Idle, bare)  # its own constructor takes three times as long


class Asked(NamedTuple):
    """What quiet readings change: calls given out and open, books counted, figures that came.

    `book_call` is 0 and `margins` None where no full book, no figures of the margin came.
    """

    calls: int
    polls: int
    asking: Mapping[int, str]
    book_call: int
    margins: Margins | None


class Idle(NamedTuple):
    """What the idle ticks since a written desk add up to."""

    frame: Frame
    now_ms: int
    waiting: int
    log: Log | None
    net: Paise
    best: Paise
    seen: Mapping[str, Seen]
    asked: Asked

    def written(self) -> Desk:
        """Return the desk as the plain way leaves it after these ticks."""
        desk, asked = self.frame.desk, self.asked
        sights = {**desk.sights, **self._others()}
        trades, lulls, book = dict(desk.trades), dict(desk.lulls), desk.money
        marks: dict[str, Paise] = {}
        for key, seen in self.seen.items():
            lull, last = self.frame.lulls.get(key), seen[3]
            if lull is None:
                continue
            trade = lull.trade
            if type(last) is TickSeen:
                quote = last.quote
                sights[key] = Sight(quote, last.at_ms)
                marks[key] = trade.instrument.paise(quote.last)
                trade = _after(trade, quote)
            if asked.book_call > trade.book_call:
                trade = replace(trade, book_call=asked.book_call)
            if trade is not lull.trade:
                trades[trade.number], lulls[key] = trade, replace(lull, trade=trade)
        if book is not None and self.seen:
            # the marks came one by one here: only `self.best` has seen them as they came
            book = on_marks(book, marks, self.best)
            if asked.margins is not None:
                book = money.on_margins(book, asked.margins)
        return replace(
            desk,
            now_ms=self.now_ms,
            calls=asked.calls,
            polls=asked.polls,
            asking=asked.asking,
            sights=sights,
            trades=trades,
            money=book,
            lulls=lulls,
        )

    def _others(self) -> dict[str, Sight]:
        """Return the last sights of keys without a trade, in the order in which they came."""
        ticks, log = list[TickSeen](), self.log
        while log is not None:
            tick, log = log
            ticks.append(tick)
        return {tick.key: Sight(tick.quote, tick.at_ms) for tick in reversed(ticks)}


# An `Idle` without its names, as a desk holds it.
Bare = tuple[Frame, int, int, Log | None, Paise, Paise, Mapping[str, Seen], Asked]


def idle_after(desk: Desk, event: TickSeen) -> Desk | None:
    """Return the desk after a tick that is proven idle; None where it is not."""
    bare = desk.bare or begun(desk)
    if bare is None:
        return None
    frame, now_ms, waiting, log, net, best, seen, asked = bare
    at_ms, key = event.at_ms, event.key
    if at_ms < now_ms:
        return None
    lulls = frame.lulls
    if key in lulls:
        lull, quote = lulls[key], event.quote
        if lull is None or event.cached or at_ms >= lull.until_ms:
            return None
        price, exchange_ms = quote.last, quote.exchange_ms
        was_ms, was_price, was_worth, _ = seen[key]
        if not (
            lull.low <= price <= lull.high
            and was_ms <= exchange_ms
            and frame.opens_ms <= exchange_ms < frame.closes_ms
            and -lull.jump <= price - was_price <= lull.jump
        ):
            return None
        worth = lull.worths.get(price)
        if worth is None:
            worth = _worth_at(frame.desk, lull, price)
        net += worth - was_worth
        if net > best:  # noqa: PLR1730  (a call of `max` is a tenth of all the work)
            best = net
        if net <= frame.floor or best - net >= frame.fall:
            return None
        seen = {**seen, key: (exchange_ms, price, worth, event)}
    else:
        if waiting >= IDLE_MAX:
            return None
        waiting, log = waiting + 1, (event, log)
    after = blank_desk(Desk)  # as `unwritten` does, without its call
    put_bare(after, (frame, at_ms, waiting, log, net, best, seen, asked))
    return after


def lull_of(desk: Desk, number: int) -> Lull | None:
    """Return the proof for a trade that stands still, if there is one.

    Parameters
    ----------
    desk : Desk
        Written down, after an event.
    number : int
        Of a trade that drive.py, asked at this event, did nothing for.
    """
    trade = desk.trades[number]
    levels, session, book = trade.levels, desk.session, desk.money
    if levels is None or book is None or session is None or session.pauses or not _rests(trade):
        return None
    if not trade.averages(levels.average) or tighter_risk(book, trade) is not None:
        return None
    if levels.trail.screen.circuit != circuit_of(desk, trade.key):
        return None
    bounds, sight = _bounds(levels.trail), desk.sights.get(trade.key)
    if sight is None or trade.side.sign * (sight.quote.last - levels.stop) <= 0:
        return None  # a move that this price forbids is sent at the next one that does not
    known = desk.atrs.get((trade.key, desk.interval))
    atr = atr_ticks(desk, trade.key)
    if bounds is None or (atr is not None and is_news(levels.trail.gauge, atr) and atr > 0):
        return None
    trail, rules = levels.trail, levels.trail.rules
    if target_now(levels.plan, rules, trail.target, trail.move, trail.signal) != trail.target:
        return None
    position, old = _position(desk, trade), desk.lulls.get(trade.key)
    if len(slots_of(book.portfolio, trade.key)) != (position is not None):
        return None  # the same instrument in another product
    return Lull(
        trade,
        known,
        session,
        desk.guards,
        desk.operator,
        *bounds,
        jump=rules.outlier // rules.units if rules.outlier >= 0 else FAR,
        # a millisecond early: the planner is quiet a millisecond before its timer says so
        until_ms=trade.timer_ms - 1 if trade.timer_ms else FAR,
        room=_room(desk) if old is None else old.room,
        position=position,
        worths=old.worths if old is not None and _same_lots(old.position, position) else {},
    )


def _rests(trade: Trade) -> bool:
    """Tell whether all shares lie behind one exit that rests, and nothing is under way."""
    lives = trade.live_exits
    if len(lives) != 1 or trade.closing is not None or trade.frozen or trade.hit_ms:
        return False
    leg = lives[0]
    return (
        not trade.entry_live
        and trade.open > 0
        and leg.state is OrderState.RESTING
        and leg.idle
        and leg.pending == trade.open
    )


def _bounds(trail: TrailState) -> tuple[int, int] | None:
    """Return the lowest and the highest price at which a step leaves the trail as it is."""
    rules, screen = trail.rules, trail.screen
    unsure = screen.suspect is not None or screen.shallow or screen.believed != screen.last_price
    if trail.exited is not None or unsure:
        return None
    sign, stop = rules.sign, trail.stop
    low, high = sign * stop + 1, (rules.entry + trail.move) // rules.units
    if trail.target is not None:
        high = min(high, sign * trail.target - 1)
    if not trail.settled:
        after = stop_after(
            rules, stop, trail.move, sign * screen.believed, trail.gauge, trail.signal == -1
        )
        if after != (stop, False):
            return None
        high = min(high, _ceiling(rules, trail))
    if sign < 0:
        low, high = -high, -low
    if screen.circuit is not None:
        low, high = max(low, screen.circuit[0]), min(high, screen.circuit[1])
    return low, high


def _ceiling(rules: Rules, trail: TrailState) -> int:
    """Return the highest signed price at which `min_gap` still keeps the stop where it is."""
    free, _ = guarded(rules, trail.move, FAR, trail.gauge, trail.signal == -1)
    return min(free - 1, rules.sign * trail.stop) + rules.gap_ticks


def _after(trade: Trade, quote: Quote) -> Trade:
    """Return a trade after idle ticks of which this was the last: its screen has seen it."""
    levels = trade.levels
    if levels is None:
        return trade
    screen = replace(
        levels.trail.screen,
        last_ms=quote.exchange_ms,
        last_volume=quote.volume or None,
        last_price=quote.last,
        believed=quote.last,
    )
    return replace(trade, levels=replace(levels, trail=replace(levels.trail, screen=screen)))


def begun(desk: Desk) -> Bare | None:
    """Return where idle ticks of a written desk begin, if any can be."""
    if desk.candidates or (desk.mode >= Mode.FLATTEN and desk.operator is not Mode.HALT):
        return None
    lulls: dict[str, Lull | None] = {}
    for trade in desk.trades.values():
        if not trade.closed_ms:
            lull = desk.lulls.get(trade.key)
            same = lull is not None and lull.trade is trade and trade.key not in lulls
            same = same and trade.key in desk.sights
            lulls[trade.key] = lull if same and lull is not None and lull.holds(desk) else None
    found = [lull for lull in lulls.values() if lull is not None]
    asked = Asked(desk.calls, desk.polls, desk.asking, 0, None)
    book, session = desk.money, desk.session
    if found and book is not None and session is not None and desk.polling:
        net, best, (floor, fall) = book.portfolio.day_net, book.best, found[0].room
        if floor < net <= best and best - net < fall and not _margin_acts(desk, book):
            seen = {lull.trade.key: _seen(desk, lull) for lull in found}
            opens_ms, closes_ms, whole = (
                session.opens_ms,
                session.closes_ms,
                len(found) == len(lulls),
            )
            frame = Frame(desk, lulls, opens_ms, closes_ms, floor, fall, whole, Known())
            return frame, desk.now_ms, 0, None, net, best, seen, asked
    frame = Frame(desk, dict.fromkeys(lulls), 0, 0, 0, 0, whole=False, known=Known())
    return frame, desk.now_ms, 0, None, 0, 0, {}, asked


def _room(desk: Desk) -> tuple[Paise, Paise]:
    """Return what the day must stay above, and how far below its best it may not fall, paise.

    A paisa early: the guards compare what is rounded.
    """
    settings = desk.rules.money
    limits, capital = settings.risk, settings.capital.paise
    fall = FAR if limits.max_drawdown is None else limits.max_drawdown.paise(capital) - 1
    return 1 - limits.max_daily_loss.paise(capital), fall


def _margin_acts(desk: Desk, book: money.Book) -> bool:
    """Tell whether the margin is short: its guard then looks at every price."""
    short = book.margins is not None and is_short(desk, book.margins)
    return short or any(name.startswith("margin") for name in desk.guards)


def is_short(desk: Desk, margins: Margins) -> bool:
    """Tell whether so much of the margin is in use that its guard says something."""
    return margins.use_percent >= desk.rules.money.margin.warn_at


def _seen(desk: Desk, lull: Lull) -> Seen:
    """Return a key's last tick before the idle ones: the later of what sight and levels saw."""
    trade, sight, levels = lull.trade, desk.sights[lull.trade.key], lull.trade.levels
    screen = None if levels is None else levels.trail.screen
    believed = 0 if screen is None else int(screen.believed)
    last_ms = 0 if screen is None else int(screen.last_ms or 0)
    worth, position = None, _position(desk, trade)
    if position is None or position.mark == trade.instrument.paise(believed):
        worth = lull.worths.get(believed)
    if worth is None:
        worth = _worth(desk, position)
    return max(last_ms, sight.quote.exchange_ms), believed, worth, sight


def _worth_at(desk: Desk, lull: Lull, price: int) -> Paise:
    """Return what a position adds to the day's result at a price, in ticks; remember it."""
    position, mark = lull.position, lull.trade.instrument.paise(price)
    worth = _worth(desk, None if position is None else replace(position, mark=mark))
    if len(lull.worths) >= PRICES_MAX:
        lull.worths.clear()
    lull.worths[price] = worth
    return worth


def _worth(desk: Desk, position: Position | None) -> Paise:
    if position is None or desk.money is None:
        return 0
    return position.guarded - exit_cost(position, desk.money.portfolio.on)


def _position(desk: Desk, trade: Trade) -> Position | None:
    return None if desk.money is None else desk.money.portfolio.positions.get(trade.slot)


def _same_lots(one: Position | None, other: Position | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.lots is other.lots and one.guard_mark == other.guard_mark
