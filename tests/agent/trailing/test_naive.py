"""The engine against a second one, naive and exact, over random policies and paths.

Through the command line: the policy's text, the file's text, the printed lines. Illegal policies
must be refused naming the keys that the naive engine names.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agent.trailing import cases
from tests.agent.trailing.compare import differences, expected

SEEDS = st.integers(0, 2**32 - 1).map(Random)
PATHS = ("pessimistic", "optimistic", "colour")


def legal(draw: Random, *, candles: bool) -> cases.Case:
    """A case that both engines run to its end; the first draw that is one."""
    for _ in range(20):
        case = cases.case(draw, candles=candles)
        if isinstance(expected(case), list):
            break
    return case


@given(SEEDS)
@settings(max_examples=220)
def test_ticks_agree_with_the_naive_engine(tmp_path: Path, draw: Random) -> None:
    assert differences(legal(draw, candles=False), tmp_path) == ""


@given(SEEDS, st.sampled_from(PATHS))
@settings(max_examples=160)
def test_candles_agree_with_the_naive_engine(tmp_path: Path, draw: Random, path: str) -> None:
    assert differences(legal(draw, candles=True), tmp_path, path) == ""


@given(SEEDS)
@settings(max_examples=200)
def test_spoiled_policies_are_refused_by_key(tmp_path: Path, draw: Random) -> None:
    assert differences(cases.case(draw, wild=True), tmp_path) == ""


@pytest.mark.parametrize("candles", [False, True])
def test_the_drawn_cases_reach_every_kind_of_line(candles: bool) -> None:
    """A comparison that never sees a target, an ambiguity or a rejected row proves little."""
    seen = set()
    for seed in range(60):
        case = legal(Random(seed), candles=candles)
        lines = expected(case)
        assert isinstance(lines, list)
        seen |= {line.get("reason", line["event"]) for line in lines}
        seen |= {"ambiguous" for line in lines if line.get("ambiguous", 0) > 0}
    wanted = {"open", "trail", "stop", "target", "end", "rejected"}
    assert seen >= (wanted | {"band", "ambiguous"} if candles else wanted)
