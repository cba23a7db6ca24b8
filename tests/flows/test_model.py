"""Same rows, same bytes; expected results that do not promise more than has held."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import SettingRefused
from bentos.decision import decide_side
from flows import model
from flows.model import Recipe, Rows

NAMES = [f"f{i}" for i in range(5)]


def rows(n: int = 600, seed: int = 1) -> Rows:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(NAMES)))
    x[rng.random(x.shape) < 0.1] = np.nan
    y = (np.nan_to_num(x[:, 0]) + rng.normal(size=n) > 0).astype(np.int64) + (rng.random(n) < 0.3)
    return Rows(x, y, rng.uniform(0.5, 1.5, n))


SMALL = Recipe({**model.CAUTIOUS, "min_data_in_leaf": 20}, rounds_max=30, patience=5, rounds_min=5)


def test_the_same_rows_and_seed_give_the_same_bytes() -> None:
    texts = {model.fit(rows(), NAMES, SMALL, seed=7, tune=rows(seed=2)).text() for _ in range(2)}
    assert len(texts) == 1
    assert "[num_threads: 1]" in texts.pop()
    assert (
        model.fit(rows(), NAMES, SMALL, seed=8, rounds=10).text()
        != model.fit(rows(), NAMES, SMALL, seed=7, rounds=10).text()
    )


def test_rounds_are_at_least_the_least() -> None:
    rng = np.random.default_rng(3)
    noise = Rows(rng.normal(size=(400, 5)), rng.integers(0, 3, 400), np.ones(400))
    tune = Rows(rng.normal(size=(400, 5)), rng.integers(0, 3, 400), np.ones(400))
    fitted = model.fit(noise, NAMES, SMALL, seed=1, tune=tune)
    assert fitted.rounds >= SMALL.rounds_min
    p = fitted.predict(tune.x)
    assert p.shape == (400, 3)
    assert p.sum(axis=1) == pytest.approx(1.0)


def test_a_class_that_never_comes_is_named() -> None:
    one = rows()
    with pytest.raises(SettingRefused, match="none of class SHORT"):
        model.fit(Rows(one.x, np.minimum(one.y, 1), one.weight), NAMES, SMALL, seed=1, rounds=5)


BAD = [
    ("threads", "[params]\nnum_threads = 4", "params.num_threads"),
    ("objective", '[params]\nobjective = "binary"', "params.objective"),
    ("unknown", "leaves = 3", "leaves"),
    ("no TOML", "rounds_max = ", "found"),
    ("zero", "rounds_max = 0", "rounds_max"),
    ("crossed", "rounds_max = 5\nrounds_min = 6", "rounds_min"),
    ("text", 'patience = "long"', "patience"),
]


@pytest.mark.parametrize(("name", "text", "says"), BAD, ids=[row[0] for row in BAD])
def test_a_recipe_that_cannot_be_used_is_named(name: str, text: str, says: str) -> None:
    with pytest.raises(SettingRefused, match=says):
        model.parse_recipe(text, source="recipe.toml")


def test_a_parameter_that_lightgbm_refuses_is_named() -> None:
    recipe = model.parse_recipe("[params]\nnum_leaves = -3", source="recipe.toml")
    with pytest.raises(SettingRefused, match="LightGBM parameters"):
        model.fit(rows(), NAMES, recipe, seed=1, rounds=3)


def test_a_recipe_survives_being_told() -> None:
    for name in model.PRESETS:
        recipe = model.preset(name)
        assert model.recipe_of(recipe.told(), source="-") == recipe
    with pytest.raises(SettingRefused, match="champion or challenger"):
        model.preset("best")


def results(y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    noise = np.random.default_rng(seed).normal(0, 0.3, (2, len(y)))
    return np.array([-0.2, 0.8, -1.0])[y] + noise[0], np.array([-0.2, -1.0, 0.8])[y] + noise[1]


@given(seed=st.integers(0, 30))
def test_expected_results_are_right_on_average_and_keep_their_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([3, 3, 3], 500)
    y = rng.integers(0, 3, 500)  # unrelated to p: a model without skill
    r_long, r_short = results(y, seed)
    data = Rows(np.zeros((500, 1)), y, rng.uniform(0.5, 1.5, 500))
    payoff = model.payoff_of(p, data, r_long, r_short)
    er_long, er_short = model.expected(p, payoff)
    for er, r in ((er_long, r_long), (er_short, r_short)):
        assert (er * data.weight).sum() == pytest.approx((r * data.weight).sum())
    assert (np.argsort(er_long) == np.argsort(p @ np.array(payoff["r_long"]))).all()
    assert len(np.unique(er_long)) == 500
    assert er_long.std() < 0.1, "what did not hold out of sample is not promised"


def test_a_skilled_forecast_is_believed() -> None:
    rng = np.random.default_rng(5)
    p = rng.dirichlet([1, 1, 1], 5000)
    y = np.array([rng.choice(3, p=row) for row in p])
    r_long, r_short = results(y, 5)
    payoff = model.payoff_of(p, Rows(np.zeros((5000, 1)), y, np.ones(5000)), r_long, r_short)
    assert payoff["r_long"] == pytest.approx([-0.2, 0.8, -1.0], abs=0.06)
    assert payoff["r_short"] == pytest.approx([-0.2, -1.0, 0.8], abs=0.06)


@given(share=st.floats(0.05, 0.5), seed=st.integers(0, 20))
def test_the_top_share_trades_that_share_of_each_side_at_most(share: float, seed: int) -> None:
    p = np.random.default_rng(seed).dirichlet([3, 2, 2], 400)
    payoff = {"r_long": (-0.1, 0.4, -0.4), "r_short": (-0.1, -0.4, 0.4)}
    rule = model.top_share_rule(p, payoff, share)
    said = model.sides(p, payoff, rule)
    assert 0 < (said > 0).mean() <= share + 0.01
    assert 0 < (said < 0).mean() <= share + 0.01
    assert decide_side(tuple(p[0]), payoff, rule).side == {1: "BUY", -1: "SELL", 0: "HOLD"}[said[0]]
