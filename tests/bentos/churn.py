"""Everything that may change under a served model, while a steady load goes on, and its judge.

Two models are asked at a steady rate by a process of its own (steady.py) while versions are
swapped, rolled back and weighted, a version with a broken golden answer is promoted, the registry
goes away and comes back, a worker and the follower are killed with -9. The judge stands outside
and knows only the promises: nothing fails but what a killed worker held, and that not when it is
asked once more; every answer is one that a plan of that moment gives.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bentos.traffic import Plan, parse_plan, slot_of
from flows.follow import Follower
from flows.home import Home
from tests.bentos.bundles import write_intraday, write_model, write_version
from tests.bentos.registries import Registry
from tests.bentos.serving import ROOT, Answer, Connection, Service
from tests.bentos.waiting import until

NAME = "tiny"  # the model that changes
MODELS = (f"{NAME}:day:60", "minutes:5minute:75")
SETTLE_S = 60.0
ANSWERS_A_PLAN = 3


@dataclass(frozen=True)
class Sizes:
    """How much happens."""

    swaps: int
    rollbacks: int
    changes: int
    rate: float
    polls_a_second: float


@dataclass
class Story:
    """What happened, for the judge. Instants are of the machine's monotonic clock, seconds."""

    plans: dict[tuple[str, int], Plan] = field(default_factory=dict)
    written: dict[int, float] = field(default_factory=dict)  # asked for not before
    settled: dict[int, float] = field(default_factory=dict)  # every worker had it at the latest
    broken: set[int] = field(default_factory=set)  # revisions that must never answer
    kills: list[tuple[float, float]] = field(default_factory=list)  # the blow, and gone by
    polled: list[bytes] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)


class Churn:
    """One run against a service of `workers` workers."""

    def __init__(self, home: Path, registry: Registry, sizes: Sizes, workers: int = 2) -> None:
        self.sizes, self.registry, self.workers = sizes, registry, workers
        self.story = Story()
        write_model(home / "serving", NAME, versions=3, challengers={"2": 0.2}, shadows=[3])
        write_intraday(home / "serving", challengers={"2": 0.5})
        registry.start()
        os.environ["MLFLOW_TRACKING_URI"] = registry.uri
        self.service = Service(home, workers=workers, MLFLOW_TRACKING_URI=registry.uri)
        self.told: list[str] = []
        self._follower = Follower(Home(home), self.told.append)
        self._eyes: dict[int, Connection] = {}
        self._next_version = 4

    def run(self) -> Story:
        """Let everything happen; return the story."""
        stop = threading.Event()
        with self.service:
            try:
                self.service.wait_ready(self.workers)
                for name in (NAME, "minutes"):
                    self._note(name, self._traffic(name))
                self.story.written[1] = self.story.settled[1] = time.monotonic()
                self._follower.start()
                polls = threading.Thread(target=self._poll, args=(stop,))
                polls.start()
                with self._load() as load:
                    self._answers()
                    self._happen()
                    assert load.stdin is not None
                    load.stdin.close()
                    assert load.wait(60) == 0
                stop.set()
                polls.join()
            finally:
                stop.set()
                self._follower.stop()
                for eye in self._eyes.values():
                    eye.close()
        self.registry.stop()
        lines = (self.service.home / "rows").read_text().splitlines()
        self.story.rows = [json.loads(line) for line in lines]
        return self.story

    def _load(self) -> subprocess.Popen[bytes]:
        where = [str(self.service.port), str(self.sizes.rate), str(self.service.home / "rows")]
        command = [sys.executable, "-m", "tests.bentos.steady", *where, *MODELS]
        return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE)

    def _happen(self) -> None:
        sizes = self.sizes
        halves = (sizes.swaps // 2, sizes.swaps - sizes.swaps // 2)
        self._swaps(halves[0])
        for step in range(sizes.changes):
            weights = {"2": 0.1 + 0.05 * step} | ({"3": 0.3} if step % 2 else {})
            self._change("PUT", "traffic", {"champion": 1, "challengers": weights})
        self._break_golden()
        self._registry_away()
        self._kill_worker()
        self._kill_follower()
        self._swaps(halves[1])
        for _ in range(sizes.rollbacks - 1):  # one was needed to get rid of the broken version
            self._change("POST", "rollback", b"")

    def _swaps(self, count: int) -> None:
        for _ in range(count):
            number, self._next_version = self._next_version, self._next_version + 1
            folder = self.service.home / "serving" / NAME / "versions" / str(number)
            write_version(folder, seed=1 + number % 3)
            self._change("POST", "promote", {"version": number})

    def _break_golden(self) -> None:
        number, self._next_version = self._next_version, self._next_version + 1
        folder = self.service.home / "serving" / NAME / "versions" / str(number)
        write_version(folder, seed=2, broken=True)
        plan = self._asked("POST", "promote", {"version": number})
        self.story.broken.add(plan.revision)
        for worker in range(1, self.workers + 1):
            until(lambda w=worker: self._says_failed(w, number), SETTLE_S)
        self._change("POST", "rollback", b"")

    def _says_failed(self, worker: int, number: int) -> bool:
        return any(
            version["version"] == number and version["state"].startswith("failed: golden")
            for version in self._model(worker)["versions"]
        )

    def _registry_away(self) -> None:
        revision = self._traffic(NAME)["revision"]
        self.registry.stop()
        got = self.service.admin("POST", f"/v1/models/{NAME}/rollback", b"", revision)
        assert (got.status, got.json()["type"]) == (
            503, "urn:ratchet:problem:registry-unreachable",
        ), got.body  # fmt: skip
        until(lambda: any("stays as it is" in line for line in list(self.told)), SETTLE_S)
        assert self._traffic(NAME)["revision"] == revision
        self.registry.start()
        self._change("PUT", "traffic", {"champion": 2, "shadows": [1]})

    def _kill_worker(self) -> None:
        before = {worker.pid for worker in self.service.workers()}
        victim = self.service.workers()[0]
        blow = time.monotonic()
        victim.kill()
        until(lambda: not victim.is_running(), SETTLE_S)  # the kernel takes its sockets last
        self.story.kills.append((blow, time.monotonic()))
        until(lambda: len({w.pid for w in self.service.workers()} - before) == 1, SETTLE_S)
        self._settle(self._traffic(NAME)["revision"])

    def _kill_follower(self) -> None:
        first = until(lambda: self._follower.pid)
        os.kill(first, signal.SIGKILL)
        self._change("PUT", "traffic", {"champion": 3, "challengers": {"1": 0.5}})
        until(lambda: self._follower.pid not in {None, first}, SETTLE_S)

    def _change(self, method: str, end: str, body: Any) -> None:
        """Change the plan; wait until every worker follows it and it has answered a few times."""
        self._settle(self._asked(method, end, body).revision)
        self._answers()

    def _answers(self) -> None:
        before = self._requests()
        until(lambda: self._requests() >= before + ANSWERS_A_PLAN, SETTLE_S)

    def _requests(self) -> int:
        return sum(int(self._model(w)["requests"]) for w in range(1, self.workers + 1))

    def _asked(self, method: str, end: str, body: Any) -> Plan:
        revision = self._traffic(NAME)["revision"]
        asked = time.monotonic()
        got = self.service.admin(method, f"/v1/models/{NAME}/{end}", body, revision)
        assert got.status == 200, got.body
        plan = self._note(NAME, got.json())
        assert plan.revision == revision + 1, (plan.revision, revision)
        self.story.written[plan.revision] = asked
        return plan

    def _settle(self, revision: int) -> None:
        for worker in range(1, self.workers + 1):
            until(lambda w=worker: self._model(w)["plan_revision"] == revision, SETTLE_S)
        self.story.settled.setdefault(revision, time.monotonic())

    def _model(self, worker: int) -> dict[str, Any]:
        """Return what one worker says about the model that changes."""
        models = self._eye(worker, "/v1/models").json()["models"]
        return next(dict(model) for model in models if model["name"] == NAME)

    def _eye(self, worker: int, path: str) -> Answer:
        """Ask one worker: a connection stays with the worker that took it."""
        while True:
            eye = self._eyes.get(worker)
            if eye is None:
                eye = self.service.connect()
                found = int(eye.call("GET", "/v1/models").json()["worker"])
                if (other := self._eyes.pop(found, None)) is not None:
                    other.close()
                self._eyes[found] = eye
                continue
            try:
                return eye.call("GET", path)
            except (OSError, http.client.HTTPException):  # it was killed
                eye.close()
                del self._eyes[worker]

    def _traffic(self, name: str) -> dict[str, Any]:
        return dict(self.service.call("GET", f"/v1/models/{name}/traffic").json())

    def _note(self, name: str, document: dict[str, Any]) -> Plan:
        plan = parse_plan(document, model=name)
        self.story.plans[name, plan.revision] = plan
        return plan

    def _poll(self, stop: threading.Event) -> None:
        """Read the plan at a steady rate: each reading must be one whole plan."""
        connection = self.service.connect()
        due = time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            due += 1 / self.sizes.polls_a_second
            try:
                got = connection.call("GET", f"/v1/models/{NAME}/traffic")
            except (OSError, http.client.HTTPException):  # its worker was killed
                connection.close()
                connection = self.service.connect()
                continue
            self.story.polled.append(got.body)
        connection.close()


def judge(story: Story) -> dict[str, Any]:
    """Hold the story against the promises; return its figures.

    Raises
    ------
    AssertionError
        With the row that breaks one.
    """
    lost = [row for row in story.rows if "lost" in row]
    for row in story.rows:
        assert "failed" not in row, row
        assert row["status"] == 200, row
    for row in lost:
        assert any(row["sent"] <= gone and blow <= row["lost_at"] for blow, gone in story.kills), (
            row
        )
    kept: dict[tuple[str, int, str], int] = {}
    for row in story.rows:
        _judge_answer(story, row)
        unit = (row["model"], row["plan_revision"], row["unit"])
        assert kept.setdefault(unit, row["version"]) == row["version"], ("not sticky", row)
    known = {json.dumps(p.document(), sort_keys=True) for p in story.plans.values()}
    for body in set(story.polled):
        assert json.dumps(json.loads(body), sort_keys=True) in known, body
    answered = {row["plan_revision"] for row in story.rows if row["model"] == NAME}
    return {
        "requests": len(story.rows),
        "lost with the killed worker": len(lost),
        "failed after one retry": 0,
        "plans written": len(story.written),
        "plans that answered": len(answered),
        "units": len(kept),
        "polls of the plan": len(story.polled),
    }


def _judge_answer(story: Story, row: dict[str, Any]) -> None:
    plan = story.plans[row["model"], row["plan_revision"]]
    key, _, day = row["unit"].partition("|")
    assert key == row["key"], row
    told = (row["version"], row["variant"])
    assert told == plan.choose(slot_of(plan.model, plan.salt, key, day)), row
    if row["model"] != NAME:
        return
    assert plan.revision not in story.broken, row
    assert story.written[plan.revision] <= row["done"], row
    older = [r for r, at in story.settled.items() if at <= row["sent"]]
    assert plan.revision >= max(older), (max(older), row)
