"""LightGBM through its C library: the numbers of the package, without the package."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bentos.booster import Booster, BoosterRefused
from bentos.features import FEATURES, features_over
from tests.bentos.bundles import booster_text
from tests.bentos.candles import walk

NAMES = tuple(f.name for f in FEATURES)
ROOT = Path(__file__).resolve().parents[2]


def test_the_library_answers_as_the_package_does_bit_for_bit() -> None:
    import lightgbm as lgb

    text = booster_text(3, 20)
    rows = features_over(walk(200, 8))[59:]
    rows[5, 3] = rows[7, :] = np.nan
    theirs = lgb.Booster(model_str=text).predict(rows, num_threads=1)
    booster = Booster(text.encode(), NAMES)
    np.testing.assert_array_equal(booster.probabilities(rows), theirs)
    scorer = booster.scorer()
    np.testing.assert_array_equal([scorer.probabilities(row) for row in rows], theirs)


def test_scorers_do_not_share_buffers_and_outlive_their_booster() -> None:
    row = features_over(walk(60, 8))[-1]
    one, other = Booster(booster_text(1).encode(), NAMES), Booster(booster_text(2).encode(), NAMES)
    first, second = one.scorer(), other.scorer()
    expected = first.probabilities(row)
    del one, other
    assert second.probabilities(row) != expected
    assert first.probabilities(row) == expected


def test_scoring_leaves_nothing_for_the_garbage_collector() -> None:
    """A cycle a call adds up to a pause of tens of milliseconds within minutes."""
    booster = Booster(booster_text(1).encode(), NAMES)
    scorer, rows = booster.scorer(), features_over(walk(64, 8))[59:]
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            booster.probabilities(rows)
            scorer.probabilities(rows[0])
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (NAMES[1:], "44 features; the manifest names 43"),
        ((*NAMES[:-1], "other"), "feature 43 is since_open; the manifest says other"),
    ],
)
def test_another_model_than_the_manifest_says_is_refused(names: tuple[str, ...], told: str) -> None:
    with pytest.raises(BoosterRefused, match=told):
        Booster(booster_text().encode(), names)


def test_two_classes_are_refused() -> None:
    import lightgbm as lgb

    draw = np.random.default_rng(0)
    data = lgb.Dataset(draw.normal(size=(200, 3)), draw.integers(0, 2, 200))
    params = {"objective": "binary", "num_threads": 1, "verbose": -1}
    text = lgb.train(params, data, num_boost_round=1).model_to_string()
    with pytest.raises(BoosterRefused, match="1 classes; expected 3"):
        Booster(text.encode(), ("a", "b", "c"))


def test_a_text_that_is_no_model_is_refused() -> None:
    with pytest.raises(BoosterRefused):
        Booster(b"not a model", NAMES)


def test_serving_imports_neither_the_package_nor_mlflow() -> None:
    """They would add 0.2 GB and the pauses that make the worst latencies."""
    heavy = ("lightgbm", "scipy", "sklearn", "pandas", "mlflow", "prefect")
    code = (
        "import sys, bentos.service\n"
        "from bentos.booster import _library; _library()\n"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
