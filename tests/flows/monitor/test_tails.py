"""The tails and the threshold: rarities mean what they say, and the promise is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flows.monitor import tails


def _days(seed: int, days: int, memory: float = 0.0, kind: str = "normal") -> Any:
    """Return 40 statistics over days, some alike, with a memory of days and a tail."""
    draw = np.random.default_rng(seed)
    shocks = draw.standard_normal((days, 40)) * 0.8 + draw.standard_normal((days, 1)) * 0.6
    x = np.empty_like(shocks)
    x[0] = shocks[0]
    for day in range(1, days):
        x[day] = memory * x[day - 1] + np.sqrt(1 - memory**2) * shocks[day]
    return {"normal": x, "heavy": np.sinh(1.5 * x), "light": np.tanh(x)}[kind]


FLOOR = np.full(40, 1e-3)


@pytest.mark.parametrize("kind", ["normal", "light", "heavy"])
def test_a_rarity_is_the_share_of_unseen_days_beyond_it(kind: str) -> None:
    fitted = tails.fit(_days(1, 2000, kind=kind), FLOOR)
    scores = fitted.scores(_days(2, 20_000, kind=kind))
    for score, chance in ((1.3, 0.05), (2.0, 0.01)):
        share = (scores >= score).mean()
        assert share < chance * 1.6
        # a tail is never taken for lighter than exponential: light ones are rarer than said
        assert kind == "light" or share > chance / 2


@pytest.mark.parametrize("memory", [0.0, 0.6])
@pytest.mark.parametrize("kind", ["normal", "heavy"])
def test_quiet_days_alarm_at_most_once_a_month_all_statistics_together(
    memory: float, kind: str
) -> None:
    rates = []
    for seed in range(6):
        seen, unseen = (_days(2 * seed + i, 500, memory, kind) for i in (0, 1))
        quiet = tails.quiet_scores(seen, FLOOR)
        peaks = tails.peaks(quiet)
        limit = tails.threshold((quiet / peaks).max(axis=1))
        over = (tails.fit(seen, FLOOR).scores(unseen) / peaks).max(axis=1) > limit
        rates.append(over.mean() * tails.MONTH_DAYS)
    assert np.mean(rates) <= 1.0
    assert np.mean(rates) > 0.0  # a threshold that nothing reaches would be no alarm


def test_the_same_days_give_the_same_threshold() -> None:
    scores = tails.quiet_scores(_days(1, 200), FLOOR).max(axis=1)
    assert tails.threshold(scores) == tails.threshold(scores)


def test_a_shift_that_stands_out_alarms_and_a_missing_value_does_not() -> None:
    seen = _days(1, 500)
    quiet = tails.quiet_scores(seen, FLOOR)
    peaks = tails.peaks(quiet)
    limit = tails.threshold((quiet / peaks).max(axis=1))
    fitted = tails.fit(seen, FLOOR)
    shifted = np.zeros((1, 40))
    shifted[0, 7] = 12.0
    over = fitted.scores(shifted) / peaks > limit
    assert over[0, 7]
    assert over.sum() == 1
    assert fitted.scores(np.full((1, 40), np.nan)).max() == 0.0


def test_a_statistic_that_never_moved_or_was_never_defined() -> None:
    values = np.stack([np.zeros(200), np.full(200, np.nan), np.arange(200.0)], axis=1)
    fitted = tails.fit(values, np.full(3, 1e-3))
    scores = fitted.scores(np.array([[0.0, 5.0, 10.0], [1.0, np.inf, 1e9]]))
    assert list(scores[0]) == [0.0, 0.0, 0.0]
    assert scores[1, 0] > 100  # any move of a constant
    assert scores[1, 1] == 0.0  # nothing is claimed
    assert scores[1, 2] > 3
