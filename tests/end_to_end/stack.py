"""A whole stack for tests: `ratchet up` in a process of its own, asked through its own APIs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.errors import Retryable
from flows.stack.kept import read_state
from flows.stack.mark import FLOW_RUN, end_marked, marked
from flows.stack.prefect_api import PrefectApi

STEP_S = 240.0  # of one step on a busy machine; a bound, not an expectation
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def until(
    condition: Callable[[], Any],
    what: str,
    limit_s: float = STEP_S,
    told: Callable[[], str] = lambda: "",
) -> Any:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {limit_s} s: {what}; {told()}")


class Up:
    """`ratchet up` on a home, with ports of its own."""

    def __init__(self, home: Path, without: str, settings: Mapping[str, str]) -> None:
        self.home = home
        names = ("MLFLOW", "PREFECT", "SERVE", "PAPER")
        *ports, control = free_ports(5)
        self.ports = dict(zip(names, ports, strict=True))
        told = {f"RATCHET_STACK__{name}_PORT": str(port) for name, port in self.ports.items()}
        given = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
        self.environment = {**given, **told, "RATCHET_AGENT__CONTROL__PORT": str(control)}
        self.environment |= settings
        self.errors = home.parent / "up.stderr"
        self._without = without
        self._api = f"http://127.0.0.1:{self.ports['PREFECT']}/api"
        self.prefect = PrefectApi(self._api)
        self.registry = f"http://127.0.0.1:{self.ports['MLFLOW']}"
        self.serve = f"http://127.0.0.1:{self.ports['SERVE']}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "flows", "up", "--home", str(self.home)]
        with self.errors.open("ab") as sink:
            self.process = subprocess.Popen(
                [*command, "--without", self._without],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=self.environment,
            )

    def part(self, name: str) -> dict[str, Any]:
        state = read_state(self.home)
        ours = state.get("pid") == self.process.pid  # else it is what a killed one has left
        return dict(state["parts"].get(name, {})) if ours else {}

    def wait(self, name: str, state: str, *, restarts: int = 0) -> dict[str, Any]:
        def there() -> Any:
            assert self.process.poll() is None, self.told()
            part = self.part(name)
            return part if part.get("state") == state and part["restarts"] >= restarts else None

        return dict(until(there, f"{name} {state}", told=self.told))

    def told(self) -> str:
        return self.errors.read_text(encoding="utf-8")[-4000:]

    def deployment(self, flow: str) -> dict[str, Any]:
        flow_id = self.prefect.call(f"/flows/name/{flow}")["id"]
        wanted = {"deployments": {"name": {"any_": ["default"]}}}
        found = self.prefect.call("/deployments/filter", wanted)
        return next(d for d in found if d["flow_id"] == flow_id)

    def start_flow(self, flow: str, **parameters: Any) -> str:
        """Ask for a run now, as the schedule does; return its id."""
        made = self.prefect.call(
            f"/deployments/{self.deployment(flow)['id']}/create_flow_run",
            {"parameters": parameters, "state": {"type": "SCHEDULED"}},
        )
        return str(made["id"])

    def scheduled(self, flow: str) -> dict[str, Any]:
        """Wait for the end of a run that the server's own scheduler has made; stop further ones."""

        def there() -> Any:
            wanted = {
                "flows": {"name": {"any_": [flow]}},
                "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}},
                "sort": "START_TIME_ASC",
            }
            found = self.prefect.call("/flow_runs/filter", wanted)
            return next((run for run in found if run["auto_scheduled"]), None)

        run = dict(until(there, f"a scheduled run of {flow} ends", told=self.told))
        deployment = self.deployment(flow)
        for one in deployment["schedules"]:
            if one["slug"] == "also":
                address = f"{self._api}/deployments/{deployment['id']}/schedules/{one['id']}"
                send("PATCH", address, {"active": False})
        return run

    def flow_run(self, run: str) -> dict[str, Any]:
        return dict(self.prefect.call(f"/flow_runs/{run}"))

    def ended(self, run: str) -> dict[str, Any]:
        """Wait for a run's end; return it."""

        def there() -> Any:
            try:
                found = self.flow_run(run)
            except Retryable:  # a busy server
                return None
            return found if found["state"]["type"] in TERMINAL else None

        return dict(until(there, f"flow run {run} ends", told=self.told))

    def working(self, run: str) -> list[int]:
        """Wait until a run does its own work; return its processes."""

        def there() -> Any:
            found = self.flow_run(run)
            assert found["state"]["type"] not in TERMINAL, self.told()
            return self.processes_of(run) if found["state"]["type"] == "RUNNING" else None

        return list(until(there, f"flow run {run} works", told=self.told))

    def runs_of(self, flow: str) -> list[dict[str, Any]]:
        wanted = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_ASC"}
        return list(self.prefect.call("/flow_runs/filter", wanted))

    def processes_of(self, run: str) -> list[int]:
        return [pid for pid, env in marked(self.home).items() if env.get(FLOW_RUN) == run]

    def artifacts(self, run: str) -> dict[str, dict[str, Any]]:
        wanted = {"flow_runs": {"id": {"any_": [run]}}}
        return {a["key"]: a for a in self.prefect.call("/artifacts/filter", wanted) if a["key"]}

    def versions(self, model: str) -> dict[int, dict[str, str]]:
        """Return the tags of a model's versions, as the registry's API tells them."""
        query = f"filter=name%3D%27{model}%27&max_results=100"
        said = get(f"{self.registry}/api/2.0/mlflow/model-versions/search?{query}")
        return {
            int(row["version"]): {tag["key"]: tag["value"] for tag in row["tags"]}
            for row in said.get("model_versions", [])
        }

    def plan(self, model: str) -> dict[str, Any]:
        said = get(f"{self.registry}/api/2.0/mlflow/registered-models/get?name={model}")
        tags = {tag["key"]: tag["value"] for tag in said["registered_model"].get("tags", [])}
        return dict(json.loads(tags.get("ratchet.plan", "{}")))

    def stop(self) -> float:
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        return time.monotonic() - began

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        end_marked(self.home, grace_s=0)


def get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return dict(json.loads(answer.read()))


def post(url: str, body: object, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    return dict(json.loads(send("POST", url, body, headers)))


def send(method: str, url: str, body: object, headers: Mapping[str, str] | None = None) -> bytes:
    request = urllib.request.Request(
        url,
        json.dumps(body).encode(),
        {"Content-Type": "application/json", **(headers or {})},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return bytes(answer.read())
