"""May this version trade: two gates, each a verdict, one sentence and the figures behind it.

Pure. The statistical gate asks whether the probabilities know something, on direction apart from
volatility; it allows paper. The economic gate asks whether the rule would have earned more than
spread and charges, deflated by every recipe that was tried; live needs both. Too short a record
is `insufficient`, which is not a pass. Bounds are below, each with its origin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["passed", "failed", "insufficient"]

ERRORS = 2.0  # a figure counts as better when it is so by more than two of its standard errors
DIRECTION_GAIN_ERRORS = 1.0  # ranking is tested at two; that it also saves log-loss, at one
CALIBRATION_ERROR_MAX = 0.05  # mean distance of forecast and frequency, as a probability
# Real candles show a direction AUC of at most 0.55, a planted edge 0.58 (measured on 9 sets):
# more than this is not skill, it is tomorrow's paper.
DIRECTION_AUC_MAX = 0.70
BOUNDARY_ERRORS_MAX = 4.0
STATISTICAL_DAYS_MIN = 60
MOVED_ROWS_MIN = 300
TRADES_MIN = 30
ECONOMIC_DAYS_MIN = 120
DEFLATED_SHARPE_MIN = 0.95


@dataclass(frozen=True, slots=True)
class Gate:
    """What a gate said.

    Parameters
    ----------
    verdict : str
    why : str
        One sentence with the figures that decided.
    figures : mapping of str to float
    """

    verdict: Verdict
    why: str
    figures: Mapping[str, float]

    @property
    def passed(self) -> bool:
        """Whether it is a pass; `insufficient` is none."""
        return self.verdict == "passed"

    def told(self) -> dict[str, Any]:
        """Return the document that tags, `version.json` and `--json` carry."""
        return {
            "passed": self.passed,
            "verdict": self.verdict,
            "why": self.why,
            "figures": dict(self.figures),
        }


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the statistical gate looks at.

    Parameters
    ----------
    figures : mapping
        Of `flows.validation.forecast.measure`: pooled tests, with `…_se`.
    fold_gains : sequence of float
        Log-loss gain of each fold.
    calibration_error : float
    boundary_errors : float
        By how many standard errors the days right after a fold's start were better.
    causal_rows : int
        Feature rows recomputed from their own window and found equal bit for bit.
    golden : bool
        Whether the saved text, freshly loaded, gave the golden answer.
    days, moved : int
        Tested days, and rows whose label moved.
    """

    figures: Mapping[str, float]
    fold_gains: Sequence[float]
    calibration_error: float
    boundary_errors: float
    causal_rows: int
    golden: bool
    days: int
    moved: int


def statistical(seen: Evidence) -> Gate:
    """Judge the forecast.

    Returns
    -------
    Gate, with the first condition that does not hold as its sentence
    """
    f = _figures(seen)
    told = {name: float(value) for name, value in f.items() if math.isfinite(value)}
    if seen.days < STATISTICAL_DAYS_MIN or seen.moved < MOVED_ROWS_MIN:
        return Gate(
            "insufficient",
            f"{seen.days} tested days and {seen.moved} rows that moved; "
            f"{STATISTICAL_DAYS_MIN} and {MOVED_ROWS_MIN} are needed to tell skill from luck",
            told,
        )
    for holds, why in _conditions(f, golden=seen.golden):
        if not holds:
            return Gate("failed", why, told)
    return Gate(
        "passed",
        f"log-loss gain {f['log_loss_gain']:+.4f} with error {f['log_loss_gain_error']:.4f}, "
        f"direction AUC {f['direction_auc']:.3f} with error {f['direction_auc_error']:.3f}, "
        f"forecasts off by {seen.calibration_error:.3f} on average, over {seen.days} days",
        told,
    )


def _figures(seen: Evidence) -> dict[str, float]:
    """Return the figures that decide; NaN where one is not known, which passes nothing."""
    f = seen.figures
    errors = (f.get("log_loss_gain_se", math.nan), fold_error(seen.fold_gains))
    # `max` would drop a NaN that comes second: an error that is not known is no small error
    gain_error = math.nan if any(map(math.isnan, errors)) else max(errors)
    return {
        "days": seen.days,
        "moved_rows": seen.moved,
        "log_loss_gain": f.get("log_loss_gain", math.nan),
        "log_loss_gain_error": gain_error,
        "direction_auc": f.get("direction_auc", math.nan),
        "direction_auc_error": f.get("direction_auc_se", math.nan),
        "direction_gain": f.get("direction_gain", math.nan),
        "direction_gain_error": f.get("direction_gain_se", math.nan),
        "calibration_error": seen.calibration_error,
        "boundary_errors": seen.boundary_errors,
        "causal_rows": seen.causal_rows,
    }


def _conditions(f: Mapping[str, float], *, golden: bool) -> list[tuple[bool, str]]:
    """Return (whether it holds, what to say if not), the most alarming first."""
    gain, gain_error = f["log_loss_gain"], f["log_loss_gain_error"]
    auc, auc_error = f["direction_auc"], f["direction_auc_error"]
    saved, saved_error = f["direction_gain"], f["direction_gain_error"]
    leak = (
        f"too good to be true: direction AUC {auc:.3f} (at most {DIRECTION_AUC_MAX}), days after "
        f"a fold's start better by {f['boundary_errors']:.1f} errors (at most "
        f"{BOUNDARY_ERRORS_MAX:g}); look for a leak"
    )
    no_gain = (
        f"not better than the class shares: log-loss gain {gain:+.4f}, its error "
        f"{gain_error:.4f}, {ERRORS:g} errors are needed"
    )
    no_direction = (
        f"no skill on direction: AUC {auc:.3f} with error {auc_error:.3f} among labels that "
        f"moved, {ERRORS:g} errors above 0.5 are needed; what it knows is volatility"
    )
    no_saving = (
        f"no skill on direction: it ranks (AUC {auc:.3f} with error {auc_error:.3f}) but its "
        f"probabilities save {saved:+.4f} of log-loss with error {saved_error:.4f}, no more than "
        "chance"
    )
    off = (
        f"not calibrated: forecasts are off by {f['calibration_error']:.3f} on average, at most "
        f"{CALIBRATION_ERROR_MAX} is allowed"
    )
    believable = auc <= DIRECTION_AUC_MAX and f["boundary_errors"] <= BOUNDARY_ERRORS_MAX
    return [
        (believable, leak),
        (golden, "the saved model did not reproduce its golden answer"),
        (gain > ERRORS * gain_error, no_gain),
        (auc - 0.5 > ERRORS * auc_error, no_direction),
        (saved > DIRECTION_GAIN_ERRORS * saved_error, no_saving),
        (f["calibration_error"] <= CALIBRATION_ERROR_MAX, off),
    ]


def economic(figures: Mapping[str, float]) -> Gate:
    """Judge the money: figures of `flows.validation.economic.measure` and the comparisons.

    Returns
    -------
    Gate
    """
    f = figures
    trades, days = int(f["trades"]), int(f["days"])
    if trades < TRADES_MIN or days < ECONOMIC_DAYS_MIN:
        return Gate(
            "insufficient",
            f"the rule took {trades} trades in {days} tested days; {TRADES_MIN} in "
            f"{ECONOMIC_DAYS_MIN} are needed to judge it",
            figures,
        )
    net, error = f["net_bp_a_day"], f["net_bp_a_day_se"]
    deflated = f.get("deflated_sharpe", 0.0)
    told = (
        f"{net:+.1f} bp a day with error {error:.1f} after spread and charges, {trades} trades, "
        f"deflated Sharpe {deflated:.2f} after {int(f['trials'])} trials"
    )
    if net <= ERRORS * error:
        return Gate(
            "failed", f"earns no more than staying flat: {told}; {ERRORS:g} errors needed", figures
        )
    if deflated < DEFLATED_SHARPE_MIN:
        return Gate("failed", f"may be luck: {told}; {DEFLATED_SHARPE_MIN} needed", figures)
    return Gate("passed", told, figures)


def fold_error(gains: Sequence[float]) -> float:
    """Return the standard error of the mean of the folds' gains; NaN below two folds."""
    n = len(gains)
    if n < 2:
        return math.nan
    centre = sum(gains) / n
    return math.sqrt(sum((gain - centre) ** 2 for gain in gains) / (n - 1) / n)


def allowed(statistical_gate: Gate, economic_gate: Gate, *, exercise: bool) -> str:
    """Return where the version may trade: none, paper or live.

    Parameters
    ----------
    exercise : bool
        Entries by share of the decisions: trades whatever it expects, on paper only, and there
        also without an edge, for the plumbing.
    """
    if exercise:
        return "paper"
    if not statistical_gate.passed:
        return "none"
    return "live" if economic_gate.passed else "paper"
