"""One order of ours: what it asks for, how far it got, and the one call about it in flight.

Rule 1: values; `absorb` and its kin take evidence in and return the order after it.
Rule 2: one call at a time. While a change is on its way or not confirmed, no other leaves.
Rule 3: what has filled only grows, whatever order the rows arrive in.
An answer to a change means "taken", not "applied": the row that shows the new terms confirms it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.core.rules import LookupRules
from agent.core.values import Fault, OrderRow, OrderType, Role, Terms, Transaction
from agent.frozen import replace
from agent.orders.lifecycle import AT_EXCHANGE, FINAL, Evidence, OrderState, advance, evidence_of


class Doing(StrEnum):
    """What the call about an order is for."""

    PLACE = "place"
    MODIFY = "modify"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Flight:
    """A call about an order that is not settled.

    Parameters
    ----------
    answered_ms : int, epoch ms
        When the call's answer (or its failure) came; 0 while it is on its way.
    answered_call : int
        The last call number given out then: only a book asked later knows what became of it.
    lost : bool
        The answer proved nothing; the book is read before anything else leaves.
    """

    doing: Doing
    call: int
    terms: Terms | None = None
    answered_ms: int = 0
    answered_call: int = 0
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Leg:
    """An order of ours.

    Parameters
    ----------
    tag : str
        Deterministic, ours alone: how a lost order is found.
    terms : Terms
        As last known to stand at the exchange (for an order on its way: as asked).
    filled, value_paise : int
        Shares traded and what they traded for.
    modifications : int
        Changes sent; the broker allows 25 an order.
    sent_call, final_call : int
        Numbers of the place call and of the last call made before the final row was seen: a
        book read with a higher number knows about it.
    lookups, lost_ms : int
        Books read since that do not show it; when its answer was lost.
    asked_ms : int
        When a book was last asked for its sake.
    triggered_ms : int
        When a stop was seen released by its trigger.
    never_left : bool
        Its place call was refused before it could reach anything: no book will know it.
    """

    tag: str
    role: Role
    transaction: Transaction
    terms: Terms
    state: OrderState
    sent_ms: int
    sent_call: int
    order_id: str | None = None
    filled: int = 0
    value_paise: int = 0
    modifications: int = 0
    flight: Flight | None = None
    final_call: int = 0
    final_ms: int = 0
    lookups: int = 0
    lost_ms: int = 0
    asked_ms: int = 0
    triggered_ms: int = 0
    words: str = ""
    never_left: bool = False

    @property
    def final(self) -> bool:
        """Whether nothing more can trade on it, as far as we know."""
        return self.state in FINAL

    @property
    def at_exchange(self) -> bool:
        """Whether it was last seen standing at the exchange."""
        return self.state in AT_EXCHANGE

    @property
    def idle(self) -> bool:
        """Whether a call about it may leave now."""
        return self.flight is None and self.order_id is not None and not self.final

    @property
    def pending(self) -> int:
        """Shares that may still trade."""
        return 0 if self.final else self.terms.quantity - self.filled


def moved(leg: Leg, evidence: Evidence, *, call: int, at_ms: int, words: str = "") -> Leg:
    """Return the order one step on in its life; `call` is the last call number given out."""
    state = advance(leg.state, evidence)
    final = state in FINAL
    same = state is leg.state and not final and words in ("", leg.words)
    if same and not leg.final_call and not leg.final_ms:
        return leg  # nearly every row of a live order: the same again
    was = leg.state in FINAL
    return replace(
        leg,
        state=state,
        words=words or leg.words,
        final_call=(leg.final_call if was else call) if final else 0,
        final_ms=(leg.final_ms if was else at_ms) if final else 0,
        flight=None if final else leg.flight,
    )


def placed(
    role: Role, transaction: Transaction, terms: Terms, tag: str, *, call: int, at_ms: int
) -> Leg:
    """Return an order of which the place call is on its way."""
    return Leg(
        tag,
        role,
        transaction,
        terms,
        OrderState.SENT,
        sent_ms=at_ms,
        sent_call=call,
        flight=Flight(Doing.PLACE, call),
    )


def sent(leg: Leg, flight: Flight) -> Leg:
    """Return the order with a call about it on its way."""
    if flight.doing is Doing.CANCEL:
        leg = replace(leg, state=advance(leg.state, Evidence.CANCEL_SENT))
    changes = leg.modifications + (flight.doing is Doing.MODIFY)
    return replace(leg, flight=flight, modifications=changes)


def answered(leg: Leg, order_id: str, *, call: int, at_ms: int) -> Leg:
    """Return the order after its call was taken. Taken is not applied: a row confirms it."""
    flight = leg.flight
    if flight is None:
        return leg
    if flight.doing is Doing.PLACE:
        leg = moved(leg, Evidence.ANSWERED, call=call, at_ms=at_ms)
        return replace(leg, order_id=order_id, flight=None)
    return replace(leg, flight=replace(flight, answered_ms=at_ms, answered_call=call))


def failed(leg: Leg, fault: Fault, words: str, *, call: int, at_ms: int) -> Leg:
    """Return the order after its call failed; what that proves depends on the fault."""
    flight = leg.flight
    if flight is None:
        return leg
    not_sent = fault in {Fault.RETRYABLE, Fault.TOKEN}
    if flight.doing is Doing.PLACE:
        evidence = Evidence.NOT_SENT if not_sent else Evidence.REFUSED
        evidence = Evidence.LOST if fault is Fault.UNKNOWN else evidence
        leg = replace(leg, flight=None, lost_ms=at_ms, never_left=not_sent)
        return moved(leg, evidence, call=call, at_ms=at_ms, words=words)
    if not_sent:
        if flight.doing is Doing.CANCEL:
            leg = moved(leg, Evidence.CANCEL_FAILED, call=call, at_ms=at_ms)
        else:
            leg = replace(leg, modifications=leg.modifications - 1)
        return replace(leg, flight=None)
    # Refused or lost: "being processed" may mean that it has traded. The book decides.
    lost = replace(flight, answered_ms=at_ms, answered_call=call, lost=True)
    return replace(leg, flight=lost, words=words)


def absorb(
    leg: Leg, row: OrderRow, *, call: int, at_ms: int, book_call: int = 0, confirm_ms: int = 0
) -> Leg:
    """Return the order after a row that is about it.

    Parameters
    ----------
    call : int
        The number of the last call given out before this row was taken in.
    book_call : int
        The number of the reading that brought the row; 0 for an update pushed to us. Only a
        book that was asked after a change was answered (and, unless it was lost, `confirm_ms`
        later) says that the change did not happen.
    """
    # Only what is another is copied: `leg` itself comes back from a row that shows what is known.
    evidence = evidence_of(row.status)
    before, flight = leg.state, leg.flight
    if leg.order_id != row.order_id or leg.lookups:
        leg = replace(leg, order_id=row.order_id, lookups=0)
    leg = moved(leg, evidence, call=call, at_ms=at_ms, words=row.message)
    if row.filled > leg.filled:
        leg = replace(leg, filled=row.filled, value_paise=row.value_paise)
    if leg.final:
        return leg
    if before is OrderState.RESTING and leg.state is OrderState.OPEN:
        leg = replace(leg, triggered_ms=at_ms)
    if evidence is Evidence.SEEN_PENDING:
        return leg
    seen = _terms(row, leg.terms)
    if flight is None or flight.doing is Doing.PLACE:
        return leg if seen == leg.terms else replace(leg, terms=seen)
    if flight.doing is Doing.MODIFY and flight.terms is not None and _agrees(seen, flight.terms):
        return replace(leg, terms=seen, flight=None)
    waited = flight.lost or at_ms - flight.answered_ms >= confirm_ms
    if not (flight.answered_ms and book_call > flight.answered_call and waited):
        return leg
    if flight.doing is Doing.CANCEL:
        leg = moved(leg, Evidence.CANCEL_FAILED, call=call, at_ms=at_ms)
        leg = moved(leg, evidence, call=call, at_ms=at_ms)
    return replace(leg, terms=seen, flight=None)


def missed(leg: Leg) -> Leg:
    """Return the order after a book that does not show it."""
    return replace(leg, lookups=leg.lookups + 1)


def look_due(leg: Leg, look: LookupRules) -> int:
    """Return when a book is due because we do not know what became of it; 0 where we do."""
    flight = leg.flight
    if leg.state is OrderState.UNKNOWN:
        since, first = leg.lost_ms, look.first_ms
    elif flight is not None and flight.answered_ms:
        since, first = flight.answered_ms, look.first_ms if flight.lost else look.confirm_ms
    elif flight is None and (leg.state is OrderState.ACCEPTED or leg.state is OrderState.PENDING):
        since, first = leg.sent_ms, look.confirm_ms
    else:
        return 0
    if leg.asked_ms <= since:
        return since + first
    soon = leg.asked_ms - since < look.patient_ms
    return leg.asked_ms + (look.confirm_ms if soon else look.patient_ms)


def triggered(leg: Leg) -> bool:
    """Tell whether a stop has been released by its trigger and may be trading."""
    return leg.state is OrderState.OPEN and leg.terms.order_type in {"SL", "SL-M"}


def _agrees(seen: Terms, asked: Terms) -> bool:
    if asked.order_type == "MARKET":  # comes back as the LIMIT that the exchange made of it
        return seen.order_type in {"MARKET", "LIMIT"} and seen.trigger_ticks in (None, 0)
    return (
        seen.order_type == asked.order_type
        and seen.price_ticks == asked.price_ticks
        and (seen.trigger_ticks or 0) == (asked.trigger_ticks or 0)
        and seen.quantity == asked.quantity
    )


def _terms(row: OrderRow, before: Terms) -> Terms:
    known: dict[str, OrderType] = {"LIMIT": "LIMIT", "SL": "SL", "MARKET": "MARKET", "SL-M": "SL-M"}
    return Terms(
        known.get(row.order_type, before.order_type),
        row.quantity,
        row.price_ticks or None,
        row.trigger_ticks or None,
    )
