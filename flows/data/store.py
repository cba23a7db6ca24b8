"""Candles at rest: partitioned Parquet under `HOME/candles/DATASET/`.

A partition is a file named by the hash of its candles, so it is never overwritten; the manifest
`dataset.json` names the partitions that count and is renamed into place last. An ingest that
dies leaves the old manifest and some files that nobody names; the next commit removes them.
One writer a dataset (flock under `HOME/locks/`); readers need no lock.
"""

from __future__ import annotations

import fcntl
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from agent.errors import EnvironmentRefused, Refused, SettingRefused
from flows.data import durable
from flows.data.frame import (
    DAY_MS,
    VALUES,
    at,
    content_sha256,
    day_start_ms,
    empty_frame,
    make_frame,
    ts_ms,
)
from flows.data.manifest import Facts, Manifest, Partition, fingerprint_of
from flows.home import Home

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "dataset.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
READ_ATTEMPTS = 3  # a commit may remove the files of the manifest that a reader just read


class CandleStore:
    """The datasets of one home."""

    def __init__(self, home: Home) -> None:
        self._root = home.candles
        self._locks = home.locks

    def datasets(self) -> list[str]:
        """Return the names of the datasets that exist, sorted."""
        return sorted(path.parent.name for path in self._root.glob(f"*/{MANIFEST}"))

    def manifest(self, dataset: str) -> Manifest:
        """Return what a dataset says of itself.

        Raises
        ------
        agent.errors.SettingRefused
            If there is no such dataset (the message names those that exist), or its manifest
            is damaged.
        """
        path = self.folder(dataset) / MANIFEST
        try:
            return Manifest.from_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise SettingRefused(
                "dataset",
                given=dataset,
                allowed=", ".join(self.datasets()) or f"a dataset (none is under {self._root} yet)",
                fix="ingest it first: ratchet ingest --source sample",
            ) from None
        except (ValueError, KeyError, TypeError) as fault:
            raise SettingRefused(
                str(path),
                given=f"{type(fault).__name__}: {fault}",
                allowed="a manifest that `ratchet ingest` wrote",
                fix=f"ingest dataset {dataset} again",
            ) from fault

    def read(
        self,
        dataset: str,
        symbols: Sequence[str] | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> pd.DataFrame:
        """Return candles as one frame.

        Parameters
        ----------
        dataset : str
        symbols : instrument keys; None is all of the dataset
        first, last : dates in India, both inclusive; None is open

        Returns
        -------
        pandas.DataFrame: `symbol` (str), `ts` (datetime64[ns, Asia/Kolkata]), open, high, low,
        close (float64, rupees), volume (float64, shares, NaN where unknown); by symbol, then ts

        Raises
        ------
        agent.errors.SettingRefused
            If the dataset, or a symbol in it, does not exist.
        """
        import pandas as pd

        frames = list(self.frames(dataset, symbols, first, last))
        if not frames:
            return empty_frame()
        return pd.concat([frame for _, frame in frames], ignore_index=True)

    def frames(
        self,
        dataset: str,
        symbols: Sequence[str] | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yield (symbol, frame) one symbol at a time, in order of symbol; see `read`."""
        manifest = self.manifest(dataset)
        wanted = sorted(manifest.symbols if symbols is None else set(symbols))
        unknown = [symbol for symbol in wanted if symbol not in set(manifest.symbols)]
        if unknown:
            raise SettingRefused(
                f"symbols of dataset {dataset}",
                given=", ".join(unknown),
                allowed=", ".join(manifest.symbols),
                fix="choose among those, or ingest the missing ones",
            )
        for symbol in wanted:
            frame = self._read_symbol(dataset, symbol, first, last)
            if len(frame):
                yield symbol, frame

    @contextmanager
    def writing(self, dataset: str) -> Iterator[DatasetWriter]:
        """Hold the dataset's lock and yield its writer.

        Raises
        ------
        agent.errors.Refused
            If another process is writing this dataset.
        """
        folder = self.folder(dataset)
        self._locks.mkdir(parents=True, exist_ok=True)
        with (self._locks / f"candles-{dataset}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused(
                    f"another ingest is writing dataset {dataset}; wait for it, "
                    "or write to another --dataset"
                ) from None
            yield DatasetWriter(dataset, folder)

    def folder(self, dataset: str) -> Path:
        """Return a dataset's folder.

        Raises
        ------
        agent.errors.SettingRefused
            If the name cannot be a folder's.
        """
        if not NAME.fullmatch(dataset):
            raise SettingRefused(
                "dataset",
                given=repr(dataset),
                allowed="letters, digits, '.', '_' and '-', at most 80, a letter or digit first",
                fix="choose another name with --dataset",
            )
        return self._root / dataset

    def _read_symbol(
        self, dataset: str, symbol: str, first: date | None, last: date | None
    ) -> pd.DataFrame:
        low = -(2**62) if first is None else day_start_ms(first)
        high = 2**62 if last is None else day_start_ms(last) + DAY_MS
        for attempt in range(READ_ATTEMPTS):
            parts = [
                part
                for part in self.manifest(dataset).partitions
                if part.symbol == symbol and part.last_ms >= low and part.first_ms < high
            ]
            try:
                return _read_parts(
                    symbol, [self.folder(dataset) / p.file for p in parts], low, high
                )
            except FileNotFoundError as fault:
                if attempt + 1 == READ_ATTEMPTS:
                    raise EnvironmentRefused(
                        f"dataset {dataset}",
                        given=f"{fault.filename or fault} is gone",
                        allowed="the files that its manifest names",
                        fix="ingest it again",
                    ) from fault
        raise AssertionError("unreachable")


class DatasetWriter:
    """Writes partitions of one dataset, then commits them all at once. Made by `writing`."""

    def __init__(self, dataset: str, folder: Path) -> None:
        self._dataset = dataset
        self._folder = folder

    def put(self, frame: pd.DataFrame, interval: str) -> list[Partition]:
        """Write one symbol's candles; they count only after `commit`.

        A partition that is already there is not written again: this is what makes a repeated or
        resumed ingest cheap.

        Parameters
        ----------
        frame : candle frame of ONE symbol, sorted, without duplicates
        interval : in Kite's words; day candles make one partition, others one a year
        """
        symbol = str(frame["symbol"].iloc[0])
        ms = ts_ms(frame)
        values = {name: frame[name].to_numpy(dtype=np.float64) for name in VALUES}
        parts = []
        for span, rows in _spans(ms, frame, interval):
            mine = ms[rows]
            cut = {name: column[rows] for name, column in values.items()}
            digest = content_sha256(mine, cut)
            file = f"symbol={quote(symbol, safe='')}/{span}-{digest[:20]}.parquet"
            target = self._folder / file
            if not target.exists():
                _write_part(target, symbol, mine, cut)
            parts.append(
                Partition(symbol, span, file, len(mine), int(mine[0]), int(mine[-1]), digest)
            )
        return parts

    def commit(
        self,
        facts: Facts,
        partitions: Iterable[Partition],
        *,
        sessions: Sequence[date],
        quality: Mapping[str, Any],
    ) -> Manifest:
        """Make these partitions, and no others, the dataset; then remove what no one names.

        Raises
        ------
        agent.errors.SettingRefused
            If there is no candle at all.
        """
        parts = sorted(partitions, key=lambda part: (part.symbol, part.span))
        if not parts:
            raise SettingRefused(
                f"source {facts.source}",
                given="no candle",
                allowed="at least one",
                fix="check the source, --first and --last",
            )
        manifest = Manifest(
            dataset=self._dataset,
            source=facts.source,
            interval=facts.interval,
            symbols=tuple(sorted({part.symbol for part in parts})),
            first=at(min(part.first_ms for part in parts)),
            last=at(max(part.last_ms for part in parts)),
            candles=sum(part.candles for part in parts),
            adjustment=facts.adjustment,
            notes=facts.notes,
            simulated_path=facts.simulated_path,
            sessions=tuple(sessions),
            fingerprint=fingerprint_of(facts, parts),
            quality=quality,
            partitions=tuple(parts),
        )
        durable.write_text(self._folder / MANIFEST, manifest.to_json())
        self._remove_unnamed({part.file for part in parts})
        return manifest

    def _remove_unnamed(self, named: set[str]) -> None:
        for path in self._folder.rglob("*"):
            if path.is_file() and str(path.relative_to(self._folder)) not in named | {MANIFEST}:
                path.unlink(missing_ok=True)
        for path in self._folder.iterdir():
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def _spans(ms: Any, frame: pd.DataFrame, interval: str) -> Iterator[tuple[str, slice]]:
    """Yield (span, rows): all days in one, or candles inside the day by calendar year."""
    if interval == "day":
        yield "all", slice(0, len(ms))
        return
    years = frame["ts"].dt.year.to_numpy()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(years)) + 1, [len(years)]])
    for start, stop in itertools.pairwise(starts):
        yield str(years[start]), slice(int(start), int(stop))


def _write_part(target: Path, symbol: str, ms: Any, values: dict[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(ms), np.int32)), [symbol])
    stamps = pa.array(ms).cast(pa.timestamp("ms", tz="Asia/Kolkata"))
    table = pa.table({"symbol": names, "ts": stamps} | {k: pa.array(v) for k, v in values.items()})
    with durable.appearing(target) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _read_parts(symbol: str, files: list[Path], low: int, high: int) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not files:
        return empty_frame()
    columns = ["ts", *VALUES]
    table = pa.concat_tables(pq.ParquetFile(file).read(columns=columns) for file in files)
    ms = table["ts"].cast(pa.int64()).to_numpy()
    keep = (ms >= low) & (ms < high)
    values = {name: table[name].to_numpy()[keep] for name in VALUES}
    return make_frame(symbol, ms[keep], values)
