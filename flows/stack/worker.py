"""Prefect's worker, after flow runs that lost their process were told so.

A run whose process was killed together with its worker stays RUNNING for ever and keeps its
deployment's only slot. A live run shows its id in its process's environment; a run of the server
that nobody works on has none and becomes CRASHED.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from flows.stack.mark import FLOW_RUN, marked
from flows.stack.prefect_api import PrefectApi

OWNED = ("RUNNING", "PENDING", "CANCELLING")
WHY = "its process is gone (killed, or the machine restarted); run it again"


def repair(api: PrefectApi, root: Path) -> list[str]:
    """Set runs without a process to CRASHED; return their names.

    Call only while no worker runs: a worker holds runs that have no process yet.
    """
    living = {environment.get(FLOW_RUN) for environment in marked(root).values()}
    lost = [run for run in api.flow_runs(*OWNED) if run["id"] not in living]
    for run in lost:
        api.crash(run["id"], WHY)
    return [str(run["name"]) for run in lost]


def main() -> None:
    """Repair, then become the worker.

    Arguments: the home, the pool, the limit of runs at once, and `ours` if the Prefect server is
    this home's own; on a shared one, runs without a process here may live on another machine.
    """
    root, pool, limit, server = Path(sys.argv[1]), *sys.argv[2:5]
    if server == "ours":
        for name in repair(PrefectApi(os.environ["PREFECT_API_URL"]), root):
            print(f"flow run {name} was left without a process: CRASHED", flush=True)
    # the name tells the keeper that this very process is registered
    arguments = ["--pool", pool, "--type", "process", "--limit", limit]
    command = [sys.executable, "-m", "prefect", "worker", "start", *arguments]
    os.execv(  # noqa: S606  (a list of arguments, no shell wanted)
        sys.executable, [*command, "--name", f"ratchet-{os.getpid()}"]
    )


if __name__ == "__main__":
    main()
