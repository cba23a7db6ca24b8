"""The broker's books against ours: what is there is adopted, what is gone is believed gone.

Rule 1: the order book is read before the positions, both after the answer in question; a reading
that failed means "unknown", never "flat".
Rule 2: a difference that fills do not explain is acted on when a second reading, a second later,
still shows it: orders and positions disagree for moments.
Rule 3: orders are for the day. One of an earlier day that the book does not show is over.
Rule 4: positions nobody here opened are reported and left alone, unless orders of today with our
own tags explain them (the journal was lost): those are adopted and protected.
At start, and after every reconnect and unknown answer, nothing is opened before this has run.
"""

from __future__ import annotations

from dataclasses import replace

from agent.core.events import BookRead
from agent.core.state import Mismatch
from agent.core.trade import Pin, Trade
from agent.core.turn import Turn
from agent.core.values import HeldRow, Mode, OrderRow, Reason, Role
from agent.market.instruments import Side
from agent.market.sessions import from_epoch_ms
from agent.orders.exits import close, with_leg
from agent.orders.fills import adopt_leg, closed_elsewhere, legs_of, take_row
from agent.orders.leg import missed, moved
from agent.orders.lifecycle import Evidence, OrderState
from agent.orders.tags import parse_tag

CONFIRM_READS = 2
UNSEEN = frozenset({OrderState.UNKNOWN, OrderState.ACCEPTED})


def on_book(turn: Turn, read: BookRead) -> None:
    """Take in a reading of the order book and, where it came with them, the positions."""
    orphans = [row for row in read.orders if not take_row(turn, row, book_call=read.call)]
    _mark_missing(turn, read)
    if read.positions is None:
        return
    _adopt_orphans(turn, orphans, read.positions)
    for trade in turn.desk.open_trades:
        turn.put(replace(trade, book_call=max(trade.book_call, read.call)))
    _compare(turn, read.orders, read.positions)


def _mark_missing(turn: Turn, read: BookRead) -> None:
    tags = {row.tag for row in read.orders}
    ids = {row.order_id for row in read.orders}
    today = from_epoch_ms(turn.at_ms).date()
    for trade in turn.desk.open_trades:
        for leg in legs_of(trade):
            if leg.tag in tags or leg.order_id in ids:
                continue
            if not leg.final and from_epoch_ms(leg.sent_ms).date() < today:
                over = moved(leg, Evidence.LEFT_BEHIND, call=turn.desk.calls, at_ms=turn.at_ms)
                words = f"{leg.role.value} {leg.tag} was {leg.state.value}: a day's order of before"
                turn.note("left behind", trade.key, words, trade.number)
                turn.put(with_leg(turn.desk.trades[trade.number], over))
            elif leg.state in UNSEEN and leg.flight is None and read.call > leg.sent_call:
                turn.put(with_leg(turn.desk.trades[trade.number], missed(leg)))


def _compare(turn: Turn, orders: tuple[OrderRow, ...], positions: tuple[HeldRow, ...]) -> None:
    ours: dict[tuple[str, str], int] = {}
    for trade in turn.desk.open_trades:
        ours[trade.slot] = ours.get(trade.slot, 0) + trade.side.sign * trade.open
    theirs = {(row.key, row.product): row.quantity for row in positions}
    seen: dict[tuple[str, str], Mismatch] = {}
    for slot in sorted(set(ours) | set(theirs)):
        difference = theirs.get(slot, 0) - ours.get(slot, 0)
        if not difference:
            continue
        old = turn.desk.mismatches.get(slot)
        if _explained(turn, slot, difference, orders):
            _settle(turn, slot, difference, orders)
        elif old is None or old.quantity != difference:
            seen[slot] = Mismatch(difference, 1, turn.at_ms)
            if slot in ours:
                turn.timer("recheck", turn.at_ms + turn.desk.rules.lookup.confirm_ms)
        else:
            seen[slot] = replace(old, seen=old.seen + 1)
            if seen[slot].seen == CONFIRM_READS:
                _settle(turn, slot, difference, orders)
    turn.set(mismatches=seen)


def _settle(
    turn: Turn, slot: tuple[str, str], difference: int, orders: tuple[OrderRow, ...]
) -> None:
    """Act on a difference that a second reading confirmed."""
    trade = turn.desk.trade_of(*slot)
    if trade is None:
        words = f"{difference:+d} shares of {slot[0]} ({slot[1]}) were not opened here: left alone"
        turn.note("foreign", slot[0], words)
        turn.notify("warning", "foreign position", words)
        return
    sign = trade.side.sign
    gone = -sign * difference
    if 0 < gone <= trade.open:
        last = _stranger(slot, trade.side.exit_transaction, orders)
        value = _value(turn, trade, last, gone)
        squared = last is not None and last.placed_by_broker
        reason = Reason.SQUARE_OFF if turn.desk.squaring or squared else Reason.EXTERNAL
        words = f"{gone} of {trade.open} shares were closed elsewhere"
        trade = close(turn, trade, reason, words)
        turn.notify("warning", "closed elsewhere", f"{trade.key}: {words}")
        turn.put(closed_elsewhere(turn, trade, gone, value))
        return
    words = f"{difference:+d} shares of {slot[0]} beside our own {sign * trade.open:+d}"
    turn.note("foreign", slot[0], words, trade.number)
    turn.notify("alarm", "foreign position", f"{words}: not ours, left alone")


def _stranger(
    slot: tuple[str, str], transaction: str, orders: tuple[OrderRow, ...]
) -> OrderRow | None:
    """Return the last order of somebody else that traded this way in an instrument."""
    found = [
        row
        for row in orders
        if (row.key, row.product) == slot
        and row.transaction == transaction
        and row.filled
        and parse_tag(row.tag) is None
    ]
    return max(found, key=lambda row: (row.filled_ms, row.order_id), default=None)


def _explained(
    turn: Turn, slot: tuple[str, str], difference: int, orders: tuple[OrderRow, ...]
) -> bool:
    """Tell whether somebody's order accounts for a closing: then it needs no second reading."""
    trade = turn.desk.trade_of(*slot)
    if trade is None or not 0 < -trade.side.sign * difference <= trade.open:
        return False
    last = _stranger(slot, trade.side.exit_transaction, orders)
    if last is None or last.filled_ms < trade.filled_ms // 1000 * 1000:
        return False
    return last.filled - trade.external_shares == -trade.side.sign * difference


def _value(turn: Turn, trade: Trade, row: OrderRow | None, shares: int) -> int:
    """Return what shares that somebody else closed were worth, paise; else by the last price."""
    if row is not None:
        return row.value_paise * shares // row.filled
    sight = turn.sight(trade.key)
    if sight is not None:
        return trade.instrument.paise(sight.quote.last) * shares
    return trade.entered_paise * shares // trade.entered


def _adopt_orphans(turn: Turn, orphans: list[OrderRow], positions: tuple[HeldRow, ...]) -> None:
    """Bring back trades of our own instance that the journal has lost."""
    mine: dict[int, list[OrderRow]] = {}
    for row in orphans:
        tag = parse_tag(row.tag)
        if tag is not None and tag.instance == turn.desk.rules.instance:
            mine.setdefault(tag.trade, []).append(row)
    held = {(row.key, row.product): row for row in positions}
    for number, rows in sorted(mine.items()):
        trade = _adopted(turn, number, rows)
        if trade is None:
            continue
        there = held.get(trade.slot)
        words = f"an own trade that the journal does not know: {trade.open} {trade.side.value}"
        turn.note("adopted", trade.key, words, number)
        turn.notify(
            "alarm",
            "adopted",
            f"{trade.key}: {words}; broker holds {0 if there is None else there.quantity}",
        )
        turn.set(numbers=max(turn.desk.numbers, number))
        turn.put(trade)


def _adopted(turn: Turn, number: int, rows: list[OrderRow]) -> Trade | None:
    known = turn.desk.trades.get(number)
    legs = [adopt_leg(turn, row) for row in rows]
    if known is not None:  # an exit of a known trade that was sent and never journaled
        extra = tuple(leg for leg in legs if leg.role is Role.EXIT)
        return replace(known, exits=(*known.exits, *extra), closed_ms=0) if extra else None
    instrument = turn.desk.instruments.get(rows[0].key)
    if instrument is None:
        return None
    entry = next((leg for leg in legs if leg.role is Role.ENTRY), None)
    if entry is None:
        turn.guard("unexplained", Mode.NO_NEW, f"exit {rows[0].tag} without its entry", "resume")
        return None
    side = Side.LONG if entry.transaction == "BUY" else Side.SHORT
    exits = tuple(leg for leg in legs if leg.role is Role.EXIT)
    trade = Trade(
        number,
        instrument,
        side,
        rows[0].product,
        Pin("adopted", "", words="the journal was lost"),
        turn.at_ms,
        entry,
        exits,
    )
    return trade if trade.open or trade.live_exits or trade.entry_live else None
