"""Turns: a burst is bounded at its full length, and models take turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from bentos.lanes import SHORT, TOGETHER_MAX, Lanes, coming
from bentos.problems import Problem


def test_what_is_past_the_bound_is_refused_at_once() -> None:
    async def burst() -> list[object]:
        lanes = Lanes(waiting_max=10, waiting_s_max=5)
        turns = [lanes.turn("a") for _ in range(25)]
        told = await asyncio.gather(*turns, return_exceptions=True)
        assert lanes.shed("a") == 15
        await lanes.turn("a")  # the line is empty again
        return list(told)

    told = asyncio.run(burst())
    refused = [one for one in told if isinstance(one, Problem)]
    assert len(refused) == 15
    assert {(one.kind, one.status, one.headers()["Retry-After"]) for one in refused} == {
        ("overloaded", 503, "1")
    }


def test_models_take_turns_and_a_short_line_is_served_within_the_round() -> None:
    async def two() -> list[str]:
        lanes, served = Lanes(waiting_max=50, waiting_s_max=5), []

        async def one(model: str) -> None:
            await lanes.turn(model)
            served.append(model)

        await asyncio.gather(
            *(one("flooded") for _ in range(40)), *(one("calm") for _ in range(2 + SHORT))
        )
        return served

    served = asyncio.run(two())
    calm = [i for i, model in enumerate(served) if model == "calm"]
    assert calm == [0, 2, *range(4, 4 + SHORT)]


def test_lines_of_one_length_take_turns() -> None:
    async def two() -> list[str]:
        lanes, served = Lanes(waiting_max=50, waiting_s_max=5), []

        async def one(model: str) -> None:
            await lanes.turn(model)
            served.append(model)

        await asyncio.gather(*(one(m) for m in ["a"] * 40 + ["b"] * 40))
        return served

    served = asyncio.run(two())
    for i in range(1, 81):
        ahead = served[:i].count("a") - served[:i].count("b")
        assert abs(ahead) <= SHORT + 1


def test_requests_that_are_coming_count_before_they_stand_in_line() -> None:
    async def run() -> None:
        lanes = Lanes(waiting_max=2, waiting_s_max=5)
        first, second = lanes.come("a"), lanes.come("a")
        assert lanes.refusal("a") is not None
        second.over()
        second.over()
        assert lanes.refusal("a") is None
        token = coming.set(first)
        with lanes.reading("a"):
            lanes.come("a")
            assert lanes.refusal("a") is None, "the one that came is counted as coming no more"
        coming.reset(token)

    asyncio.run(run())


def test_bodies_of_one_model_that_are_being_read_are_bounded() -> None:
    lanes = Lanes(waiting_max=5, waiting_s_max=5, reading_max=2)
    with lanes.reading("slow"), lanes.reading("slow"):
        with pytest.raises(Problem, match="2 bodies for model slow"), lanes.reading("slow"):
            raise AssertionError("it was let in")
        with lanes.reading("calm"):
            assert lanes.refusal("calm") is None
    assert lanes.refusal("slow") is None
    assert lanes.shed("slow") == 1


def test_one_models_flood_leaves_the_others_line_alone() -> None:
    async def flood() -> None:
        lanes = Lanes(waiting_max=2, waiting_s_max=5)
        told = await asyncio.gather(
            *(lanes.turn("flooded") for _ in range(9)), lanes.turn("calm"), return_exceptions=True
        )
        assert sum(isinstance(one, Problem) for one in told) == 7
        assert told[-1] is None

    asyncio.run(flood())


def test_a_turn_that_comes_too_late_is_refused() -> None:
    async def late() -> None:
        lanes = Lanes(waiting_max=10, waiting_s_max=0.01)

        async def slow() -> None:
            await lanes.turn("a")
            time.sleep(0.03)

        told = await asyncio.gather(slow(), lanes.turn("a"), return_exceptions=True)
        assert told[0] is None
        assert isinstance(told[1], Problem)

    asyncio.run(late())


def test_a_client_that_went_away_takes_no_turn() -> None:
    async def gone() -> None:
        lanes = Lanes(waiting_max=10, waiting_s_max=5)
        waiting = [asyncio.ensure_future(lanes.turn("a")) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        told = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(told[0], asyncio.CancelledError)
        assert told[1:] == [None, None]

    asyncio.run(gone())


def test_lines_start_again_after_they_were_empty() -> None:
    async def again() -> None:
        lanes = Lanes(waiting_max=2, waiting_s_max=5)
        for _ in range(5):
            await asyncio.wait_for(lanes.turn("a"), 2)

    asyncio.run(again())


class Group:
    """Waits, and takes a turn for itself and those of its kind."""

    def __init__(self, name: int, turns: list[list[int]], *, over: bool = False) -> None:
        self.name, self.turns, self.over = name, turns, over
        self.together = take_a_turn

    def go(self) -> None:
        raise AssertionError("it takes turns together only")

    def refuse(self, problem: Problem) -> None:
        raise AssertionError(problem)


def take_a_turn(several: Sequence[Group]) -> None:
    several[0].turns.append([one.name for one in several])


def test_those_that_can_be_answered_together_share_a_turn_up_to_a_bound() -> None:
    async def run() -> list[list[int]]:
        lanes, turns = Lanes(waiting_max=50, waiting_s_max=5), list[list[int]]()
        for i in range(TOGETHER_MAX + 3):
            lanes.stand("a", Group(i, turns, over=i == 1))
        await asyncio.wait_for(lanes.turn("a"), 2)  # is of another kind, and comes after them
        lanes.stand("a", Group(99, turns))
        await asyncio.wait_for(lanes.turn("a"), 2)
        return turns

    names = [i for i in range(TOGETHER_MAX + 3) if i != 1]
    assert asyncio.run(run()) == [names[:TOGETHER_MAX], names[TOGETHER_MAX:], [99]]


def test_no_turn_is_shared_while_another_model_is_asked() -> None:
    async def run() -> list[list[int]]:
        lanes, turns = Lanes(waiting_max=50, waiting_s_max=5), list[list[int]]()
        await lanes.turn("other")
        for i in range(TOGETHER_MAX):
            lanes.stand("a", Group(i, turns))
        await asyncio.wait_for(lanes.turn("a"), 2)
        return turns

    assert asyncio.run(run()) == [[i] for i in range(TOGETHER_MAX)]


def test_a_turn_that_goes_wrong_costs_the_others_nothing() -> None:
    class Broken:
        over, together = False, None

        def go(self) -> None:
            raise ZeroDivisionError

        def refuse(self, problem: Problem) -> None:
            raise AssertionError(problem)

    async def run() -> None:
        told: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: told.append(fault))
        lanes = Lanes(waiting_max=10, waiting_s_max=5)
        lanes.stand("a", Broken())
        for _ in range(2):
            await asyncio.wait_for(lanes.turn("a"), 2)
        assert [type(fault["exception"]) for fault in told] == [ZeroDivisionError]

    asyncio.run(run())


@pytest.mark.parametrize("model", ["a", "unseen"])
def test_nothing_was_shed_before_anything_was_asked(model: str) -> None:
    assert Lanes(1, 1).shed(model) == 0


def test_a_full_line_is_known_before_a_body_is_read() -> None:
    async def run() -> None:
        lanes = Lanes(2, 10)
        lanes.check("m")
        waiting = [asyncio.create_task(lanes.turn("m")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refused:
            lanes.check("m")
        assert refused.value.kind == "overloaded"
        assert lanes.shed("m") == 1
        lanes.check("other")
        await asyncio.gather(*waiting)
        lanes.check("m")

    asyncio.run(run())
