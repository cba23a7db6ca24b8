"""Requests for the load: new candles in every one, keys that spread over the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import orjson

from bentos.features import WINDOW
from tests.bentos.candles import walk

DAY_MS = 86_400_000
START_MS = 1_600_021_800_000
KEYS = 500
WALK_CANDLES = 20_000


def bodies(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield key and body of `count` requests; no two hold the same candles."""
    draw = np.random.default_rng(seed)
    close = 500 * np.exp(np.cumsum(draw.normal(0, 0.003, WALK_CANDLES)))
    open_ = close * np.exp(draw.normal(0, 0.001, WALK_CANDLES))
    high = np.maximum(open_, close) * (1 + np.abs(draw.normal(0, 0.001, WALK_CANDLES)))
    low = np.minimum(open_, close) * (1 - np.abs(draw.normal(0, 0.001, WALK_CANDLES)))
    columns = {
        "open": open_.round(2),
        "high": high.round(2) + 0.01,
        "low": low.round(2) - 0.01,
        "close": close.round(2),
        "volume": draw.integers(1_000, 100_000, WALK_CANDLES).astype(float),
    }
    for i in range(count):
        start = (i * 7 + seed) % (WALK_CANDLES - WINDOW)
        cut = slice(start, start + WINDOW)
        key = f"NSE:S{(i * 31 + seed) % KEYS}"
        candles = {name: column[cut].tolist() for name, column in columns.items()}
        candles["volume"][-1] = float(i)  # windows repeat after a while; this never does
        candles["ts"] = [START_MS + DAY_MS * (i % 200 + j) for j in range(WINDOW)]
        yield key, orjson.dumps({"key": key, "candles": candles})


COLUMNS = ("open", "high", "low", "close", "volume")


def _mlflow(body: bytes) -> bytes:
    """The same question as MLflow's scoring protocol has it: columns of one frame."""
    candles = orjson.loads(body)["candles"]
    return orjson.dumps({"dataframe_split": {"columns": ["ts", *COLUMNS], "data": list(
        zip(*(candles[name] for name in ("ts", *COLUMNS)), strict=True))}})  # fmt: skip


def _v2(body: bytes) -> bytes:
    """The same question as the open inference protocol has it: one tensor a column."""
    candles = orjson.loads(body)["candles"]
    inputs = [
        {"name": name, "datatype": "INT64" if name == "ts" else "FP64",
         "shape": [len(candles[name])], "data": candles[name]}
        for name in ("ts", *COLUMNS)
    ]  # fmt: skip
    return orjson.dumps({"inputs": inputs})


# name of the form: path, what is made of our body
FORMS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "ratchet": ("/v1/models/tiny/predict", bytes),
    "minutes": ("/v1/models/minutes/predict", bytes),
    "bare": ("/predict", bytes),
    "bentoml": ("/predict", bytes),
    "mlflow": ("/invocations", _mlflow),
    "mlserver": ("/v2/models/tiny/infer", _v2),
}


def requests(form: str, count: int, seed: int) -> Iterator[bytes]:
    """Yield whole HTTP requests."""
    path, made = FORMS[form]
    drawn = minute_bodies(count, seed) if form == "minutes" else (b for _, b in bodies(count, seed))
    for body in map(made, drawn):
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        yield f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def minute_bodies(count: int, seed: int) -> Iterator[bytes]:
    """Yield questions to the second model: 75 candles of 5 minutes."""
    candles = walk(2_000, seed, step_ms=300_000, a_day=75)
    for i in range(count):
        start = (i * 7) % (2_000 - 75)
        cut = slice(start, start + 75)
        told = {name: getattr(candles, name)[cut].tolist() for name in COLUMNS}
        told["volume"][-1] = float(i)
        key = f"NSE:S{i * 31 % KEYS}"
        yield orjson.dumps({"key": key, "candles": {"ts": candles.ts_ms[cut].tolist(), **told}})
