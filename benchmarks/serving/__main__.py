"""`python -m benchmarks.serving`: latencies at 200/s and 500/s, and 1,000 requests to a plan.

Prints a table and writes HOME/bench/serving.json: a list of {name, value, unit, against, ratio},
where `against` is the bound that the design sets itself (p99 under 10 ms at 500/s).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tests.bentos.bundles import write_plan, write_version
from tests.bentos.serving import Service
from tests.bentos.waiting import until

ROUNDS = 67  # times three classes: 201 trees
BOUNDS_MS = {"p50": 2.0, "p99": 10.0, "p99.9": 25.0}
PLANNED = {"challengers": {"2": 0.2}, "shadows": [3]}


class Bench:
    """The service under load, and how much it is preferred to what else runs here."""

    def __init__(self, service: Service, autogroup: int) -> None:
        self.service = service
        self._autogroup = autogroup
        for worker in service.workers():
            self.prefer(worker.pid)

    def prefer(self, pid: int) -> None:
        """Set the scheduling group's nice value: `nice` alone works only within a session."""
        if self._autogroup:
            Path(f"/proc/{pid}/autogroup").write_text(str(self._autogroup))

    def cpu_s(self) -> float:
        return sum(sum(worker.cpu_times()[:2]) for worker in self.service.workers())

    def gauge(self, name: str) -> float:
        text = self.service.call("GET", "/metrics").body.decode()
        return float(text.partition(f"\nratchet_{name}{{")[2].partition("} ")[2].split()[0])

    def load(self, rate: float, seconds: float) -> dict[str, Any]:
        port = str(self.service.port)
        with subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serving.generator", port, str(rate), str(seconds)],
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            self.prefer(process.pid)
            assert process.stdout is not None
            return dict(json.loads(process.stdout.read()))


def lay_out(serving: Path) -> None:
    for number in (1, 2, 3):
        folder = serving / "tiny" / "versions" / str(number)
        write_version(folder, seed=number, rounds=ROUNDS)
    write_plan(serving / "tiny", **PLANNED)


def figure(name: str, value: float, unit: str, against: float | None = None) -> dict[str, Any]:
    ratio = None if not against else round(value / against, 4)
    return {"name": name, "value": value, "unit": unit, "against": against, "ratio": ratio}


def latencies(bench: Bench, rate: int, seconds: float) -> list[dict[str, Any]]:
    before = bench.cpu_s()
    told = bench.load(rate, seconds)
    cpu_us = (bench.cpu_s() - before) / told["requests"] * 1e6
    failed = told["requests"] - told["outcomes"].get("200", 0)
    figures = [
        figure(f"predict {rate}/s {mark}", value, "ms", BOUNDS_MS.get(mark))
        for mark, value in told["latency_ms"].items()
    ]
    figures.append(figure(f"predict {rate}/s not answered", failed, "requests"))
    figures.append(figure(f"predict {rate}/s CPU a request", round(cpu_us), "us"))
    late = told["sent_late_ms_p99"]
    figures.append(figure(f"predict {rate}/s sent late p99 (generator)", late, "ms"))
    return figures


def plan(bench: Bench) -> list[dict[str, Any]]:
    """A thousand requests: who answered, and what was scored beside them."""
    until(lambda: bench.gauge("log_waiting") == bench.gauge("shadow_waiting") == 0)
    before = len(bench.service.records())
    told = bench.load(200, 5)
    n = told["requests"]
    records = until(lambda: r if len(r := bench.service.records()[before:]) >= 3 * n else [])
    variants = Counter(r["variant"] for r in records)
    return [
        figure("plan: requests answered", told["outcomes"].get("200", 0), "requests", n),
        figure("plan: challenger's share", told["variants"]["challenger"] / n, "share", 0.2),
        figure("plan: shadow predictions a request", variants["shadow"] / n, "rows", 2),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving")
    parser.add_argument("--home", type=Path, default=Path("var"))
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument(
        "--autogroup", type=int, default=0, help="-10: ahead of other work (needs root)"
    )
    options = parser.parse_args()
    os.environ["OTEL_SDK_DISABLED"] = "true"
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        lay_out(home / "serving")
        with Service(home) as service:
            service.wait_ready()
            bench = Bench(service, options.autogroup)
            bench.load(200, 2)  # the first requests of a process are its slowest
            for rate in (200, 500):
                figures += latencies(bench, rate, options.seconds)
            figures += plan(bench)
            pause_ms = bench.gauge("gc_pause_seconds_max") * 1000
            figures.append(figure("longest garbage collection", round(pause_ms, 3), "ms"))
    width = max(len(f["name"]) for f in figures)
    for f in figures:
        against = "" if f["against"] is None else f"  against {f['against']:g}, x{f['ratio']:g}"
        print(f"{f['name']:<{width}}  {f['value']:>10.3f} {f['unit']}{against}")
    path = options.home / "bench" / "serving.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
