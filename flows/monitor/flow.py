"""The `monitor` flow: watch.py for every model, the report kept in Prefect and MLflow.

Imported by `prefect deploy` and by a worker. `ratchet monitor` calls the plain function instead.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from agent.errors import RatchetError
from agent.home import DEFAULT_HOME
from flows.home import Home
from flows.prefect_runs import NO_SESSION, closed_today, key, run_name, tell_retrain

MODEL_TIMEOUT_S = 1800


def _worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    """Tell a refusal of ours, which stays one, from a disk or a network that may come back."""
    return not isinstance(state.result(raise_on_failure=False), RatchetError)


@task(
    name="watch model",
    retries=1,
    retry_delay_seconds=10,
    retry_condition_fn=_worth_retrying,
    timeout_seconds=MODEL_TIMEOUT_S,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def watch_model(home: str, model: str, dataset: str | None) -> dict[str, Any]:
    """Watch one model and keep what was found. Running it again changes no outcome."""
    from flows.monitor.keep import keep
    from flows.monitor.watch import watch

    logger = get_run_logger()
    opened = Home.open(Path(home))
    document = watch(opened, model, logger.info, dataset=dataset)
    document["mlflow_run"] = keep(opened, document)
    create_link_artifact(
        Path(document["report"]).as_uri(), "drift report", key=key("monitor", model, "report")
    )
    create_markdown_artifact(_summary(document), key=key("monitor", model))
    if document["retrain"]:
        logger.warning("model %s asks for training: %s", model, document["retrain"])
        tell_retrain(model, document["retrain"])
    return document


@flow(
    name="monitor",
    flow_run_name=run_name,
    timeout_seconds=4 * MODEL_TIMEOUT_S,
    persist_result=True,
)
def monitor(
    home: str | None = None,
    model: str | None = None,
    dataset: str | None = None,
    sessions_only: bool = False,
) -> Any:
    """Watch one model, or every model that is served or logged; one after the other.

    Parameters
    ----------
    home : str, optional
        The state folder; else the environment's RATCHET_HOME.
    model, dataset : str, optional
        As the options of `ratchet monitor`.
    sessions_only : bool
        Do nothing on a day without a session (the schedule knows weekdays, not holidays).

    Returns
    -------
    list of the documents of `ratchet monitor --json`; or a completed state `no session today`
    """
    if sessions_only and closed_today():
        return Completed(name=NO_SESSION, message="NSE is closed: nothing new to watch")
    from flows.background import lower_scheduled
    from flows.monitor.watch import model_of, models_of

    lower_scheduled()
    opened = Home.open(Path(home or os.environ.get("RATCHET_HOME") or DEFAULT_HOME))
    names = [model_of(opened, model)] if model else models_of(opened)
    return [watch_model(str(opened.root), name, dataset) for name in names]


def _summary(document: dict[str, Any]) -> str:
    alarmed = ", ".join(document["drifted"]) or "none"
    lines = [
        f"## {document['model']}, {document['at']}",
        f"- {document['drifted_features']} of {document['features']} features alarmed: {alarmed}",
        f"- {len(document['integrity'])} data findings",
        f"- retrain: {document['retrain'] or 'no'}",
        "",
        "| version | variant | rows | log-loss | constant's | hit |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {q['version']} | {q['variant']} | {q['rows']} | {q['log_loss']:.4f} | "
        f"{q['constant']:.4f} | {'' if q['hit'] is None else format(q['hit'], '.1%')} |"
        for q in document["quality"]
    ]
    return "\n".join(lines)
