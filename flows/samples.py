"""Candles of a universe to rows that teach: features, labels and weights, symbol by symbol.

Knows no model and no registry. Work on one symbol is a function of that symbol alone, so that a
task runner may spread it; rows are then joined in the order of the symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agent.errors import Broken, SettingRefused
from agent.trailing.policy import Policy
from bentos.features import FEATURES, WINDOW, CandleArrays, features_last, features_over
from flows.data.frame import Ints, day_numbers, ts_ms
from flows.labels import Labels, LabelSettings, joined, label_symbol, sample_weights
from flows.model import Rows
from flows.validation.split import Lives

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]

# Fewer cannot be told from luck, and a listing of last spring should be named, not averaged in.
DAYS_MIN = {"day": 260}
DAYS_MIN_INSIDE = 10  # a floor; the gates call a short record insufficient
CAUSAL_ROWS = 16

Each = Callable[[Callable[..., Any], Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True, slots=True)
class Work:
    """One symbol's share of the work; everything a task needs.

    Parameters
    ----------
    read : callable
        Gives the symbol's candle frame; called where the work is done, so that one symbol's
        candles are in memory at a time.
    """

    code: int
    symbol: str
    read: Callable[[], pd.DataFrame]
    interval: str
    policy: Policy
    settings: LabelSettings


@dataclass(frozen=True, slots=True)
class Part:
    """What one symbol gives.

    Parameters
    ----------
    labels : Labels of shape (n,)
    x : float64 array of shape (n, n_features)
    tail : candle frame, the last `WINDOW` candles
    days, closes : int64, float64 arrays of shape (n_days,): day numbers and last prices
    candles, causal_rows : int
    """

    labels: Labels
    x: Floats
    tail: pd.DataFrame
    days: Ints
    closes: Floats
    candles: int
    causal_rows: int


@dataclass(frozen=True, slots=True)
class Samples:
    """Rows that teach, one symbol after the other.

    Parameters
    ----------
    symbols : tuple of str; `labels.symbol` indexes it
    labels : Labels of shape (n,)
    x : float64 array of shape (n, n_features), NaN where unknown
    weight : float64 array of shape (n,), mean 1
    parts : tuple of Part, by symbol; their labels and features are emptied
    """

    symbols: tuple[str, ...]
    labels: Labels
    x: Floats
    weight: Floats
    parts: tuple[Part, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def rows(self) -> Rows:
        """What a booster is fitted on."""
        return Rows(self.x, self.labels.y, self.weight)

    @property
    def lives(self) -> Lives:
        """When each sample is alive, for the splitter."""
        return Lives(self.labels.day, self.labels.decided_ms, self.labels.known_ms)


def feature_names() -> list[str]:
    """Return the names of the columns of `x`."""
    return [feature.name for feature in FEATURES]


def arrays_of(candles: pd.DataFrame) -> CandleArrays:
    """Return a frame of one symbol as the arrays that features read."""
    columns = [
        np.ascontiguousarray(candles[name].to_numpy(dtype=np.float64))
        for name in ("open", "high", "low", "close", "volume")
    ]
    return CandleArrays(ts_ms(candles), *columns)


def sample_symbol(work: Work) -> Part:
    """Label one symbol and attach the features of each decision candle.

    Raises
    ------
    agent.errors.SettingRefused
        If its history is too short.
    agent.errors.Broken
        If a feature has looked ahead.
    """
    candles = work.read()
    number = day_numbers(ts_ms(candles))
    last = np.flatnonzero(np.diff(number, append=number[-1:] + 1))
    needed = DAYS_MIN.get(work.interval, DAYS_MIN_INSIDE)
    if len(last) < needed or len(candles) < WINDOW + 2:
        raise SettingRefused(
            f"{work.symbol}: history too short",
            given=f"{len(last)} days, {len(candles)} {work.interval} candles",
            allowed=f"at least {needed} days and {WINDOW + 2} candles",
            fix="ingest a longer history, or leave the symbol out with --symbols",
        )
    arrays = arrays_of(candles)
    over = features_over(arrays)
    causal = check_causal(arrays, over, seed=work.code)
    try:
        labels = label_symbol(candles, work.interval, work.policy, work.settings, code=work.code)
    except SettingRefused as fault:
        subject = f"{work.symbol}: {fault.subject}"
        raise SettingRefused(
            subject, given=fault.given, allowed=fault.allowed, fix=fault.fix
        ) from fault
    x = over[labels.candle]
    usable = (labels.candle >= WINDOW - 1) & np.isfinite(x).any(axis=1)
    return Part(
        labels=labels.at(usable),
        x=x[usable],
        tail=candles.tail(WINDOW).reset_index(drop=True),
        days=number[last],
        closes=arrays.close[last],
        candles=len(candles),
        causal_rows=causal,
    )


def assemble(works: Sequence[Work], *, each: Each = map) -> Samples:
    """Return the rows of all symbols.

    Parameters
    ----------
    works : sequence of Work, in the order of the symbols
    each : callable
        Applies a function to all of them: `map`, or a task runner's.

    Raises
    ------
    agent.errors.SettingRefused
        If there is no symbol, or none has a label.
    """
    parts: list[Part] = list(each(sample_symbol, works))
    if not parts or not sum(len(part.labels) for part in parts):
        raise SettingRefused(
            "training data",
            given="no decision that could be labelled",
            allowed="candles of at least one symbol, at prices that the policy's stop fits",
            fix="check the dataset, --symbols, --first, --last and the policy's stop",
        )
    labels = joined([part.labels for part in parts])
    x = np.concatenate([part.x for part in parts])
    nothing = np.empty(0, dtype=np.int64)
    bare = tuple(replace(part, labels=part.labels.at(nothing), x=part.x[:0]) for part in parts)
    names = tuple(work.symbol for work in works)
    return Samples(names, labels, x, sample_weights(labels), bare)


def check_causal(arrays: CandleArrays, over: Floats, *, seed: int) -> int:
    """Recompute some feature rows from their own window alone; nothing after it may matter.

    Parameters
    ----------
    arrays : CandleArrays of shape (n,)
    over : float64 array of shape (n, n_features), the features of the whole history

    Returns
    -------
    int : rows compared

    Raises
    ------
    agent.errors.Broken
        If one differs in a single bit: a feature has looked ahead.
    """
    ends = np.random.default_rng(seed).integers(WINDOW - 1, len(arrays), CAUSAL_ROWS)
    for end in ends.tolist():
        alone = features_last(arrays.part(end - WINDOW + 1, end + 1))
        if not np.array_equal(alone, over[end], equal_nan=True):
            wrong = [f.name for f, a, b in zip(FEATURES, alone, over[end], strict=True) if a != b]
            raise Broken(f"features {wrong} of candle {end} change with later candles")
    return len(ends)
