"""A run's figures and pages in MLflow: metrics over time, one experiment a model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from flows import reach
from flows.home import Home, tracking_uri


def metrics_of(document: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a run that are worth a curve."""
    told = {
        "rows": document["rows"],
        "joined": document["joined"],
        "drifted_features": document["drifted_features"],
        "data_findings": len(document["integrity"]),
    }
    for line in document["quality"]:
        name = f"v{line['version']}_{line['variant']}"
        told |= {f"{name}_{key}": line[key] for key in ("log_loss", "brier", "hit", "mean_r")}
    return {name: float(value) for name, value in told.items() if value is not None}


def keep(home: Home, document: Mapping[str, Any]) -> str:
    """Log a run of the monitor to the registry's server; return the MLflow run's id.

    Raises
    ------
    agent.errors.EnvironmentRefused
        If the server cannot be reached.
    """
    from mlflow.entities import Metric

    uri = tracking_uri(home)
    reach.check_reachable(uri)
    with reach.errors_named(uri):
        client = reach.client(uri)
        title = f"ratchet/monitor/{document['model']}"
        found = client.get_experiment_by_name(title)
        local = None if uri.startswith("http") else (home.mlflow / "artifacts").as_uri()
        known = found.experiment_id if found else client.create_experiment(title, local)
        at = int(datetime.fromisoformat(document["at"]).timestamp() * 1000)
        run = client.create_run(known, start_time=at, run_name=document["at"]).info.run_id
        told = metrics_of(document)
        client.log_batch(run, metrics=[Metric(k, v, at, 0) for k, v in told.items()])
        client.log_artifacts(run, str(Path(document["page"]).parent), "report")
        client.set_terminated(run, "FINISHED")
        return str(run)
