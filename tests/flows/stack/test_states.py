"""The life of a part is a table: every pair is either in it or refused, and changes nothing."""

from __future__ import annotations

import itertools

import pytest

from agent.errors import Broken
from flows.stack.states import NEXT, RUNNING, SERVING, Event, State, after, backoff_s


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_pair_is_in_the_table_or_refused(state: State, event: Event) -> None:
    if (state, event) in NEXT:
        assert after(state, event) is NEXT[state, event]
    else:
        with pytest.raises(Broken, match=f"{state.value}.*{event.value}"):
            after(state, event)


def test_whatever_a_part_does_it_can_be_stopped() -> None:
    for state in set(State) - {State.STOPPING, State.STOPPED}:
        reached = after(state, Event.STOP)
        assert reached is (State.STOPPING if state in RUNNING else State.STOPPED)
    assert after(State.STOPPING, Event.ENDED) is State.STOPPED
    assert not [pair for pair in NEXT if pair[0] is State.STOPPED]


def test_a_part_that_died_serves_again_only_through_a_start() -> None:
    state = after(after(State.DOWN, Event.DUE), Event.CLEARED)
    assert state is State.STARTING
    assert state not in SERVING
    assert after(state, Event.READY) in SERVING


def test_the_back_off_doubles_up_to_half_a_minute() -> None:
    waits = [backoff_s(n) for n in range(1, 12)]
    assert waits[:4] == [0.5, 1, 2, 4]
    assert waits == sorted(waits)
    assert waits[-1] == backoff_s(10_000) == 30
