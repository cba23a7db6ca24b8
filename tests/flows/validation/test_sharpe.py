"""Deflated Sharpe by its paper's own example; overfitting found where it is planted."""

from __future__ import annotations

import numpy as np
import pytest

from flows.validation.sharpe import (
    deflated_sharpe,
    luckiest_sharpe,
    moments,
    overfitting_probability,
    probabilistic_sharpe,
    sharpe,
)


def test_the_papers_numerical_example() -> None:
    # Bailey and Lopez de Prado (2014), pp. 9-10: 100 trials, annual variance 1/2, 1,250 days,
    # annual Sharpe 2.5, skewness -3, kurtosis 10
    luck = luckiest_sharpe(100, 0.5 / 250)
    assert luck == pytest.approx(0.1132, abs=5e-5)
    observed = 2.5 / np.sqrt(250)
    assert probabilistic_sharpe(observed, 1250, -3, 10, luck) == pytest.approx(0.9004, abs=5e-5)
    # and its remark: with 46 trials only, the strategy would still be believed at 95 %
    fewer = luckiest_sharpe(46, 0.5 / 250)
    assert probabilistic_sharpe(observed, 1250, -3, 10, fewer) == pytest.approx(0.9505, abs=5e-4)


def test_more_trials_are_believed_less() -> None:
    returns = np.random.default_rng(1).normal(0.12, 1, 500)
    said = [deflated_sharpe(returns, trials=n, variance=1 / 500) for n in (1, 2, 10, 100)]
    assert said == sorted(said, reverse=True)
    assert said[0] > 0.95 > said[-1]


@pytest.mark.parametrize("returns", [np.zeros(10), np.array([1.0, 2.0]), np.ones(50)])
def test_what_does_not_vary_has_no_sharpe(returns: np.ndarray) -> None:
    assert np.isnan(sharpe(returns))
    assert np.isnan(deflated_sharpe(returns, trials=3, variance=0.1))


def test_moments_of_a_normal() -> None:
    skew, kurtosis = moments(np.random.default_rng(2).normal(size=200_000))
    assert (skew, kurtosis) == (pytest.approx(0, abs=0.02), pytest.approx(3, abs=0.05))


def test_the_best_of_noise_is_overfitted_and_a_real_one_is_not() -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(600, 30))
    found = np.mean([overfitting_probability(rng.normal(size=(600, 30))) for _ in range(5)])
    assert 0.3 < found < 0.7
    noise[:, 4] += 0.4
    assert overfitting_probability(noise) < 0.02


def test_sums_of_blocks_equal_the_slow_way() -> None:
    from itertools import combinations

    returns = np.random.default_rng(4).normal(size=(120, 7))
    parts = np.array_split(returns, 4)
    below = []
    for chosen in combinations(range(4), 2):
        inside = np.concatenate([parts[i] for i in chosen])
        outside = np.concatenate([parts[i] for i in range(4) if i not in chosen])
        ratio = [x.mean(axis=0) / x.std(axis=0) for x in (inside, outside)]
        best = int(np.argmax(ratio[0]))
        below.append((np.argsort(np.argsort(ratio[1]))[best] + 1) / 8 <= 0.5)
    assert overfitting_probability(returns, blocks=4) == np.mean(below)


@pytest.mark.parametrize(("shape", "blocks"), [((5, 3), 10), ((50, 1), 10), ((50, 3), 7)])
def test_what_cannot_be_split_is_refused(shape: tuple[int, int], blocks: int) -> None:
    with pytest.raises(ValueError, match="blocks"):
        overfitting_probability(np.zeros(shape), blocks=blocks)
