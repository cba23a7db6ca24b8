"""Which samples may teach and which may test: purged walk-forward by calendar time.

Pure. All symbols are cut at the same instants, which are the starts of days. A sample is alive
from its decision to its label's exit; a training sample whose life reaches into a test is purged
(Lopez de Prado 2018, Advances in Financial Machine Learning, 7.4). Where a test precedes
training samples, those of the next `embargo_days` are left out as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from agent.errors import SettingRefused

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FIRST_TRAIN_SHARE = 0.3  # of the days, before the first test
SLICE_SHARE = 0.2  # of a fold's training days, its last: early stopping and expected results
TEST_DAYS_MIN = 5  # a floor for the arithmetic; whether it suffices to judge is the gates' word


@dataclass(frozen=True, slots=True)
class Lives:
    """When each sample is alive; arrays of shape (n_samples,).

    Parameters
    ----------
    day : int64
        Number of the day (in India, from 1970-01-01) that the trade is made on.
    decided_ms, exit_ms : int64
        Epoch milliseconds of the decision and of the end of the label's trade.
    """

    day: Ints
    decided_ms: Ints
    exit_ms: Ints


@dataclass(frozen=True, slots=True)
class Fold:
    """One step forward; arrays of row indices, in the order of the samples.

    `fit` teaches, `tune` stops early and sets expected results, `test` is seen once.
    """

    fit: Ints
    tune: Ints
    test: Ints


def walk_forward(lives: Lives, *, folds: int, embargo_days: int = 0) -> list[Fold]:
    """Cut the samples into steps forward: train on all before, test on the next block of days.

    Parameters
    ----------
    lives : Lives
    folds : int, >= 2
    embargo_days : int
        Used where a test precedes training samples; in a walk forward none does.

    Returns
    -------
    list of Fold, oldest first

    Raises
    ------
    agent.errors.SettingRefused
        If the days do not suffice for that many folds.
    """
    days = np.unique(lives.day)
    first = int(len(days) * FIRST_TRAIN_SHARE)
    needed = int(np.ceil(folds * TEST_DAYS_MIN / (1 - FIRST_TRAIN_SHARE)))
    if folds < 2 or len(days) < needed:
        raise SettingRefused(
            "days with samples",
            given=f"{len(days)} days for {folds} folds (history too short)",
            allowed=f"at least 2 folds and {needed} days for {max(folds, 2)}",
            fix="ingest a longer history or lower --folds",
        )
    cuts = np.linspace(first, len(days), folds + 1).round().astype(int)
    made = []
    for start, stop in pairwise(cuts.tolist()):
        test = (lives.day >= days[start]) & (lives.day <= days[stop - 1])
        past = lives.day < days[start]
        train = past & ~purged(lives, test, embargo_days=embargo_days)
        fit, tune = tuning_slice(lives, train, embargo_days=embargo_days)
        made.append(Fold(fit, tune, np.flatnonzero(test)))
    return made


def tuning_slice(lives: Lives, train: Bools, *, embargo_days: int = 0) -> tuple[Ints, Ints]:
    """Split training samples into those that fit and the last days, which tune; purged.

    Parameters
    ----------
    lives : Lives
    train : bool array of shape (n_samples,)
    """
    days = np.unique(lives.day[train])
    start = days[int(len(days) * (1 - SLICE_SHARE))]
    tune = train & (lives.day >= start)
    fit = train & ~tune & ~purged(lives, tune, embargo_days=embargo_days)
    return np.flatnonzero(fit), np.flatnonzero(tune)


def purged(lives: Lives, test: Bools, *, embargo_days: int) -> Bools:
    """Return which samples may not teach beside a test.

    Parameters
    ----------
    lives : Lives
    test : bool array of shape (n_samples,), samples of consecutive days
    embargo_days : int
        Days with samples after the test's last that are left out too.

    Returns
    -------
    bool array of shape (n_samples,): alive at any time that a test sample is, on a day of the
    test, or within the embargo after it
    """
    if not test.any():
        return np.zeros(len(test), dtype=np.bool_)
    first_day, last_day = lives.day[test].min(), lives.day[test].max()
    begins, ends = lives.decided_ms[test].min(), lives.exit_ms[test].max()
    alive = (lives.exit_ms > begins) & (lives.decided_ms < ends)
    later = np.unique(lives.day[lives.day > last_day])[:embargo_days]
    embargo_end = later[-1] if len(later) else last_day
    near = (lives.day >= first_day) & (lives.day <= embargo_end)
    return np.asarray((alive | near) & ~test)
