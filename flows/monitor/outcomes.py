"""What happened after each prediction: the result of both sides under the version's own policy.

Order: predictions without an outcome (the log less what is kept), by version and instrument;
label those decision candles (flows/labels.py, the same code as training); join in DuckDB; keep
the joined rows by day in `HOME/outcomes/MODEL/DAY.parquet`. A file appears whole or not at all,
so a run that dies is repeated by the next. A row is kept once and for ever: candles that are
adjusted later change no outcome. A trade that is not over in the candles waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flows.data import durable
from flows.data.frame import (
    DAY_MS,
    INTERVAL_MS,
    IST_MS,
    MINUTE_MS,
    Bools,
    Ints,
    day_numbers,
    days_of,
    ts_ms,
)
from flows.data.store import CandleStore
from flows.home import Home
from flows.labels import LabelSettings, label_symbol
from flows.monitor.records import KEYS
from flows.monitor.versions import Known

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

WARM_UP_CANDLES = 400  # the average true range forgets: (13/14)^400 is 1e-13
SESSION_MINUTES = 375
CALENDAR_DAYS_SPARE = 14  # holidays around a window of candles
KINDS = {
    "y": "BIGINT",
    "r_long": "DOUBLE",
    "r_short": "DOUBLE",
    "bp_long": "DOUBLE",
    "bp_short": "DOUBLE",
    "ambiguous": "BOOLEAN",
    "known_ms": "BIGINT",
    "dataset": "VARCHAR",
}
_USING = ", ".join(KEYS)


@dataclass(slots=True)
class Joined:
    """What one run did.

    `new` rows were settled now; `total` are settled in all, `results` of them with a result.
    """

    new: int = 0
    total: int = 0
    results: int = 0
    waiting: dict[str, int] = field(default_factory=dict)

    def wait(self, why: str, rows: int) -> None:
        """Count rows that wait."""
        if rows:
            self.waiting[why] = self.waiting.get(why, 0) + rows


def folder(home: Home, model: str) -> Path:
    """Return where a model's outcomes are kept."""
    return home.root / "outcomes" / model


def load(connection: duckdb.DuckDBPyConnection, home: Home, model: str) -> int:
    """Make the table `outcomes` of what is kept; return its rows. The table `served` exists."""
    kept = folder(home, model)
    if any(kept.glob("*.parquet")):
        files = str(kept / "*.parquet").replace("'", "''")
        source = f"SELECT * FROM read_parquet('{files}')"  # noqa: S608  (a path of ours)
    else:
        columns = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in KINDS.items())
        source = f"SELECT *, {columns} FROM served WHERE false"  # noqa: S608
    connection.execute(f"CREATE OR REPLACE TABLE outcomes AS {source}")
    return _count(connection, "outcomes")


def join(
    connection: duckdb.DuckDBPyConnection,
    home: Home,
    model: str,
    version_of: Callable[[int], Known | str],
    dataset: str | None = None,
) -> Joined:
    """Join what has happened by now. The table `served` exists; `outcomes` is made anew.

    Parameters
    ----------
    version_of : callable
        Gives a version by number, or why it cannot be read.
    dataset : str, optional
        Whose candles say what happened; else see `candles_of`.
    """
    before = load(connection, home, model)
    connection.execute(
        f"CREATE OR REPLACE TABLE pending AS SELECT * FROM served ANTI JOIN outcomes USING ({_USING})"  # noqa: S608, E501
    )
    wanted = connection.execute(
        "SELECT version, key, list(DISTINCT candle_ms), count(*) FROM pending "
        "GROUP BY version, key ORDER BY version, key"
    ).fetchall()
    done = Joined()
    labelled: list[pd.DataFrame] = []
    store = CandleStore(home)
    for number, key, candle_ms, rows in wanted:
        version = version_of(int(number))
        if isinstance(version, str):
            done.wait(f"version {number} cannot be read ({version})", rows)
            continue
        asked = np.sort(np.array(candle_ms, dtype=np.int64))
        held = candles_of(store, version, key, asked, dataset)
        if held is None:
            done.wait(f"no dataset has the {version.interval} candles of {key}", rows)
        else:
            labelled.append(_label(held, version, key, asked))
    if labelled:
        _keep(connection, home, model, labelled)
    done.total = load(connection, home, model)
    done.results = _count(connection, "outcomes WHERE y IS NOT NULL")
    done.new = done.total - before
    left = sum(rows for *_, rows in wanted) - done.new - sum(done.waiting.values())
    done.wait("the trade is not over in the candles yet", left)
    return done


def candles_of(
    store: CandleStore, version: Known, key: str, candle_ms: Ints, dataset: str | None = None
) -> tuple[str, pd.DataFrame] | None:
    """Return (dataset, candles) that can say what followed some candles of an instrument.

    The dataset asked for; else the one that the version was trained on; else, of those that have
    the interval and the instrument, the one that reaches furthest. Candles that a simulator drew
    say nothing.

    Parameters
    ----------
    candle_ms : int64 array of shape (n,), open times, rising, n >= 1
    """
    own = str((version.document.get("data") or {}).get("dataset", ""))
    choices = []
    for name in [dataset] if dataset else store.datasets():
        manifest = store.manifest(name)
        fits = manifest.interval == version.interval and key in manifest.symbols
        if fits and not manifest.simulated_path:
            choices.append((name == own, manifest.last, name))
    first, last = days_of(day_numbers(candle_ms[[0, -1]]))
    first -= timedelta(days=_warm_up_days(version.interval))
    last += timedelta(days=CALENDAR_DAYS_SPARE)
    for _, _, name in sorted(choices, reverse=True):
        frame = store.read(name, [key], first, last)
        if np.isin(candle_ms, ts_ms(frame)).any():
            return name, frame
    return None


def _warm_up_days(interval: str) -> int:
    """Return the calendar days that surely hold `WARM_UP_CANDLES`."""
    minutes = INTERVAL_MS[interval] // MINUTE_MS
    a_session = 1 if interval == "day" else max(1, SESSION_MINUTES // minutes)
    return -(-WARM_UP_CANDLES // a_session) * 7 // 5 + CALENDAR_DAYS_SPARE


def _label(held: tuple[str, pd.DataFrame], version: Known, key: str, candle_ms: Ints) -> Any:
    """Return the outcomes of an instrument's decision candles, as a frame.

    Where no trade could be entered (too late in the day, a stop too near for the grid) and that
    will not change, the row is settled without a result: `y` is missing.
    """
    import pandas as pd

    dataset, frame = held
    settings = replace(version.labels, every=1)
    ms = ts_ms(frame)
    only = np.flatnonzero(np.isin(ms, candle_ms))
    labels = label_symbol(frame, version.interval, version.policy, settings, only=only)
    labels = labels.at(_over(ms, labels.day, version.interval, settings))
    columns = {name: getattr(labels, name) for name in KINDS if name != "dataset"}
    results = pd.DataFrame({"candle_ms": ms[labels.candle]} | columns)
    # a day candle is decided for the next one, which the last does not have yet
    ended = ms[:-1] if version.interval == "day" else ms
    ended = ended[_over(ms, day_numbers(ended), version.interval, settings)]
    settled = np.setdiff1d(np.intersect1d(ended, candle_ms), results["candle_ms"])
    without = pd.DataFrame({"candle_ms": settled}).reindex(columns=results.columns)
    both = pd.concat([results, without], ignore_index=True) if len(settled) else results
    both = both.astype({"y": "Int64", "known_ms": "Int64", "ambiguous": "boolean"})
    return both.assign(version=version.number, key=key, dataset=dataset)


def _over(ms: Ints, trade_day: Ints, interval: str, settings: LabelSettings) -> Bools:
    """Tell whose trading day is over in the candles: a half-loaded day would cut trades short."""
    if interval == "day" or not len(ms):
        return np.ones(len(trade_day), dtype=np.bool_)
    hour, minute = settings.square_off.split(":")
    end = (ms[-1] + IST_MS) % DAY_MS + INTERVAL_MS[interval]
    ended = end >= (int(hour) * 60 + int(minute)) * MINUTE_MS
    last_day = day_numbers(ms[-1:])[0]
    return np.asarray(trade_day <= last_day if ended else trade_day < last_day)


def _keep(
    connection: duckdb.DuckDBPyConnection, home: Home, model: str, labelled: list[pd.DataFrame]
) -> None:
    """Join the labels to their predictions and write the days that changed, whole."""
    import pandas as pd

    connection.register("labelled", pd.concat(labelled, ignore_index=True))
    connection.execute(
        "CREATE OR REPLACE TABLE fresh AS "
        "SELECT * FROM pending JOIN labelled USING (version, key, candle_ms)"
    )
    connection.unregister("labelled")
    days = connection.execute("SELECT DISTINCT day FROM fresh ORDER BY day").fetchall()
    for (day,) in days:
        with durable.appearing(folder(home, model) / f"{day}.parquet") as temporary:
            into = str(temporary).replace("'", "''")
            connection.execute(
                "COPY (SELECT * FROM "  # noqa: S608
                "(SELECT * FROM outcomes UNION ALL BY NAME SELECT * FROM fresh) "
                f"WHERE day = ? ORDER BY {_USING}) TO '{into}' (FORMAT parquet, COMPRESSION zstd)",
                [day],
            )


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])  # noqa: S608
