"""What a demo run has to tell, as values: from these alone the summary and the report are made.

Nothing here is computed by the demo itself: each figure names the part it was asked of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Point = tuple[float, float]  # (epoch ms, rupees)

SAMPLE_BANNER = (
    "plumbing, not performance: US daily candles 2000-2013 (Quandl WIKI, public domain) read as "
    "rupees; prices inside a day are simulated"
)


@dataclass(frozen=True, slots=True)
class Trade:
    """One round trip, as the agent's journal tells it.

    Attributes
    ----------
    symbol, side : str
        `NSE:AAPL`; `LONG` or `SHORT`.
    entry, exit : float
        Average prices, rupees.
    stop_moves, target_moves : int
        How often the stop at the exchange was moved, and the target; the desired stop of
        `stops` moves more often than the broker's budget lets the placed one.
    gross_paise, charges_paise, net_paise : int
        Of both legs together.
    prices, stops, targets : sequence of (epoch ms, rupees)
        The price while the position was open, and the levels, a point where one moved.
    """

    symbol: str
    side: str
    quantity: int
    version: int
    variant: str
    opened_ms: int
    closed_ms: int
    entry: float
    exit: float
    reason: str
    stop_moves: int
    target_moves: int
    gross_paise: int
    charges_paise: int
    net_paise: int
    prices: Sequence[Point]
    stops: Sequence[Point]
    targets: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that `summary.json` and `report.html` show.

    Attributes
    ----------
    banner : str
        What the data is and is not, in one sentence; stands at the top of the report.
    data, training, serving, agent, drift : mapping
        The sections of `summary.json`.
    seconds : mapping of str to float
        Wall seconds of each step.
    trainings : sequence of mapping
        What `train` answered for each version of both models, folds and gates in words.
    trades : sequence of Trade
        In the order of their exits.
    refusals : mapping of str to int
        Why the agent did not enter, in words, with counts.
    report_links : mapping of str to str
        Title to path relative to the report, e.g. the drift report.
    models : sequence of mapping
        Both served models, side by side; the first is the one that the agent trades.
    """

    banner: str
    data: Mapping[str, Any]
    training: Mapping[str, Any]
    serving: Mapping[str, Any]
    agent: Mapping[str, Any]
    drift: Mapping[str, Any]
    seconds: Mapping[str, float]
    trainings: Sequence[Mapping[str, Any]]
    trades: Sequence[Trade]
    refusals: Mapping[str, int]
    report_links: Mapping[str, str]
    models: Sequence[Mapping[str, Any]]
