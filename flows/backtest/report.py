"""What a simulation was worth, side by side, and in words: a result without an edge says so.

Pure. The figures are those of training's economics (flows/validation/economic.py), over the
agent's own trades instead of the labels'; the verdict is the economic gate's. A path that was
drawn, and candles that were, prove nothing and are judged by no gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from agent.backtest.results import PATHS_TOLD, Result
from agent.market.instruments import Side
from flows import gates
from flows.data.frame import EPOCH
from flows.trials import Trials
from flows.validation import economic

SIMULATED = (
    "refused: simulated path: these prices were drawn inside real candles; they prove nothing "
    "about a model or a policy, and no gate takes them"
)
NO_TRADE = "no trade: nothing can be said of an edge"


def trades_of(result: Result, days: Sequence[date]) -> economic.Trades:
    """Return the agent's trades as training's economics take them.

    Parameters
    ----------
    result : Result
    days : sequence of date
        All days that could have traded, those without a trade at 0.
    """
    trips = result.trips
    number = {on: (on - EPOCH).days for on in days}
    earned = {day.on: day.net_paise for day in result.days}
    daily = [earned.get(on, 0) / result.capital_paise * 1e4 for on in days]
    return economic.Trades(
        rows=np.arange(len(trips)),
        r=np.array([trip.r if trip.r is not None else 0.0 for trip in trips], dtype=np.float64),
        bp=np.array([trip.bp for trip in trips], dtype=np.float64),
        long=np.array([trip.side is Side.LONG for trip in trips], dtype=np.bool_),
        days=np.array([number[on] for on in days], dtype=np.int64),
        daily_bp=np.array(daily, dtype=np.float64),
    )


def report(
    result: Result, days: Sequence[date], *, trials: Trials, seed: int, simulated: bool
) -> dict[str, Any]:
    """Return the document of a simulation: figures, sides, verdict in words.

    Parameters
    ----------
    result : Result
    days : sequence of date, all that could have traded
    trials : Trials
        Known on these data before, for the deflated Sharpe; at least this one counts.
    seed : int
    simulated : bool
        Whether the candles themselves were drawn.
    """
    trips, drawn = result.trips, simulated or result.simulated_path
    known = max(trials.count, 1)
    figures: dict[str, float] = {"trials": float(known), "days": float(len(days))}
    verdict, words = "insufficient", NO_TRADE
    if trips:
        figures = economic.measure(
            trades_of(result, days), trials=known, trial_variance=trials.variance, seed=seed
        )
        gate = gates.economic(figures)
        verdict, words = gate.verdict, gate.why
    if drawn:
        verdict, words = "refused", SIMULATED
    refused: dict[str, int] = {}
    for day in result.days:
        for reason, count in day.refused.items():
            refused[reason] = refused.get(reason, 0) + count
    reasons = sorted({trip.reason for trip in trips})
    return {
        "path": result.path,
        "path_told": PATHS_TOLD[result.path],
        "simulated_path": drawn,
        "first": days[0].isoformat() if days else None,
        "last": days[-1].isoformat() if days else None,
        "capital": result.capital_paise / 100,
        "net": result.net_paise / 100,
        "charges": sum(day.charges_paise for day in result.days) / 100,
        "turnover": sum(trip.entry_paise + trip.exit_paise for trip in trips) / 100,
        "ambiguous_share": None if not trips else sum(t.ambiguous for t in trips) / len(trips),
        "unprotected_ms_max": result.unprotected_ms_max,
        "sides": {side.value: _side(result, side) for side in Side},
        "exits": {word: sum(trip.reason == word for trip in trips) for word in reasons},
        "refused": dict(sorted(refused.items())),
        "halted_days": [day.on.isoformat() for day in result.days if day.halted],
        "figures": figures,
        "verdict": verdict,
        "words": words,
        "equity": [[on.isoformat(), paise / 100] for on, paise in result.equity],
    }


def _side(result: Result, side: Side) -> dict[str, Any]:
    trips = [trip for trip in result.trips if trip.side is side]
    won = sum(trip.net_paise > 0 for trip in trips)
    return {
        "trades": len(trips),
        "net": sum(trip.net_paise for trip in trips) / 100,
        "gross": sum(trip.gross_paise for trip in trips) / 100,
        "charges": sum(trip.charges_paise for trip in trips) / 100,
        "hit_rate": won / len(trips) if trips else None,
    }
