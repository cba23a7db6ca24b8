"""A model that was served: its bundle in the serving folder, and a log as the service writes it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bentos.features import FEATURES, CandleArrays, features_over, manifest
from flows.bundle import write_bundle
from flows.data.frame import VALUES, day_numbers, days_of, ts_ms
from flows.data.intake import ingest
from flows.data.sources import Request
from flows.data.store import CandleStore
from flows.home import Home
from flows.reference import reference
from flows.training import packaged_policy

NAMES = [feature.name for feature in FEATURES]


@dataclass
class Served:
    """A home with a dataset, a served model trained on all but its last days, and its rows.

    `x`, `key`, `ms`, `day` are the features of every candle, by symbol.
    """

    home: Home
    dataset: str
    model: str = "m"
    interval: str = "day"
    x: Any = None
    key: list[str] = field(default_factory=list)
    ms: Any = None
    day: Any = None

    def later(self, days: int) -> Any:
        """Return the numbers of the last days."""
        return np.unique(self.day)[-days:]


def copied(served: Served, root: Path) -> Served:
    """Return the same served model in a home of its own."""
    shutil.copytree(served.home.root, root)
    return replace(served, home=Home(root), key=list(served.key))


def features_of(frame: Any) -> Any:
    """Return the features of one symbol's candles."""
    columns = (frame[name].to_numpy(dtype=np.float64) for name in VALUES)
    return features_over(CandleArrays(ts_ms(frame), *columns))


def serve(
    home: Home, request: Request, *, keep_days: int, versions: Sequence[int] = (1,)
) -> Served:
    """Ingest a source and put versions into the serving folder, as training and release would."""
    document = ingest(home, request, lambda _line: None)
    served = Served(home, document["dataset"], interval=document["interval"])
    parts, days, times = [], [], []
    for key, frame in CandleStore(home).frames(served.dataset):
        x, ms = features_of(frame), ts_ms(frame)
        known = np.isfinite(x).any(axis=1)
        parts.append(x[known])
        times.append(ms[known])
        days.append(day_numbers(ms[known]))
        served.key += [key] * int(known.sum())
    served.x, served.ms, served.day = (np.concatenate(p) for p in (parts, times, days))
    teach = served.day < served.later(keep_days)[0]
    folder = home.serving / served.model
    for number in versions:
        write_bundle(
            folder / "versions" / str(number),
            model=f"tree {number}\n",
            version={
                "name": served.model,
                "interval": served.interval,
                "window": 60,
                "features": manifest(),
                "universe": sorted(set(served.key)),
                "data": {"dataset": served.dataset},
                "number": number,
            },
            policy=packaged_policy(served.interval).text,
            golden={},
            reference=reference(served.x[teach], served.day[teach], NAMES),
        )
    plan = {"model": served.model, "champion": versions[0], "challengers": {}, "shadows": []}
    (folder / "plan.json").write_text(json.dumps(plan))
    return served


def log(
    served: Served,
    days: Sequence[int],
    *,
    version: int = 1,
    variant: str = "champion",
    change: Callable[[Any], Any] = lambda x: x,
    p: Callable[[int], tuple[float, float, float]] = lambda _i: (0.4, 0.3, 0.3),
    name: str = "predictions-1",
) -> int:
    """Append a record for each candle of some days; return how many. `change` maps (n, k) rows."""
    rows = np.flatnonzero(np.isin(served.day, days))
    x = change(served.x[rows].copy())
    lines = []
    for place, i in enumerate(rows.tolist()):
        flat, long, short = p(i)
        side = "BUY" if long > max(flat, short) else "SELL" if short > max(flat, long) else "HOLD"
        on = days_of(served.day[i : i + 1])[0].isoformat()
        lines.append(
            json.dumps(
                {
                    "kind": "prediction", "at_ms": int(served.ms[i]) + place,
                    "request_id": f"{served.key[i]}-{served.ms[i]}", "model": served.model,
                    "version": version, "variant": variant, "plan_revision": 1,
                    "unit": f"{served.key[i]}|{on}", "warnings": [], "latency_ms": 1.0,
                    "prediction": {
                        "side": side, "p_flat": flat, "p_long": long, "p_short": short,
                        "er_long": 0.1, "er_short": -0.1, "valid_until": "-",
                    },
                    "key": served.key[i], "day": on, "candle_ms": int(served.ms[i]),
                    "closed_ms": int(served.ms[i]), "as_of_ms": None, "ticks": None, "row": None,
                    "features": {
                        n: float(v) if np.isfinite(v) else None
                        for n, v in zip(NAMES, x[place], strict=True)
                    },
                    "worker": 1,
                }
            )
        )  # fmt: skip
    served.home.predictions.mkdir(parents=True, exist_ok=True)
    path: Path = served.home.predictions / f"{name}.jsonl"
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))
    return len(lines)
