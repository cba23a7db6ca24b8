"""What a row changes: the order, the open shares, the money's book. The only way in for rows.

Rule 1: a row is hint or proof, never a command. It may be early, late, repeated or reordered;
shares only grow, and what grew is booked once.
Rule 2: an order of ours that we do not know (a journal lost, an order given up too early) is
brought back; one with our prefix and another instance is a second agent.
"""

from __future__ import annotations

from fractions import Fraction

from agent.core.trade import Trade
from agent.core.turn import Turn
from agent.core.values import Mode, OrderRow, Role, Terms, Transaction
from agent.frozen import replace
from agent.market.sessions import from_epoch_ms
from agent.orders.exits import with_leg
from agent.orders.leg import Leg, absorb
from agent.orders.lifecycle import FINAL, Evidence, OrderState, evidence_of
from agent.orders.tags import parse_tag
from agent.portfolio.lots import Fill
from agent.risk import book as money

CLOSED = frozenset({Evidence.SEEN_FILLED, Evidence.SEEN_CANCELLED, Evidence.SEEN_REJECTED})


def take_row(turn: Turn, row: OrderRow, *, book_call: int = 0) -> bool:
    """Take in one row; return whether it is about an order of ours that we know."""
    found = find_leg(turn, row)
    if found is None:
        _stranger(turn, row, pushed=not book_call)
        return False
    trade, leg = found
    settled = leg.state is OrderState.FILLED or (leg.final and row.filled <= leg.filled)
    if settled and evidence_of(row.status) in CLOSED:
        return True  # nearly every row of a poll
    after = absorb(
        leg,
        row,
        call=turn.desk.calls,
        at_ms=turn.at_ms,
        book_call=book_call,
        confirm_ms=turn.desk.rules.lookup.confirm_ms,
    )
    if after is not leg and after != leg:
        put_leg(turn, trade, leg, after)
    return True


def put_leg(turn: Turn, trade: Trade, before: Leg, after: Leg) -> None:
    """Put an order's newer state into its trade, and book what it filled."""
    trade = with_leg(trade, after)
    if after.filled > before.filled:
        shares = after.filled - before.filled
        paise = after.value_paise - before.value_paise
        trade = _booked(turn, trade, after, shares, paise)
    if after.state is OrderState.REJECTED and before.state is not OrderState.REJECTED:
        words = f"{after.role.name.lower()} rejected: {after.words or 'no reason given'}"
        turn.note("reject", trade.key, words, trade.number)
        turn.notify("warning", "reject", f"{trade.key}: {words}")
    if after.role is Role.ENTRY and after.final and trade.reserved:
        trade = release(turn, trade)
    if trade.done and (trade.open or not after.final):
        turn.note("adopted", trade.key, f"{after.tag} appeared late", trade.number)
        trade = replace(trade, closed_ms=0)
    turn.put(trade)


def release(turn: Turn, trade: Trade) -> Trade:
    """Free what the money's book still held for an entry that fills no further."""
    if turn.desk.money is not None:
        turn.set(money=money.release(turn.desk.money, trade.intent))
    return replace(trade, reserved=False)


def find_leg(turn: Turn, row: OrderRow) -> tuple[Trade, Leg] | None:
    """Return the trade and the order that a row is about."""
    tag = parse_tag(row.tag)
    if tag is not None and tag.instance == turn.desk.rules.instance:
        trade = turn.desk.trades.get(tag.trade)
        if trade is None:
            return None
        return next(((trade, leg) for leg in legs_of(trade) if leg.tag == row.tag), None)
    for trade in turn.desk.trades.values():  # some rows come without their tag
        for leg in legs_of(trade):
            if leg.order_id is not None and leg.order_id == row.order_id:
                return trade, leg
    return None


def legs_of(trade: Trade) -> tuple[Leg, ...]:
    """Return all orders of a trade."""
    return trade.exits if trade.entry is None else (trade.entry, *trade.exits)


def closed_elsewhere(turn: Turn, trade: Trade, shares: int, paise: int) -> Trade:
    """Return the trade after somebody else closed shares of it, and book that."""
    total = trade.external_shares + shares
    fill = fill_of(
        trade,
        trade.side.exit_transaction,
        shares,
        paise,
        order=f"{trade.intent}-external",
        upto=total,
        ts_ms=turn.at_ms,
    )
    if turn.desk.money is not None:
        book, _ = money.on_fill(turn.desk.money, fill)
        turn.set(money=book)
    return replace(trade, external_shares=total, external_paise=trade.external_paise + paise)


def fill_of(  # noqa: PLR0913  (a fill has that many facts)
    trade: Trade,
    transaction: Transaction,
    shares: int,
    paise: int,
    *,
    order: str,
    upto: int,
    ts_ms: int,
) -> Fill:
    """Return shares that traded, as the money's book takes them.

    Parameters
    ----------
    paise : int
        The value of the shares.
    upto : int
        How many of the order have filled with these: makes the fill's own name.
    """
    price = Fraction(paise, shares)
    return Fill(
        trade_id=f"{order}/{upto}",
        order_id=order,
        key=trade.key,
        product=trade.product,
        segment=trade.instrument.segment,
        transaction=transaction,
        quantity=shares,
        price=int(price) if price.denominator == 1 else price,
        on=from_epoch_ms(ts_ms).date(),
        ts_ms=ts_ms,
        agent=trade.pin.agent,
        version=trade.pin.version,
    )


def _booked(turn: Turn, trade: Trade, leg: Leg, shares: int, paise: int) -> Trade:
    entry = leg.role is Role.ENTRY
    price = Fraction(paise, shares)
    if turn.desk.money is not None:
        fill = fill_of(
            trade,
            leg.transaction,
            shares,
            paise,
            order=leg.tag,
            upto=leg.filled,
            ts_ms=turn.at_ms,
        )
        book, _ = money.on_fill(turn.desk.money, fill, trade.intent if entry else None)
        turn.set(money=book)
    side = trade.side.value
    words = f"{side} {'entry' if entry else 'exit'}: {shares} at {float(price) / 100:.2f}"
    turn.note("fill", trade.key, words, trade.number, {"shares": shares, "paise": paise})
    turn.notify("info", "entry" if entry else "exit", f"{trade.key}: {words}")
    if entry and not trade.filled_ms:
        trade = replace(trade, filled_ms=turn.at_ms)
    return trade


def _stranger(turn: Turn, row: OrderRow, *, pushed: bool) -> None:
    tag = parse_tag(row.tag)
    if tag is not None and tag.instance != turn.desk.rules.instance:
        turn.guard(
            "second_agent",
            Mode.NO_NEW,
            f"order {row.order_id} of today carries the tag {row.tag} of another agent",
            "resume, once the other agent is known to be stopped",
        )
        return
    held = turn.desk.trade_of(row.key, row.product) if pushed else None
    if held is not None and (row.filled or evidence_of(row.status) is not Evidence.SEEN_PENDING):
        turn.want_book()  # somebody else trades what we hold: read positions before the next step


def adopt_leg(turn: Turn, row: OrderRow) -> Leg:
    """Return an order of ours that no trade knows, as its row describes it."""
    tag = parse_tag(row.tag)
    role = Role.EXIT if tag is None else tag.role
    state = OrderState.UNKNOWN
    leg = Leg(
        row.tag or f"order{row.order_id}",
        role,
        row.transaction,
        Terms("LIMIT", row.quantity),
        state,
        sent_ms=turn.at_ms,
        sent_call=turn.desk.calls,
        lost_ms=turn.at_ms,
    )
    leg = absorb(leg, row, call=turn.desk.calls, at_ms=turn.at_ms)
    return leg if leg.state in FINAL or leg.order_id else replace(leg, order_id=row.order_id)
