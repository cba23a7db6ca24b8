"""Candle files in, one table of integer-free columns a symbol out.

Reads Parquet and CSV (a file, a folder, a glob) with pyarrow. Columns: symbol, ts (or timestamp,
date), open, high, low, close and, where known, volume; names in any case. A stamp without a zone
is Asia/Kolkata. The interval is told by the stamps. Nothing is repaired: a row that cannot be a
candle is refused with its symbol and time.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agent.errors import SettingRefused
from agent.market.candles import INTERVALS_MS
from agent.market.sessions import from_epoch_ms
from agent.paper.extra import numpy as np
from agent.paper.extra import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

SUFFIXES: Final = (".parquet", ".csv", ".csv.gz")
STAMP_NAMES: Final = ("ts", "timestamp", "date", "datetime", "time")
PRICE_NAMES: Final = ("open", "high", "low", "close")
DAY_MS: Final = 86_400_000
IST_OFFSET_MS: Final = 19_800_000  # Asia/Kolkata has had one offset for every candle there is


@dataclass(frozen=True, slots=True)
class Columns:
    """The candles of one symbol, oldest first.

    Parameters
    ----------
    ts_ms : int64 (n,), epoch ms of the candle's open
    open, high, low, close : float64 (n,), rupees
    volume : float64 (n,), shares; NaN where unknown
    """

    ts_ms: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


@dataclass(frozen=True, slots=True)
class CandleSet:
    """What a source holds: an interval in the broker's words and the candles by key."""

    interval: str
    candles: dict[str, Columns]


def read_candles(path: str) -> CandleSet:
    """Read a file, a folder or a glob of candle files.

    Parameters
    ----------
    path : str

    Raises
    ------
    SettingRefused
        If there is no such file, a column is missing, a row is no candle, or the files mix
        intervals.
    """
    files = _files(path)
    tables = [_read(file) for file in files]
    table = pa.concat_tables(tables) if len(tables) > 1 else tables[0]
    if table.num_rows == 0:
        raise SettingRefused(
            f"--candles {path}", given="no row", allowed="candles", fix="point at another file"
        )
    return _split(table, path)


def key_of(symbol: str) -> str:
    """Return `NSE:INFY` for `INFY`; a key stays as it is."""
    return symbol if ":" in symbol else f"NSE:{symbol}"


def _files(path: str) -> list[Path]:
    whole = Path(path)
    if whole.is_dir():
        found = [p for p in sorted(whole.rglob("*")) if p.name.endswith(SUFFIXES)]
    elif whole.is_file():
        found = [whole]
    else:
        found = [Path(p) for p in sorted(glob.glob(path, recursive=True))]  # noqa: PTH207
        found = [p for p in found if p.is_file() and p.name.endswith(SUFFIXES)]
    if not found:
        raise SettingRefused(
            f"--candles {path}",
            given="no such file, or a folder without candle files",
            allowed=f"a file, folder or glob of {', '.join(SUFFIXES)}",
            fix="check the path",
        )
    return found


def _read(file: Path) -> Any:
    try:
        if file.name.endswith(".parquet"):
            table = pa.parquet.ParquetFile(file).read()
        else:
            table = pa.csv.read_csv(file)
    except (pa.ArrowException, OSError) as fault:
        raise SettingRefused(
            f"--candles {file}",
            given=f"unreadable: {str(fault).splitlines()[0][:120]}",
            allowed="a Parquet or CSV file of candles",
            fix="write it again, or point at another file",
        ) from fault
    names = {name.lower(): name for name in table.column_names}
    stamp = next((names[name] for name in STAMP_NAMES if name in names), None)
    missing = [name for name in ("symbol", *PRICE_NAMES) if name not in names]
    missing += [] if stamp else ["ts"]
    if missing:
        raise SettingRefused(
            f"--candles {file}",
            given=f"columns {', '.join(table.column_names)}",
            allowed="symbol, ts (or timestamp), open, high, low, close and, if known, volume",
            fix=f"add {', '.join(missing)}",
        )
    rows = table.num_rows
    volume = table[names["volume"]] if "volume" in names else pa.nulls(rows, pa.float64())
    return pa.table(
        {
            "symbol": table[names["symbol"]].cast(pa.string()),
            "ts_ms": _epoch_ms(table[stamp], file),
            **{name: _floats(table[names[name]]) for name in PRICE_NAMES},
            "volume": _floats(volume),
        }
    )


def _floats(column: Any) -> Any:
    return pa.chunked_array(column).cast(pa.float64(), safe=False)


def _epoch_ms(column: Any, file: Path) -> Any:
    """Return stamps of any kind as epoch ms; without a zone they are Asia/Kolkata."""
    kind = column.type
    try:
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            column = pa.compute.cast(column, pa.timestamp("ms", tz="Asia/Kolkata"), safe=False)
            kind = column.type
    except pa.ArrowInvalid:
        column = pa.compute.cast(column, pa.timestamp("ms"), safe=False)
        kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_null(kind):
        return column.cast(pa.int64())
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("ms"))
        kind = column.type
    if not pa.types.is_timestamp(kind):
        raise SettingRefused(
            f"--candles {file}",
            given=f"a time column of type {kind}",
            allowed="timestamps, dates, ISO text or epoch ms",
            fix="write the candle's open time",
        )
    values = column.cast(pa.timestamp("ms", tz=kind.tz), safe=False).cast(pa.int64())
    return values if kind.tz else pa.compute.subtract(values, IST_OFFSET_MS)


def _split(table: Any, path: str) -> CandleSet:
    encoded = table["symbol"].combine_chunks().dictionary_encode()
    names = [key_of(str(name)) for name in encoded.dictionary.to_pylist()]
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    columns = {name: table[name].to_numpy() for name in ("ts_ms", *PRICE_NAMES, "volume")}
    found: dict[str, Columns] = {}
    for code, key in sorted(enumerate(names), key=lambda pair: pair[1]):
        rows = np.flatnonzero(codes == code)
        rows = rows[np.argsort(columns["ts_ms"][rows], kind="stable")]
        picked = Columns(
            columns["ts_ms"][rows].astype(np.int64),
            *(columns[name][rows].astype(np.float64) for name in (*PRICE_NAMES, "volume")),
        )
        _check(key, picked)
        found[key] = picked
    return CandleSet(_interval(found.values(), path), found)


def _check(key: str, candles: Columns) -> None:
    """Refuse what is no candle: not finite, not positive, high or low not the extreme, twice.

    A high or low may miss the other prices by a paisa: adjusted prices are rounded one by one.
    """
    prices = np.stack([candles.open, candles.high, candles.low, candles.close])
    with np.errstate(invalid="ignore"):
        top, bottom = np.max(prices, axis=0), np.min(prices, axis=0)
        bad = ~(np.isfinite(prices).all(axis=0) & (bottom > 0))
        bad |= (top > candles.high + 0.0101) | (bottom < candles.low - 0.0101)
    bad[1:] |= np.diff(candles.ts_ms) == 0
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        given = ", ".join(f"{float(value):g}" for value in prices[:, row])
        raise SettingRefused(
            f"{key} {from_epoch_ms(int(candles.ts_ms[row])):%Y-%m-%d %H:%M}",
            given=f"open, high, low, close {given}",
            allowed="one row a candle, prices above 0, low <= open, close <= high",
            fix="drop or mend the row",
        )


def _interval(candles: Iterable[Columns], path: str) -> str:
    """Tell the interval from the smallest usual step between stamps of one day."""
    steps: set[int] = set()
    midnight = True
    for one in candles:
        of_day = (one.ts_ms + IST_OFFSET_MS) % DAY_MS
        midnight = midnight and bool((of_day == 0).all())
        inside = np.diff(one.ts_ms)[np.diff((one.ts_ms + IST_OFFSET_MS) // DAY_MS) == 0]
        if inside.size:
            values, counts = np.unique(inside, return_counts=True)
            steps.add(int(values[np.argmax(counts)]))
    if midnight:
        return "day"
    for name, length in INTERVALS_MS.items():
        if steps == {length}:
            return name
    raise SettingRefused(
        f"--candles {path}",
        given=f"steps of {', '.join(str(s // 1000) for s in sorted(steps)) or 'no'} s in a day",
        allowed=f"one of {', '.join(INTERVALS_MS)}",
        fix="give files of one interval",
    )
