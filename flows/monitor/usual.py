"""What is usual: a version's training days, and how far a served day is from them.

Pure. Reads `reference.json` (flows/reference.py wrote it). The unit is the day; days with too few
rows are put together until there are enough, because the spread of four rows says nothing beside
that of forty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flows.data.frame import Ints, days_of
from flows.monitor import tails
from flows.reference import psi

Floats = npt.NDArray[np.float64]

STATISTICS = ("mean", "sd", "psi")
ROWS_SHARE_MIN = 0.5  # of a training day's rows that a served day needs to be judged alone
FLOOR_SHARE = 1e-3  # of a feature's spread: the least that counts as a move of a constant
POWER_SHIFTS = (0.5, 1.0)  # standard deviations
SLOW_MEMORY = 0.7  # correlation with the day before: a look-back keeps one event for weeks


@dataclass(frozen=True, slots=True)
class Unit:
    """One served day, or several with few rows.

    Parameters
    ----------
    since, day : str, the first and the last date, ISO
    days, rows : int
    x : float64 array of shape (rows, n_features), NaN where missing
    statistics : float64 array of shape (n_features, 3), in the order of `STATISTICS`
    missing : float64 array of shape (n_features,), share of rows
    """

    since: str
    day: str
    days: int
    rows: int
    x: Floats
    statistics: Floats
    missing: Floats


@dataclass(frozen=True, slots=True)
class Alarm:
    """A statistic that no quiet day has: `one_in_days` is how rare such a day was in training."""

    day: str
    feature: str
    statistic: str
    value: float
    usual_low: float
    usual_high: float
    one_in_days: float


class Usual:
    """The training days of one version.

    `low`, `high` and `middle` are the extremes and the median of each statistic over the days,
    shape (n_features, 3); `slow` tells where a day's value is mostly that of the day before;
    `judged` whether there are enough days for an alarm.

    Parameters
    ----------
    document : mapping
        `reference.json`.

    Raises
    ------
    ValueError
        If the document is not one.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        try:
            features = document["features"]
            self.names = list(features)
            self.days = len(document["days"])
            self.rows_a_day = int(np.median(document["rows"])) if document["rows"] else 0
            self.sd = np.array([_number(f["sd"]) for f in features.values()])
            self.mean = np.array([_number(f["mean"]) for f in features.values()])
            self.missing = np.array([_number(f["missing"]) for f in features.values()])
            self.quantiles = {name: f.get("quantiles") or [] for name, f in features.items()}
            self._bins = [
                np.array(f.get("bins") or [], dtype=np.float64) for f in features.values()
            ]
            daily = [f.get("daily") or {} for f in features.values()]
            # shape: days, features, statistics
            self.daily = np.stack(
                [
                    np.stack([_column(d.get(name), self.days) for d in daily], axis=1)
                    for name in STATISTICS
                ],
                axis=2,
            )
            self.daily_missing = np.stack(
                [_column(d.get("missing"), self.days) for d in daily], axis=1
            )
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise ValueError(f"no reference for drift: {type(fault).__name__}: {fault}") from fault
        # a statistic that was never defined is 0 here and takes part in nothing
        defined = np.isfinite(self.daily).any(axis=0) if self.days else np.zeros((0, 3), bool)
        filled = np.where(defined, self.daily, 0.0)
        empty = np.full(filled.shape[1:], np.nan)
        self.low = np.nanmin(filled, axis=0) if self.days else empty
        self.high = np.nanmax(filled, axis=0) if self.days else empty
        self.middle = np.nanmedian(filled, axis=0) if self.days else empty
        self.slow = _memory(filled) > SLOW_MEMORY if self.days > 2 else np.isnan(self.low)
        self.judged = self.days >= tails.DAYS_MIN
        if self.judged:
            floor = np.tile(np.nan_to_num(self.sd) * FLOOR_SHARE + 1e-12, (3, 1)).T
            floor[:, 2] = FLOOR_SHARE
            both = _both_ways(floor, signed=False)
            history = _both_ways(self.daily)
            quiet = tails.quiet_scores(history, both)
            self._tails = tails.fit(history, both)
            self._peaks = tails.peaks(quiet)
            self.threshold = tails.threshold((quiet / self._peaks).max(axis=1))

    @property
    def rows_needed(self) -> int:
        """Rows that a unit needs to be judged."""
        return max(1, int(np.ceil(self.rows_a_day * ROWS_SHARE_MIN)))

    def units(self, x: Floats, day: Ints) -> tuple[list[Unit], Unit | None]:
        """Cut served rows into units to judge.

        Parameters
        ----------
        x : float64 array of shape (n, n_features), NaN where missing
        day : int64 array of shape (n,), number of the day of the last candle

        Returns
        -------
        (units by day, the rows that are too few to be judged as a day yet)
        """
        order = np.argsort(day, kind="stable")
        x, day = x[order], day[order]
        numbers, starts, counts = np.unique(day, return_index=True, return_counts=True)
        units: list[Unit] = []
        dates = [on.isoformat() for on in days_of(numbers)]
        first, begun = 0, 0
        for place, (start, count) in enumerate(zip(starts, counts, strict=True)):
            stop = int(start + count)
            if stop - first >= self.rows_needed:
                units.append(self._unit(dates[begun : place + 1], x[first:stop]))
                first, begun = stop, place + 1
        return units, self._unit(dates[begun:], x[first:]) if first < len(day) else None

    def rarity(self, statistics: Floats) -> tuple[Floats, Floats]:
        """Return how rare days are in training, and that over what quiet days reach.

        Parameters
        ----------
        statistics : float64 array of shape (..., n_features, 3)

        Returns
        -------
        two float64 arrays of the same shape: -log10 of the chance of such a day; the figure that
        alarms above `threshold`
        """
        scores = self._tails.scores(_both_ways(statistics))
        return self._folded(scores), self._folded(scores / self._peaks)

    def alarms(self, unit: Unit) -> list[Alarm]:
        """Return a unit's alarms, the clearest first; none where the reference is too short."""
        if not self.judged:
            return []
        rare, over = self.rarity(unit.statistics)
        found = np.argwhere(over > self.threshold)
        found = found[np.argsort(-over[tuple(found.T)], kind="stable")]
        return [
            Alarm(
                unit.day,
                self.names[i],
                STATISTICS[s],
                float(unit.statistics[i, s]),
                float(self.low[i, s]),
                float(self.high[i, s]),
                one_in_days(rare[i, s]),
            )
            for i, s in found
        ]

    def _folded(self, both: Floats) -> Floats:
        """Return the larger of the two directions, (..., n_features, 3)."""
        count = len(self.names)
        shape = (*both.shape[:-1], count, -1)
        high = both[..., : 3 * count].reshape(shape).copy()
        high[..., :2] = np.maximum(high[..., :2], both[..., 3 * count :].reshape(shape))
        return high

    def power(self) -> dict[str, dict[str, float | None]]:
        """Return per feature the days until a shift of its mean is seen, on average.

        The training days are shifted by 0.5 and 1 of the feature's standard deviation; only the
        mean is looked at, so the truth is a little better. None: on no day.
        """
        if not self.judged:
            return {}
        seen = []
        for shift in POWER_SHIFTS:
            shifted = np.full_like(self.daily, np.nan)
            shifted[:, :, 0] = self.daily[:, :, 0] + shift * self.sd
            _, over = self.rarity(shifted)
            seen.append((over[:, :, 0] > self.threshold).mean(axis=0))
        return {
            name: {
                f"{shift:g}_sd": None if share[i] == 0 else round(float(1.0 / share[i]), 1)
                for shift, share in zip(POWER_SHIFTS, seen, strict=True)
            }
            for i, name in enumerate(self.names)
        }

    def drawn(self, rows: int) -> Floats:
        """Return a sample with each feature's training quantiles, (rows, n_features).

        Marginals only: rows of it are no candles.
        """
        at = (np.arange(rows) + 0.5) / rows
        columns = []
        for name in self.names:
            known = self.quantiles[name]
            grid = np.linspace(0.0, 1.0, len(known)) if known else at
            columns.append(np.interp(at, grid, known) if known else np.full(rows, np.nan))
        return np.stack(columns, axis=1)

    def _unit(self, dates: list[str], x: Floats) -> Unit:
        known = np.isfinite(x)
        statistics = np.full((x.shape[1], 3), np.nan)
        for i, bins in enumerate(self._bins):
            values = x[known[:, i], i]
            if len(values):
                statistics[i, 0] = values.mean()
                statistics[i, 2] = psi(values, bins)
            if len(values) > 1:
                statistics[i, 1] = values.std(ddof=1)
        missing = 1.0 - known.mean(axis=0)
        return Unit(dates[0], dates[-1], len(dates), len(x), x, statistics, missing)


def told(units: Sequence[Unit], usual: Usual) -> list[dict[str, Any]]:
    """Return a line for each unit: day, days, rows, the highest score and whose it is."""
    lines = []
    for unit in units:
        line: dict[str, Any] = {"day": unit.day, "days": unit.days, "rows": unit.rows}
        if usual.judged:
            rare, over = usual.rarity(unit.statistics)
            at = np.unravel_index(int(over.argmax()), over.shape)
            line |= {
                "rarest": usual.names[at[0]],
                "statistic": STATISTICS[at[1]],
                "one_in_days": round(one_in_days(rare[at]), 1),
                "of_threshold": round(float(over[at] / usual.threshold), 3),
            }
        lines.append(line)
    return lines


def one_in_days(score: float) -> float:
    """Return a rarity as "one day in so many", at most a million: nobody has more to compare."""
    return float(10.0 ** min(score, 6.0))


def _both_ways(statistics: Floats, *, signed: bool = True) -> Floats:
    """Return statistics (..., n_features, 3) as upper tails (..., 5 * n_features).

    Mean and spread alarm in both directions, a PSI only upwards.
    """
    flat = (*statistics.shape[:-2], -1)
    down = statistics[..., :2]
    parts = [statistics.reshape(flat), (-down if signed else down).reshape(flat)]
    return np.concatenate(parts, axis=-1)


def _memory(daily: Floats) -> Floats:
    """Return each statistic's correlation with the day before, (n_features, 3); 0 if constant."""
    filled = np.where(np.isnan(daily), np.nanmedian(daily, axis=0), daily)
    now, before = filled[1:] - filled[1:].mean(axis=0), filled[:-1] - filled[:-1].mean(axis=0)
    size = np.sqrt((now**2).sum(axis=0) * (before**2).sum(axis=0))
    return np.asarray((now * before).sum(axis=0) / np.where(size > 0, size, 1.0))


def _column(values: Sequence[float | None] | None, days: int) -> Floats:
    if values is None:
        return np.full(days, np.nan)
    column = np.array([_number(v) for v in values])
    if len(column) != days:
        raise ValueError(f"{len(column)} daily values for {days} days")
    return column


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
