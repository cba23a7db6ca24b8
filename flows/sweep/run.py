"""A sweep from start to end: parts that survive a kill, one symbol a worker, then the results.

A run is a folder named by the hash of all that decides its numbers (policies, data, entries,
terms): the same sweep finds its finished parts and does the rest, another grid is another folder.
Work is cut into (symbol, slice of the policies), so one symbol uses all cores too; a symbol's
prices are read once, by the parent, and lie in a file that workers load.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agent.errors import EnvironmentRefused, Refused, SettingRefused
from agent.trailing.policy import Policy
from flows.children import die_with_parent
from flows.data import durable
from flows.data.frame import INTERVAL_MS
from flows.home import Home
from flows.sweep.entries import EntryRules, regular, signalled
from flows.sweep.grid import Grid
from flows.sweep.kernels import kernels
from flows.sweep.money import Terms
from flows.sweep.series import Series
from flows.sweep.signals import Signals
from flows.sweep.source import Data
from flows.sweep.symbol import Bench, write_part

SLICE = 250  # policies of one part
NICENESS = 10
FORMAT = 1  # another one is another run: raise it when a part's meaning changes
RUN_FILE = "run.json"
Progress = Callable[[int, int, str], None]
Refusal = tuple[str, str, str, str]  # subject, given, allowed, fix


@dataclass(frozen=True, slots=True)
class Rules:
    """All that decides a sweep's numbers beside grid and data."""

    entries: EntryRules
    terms: Terms
    signals: Signals | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One part: a symbol and a slice of the policies."""

    symbol: str
    part: int

    def path(self, folder: Path) -> Path:
        """Return the part's file."""
        return folder / "parts" / f"{quote(self.symbol, safe='')}-{self.part:04d}.parquet"


def run_folder(home: Home, grid: Grid, data: Data, rules: Rules) -> Path:
    """Return the folder of this very sweep."""
    identity = {
        "format": FORMAT,
        "policies": [trial.policy.sha256 for trial in grid.trials],
        "data": data.fingerprint,
        "symbols": data.symbols,
        "entries": asdict(rules.entries),
        "terms": asdict(rules.terms),
        "signals": rules.signals,
    }
    text = json.dumps(identity, sort_keys=True)
    return home.root / "sweeps" / hashlib.sha256(text.encode()).hexdigest()[:16]


def run(home: Home, grid: Grid, data: Data, rules: Rules, *, jobs: int, progress: Progress) -> Path:
    """Do all parts that are not there yet; return the run's folder.

    Raises
    ------
    SettingRefused
        If a policy cannot be searched (named), or there is no entry at all.
    EnvironmentRefused
        If a worker was killed.
    Refused
        If another process is doing this very sweep.
    """
    folder = run_folder(home, grid, data, rules)
    (folder / "parts").mkdir(parents=True, exist_ok=True)
    for left in (folder / "parts").glob(".*.tmp"):
        left.unlink(missing_ok=True)
    _describe(folder, grid, data, rules)
    policies = [trial.policy for trial in grid.trials]
    parts = range((len(policies) + SLICE - 1) // SLICE)
    every = [Job(symbol, part) for symbol in data.symbols for part in parts]
    waiting = [job for job in every if not job.path(folder).exists()]
    progress(len(every) - len(waiting), len(every), "")
    if not waiting:
        return folder
    with _alone(folder) as work, _pool(jobs, policies, rules) as pool:
        done = len(every) - len(waiting)
        try:
            for job in _finished(pool, _prepared(waiting, data, work), folder, jobs):
                done += 1
                progress(done, len(every), job.symbol)
        except BrokenProcessPool as fault:
            raise EnvironmentRefused(
                "a worker of the sweep",
                given="ended by the system (killed, or out of memory)",
                allowed="to live until its part is done",
                fix="run the same command again: finished parts are kept; --jobs 1 needs least",
            ) from fault
    return folder


def _prepared(waiting: Sequence[Job], data: Data, work: Path) -> Iterator[tuple[Job, Path]]:
    """Yield each job with the file of its symbol's prices, read when its turn comes."""
    current: tuple[str, Path] | None = None
    for number, job in enumerate(waiting):
        if current is None or current[0] != job.symbol:
            path = work / f"{number}.npz"
            data.read(job.symbol).save(path)
            current = (job.symbol, path)
        yield job, current[1]


def _finished(
    pool: ProcessPoolExecutor, prepared: Iterator[tuple[Job, Path]], folder: Path, jobs: int
) -> Iterator[Job]:
    """Yield jobs as they end; no more are under way than there are workers, and one ready."""
    running: dict[Future[Refusal | None], tuple[Job, Path]] = {}
    more, latest = True, Path()
    try:
        while more or running:
            while more and len(running) <= jobs:
                following = next(prepared, None)
                if following is None:
                    more = False
                    break
                job, latest = following
                running[pool.submit(_work, job, str(latest), str(job.path(folder)))] = following
            if not running:
                return
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                job, path = running.pop(future)
                refusal = future.result()
                if refusal is not None:
                    subject, given, allowed, fix = refusal
                    raise SettingRefused(subject, given=given, allowed=allowed, fix=fix)
                if path != latest and all(path != other for _, other in running.values()):
                    path.unlink(missing_ok=True)  # the last part of its symbol
                yield job
    finally:
        for future in running:
            future.cancel()


@contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """Hold the run's lock and yield its empty work folder; a killed run's is emptied first."""
    work = folder / "work"
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"another process is doing this very sweep ({folder.name}): wait for it"
            ) from None
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _pool(jobs: int, policies: list[Policy], rules: Rules) -> Iterator[ProcessPoolExecutor]:
    mine = ProcessPoolExecutor(
        max_workers=jobs,
        mp_context=get_context("spawn"),
        initializer=_start_worker,
        initargs=(os.getpid(), policies, rules),
    )
    try:
        yield mine
    except BaseException:
        for worker in active_children():  # a part that is not finished leaves nothing
            worker.terminate()
        raise
    finally:
        mine.shutdown(wait=True, cancel_futures=True)


_worker: dict[str, Any] = {}  # of a worker process: what every job of it needs


def _start_worker(parent: int, policies: list[Policy], rules: Rules) -> None:
    die_with_parent(parent)()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it ends us
    os.nice(NICENESS)
    _worker.update(policies=policies, rules=rules)


def _work(job: Job, prices: str, target: str) -> Refusal | None:
    """Do one part in a worker; return why it was refused, if it was.

    A refusal is told as a value: our errors name their parts and are not pickled.
    """
    start = job.part * SLICE
    try:
        bench = bench_of(Series.load(Path(prices)), _worker["rules"])
        write_part(Path(target), bench, _worker["policies"][start : start + SLICE])
    except SettingRefused as fault:
        return f"{job.symbol}: {fault.subject}", str(fault.given), str(fault.allowed), fault.fix
    return None


def bench_of(series: Series, rules: Rules) -> Bench:
    """Return a symbol's bench under the rules: what a part and a re-run are made from."""
    names = {ms: name for name, ms in INTERVAL_MS.items()}
    if rules.signals is None:
        found = regular(series, rules.entries, names.get(series.interval_ms, "tick"))
    else:
        found = signalled(series, rules.entries, rules.signals.get(series.symbol, []))
    return Bench(series, found, rules.terms, kernels())


def _describe(folder: Path, grid: Grid, data: Data, rules: Rules) -> None:
    """Write what this run is, before its first part; later runs only read it."""
    path = folder / RUN_FILE
    if path.exists():
        return
    document = {
        "grid": grid.text,
        "axes": [{"key": a.key, "values": [str(v) for v in a.values]} for a in grid.axes],
        "policies": [
            {"sha256": t.policy.sha256, "values": [str(v) for v in t.values], "text": t.policy.text}
            for t in grid.trials
        ],
        "left_out": grid.left_out,
        "why_left_out": grid.why_left_out,
        "data": data.label,
        "fingerprint": data.fingerprint,
        "interval": data.interval,
        "simulated_path": data.simulated_path,
        "symbols": list(data.symbols),
        "entries": asdict(rules.entries),
        "terms": asdict(rules.terms),
        "signals": None if rules.signals is None else sum(map(len, rules.signals.values())),
    }
    durable.write_text(path, json.dumps(document, indent=1, default=str))
