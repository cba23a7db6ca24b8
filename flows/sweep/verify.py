"""The best of a sweep, done again by the agent itself: agent/backtest against the compiled path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.backtest.reconcile import reconcile
from flows.sweep.rerun import best_rows, rerun_of
from flows.sweep.results import Outcome
from flows.sweep.run import Rules
from flows.sweep.source import Data

TRADES_A_ROW = 40  # evenly chosen ones of a row's trades: about half a minute


def verified(
    outcome: Outcome, data: Data, rules: Rules, *, policies: int, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return, for each row of the best policies, how far the agent's own trades agree.

    Parameters
    ----------
    outcome : Outcome
    data, rules : what the run was made from
    policies : int
        How many of the best.
    tell : callable
        Gets a line a row.

    Returns
    -------
    list of documents of `agent.backtest.reconcile.Reconciliation`, with `told` in words; rows
    without a trade are left out
    """
    found = []
    rows = [row for row in best_rows(outcome, policies) if row.entries]
    for number, row in enumerate(rows, start=1):
        again = reconcile(rerun_of(outcome.folder, data, rules, row), trades_max=TRADES_A_ROW)
        tell(f"{number}/{len(rows)} again by the agent: {again.told()}")
        found.append(again.document() | {"told": again.told()})
    return found
