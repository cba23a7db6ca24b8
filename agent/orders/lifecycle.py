"""Where does an order stand, given what we have seen of it? One table, (state, evidence) -> state.

Rule 1: a state is written by `NEXT` alone. A pair that is not in it is a bug of ours: it raises
and changes nothing; a test walks every pair and compares the misses with a list.
Rule 2: the table follows Kite's statuses and what reality does to them: updates come early, late,
twice, out of order or never. Final beats interim, more filled beats less.
Rule 3: only COMPLETE, CANCELLED* and REJECTED* are final; the vendor's list of words is open.
Not here: what an order asks for (leg.py), what to do about it (drive.py).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from agent.errors import Broken


class OrderState(StrEnum):
    """What we know of an order."""

    SENT = "sent"  # the call is being made
    UNKNOWN = "unknown"  # its answer was lost; the order book decides
    ACCEPTED = "accepted"  # the broker gave it an id
    PENDING = "pending"  # seen in the book, not at the exchange yet
    RESTING = "resting"  # at the exchange, waiting for its trigger
    OPEN = "open"  # at the exchange, may trade at any moment
    CANCEL_SENT = "cancel sent"  # live until its final row is seen
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    ABSENT = "absent"  # looked for and given up

    __hash__ = str.__hash__  # asked of every order at every event; an Enum's own is slow


class Evidence(StrEnum):
    """What we have seen or been told about an order."""

    ANSWERED = "answered"  # the call returned an id
    REFUSED = "refused"  # the call was refused for certain
    NOT_SENT = "not sent"  # the call never left
    LOST = "lost"  # the call's answer was lost
    GIVEN_UP = "given up"  # looked up by its tag for long enough
    LEFT_BEHIND = "left behind"  # of an earlier day, and not in the book of this one
    SEEN_PENDING = "seen pending"
    SEEN_RESTING = "seen resting"
    SEEN_OPEN = "seen open"
    SEEN_FILLED = "seen filled"
    SEEN_CANCELLED = "seen cancelled"
    SEEN_REJECTED = "seen rejected"
    CANCEL_SENT = "cancel sent"
    CANCEL_FAILED = "cancel failed"  # refused or lost: says nothing, the row decides


_S, _E = OrderState, Evidence
Table = dict[tuple[OrderState, Evidence], OrderState]
FINAL: Final = frozenset({_S.FILLED, _S.CANCELLED, _S.REJECTED, _S.ABSENT})
AT_EXCHANGE: Final = frozenset({_S.RESTING, _S.OPEN})
SEEN: Final = frozenset(e for e in Evidence if e.value.startswith("seen"))

_LIVE_ROWS: Final = {
    _E.SEEN_PENDING: _S.PENDING,
    _E.SEEN_RESTING: _S.RESTING,
    _E.SEEN_OPEN: _S.OPEN,
    _E.SEEN_FILLED: _S.FILLED,
    _E.SEEN_CANCELLED: _S.CANCELLED,
    _E.SEEN_REJECTED: _S.REJECTED,
}
_FINAL_ROWS: Final = {
    _E.SEEN_FILLED: _S.FILLED,
    _E.SEEN_CANCELLED: _S.CANCELLED,
    _E.SEEN_REJECTED: _S.REJECTED,
}
_UNSEEN: Final = {_S.SENT, _S.UNKNOWN, _S.ACCEPTED}


def _all(state: OrderState, to: dict[Evidence, OrderState]) -> Table:
    return {(state, evidence): after for evidence, after in to.items()}


def _stays(state: OrderState, *evidence: Evidence) -> Table:
    return {(state, e): state for e in evidence}


NEXT: Final[Table] = {
    # on its way; a row may come before the answer does
    **_all(_S.SENT, _LIVE_ROWS),
    (_S.SENT, _E.ANSWERED): _S.ACCEPTED,
    (_S.SENT, _E.REFUSED): _S.REJECTED,
    (_S.SENT, _E.NOT_SENT): _S.REJECTED,
    (_S.SENT, _E.LOST): _S.UNKNOWN,  # a time-out proves nothing
    # being looked up
    **_all(_S.UNKNOWN, _LIVE_ROWS),
    (_S.UNKNOWN, _E.GIVEN_UP): _S.ABSENT,
    # the broker has it
    **_all(_S.ACCEPTED, _LIVE_ROWS),
    (_S.ACCEPTED, _E.CANCEL_SENT): _S.CANCEL_SENT,
    (_S.ACCEPTED, _E.GIVEN_UP): _S.ABSENT,  # an id that no book ever showed
    # in the book; the answer to the call may still come, or be lost
    **_all(_S.PENDING, _LIVE_ROWS),
    (_S.PENDING, _E.CANCEL_SENT): _S.CANCEL_SENT,
    **_stays(_S.PENDING, _E.ANSWERED, _E.LOST, _E.REFUSED, _E.NOT_SENT),
    # at the exchange
    **_all(_S.RESTING, _LIVE_ROWS),
    **_stays(_S.RESTING, _E.SEEN_PENDING),  # late
    (_S.RESTING, _E.CANCEL_SENT): _S.CANCEL_SENT,
    **_stays(_S.RESTING, _E.ANSWERED, _E.LOST, _E.REFUSED, _E.NOT_SENT),
    **_all(_S.OPEN, _LIVE_ROWS),
    # A change passes through pending words. A late "resting" may overwrite "open" for a moment:
    # the next row heals it, and a crossed trigger that stays silent is read again (drive.py).
    **_stays(_S.OPEN, _E.SEEN_PENDING),
    (_S.OPEN, _E.CANCEL_SENT): _S.CANCEL_SENT,
    **_stays(_S.OPEN, _E.ANSWERED, _E.LOST, _E.REFUSED, _E.NOT_SENT),
    # a cancellation on its way: only a final row ends it
    **_all(_S.CANCEL_SENT, _FINAL_ROWS),
    **_stays(_S.CANCEL_SENT, _E.SEEN_PENDING, _E.SEEN_RESTING, _E.SEEN_OPEN),
    **_stays(_S.CANCEL_SENT, _E.ANSWERED, _E.LOST, _E.REFUSED, _E.NOT_SENT, _E.CANCEL_SENT),
    (_S.CANCEL_SENT, _E.CANCEL_FAILED): _S.OPEN,  # the stricter guess until a row says more
    # final; rows still come, and the order of arrival is no order
    **_stays(_S.FILLED, *SEEN, _E.ANSWERED, _E.LOST, _E.REFUSED, _E.NOT_SENT, _E.CANCEL_FAILED),
    **_stays(_S.CANCELLED, *SEEN, _E.ANSWERED, _E.LOST, _E.REFUSED, _E.NOT_SENT, _E.CANCEL_FAILED),
    (_S.CANCELLED, _E.SEEN_FILLED): _S.FILLED,  # updates arrive out of order
    **_stays(_S.REJECTED, *SEEN, _E.ANSWERED, _E.LOST, _E.REFUSED, _E.NOT_SENT, _E.CANCEL_FAILED),
    (_S.REJECTED, _E.SEEN_FILLED): _S.FILLED,
    (_S.REJECTED, _E.SEEN_CANCELLED): _S.CANCELLED,
    # given up and yet there: an order appeared 90 s late once, it is adopted whatever it is
    **_all(_S.ABSENT, _LIVE_ROWS),
    # a call that was refused for certain and an order that is alive all the same: the row wins
    (_S.REJECTED, _E.SEEN_PENDING): _S.PENDING,
    (_S.REJECTED, _E.SEEN_RESTING): _S.RESTING,
    (_S.REJECTED, _E.SEEN_OPEN): _S.OPEN,
    # orders are for the day: what the next day's book does not show is over, whatever became of it
    **{(state, _E.LEFT_BEHIND): _S.ABSENT for state in _UNSEEN},
    **{(state, _E.LEFT_BEHIND): _S.CANCELLED for state in set(_S) - _UNSEEN - FINAL},
    **{(state, _E.LEFT_BEHIND): state for state in FINAL},
}


def advance(state: OrderState, evidence: Evidence) -> OrderState:
    """Return where an order stands after new evidence.

    Raises
    ------
    Broken
        If the pair cannot happen: we asked for something that this state has no room for.
    """
    try:
        return NEXT[state, evidence]
    except KeyError:
        raise Broken(f"no row for an order that is {state} and then {evidence}") from None


def evidence_of(status: str) -> Evidence:
    """Return what a status of the broker's order book says; unknown words are interim.

    The ticker's `UPDATE` (modified or partly filled) is interim, too: it does not say which.

    >>> evidence_of("CANCELLED AMO").value
    'seen cancelled'
    >>> evidence_of("MODIFY PENDING").value
    'seen pending'
    """
    word = status.upper()
    if word == "COMPLETE":
        return Evidence.SEEN_FILLED
    if word.startswith("CANCELLED"):
        return Evidence.SEEN_CANCELLED
    if word.startswith("REJECTED"):
        return Evidence.SEEN_REJECTED
    if word == "TRIGGER PENDING":
        return Evidence.SEEN_RESTING
    if word == "OPEN":
        return Evidence.SEEN_OPEN
    return Evidence.SEEN_PENDING
