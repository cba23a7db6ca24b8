"""Idle ticks: which change nothing but what was last seen, and what many of them add up to.

Nearly every tick is such a one. `decide` in full would take it through levels, planner, money and
drive, only to find that nothing moves; here that is known beforehand, by comparing whole numbers.
Rule 1: the plain way (decide.py) is the truth. This file may only skip what it has proven idle; a
tick that is not proven takes the plain way. A test takes random days both ways, event for event.
Rule 2: pure. An idle tick gives a new desk that is not written down yet (`Desk.idle` holds what it
adds up to); whoever reads it finds what the plain way would have written (`Idle.written`).

A `Lull` is the proof for one trade, made after a full tick through which it stood still. It holds
for the very values it was made of (compared by identity) and says within which bounds:
 1. levels: the price is inside both levels and no further than the best price, so step 1 exits
    nothing and `m` stays; the ATR is the one the levels know; where `min_gap` bound the stop, the
    price gives no room. Candidates are then what they were, and the ratchet gave their answer;
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
from agent.core.levels import atr_ticks
from agent.core.state import AtrState, Desk, Guard, Sight
from agent.core.trade import Trade
from agent.core.values import Mode, Quote
from agent.frozen import replace
from agent.market.sessions import Session
from agent.orders.lifecycle import OrderState
from agent.portfolio.lots import Lot, Paise, Position
from agent.portfolio.pnl import exit_cost, slots_of
from agent.risk import book as money
from agent.risk.limits import guards
from agent.trailing.ratchet import TrailState, guarded, is_news, stop_after, target_now
from agent.trailing.rules import Rules

IDLE_MAX = 1_000  # ticks that may wait to be written down: what a desk holds stays bounded
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
    held : tuple of (lots, the loss guard's own mark)
        What the trade's key is worth depends on; `worths` remembers it by price.
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
    held: tuple[tuple[tuple[Lot, ...], Paise | None], ...]
    worths: dict[int, Paise]

    def holds(self, desk: Desk) -> bool:
        """Tell whether the desk still has the values that this was made of."""
        trade = self.trade
        return (
            desk.trades.get(trade.number) is trade
            and desk.atrs.get((trade.key, desk.interval)) is self.atr
            and desk.session is self.session
            and desk.guards is self.guards
            and desk.operator is self.operator
            and _same_lots(self.held, _held(desk, trade.key))
        )


class Seen(NamedTuple):
    """The last tick of a key with a trade: its time, its price, what the key is worth at it."""

    exchange_ms: int
    price: int
    worth: Paise


class Frame(NamedTuple):
    """What stays the same over a stretch of idle ticks.

    `desk` is the last one written down; `lulls` has every key with a trade, None where its ticks
    are not idle. `floor` and `fall` are what the day may come down to, and how far below its best.
    """

    desk: Desk
    lulls: Mapping[str, Lull | None]
    opens_ms: int
    closes_ms: int
    floor: Paise
    fall: Paise


class Log(NamedTuple):
    """Idle ticks, newest first: a list that many desks share."""

    tick: TickSeen
    before: Log | None


class Idle(NamedTuple):
    """What the idle ticks since a written desk add up to."""

    frame: Frame
    now_ms: int
    waiting: int
    log: Log | None
    net: Paise
    best: Paise
    seen: Mapping[str, Seen]

    def written(self) -> Desk:
        """Return the desk as the plain way leaves it after these ticks."""
        desk, ticks = self.frame.desk, list[TickSeen]()
        log = self.log
        while log is not None:
            ticks.append(log.tick)
            log = log.before
        last = {tick.key: tick for tick in reversed(ticks)}
        sights = {**desk.sights, **{k: Sight(t.quote, t.at_ms) for k, t in last.items()}}
        trades, lulls, book = dict(desk.trades), dict(desk.lulls), desk.money
        for key, tick in last.items():
            lull = self.frame.lulls.get(key)
            if lull is None or book is None:
                continue
            trade = _after(lull.trade, tick.quote)
            trades[trade.number], lulls[key] = trade, replace(lull, trade=trade)
            book = money.on_mark(book, key, trade.instrument.paise(tick.quote.last))
        if book is not None and book.best < self.best:
            book = replace(book, best=self.best)
        return replace(
            desk,
            now_ms=self.now_ms,
            sights=sights,
            trades=trades,
            money=book,
            lulls=lulls,
            idle=None,
        )


def idle_after(desk: Desk, event: TickSeen) -> Desk | None:
    """Return the desk after a tick that is proven idle; None where it is not."""
    idle = desk.idle
    if idle is None:
        idle = _begun(desk)
        if idle is None:
            return None
    frame, now_ms, waiting, log, net, best, seen = idle
    if event.at_ms < now_ms or waiting >= IDLE_MAX:
        return None
    key = event.key
    if key in frame.lulls:
        lull, quote = frame.lulls[key], event.quote
        if lull is None or event.cached or event.at_ms >= lull.until_ms:
            return None
        price, exchange_ms, was = quote.last, quote.exchange_ms, seen[key]
        if not (
            lull.low <= price <= lull.high
            and was.exchange_ms <= exchange_ms
            and frame.opens_ms <= exchange_ms < frame.closes_ms
            and -lull.jump <= price - was.price <= lull.jump
        ):
            return None
        worth = lull.worths.get(price)
        if worth is None:
            worth = _worth_at(frame.desk, lull, price)
        net += worth - was.worth
        if net > best:  # noqa: PLR1730  (a call of `max` would be a tenth of all the work)
            best = net
        if net <= frame.floor or best - net >= frame.fall:
            return None
        seen = {**seen, key: Seen(exchange_ms, price, worth)}
    after = Idle(frame, event.at_ms, waiting + 1, Log(event, log), net, best, seen)
    return Desk.unwritten(after, event.at_ms)


def lull_of(desk: Desk, number: int) -> Lull | None:
    """Return the proof for a trade that has just stood still through a full tick, if there is one.

    Parameters
    ----------
    desk : Desk
        After the tick, written down.
    number : int
        Of a trade that drive.py, asked at this tick, did nothing for.
    """
    trade = desk.trades[number]
    levels, sight, session = trade.levels, desk.sights.get(trade.key), desk.session
    if levels is None or sight is None or session is None or session.pauses:
        return None
    if not (_rests(trade) and trade.average == levels.average):
        return None
    bounds = _bounds(levels.trail, sight.quote.last)
    known = desk.atrs.get((trade.key, desk.interval))
    atr = atr_ticks(desk, trade.key)
    if bounds is None or (atr is not None and atr > 0 and is_news(levels.trail.gauge, atr)):
        return None
    trail, rules = levels.trail, levels.trail.rules
    if target_now(levels.plan, rules, trail.target, trail.move, trail.signal) != trail.target:
        return None
    held = _held(desk, trade.key)
    old = desk.lulls.get(trade.key)
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
        held=held,
        worths=old.worths if old is not None and _same_lots(old.held, held) else {},
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


def _bounds(trail: TrailState, price: int) -> tuple[int, int] | None:
    """Return the lowest and the highest price at which a step leaves the trail as it is."""
    rules, screen = trail.rules, trail.screen
    unsure = screen.suspect is not None or screen.shallow or screen.believed != screen.last_price
    if trail.exited is not None or unsure or screen.circuit is not None:
        return None
    sign, stop = rules.sign, trail.stop
    low, high = sign * stop + 1, (rules.entry + trail.move) // rules.units
    if trail.target is not None:
        high = min(high, sign * trail.target - 1)
    if not trail.settled:
        after = stop_after(rules, stop, trail.move, sign * price, trail.gauge, trail.signal == -1)
        if after != (stop, False):
            return None
        high = min(high, _room(rules, trail))
    return (low, high) if sign > 0 else (-high, -low)


def _room(rules: Rules, trail: TrailState) -> int:
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


def _begun(desk: Desk) -> Idle | None:
    """Return where idle ticks of a written desk begin, if any can be."""
    session, book, rules = desk.session, desk.money, desk.rules
    if desk.candidates or (desk.mode >= Mode.FLATTEN and desk.operator is not Mode.HALT):
        return None
    lulls: dict[str, Lull | None] = {}
    for trade in desk.trades.values():
        if not trade.closed_ms:
            lull = desk.lulls.get(trade.key)
            same = lull is not None and lull.trade is trade and trade.key not in lulls
            lulls[trade.key] = lull if same and lull is not None and lull.holds(desk) else None
    if session is None or book is None or not desk.polling or not _calm(desk, book):
        frame = Frame(desk, dict.fromkeys(lulls), 0, 0, 0, 0)
        return Idle(frame, desk.now_ms, 0, None, 0, 0, {})
    limits, capital = rules.money.risk, rules.money.capital.paise
    fall = FAR if limits.max_drawdown is None else limits.max_drawdown.paise(capital) - 1
    floor = 1 - limits.max_daily_loss.paise(capital)
    frame = Frame(desk, lulls, session.opens_ms, session.closes_ms, floor, fall)
    seen = {key: _seen(desk, lull) for key, lull in lulls.items() if lull is not None}
    return Idle(frame, desk.now_ms, 0, None, book.portfolio.day_net, book.best, seen)


def _calm(desk: Desk, book: money.Book) -> bool:
    """Tell whether no guard of the money acts: one that does looks at every price."""
    if book.portfolio.day_net > book.best or any(name.startswith("margin") for name in desk.guards):
        return False
    return all(breach.mode is None for breach in guards(book, desk.rules.money))


def _seen(desk: Desk, lull: Lull) -> Seen:
    trade = lull.trade
    sight, levels = desk.sights[trade.key], trade.levels
    screen_ms = 0 if levels is None else int(levels.trail.screen.last_ms or 0)
    believed = sight.quote.last if levels is None else int(levels.trail.screen.believed)
    positions = _positions(desk, trade.key)
    worth = sum(_worth(desk, position) for position in positions)
    return Seen(max(sight.quote.exchange_ms, screen_ms), believed, worth)


def _worth_at(desk: Desk, lull: Lull, price: int) -> Paise:
    """Return what a key's positions add to the day's result at a price, in ticks; remember it."""
    mark = lull.trade.instrument.paise(price)
    positions = _positions(desk, lull.trade.key)
    worth: Paise = sum(_worth(desk, replace(position, mark=mark)) for position in positions)
    if len(lull.worths) >= PRICES_MAX:
        lull.worths.clear()
    lull.worths[price] = worth
    return worth


def _worth(desk: Desk, position: Position) -> Paise:
    book = desk.money
    return 0 if book is None else position.guarded - exit_cost(position, book.portfolio.on)


def _positions(desk: Desk, key: str) -> list[Position]:
    book = desk.money
    if book is None:
        return []
    return [book.portfolio.positions[slot] for slot in slots_of(book.portfolio, key)]


def _held(desk: Desk, key: str) -> tuple[tuple[tuple[Lot, ...], Paise | None], ...]:
    return tuple((position.lots, position.guard_mark) for position in _positions(desk, key))


def _same_lots(
    one: tuple[tuple[tuple[Lot, ...], Paise | None], ...],
    other: tuple[tuple[tuple[Lot, ...], Paise | None], ...],
) -> bool:
    return len(one) == len(other) and all(
        a[0] is b[0] and a[1] == b[1] for a, b in zip(one, other, strict=True)
    )
