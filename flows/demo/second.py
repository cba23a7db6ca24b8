"""The second model of a run: other candles, another interval, a traffic plan of its own.

Where the first learns from day candles it is an intraday one, and the other way round, so that
one server holds both kinds at once. It learns from the `synthetic` source, never from prices
drawn inside real days: those are refused for training (docs/validation.md). Nothing is planted in
that market (edge 0), so its gates have one right answer, and it is not the agent's model: the
demo itself asks it, about days that it never saw.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from bentos.checks import closes_ms
from flows.data.frame import PRICES, day_start_ms, ts_ms
from flows.data.store import CandleStore
from flows.home import Home

Pipeline = Callable[..., dict[str, Any]]

SHARES = 2  # and no more sessions than the gates and the questions need: a demo is waited for
FOLDS = 2


@dataclass(frozen=True, slots=True)
class Second:
    """Which second model.

    Parameters
    ----------
    model : str
        Its name, and its dataset's.
    interval : str
        Of its candles, in Kite's words.
    sessions : int
        Days of its market.
    asked : int
        The last of them: training never sees those, the questions are about them.
    """

    model: str
    interval: str
    sessions: int
    asked: int


# both: 500 questions, and the 60 tested days that the statistical gate wants at least
INTRADAY = Second("demo-intraday", "15minute", sessions=110, asked=10)
DAILY = Second("demo-daily", "day", sessions=750, asked=250)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the commands answered: of the ingest, the training and the release."""

    data: Mapping[str, Any]
    training: Mapping[str, Any]
    released: Mapping[str, Any]


def beside(interval: str) -> Second:
    """Return the model of the other kind than candles of this interval make."""
    return INTRADAY if interval == "day" else DAILY


def prepare(home: Home, second: Second, pipeline: Pipeline, *, top_share: float) -> Prepared:
    """Make its candles, train it on all but the days it will be asked about, release it.

    Parameters
    ----------
    pipeline : callable
        Runs a command of `ratchet` on the home and returns its document.
    top_share : float
        As the first model's: without an edge it is an exercise.
    """
    size = ["--symbols", str(SHARES), "--days", str(second.sessions), "--edge", "0"]
    made = ["--source", "synthetic", "--interval", second.interval, *size]
    data = pipeline("ingest", *made, "--dataset", second.model)
    _, through = _split(home, second)
    named = ["--dataset", second.model, "--model", second.model, "--preset", "champion"]
    rule = ["--entries", f"top-share={top_share}", "--folds", str(FOLDS)]
    training = pipeline("train", *named, *rule, "--last", through.isoformat())
    champion = ["--champion", str(training["version"])]
    released = pipeline("release", "--model", second.model, *champion)
    return Prepared(data, training, released)


def questions(home: Home, second: Second, window: int) -> Sequence[bytes]:
    """Return the bodies of predict calls: each unseen candle of each share, oldest first.

    Parameters
    ----------
    window : int
        Candles in each, as the served model says.
    """
    first, _ = _split(home, second)
    since = day_start_ms(first)
    frame = CandleStore(home).read(second.model)
    asked: list[tuple[int, str, bytes]] = []
    for key, own in frame.groupby("symbol", sort=True):
        ms = ts_ms(own)
        columns = {name: own[name].to_numpy(dtype=np.float64) for name in (*PRICES, "volume")}
        for last in np.flatnonzero(ms >= since).tolist():
            if last + 1 < window:
                continue  # no whole window before it: the model would refuse it
            cut = slice(last + 1 - window, last + 1)
            candles = {name: values[cut].tolist() for name, values in columns.items()}
            opened = int(ms[last])
            body = {
                "key": str(key),
                "as_of": closes_ms(opened, second.interval),
                "candles": {"ts": ms[cut].tolist(), **candles},
            }
            asked.append((opened, str(key), json.dumps(body).encode()))
    return [body for _, _, body in sorted(asked)]


def _split(home: Home, second: Second) -> tuple[date, date]:
    """Return the first day that is asked about and the last that is learned from."""
    sessions = CandleStore(home).manifest(second.model).sessions
    return sessions[-second.asked], sessions[-second.asked - 1]
