"""What is a sweep worth: a table of policies after charges, and a warning in words.

Pure. The best of many trials looks good by luck alone; how good is computed from the trials' own
spread (flows/validation/sharpe.py), and a figure that luck explains is called so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flows.validation.economic import DAYS_A_YEAR
from flows.validation.sharpe import (
    PERIODS_MIN,
    deflated_sharpe,
    luckiest_sharpe,
    overfitting_probability,
    sharpe,
)

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
BLOCKS = 10  # of the overfitting probability
SUMS = (
    "entries", "refused", "gross_paise", "charges_paise", "slippage_paise", "net_paise", "stops",
    "targets", "square_offs", "ambiguous", "low_paise", "high_paise",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Worth:
    """What a sweep came to.

    Parameters
    ----------
    order : int64 array of shape (n_policies,)
        Policies by net result, best first; those without a trade last.
    sums : dict of int64 arrays of shape (n_policies,)
        `SUMS` over all symbols and sides.
    sharpe_a_year, deflated : float64 arrays of shape (n_policies,); NaN where not defined
    luckiest_a_year : float
        What the best of so many trials without skill is expected to show.
    trials : int
    days : int
    overfitting : float or None
        How often the best policy of one half of the days is below the median in the other.
    verdict : str
        `no trade`, `loses`, `too short`, `luck` or `more than luck`.
    warning : str
        In words; never empty.
    """

    order: Ints
    sums: Mapping[str, Ints]
    sharpe_a_year: Floats
    deflated: Floats
    luckiest_a_year: float
    trials: int
    days: int
    overfitting: float | None
    verdict: str
    warning: str

    def row(self, number: int) -> dict[str, Any]:
        """Return one policy's figures as a document; money in rupees, undefined ones None."""
        sums = {name: int(self.sums[name][number]) for name in SUMS}
        trades = sums["entries"]

        def a_trade(name: str) -> float | None:
            return round(sums[name] / trades / 100, 4) if trades else None

        return {
            "trades": trades,
            "refused": sums["refused"],
            "net_rupees": sums["net_paise"] / 100,
            "net_a_trade": a_trade("net_paise"),
            "low_a_trade": a_trade("low_paise"),
            "high_a_trade": a_trade("high_paise"),
            "gross_a_trade": a_trade("gross_paise"),
            "charges_a_trade": a_trade("charges_paise"),
            "slippage_a_trade": a_trade("slippage_paise"),
            "stops": sums["stops"],
            "targets": sums["targets"],
            "square_offs": sums["square_offs"],
            "ambiguous": sums["ambiguous"],
            "sharpe_a_year": _finite(float(self.sharpe_a_year[number])),
            "deflated_sharpe": _finite(float(self.deflated[number])),
        }


def judge(sums: Mapping[str, Ints], daily: Ints, trials: int) -> Worth:
    """Judge all policies of a sweep.

    Parameters
    ----------
    sums : dict of int64 arrays of shape (n_policies,), `SUMS`
    daily : int64 array of shape (n_days, n_policies), net paise of all trades entered that day
    trials : int
        Policies ever tried on these data, these included.
    """
    net = sums["net_paise"]
    order = np.lexsort((-net, sums["entries"] == 0))  # one that traded nothing lost nothing
    days = len(daily)
    ratios = np.array([sharpe(daily[:, n].astype(np.float64)) for n in range(len(net))])
    known = ratios[np.isfinite(ratios)]
    variance = float(known.var(ddof=1)) if len(known) > 1 else 1 / max(days, 1)
    deflated = np.full(len(net), math.nan)
    if days >= PERIODS_MIN:
        for n in np.flatnonzero(np.isfinite(ratios)):
            column = daily[:, n].astype(np.float64)
            deflated[n] = deflated_sharpe(column, trials=trials, variance=variance)
    year = math.sqrt(DAYS_A_YEAR)
    luckiest = luckiest_sharpe(trials, variance) * year
    best = int(order[0])
    verdict = _verdict(int(net[best]), days, float(deflated[best]))
    if not sums["entries"].any():
        verdict = "no trade"
    overfitting = None
    if days >= 2 * BLOCKS and len(known) > 1:
        overfitting = overfitting_probability(
            daily[:, np.isfinite(ratios)].astype(np.float64), blocks=BLOCKS
        )
    worth = Worth(
        order, sums, ratios * year, deflated, luckiest, trials, days, overfitting, verdict, ""
    )
    return Worth(
        order, sums, ratios * year, deflated, luckiest, trials, days, overfitting, verdict,
        _warning(worth, best),
    )  # fmt: skip


def _verdict(net: int, days: int, deflated: float) -> str:
    if net <= 0:
        return "loses"
    if days < PERIODS_MIN or not math.isfinite(deflated):
        return "too short"
    return "more than luck" if deflated >= CONFIDENCE else "luck"


def _warning(worth: Worth, best: int) -> str:
    row = worth.row(best)
    tried = f"{worth.trials:,} polic{'y' if worth.trials == 1 else 'ies'}"
    told = {
        "no trade": f"No trade at all: {int(worth.sums['refused'].sum()):,} entries were refused "
        "because a policy does not fit at their price (a stop under two ticks, an ATR not known "
        "yet, decimals too fine for 64 bits), and there were no others.",
        "loses": f"No policy earned its costs: the best of {tried} brought "
        f"Rs {row['net_a_trade'] or 0:.2f} a trade.",
        "too short": f"{worth.days} day(s) are too few to tell the best of {tried} from luck: "
        f"at least {PERIODS_MIN} are needed, and years are better.",
        "luck": f"The best of {tried} is what chance would give: its Sharpe ratio is "
        f"{row['sharpe_a_year'] or 0:.2f} a year, the best of so many without any skill is "
        f"expected to show {worth.luckiest_a_year:.2f}, and the probability that it is more than "
        f"luck is {row['deflated_sharpe'] or 0:.0%} ({CONFIDENCE:.0%} would be needed). Do not "
        "trade it on this figure.",
        "more than luck": f"The best of {tried} is more than their luck explains (probability "
        f"{row['deflated_sharpe'] or 0:.0%}), if coming days are like these {worth.days}.",
    }[worth.verdict]
    low, high = worth.sums["low_paise"][best], worth.sums["high_paise"][best]
    if low < 0 < high:
        told += (
            f" Whether it earns at all hangs on exits that candles cannot show: "
            f"Rs {row['low_a_trade']:.2f} to Rs {row['high_a_trade']:.2f} a trade."
        )
    return told


def sums_by_day(
    parts: Iterable[tuple[Ints, Ints, Ints]], days: Ints, policies: int
) -> tuple[Ints, Ints]:
    """Return (days, net paise of shape (n_days, n_policies)).

    Parameters
    ----------
    parts : iterable of (day, policy, net paise), int64 arrays of one shape
    days : int64 array of shape (n_days,), rising: all days of the parts
    policies : int
    """
    total = np.zeros((len(days), policies), np.int64)
    for day, policy, net in parts:
        np.add.at(total, (np.searchsorted(days, day), policy), net)
    return days, total


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
