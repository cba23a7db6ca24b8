"""The demo's figures, each read from the part that knows: journal, prediction log, exchange.

Reads files that other processes wrote; decides nothing.
"""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from agent.errors import Broken, EnvironmentRefused
from bentos.documents import ModelTold
from flows.demo.story import Trade
from flows.home import Home

JOURNAL = Path("agent") / "journal.db"
AUDIT_TIMEOUT_S = 20.0
STOPPED = "STOP"  # the resting order filled by itself: the agent has decided nothing


def read_trades(home: Path) -> list[Trade]:
    """Return the round trips of the agent's journal, in the order of their exits.

    Raises
    ------
    EnvironmentRefused
        If there is no journal.
    """
    with _journal(home) as journal:
        rows = journal.execute(
            "select * from trades where shares > 0 and closed_ms > 0 order by closed_ms, number"
        ).fetchall()
        return [_trade(journal, row) for row in rows]


def read_refusals(home: Path) -> dict[str, int]:
    """Return why signals were not traded, in words, with counts, most frequent first."""
    with _journal(home) as journal:
        rows = journal.execute("select facts, words from notes where kind = 'refused'").fetchall()
    counts = Counter(str(json.loads(row["facts"]).get("reason") or row["words"]) for row in rows)
    return dict(counts.most_common())


def closed_so_far(home: Path) -> tuple[int, int]:
    """Return how many trades are closed and when the last was, epoch ms, of a running agent.

    A journal that is not there or not laid out yet holds none.
    """
    if not (home / JOURNAL).exists():
        return 0, 0
    with _journal(home) as journal, suppress(sqlite3.OperationalError):
        row = journal.execute(
            "select count(*) as trades, coalesce(max(closed_ms), 0) as last_ms from trades "
            "where shares > 0 and closed_ms > 0"
        ).fetchone()
        return row["trades"], row["last_ms"]
    return 0, 0


@contextmanager
def _journal(home: Path) -> Iterator[sqlite3.Connection]:
    path = home / JOURNAL
    if not path.exists():
        raise EnvironmentRefused(
            str(path),
            given="no journal",
            allowed="one that the agent wrote",
            fix="see the agent's log",
        )
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as journal:
        journal.row_factory = sqlite3.Row
        yield journal


def _trade(journal: sqlite3.Connection, row: sqlite3.Row) -> Trade:
    tick = row["tick_paise"] / 100
    path = journal.execute(
        "select at_ms, price, stop, target from path where trade = ? order by at_ms",
        (row["number"],),
    ).fetchall()
    shares = row["shares"]
    return Trade(
        symbol=row["key"],
        side=row["side"],
        quantity=shares,
        version=int(row["version"] or 0),
        variant=row["variant"],
        opened_ms=row["filled_ms"] or row["opened_ms"],
        closed_ms=row["closed_ms"],
        entry=row["entered_paise"] / shares / 100,
        exit=row["left_paise"] / shares / 100,
        reason=str(row["reason"] or STOPPED).lower().replace("_", " "),
        stop_moves=row["stop_moves"],
        target_moves=row["target_moves"],
        gross_paise=row["gross_paise"],
        charges_paise=row["charges_paise"],
        net_paise=row["net_paise"],
        prices=[(float(p["at_ms"]), p["price"] * tick) for p in path],
        stops=_moves(path, "stop", tick),
        targets=_moves(path, "target", tick),
    )


def _moves(path: Sequence[sqlite3.Row], name: str, tick: float) -> list[tuple[float, float]]:
    """Keep the points at which a level came or moved."""
    moved: list[tuple[float, float]] = []
    for row in path:
        if row[name] is not None and (not moved or moved[-1][1] != row[name] * tick):
            moved.append((float(row["at_ms"]), row[name] * tick))
    return moved


def served_figures(home: Home, model: str, bento: str) -> dict[str, Any]:
    """Return requests, latency and variants from the prediction log.

    Raises
    ------
    Broken
        If the log is empty although the agent asked.
    """
    from flows.monitor.records import connected, log_source

    named = dict.fromkeys(("kind", "model", "variant"), "VARCHAR")
    source = log_source(home, named | {"latency_ms": "DOUBLE"})
    with connected(home) as log:
        log.execute(f"create table said as select * from {source}")  # noqa: S608  (names of ours)
        variants = log.execute(
            "select variant, count(*) from said where kind = 'prediction' and model = ? "
            "group by variant order by variant",
            [model],
        ).fetchall()
        p50, p99 = log.execute(
            "select quantile_cont(latency_ms, 0.5), quantile_cont(latency_ms, 0.99) from said "
            "where kind = 'prediction' and variant != 'shadow' and model = ?",
            [model],
        ).fetchall()[0]
        errors = log.execute("select count(*) from said where kind = 'refusal'").fetchall()[0][0]
    counts = {str(variant): int(count) for variant, count in variants}
    shadows = counts.pop("shadow", 0)
    if not counts:
        raise Broken(f"the prediction log {home.predictions} holds no answer of model {model}")
    return {
        "bento": bento,
        "requests": sum(counts.values()),
        "p50_ms": round(p50, 3),
        "p99_ms": round(p99, 3),
        "variants": {"champion": 0, "challenger": 0} | counts,
        "shadow_requests": shadows,
        "errors": int(errors),
    }


def model_figures(
    told: ModelTold, data: Mapping[str, Any], served: Mapping[str, Any]
) -> dict[str, Any]:
    """Return one model's entry in the section `models` of the summary.

    Parameters
    ----------
    told : ModelTold
        What the served model said of itself.
    data : mapping
        What `ingest` said of the candles it learned from.
    served : mapping
        Of `served_figures`.
    """
    split = told.traffic
    counted = ("requests", "p50_ms", "p99_ms", "variants", "shadow_requests")
    return {
        "name": told.name,
        "interval": told.interval,
        "window": told.window,
        "source": data["source"],
        "notes": data["notes"],
        "versions": [
            {
                "version": one.version,
                "alias": one.alias,
                "allowed": one.allowed,
                "gates": {
                    name: {key: gate[key] for key in ("passed", "verdict", "why")}
                    for name, gate in (one.gates or {}).items()
                },
            }
            for one in told.versions
        ],
        "traffic": {
            "revision": split.revision,
            "champion": split.champion,
            "challengers": split.challengers,
            "shadows": split.shadows,
        },
        **{key: served[key] for key in counted},
    }


def read_audit(paper_url: str) -> dict[str, Any]:
    """Ask the exchange for its own account of the run."""
    with urllib.request.urlopen(f"{paper_url}/_paper/audit", timeout=AUDIT_TIMEOUT_S) as answer:  # noqa: S310
        document: dict[str, Any] = json.load(answer)
    return document


def agent_figures(audit: Mapping[str, Any], trades: Sequence[Trade]) -> dict[str, Any]:
    """Return the section `agent` of the summary: safety and money as the exchange counted them.

    Raises
    ------
    Broken
        If the agent's books and the exchange's differ by a paisa.
    """
    net = sum(trade.net_paise for trade in trades)
    if net != audit["net_pnl_paise"]:
        raise Broken(
            f"the agent's trades sum up to {net} paise net, the exchange's books to "
            f"{audit['net_pnl_paise']}"
        )
    open_quantity = sum(abs(quantity) for quantity in audit["final_position"].values())
    return {
        "orders": audit["orders"],
        "fills": audit["trades"],
        "stop_moves": sum(trade.stop_moves for trade in trades),
        "target_moves": sum(trade.target_moves for trade in trades),
        "long_trades": sum(trade.side == "LONG" for trade in trades),
        "short_trades": sum(trade.side == "SHORT" for trade in trades),
        "gross_pnl": audit["gross_pnl_paise"] / 100,
        "charges": audit["charges_paise"] / 100,
        "net_pnl": audit["net_pnl_paise"] / 100,
        "max_unprotected_ms": audit["max_unprotected_ms"],
        "surplus_exits": audit["surplus_exits"],
        "stops_moved_back": audit["stops_moved_back"],
        "duplicate_entries": audit["duplicate_tags"],
        "final_position": open_quantity,
    }
