"""The bulk path is the step function: event for event, over random legal policies and paths."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.trailing.bulk import search
from agent.trailing.policy import Policy
from flows.sweep.kernels import Kernels, kernels, shipped
from tests.agent.trailing.bulk import pairs

ROOT = Path(__file__).resolve().parents[4]
CASES = 1500


@pytest.fixture(scope="module")
def loops() -> Kernels:
    return kernels()


@pytest.mark.parametrize("part", [pairs.ticks_part, pairs.candles_part])
def test_seeded_positions_agree_event_for_event(loops: Kernels, part) -> None:
    told = Counter()
    for seed in range(CASES):
        said = part(loops, seed)
        assert said == "" or said.startswith("refused"), said
        told[said] += 1
    # most are compared, some entries are refused by both, few scales are too fine
    assert told[""] > 0.6 * CASES
    assert 0 < told["refused: entry"] < 0.35 * CASES
    assert 0 < told["refused: scale"] < 0.05 * CASES


@settings(max_examples=150)
@given(st.integers(0, 2**32 - 1))
def test_any_position_agrees_on_ticks(seed: int) -> None:
    said = pairs.ticks_part(kernels(), seed)
    assert said == "" or said.startswith("refused")


@settings(max_examples=150)
@given(st.integers(0, 2**32 - 1))
def test_any_position_agrees_on_candles(seed: int) -> None:
    said = pairs.candles_part(kernels(), seed)
    assert said == "" or said.startswith("refused")


def test_a_wrong_level_would_be_found(loops: Kernels) -> None:
    class OneTickOff:
        always_in = loops.always_in
        over_candles = loops.over_candles

        @staticmethod
        def over_ticks(*arguments) -> None:
            loops.over_ticks(*arguments)
            trace = arguments[10]
            trace[0, trace[0] > -(2**63)] += 1

    said = [pairs.ticks_part(OneTickOff(), seed) for seed in range(30)]
    assert any("levels" in one for one in said)


def test_always_in_is_one_position_after_another(loops: Kernels) -> None:
    prices = (2000 + np.cumsum(np.random.default_rng(7).integers(-3, 4, 5000))).astype(np.int64)
    plain, guarded = (
        'mode = "percent"\nstop = "1%"\nshare = 1\n',
        'mode = "percent"\nstop = "1%"\nshare = 0.5\ntarget = "2%"\nlock = "0.1%"\nfollow = 0.5\n',
    )
    none = search.Atr(np.zeros(0, np.int64), np.zeros(0, np.int64))
    for text in (plain, guarded):
        for sign in (1, -1):
            vector = pairs.Pair(
                text, Policy.parse(text), pairs.Side.LONG, "0.05", 1, 2000, 0
            ).vector(int(prices.min()), int(prices.max()), 0)
            chain = search.always_in(loops, vector, prices, sign=sign, atr=none)
            n = len(chain)
            entry = prices[chain[:, 0]]
            alone = search.over_ticks(
                loops, vector, prices,
                search.Positions(
                    np.full(n, sign), entry, chain[:, 0] + 1, np.full(n, len(prices)),
                    np.zeros(n, np.int64), np.zeros((n, 2), np.int64),
                ),
                none,
            )  # fmt: skip
            assert n > 10
            assert chain[:, 1].tolist() == alone.index.tolist()
            assert chain[:, 2].tolist() == alone.reason.tolist()
            assert chain[1:, 0].tolist() == (chain[:-1, 1] + 1).tolist()


def test_the_shipped_code_is_that_of_these_sources() -> None:
    made = shipped()
    assert made is not None, "run: python -m flows.sweep.build_kernels"
    assert made.made == "shipped"


def test_the_sources_agree_too_where_nothing_is_compiled() -> None:
    """The kernels' own Python, without numba's compiler: the text that people read."""
    run = subprocess.run(
        [sys.executable, "-c", (
            "from flows.sweep.kernels import by_numba\n"
            "from tests.agent.trailing.bulk import pairs\n"
            "for part in (pairs.ticks_part, pairs.candles_part):\n"
            "    for seed in range(40):\n"
            "        said = part(by_numba(), seed)\n"
            "        assert said == '' or said.startswith('refused'), said\n"
        )],
        cwd=ROOT, env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
