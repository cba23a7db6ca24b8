"""Evidently's report: the served features beside the training sample, as one offline page.

A picture, not the alarm: row-wise tests fire on quiet days (docs/monitoring.md). Only this file
imports Evidently, inside the function: the import alone costs 5-10 CPU seconds and 290 MB.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flows.data import durable

Floats = npt.NDArray[np.float64]

METHOD = "wasserstein"  # named: Evidently's default changes with the number of rows
DISTANCE_MAX = 0.3  # in standard deviations of the reference
ROWS_MIN = 20
REFERENCE_ROWS = 1_000
PAGE_BYTES_MAX = 7_000_000


@dataclass(frozen=True, slots=True)
class Picture:
    """What Evidently said.

    Parameters
    ----------
    distances : dict, per feature that had enough data
    drifted : names above `DISTANCE_MAX`, by Evidently's own test
    left_out : dict, per feature that had not, and why
    """

    distances: dict[str, float]
    drifted: list[str]
    left_out: dict[str, str]


def usable(names: Sequence[str], current: Floats, reference: Floats) -> dict[str, str]:
    """Return the features that Evidently cannot take, each with the reason.

    One empty column would lose the whole report, an infinite one would pass as unchanged.
    """
    why: dict[str, str] = {}
    for i, name in enumerate(names):
        now, then = current[:, i], reference[:, i]
        known, before = now[np.isfinite(now)], then[np.isfinite(then)]
        if len(before) < ROWS_MIN:
            why[name] = "no training sample"
        elif len(known) < ROWS_MIN:
            why[name] = f"{len(known)} served values, at least {ROWS_MIN} are needed"
        elif before.min() == before.max():
            why[name] = "the same value in all of training"
    return why


def draw(names: Sequence[str], current: Floats, reference: Floats, into: Path) -> Picture | None:
    """Write the report page.

    Parameters
    ----------
    names : features, the columns of both arrays
    current, reference : float64 arrays of shape (rows, n_features), NaN where missing
    into : Path
        The HTML file; appears whole or not at all.

    Returns
    -------
    Picture, or None where no feature had enough data (nothing is written then)
    """
    left_out = usable(names, current, reference)
    kept = [name for name in names if name not in left_out]
    if not kept:
        return None
    snapshot = _report(names, kept, current, reference)
    told: dict[str, Any] = snapshot.dict()
    distances = {
        metric["config"]["column"]: round(float(metric["value"]), 6)
        for metric in told["metrics"]
        if metric["config"]["type"].endswith(":ValueDrift")
    }
    drifted = sorted(
        test["metric_config"]["params"]["column"]
        for test in told["tests"]
        if test["status"].value == "FAIL" and "column" in test["metric_config"]["params"]
    )
    with durable.appearing(into) as temporary:
        snapshot.save_html(str(temporary))
    return Picture(distances, drifted, left_out)


def _report(names: Sequence[str], kept: list[str], current: Floats, reference: Floats) -> Any:
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    columns = [list(names).index(name) for name in kept]
    definition = DataDefinition(numerical_columns=kept)

    def dataset(x: Floats) -> Any:
        table = pd.DataFrame(x[:, columns], columns=kept)
        return Dataset.from_pandas(table.replace([np.inf, -np.inf], np.nan), definition)

    preset = DataDriftPreset(num_method=METHOD, num_threshold=DISTANCE_MAX)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, of numpy and pandas: nothing to act on
        return Report([preset], include_tests=True).run(dataset(current), dataset(reference))
