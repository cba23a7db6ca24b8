"""The best of a sweep, done again by the agent itself: agent/backtest against the compiled path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.backtest.reconcile import reconcile
from agent.trailing.bulk.row import SweepRow
from flows.sweep.rerun import best_rows, rerun_of
from flows.sweep.results import Outcome
from flows.sweep.run import Rules
from flows.sweep.source import Data


def verified(
    outcome: Outcome,
    data: Data,
    rules: Rules,
    *,
    policies: int,
    trades: int,
    tell: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Return, for each row of the best policies, how far the agent's own trades agree.

    Parameters
    ----------
    outcome : Outcome
    data, rules : what the run was made from
    policies : int
        How many of the best.
    trades : int
        How many to run at most; of more, evenly chosen ones of evenly chosen rows.
    tell : callable
        Gets a line before the first row, saying how many trades of how many, and one a row.

    Returns
    -------
    list of documents of `agent.backtest.reconcile.Reconciliation`, with `told` in words; rows
    without a trade are left out
    """
    found = []
    rows = [row for row in best_rows(outcome, policies) if row.entries]
    chosen, each = sample(rows, trades)
    tell(
        f"again by the agent: about {sum(min(row.entries, each) for row in chosen):,} of "
        f"{sum(row.entries for row in rows):,} trades, evenly chosen, of {len(chosen)} of "
        f"{len(rows)} rows (a symbol and side each); more with --verify-trades"
    )
    for number, row in enumerate(chosen, start=1):
        again = reconcile(rerun_of(outcome.folder, data, rules, row), trades_max=each)
        tell(f"{number}/{len(chosen)} again by the agent: {again.told()}")
        found.append(again.document() | {"told": again.told()})
    return found


def sample(rows: list[SweepRow], trades: int) -> tuple[list[SweepRow], int]:
    """Return which rows to run again, evenly chosen, and how many trades of each at most.

    Parameters
    ----------
    rows : list of SweepRow
    trades : int, of all of them together, at least 1
    """
    chosen = rows[:: -(-len(rows) // trades)] if rows else []
    return chosen, trades // max(len(chosen), 1)
