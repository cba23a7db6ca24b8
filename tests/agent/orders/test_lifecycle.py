"""The table of an order's life: every state meets every evidence; the rows that reality needs."""

from __future__ import annotations

from itertools import permutations, product

import pytest

from agent.errors import Broken
from agent.orders.lifecycle import FINAL, NEXT, SEEN, Evidence, OrderState, advance, evidence_of

S, E = OrderState, Evidence

# What cannot happen: we never withdraw what has no id or is over, and a call is answered once.
IMPOSSIBLE = {
    *product([S.SENT, S.UNKNOWN], [E.CANCEL_SENT, E.CANCEL_FAILED]),
    (S.SENT, E.GIVEN_UP),
    *product([S.UNKNOWN, S.ACCEPTED], [E.ANSWERED, E.LOST, E.REFUSED, E.NOT_SENT]),
    *product([S.ACCEPTED, S.PENDING, S.RESTING, S.OPEN], [E.CANCEL_FAILED]),
    *product([S.PENDING, S.RESTING, S.OPEN, S.CANCEL_SENT], [E.GIVEN_UP]),
    *product([S.FILLED, S.CANCELLED, S.REJECTED], [E.CANCEL_SENT, E.GIVEN_UP]),
    *product(
        [S.ABSENT],
        [E.ANSWERED, E.LOST, E.REFUSED, E.NOT_SENT, E.GIVEN_UP, E.CANCEL_SENT, E.CANCEL_FAILED],
    ),
}


@pytest.mark.parametrize(("state", "evidence"), list(product(OrderState, Evidence)))
def test_every_state_meets_every_evidence(state: OrderState, evidence: Evidence) -> None:
    if (state, evidence) in IMPOSSIBLE:
        with pytest.raises(Broken, match="no row"):
            advance(state, evidence)
    else:
        assert advance(state, evidence) in OrderState


def test_the_table_has_no_row_that_the_list_calls_impossible() -> None:
    assert set(NEXT) == set(product(OrderState, Evidence)) - IMPOSSIBLE


#  id                                     evidence in the order of arrival                 ends
LIVES = [
    ("plain", [E.ANSWERED, E.SEEN_PENDING, E.SEEN_OPEN, E.SEEN_FILLED], S.FILLED),
    ("row before the answer", [E.SEEN_OPEN, E.ANSWERED, E.SEEN_FILLED], S.FILLED),
    ("T22 lost and found", [E.LOST, E.SEEN_OPEN], S.OPEN),
    ("T22 lost and gone", [E.LOST, E.GIVEN_UP], S.ABSENT),
    ("given up, then there", [E.LOST, E.GIVEN_UP, E.SEEN_FILLED], S.FILLED),
    ("stop triggers", [E.ANSWERED, E.SEEN_RESTING, E.SEEN_OPEN, E.SEEN_FILLED], S.FILLED),
    ("fill wins the cancel", [E.ANSWERED, E.SEEN_OPEN, E.CANCEL_SENT, E.SEEN_FILLED], S.FILLED),
    ("late row in a cancel", [E.ANSWERED, E.CANCEL_SENT, E.SEEN_OPEN], S.CANCEL_SENT),
    ("cancel refused", [E.ANSWERED, E.SEEN_OPEN, E.CANCEL_SENT, E.CANCEL_FAILED], S.OPEN),
    ("fill after cancelled", [E.ANSWERED, E.SEEN_CANCELLED, E.SEEN_FILLED], S.FILLED),
    ("stale after filled", [E.ANSWERED, E.SEEN_FILLED, E.SEEN_OPEN, E.SEEN_CANCELLED], S.FILLED),
    ("yesterday's stop", [E.ANSWERED, E.SEEN_RESTING, E.LEFT_BEHIND], S.CANCELLED),
    ("yesterday's, never seen", [E.ANSWERED, E.LEFT_BEHIND], S.ABSENT),
    ("refused, yet alive", [E.REFUSED, E.SEEN_OPEN], S.OPEN),
]  # fmt: skip


@pytest.mark.parametrize(("evidence", "ends"), [r[1:] for r in LIVES], ids=[r[0] for r in LIVES])
def test_a_life_ends_where_it_should(evidence: list[Evidence], ends: OrderState) -> None:
    state = S.SENT
    for one in evidence:
        state = advance(state, one)
    assert state is ends


def test_whatever_the_order_of_rows_a_filled_order_ends_filled() -> None:
    rows = [E.SEEN_PENDING, E.SEEN_OPEN, E.SEEN_FILLED, E.SEEN_CANCELLED, E.ANSWERED]
    for order in permutations(rows):
        state = S.SENT
        for one in order:
            state = advance(state, one)
        assert state is S.FILLED, order


def test_final_states_stay_final_whatever_interim_row_comes_late() -> None:
    for state in (S.FILLED, S.CANCELLED):
        for evidence in SEEN:
            assert advance(state, evidence) in FINAL


@pytest.mark.parametrize(
    ("status", "evidence"),
    [
        ("COMPLETE", E.SEEN_FILLED),
        ("CANCELLED", E.SEEN_CANCELLED),
        ("CANCELLED AMO", E.SEEN_CANCELLED),
        ("REJECTED", E.SEEN_REJECTED),
        ("TRIGGER PENDING", E.SEEN_RESTING),
        ("OPEN", E.SEEN_OPEN),
        ("PUT ORDER REQ RECEIVED", E.SEEN_PENDING),
        ("MODIFY PENDING", E.SEEN_PENDING),
        ("NOT MODIFIED", E.SEEN_PENDING),
        ("UPDATE", E.SEEN_PENDING),
        ("A WORD NOBODY KNOWS YET", E.SEEN_PENDING),
    ],
)
def test_the_brokers_words(status: str, evidence: Evidence) -> None:
    assert evidence_of(status) is evidence
