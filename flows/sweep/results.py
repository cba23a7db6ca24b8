"""A finished run read again: the parts put together, judged, and written as the results.

`results.parquet` has a row for each policy, symbol and side, with the value of every axis;
`summary.json` is what `ratchet sweep --json` prints. Nothing of it is needed to resume a run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.trailing.bulk.row import SweepRow
from flows.data import durable
from flows.data.frame import days_of
from flows.sweep.judge import SUMS, Worth, columns_of, judge, sums_by_day
from flows.sweep.run import RUN_FILE, SLICE

Ints = npt.NDArray[np.int64]
RESULTS = "results.parquet"
SUMMARY = "summary.json"
PAGE = "map.html"
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
    import pyarrow as pa
    import pyarrow.parquet as pq

    described = describe(folder)
    policies = described["policies"]
    number_of = {policy["sha256"]: n for n, policy in enumerate(policies)}
    tables, by_day = [], []
    for path in sorted((folder / "parts").glob("*.parquet")):
        table = pq.ParquetFile(path).read()
        if path.name.endswith(".days.parquet"):
            by_day.append(_days(table, path))
        else:
            tables.append(table.drop_columns(["policy"]))
    whole = pa.concat_tables(tables)
    number = np.array([number_of[sha] for sha in whole["policy_sha256"].to_pylist()], np.int64)
    columns = {name: whole[name].to_numpy() for name in SUMS} | {"policy": number}
    days, daily = sums_by_day(by_day, len(policies))
    worth = judge(columns_of(columns, len(policies)), daily, _trials(folder, described))
    for n, axis in enumerate(described["axes"]):
        whole = whole.append_column(axis["key"], [[policies[p]["values"][n] for p in number]])
    if described["simulated_path"]:
        whole = whole.append_column("simulated_path", [[True] * len(number)])
    with durable.appearing(folder / RESULTS) as temporary:
        pq.write_table(whole, temporary, compression="zstd")
    traded = set(whole.filter(pa.compute.greater(whole["entries"], 0))["symbol"].to_pylist())
    dates = days_of(days)
    return Outcome(
        folder=folder,
        described=described,
        worth=worth,
        first=dates[0].isoformat() if dates else "",
        last=dates[-1].isoformat() if dates else "",
        symbols_without=tuple(s for s in described["symbols"] if s not in traded),
    )


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


def _days(table: Any, path: Path) -> tuple[Ints, Ints, Ints]:
    """Return (day, policy, net) of a part; its policies are numbered from the part's first."""
    part = int(path.name.removesuffix(".days.parquet").rpartition("-")[2])
    day, policy, net = (table[name].to_numpy() for name in ("day", "policy", "net_paise"))
    return day.astype(np.int64), policy.astype(np.int64) + part * SLICE, net


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
