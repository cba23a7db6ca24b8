"""How good are the probabilities, apart from money: against the prior, and on direction alone.

Pure. A log-loss gain can be volatility alone (knowing that something will move, not where), so
direction is measured apart: among the rows whose label moved, does LONG against SHORT come out
better than a coin with the training fold's own bias?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from flows.validation import scores
from flows.validation.bootstrap import spread

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FLAT, LONG, SHORT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Forecast:
    """Predictions on rows that their model has not seen, with what then came.

    Parameters
    ----------
    p, prior : float64 array of shape (n, 3)
        Forecast, and the class shares of the rows that the model was fitted on.
    y : int64 array of shape (n,), the class that came
    r_long, r_short : float64 array of shape (n,), results of the two sides in R
    lean : float64 array of shape (n,), expected result of LONG less that of SHORT, in R
    weight : float64 array of shape (n,)
    day : int64 array of shape (n,), number of the trade's day
    row : int64 array of shape (n,), index of the sample
    """

    p: Floats
    prior: Floats
    y: Ints
    r_long: Floats
    r_short: Floats
    lean: Floats
    weight: Floats
    day: Ints
    row: Ints

    def __len__(self) -> int:
        return len(self.y)


def joined(parts: Sequence[Forecast]) -> Forecast:
    """Return the forecasts of several folds as one, in the order given."""
    names = [field.name for field in fields(Forecast)]
    return Forecast(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


class Measures:
    """The figures of a forecast; sorts once, then answers for any weights."""

    def __init__(self, forecast: Forecast) -> None:
        f = self._f = forecast
        self._moved = f.y != FLAT
        self._loss = scores.log_losses(f.p, f.y)
        self._prior_loss = scores.log_losses(f.prior, f.y)
        self._brier = scores.brier_scores(f.p, f.y)
        self._prior_brier = scores.brier_scores(f.prior, f.y)
        self._long = scores.Ranking(f.p[:, LONG], f.y == LONG)
        self._short = scores.Ranking(f.p[:, SHORT], f.y == SHORT)
        up, prior_up = _share_up(f.p), _share_up(f.prior)
        self._direction = scores.Ranking(up, f.y == LONG)
        came = np.where(f.y == LONG, 1, 0)
        self._up_loss = scores.log_losses(np.column_stack([1 - up, up]), came)
        self._coin_loss = scores.log_losses(np.column_stack([1 - prior_up, prior_up]), came)
        self._lean_rank = scores.ranks(f.lean)
        self._came_rank = scores.ranks(f.r_long - f.r_short)

    def figures(self, counts: Floats) -> dict[str, float]:
        """Return the figures with each row counted so often (float64 array of shape (n,)).

        `skill` is the share of the prior's log-loss that is saved, `direction_*` the same among
        rows that moved; `log_loss_gain` is in nats.
        """
        w = self._f.weight * counts
        moved = w * self._moved
        loss, prior_loss = scores.mean(self._loss, w), scores.mean(self._prior_loss, w)
        up, coin = scores.mean(self._up_loss, moved), scores.mean(self._coin_loss, moved)
        brier, prior_brier = scores.mean(self._brier, w), scores.mean(self._prior_brier, w)
        return {
            "log_loss": loss,
            "log_loss_prior": prior_loss,
            "log_loss_gain": prior_loss - loss,
            "skill": 1 - loss / prior_loss,
            "brier": brier,
            "brier_skill": 1 - brier / prior_brier,
            "auc_long": self._long.auc(w),
            "auc_short": self._short.auc(w),
            "direction_auc": self._direction.auc(moved),
            "direction_gain": coin - up,
            "direction_skill": 1 - up / coin,
            "rank_ic": scores.correlation(self._lean_rank, self._came_rank, w),
        }


def measure(forecast: Forecast, *, seed: int) -> dict[str, float]:
    """Return every figure with its standard error by resampled days (`…_se`).

    Figures that are not defined (a class that never came) are left out.
    """
    measures = Measures(forecast)
    figures = measures.figures(np.ones(len(forecast)))
    errors = spread(measures.figures, forecast.day, seed=seed)
    both = figures | {f"{name}_se": value for name, value in errors.items()}
    return {name: float(value) for name, value in both.items() if np.isfinite(value)}


def calibration(forecast: Forecast) -> dict[str, object]:
    """Return the calibration curves of the two sides and their mean distance (ECE)."""
    f = forecast
    sides = {"long": LONG, "short": SHORT}
    return {
        **{
            name: scores.calibration_curve(f.p[:, k], f.y == k, f.weight)
            for name, k in sides.items()
        },
        "error": max(
            scores.calibration_error(f.p[:, k], f.y == k, f.weight) for k in sides.values()
        ),
    }


def edge_after_boundary(forecast: Forecast, starts: Sequence[int], *, days: int) -> float:
    """Return by how many standard errors the days right after a fold's start are better.

    Labels that leak across the cut make those days too good, the rest of the fold not.

    Parameters
    ----------
    forecast : Forecast
    starts : first day number of each fold's test
    days : int
        How many days after each start count as near.
    """
    gain = scores.log_losses(forecast.prior, forecast.y) - scores.log_losses(forecast.p, forecast.y)
    unique, index = np.unique(forecast.day, return_inverse=True)
    daily = np.bincount(index, gain) / np.bincount(index)
    at = np.searchsorted(unique, np.asarray(starts))
    near = np.zeros(len(unique), dtype=np.bool_)
    for first in at:
        near[first : first + days] = True
    if near.sum() < 2 or (~near).sum() < 2:
        return 0.0
    parts = (daily[near], daily[~near])
    error = float(np.sqrt(sum(part.var(ddof=1) / len(part) for part in parts)))
    return float(parts[0].mean() - parts[1].mean()) / error if error > 0 else 0.0


def _share_up(p: Floats) -> Floats:
    """Return the chance of LONG among LONG and SHORT."""
    return np.asarray(p[:, LONG] / np.maximum(p[:, LONG] + p[:, SHORT], scores.SMALLEST_P))
