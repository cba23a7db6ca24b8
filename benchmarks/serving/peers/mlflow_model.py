"""The same as an MLflow model for `mlflow models serve`: a frame of candles in, probabilities out.

python -m benchmarks.serving.peers.mlflow_model VERSION_FOLDER TARGET    writes the model
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import lightgbm
import mlflow
import numpy as np

from bentos.features import CandleArrays, features_last


class Served(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Features and model."""

    def load_context(self, context: Any) -> None:
        """Load the model."""
        self.booster = lightgbm.Booster(model_str=Path(context.artifacts["model"]).read_text())

    def predict(self, context: Any, model_input: Any, params: Any = None) -> list[float]:
        """Return probabilities."""
        columns = (model_input[name].to_numpy(float) for name in ("open", "high", "low", "close",
                                                                  "volume"))  # fmt: skip
        arrays = CandleArrays(model_input["ts"].to_numpy(np.int64), *columns)
        return list(self.booster.predict(features_last(arrays)[None], num_threads=1)[0])


if __name__ == "__main__":
    mlflow.pyfunc.save_model(
        sys.argv[2], python_model=Served(), pip_requirements=[],
        artifacts={"model": str(Path(sys.argv[1]) / "model.txt")},
    )  # fmt: skip
