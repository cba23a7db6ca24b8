"""Small bundles for tests of the registry: a real booster, a version document, a policy."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from flows.bundle import Bundle, write_bundle

FEATURES = ("f0", "f1", "f2")


@cache
def booster_text(seed: int = 1) -> str:
    """Return the text of a tiny three-class booster."""
    import lightgbm as lgb

    rng = np.random.default_rng(seed)
    x = rng.normal(size=(300, len(FEATURES)))
    y = rng.integers(0, 3, size=300)
    params = {
        "objective": "multiclass", "num_class": 3, "num_threads": 1, "verbose": -1,
        "deterministic": True, "force_row_wise": True, "seed": seed, "num_leaves": 4,
    }  # fmt: skip
    data = lgb.Dataset(x, y, feature_name=list(FEATURES))
    return lgb.train(params, data, num_boost_round=3).model_to_string()


def make_bundle(folder: Path, *, seed: int = 1, **said: Any) -> Bundle:
    """Write a bundle; keyword arguments go into `version.json`."""
    version = {
        "name": "tiny",
        "interval": "day",
        "window": 60,
        "features": [{"name": name, "unit": "1", "look_back": 1, "why": "-"} for name in FEATURES],
        "features_sha256": "0" * 64,
        "classes": ["FLAT", "LONG", "SHORT"],
        "payoff": {"r_long": [0.0, 0.5, -0.5], "r_short": [0.0, -0.5, 0.5]},
        "rule": {"kind": "edge", "min_edge": 0.05},
        "training_range": {name: [-3.0, 3.0] for name in FEATURES},
        "gates": {"statistical": {"passed": False, "why": "no skill"}},
        "allowed": "none",
        "seed": seed,
        "data": {"fingerprint": "d" * 64},
    } | said
    return write_bundle(
        folder,
        model=booster_text(seed),
        version=version,
        policy='mode = "fixed"\nstop = "1%"\n',
        golden={"request": {}, "expected": {}},
        reference={},
    )
