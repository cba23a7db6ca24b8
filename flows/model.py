"""One LightGBM booster over the three classes, and from its probabilities to expected results.

The same rows, seed and recipe give the same text, byte for byte: one thread, fixed seeds, and
LightGBM's deterministic row-wise histograms. Probabilities are served as the booster gives them:
no calibration is applied, it is measured (docs/validation.md); the payoff table carries how much
of the spread of expected results has held out of sample.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.errors import SettingRefused
from bentos.decision import CLASSES, Payoff, Rule, decide_side

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FIXED: Mapping[str, Any] = {
    "objective": "multiclass",
    "num_class": len(CLASSES),
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
# Few leaves, many rows a leaf, slow: daily candles hold about 3,000 independent observations.
CAUTIOUS: Mapping[str, Any] = {
    "learning_rate": 0.03,
    "num_leaves": 7,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "max_bin": 63,
}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "champion": CAUTIOUS,
    "challenger": {**CAUTIOUS, "num_leaves": 15, "learning_rate": 0.02, "feature_fraction": 0.35},
}
# How far the spread of expected results is believed. Never quite 0: scores keep their order.
BELIEF_MIN, BELIEF_MAX = 0.02, 1.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a booster is made.

    Parameters
    ----------
    params : mapping
        LightGBM's, besides `FIXED`.
    rounds_min, rounds_max : int
        Early stopping chooses in between. The least number keeps scores distinct where there
        is nothing to learn; at these learning rates its cost in log-loss is below 0.1 %.
    patience : int
        Rounds without improvement on the tuning slice.
    """

    params: Mapping[str, Any] = field(default_factory=lambda: dict(CAUTIOUS))
    rounds_min: int = 20
    rounds_max: int = 300
    patience: int = 40

    def told(self) -> dict[str, Any]:
        """Return the recipe as a document: what `version.json` and the trial ledger know it by."""
        return {
            "params": dict(sorted(self.params.items())),
            "rounds_min": self.rounds_min,
            "rounds_max": self.rounds_max,
            "patience": self.patience,
        }


def preset(name: str) -> Recipe:
    """Return a recipe by name.

    Raises
    ------
    agent.errors.SettingRefused
        If there is none of that name.
    """
    if name not in PRESETS:
        raise SettingRefused(
            "--preset", given=name, allowed=" or ".join(PRESETS), fix="choose one of these"
        )
    return Recipe(dict(PRESETS[name]))


def recipe_of(document: Mapping[str, Any], *, source: str) -> Recipe:
    """Return the recipe of a document (`told`, or a `--params` file as a mapping).

    Raises
    ------
    agent.errors.SettingRefused
        If a key is unknown or would break what is promised (threads, objective, determinism).
    """
    known = {"params", "rounds_min", "rounds_max", "patience"}
    unknown = sorted(set(document) - known)
    params = document.get("params", {})
    if unknown or not isinstance(params, Mapping):
        raise SettingRefused(
            f"{source}",
            given=", ".join(unknown) or "params that is no table",
            allowed="a [params] table, rounds_min, rounds_max, patience",
            fix="put LightGBM's parameters under [params]",
        )
    fixed = sorted(set(params) & set(FIXED))
    if fixed:
        raise SettingRefused(
            f"{source} params.{fixed[0]}",
            given=params[fixed[0]],
            allowed=f"{FIXED[fixed[0]]} (fixed: same data, same bytes)",
            fix="remove it",
        )
    numbers = {key: document[key] for key in known - {"params"} if key in document}
    for key, value in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SettingRefused(
                f"{source} {key}", given=value, allowed="at least 1", fix="raise it"
            )
    made = Recipe(dict(CAUTIOUS) | dict(params), **numbers)
    if made.rounds_min > made.rounds_max:
        raise SettingRefused(
            f"{source} rounds_min",
            given=made.rounds_min,
            allowed=f"at most rounds_max = {made.rounds_max}",
            fix="lower rounds_min or raise rounds_max",
        )
    return made


def parse_recipe(text: str, *, source: str) -> Recipe:
    """Read a recipe from TOML.

    Raises
    ------
    agent.errors.SettingRefused
        If it is no TOML or no recipe.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise SettingRefused(source, given=str(fault), allowed="TOML", fix="mend that line") from (
            fault
        )
    return recipe_of(document, source=source)


@dataclass(frozen=True, slots=True)
class Rows:
    """What a booster is fitted on, or predicts.

    Parameters
    ----------
    x : float64 array of shape (n, n_features), NaN where unknown
    y : int64 array of shape (n,), the class
    weight : float64 array of shape (n,)
    """

    x: Floats
    y: Ints
    weight: Floats

    def at(self, rows: Ints) -> Rows:
        """Return some of the rows."""
        return Rows(self.x[rows], self.y[rows], self.weight[rows])


@dataclass(frozen=True, slots=True)
class Fitted:
    """A booster, how many rounds it has, and the class shares of the rows it has seen."""

    booster: Any
    rounds: int
    prior: Floats

    def text(self) -> str:
        """Return the booster in LightGBM's text format."""
        return str(self.booster.model_to_string(num_iteration=self.rounds))

    def predict(self, x: Floats) -> Floats:
        """Return probabilities, float64 of shape (n, 3), in the order of `CLASSES`."""
        p = self.booster.predict(x, num_iteration=self.rounds, num_threads=1)
        return np.asarray(p, dtype=np.float64)


def fit(
    rows: Rows,
    names: list[str],
    recipe: Recipe,
    *,
    seed: int,
    tune: Rows | None = None,
    rounds: int | None = None,
) -> Fitted:
    """Fit a booster; with `tune` the rounds are chosen on it, else `rounds` are made.

    Raises
    ------
    agent.errors.SettingRefused
        If LightGBM refuses a parameter, or a class never comes in the rows.
    """
    import lightgbm as lgb

    shares = np.bincount(rows.y, rows.weight, minlength=len(CLASSES)) / rows.weight.sum()
    if (shares == 0).any():
        missing = [CLASSES[k] for k in np.flatnonzero(shares == 0)]
        raise SettingRefused(
            "labels",
            given=f"{len(rows.y)} rows, none of class {', '.join(missing)}",
            allowed="every class among the training rows",
            fix="take a longer history, or a policy whose stop and target are within reach",
        )
    params = {**recipe.params, **FIXED, "seed": seed}
    try:
        data = lgb.Dataset(rows.x, rows.y, weight=rows.weight, feature_name=names, params=params)
        if tune is None:
            booster = lgb.train(params, data, num_boost_round=rounds or recipe.rounds_min)
            return Fitted(booster, rounds or recipe.rounds_min, shares)
        stop = lgb.early_stopping(recipe.patience, first_metric_only=True, verbose=False)
        booster = lgb.train(
            params,
            data,
            num_boost_round=recipe.rounds_max,
            valid_sets=[data.create_valid(tune.x, tune.y, weight=tune.weight)],
            callbacks=[stop],
            keep_training_booster=True,  # else the rounds after the best are cut away
        )
    except lgb.basic.LightGBMError as fault:
        raise SettingRefused(
            "LightGBM parameters",
            given=str(fault),
            allowed="parameters that LightGBM takes",
            fix="mend --params",
        ) from fault
    best = booster.best_iteration or booster.current_iteration()
    made = min(max(best, recipe.rounds_min), booster.current_iteration())
    return Fitted(booster, made, shares)


def payoff_of(p: Floats, rows: Rows, r_long: Floats, r_short: Floats) -> Payoff:
    """Return the payoff table from predictions on rows that the model has not seen.

    The mean result of each side in each class, drawn toward the side's overall mean by how much
    of the predicted spread came true (the slope of result on expected result, between
    `BELIEF_MIN` and `BELIEF_MAX`). As probabilities sum to 1 this stays a table:
    `er = sum of p(class) * table[class]`.

    Parameters
    ----------
    p : float64 array of shape (n, 3)
    rows : Rows
    r_long, r_short : float64 array of shape (n,), R after charges
    """
    sides = [_table(p, rows, r) for r in (r_long, r_short)]
    return Payoff(r_long=sides[0], r_short=sides[1])


def _table(p: Floats, rows: Rows, r: Floats) -> list[float]:
    w = rows.weight
    centre = float((r * w).sum() / w.sum())
    total = np.bincount(rows.y, w, len(CLASSES))
    means = np.bincount(rows.y, w * r, len(CLASSES)) / np.where(total > 0, total, 1.0)
    means = np.where(total > 0, means, centre)
    expected = p @ means
    middle = float((expected * w).sum() / w.sum())
    varied = float((w * (expected - middle) ** 2).sum())
    together = float((w * (expected - middle) * (r - centre)).sum())
    belief = float(np.clip(together / varied, BELIEF_MIN, BELIEF_MAX)) if varied > 0 else BELIEF_MIN
    return [float(value) for value in centre + belief * (means - middle)]


def expected(p: Floats, payoff: Payoff) -> tuple[Floats, Floats]:
    """Return the expected results of LONG and SHORT in R, each float64 of shape (n,)."""
    return p @ np.asarray(payoff["r_long"]), p @ np.asarray(payoff["r_short"])


def sides(p: Floats, payoff: Payoff, rule: Rule) -> Ints:
    """Return what the rule says to each row: +1 LONG, -1 SHORT, 0 HOLD."""
    words = {"BUY": 1, "SELL": -1, "HOLD": 0}
    said = [words[decide_side(tuple(row), payoff, rule).side] for row in p.tolist()]
    return np.array(said, dtype=np.int64)


def top_share_rule(p: Floats, payoff: Payoff, share: float) -> Rule:
    """Return the rule that takes this share of the decisions on each side, by these scores."""
    er_long, er_short = expected(p, payoff)
    return Rule(
        kind="top_share",
        share=share,
        er_long_at_least=float(np.quantile(er_long, 1 - share)),
        er_short_at_least=float(np.quantile(er_short, 1 - share)),
    )
