"""The modification budget: spent where it counts, flushed when quiet, never the 26th call."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.trailing.planner import (
    KEEP,
    REPLACE,
    SEND,
    WAIT,
    PlacedStop,
    answered,
    budget_for,
    decide,
    place,
)
from tests.agent.trailing.paths import LONG, SHORT, plan

P = 'mode = "percent"\nstop = "1"\nshare = 0.5\n'
SEEDS = st.integers(0, 2**32 - 1).map(Random)


def test_the_budget_of_a_policy() -> None:
    budget = budget_for(plan(P + '[planner]\nbuffer = "0.12"\nmodifications = 20\nreserve = 4\n'))
    assert (budget.risk_ticks, budget.spendable, budget.buffer_ticks) == (20, 16, 2)
    assert budget.placed_for(180) == 178
    short = budget_for(plan(P + '[planner]\nbuffer = "0.1"\n', SHORT))
    assert short.placed_for(220) == 222
    assert budget_for(plan(P), modifications=2).spendable == 0


#  id, moves used, desired, milliseconds since the last change, action
TABLE = [
    ("nothing pending", 0, 180, 0, KEEP),
    ("a looser stop is never sent", 0, 170, 0, KEEP),
    ("worth a step of the whole budget", 0, 181, 0, SEND),
    ("too small for half a budget", 11, 181, 0, WAIT),
    ("worth a step of half a budget", 11, 182, 0, SEND),
    ("the last move must be worth the whole risk", 21, 199, 0, WAIT),
    ("the last move", 21, 200, 0, SEND),
    ("quiet: flushed however small", 11, 181, 4000, SEND),
    ("quiet, and the last move", 21, 181, 44_000, SEND),
    ("at the end of the budget", 22, 200, 0, REPLACE),
    ("at the end, quiet", 22, 181, 44_000, REPLACE),
    ("at the end, small and not quiet", 22, 181, 100, WAIT),
]


def test_each_row_of_the_table() -> None:
    budget = budget_for(plan(P))
    for name, used, desired, since, action in TABLE:
        order = PlacedStop(180, used, max(180, desired), changed_ms=1000)
        _, decision = decide(budget, order, desired, 1000 + since)
        assert decision.action == action, name
        assert decision.why, name


def test_one_call_in_flight_and_a_lost_one_counts() -> None:
    budget = budget_for(plan(P))
    order, sent = decide(budget, place(budget, 180), 185, 0)
    assert (sent.action, sent.level, order.used, order.in_flight) == (SEND, 185, 1, 185)
    order, waits = decide(budget, order, 190, 10)
    assert (waits.action, waits.wake_ms) == (WAIT, None)
    refused = answered(order, applied=False)
    assert (refused.placed, refused.used) == (180, 1)
    applied = answered(order, applied=True)
    assert applied.placed == 185
    _, later = decide(budget, applied, 190, 20)
    assert (later.action, later.level) == (SEND, 190)


def test_a_spent_day_makes_the_step_larger() -> None:
    budget = budget_for(plan(P))
    order = place(budget, 180)
    assert decide(budget, order, 182, 0)[1].action == SEND
    assert decide(budget, order, 182, 0, day_left=0.1)[1].action == WAIT
    assert decide(budget, order, 182, 0, day_left=0)[1].action == WAIT


@given(SEEDS, st.sampled_from([LONG, SHORT]), st.integers(0, 25))
@settings(max_examples=150)
def test_never_more_calls_than_the_budget_and_the_last_value_is_flushed(draw, side, whole) -> None:
    made = plan(P, side, entry="1000")
    budget = budget_for(made, modifications=whole)
    order, now, desired, wake = place(budget, made.stop), 0, made.stop, None
    for _ in range(300):
        now += draw.choice([10, 300, 900, 2500])
        if draw.random() < 0.6:
            desired += side.sign * draw.randint(0, 3)
        placed = order.placed
        order, decision = decide(budget, order, desired, now)
        wake = decision.wake_ms
        if decision.action == SEND:
            order = answered(order, applied=draw.random() < 0.9)
        assert order.used <= max(0, whole - 3)
        assert side.sign * (order.placed - placed) >= 0, "the placed stop never moves back"
        assert side.sign * (desired - order.placed) >= 0, "nor is it ever before the desired one"
    for _ in range(4):  # wait, send or replace, and nothing is left
        now = wake if wake is not None else now
        order, decision = decide(budget, order, desired, now)
        wake = decision.wake_ms
        if decision.action == SEND:
            order = answered(order, applied=True)
        if decision.action == REPLACE:
            order = place(budget, desired)
    assert order.placed == desired, "the last pending value is flushed once it is quiet"
