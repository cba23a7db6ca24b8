"""What is measured, one function a question; each starts what it needs and returns figures."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, figure
from benchmarks.serving.bodies import requests
from benchmarks.serving.peers import running as peers
from tests.bentos.bundles import write_intraday, write_plan, write_version
from tests.bentos.serving import ROOT, Service
from tests.bentos.waiting import until

ROUNDS = 67  # times three classes: 201 trees
PLANNED = {"challengers": {"2": 0.2}}  # champion and challenger shadow each other: one a request
THREE = {"challengers": {"2": 0.2}, "shadows": [3]}  # two a request
BOUNDS_MS = {"p50": 1.0, "p99": 5.0}
SLOW_MS = 20.0
TRAINING = (
    "from flows.background import lower; lower()\n"
    "import lightgbm as l, numpy as n\n"
    "r = n.random.default_rng(1); x = r.normal(size=(50000, 40))\n"
    "d = l.Dataset(x, r.integers(0, 3, 50000))\n"
    "while True: l.train({'objective': 'multiclass', 'num_class': 3, 'num_threads': 2,"
    " 'verbose': -1}, d, 50)\n"
)


@dataclass(frozen=True)
class Times:
    """Seconds of load per row."""

    short: float
    rate: float
    long: float
    soak: int  # requests


QUICK, FULL = Times(1.5, 2, 3, 2_000), Times(5, 15, 40, 100_000)


class Bench:
    """Loads on a server, preferred to what else runs here where that is asked for."""

    def __init__(self, home: Path, times: Times, autogroup: int) -> None:
        self.home, self.times = home, times
        self._autogroup = autogroup

    def prefer(self, pid: int) -> None:
        """Set the scheduling group's nice value: `nice` alone works only within a session."""
        if self._autogroup:
            Path(f"/proc/{pid}/autogroup").write_text(str(self._autogroup))

    def service(self, name: str, workers: int = 1) -> Service:
        """Return a ready service of the home of that name."""
        service = Service(self.home / name, workers=workers).wait_ready(workers)
        for worker in service.workers():
            self.prefer(worker.pid)
        self.load(service.port, seconds=2, rate=200)  # a process's first requests are its slowest
        return service

    def begin(self, port: int, **wanted: Any) -> subprocess.Popen[bytes]:
        """Start a load."""
        told = json.dumps({"port": port, **wanted})
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serving.generator", told],
            cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self.prefer(process.pid)
        return process

    @staticmethod
    def end(process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """Return a load's document."""
        out, _ = process.communicate()
        assert process.returncode == 0
        return dict(json.loads(out))

    def load(self, port: int, **wanted: Any) -> dict[str, Any]:
        """Run a load to its end."""
        return self.end(self.begin(port, **wanted))


def lay_out(home: Path, versions: int = 3, **planned: Any) -> None:
    """Write a home: one model of day candles with 201 trees a version, one of minutes."""
    home.mkdir(parents=True)
    for number in range(1, versions + 1):
        folder = home / "serving" / "tiny" / "versions" / str(number)
        write_version(folder, seed=number, rounds=ROUNDS)
    write_plan(home / "serving" / "tiny", **(planned or PLANNED))
    write_intraday(home / "serving")


def cpu_s(service: Service) -> float:
    return sum(sum(worker.cpu_times()[:2]) for worker in service.workers())


def told(
    name: str, got: Mapping[str, Any], bounds: Mapping[str, float] | None = None
) -> list[Figure]:
    """Return the figures of one load."""
    failed = got["requests"] - got["outcomes"].get("200", 0)
    figures = [
        figure(f"{name} {mark}", value, "ms", (bounds or {}).get(mark))
        for mark, value in got["latency_ms"].items()
    ]
    figures.append(figure(f"{name} not answered", failed, "requests"))
    figures.append(figure(f"{name} sent late p99 (generator)", got["sent_late_ms_p99"], "ms"))
    return figures


def one_worker(bench: Bench) -> list[Figure]:
    """Latencies by rate and connections, CPU a request, saturation, a long run with its causes."""
    figures: list[Figure] = []
    with bench.service("one") as service:
        for rate in (200, 500):
            before = cpu_s(service)
            got = bench.load(service.port, seconds=bench.times.rate, rate=rate)
            figures += told(f"{rate}/s", got, BOUNDS_MS if rate == 500 else None)
            cpu_us = (cpu_s(service) - before) / got["requests"] * 1e6
            figures.append(figure(f"{rate}/s CPU a request", round(cpu_us), "us"))
        for connections in (1, 8, 32):
            got = bench.load(
                service.port, seconds=bench.times.short, rate=300, connections=connections
            )
            p99 = got["latency_ms"]["p99"]
            figures.append(figure(f"300/s on {connections} connections p99", p99, "ms"))
        figures += saturation(bench, service, "one worker")
        figures += long_run(bench, service)
        figures += while_training(bench, service)
    return figures


def saturation(bench: Bench, service: Service, name: str) -> list[Figure]:
    """Answers a second with every connection busy; of one worker the shadows that it cost, too."""
    one = len(service.workers()) == 1
    before = told_by(service, "shadow_dropped_total") if one else 0
    got = bench.load(service.port, seconds=bench.times.short, connections=32)
    figures = [figure(f"saturation, {name}", got["answers_a_second"], "answers/s")]
    if one:
        lost = told_by(service, "shadow_dropped_total") - before
        figures.append(figure(f"saturation, {name}, shadow predictions dropped", lost, "rows"))
    return figures


def long_run(bench: Bench, service: Service) -> list[Figure]:
    """200/s; each answer slower than 20 ms laid over the service's own record of its pauses."""
    got = bench.load(service.port, seconds=bench.times.long, rate=200, slow_ms=SLOW_MS)
    figures = told("200/s long", got, {"p99.9": SLOW_MS})
    until(lambda: "log_waiting" in metrics(service))
    pauses = [r for r in service.records() if r["kind"] == "pause"]
    why: dict[str, int] = {}
    for due_ms, done_ms in got["slow"]:
        over = [p for p in pauses if p["from_ms"] <= done_ms and p["at_ms"] >= due_ms]
        cause = max(over, key=lambda p: p["pause_ms"])["pause"] if over else "not the service"
        why[cause] = why.get(cause, 0) + 1
    figures += [
        figure(f"200/s long slower than {SLOW_MS:g} ms: {cause}", count, "answers")
        for cause, count in sorted(why.items())
    ]
    return figures


def metrics(service: Service) -> str:
    return service.call("GET", "/metrics").body.decode()


def told_by(service: Service, name: str) -> int:
    """Return a counter of the one worker that answers."""
    found = re.search(rf"ratchet_{name}\S* (\d+)", metrics(service))
    assert found is not None, name
    return int(found[1])


def while_training(bench: Bench, service: Service) -> list[Figure]:
    """500/s while LightGBM trains on both cores, lowered as our own flows lower themselves."""
    training = subprocess.Popen(
        [sys.executable, "-c", TRAINING], cwd=ROOT, start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive"},
    )  # fmt: skip
    try:
        until(lambda: sum(os.times()[:2]) and training.poll() is None)
        got = bench.load(service.port, seconds=bench.times.rate, rate=500)
    finally:
        training.kill()
        training.wait()
    return told("500/s while a training runs", got, {"p99": 10.0})


def three_versions(bench: Bench) -> list[Figure]:
    """The same with two shadow predictions a request."""
    with bench.service("three") as service:
        got = bench.load(service.port, seconds=bench.times.rate, rate=500)
        figures = told("500/s, two shadows a request,", got)
        return figures + saturation(bench, service, "two shadows a request")


def soak(bench: Bench) -> list[Figure]:
    """Memory of a worker over very many requests: after the first tenth it should be flat."""
    mib, figures = 2**20, list[Figure]()
    with bench.service("soak") as service:
        worker = service.workers()[0]
        figures.append(
            figure("soak, memory fresh", round(worker.memory_info().rss / mib, 1), "MiB")
        )
        asked = answered = 0
        for tenth in range(10):
            got = bench.load(
                service.port, seconds=0, connections=16, count=max(1, bench.times.soak // 10)
            )
            asked, answered = asked + got["requests"], answered + got["outcomes"].get("200", 0)
            if tenth in {0, 9}:
                name = f"soak, memory after {asked} requests"
                figures.append(figure(name, round(worker.memory_info().rss / mib, 1), "MiB", 200))
        figures.append(figure("soak, not answered", asked - answered, "requests"))
        for name, what in (("log", "records"), ("shadow", "shadow predictions")):
            lost = told_by(service, f"{name}_dropped_total")
            figures.append(figure(f"soak, {what} dropped", lost, "rows"))
    return figures


def two_workers(bench: Bench) -> list[Figure]:
    """500/s and saturation of two workers; what a killed worker costs."""
    with bench.service("two", workers=2) as service:
        got = bench.load(service.port, seconds=bench.times.short * 2, rate=500)
        figures = told("two workers, 500/s", got)
        return figures + saturation(bench, service, "two workers")


def killed(bench: Bench) -> list[Figure]:
    """Kill the only worker; how long until somebody answers again."""
    with bench.service("killed") as service:
        _, _, body = next(requests("ratchet", 1, 1)).partition(b"\r\n\r\n")
        service.workers()[0].kill()
        began = time.monotonic()
        while True:
            try:
                if service.call("POST", "/v1/models/tiny/predict", body).status == 200:
                    break
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)
        return [figure("a killed worker answers again after", time.monotonic() - began, "s", 1.0)]


def ten_versions(bench: Bench) -> list[Figure]:
    """Memory of a worker with ten versions in its plan, fresh and after a load; its keeper's too.

    Resident pages, and its proportional share: a page that the keeper and the worker both map
    counts half in each.
    """
    mib = 2**20
    with bench.service("ten") as service:
        fresh = service.workers()[0].memory_info().rss / mib
        got = bench.load(service.port, seconds=bench.times.rate, connections=16)
        until(lambda: service.call("GET", "/v1/models").json()["models"])
        worker = service.workers()[0]
        after = worker.memory_info().rss / mib
        shares = [p.memory_full_info().pss / mib for p in (worker, *worker.parents()[:1])]
    name = "memory of a worker, 10 versions"
    return [
        figure(name, round(fresh, 1), "MiB", 200),
        figure(f"{name}, after {got['requests']} requests", round(after, 1), "MiB", 200),
        figure(f"{name}, its share", round(shares[0], 1), "MiB", 200),
        figure("memory of its keeper, its share", round(shares[1], 1), "MiB"),
        figure(f"{name}, and keeper, shares", round(sum(shares), 1), "MiB", 200),
    ]


def two_models(bench: Bench) -> list[Figure]:
    """The small model's latency alone, while the other is flooded, while the other cannot load."""
    figures: list[Figure] = []
    seconds = bench.times.short
    with bench.service("models") as service:
        alone = bench.load(service.port, seconds=seconds, rate=100, form="minutes")
        flood = bench.begin(service.port, seconds=seconds + 2, connections=128)
        beside = bench.load(service.port, seconds=seconds, rate=100, form="minutes")
        shed = bench.end(flood)["outcomes"]
        folder = service.home / "serving" / "tiny"
        write_version(folder / "versions" / "9", seed=9, broken=True)
        write_plan(folder, revision=9, champion=9)
        broken = bench.load(service.port, seconds=seconds, rate=100, form="minutes")
    p99 = alone["latency_ms"]["p99"]
    figures.append(figure("second model alone p99", p99, "ms"))
    for name, got in (("first flooded", beside), ("first does not load", broken)):
        failed = got["requests"] - got["outcomes"].get("200", 0)
        figures.append(figure(f"second model, {name} p99", got["latency_ms"]["p99"], "ms", p99))
        figures.append(figure(f"second model, {name} not answered", failed, "requests"))
    figures += [figure(f"first model flooded: {k}", n, "requests") for k, n in shed.items()]
    return figures


def compared(bench: Bench, ours: float) -> list[Figure]:
    """The peers, with the same body on the same cores; ratio: ours over theirs."""
    figures: list[Figure] = []
    version = bench.home / "one" / "serving" / "tiny" / "versions" / "1"
    for name in peers.PEERS:
        try:
            figures += _peer(bench, name, version, ours)
        except (AssertionError, OSError, subprocess.SubprocessError) as fault:
            # no registry to install it from, or it does not start: the others are still measured
            print(f"bench: {name} left out: {fault}", file=sys.stderr, flush=True)
    return figures


def _peer(bench: Bench, name: str, version: Path, ours: float) -> list[Figure]:
    with peers.running(name, version, bench.home / "peers") as port:
        bench.load(port, seconds=1.5, rate=50, form=name)
        got = bench.load(port, seconds=bench.times.short, connections=32, form=name)
        theirs = got["answers_a_second"]
        rate = min(500, 0.5 * theirs)
        got = bench.load(port, seconds=bench.times.short, rate=rate, form=name)
    latency = got["latency_ms"]
    return [
        figure(f"saturation, one worker, against {name}", ours, "answers/s", theirs),
        *(figure(f"{name} at {rate:.0f}/s {m}", latency[m], "ms") for m in ("p50", "p99")),
    ]
