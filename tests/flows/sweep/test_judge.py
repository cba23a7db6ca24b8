"""The warning: luck is called luck, skill is let through, and nothing is claimed from nothing."""

from __future__ import annotations

import numpy as np

from flows.sweep.judge import SUMS, judge, sums_by_day


def sums(net: np.ndarray, **more: int) -> dict[str, np.ndarray]:
    n = len(net)
    told = {name: np.zeros(n, np.int64) for name in SUMS}
    told |= {"entries": np.full(n, 100), "net_paise": net, "low_paise": net, "high_paise": net}
    return told | {name: np.full(n, value) for name, value in more.items()}


def noise(days: int, policies: int, seed: int, mean: float = 0.0) -> np.ndarray:
    draw = np.random.default_rng(seed).normal(mean, 1_000, (days, policies))
    return np.rint(draw).astype(np.int64)


def test_the_best_of_many_without_skill_is_called_luck() -> None:
    verdicts = []
    for seed in range(12):
        daily = noise(250, 100, seed)
        worth = judge(sums(daily.sum(axis=0)), daily, 100)
        verdicts.append(worth.verdict)
        assert abs(worth.luckiest_a_year - worth.sharpe_a_year[worth.order[0]]) < 1.5
    assert verdicts.count("more than luck") <= 2
    assert verdicts.count("luck") >= 10


def test_the_same_result_from_one_trial_would_have_been_skill() -> None:
    daily = noise(250, 200, 0)
    best = int(np.argmax(daily.sum(axis=0)))
    alone = judge(sums(daily[:, [best]].sum(axis=0)), daily[:, [best]], 1)
    assert alone.verdict == "more than luck"
    assert "is what chance would give" in judge(sums(daily.sum(axis=0)), daily, 200).warning


def test_skill_that_is_there_is_found() -> None:
    daily = noise(500, 50, 1)
    daily[:, 7] += 300
    worth = judge(sums(daily.sum(axis=0)), daily, 50)
    assert worth.order[0] == 7
    assert worth.verdict == "more than luck"
    assert worth.overfitting is not None
    assert worth.overfitting < 0.1


def test_more_trials_on_the_same_data_make_the_same_result_weaker() -> None:
    daily = noise(250, 50, 3, mean=120)
    few = judge(sums(daily.sum(axis=0)), daily, 50)
    many = judge(sums(daily.sum(axis=0)), daily, 5_000)
    assert many.deflated[many.order[0]] < few.deflated[few.order[0]]
    assert "5,000 policies" in many.warning


def test_a_loss_is_a_loss_and_two_days_are_too_short() -> None:
    losing = noise(100, 5, 4, mean=-500)
    assert judge(sums(losing.sum(axis=0)), losing, 5).verdict == "loses"
    short = np.abs(noise(2, 5, 5))
    worth = judge(sums(short.sum(axis=0)), short, 5)
    assert worth.verdict == "too short"
    assert worth.row(0)["sharpe_a_year"] is None


def test_a_result_whose_sign_hangs_on_unsure_exits_says_so() -> None:
    daily = noise(100, 3, 6, mean=400)
    told = sums(daily.sum(axis=0), low_paise=-5_000, high_paise=9_000)
    assert "exits that candles cannot show: Rs -0.50 to Rs 0.90" in judge(told, daily, 3).warning


def test_no_trade_at_all_divides_by_nothing() -> None:
    empty = sums(np.zeros(2, np.int64), entries=0)
    worth = judge(empty, np.zeros((0, 2), np.int64), 2)
    assert worth.verdict == "no trade"
    assert worth.row(0)["net_a_trade"] is None


def test_days_of_several_symbols_add_up() -> None:
    one = (np.array([5, 5, 6]), np.array([0, 1, 0]), np.array([1, 2, 3]))
    other = (np.array([6, 6]), np.array([0, 1]), np.array([10, 20]))
    days, total = sums_by_day([one, other], np.array([5, 6]), 2)
    assert days.tolist() == [5, 6]
    assert total.tolist() == [[1, 2], [13, 20]]
    assert sums_by_day([], np.zeros(0, int), 2)[1].shape == (0, 2)


def test_a_policy_that_fits_nowhere_is_no_better_than_one_that_loses() -> None:
    daily = noise(100, 3, 4, mean=-500)
    daily[:, 1] = 0
    told = sums(daily.sum(axis=0))
    told["entries"] = np.array([100, 0, 100])
    worth = judge(told, daily, 3)
    assert worth.order[-1] == 1
    assert worth.verdict == "loses"
    assert "No policy earned its costs: the best of 3 policies brought Rs -" in worth.warning
