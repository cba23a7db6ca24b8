"""BentoML as its first page shows it: one API method, defaults everywhere.

VERSION_FOLDER=… bentoml serve benchmarks.serving.peers.untuned:Untuned
"""

from __future__ import annotations

import os
from pathlib import Path

import bentoml
import lightgbm
import numpy as np

from bentos.features import CandleArrays, features_last


@bentoml.service
class Untuned:
    """The model by its own package, typed by pydantic."""

    def __init__(self) -> None:
        path = Path(os.environ["VERSION_FOLDER"]) / "model.txt"
        self.booster = lightgbm.Booster(model_str=path.read_text())

    @bentoml.api
    def predict(self, key: str, candles: dict[str, list[float]]) -> dict[str, float]:
        """Return probabilities."""
        arrays = CandleArrays(
            np.array(candles["ts"], dtype=np.int64),
            *(np.array(candles[name]) for name in ("open", "high", "low", "close", "volume")),
        )
        flat, long, short = self.booster.predict(features_last(arrays)[None], num_threads=1)[0]
        return {"p_flat": float(flat), "p_long": float(long), "p_short": float(short)}
