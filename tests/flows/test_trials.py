"""The ledger counts a recipe once, keeps its count for good, and fits into one tag."""

from __future__ import annotations

import numpy as np
import pytest

from flows import trials


def test_a_recipe_counts_once_and_the_variance_is_that_of_all() -> None:
    text: str | None = None
    ratios = np.random.default_rng(1).normal(0, 0.05, 40)
    for _ in range(2):  # a repetition is no new trial
        for i, ratio in enumerate(ratios):
            text = trials.counted(text, "a/day", {trials.trial_key({"n": i}): float(ratio)})
    known = trials.read(text, "a/day")
    assert known.count == 40
    assert known.variance == pytest.approx(ratios.var(ddof=1))
    assert trials.read(text, "b/day") == trials.Trials(0, None)


def test_many_at_once_as_one_after_another() -> None:
    many = {f"{i:08x}": i / 10 for i in range(5)}
    at_once = trials.read(trials.counted(None, "a", many), "a")
    text: str | None = None
    for key, ratio in many.items():
        text = trials.counted(text, "a", {key: ratio})
    one_by_one = trials.read(text, "a")
    assert (at_once.count, at_once.variance) == (
        one_by_one.count,
        pytest.approx(one_by_one.variance),
    )


def test_a_recipe_without_a_trade_is_still_a_trial() -> None:
    text = trials.counted(None, "a", {"x": float("nan"), "y": 0.2})
    assert trials.read(text, "a").count == 2


def test_the_tag_forgets_names_never_counts() -> None:
    text: str | None = None
    for lineage in range(6):
        many = {f"{lineage:02x}{i:06x}": 0.1 for i in range(900)}
        text = trials.counted(text, f"set{lineage}/day", many)
        assert len(text) <= trials.CHARACTERS_MAX
    assert [trials.read(text, f"set{i}/day").count for i in range(6)] == [900] * 6


def test_another_recipe_has_another_key() -> None:
    keys = {trials.trial_key({"a": 1, "b": 2}), trials.trial_key({"b": 2, "a": 1})}
    assert len(keys) == 1
    assert trials.trial_key({"a": 1, "b": 3}) not in keys
