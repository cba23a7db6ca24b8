"""The schedules for real: Prefect server, worker and registry under `ratchet up`.

`ingest`, a training killed with its worker, its rerun, the release that its registration starts,
a second version under traffic: all seen through the servers' own APIs. One stack for all tests,
each stage a fixture; a stage fails with the log of the stack.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.market.sessions import IST, NSE
from flows.bundle import FILES, VERSION
from flows.children import require_free_port
from flows.prefect_runs import NO_SESSION
from flows.stack.mark import marked
from flows.stack.status import is_running, status
from tests.end_to_end.stack import STEP_S, Up, get, post, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("stack")]
MODEL, DAYS = "small", 420
STOP_S = 15.0


def write_candles(path: Path) -> None:
    rng = np.random.default_rng(3)
    days = np.busday_offset("2023-01-02", np.arange(DAYS))
    rows = ["symbol,ts,open,high,low,close,volume"]
    for symbol in ("AAA", "BBB", "CCC"):
        close = np.round(1000 * np.exp(np.cumsum(rng.normal(0, 0.015, DAYS))), 2)
        opened = np.round(close * np.exp(rng.normal(0, 0.004, DAYS)), 2)
        high = np.round(np.maximum(opened, close) * 1.006, 2)
        low = np.round(np.minimum(opened, close) * 0.994, 2)
        for i, day in enumerate(days):
            prices = f"{opened[i]},{high[i]},{low[i]},{close[i]}"
            rows.append(f"NSE:{symbol},{day}T00:00:00+05:30,{prices},{100_000 + i}")
    path.write_text("\n".join(rows) + "\n")


def bundles(folder: Path) -> list[Path]:
    """Return the model versions that a registry's folder holds."""
    return [path.parent for path in folder.rglob("model.txt")]


def content(folder: Path) -> dict[str, str]:
    """Return what a folder holds: relative path to the hash of the file."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


class Undisturbed:
    """The same commands by hand, one after the other, in a home of their own."""

    def __init__(self, base: Path, candles: Path) -> None:
        self.home = base / "home"
        self._told = base / "told.txt"
        source = ("--source", f"csv:{candles}", "--dataset", MODEL)
        steps = (("ingest", *source), ("train", "--dataset", MODEL, "--entries", "top-share=0.2"))
        self._script = " && ".join(
            shlex.join([sys.executable, "-m", "flows", *step, "--home", str(self.home)])
            for step in steps
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._told.open("ab") as sink:
            self._process = subprocess.Popen(["sh", "-c", self._script], stdout=sink, stderr=sink)

    def ended(self) -> Path:
        """Wait for the end; return the home."""
        assert self._process is not None
        assert self._process.wait(STEP_S) == 0, self._told.read_text()
        return self.home

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("candles") / "small.csv"
    write_candles(path)
    return path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, candles: Path) -> Iterator[Undisturbed]:
    run = Undisturbed(tmp_path_factory.mktemp("undisturbed"), candles)
    yield run
    run.kill()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, candles: Path) -> Iterator[Up]:
    base = tmp_path_factory.mktemp("stack")
    settings = {
        "RATCHET_PIPELINE__SOURCE": f"csv:{candles}",
        "RATCHET_PIPELINE__DATASET": MODEL,
        "RATCHET_PIPELINE__ENTRIES": "top-share=0.2",
        "RATCHET_PIPELINE__ALSO": json.dumps({"ingest": "every 10 s"}),
    }
    stack = Up(base / "home", "agent,paper", settings)
    try:
        stack.wait("deployments", "done")
        yield stack
    finally:
        stack.kill()


def test_the_schedules_are_nse_s_and_the_servers_know_them(up: Up) -> None:
    found = {
        flow: [
            (s["schedule"]["cron"], s["schedule"]["timezone"], s["active"])
            for s in up.deployment(flow)["schedules"]
            if s["slug"] != "also"
        ]
        for flow in ("ingest", "train", "release", "monitor")
    }
    assert found == {
        "ingest": [("15 16 * * 1-5", "Asia/Kolkata", True)],
        "train": [("0 10 * * 6", "Asia/Kolkata", True)],
        "release": [],
        "monitor": [("0 17 * * 1-5", "Asia/Kolkata", True)],
    }
    assert "train" in up.deployment("train")["tags"]
    assert up.part("serve")["state"] == "waiting"
    assert "ratchet release" in up.part("serve")["why"]


@pytest.fixture(scope="module")
def scheduled(up: Up) -> dict[str, Any]:
    """A run of `ingest` that nobody asked for: its time had come."""
    return up.scheduled("ingest")


@pytest.fixture(scope="module")
def ingested(up: Up, scheduled: dict[str, Any]) -> dict[str, Any]:
    if scheduled["state"]["name"] != NO_SESSION:
        return scheduled
    return up.ended(up.start_flow("ingest", sessions_only=False))  # at a weekend, on a holiday


def test_a_schedule_fires_by_itself(up: Up, scheduled: dict[str, Any]) -> None:
    assert scheduled["state"]["type"] == "COMPLETED", up.told()
    assert "auto-scheduled" in scheduled["tags"]
    assert scheduled["created_by"]["type"] == "SCHEDULE"
    assert scheduled["deployment_id"] == up.deployment("ingest")["id"]
    closed = NSE.session(datetime.now(IST).date()) is None
    assert (scheduled["state"]["name"] == NO_SESSION) is closed


def test_ingest_runs_in_the_worker_under_a_name_of_its_own(
    up: Up, ingested: dict[str, Any]
) -> None:
    assert ingested["state"]["type"] == "COMPLETED", up.told()
    assert ingested["name"].startswith(f"ingest {MODEL} ")
    assert set(ingested["tags"]) >= {"ratchet", "ingest"}
    assert list((up.home / "candles" / MODEL).rglob("*.parquet"))


@dataclass
class Killed:
    """What was seen around a training killed with its worker."""

    run: str
    refused: dict[str, Any]
    crashed: dict[str, Any]
    candles: tuple[dict[str, str], dict[str, str]]
    versions: dict[int, Any]
    left: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def killed(up: Up, ingested: dict[str, Any], undisturbed: Undisturbed) -> Killed:
    assert ingested["state"]["type"] == "COMPLETED"
    before = content(up.home / "candles")
    run = up.start_flow("train")
    flow = up.working(run)
    until((up.home / "tmp" / f"train-{MODEL}").is_dir, "the training holds its lock", told=up.told)
    for pid in flow:
        os.kill(pid, signal.SIGSTOP)  # holds its lock for as long as we look
    undisturbed.start()

    refused = up.ended(up.start_flow("train"))

    worker = up.part("worker")["pid"]
    for pid in (worker, *flow):
        os.kill(pid, signal.SIGKILL)
    up.wait("worker", "up", restarts=1)
    crashed = up.ended(run)
    after = content(up.home / "candles")
    return Killed(run, refused, crashed, (before, after), up.versions(MODEL))


def test_a_second_training_of_one_model_is_refused(killed: Killed) -> None:
    assert killed.refused["state"]["type"] == "CANCELLED"
    assert killed.refused["state"]["name"] == "Refused"
    assert "train model small" in killed.refused["state"]["message"]


def test_kill_9_of_worker_and_training_leaves_things_as_they_were(up: Up, killed: Killed) -> None:
    assert killed.crashed["state"]["type"] == "CRASHED"
    assert "run it again" in killed.crashed["state"]["message"]
    assert killed.versions == {}
    assert killed.candles[0] == killed.candles[1] != {}
    assert not up.processes_of(killed.run)


@pytest.fixture(scope="module")
def first(up: Up, killed: Killed) -> dict[str, Any]:
    """The rerun after the kill, and the release that its registration starts."""
    assert killed.crashed["state"]["type"] == "CRASHED"
    trained = up.ended(up.start_flow("train"))
    assert trained["state"]["type"] == "COMPLETED", up.told()
    released = until(lambda: up.runs_of("release"), "the registration starts a release")[0]
    released = up.ended(released["id"])
    up.wait("serve", "up")
    return {"trained": trained, "released": released}


def test_the_rerun_ends_as_if_nothing_had_happened(up: Up, first: dict[str, Any]) -> None:
    assert list(up.versions(MODEL)) == [1]
    runs = post(f"{up.registry}/api/2.0/mlflow/runs/search", {"experiment_ids": ["1"]})
    assert len(runs["runs"]) == 1  # no orphan
    assert not list((up.home / "tmp").glob(f"train-{MODEL}*"))
    artifacts = up.artifacts(first["trained"]["id"])
    folds = json.loads(artifacts[f"train-{MODEL}-folds"]["data"])
    assert [row["fold"] for row in folds] == [1, 2, 3, 4, 5]
    assert all(len(row) > 3 for row in folds)
    assert f"/#/models/{MODEL}/versions/1" in artifacts[f"train-{MODEL}-version"]["data"]
    assert "statistical" in artifacts[f"train-{MODEL}-gates"]["data"]


def test_the_rerun_leaves_what_an_undisturbed_run_leaves(
    up: Up, first: dict[str, Any], undisturbed: Undisturbed
) -> None:
    """Partitions byte for byte, one version, the model's files byte for byte."""
    assert first["trained"]["state"]["type"] == "COMPLETED"
    other = undisturbed.ended()
    ours, theirs = content(up.home / "candles"), content(other / "candles")
    assert ours == theirs
    assert len(ours) > 1
    kept = [bundles(home / "mlflow") for home in (up.home, other)]
    assert [len(found) for found in kept] == [1, 1]  # no orphan on disk either
    files, others = (content(found[0]) for found in kept)
    assert set(files) >= set(FILES)
    told = [json.loads((found[0] / VERSION).read_text()) for found in kept]
    for document in told:
        del document["code_revision"]  # somebody may commit while this runs
    assert told[0] == told[1]
    assert {**files, VERSION: ""} == {**others, VERSION: ""}
    assert content(up.home / "serving" / MODEL / "versions" / "1") == {
        name: files[name] for name in FILES
    }


def test_a_registration_is_released_and_served(up: Up, first: dict[str, Any]) -> None:
    assert first["released"]["state"]["type"] == "COMPLETED", up.told()
    assert first["released"]["parameters"]["candidate"] == 1
    assert first["released"]["name"].startswith(f"release {MODEL} ")
    assert up.plan(MODEL)["champion"] == 1
    assert f"release-{MODEL}" in up.artifacts(first["released"]["id"])
    assert [v["version"] for v in get(f"{up.serve}/v1/models/{MODEL}")["versions"]] == [1]


class Traffic:
    """Asks the served model without a pause until told to stop."""

    def __init__(self, up: Up) -> None:
        golden = up.home / "serving" / MODEL / "versions" / "1" / "golden.json"
        self._body = json.loads(golden.read_text())["request"]
        self._url = f"{up.serve}/v1/models/{MODEL}/predict"
        self._stop = threading.Event()
        self.faults: list[str] = []
        self.seen: list[tuple[int, int]] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            try:
                said = post(self._url, self._body)
                self.seen.append((said["plan_revision"], said["version"]))
            except OSError as fault:
                self.faults.append(str(fault))

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


def test_the_plan_changes_hot_under_traffic(up: Up, first: dict[str, Any]) -> None:
    assert first["released"]["state"]["type"] == "COMPLETED"
    traffic = Traffic(up)
    try:
        trained = up.ended(up.start_flow("train", seed=2))
        assert trained["state"]["type"] == "COMPLETED", up.told()
        until(lambda: len(up.runs_of("release")) == 2, "the second release")
        released = up.ended(up.runs_of("release")[-1]["id"])
        assert released["state"]["type"] == "COMPLETED", up.told()
        assert (up.plan(MODEL)["champion"], up.plan(MODEL)["shadows"]) == (1, [2])
        until(
            lambda: (
                "ready"
                in [
                    v["state"]
                    for v in get(f"{up.serve}/v1/models/{MODEL}")["versions"]
                    if v["version"] == 2
                ]
            ),
            "version 2 is loaded",
        )
        token = (up.home / "secrets" / "admin-token").read_text().strip()
        post(
            f"{up.serve}/v1/models/{MODEL}/promote",
            {"version": 2, "why": "a test"},
            {"Authorization": f"Bearer {token}", "If-Match": str(up.plan(MODEL)["revision"])},
        )
        until(lambda: traffic.seen and traffic.seen[-1][1] == 2, "version 2 answers")
    finally:
        traffic.end()
    assert traffic.faults == []
    assert {version for _, version in traffic.seen} == {1, 2}
    revisions = [revision for revision, _ in traffic.seen]
    assert revisions == sorted(revisions)
    assert up.plan(MODEL)["champion"] == 2  # the registry was written first
    assert sorted(up.versions(MODEL)) == [1, 2]


def test_status_tells_what_is_up_and_what_happened(up: Up, first: dict[str, Any]) -> None:
    assert first["released"]["state"]["type"] == "COMPLETED"
    said = status(up.home)
    assert said["running"]
    assert said["wrong"] == [], said  # the killed run was made good by its rerun
    assert said["parts"]["worker"]["restarts"] == 1
    assert "SIGKILL" in said["parts"]["worker"]["last_fault"]["why"]


def test_kill_9_of_the_keeper_ends_all_and_the_next_up_repairs(
    up: Up, first: dict[str, Any]
) -> None:
    """The last test of this stack: it is killed in the middle of a training."""
    assert first["released"]["state"]["type"] == "COMPLETED"
    versions = up.versions(MODEL)
    run = up.start_flow("train", seed=9)
    up.working(run)
    assert is_running(up.home)

    up.process.kill()

    until(lambda: not marked(up.home), "nothing is left", limit_s=STOP_S)
    up.process.wait()
    assert not is_running(up.home)
    for port in up.ports.values():
        require_free_port(port, host="127.0.0.1", purpose="a test", setting="-")

    up.start()
    up.wait("deployments", "done")

    assert up.ended(run)["state"]["type"] == "CRASHED"
    assert up.versions(MODEL) == versions
    up.wait("serve", "up")
    took = up.stop()
    assert up.process.returncode == 0, up.told()
    assert took < STOP_S
    assert not marked(up.home)
    assert not is_running(up.home)
