"""A user's own candles: `parquet:GLOB` and `csv:GLOB`.

One interval a run. Order: match, look at each file, find its interval, choose one interval,
sort the rows of the chosen files by symbol (spill.py). Nothing is adjusted; a day candle's clock
time, if it has one, is set to 00:00 and the notes say so.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agent.errors import SettingRefused
from flows.data.frame import DAY_MS, INTERVAL_MS, IST_MS, Floats, Ints, day_numbers, make_frame
from flows.data.manifest import Facts
from flows.data.sources.base import Skipped
from flows.data.sources.spill import Spill
from flows.data.sources.tables import Batch, Kind, Table, batches, broken, look_at

if TYPE_CHECKING:
    import pandas as pd

DAYS_APART_MAX = 4  # day candles: the usual distance of two is at most a long week-end
NAMES = {ms: name for name, ms in INTERVAL_MS.items()}


class FileSource:
    """Candles of the files that a pattern matches.

    Parameters
    ----------
    kind : {"parquet", "csv"}
    pattern : str, a glob, `**` allowed
    interval : str, optional
        Take the files of this interval; else of the one that has the most bytes on disk.
    work : Path
        An empty folder for the sorted rows; the caller removes it.

    Raises
    ------
    agent.errors.SettingRefused
        If nothing matches, a file is broken (it is named), or no file holds candles.
    """

    sessions: Sequence[date] | None = None

    def __init__(self, kind: Kind, pattern: str, *, interval: str | None, work: Path) -> None:
        self._spill = Spill(work)
        self._moved = 0
        tables, self._skipped = self._look(kind, pattern)
        self._interval, chosen = self._choose(tables, pattern, interval)
        self._files = [table.path for table in chosen]
        for table in chosen:
            rows = sum(self._take(table, batch) for batch in batches(table))
            if not rows:
                self._skipped.append(Skipped(str(table.path), "no rows"))
        self._pattern = f"{kind}:{pattern}"

    @property
    def facts(self) -> Facts:
        """What is known of the files; the prices are as they were found."""
        names = ", ".join(path.name for path in self._files[:3])
        more = f" and {len(self._files) - 3} more" if len(self._files) > 3 else ""
        notes = f"candles of {names}{more}"
        if self._moved:
            notes += f"; {self._moved} day candles with a clock time, read as 00:00"
        return Facts(
            source=self._pattern, interval=self._interval, adjustment="none: as found", notes=notes
        )

    @property
    def symbols(self) -> Sequence[str]:
        """Instrument keys in the files; a bare symbol is taken as NSE's."""
        return self._spill.symbols

    @property
    def skipped(self) -> Sequence[Skipped]:
        """Files of another kind or interval, and why."""
        return self._skipped

    @property
    def suggested_dataset(self) -> str:
        """A name for the dataset: the file's, or its folder's if there are several."""
        first = self._files[0]
        name = first.name.split(".")[0] if len(self._files) == 1 else first.resolve().parent.name
        kept = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in name)
        return kept.strip("-_")[:60] or "candles"

    def read(self, symbol: str) -> pd.DataFrame:
        """Return a symbol's candles of all files together, sorted by time."""
        return make_frame(symbol, *self._spill.read(symbol))

    def finish(self) -> None:
        """Nothing was kept."""

    def _look(self, kind: Kind, pattern: str) -> tuple[list[Table], list[Skipped]]:
        matched = sorted(Path(name) for name in glob.glob(pattern, recursive=True))  # noqa: PTH207
        if not matched:
            raise SettingRefused(
                f"--source {kind}:{pattern}",
                given="no file matches",
                allowed="a pattern that matches at least one file",
                fix="check the path; put the pattern in quotes so that the shell leaves it alone",
            )
        looked = [look_at(path, kind) for path in matched]
        return (
            [table for table in looked if isinstance(table, Table)],
            [skipped for skipped in looked if isinstance(skipped, Skipped)],
        )

    def _choose(
        self, tables: list[Table], pattern: str, wanted: str | None
    ) -> tuple[str, list[Table]]:
        """Return the interval of this run and the files that have it; the others are skipped."""
        found: dict[str, list[Table]] = {}
        for table in tables:
            interval = interval_of(table, wanted)
            if interval in INTERVAL_MS:
                found.setdefault(interval, []).append(table)
            else:
                self._skipped.append(Skipped(str(table.path), interval))
        bytes_of = {k: sum(t.path.stat().st_size for t in files) for k, files in found.items()}
        chosen = wanted or max(bytes_of, key=bytes_of.__getitem__, default="none")
        if chosen not in found:
            kinds = ", ".join(sorted(found)) or "no file of candles"
            reasons = "; ".join(f"{s.name}: {s.reason}" for s in self._skipped[:5])
            raise SettingRefused(
                f"--source {pattern}",
                given=f"{kinds} ({reasons})" if reasons else kinds,
                allowed=f"candles of interval {wanted}" if wanted else "candles",
                fix="name other files, or another --interval",
            )
        for interval in sorted(found.keys() - {chosen}):
            for table in found[interval]:
                why = f"{interval} candles; this run takes {chosen} (choose with --interval)"
                self._skipped.append(Skipped(str(table.path), why))
        return chosen, found[chosen]

    def _take(self, table: Table, batch: Batch) -> int:
        """Put a batch on the symbols' heaps."""
        symbols, ms, values = batch
        if self._interval == "day":
            midnight = day_numbers(ms) * DAY_MS - IST_MS
            self._moved += int((midnight != ms).sum())
            ms = midnight
        for symbol, rows in _by_symbol(table, symbols, len(ms)):
            self._spill.add(symbol, ms[rows], {name: v[rows] for name, v in values.items()})
        return len(ms)


def instrument_key(symbol: str, path: Path) -> str:
    """Return a symbol as an instrument key: `INFY` is `NSE:INFY`, `BSE:INFY` stays.

    Raises
    ------
    agent.errors.SettingRefused
        If it is empty or has more than one colon.
    """
    exchange, colon, name = symbol.strip().rpartition(":")
    if not name or ":" in exchange or (colon and not exchange):
        raise broken(path, f"symbol {symbol!r}")
    return f"{exchange or 'NSE'}:{name}"


def _by_symbol(table: Table, symbols: object, rows: int) -> Iterable[tuple[str, slice | Ints]]:
    if symbols is None:
        yield instrument_key(table.symbol, table.path), slice(0, rows)
        return
    names = symbols.dictionary.to_pylist()  # type: ignore[attr-defined]
    codes = np.asarray(symbols.indices.to_numpy(zero_copy_only=False))  # type: ignore[attr-defined]
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    for code, name in enumerate(names):
        yield instrument_key(name, table.path), order[bounds[code] : bounds[code + 1]]


def interval_of(table: Table, wanted: str | None) -> str:
    """Return the interval of a file's candles, by its first rows, or why it has none.

    The most frequent distance of two candles of one symbol and day; where no day has two, days.
    """
    for batch in batches(table):
        symbols, ms, _ = batch
        apart, days_apart = _distances(table, symbols, ms)
        if len(apart):
            lengths, counts = np.unique(apart, return_counts=True)
            usual = int(lengths[np.argmax(counts)])
            return NAMES.get(usual, f"candles {usual / 1000:g} s apart: no interval of the broker")
        if len(days_apart):
            usual = int(np.median(days_apart))
            return "day" if usual <= DAYS_APART_MAX else f"candles {usual} days apart"
        if wanted:
            return wanted
        midnight = bool(((ms + IST_MS) % DAY_MS == 0).all()) and len(ms) > 0
        return "day" if midnight else "too few rows to tell the interval (use --interval)"
    return "no rows"


def _distances(table: Table, symbols: object, ms: Ints) -> tuple[Ints, Floats]:
    """Return (milliseconds between candles of one day, days between candles of two days)."""
    apart, days_apart = [np.empty(0, dtype=np.int64)], [np.empty(0)]
    for _, rows in _by_symbol(table, symbols, len(ms)):
        mine = np.unique(ms[rows])
        days = np.diff(day_numbers(mine))
        apart.append(np.diff(mine)[days == 0])
        days_apart.append(days[days > 0].astype(np.float64))
    return np.concatenate(apart), np.concatenate(days_apart)
