"""A bare FastAPI endpoint: the same parsing, features and model call, and nothing else.

python -m benchmarks.serving.peers.bare VERSION_FOLDER PORT
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import msgspec
import numpy as np
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response

from bentos import contract
from bentos.contract import Instance
from bentos.features import features_last
from bentos.models import load_version

READ = msgspec.json.Decoder(Instance)


def build(folder: Path) -> FastAPI:
    """Return the application."""
    version = load_version(folder, int(folder.name))
    app = FastAPI()

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        instance = READ.decode(await request.body())
        assert instance.candles is not None
        row = features_last(contract.arrays(instance.candles, "candles"))
        flat, long, short = version.scorer.probabilities(row[version.manifest.columns])
        told = {"p_flat": flat, "p_long": long, "p_short": short}
        return Response(orjson.dumps(told), media_type="application/json")

    return app


def main() -> None:
    app = build(Path(sys.argv[1]))
    np.seterr(all="ignore")
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 1_000)  # the peer gets what is known to help
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=False, log_level="error")


if __name__ == "__main__":
    main()
