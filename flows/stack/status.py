"""What `ratchet status` says: what is up, since when, where, and what is wrong, in sentences."""

from __future__ import annotations

import fcntl
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.errors import Retryable
from flows.stack.kept import LOCK_FILE, read_state
from flows.stack.mark import marked
from flows.stack.prefect_api import PrefectApi
from flows.stack.states import State

ASK_S = 2.0
LOOK_BACK_H = 24
FREE_BYTES_MIN = 1 << 30
OFTEN = 5


def status(root: Path) -> dict[str, Any]:
    """Return the state of a home's stack.

    Parameters
    ----------
    root : Path
        The home, absolute.

    Returns
    -------
    dict
        `running`, `ok`, `pid`, `since`, `home`, `parts` (by name: state, since, why, pid, address,
        restarts, last_fault), `elsewhere`, `flow_runs`, `wrong` (a list of sentences).
    """
    running = is_running(root)
    state = read_state(root)
    wrong: list[str] = []
    runs: list[dict[str, Any]] = []
    parts: dict[str, Any] = state.get("parts", {}) if running else {}
    if running:
        wrong += _parts_wrong(parts)
        if parts.get("prefect", {}).get("state") == State.UP:
            runs = _flow_runs(parts["prefect"]["address"], wrong)
        if parts.get("serve", {}).get("state") == State.UP:
            _ask_ready(parts["serve"]["address"], wrong)
    else:
        wrong.append("nothing runs here: start it with `ratchet up`")
        if left := len(marked(root)):
            wrong.append(f"{left} processes of an earlier run are left: `ratchet up` ends them")
    free = shutil.disk_usage(root).free if root.exists() else FREE_BYTES_MIN
    if free < FREE_BYTES_MIN:
        wrong.append(f"{free >> 20} MiB free under {root}: make room")
    return {
        "running": running,
        "ok": not wrong,
        "home": str(root),
        "pid": state.get("pid") if running else None,
        "since": state.get("since") if running else None,
        "parts": parts,
        "elsewhere": state.get("elsewhere", {}) if running else {},
        "flow_runs": runs,
        "wrong": wrong,
    }


def is_running(root: Path) -> bool:
    """Return whether a live keeper holds this home's stack lock."""
    try:
        handle = os.open(root / LOCK_FILE, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _parts_wrong(parts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    wrong = []
    for name, part in parts.items():
        fault = (part["last_fault"] or {}).get("why", "")
        if part["state"] == State.DOWN:
            wrong.append(f"{name} is down ({fault}); {part['why']}")
        elif part["state"] == State.SILENT:
            wrong.append(f"{name} {part['why']}")
        elif part["restarts"] >= OFTEN:
            wrong.append(f"{name} was restarted {part['restarts']} times, last: {fault}")
    return wrong


def _flow_runs(address: str, wrong: list[str]) -> list[dict[str, Any]]:
    since = (datetime.now(UTC) - timedelta(hours=LOOK_BACK_H)).isoformat()
    api = PrefectApi(f"{address}/api", ASK_S)
    try:
        working = api.flow_runs("RUNNING", "PENDING")
        failed = api.flow_runs("FAILED", "CRASHED", since=since)
    except Retryable as fault:
        wrong.append(str(fault))
        return []
    for run in failed:
        why = (run["state"].get("message") or "").splitlines() or [""]
        wrong.append(f"flow run {run['name']} {run['state']['name'].lower()}: {why[0][:200]}")
    return [
        {
            "name": run["name"],
            "state": run["state"]["name"],
            "since": run["state"]["timestamp"],
            "tags": run["tags"],
        }
        for run in working + failed
    ]


def _ask_ready(address: str, wrong: list[str]) -> None:
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=ASK_S):  # noqa: S310
            return
    except urllib.error.HTTPError as answer:
        said = answer.read(300).decode(errors="replace")
        wrong.append(f"the served model is not ready (HTTP {answer.code}): {said}")
    except OSError as fault:
        wrong.append(f"the served model does not answer: {fault}")
