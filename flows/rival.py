"""Is the new recipe better than the champion's, on the same days: a paired comparison.

Two questions. The champion's RECIPE, refitted in the same folds: were its parameters better? And
the champion's BYTES, only on decisions after its own last training day: would it have been?
Information for whoever decides on a release; no gate reads it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import RatchetError
from bentos.booster import Booster, BoosterRefused
from bentos.bundle import BundleRefused, read_bundle
from flows.data.frame import days_of
from flows.model import recipe_of
from flows.registry import Registry
from flows.samples import Samples, feature_names
from flows.validation import scores
from flows.validation.bootstrap import day_counts
from flows.validation.forecast import Forecast
from flows.validation.walk import Entries, Tell, Walked, walk

DAYS_MIN = 20


def against_champion(
    registry: Registry, name: str, samples: Samples, walked: Walked, run: dict[str, Any], tell: Tell
) -> dict[str, Any] | None:
    """Compare with the champion of the traffic plan; None where there is none.

    Parameters
    ----------
    registry : Registry
    name : str
    samples, walked : of the new recipe
    run : dict
        `recipe` (as told), `folds`, `seed`, `tmp` (a folder that may be written).
    tell : callable

    Returns
    -------
    dict with `version`, and `recipe` and `bytes`: the mean gain in log-loss of the new recipe
    over it with its error, or the sentence why there is none
    """
    plan = registry.plan(name)
    if plan is None:
        return None
    version = int(plan["champion"])
    text = registry.params(name, version).get("recipe")
    if text is None:
        recipe: Any = "the champion's recipe is not known"
    elif json.loads(text) == run["recipe"]:
        recipe = "the champion's recipe is the same"
    else:
        tell(f"the same folds with the recipe of the champion, version {version}")
        theirs = walk(
            samples,
            recipe_of(json.loads(text), source=f"recipe of version {version}"),
            folds=run["folds"],
            seed=run["seed"],
            entries=Entries(),
            tell=lambda _: None,
        )
        recipe = _paired(walked.forecast, theirs.forecast.p, run["seed"])
    try:
        folder = registry.fetch(name, version, Path(run["tmp"]) / f"champion-{version}")
        own = _bytes(folder, version, samples, walked.forecast, run["seed"])
    except (RatchetError, BundleRefused, BoosterRefused) as fault:
        own = f"the champion cannot score these rows: {fault}"
    return {"version": version, "recipe": recipe, "bytes": own}


def _bytes(folder: Path, version: int, samples: Samples, f: Forecast, seed: int) -> Any:
    files = read_bundle(folder, version)
    through = str(files.manifest.said["trained_through"])
    days, place = np.unique(f.day, return_inverse=True)
    later = np.array([on.isoformat() > through for on in days_of(days)])
    if later.sum() < DAYS_MIN:
        return (
            f"{int(later.sum())} tested days after {through}, its last training day; "
            f"{DAYS_MIN} are needed"
        )
    rows = np.flatnonzero(later[place])
    places = [feature_names().index(name) for name in files.manifest.features]
    booster = Booster(files.model_text, files.manifest.features)
    p = booster.probabilities(samples.x[f.row[rows]][:, places])
    return _paired(_at(f, rows), p, seed)


def _at(f: Forecast, rows: Any) -> Forecast:
    return Forecast(
        f.p[rows], f.prior[rows], f.y[rows], f.r_long[rows], f.r_short[rows], f.lean[rows],
        f.weight[rows], f.day[rows], f.row[rows],
    )  # fmt: skip


def _paired(ours: Forecast, theirs: Any, seed: int) -> dict[str, float]:
    """Return the mean daily gain in log-loss over the other's probabilities, and its error."""
    gain = scores.log_losses(theirs, ours.y) - scores.log_losses(ours.p, ours.y)
    _, index = np.unique(ours.day, return_inverse=True)
    daily = np.bincount(index, gain * ours.weight) / np.bincount(index, ours.weight)
    means = (day_counts(len(daily), seed=seed) * daily).mean(axis=1)
    return {"gain": float(daily.mean()), "error": float(means.std(ddof=1)), "days": len(daily)}
