"""The `ingest` flow: the plain functions of flows/data/intake.py behind Prefect's task runner.

`ratchet ingest` does not come here: it needs no server. Without a Kite login of today the flow
ends as `blocked: log in`, never as failed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed
from prefect.utilities.annotations import opaque

from agent.errors import RatchetError, Refused
from flows.data.intake import Opened, Taken, announce, commit, opened, take_symbols
from flows.data.sources import Request
from flows.home import Home
from flows.prefect_runs import NO_SESSION, closed_today, run_name

SYMBOLS_A_TASK = 8  # a task costs about 10 ms beside its work
BLOCKED = "blocked: "


def _worth_retrying(task: Any, run: Any, state: Any) -> bool:  # noqa: ARG001  (Prefect's form)
    """Tell a refusal of ours, which stays one, from a disk or a network that may come back."""
    return not isinstance(state.result(raise_on_failure=False), RatchetError)


@task(
    name="take symbols",
    retries=2,
    retry_delay_seconds=[1, 5],
    retry_condition_fn=_worth_retrying,
    cache_policy=NO_CACHE,
)
def take(run: Opened, symbols: list[str]) -> list[Taken]:
    """Read, judge and write some symbols; may run again, as a partition is written once."""
    return take_symbols(run, symbols)


@flow(name="ingest", flow_run_name=run_name, timeout_seconds=3 * 3600, persist_result=True)
def ingest(
    source: str = "kite",
    dataset: str | None = None,
    home: str | None = None,
    interval: str | None = None,
    drop_bad: bool = False,
    sessions_only: bool = False,
) -> Any:
    """Bring a dataset up to date from its source.

    Parameters
    ----------
    source, dataset, interval, drop_bad
        As the options of `ratchet ingest`.
    home : str, optional
        The state folder; else the environment's RATCHET_HOME.
    sessions_only : bool
        Do nothing on a day without a session (the schedule knows weekdays, not holidays).

    Returns
    -------
    dict
        The document of `ratchet ingest --json`; or a completed state named `blocked: log in`,
        `blocked: market hours` or `no session today`.
    """
    logger = get_run_logger()
    if sessions_only and closed_today():
        return Completed(name=NO_SESSION, message="NSE is closed: nothing to read")
    where = Home.open(Path(home or os.environ.get("RATCHET_HOME", "var")))
    request = Request(source, dataset=dataset, interval=interval, drop_bad=drop_bad)
    try:
        with opened(where, request) as run:
            announce(run, logger.info)
            symbols = list(run.symbols)
            # opaque: the source and the writer are not Prefect's to search for futures
            futures = [
                take.submit(cast("Any", opaque(run)), symbols[start : start + SYMBOLS_A_TASK])
                for start in range(0, len(symbols), SYMBOLS_A_TASK)
            ]
            return commit(run, [taken for future in futures for taken in future.result()])
    except Refused as fault:
        if not str(fault).startswith(BLOCKED):
            raise
        logger.warning("%s", fault)
        name = "blocked: market hours" if "market hours" in str(fault) else "blocked: log in"
        return Completed(name=name, message=str(fault))
