"""Mirrors a registry server's traffic plans and their versions into HOME/serving.

Asks with the standard library alone. A version's bundle is there, whole and checked, before the
plan that names it is. While the registry does not answer, or holds something damaged, the folder
stays as it is and the last good plan goes on serving. `ratchet serve` looks every few seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.errors import RatchetError, Refused, Retryable
from bentos.store import write_whole
from flows import locks
from flows.home import Home

OURS, PLAN = "ratchet.model", "ratchet.plan"  # tags, as flows/registry.py writes them
LIMIT_S = 5.0
PAGE = 100
FETCH_LIMIT_S = 120.0
LOCK_WAIT_S = 5.0


@dataclass(slots=True)
class Follower:
    """The mirror of one registry server in one home.

    Parameters
    ----------
    home : Home
    uri : str
        The registry server, `http://…`.
    tell : callable
        Gets one line for each change of what is true, never the same twice in a row.
    """

    home: Home
    uri: str
    tell: Callable[[str], None]
    _told: dict[str, str] = field(default_factory=dict)

    def look(self) -> None:
        """Bring the folder up to what the registry says now."""
        try:
            plans = self.plans()
        except Retryable as fault:
            self._once("registry", f"{fault}; what is served stays as it is")
            return
        self._once("registry", f"follows {self.uri}")
        for name, plan in plans.items():
            try:
                self._mirror(name, plan)
                self._once(name, f"{name}: serves plan revision {plan['revision']}")
            except (RatchetError, OSError) as fault:
                self._once(name, f"{name}: plan revision {plan['revision']} not taken: {fault}")

    def plans(self) -> dict[str, dict[str, Any]]:
        """Return the traffic plan of each of our models that has one.

        Raises
        ------
        agent.errors.Retryable
            If the server does not answer as a registry does.
        """
        found: dict[str, dict[str, Any]] = {}
        token = ""
        while True:
            query = urllib.parse.urlencode({"max_results": PAGE, "page_token": token})
            page = self._get(f"/api/2.0/mlflow/registered-models/search?{query}")
            for model in page.get("registered_models", []):
                tags = {tag["key"]: tag["value"] for tag in model.get("tags", [])}
                if OURS in tags and PLAN in tags:
                    found[model["name"]] = json.loads(tags[PLAN])
            token = page.get("next_page_token", "")
            if not token:
                return found

    def _mirror(self, name: str, plan: dict[str, Any]) -> None:
        folder = self.home.serving / name
        if _plan_in(folder) == plan:
            return
        versions = [plan["champion"], *plan["challengers"], *plan["shadows"]]
        for version in sorted({int(v) for v in versions}):
            if not (folder / "versions" / str(version)).is_dir():
                fetch(self.home, name, version)
        folder.mkdir(parents=True, exist_ok=True)
        what = f"mirror the plan of {name}"
        with locks.held(folder / ".plan.lock", what=what, wait_s=LOCK_WAIT_S):
            here = _plan_in(folder)
            if here and int(here["revision"]) > int(plan["revision"]):
                raise Refused(
                    f"the folder is ahead at revision {here['revision']} (changed while the "
                    "registry was away?); a release settles it"
                )
            write_whole(folder / "plan.json", json.dumps(plan, sort_keys=True))

    def _get(self, path: str) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(self.uri.rstrip("/") + path, timeout=LIMIT_S) as answer:  # noqa: S310
                return dict(json.loads(answer.read()))
        except (OSError, ValueError) as fault:
            raise Retryable(f"the registry at {self.uri} does not answer ({fault})") from fault

    def _once(self, subject: str, line: str) -> None:
        if self._told.get(subject) != line:
            self._told[subject] = line
            self.tell(line)


def fetch(home: Home, name: str, version: int) -> None:
    """Bring one version's bundle into the serving folder, in a process of its own.

    MLflow's client takes 190 MiB; it is needed for the seconds of a fetch only.

    Raises
    ------
    agent.errors.Retryable
        If it could not be fetched; the message is the registry's.
    """
    into = home.serving / name / "versions" / str(version)
    into.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "flows.stack.fetch", str(home.root), name, str(version)]
    try:
        done = subprocess.run(
            [*command, str(into)],
            capture_output=True,
            text=True,
            timeout=FETCH_LIMIT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired as fault:
        raise Retryable(f"version {version}: not fetched in {FETCH_LIMIT_S:g} s") from fault
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise Retryable(f"version {version}: {lines[-1]}")


def _plan_in(folder: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads((folder / "plan.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
