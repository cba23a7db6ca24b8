"""The same as an MLServer runtime; runs in an environment of its own, which knows nothing of ours.

Beside it stand `bentos/` and a model-settings.json that names the model's text.
"""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from bentos.features import features_last
from bentos.windows import CandleArrays

COLUMNS = ("ts", "open", "high", "low", "close", "volume")


class Served(MLModel):
    """Features and model."""

    async def load(self) -> bool:
        """Load the model's text."""
        with Path(self.settings.parameters.uri).open() as file:
            self.booster = lightgbm.Booster(model_str=file.read())
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return probabilities."""
        told = {one.name: NumpyCodec.decode_input(one).ravel() for one in payload.inputs}
        arrays = CandleArrays(told["ts"].astype(np.int64), *(told[name] for name in COLUMNS[1:]))
        p = self.booster.predict(features_last(arrays)[None], num_threads=1)
        outputs = [NumpyCodec.encode_output("p", np.asarray(p))]
        return InferenceResponse(model_name=self.name, outputs=outputs)
