"""A finished run read again: the parts put together, judged, and written as the results.

`results.parquet` has a row for each policy, symbol and side, with the value of every axis;
`summary.json` is what `ratchet sweep --json` prints. Nothing of it is needed to resume a run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from agent.trailing.bulk.row import SweepRow
from flows.data import durable
from flows.data.frame import days_of
from flows.sweep.judge import SUMS, Worth, judge, sums_by_day
from flows.sweep.run import RUN_FILE, SLICE

Ints = npt.NDArray[np.int64]
RESULTS = "results.parquet"
SUMMARY = "summary.json"
PAGE = "map.html"
DAYS = ".days.parquet"
SIMULATED = (
    "SIMULATED PATH: these prices are drawn, not recorded. No figure here says anything about a "
    "market, and none may enter a gate."
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run.

    Parameters
    ----------
    folder : Path
    described : dict
        `run.json`.
    worth : Worth
    first, last : str
        First and last day with an entry; empty where there is none.
    symbols_without : tuple of str
        Symbols at which nothing was traded.
    """

    folder: Path
    described: Mapping[str, Any]
    worth: Worth
    first: str
    last: str
    symbols_without: tuple[str, ...]


def collect(folder: Path) -> Outcome:
    """Put a run's parts together, judge it, and write its results.

    Parameters
    ----------
    folder : Path
        Of a run whose parts are all there.
    """
    described = describe(folder)
    policies = described["policies"]
    parts = sorted((folder / "parts").glob("*.parquet"))
    by_day = [path for path in parts if path.name.endswith(DAYS)]
    sums = {name: np.zeros(len(policies), np.int64) for name in SUMS}
    traded = set()
    with durable.appearing(folder / RESULTS) as temporary, _Writer(temporary) as writer:
        for path in parts:
            if path in by_day:
                continue
            table = _read(path)
            number = _numbers(table, path)
            for name in SUMS:
                np.add.at(sums[name], number, table[name].to_numpy())
            traded |= {row["symbol"] for row in table.to_pylist() if row["entries"]}
            writer.put(_with_values(table, number, described))
    days, daily = sums_by_day((_days(path) for path in by_day), _dates(by_day), len(policies))
    worth = judge(sums, daily, _trials(folder, described))
    dates = days_of(days)
    return Outcome(
        folder=folder,
        described=described,
        worth=worth,
        first=dates[0].isoformat() if dates else "",
        last=dates[-1].isoformat() if dates else "",
        symbols_without=tuple(s for s in described["symbols"] if s not in traded),
    )


class _Writer:
    """Writes tables of one schema to a Parquet file, one after another."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: Any = None

    def __enter__(self) -> Self:
        return self

    def put(self, table: Any) -> None:
        """Append a table."""
        import pyarrow.parquet as pq

        if self._open is None:
            self._open = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        self._open.write_table(table)

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.close()


def _read(path: Path) -> Any:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as held:
        return held.read()


def _numbers(table: Any, path: Path) -> Ints:
    """Return the run's number of each row's policy; a part counts from its own first."""
    part = int(path.name.removesuffix(DAYS).removesuffix(".parquet").rpartition("-")[2])
    return np.asarray(table["policy"].to_numpy().astype(np.int64) + part * SLICE)


def _with_values(table: Any, number: Ints, described: Mapping[str, Any]) -> Any:
    """Return the rows with a column for each axis, and the mark of drawn prices."""
    values = [described["policies"][n]["values"] for n in number]
    table = table.drop_columns(["policy"])
    for n, axis in enumerate(described["axes"]):
        table = table.append_column(axis["key"], [[value[n] for value in values]])
    if described["simulated_path"]:
        table = table.append_column("simulated_path", [[True] * len(number)])
    return table


def _dates(paths: Sequence[Path]) -> Ints:
    """Return all days that any part has, rising; only that column is read."""
    import pyarrow.parquet as pq

    days: set[int] = set()
    for path in paths:
        with pq.ParquetFile(path) as held:
            days |= set(np.unique(held.read(columns=["day"])["day"].to_numpy()).tolist())
    return np.array(sorted(days), np.int64)


def _days(path: Path) -> tuple[Ints, Ints, Ints]:
    """Return (day, policy, net) of a part."""
    table = _read(path)
    return (
        table["day"].to_numpy().astype(np.int64), _numbers(table, path),
        table["net_paise"].to_numpy(),
    )  # fmt: skip


def describe(folder: Path) -> dict[str, Any]:
    """Return a run's `run.json`."""
    told: dict[str, Any] = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    return told


def rows_of(folder: Path, policy_sha256: str) -> list[SweepRow]:
    """Return the rows of one policy of a collected run, a symbol and side each."""
    import pyarrow.parquet as pq

    names = [field.name for field in fields(SweepRow)]
    table = pq.read_table(
        folder / RESULTS, columns=names, filters=[("policy_sha256", "=", policy_sha256)]
    )
    return [SweepRow(**row) for row in table.to_pylist()]


def document(outcome: Outcome, *, top: int) -> dict[str, Any]:
    """Return a run as `--json` prints it; `top` policies, the best first."""
    told, worth = outcome.described, outcome.worth
    policies = [
        {
            "rank": rank,
            "sha256": told["policies"][number]["sha256"],
            "values": _values(told, int(number)),
            **worth.row(int(number)),
        }
        for rank, number in enumerate(worth.order[:top], start=1)
    ]
    found: dict[str, Any] = {
        "run": outcome.folder.name,
        "folder": str(outcome.folder),
        "data": told["data"],
        "interval": told["interval"],
        "simulated_path": told["simulated_path"],
        "first": outcome.first,
        "last": outcome.last,
        "days": worth.days,
        "symbols": len(told["symbols"]),
        "symbols_without_trades": list(outcome.symbols_without),
        "policies": len(told["policies"]),
        "left_out": told["left_out"],
        "why_left_out": told["why_left_out"],
        "trials": worth.trials,
        "luckiest_sharpe_a_year": worth.luckiest_a_year,
        "overfitting_probability": worth.overfitting,
        "verdict": worth.verdict,
        "warning": worth.warning,
        "entries": told["entries"],
        "terms": told["terms"],
        "top": policies,
    }
    if told["simulated_path"]:
        found["warning"] = f"{SIMULATED} {worth.warning}"
    return found


def write_summary(folder: Path, told: Mapping[str, Any]) -> None:
    """Write the document beside the results."""
    durable.write_text(folder / SUMMARY, json.dumps(told, indent=1, allow_nan=False))


def write_page(folder: Path, page: str) -> None:
    """Write the heat map beside the results."""
    durable.write_text(folder / PAGE, page)


def _values(told: Mapping[str, Any], number: int) -> dict[str, str]:
    keys = [axis["key"] for axis in told["axes"]]
    return dict(zip(keys, told["policies"][number]["values"], strict=True))


def _trials(folder: Path, described: Mapping[str, Any]) -> int:
    """Return how many policies were ever tried on these data: here, and in runs beside it.

    The same policy under the same entries and terms counts once.
    """
    tried = set()
    for path in folder.parent.glob(f"*/{RUN_FILE}"):
        other = json.loads(path.read_text(encoding="utf-8"))
        complete = path.parent == folder or (path.parent / RESULTS).exists()
        if complete and other["fingerprint"] == described["fingerprint"]:
            how = json.dumps([other["entries"], other["terms"], other["signals"]], sort_keys=True)
            tried |= {(policy["sha256"], how) for policy in other["policies"]}
    return len(tried)
