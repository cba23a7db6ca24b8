"""Which prices does a sweep run over: a dataset of the store, or files that a pattern matches.

One kind a run: candles of one interval, or ticks. Memory holds one symbol; what was left out is
told. A file of ticks has `ts` and one of `ltp_paise`, `ltp`, `last_price`, `price`, and `symbol`
where it holds several.
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.errors import SettingRefused
from flows import chosen
from flows.data.frame import INTERVAL_MS, IST_MS
from flows.data.sources import Request, open_source
from flows.data.store import CandleStore
from flows.home import Home
from flows.sweep.series import Series, of_candles, of_ticks
from flows.sweep.spill import spill

if TYPE_CHECKING:
    import pyarrow.dataset as ds

PRICE_COLUMNS = ("ltp_paise", "ltp", "last_price", "price")
TICKS = "tick"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asks to sweep over; exactly one of `dataset` and `pattern`."""

    dataset: str | None
    pattern: str | None
    interval: str | None = None
    symbols: tuple[str, ...] = ()
    tick_size: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Data:
    """What is there.

    Parameters
    ----------
    label : str
        As messages and results call it.
    fingerprint : str
        Changes when the data do.
    interval : str
        In Kite's words, or `tick`.
    simulated_path : bool
        Whether the prices are drawn rather than recorded.
    symbols : tuple of str
    skipped : tuple of str
        What was left out, and why.
    read : callable of a symbol
    """

    label: str
    fingerprint: str
    interval: str
    simulated_path: bool
    symbols: tuple[str, ...]
    skipped: tuple[str, ...]
    read: Callable[[str], Series]


@contextmanager
def opened(home: Home, asked: Asked) -> Iterator[Data]:
    """Open the data of a sweep.

    Raises
    ------
    SettingRefused
        If there are none, several kinds under one name, or a symbol that they do not have.
    """
    if asked.pattern is None:
        yield _of_store(home, asked)
        return
    files = sorted(Path(name) for name in glob.glob(asked.pattern, recursive=True))  # noqa: PTH207
    if not files:
        raise SettingRefused(
            f"--data {asked.pattern}",
            given="no file matches",
            allowed="a pattern that matches at least one .parquet or .csv file",
            fix="check the path; put the pattern in quotes so that the shell leaves it alone",
        )
    if _is_ticks(files):
        yield _of_ticks(asked, files)
        return
    with spill(home.tmp) as work:
        kind = "csv" if files[0].name.lower().endswith((".csv", ".csv.gz")) else "parquet"
        request = Request(f"{kind}:{asked.pattern}", interval=asked.interval)
        source, name = open_source(home, request, work)
        facts = source.facts
        length = INTERVAL_MS[facts.interval]
        yield Data(
            label=f"{name}: {asked.pattern}",
            fingerprint=_fingerprint(files, facts.interval),
            interval=facts.interval,
            simulated_path=facts.simulated_path,
            symbols=_chosen(asked, source.symbols),
            skipped=tuple(f"{skip.name}: {skip.reason}" for skip in source.skipped),
            read=lambda symbol: of_candles(source.read(symbol), length, asked.tick_size),
        )


def _of_store(home: Home, asked: Asked) -> Data:
    store = CandleStore(home)
    name = asked.dataset or chosen.dataset(home, store.datasets())
    manifest = store.manifest(name)
    if asked.interval not in {None, manifest.interval}:
        raise SettingRefused(
            "--interval",
            given=asked.interval,
            allowed=f"{manifest.interval} (all that dataset {name} has)",
            fix="leave --interval out, or name another dataset",
        )
    length = INTERVAL_MS[manifest.interval]

    def read(symbol: str) -> Series:
        return of_candles(store.read(name, [symbol]), length, asked.tick_size)

    return Data(
        name, manifest.fingerprint, manifest.interval, manifest.simulated_path,
        _chosen(asked, manifest.symbols), (), read,
    )  # fmt: skip


def _of_ticks(asked: Asked, files: Sequence[Path]) -> Data:
    import pyarrow.compute as pc

    if asked.interval not in {None, TICKS}:
        raise SettingRefused(
            "--interval", given=asked.interval, allowed="none: these files hold ticks",
            fix="leave it out, or name files of candles",
        )  # fmt: skip
    tables = [_dataset(path) for path in files]
    by_symbol: dict[str, list[tuple[ds.Dataset, str | None]]] = {}
    for path, table in zip(files, tables, strict=True):
        if "symbol" in table.schema.names:
            names = pc.unique(table.to_table(columns=["symbol"])["symbol"]).to_pylist()
        else:
            names = [None]
        for name in names:
            raw = name if name is not None else path.name.split(".")[0]
            key = raw if ":" in raw else f"NSE:{raw}"
            by_symbol.setdefault(key, []).append((table, name))
    if not by_symbol:
        raise SettingRefused(
            f"--data {asked.pattern}", given="files of ticks without a row",
            allowed="at least one tick", fix="name other files",
        )  # fmt: skip

    def read(symbol: str) -> Series:
        parts = [_ticks(table, name) for table, name in by_symbol[symbol]]
        stamps, rupees = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(stamps, kind="stable")
        return of_ticks(symbol, stamps[order], rupees[order], asked.tick_size)

    return Data(
        f"ticks of {asked.pattern}", _fingerprint(files, TICKS), TICKS, False,
        _chosen(asked, sorted(by_symbol)), (), read,
    )  # fmt: skip


def _is_ticks(files: Sequence[Path]) -> bool:
    """Whether all files hold ticks.

    Raises
    ------
    SettingRefused
        If some do and some hold candles: one kind a run.
    """
    kinds = {}
    for path in files:
        if path.is_file() and path.name.lower().endswith((".parquet", ".pq", ".csv", ".csv.gz")):
            names = set(_dataset(path).schema.names)
            if names & {"open", "high", "low", "close"}:
                kinds[path] = False
            elif names & set(PRICE_COLUMNS) and names & {"ts", "timestamp"}:
                kinds[path] = True
    ticks = [path.name for path, is_ticks in kinds.items() if is_ticks]
    candles = [path.name for path, is_ticks in kinds.items() if not is_ticks]
    if ticks and candles:
        raise SettingRefused(
            "--data",
            given=f"ticks ({', '.join(ticks[:3])}) and candles ({', '.join(candles[:3])})",
            allowed="one kind a run",
            fix="narrow the pattern",
        )
    return bool(ticks)


def _dataset(path: Path) -> ds.Dataset:
    import pyarrow as pa
    import pyarrow.dataset as ds

    kind = "parquet" if path.name.lower().endswith((".parquet", ".pq")) else "csv"
    try:
        return ds.dataset(path, format=kind)
    except (pa.ArrowException, OSError) as fault:
        raise SettingRefused(
            f"--data {path}", given=str(fault), allowed="a whole file", fix="mend or leave it out"
        ) from fault


def _ticks(table: ds.Dataset, symbol: str | None) -> tuple[Any, Any]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    stamp = "ts" if "ts" in table.schema.names else "timestamp"
    price = next(name for name in PRICE_COLUMNS if name in table.schema.names)
    keep = None if symbol is None else ds.field("symbol") == symbol
    rows = table.to_table(columns=[stamp, price], filter=keep)
    times = rows[stamp]
    if pa.types.is_integer(times.type):
        stamps = times.cast(pa.int64()).to_numpy()
    else:
        local = pa.types.is_timestamp(times.type) and times.type.tz is None
        stamps = pc.cast(times, pa.timestamp("ms", tz=None if local else "UTC"), safe=False)
        stamps = stamps.cast(pa.int64()).to_numpy() - (IST_MS if local else 0)
    rupees = rows[price].cast(pa.float64()).to_numpy()
    return stamps, rupees / 100 if price == "ltp_paise" else rupees


def _chosen(asked: Asked, there: Sequence[str]) -> tuple[str, ...]:
    wanted = tuple(key if ":" in key else f"NSE:{key}" for key in asked.symbols)
    unknown = [key for key in wanted if key not in set(there)]
    if unknown:
        raise SettingRefused(
            "--symbols",
            given=", ".join(unknown),
            allowed=", ".join(there[:20])
            + ("" if len(there) <= 20 else f" and {len(there) - 20} more"),
            fix="choose among those",
        )
    return tuple(sorted(set(wanted))) if wanted else tuple(there)


def _fingerprint(files: Sequence[Path], kind: str) -> str:
    """Return a name for the files as they are: path, size and time of change of each."""
    digest = hashlib.sha256(kind.encode())
    for path in files:
        stat = path.stat()
        digest.update(f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()
