"""Nothing that teaches knows what it is tested on: the splitter's promises, on drawn lives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import SettingRefused
from flows.data.frame import DAY_MS
from flows.validation.split import Lives, purged, walk_forward


def lives_of(days: int, symbols: int, longest: int, seed: int) -> Lives:
    """Draw samples on weekdays-like gaps; a life lasts up to `longest` days."""
    rng = np.random.default_rng(seed)
    calendar = np.cumsum(rng.integers(1, 4, days)).astype(np.int64)
    day = np.tile(calendar, symbols)
    decided = day * DAY_MS - 1
    return Lives(day, decided, decided + 1 + rng.integers(1, longest * DAY_MS, len(day)))


@given(
    days=st.integers(90, 200), symbols=st.integers(1, 3), longest=st.integers(1, 12),
    folds=st.integers(2, 6), seed=st.integers(0, 99),
)  # fmt: skip
def test_what_teaches_has_ended_before_what_tests_begins(
    days: int, symbols: int, longest: int, folds: int, seed: int
) -> None:
    lives = lives_of(days, symbols, longest, seed)
    made = walk_forward(lives, folds=folds)
    assert len(made) == folds
    for fold in made:
        for before, after in ((fold.fit, fold.tune), (fold.fit, fold.test), (fold.tune, fold.test)):
            assert lives.exit_ms[before].max() <= lives.decided_ms[after].min()
            assert lives.day[before].max() < lives.day[after].min()
    tests = np.concatenate([fold.test for fold in made])
    assert len(np.unique(tests)) == len(tests), "a row is tested once"
    tested = np.unique(lives.day[tests])
    assert (tested == np.unique(lives.day)[-len(tested) :]).all(), "tests cover the last days"
    for fold in made:
        inside = np.isin(lives.day, np.unique(lives.day[fold.test]))
        assert inside.sum() == len(fold.test), "cut at days, for all symbols at once"


def test_only_lives_that_reach_into_the_test_are_purged() -> None:
    day = np.arange(100, dtype=np.int64)
    decided = day * DAY_MS
    exits = decided + DAY_MS // 2
    exits[60] = decided[72]
    fold = walk_forward(Lives(day, decided, exits), folds=2)[1]
    first = int(fold.test.min())
    taught = set(fold.fit.tolist()) | set(fold.tune.tolist())
    reaches = {i for i in range(first) if exits[i] > decided[first]}
    inner = {i for i in range(int(fold.tune.min())) if exits[i] > decided[fold.tune.min()]}
    assert taught == set(range(first)) - reaches - inner


def test_the_embargo_keeps_away_what_follows_a_test() -> None:
    day = np.arange(50, dtype=np.int64)
    lives = Lives(day, day * DAY_MS, day * DAY_MS + 1)
    test = (day >= 20) & (day < 30)
    assert np.flatnonzero(purged(lives, test, embargo_days=0)).tolist() == []
    assert np.flatnonzero(purged(lives, test, embargo_days=3)).tolist() == [30, 31, 32]


@pytest.mark.parametrize(("days", "folds"), [(35, 5), (500, 1), (3, 2)])
def test_too_short_a_history_says_what_is_needed(days: int, folds: int) -> None:
    lives = lives_of(days, 1, 1, 0)
    with pytest.raises(SettingRefused, match=r"found \d+ days for \d folds \(history too short\)"):
        walk_forward(lives, folds=folds)
