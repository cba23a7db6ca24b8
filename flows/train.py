"""The `train` flow: the training of flows/training.py under Prefect, symbols over its runner.

Imported by `prefect deploy` and by a worker; the command line calls the plain function instead,
which needs no server. Retries only what is worth it: reading and labelling a symbol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Cancelled

from agent.errors import Refused
from flows.home import Home, tracking_uri
from flows.prefect_runs import REFUSED, keep_training, run_name, tell_registered

SYMBOL_RETRIES = 2
SYMBOL_TIMEOUT_S = 1800
FLOW_TIMEOUT_S = 4 * 3600


def spread(function: Callable[..., Any], works: Iterable[Any]) -> list[Any]:
    """Apply a function to every symbol's work over the flow's task runner; in order."""
    step = task(
        name="sample-symbol",
        retries=SYMBOL_RETRIES,
        retry_delay_seconds=[1, 5],
        retry_condition_fn=_worth_a_retry,
        timeout_seconds=SYMBOL_TIMEOUT_S,
        cache_policy=NO_CACHE,
        persist_result=False,
    )(function)
    return [future.result() for future in step.map(list(works))]


def _worth_a_retry(_task: Any, _run: Any, state: Any) -> bool:
    """Tell a wrong setting, which stays wrong, from a disk or a memory limit, which may not."""
    from agent.errors import RatchetError

    try:
        state.result()
    except RatchetError:
        return False
    except Exception:  # noqa: BLE001  (the answer is the same for every other fault)
        return True
    return False


@flow(
    name="train",
    flow_run_name=run_name,
    timeout_seconds=FLOW_TIMEOUT_S,
    persist_result=True,
    log_prints=True,
)
def train(
    home: str | None = None,
    dataset: str = "sample",
    model: str | None = None,
    preset: str = "champion",
    entries: str = "edge",
    seed: int = 1,
) -> Any:
    """Train, judge and register a version; a flow run's parameters are the command's options.

    Parameters
    ----------
    home : str, optional
        Folder of all state; left out, the worker's `RATCHET_HOME`.
    dataset, model, preset, entries, seed
        As in `ratchet train`.

    Returns
    -------
    dict
        The document of `ratchet train --json`; or a cancelled state `Refused` if the data may not
        be learned from, or this model is being trained already.
    """
    import os

    from agent.home import DEFAULT_HOME
    from flows import background
    from flows import model as models
    from flows.training import TrainSettings, train_model
    from flows.validation.walk import Entries

    background.lower_scheduled()
    opened = Home.open(Path(home or os.environ.get("RATCHET_HOME") or DEFAULT_HOME))
    settings = TrainSettings(
        dataset=dataset,
        model=model or dataset,
        recipe=models.preset(preset),
        entries=Entries.parse(entries),
        seed=seed,
    )
    try:
        document = train_model(opened, settings, get_run_logger().info, each=spread)
    except Refused as fault:
        return Cancelled(name=REFUSED, message=str(fault))
    keep_training(document, tracking_uri(opened))
    tell_registered(document)
    return document
