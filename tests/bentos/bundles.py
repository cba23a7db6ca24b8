"""Small real versions for the tests of serving: boosters on our features, golden answers."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bentos.decision import decide_side
from bentos.features import FEATURES, WINDOW, CandleArrays, features_over, features_sha256, manifest
from tests.bentos.candles import walk

POLICY = 'mode = "percent"\n[stop]\ndistance = "1%"\n[target]\ndistance = "3%"\n'
PAYOFF = {"r_long": [-0.05, 0.9, -1.0], "r_short": [-0.05, -1.0, 0.9]}
RULE = {"kind": "edge", "min_edge": 0.05}


@cache
def booster_text(seed: int = 1, rounds: int = 6) -> str:
    """Return the text of a three-class booster on all features."""
    import lightgbm as lgb

    rows = features_over(walk(700, seed))[WINDOW:]
    draw = np.random.default_rng(seed)
    y = draw.integers(0, 3, size=len(rows))
    params = {
        "objective": "multiclass", "num_class": 3, "num_threads": 1, "verbose": -1,
        "deterministic": True, "force_row_wise": True, "seed": seed, "num_leaves": 15,
        "min_data_in_leaf": 5,
    }  # fmt: skip
    names = [f.name for f in FEATURES]
    data = lgb.Dataset(rows, y, feature_name=names)
    return lgb.train(params, data, num_boost_round=rounds).model_to_string()


def request(candles: CandleArrays, key: str = "NSE:INFY", **more: Any) -> dict[str, Any]:
    """Return the body of a prediction request."""
    columns = {
        name: getattr(candles, name).tolist() for name in ("open", "high", "low", "close", "volume")
    }
    return {"key": key, "candles": {"ts": candles.ts_ms.tolist(), **columns}, **more}


def predicted(text: str, candles: CandleArrays) -> dict[str, Any]:
    """Return what a version must answer, by way of the `lightgbm` package."""
    import lightgbm as lgb

    row = features_over(candles)[-1:]
    p = [float(x) for x in lgb.Booster(model_str=text).predict(row, num_threads=1)[0]]
    decision = decide_side(p, PAYOFF, RULE)  # type: ignore[arg-type]
    return {
        "side": decision.side, "p_flat": p[0], "p_long": p[1], "p_short": p[2],
        "er_long": decision.er_long, "er_short": decision.er_short,
    }  # fmt: skip


def write_version(
    folder: Path,
    *,
    seed: int = 1,
    rounds: int = 6,
    golden: CandleArrays | None = None,
    broken: bool = False,
    **said: Any,
) -> Path:
    """Write a version's folder, whole or not at all; further arguments go into `version.json`.

    `golden` are the candles of its golden request; a `broken` one expects another answer to it.
    """
    text = booster_text(seed, rounds)
    golden = walk(WINDOW, 99) if golden is None else golden
    document = {
        "name": "tiny", "interval": "day", "window": WINDOW, "features": manifest(),
        "features_sha256": features_sha256(), "classes": ["FLAT", "LONG", "SHORT"],
        "payoff": PAYOFF, "rule": RULE, "valid_for_s": 86_400,
        "training_range": {f.name: [-1e9, 1e9] for f in FEATURES},
        "policy_sha256": hashlib.sha256(POLICY.encode()).hexdigest(),
        "model_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "gates": {"statistical": {"passed": False, "why": "no skill"}},
        "allowed": "none", "universe": [], "context": [], "seed": seed,
        "data": {"fingerprint": "d" * 64}, "trained_through": "2020-01-01",
    } | said  # fmt: skip
    expected = predicted(text, golden)
    if broken:
        expected["p_long"] += 0.5
    texts = {
        "model.txt": text,
        "policy.toml": POLICY,
        "version.json": json.dumps(document),
        "golden.json": json.dumps({"request": request(golden), "expected": expected}),
        "reference.json": "{}",
    }
    passing = folder.with_name(f".{folder.name}.tmp")
    passing.mkdir(parents=True)
    for name, content in texts.items():
        (passing / name).write_text(content)
    passing.rename(folder)
    return folder


def write_intraday(
    serving: Path, name: str = "minutes", versions: int = 2, window: int = 75, **said: Any
) -> Path:
    """Write a second model, of 5-minute candles and another window, and its plan."""
    folder = serving / name
    golden = walk(window, 98, step_ms=300_000, a_day=75)
    for number in range(1, versions + 1):
        write_version(
            folder / "versions" / str(number),
            seed=number + 1,
            golden=golden,
            name=name,
            interval="5minute",
            window=window,
            valid_for_s=900,
        )
    write_plan(folder, **said)
    return folder


def write_plan(model: Path, **said: Any) -> dict[str, Any]:
    """Write a model's plan as the contract's document, whole or not at all."""
    plan = {
        "model": model.name, "revision": 1, "champion": 1, "challengers": {}, "shadows": [],
        "salt": "salt", "history": [],
    } | said  # fmt: skip
    if not plan["history"]:
        keys = ("revision", "champion", "challengers", "shadows")
        entry = {key: plan[key] for key in keys} | {"who": "test", "why": "test", "at": "2026"}
        plan["history"] = [entry]
    passing = model / ".plan.json.tmp"
    passing.write_text(json.dumps(plan))
    passing.replace(model / "plan.json")
    return plan


def write_model(serving: Path, name: str = "tiny", versions: int = 2, **said: Any) -> Path:
    """Write a model with versions 1..n (seeds 1..n) and its plan; return its folder."""
    folder = serving / name
    for number in range(1, versions + 1):
        write_version(folder / "versions" / str(number), seed=number, name=name)
    write_plan(folder, **said)
    return folder
