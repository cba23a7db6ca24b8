"""The bulk path beside other engines' trailing stops: one path, one rule, one run.

Each peer runs in an environment of its own under HOME/bench/peers, never in ours; its trades are
compared with ours before its time is told. Times are CPU seconds of one thread: on a quiet machine
they are the wall's, on a busy one the wall's say nothing. A peer that cannot be installed, or
crashes, is told with its reason.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.trailing.bulk.layout import END
from agent.trailing.bulk.scale import Range, vector_of
from agent.trailing.bulk.search import Atr, always_in
from agent.trailing.policy import Policy
from benchmarks.figures import Figure, figure
from flows.sweep.kernels import kernels

Ints = npt.NDArray[np.int64]
ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).with_name("peers")
TICKS = 1_000_000
RUNS = 5
PLAIN_BAR, GUARDED_BAR, PEER_BAR, FIRST_USE_BAR_S, SWEEP_BAR_S = 500.0, 200.0, 20.0, 3.0, 30.0
PATHS_BP = (1, 2, 5)  # standard deviation of a tick, basis points
RACE_BP = 2
PLAIN = 'mode = "percent"\nstop = "1%"\nshare = 1\n'
GUARDED = """
mode = "hybrid"
stop = "1%"
target = "3%"
share = 0.6
min_distance = "0.4%"
activation = "0.3%"
lock = "0.1%"
max_distance = "1.2%"
min_gap = "0.10"
follow = 0.5
max_extension = "3%"
[volatility]
floor = 0.5
cap = 2.0
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """One engine: how it is installed, and on how many ticks it is run (the slow ones on fewer)."""

    name: str
    requirement: str
    ticks: int


FIELD = (
    Peer("vectorbt", "vectorbt==1.2.0", TICKS),
    Peer("hftbacktest", "hftbacktest==2.4.4", TICKS),
    Peer("nautilus", "nautilus_trader==1.221.0", 50_000),
    Peer("backtesting", "backtesting==0.6.6", 50_000),
)


def path_of(step_bp: float, ticks: int = TICKS, seed: int = 1) -> Ints:
    """Return a random walk of prices in ticks of 0.05 from 1,000 rupees."""
    steps = np.random.default_rng(seed).normal(0, step_bp * 1e-4, ticks)
    return np.rint(20_000 * np.exp(np.cumsum(steps))).astype(np.int64)


def trades_of(text: str, prices: Ints, atr: Atr) -> tuple[Callable[[], Ints], Ints]:
    """Return (a run of the rule over the path, its closed trades)."""
    within = Range(
        int(prices.max()), int(prices.max() - prices.min()), int(atr.value.max(initial=0))
    )
    vector = np.array(vector_of(Policy.parse(text), Decimal("0.05"), 1, within), np.int64)
    first = int(atr.value[0]) if len(atr.value) else 0

    def run() -> Ints:
        return always_in(kernels(), vector, prices, sign=1, atr=atr, atr_at_entry=first)

    rows = run()
    return run, rows[rows[:, 2] != END][:, :2]


def rate(run: Callable[[], object], ticks: int) -> float:
    """Return millions of ticks a CPU second, the median of several runs."""
    taken = []
    for _ in range(RUNS):
        began = time.process_time()
        run()
        taken.append(ticks / (time.process_time() - began) / 1e6)
    return statistics.median(taken)


def atr_of(step_bp: float, ticks: int, seed: int = 2) -> Atr:
    """Return an ATR that becomes another every 300 ticks (five minutes of a liquid share)."""
    at = np.arange(0, ticks, 300)
    wander = np.cumsum(np.random.default_rng(seed).normal(0, 0.03, len(at)))
    return Atr(at, np.rint(160_000 * step_bp * np.exp(wander) / 10).astype(np.int64) + 1)


def ours() -> list[Figure]:
    """Return the bulk path's own figures against the bars."""
    none = Atr(np.zeros(0, np.int64), np.zeros(0, np.int64))
    told = []
    for bp in PATHS_BP:
        prices = path_of(bp)
        for name, text, atr, bar in (
            ("1 % trail, always in", PLAIN, none, PLAIN_BAR),
            ("every guard on, always in", GUARDED, atr_of(bp, TICKS), GUARDED_BAR),
        ):
            run, _ = trades_of(text, prices, atr)
            told.append(figure(f"bulk: {name}, {bp} bp a tick", rate(run, TICKS), "M ticks/s", bar))
    return told


def race(home: Path) -> list[Figure]:
    """Return the peers' rates, after comparing their trades with ours, and ours over theirs."""
    prices = path_of(RACE_BP)
    none = Atr(np.zeros(0, np.int64), np.zeros(0, np.int64))
    run, trades = trades_of(PLAIN, prices, none)
    mine = rate(run, TICKS)
    told, fastest = [], ("", 0.0)
    for peer in FIELD:
        found = _run_peer(peer, home, prices)
        if isinstance(found, str):
            print(f"peer {peer.requirement}: not run: {found}")
            told.append(
                figure(f"peer {peer.name}: NOT RUN, the reason stands above", 0.0, "M ticks/s")
            )
            continue
        expected = trades[trades[:, 1] < peer.ticks]
        print(
            f"peer {peer.requirement}: {_compared(found[1], expected)}; {found[2]:.1f} s to start"
        )
        told.append(figure(f"peer {peer.name}, same rule and path", found[0], "M ticks/s"))
        if found[0] > fastest[1]:
            fastest = (peer.name, found[0])
    told.append(
        figure(f"bulk: over the fastest peer ({fastest[0] or 'none ran'})", mine, "M ticks/s",
               fastest[1] or None)
    )  # fmt: skip
    return told


def _compared(theirs: Ints, expected: Ints) -> str:
    """Say whether a peer's trades are ours, and where they part if not."""
    if theirs.shape == expected.shape and (theirs == expected).all():
        return f"the same {len(expected)} trades, entry and exit tick each"
    shared = min(len(theirs), len(expected))
    apart = np.flatnonzero((theirs[:shared] != expected[:shared]).any(axis=1))
    where = f"first apart at trade {apart[0]}: {theirs[apart[0]]} for {expected[apart[0]]}"
    return f"DIFFERENT: {len(theirs)} trades for {len(expected)}" + (
        f", {where}" if len(apart) else ""
    )


def _run_peer(peer: Peer, home: Path, prices: Ints) -> tuple[float, Ints, float] | str:
    """Return (rate, trades, seconds of its first run), or why there is none."""
    python = _environment(peer, home)
    if isinstance(python, str):
        return python
    with tempfile.TemporaryDirectory(prefix="peer-") as work:
        folder = Path(work)
        np.save(folder / "path.npy", prices)
        command = [
            str(python), "-W", "ignore", str(PEERS / f"{peer.name}_peer.py"),
            str(folder / "path.npy"), str(peer.ticks), str(folder / "out.npy"),
            str(folder / "told.json"),
        ]  # fmt: skip
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        environment |= {"NUMBA_CACHE_DIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                command, env=environment, cwd=folder, capture_output=True, text=True, check=False,
                timeout=900,
            )  # fmt: skip
        except subprocess.TimeoutExpired as fault:
            return str(fault)
        if done.returncode != 0 or not (folder / "told.json").exists():
            return f"ended with {done.returncode}: {done.stderr.strip()[-300:]}"
        told = json.loads((folder / "told.json").read_text(encoding="utf-8"))
        trades = np.load(folder / "out.npy")
    return statistics.median(told["rates"]) / 1e6, trades, told["compiled_s"]


def _environment(peer: Peer, home: Path) -> Path | str:
    """Return the Python of a peer's own environment, made if it is not there; or why not."""
    folder = home / "bench" / "peers" / peer.name
    done = folder / peer.requirement.replace("==", "-")
    python = folder / "bin" / "python"
    if done.exists():
        return python
    uv = ROOT / ".uv" / "bin" / "uv"
    steps = (
        [str(uv), "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
        [str(uv), "pip", "install", "--quiet", "--only-binary", ":all:", "--python", str(python),
         peer.requirement],
    )  # fmt: skip
    for step in steps:
        try:
            made = subprocess.run(
                step, capture_output=True, text=True, check=False, timeout=900, cwd=home
            )
        except (OSError, subprocess.TimeoutExpired) as fault:
            return f"cannot be installed: {fault}"
        if made.returncode != 0:
            return f"cannot be installed: {made.stderr.strip()[-300:]}"
    done.touch()
    return python


def first_use(home: Path) -> list[Figure]:
    """Return how long the first use takes, from starting Python to the first result."""
    code = (
        "import sys, time, json\n"
        "from pathlib import Path\n"
        "from flows.home import Home\n"
        "Home.open(Path(sys.argv[1]))\n"
        "from benchmarks.trailing.race import PLAIN, path_of, trades_of, Atr, np\n"
        "none = Atr(np.zeros(0, np.int64), np.zeros(0, np.int64))\n"
        "trades_of(PLAIN, path_of(2, 1000), none)\n"
        "from flows.sweep.kernels import kernels\n"
        "print(json.dumps([kernels().made, time.process_time()]))\n"
    )
    told = []
    with tempfile.TemporaryDirectory(prefix="first-", dir=home) as fresh:
        for name in ("first use, nothing cached", "second use"):
            run = subprocess.run(
                [sys.executable, "-c", code, fresh], cwd=ROOT, capture_output=True, text=True,
                env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True,
            )  # fmt: skip
            made, seconds = json.loads(run.stdout)
            told.append(figure(f"bulk: {name} ({made} kernels)", seconds, "s", FIRST_USE_BAR_S))
    return told


def sweep(home: Path) -> list[Figure]:
    """Return how long 1,000 policies over one symbol-year of minute candles take on two cores."""
    from flows.data.intake import ingest
    from flows.data.sources import Request
    from flows.home import Home

    grid = (
        'mode = "hybrid"\nstop = ["0.4%", "0.6%", "0.8%", "1%", "1.5%"]\n'
        'target = ["0.8%", "1.5%", "2%", "3%"]\nshare = [0.3, 0.5, 0.6, 0.8, 1]\n'
        'min_distance = ["0.2%", "0.4%"]\n'
        'activation = ["0.1%", "0.3%", "0.5%", "0.7%", "1%"]\nlock = "0.1%"\nfollow = 0.5\n'
    )
    with tempfile.TemporaryDirectory(prefix="sweep-", dir=home) as fresh:
        folder = Path(fresh)
        (folder / "grid.toml").write_text(grid, encoding="utf-8")
        request = Request("synthetic", interval="minute", symbols=1, days=250)
        ingest(Home.open(folder), request, lambda _: None)
        before = os.times()
        began = time.perf_counter()
        run: Any = subprocess.run(
            [sys.executable, "-m", "flows", "sweep", "--grid", str(folder / "grid.toml"),
             "--home", fresh, "--jobs", "2", "--json"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        wall, after = time.perf_counter() - began, os.times()
        cpu = sum(after[2:4]) - sum(before[2:4])
        policies = json.loads(run.stdout)["policies"]
    name = f"sweep: {policies:,} policies, one symbol-year of minute candles, 2 processes"
    return [
        figure(name, wall, "s", SWEEP_BAR_S),
        figure("sweep: its CPU time, half of it", cpu / 2, "s", SWEEP_BAR_S),
    ]
