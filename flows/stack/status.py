"""What `ratchet status` says: what is up, since when, where, and what is wrong, in sentences."""

from __future__ import annotations

import fcntl
import json
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
OFTEN, RECENT_MIN = 5, 60


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
        if parts.get("agent", {}).get("state") == State.UP:
            _ask_agent(root, wrong)
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
        elif part["restarts"] >= OFTEN and _is_recent(part["last_fault"]["at"]):
            wrong.append(f"{name} was restarted {part['restarts']} times, last: {fault}")
    return wrong


def _is_recent(at: str) -> bool:
    return datetime.now(UTC) - datetime.fromisoformat(at) < timedelta(minutes=RECENT_MIN)


def _flow_runs(address: str, wrong: list[str]) -> list[dict[str, Any]]:
    since = (datetime.now(UTC) - timedelta(hours=LOOK_BACK_H)).isoformat()
    api = PrefectApi(f"{address}/api", ASK_S)
    try:
        working = api.flow_runs("RUNNING", "PENDING")
        ended = api.flow_runs("FAILED", "CRASHED", "COMPLETED", since=since)
    except Retryable as fault:
        wrong.append(str(fault))
        return []
    failed = _not_made_good(ended)
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


def _not_made_good(ended: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the failed runs after which their flow has not completed a run."""
    completed: dict[str, str] = {}
    for run in ended:
        if run["state"]["type"] == "COMPLETED":
            at = run["end_time"] or ""
            completed[run["flow_id"]] = max(at, completed.get(run["flow_id"], ""))
    return [
        run
        for run in ended
        if run["state"]["type"] != "COMPLETED"
        and (run["end_time"] or "") > completed.get(run["flow_id"], "")
    ]


def _ask_agent(root: Path, wrong: list[str]) -> None:
    """Ask the agent's control API; its port and token are in a file that the owner can read."""
    try:
        kept = json.loads((root / "agent" / "control.json").read_text(encoding="utf-8"))
        request = urllib.request.Request(
            f"http://127.0.0.1:{kept['port']}/status",
            headers={"Authorization": f"Bearer {kept['token']}"},
        )
        with urllib.request.urlopen(request, timeout=ASK_S) as answer:  # noqa: S310
            said = json.loads(answer.read())
    except (OSError, ValueError, KeyError) as fault:
        wrong.append(f"the agent does not tell its state: {fault}")
        return
    if said.get("mode") != "NORMAL":
        guards = ", ".join(said.get("guards") or ()) or "an operator"
        wrong.append(f"the agent is in {said.get('mode')} (set by {guards})")


def _ask_ready(address: str, wrong: list[str]) -> None:
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=ASK_S):  # noqa: S310
            return
    except urllib.error.HTTPError as answer:
        said = answer.read(300).decode(errors="replace")
        wrong.append(f"the served model is not ready (HTTP {answer.code}): {said}")
    except OSError as fault:
        wrong.append(f"the served model does not answer: {fault}")
