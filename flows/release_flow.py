"""The `release` flow: flows/release.py under Prefect, started when a version was registered.

A new version becomes the champion only where nothing is served yet; else it listens as a shadow,
and taking traffic is the `deploy` step's or a person's decision.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.states import Cancelled, Completed

from agent.errors import Refused
from agent.home import DEFAULT_HOME
from flows.home import Home
from flows.prefect_runs import REFUSED, keep_release, run_name

KEPT_BACK = "kept back"
TIMEOUT_S = 900


@flow(name="release", flow_run_name=run_name, timeout_seconds=TIMEOUT_S, persist_result=True)
def release(
    home: str | None = None,
    model: str | None = None,
    candidate: int | None = None,
    why: str = "registered",
) -> Any:
    """Build, prove and publish the plan's versions; bring in a candidate.

    Parameters
    ----------
    home : str, optional
        Folder of all state; left out, the worker's `RATCHET_HOME`.
    model : str, optional
        As in `ratchet release`.
    candidate : int, optional
        A version that the plan may not know yet.
    why : str
        Kept in the plan's history.

    Returns
    -------
    dict
        The document of `ratchet release --json`; or a completed state `kept back` if the candidate
        may trade nowhere; or a cancelled state `Refused` if it did not prove itself.
    """
    logger = get_run_logger()
    opened = Home.open(Path(home or os.environ.get("RATCHET_HOME") or DEFAULT_HOME))
    from flows.release import Wanted
    from flows.release import release as run

    wanted: Wanted | None = Wanted(model, who="release flow", why=why)
    if candidate is not None and model is not None:
        wanted = with_candidate(opened, model, candidate, why)
    if wanted is None:
        message = f"version {candidate} of {model} may trade nowhere: it is not released"
        return Completed(name=KEPT_BACK, message=message)
    try:
        document = run(opened, wanted, logger.info)
    except Refused as fault:
        return Cancelled(name=REFUSED, message=str(fault))
    keep_release(document)
    return document


def with_candidate(home: Home, model: str, candidate: int, why: str) -> Any:
    """Return what to release so that a candidate takes part; None if it may trade nowhere.

    Raises
    ------
    agent.errors.SettingRefused
        If there is no such version.
    """
    from flows.registry import Registry
    from flows.release import Wanted

    registry = Registry(home)
    if registry.version(model, candidate).allowed == "none":
        return None
    plan = registry.plan(model)
    if plan is None:
        return Wanted(model, champion=candidate, who="release flow", why=why)
    known = {plan["champion"], *map(int, plan["challengers"]), *plan["shadows"]}
    shadows = (*plan["shadows"], *(() if candidate in known else (candidate,)))
    challengers = {int(v): w for v, w in plan["challengers"].items()}
    return Wanted(
        model, plan["champion"], challengers, shadows, who="release flow", why=f"{why}: {candidate}"
    )
