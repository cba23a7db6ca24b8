"""The prediction log as DuckDB reads it while it grows.

One place for the log's columns (bentos/worker.py writes them). A torn last line is an all-NULL
row and is left out; a record written twice counts once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from flows.home import Home

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT = "1GB"
LINE_BYTES_MAX = 16_777_216
KEYS = ("request_id", "place", "version", "key", "candle_ms")  # what makes a record one

_PREDICTION = (
    "STRUCT(side VARCHAR, p_flat DOUBLE, p_long DOUBLE, p_short DOUBLE, "
    "er_long DOUBLE, er_short DOUBLE)"
)
_COLUMNS = {
    "kind": "VARCHAR",
    "at_ms": "BIGINT",
    "request_id": "VARCHAR",
    "row": "INTEGER",
    "model": "VARCHAR",
    "version": "INTEGER",
    "variant": "VARCHAR",
    "key": "VARCHAR",
    "day": "VARCHAR",
    "candle_ms": "BIGINT",
    "prediction": _PREDICTION,
}


@dataclass(frozen=True, slots=True)
class Rows:
    """Served rows of one model, one for each question, whichever versions scored it.

    Parameters
    ----------
    keys : list of str, shape (n,)
    candle_ms, day : int64 arrays of shape (n,): open of the last candle, its day's number
    x : float64 array of shape (n, n_features), NaN where missing
    """

    keys: list[str]
    candle_ms: npt.NDArray[np.int64]
    day: npt.NDArray[np.int64]
    x: npt.NDArray[np.float64]


@contextmanager
def connected(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a DuckDB that keeps to its memory, to the home folder and off the network."""
    import duckdb

    spill = home.tmp / "duckdb"
    spill.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(":memory:")
    try:
        for name, value in {
            "memory_limit": MEMORY_LIMIT,
            "threads": 2,
            "temp_directory": str(spill),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "TimeZone": "UTC",
            "preserve_insertion_order": False,
            # read_json is taken for 42 rows, which makes a nested loop of an ASOF join
            "asof_loop_join_threshold": 0,
        }.items():
            connection.execute(f"SET {name} = ?", [value])
        yield connection
    finally:
        connection.close()


def models(connection: duckdb.DuckDBPyConnection, home: Home) -> list[str]:
    """Return the models that have a prediction in the log, sorted."""
    if not _files(home):
        return []
    told = connection.execute(
        f"SELECT DISTINCT model FROM {log_source(home)} "  # noqa: S608  (names of ours)
        "WHERE kind = 'prediction' ORDER BY model"
    )
    return [row[0] for row in told.fetchall()]


def take(connection: duckdb.DuckDBPyConnection, home: Home, model: str) -> int:
    """Make the table `served`: a model's predictions, flat, each once; return their number."""
    wanted = ", ".join(KEYS)
    source = log_source(home) if _files(home) else _nothing()
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE served AS
        SELECT request_id, coalesce(row, -1) AS place, version, variant, key, day, candle_ms,
               at_ms, prediction.side AS side, prediction.p_flat AS p_flat,
               prediction.p_long AS p_long, prediction.p_short AS p_short,
               prediction.er_long AS er_long, prediction.er_short AS er_short
        FROM {source}
        WHERE kind = 'prediction' AND model = ? AND key IS NOT NULL AND candle_ms IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY {wanted} ORDER BY at_ms) = 1
        """,  # noqa: S608  (names of ours, the value is bound)
        [model],
    )
    return int(connection.execute("SELECT count(*) FROM served").fetchall()[0][0])


def rows(
    connection: duckdb.DuckDBPyConnection,
    home: Home,
    model: str,
    names: Sequence[str],
    since_day: str,
) -> Rows:
    """Return the features that were served from a day on, ISO, inclusive.

    A question that several versions scored, or that was asked again, counts once.
    """
    if not _files(home):
        return _empty(len(names))
    fields = ", ".join(f"{_quoted(name)} DOUBLE" for name in names)
    columns = _COLUMNS | {"features": f"STRUCT({fields})"}
    picked = ", ".join(f"features.{_quoted(name)}" for name in names)
    told = connection.execute(
        f"""
        SELECT key, candle_ms, date_diff('day', DATE '1970-01-01', CAST(day AS DATE)) AS day_number,
               {picked}
        FROM {log_source(home, columns)}
        WHERE kind = 'prediction' AND model = ? AND key IS NOT NULL AND candle_ms IS NOT NULL
              AND features IS NOT NULL AND day >= ?
        QUALIFY row_number() OVER (PARTITION BY key, candle_ms, features ORDER BY at_ms) = 1
        ORDER BY day_number, candle_ms, key
        """,  # noqa: S608
        [model, since_day],
    )
    table: dict[str, Any] = told.fetchnumpy()
    filled = [np.ma.filled(column, np.nan) for column in list(table.values())[3:]]
    keys = [str(key) for key in table["key"]]
    if not keys:
        return _empty(len(names))
    return Rows(
        keys=keys,
        candle_ms=np.asarray(np.ma.filled(table["candle_ms"]), dtype=np.int64),
        day=np.asarray(np.ma.filled(table["day_number"]), dtype=np.int64),
        x=np.stack([np.asarray(column, dtype=np.float64) for column in filled], axis=1),
    )


def _empty(features: int) -> Rows:
    nothing = np.empty(0, dtype=np.int64)
    return Rows([], nothing, nothing, np.empty((0, features)))


def _files(home: Home) -> bool:
    return any(home.predictions.glob("*.jsonl"))


def log_source(home: Home, columns: dict[str, str] | None = None) -> str:
    """Return SQL that reads the whole log with these columns (default: the monitor's)."""
    told = ", ".join(
        f"{_text(name)}: {_text(kind)}" for name, kind in (columns or _COLUMNS).items()
    )
    return (
        f"read_json({_text(str(home.predictions / '*.jsonl'))}, format='newline_delimited', "
        f"ignore_errors=true, maximum_object_size={LINE_BYTES_MAX}, columns={{{told}}})"
    )


def _nothing() -> str:
    told = ", ".join(f"CAST(NULL AS {kind}) AS {_quoted(n)}" for n, kind in _COLUMNS.items())
    return f"(SELECT {told} WHERE false)"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
