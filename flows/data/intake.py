"""From a source to a committed dataset: plain functions, one symbol at a time.

`ratchet ingest` calls `ingest`; the Prefect flow (flows/ingest.py) maps `take_symbols` over its
task runner and does the rest the same way. Nothing counts before the commit at the end.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.errors import Refused, SettingRefused
from agent.market.sessions import NSE
from flows.data.frame import DAY_MS, day_start_ms, ts_ms
from flows.data.manifest import Manifest, Partition
from flows.data.quality import BadCandle, SessionGrid, SymbolQuality, inspect, report
from flows.data.sources import Request, Source, open_source
from flows.data.store import CandleStore, DatasetWriter
from flows.home import Home

if TYPE_CHECKING:
    import pandas as pd

Tell = Callable[[str], None]
PROGRESS_LINES = 20
BAD_NAMED = 5  # in an error message


@dataclass(frozen=True, slots=True)
class Taken:
    """One symbol's result: partitions written, what was counted, the bad candles."""

    symbol: str
    partitions: tuple[Partition, ...]
    counts: SymbolQuality
    bad: tuple[BadCandle, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """An ingest between opening its source and committing; shared by threads, not processes."""

    request: Request
    source: Source
    symbols: tuple[str, ...]
    writer: DatasetWriter
    dataset: str
    before: str | None
    started: float
    grid: SessionGrid = field(default_factory=SessionGrid)


@contextmanager
def opened(home: Home, request: Request) -> Iterator[Opened]:
    """Open the source and take the dataset's lock; remove temporary files at the end.

    Raises
    ------
    agent.errors.SettingRefused, agent.errors.Refused
        If the source or the dataset cannot be opened.
    """
    started = time.monotonic()
    if request.first and request.last and request.first > request.last:
        raise SettingRefused(
            "--first", given=request.first, allowed=f"at most --last ({request.last})",
            fix="swap them",
        )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="ingest-", dir=_made(home.tmp)) as work:
        source, suggested = open_source(home, request, Path(work))
        dataset = request.dataset or suggested
        store = CandleStore(home)
        with store.writing(dataset) as writer:
            before = _before(store, dataset, source)
            yield Opened(
                request, source, _chosen(source, request), writer, dataset, before, started
            )


def take_symbols(run: Opened, symbols: Sequence[str]) -> list[Taken]:
    """Read, judge and write some symbols; memory holds one at a time.

    Raises
    ------
    agent.errors.SettingRefused
        If a symbol has bad candles and they are not to be dropped.
    """
    return [taken for symbol in symbols if (taken := _take(run, symbol)) is not None]


def commit(run: Opened, taken: Sequence[Taken]) -> dict[str, Any]:
    """Judge the gaps, commit the dataset, and return the result as `--json` prints it."""
    counts = {one.symbol: one.counts for one in taken}
    for symbol, count in counts.items():
        count.missing_days, count.missing_candles = run.grid.missing(symbol)
    sessions = _sessions(run)
    bad = [candle for one in taken for candle in one.bad]
    quality = report(counts, bad, sessions, dropped=run.request.drop_bad)
    quality["left_out"] = {skip.name: skip.reason for skip in run.source.skipped}
    manifest = run.writer.commit(
        run.source.facts,
        [part for one in taken for part in one.partitions],
        sessions=sessions,
        quality=quality,
    )
    run.source.finish()
    return document(manifest) | {
        "unchanged": manifest.fingerprint == run.before,
        "skipped": [{"name": s.name, "reason": s.reason} for s in run.source.skipped],
        "seconds": round(time.monotonic() - run.started, 3),
    }


def ingest(home: Home, request: Request, tell: Tell) -> dict[str, Any]:
    """Ingest a source, in this process and without a server.

    Returns
    -------
    dict
        The document of `ratchet ingest --json`.

    Raises
    ------
    agent.errors.SettingRefused, agent.errors.Refused
        See `opened` and `take_symbols`; the dataset is then as it was.
    """
    with opened(home, request) as run:
        announce(run, tell)
        taken: list[Taken] = []
        every = max(1, len(run.symbols) // PROGRESS_LINES)
        for number, symbol in enumerate(run.symbols, start=1):
            taken += take_symbols(run, [symbol])
            if number % every == 0 or number == len(run.symbols):
                tell(f"{number}/{len(run.symbols)} symbols, last {symbol}")
        return commit(run, taken)


def announce(run: Opened, tell: Tell) -> None:
    """Say what will be read and what was left out."""
    for skip in run.source.skipped:
        tell(f"skipped {skip.name}: {skip.reason}")
    facts = run.source.facts
    tell(f"{facts.source}: {facts.interval} candles of {len(run.symbols)} symbols")


def document(manifest: Manifest) -> dict[str, Any]:
    """Return a manifest as commands print it."""
    return {
        "dataset": manifest.dataset,
        "source": manifest.source,
        "interval": manifest.interval,
        "symbols": list(manifest.symbols),
        "first": manifest.first.isoformat(),
        "last": manifest.last.isoformat(),
        "candles": manifest.candles,
        "sessions": len(manifest.sessions),
        "fingerprint": manifest.fingerprint,
        "simulated_path": manifest.simulated_path,
        "adjustment": manifest.adjustment,
        "notes": manifest.notes,
        "quality": dict(manifest.quality),
    }


def _take(run: Opened, symbol: str) -> Taken | None:
    frame = _between(run.source.read(symbol), run.request.first, run.request.last)
    if not len(frame):
        return None
    interval = run.source.facts.interval
    # a source with trading days of its own is not NSE's, whatever its keys say
    found = inspect(frame, interval, NSE if run.source.sessions is None else None)
    if found.counts.bad and not run.request.drop_bad:
        named = "; ".join(str(candle) for candle in found.bad[:BAD_NAMED])
        more = found.counts.bad - min(BAD_NAMED, len(found.bad))
        raise SettingRefused(
            f"candles of {symbol} in {run.request.source}",
            given=f"{found.counts.bad} bad: {named}" + (f"; and {more} more" if more else ""),
            allowed="finite prices above 0, low <= open, close <= high, one candle a time",
            fix="mend the source, or leave bad candles out with --drop-bad",
        )
    if not len(found.frame):
        return None
    parts = tuple(run.writer.put(found.frame, interval))
    run.grid.add(symbol, ts_ms(found.frame))
    return Taken(symbol, parts, found.counts, found.bad)


def _between(frame: pd.DataFrame, first: date | None, last: date | None) -> pd.DataFrame:
    if first is None and last is None:
        return frame
    ms = ts_ms(frame)
    keep = np.ones(len(ms), dtype=np.bool_)
    if first is not None:
        keep &= ms >= day_start_ms(first)
    if last is not None:
        keep &= ms < day_start_ms(last) + DAY_MS
    return frame[keep].reset_index(drop=True)


def _chosen(source: Source, request: Request) -> tuple[str, ...]:
    """Return the symbols to take: those asked for, or all. `kite` has asked for them already."""
    if not request.universe or source.facts.source == "kite":
        return tuple(source.symbols)
    wanted = [key if ":" in key else f"NSE:{key}" for key in request.universe]
    skipped = {skip.name for skip in source.skipped}
    unknown = [key for key in wanted if key not in set(source.symbols) | skipped]
    if unknown:
        raise SettingRefused(
            "--universe",
            given=", ".join(unknown),
            allowed=", ".join(source.symbols),
            fix="leave them out, or use a source that has them",
        )
    return tuple(sorted(set(wanted) & set(source.symbols)))


def _sessions(run: Opened) -> list[date]:
    """Return the source's own trading days in the span asked for, or the candles' days."""
    if run.source.sessions is None:
        return run.grid.days()
    days = run.grid.days()
    low, high = days[0] if days else date.max, days[-1] if days else date.min
    return [day for day in run.source.sessions if low <= day <= high]


def _before(store: CandleStore, dataset: str, source: Source) -> str | None:
    """Return the dataset's fingerprint so far; refuse to replace what cannot be made again."""
    if dataset not in store.datasets():
        return None
    try:
        old = store.manifest(dataset)
    except SettingRefused:
        return None  # damaged: this ingest mends it
    if old.source == "kite" and source.facts.source != "kite":
        raise Refused(
            f"dataset {dataset} holds candles from Kite; source {source.facts.source} would "
            "replace them: choose another --dataset"
        )
    return old.fingerprint


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
