"""One Parquet or CSV file of a user's: is it a file of candles, and what is in it.

A file is read in batches, never whole. Three ends: candles; another kind of file, with the reason
in words; or an error that names the file, because it looks like candles and cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from agent.errors import SettingRefused
from flows.data.frame import PRICES, VALUES, ZONE, Floats, Ints
from flows.data.sources.base import Skipped

Kind = Literal["parquet", "csv"]
SUFFIXES: dict[str, tuple[str, ...]] = {
    "parquet": (".parquet", ".pq"),
    "csv": (".csv", ".csv.gz"),
}
TIME_COLUMNS = ("ts", "timestamp")
TICK_COLUMNS = {"ltp", "ltp_paise", "last_price"}
DUMP_COLUMNS = {"instrument_token", "tradingsymbol", "exchange_token"}
BATCH_ROWS = 65_536
EPOCH_MS_FROM = 100_000_000_000  # a whole number above is milliseconds (1973 on), below seconds


@dataclass(frozen=True, slots=True)
class Table:
    """A file of candles: where its columns are. `symbol_column` None: the file's name says it."""

    path: Path
    kind: Kind
    columns: dict[str, str]
    symbol_column: str | None

    @property
    def symbol(self) -> str:
        """The symbol that the file's name says."""
        name = self.path.name
        for suffix in SUFFIXES[self.kind]:
            name = name.removesuffix(suffix)
        return name


Batch = tuple[Any, Ints, dict[str, Floats]]  # symbols: pyarrow dictionary array or None


def look_at(path: Path, kind: Kind) -> Table | Skipped:
    """Decide what a file is by its name and its columns.

    Raises
    ------
    agent.errors.SettingRefused
        If it has the right ending and cannot be read, or lacks a column that candles need.
    """
    if path.is_dir():
        return Skipped(str(path), "a folder")
    if not path.name.lower().endswith(SUFFIXES[kind]):
        return Skipped(str(path), f"not a {kind} file ({' or '.join(SUFFIXES[kind])})")
    given = _column_names(path, kind)
    known = {name.strip().lower(): name for name in reversed(given)}
    offered = ", ".join(given) or "none"
    if not known.keys() & set(PRICES):
        if known.keys() & TICK_COLUMNS:
            return Skipped(str(path), f"ticks, not candles (columns {offered})")
        if known.keys() & DUMP_COLUMNS:
            return Skipped(str(path), f"an instrument dump, not candles (columns {offered})")
        return Skipped(str(path), f"no candles: none of {', '.join(PRICES)} (columns {offered})")
    time_column = next((name for name in TIME_COLUMNS if name in known), None)
    missing = [name for name in PRICES if name not in known]
    if time_column is None:
        missing.insert(0, " or ".join(TIME_COLUMNS))
    if missing:
        raise broken(path, f"no column {', '.join(missing)} (it has {offered})")
    columns = {name: known[name] for name in VALUES if name in known}
    columns["ts"] = known[time_column or ""]
    return Table(path, kind, columns, known.get("symbol"))


def batches(table: Table) -> Iterator[Batch]:
    """Yield (symbols, epoch ms, values) of a file, at most `BATCH_ROWS` rows at a time.

    Raises
    ------
    agent.errors.SettingRefused
        If the file is damaged, a number is none, or a time cannot be read.
    """
    import pyarrow as pa

    try:
        for batch in _record_batches(table):
            yield _columns_of(table, batch)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as fault:
        raise broken(table.path, _first_line(fault)) from fault


def broken(path: Path, why: str) -> SettingRefused:
    """Return the error that names a broken file."""
    return SettingRefused(
        str(path),
        given=why,
        allowed="ts or timestamp, open, high, low, close, and if known symbol and volume",
        fix="mend or remove the file, or narrow the pattern",
    )


def _column_names(path: Path, kind: Kind) -> list[str]:
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    try:
        if kind == "parquet":
            return list(pq.read_schema(path).names)
        with pc.open_csv(path, parse_options=pc.ParseOptions()) as reader:
            return list(reader.schema.names)
    except (pa.ArrowException, OSError, UnicodeDecodeError, EOFError) as fault:
        raise broken(path, _first_line(fault)) from fault


def _record_batches(table: Table) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    names = list(table.columns.values())
    if table.symbol_column:
        names.append(table.symbol_column)
    if table.kind == "parquet":
        yield from pq.ParquetFile(table.path).iter_batches(batch_size=BATCH_ROWS, columns=names)
        return
    types = {name: pa.float64() for name in names}
    types[table.columns["ts"]] = pa.string()
    if table.symbol_column:
        types[table.symbol_column] = pa.string()
    convert = pc.ConvertOptions(column_types=types, include_columns=names, strings_can_be_null=True)
    reading = pc.ReadOptions(block_size=4 << 20)
    with pc.open_csv(table.path, read_options=reading, convert_options=convert) as reader:
        yield from reader


def _columns_of(table: Table, batch: Any) -> Batch:
    import pyarrow as pa

    values: dict[str, Floats] = {"volume": np.full(batch.num_rows, np.nan)}
    for name, column in table.columns.items():
        if name != "ts":
            numbers = batch.column(column).cast(pa.float64())
            values[name] = numbers.to_numpy(zero_copy_only=False)
    symbols = None
    if table.symbol_column:
        symbols = batch.column(table.symbol_column).cast(pa.string()).dictionary_encode()
        if symbols.null_count:
            raise ValueError(f"{symbols.null_count} rows without a symbol")
    return symbols, epoch_ms(batch.column(table.columns["ts"])), values


def epoch_ms(column: Any) -> Ints:
    """Return a column of times as epoch milliseconds; a time without an offset is India's.

    Parameters
    ----------
    column : pyarrow array of timestamps, dates, ISO-8601 text, or whole numbers (epoch ms or s)

    Raises
    ------
    ValueError
        If a time is missing or cannot be read; the message shows it.
    """
    import pyarrow as pa

    if column.null_count:
        raise ValueError(f"{column.null_count} rows without a time")
    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            return _from_naive(column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64()))
        return _numbers(column.cast(pa.timestamp("ms", tz="UTC"), safe=False).cast(pa.int64()))
    if pa.types.is_date(column.type):
        return _from_naive(column.cast(pa.timestamp("ms")).cast(pa.int64()))
    if pa.types.is_integer(column.type):
        return _from_epoch(_numbers(column))
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _from_text(column)
    raise ValueError(f"times of type {column.type}; expected ISO-8601 text or a timestamp")


def _numbers(column: Any) -> Ints:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.int64)


def _from_epoch(numbers: Ints) -> Ints:
    return np.where(np.abs(numbers) >= EPOCH_MS_FROM, numbers, numbers * 1000)


def _from_naive(column: Any) -> Ints:
    import pandas as pd

    local = pd.Series(_numbers(column).astype("datetime64[ms]")).dt.tz_localize(ZONE)
    return np.asarray(local.dt.tz_convert("UTC").dt.tz_localize(None).astype("int64"))


def _from_text(column: Any) -> Ints:
    import pandas as pd
    import pyarrow.compute as pc

    text = pc.utf8_trim_whitespace(column)
    if pc.all(pc.match_substring_regex(text, r"^\d{9,13}$")).as_py():
        return _from_epoch(_numbers(text.cast("int64")))
    with_offset = pc.match_substring_regex(text, r"\d{2}:\d{2}.*(Z|[+-]\d{2}:?\d{2})$")
    mask = np.asarray(with_offset.to_numpy(zero_copy_only=False), dtype=np.bool_)
    series = pd.Series(text.to_pandas())
    out = np.empty(len(series), dtype=np.int64)
    if mask.any():
        aware = pd.to_datetime(series[mask], format="ISO8601", utc=True)
        out[mask] = aware.dt.tz_localize(None).to_numpy().astype("datetime64[ms]").astype(np.int64)
    if not mask.all():
        naive = pd.to_datetime(series[~mask], format="ISO8601").dt.tz_localize(ZONE)
        utc = naive.dt.tz_convert("UTC").dt.tz_localize(None)
        out[~mask] = utc.to_numpy().astype("datetime64[ms]").astype(np.int64)
    return out


def _first_line(fault: BaseException) -> str:
    return (str(fault) or type(fault).__name__).splitlines()[0][:200]
