"""`python -m benchmarks.pipeline`: the stack's start, memory, idle CPU, restart and stop; training.

Compared with what the design promises (1.5 GiB idle, 15 s to stop) and with figures measured for
the same steps with the bare tools on two cores (42 s from nothing to a registered model in the
worker, 15 s by hand without a server).
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, figure, keep
from flows.stack.mark import PART, marked
from tests.end_to_end.stack import Up, until

IDLE_MIB, STOP_S, FIRST_MODEL_S, BY_HAND_S = 1536, 15, 42, 15
SETTLE_S, IDLE_S = 10, 30
SAMPLE = {
    "RATCHET_PIPELINE__SOURCE": "sample",
    "RATCHET_PIPELINE__DATASET": "sample",
    "RATCHET_PIPELINE__ENTRIES": "top-share=0.2",
}


def pss_mib(pid: int) -> float:
    """Proportional share of memory: what ending this process would free, shared pages divided."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0.0
    match = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) / 1024 if match else 0.0


def cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def by_hand(base: Path) -> list[Figure]:
    """`ratchet ingest` and `ratchet train` without a server."""
    home, taken = base / "by-hand", {}
    steps = (
        ("ingest", ("--source", "sample")),
        ("train", ("--entries", "top-share=0.2")),
    )
    figures = []
    for verb, arguments in steps:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.monotonic()
        command = [sys.executable, "-m", "flows", verb, *arguments, "--home", str(home)]
        subprocess.run(command, check=True, capture_output=True)
        taken[verb] = time.monotonic() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        figures.append(figure(f"by hand: {verb} of the sample, CPU", cpu, "s"))
    whole = figure(
        "by hand: empty folder to a registered model", sum(taken.values()), "s", BY_HAND_S
    )
    return [whole, *figures]


def stack(base: Path) -> list[Figure]:
    """Everything but a released model to start with: start, train, release, rest, restart, stop."""
    began = time.monotonic()
    up = Up(base / "home", "", SAMPLE)
    figures: list[Figure] = []

    def since(name: str, against: float | None = None) -> None:
        figures.append(figure(name, time.monotonic() - began, "s", against))

    try:
        for part, name in (("mlflow", "registry"), ("prefect", "Prefect"), ("worker", "worker")):
            up.wait(part, "up")
            since(f"up: empty folder to {name} ready")
        up.wait("deployments", "done")
        since("up: empty folder to deployments registered")
        _completed(up, "ingest", sessions_only=False)
        _completed(up, "train")
        since("up: empty folder to a model registered by the worker", FIRST_MODEL_S)
        until(lambda: up.runs_of("release"), "a release")
        up.wait("agent", "up")
        since("up: empty folder to the agent running on the released model")
        time.sleep(SETTLE_S)  # the last flow run has ended; let everything come to rest
        figures += _rest(up)
        figures.append(_restart(up))
        figures.append(figure("up: stop of everything", up.stop(), "s", STOP_S))
    finally:
        up.kill()
    return figures


def _completed(up: Up, flow: str, **parameters: Any) -> None:
    run = up.ended(up.start_flow(flow, **parameters))
    if run["state"]["type"] != "COMPLETED":
        raise SystemExit(f"{flow}: {run['state']}; {up.told()}")


def _rest(up: Up) -> list[Figure]:
    """Memory and CPU of every part while nothing is to be done."""
    keeper = up.process.pid
    members = {pid: env[PART] for pid, env in marked(up.home).items()} | {keeper: "keeper"}
    before = sum(map(cpu_s, members))
    time.sleep(IDLE_S)
    used = (sum(map(cpu_s, members)) - before) * 60 / IDLE_S
    parts: dict[str, float] = {}
    for pid, part in members.items():
        parts[part] = parts.get(part, 0.0) + pss_mib(pid)
    total = figure("idle: memory of everything (PSS)", sum(parts.values()), "MiB", IDLE_MIB)
    each = [figure(f"idle: {part} (PSS)", mib, "MiB") for part, mib in sorted(parts.items())]
    return [total, *each, figure("idle: CPU of everything", used, "s a minute")]


def _restart(up: Up) -> Figure:
    """Time from kill -9 of the served model's first process to its next answer."""
    os.kill(up.part("serve")["pid"], signal.SIGKILL)
    began = time.monotonic()
    up.wait("serve", "up", restarts=1)
    return figure("up: served model killed to answering again", time.monotonic() - began, "s")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline")
    parser.add_argument("--home", type=Path, default=Path("var"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = by_hand(Path(folder)) + stack(Path(folder))
    keep("pipeline", figures, options.home)


if __name__ == "__main__":
    main()
