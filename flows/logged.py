"""How a bundle becomes an MLflow run, model and version row; used by the registry alone.

Everything goes into the run first; the version's row, with all its tags, is one call and the
last. A run carries its writer's mark until then, so that what a killed writer left is known.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flows import bundle, reach
from flows.bundle import Bundle

FINGERPRINT = "ratchet.fingerprint"
GATE = "ratchet.gate."
WRITER = "ratchet.writer"  # on a run only while its version is being made
PARAMETERS_A_CALL = 100  # MLflow's own limit


@dataclass(frozen=True, slots=True)
class Figures:
    """What is told of a version besides its bundle."""

    metrics: dict[str, float]
    tags: dict[str, str]
    params: dict[str, object]


@contextmanager
def run(client: Any, experiment: str, name: str, writer: str) -> Iterator[str]:
    """Yield the id of a new run; it ends FINISHED, or is removed if the block fails."""
    run_id = client.create_run(experiment, run_name=name, tags={WRITER: writer}).info.run_id
    try:
        yield run_id
    except BaseException:
        with reach.best_effort():
            client.set_terminated(run_id, "FAILED")
            client.delete_run(run_id)
        raise
    _finish(client, run_id)


def sweep(client: Any, experiment: str, name: str, writer: str) -> None:
    """Remove the runs that a writer of the same home left when it was killed.

    The caller holds the writer's lock, so none of them is still being made.
    """
    for left in client.search_runs([experiment], f"tags.`{WRITER}` = '{writer}'"):
        run_id = left.info.run_id
        if client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'"):
            _finish(client, run_id)  # it died after the version's row: that counts
        else:
            client.set_terminated(run_id, "KILLED")
            client.delete_run(run_id)


def fill(client: Any, to: tuple[str, str], name: str, held: Bundle, figures: Figures) -> Any:
    """Log a bundle under a run and create the version's row, last.

    Parameters
    ----------
    client : MlflowClient
    to : (registry address, run id)
    name : str
    held : Bundle
    figures : Figures

    Returns
    -------
    mlflow ModelVersion
    """
    uri, run_id = to
    _log_figures(client, run_id, figures.metrics, figures.params)
    client.log_artifacts(run_id, str(held.folder), "bundle")
    with addressed(uri):  # the client, too, resolves a `models:/` source by the global address
        model = _log_booster(run_id, held)
        return client.create_model_version(
            name,
            source=model.model_uri,
            run_id=run_id,
            model_id=model.model_id,
            tags=_bundle_tags(held) | figures.tags,
            await_creation_for=0,
        )


def _finish(client: Any, run_id: str) -> None:
    client.set_terminated(run_id, "FINISHED")
    client.delete_tag(run_id, WRITER)


def _bundle_tags(held: Bundle) -> dict[str, str]:
    told = held.version
    tags = {
        FINGERPRINT: held.fingerprint,
        "ratchet.model_sha256": held.model_sha256,
        "ratchet.policy_sha256": held.policy_sha256,
    }
    keys = ("features_sha256", "allowed", "interval", "seed", "code_revision", "trained_through")
    tags |= {f"ratchet.{key}": str(told[key]) for key in keys if key in told}
    if "data" in told:
        tags["ratchet.data_fingerprint"] = str(told["data"].get("fingerprint", ""))
    gates = told.get("gates", {})
    return tags | {GATE + name: json.dumps(v, sort_keys=True) for name, v in gates.items()}


def _log_figures(
    client: Any, run_id: str, metrics: Mapping[str, float], params: Mapping[str, object]
) -> None:
    from mlflow.entities import Metric, Param

    now = int(datetime.now(UTC).timestamp() * 1000)
    client.log_batch(run_id, metrics=[Metric(k, float(v), now, 0) for k, v in metrics.items()])
    told = [Param(key, str(value)) for key, value in params.items()]
    for start in range(0, len(told), PARAMETERS_A_CALL):
        client.log_batch(run_id, params=told[start : start + PARAMETERS_A_CALL])


def _log_booster(run_id: str, held: Bundle) -> Any:
    """Log the booster with signature, example and fixed requirements.

    Requirements are given because MLflow would find them in a subprocess of 7 CPU seconds.
    """
    import lightgbm
    import mlflow
    import mlflow.lightgbm
    import numpy as np
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    text = (held.folder / bundle.MODEL).read_text(encoding="utf-8")  # its hash was checked
    names = [feature["name"] for feature in held.version["features"]]
    ranges = held.version.get("training_range", {})
    middle = {name: sum(ranges.get(name) or (0.0, 0.0)) / 2 for name in names}
    signature = ModelSignature(
        inputs=Schema([ColSpec(DataType.double, name) for name in names]),
        outputs=Schema([TensorSpec(np.dtype(np.float64), (-1, len(held.version["classes"])))]),
    )
    with mlflow.start_run(run_id=run_id, nested=True):
        return mlflow.lightgbm.log_model(
            lightgbm.Booster(model_str=text),
            name="model",
            signature=signature,
            input_example=pd.DataFrame([middle]),
            pip_requirements=[f"lightgbm=={lightgbm.__version__}"],
        )


@contextmanager
def addressed(uri: str) -> Iterator[None]:
    """Point MLflow's fluent calls at an address; they know no argument, only a global."""
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)  # writes the variable, too
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
