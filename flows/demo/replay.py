"""Which days are replayed and which symbols: chosen from the dataset, written for the exchange."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agent.errors import SettingRefused
from flows.data.store import CandleStore
from flows.home import Home

if TYPE_CHECKING:
    import pandas as pd

DAYS = {"day": 20}  # sessions replayed by interval, where no setting says; inside the day: 3
DAYS_INSIDE = 3
DAYS_A_FOLD = 14  # training sessions for each step of the validation, at least
FOLDS = (2, 5)
HISTORY_DAYS = {"day": 400}  # calendar days before the first replayed one; inside the day: 30
HISTORY_INSIDE = 30
TRAINED_INSIDE = (
    60  # sessions of candles inside the day that a demo learns from: minutes, not hours
)


@dataclass(frozen=True, slots=True)
class Replay:
    """What the exchange replays.

    `trained_from` and `trained_through` are the first and last session that training sees, and
    `folds` the steps of its validation;
    `candles` a Parquet file with the replayed days and the history before them; `sessions` a
    JSON list of the dataset's days.
    """

    symbols: tuple[str, ...]
    first: date
    last: date
    trained_from: date
    trained_through: date
    folds: int
    candles: Path
    sessions: Path


def choose(home: Home, dataset: str, *, days: int | None, symbols_max: int) -> Replay:
    """Choose the last sessions of a dataset and its most traded symbols; write both files.

    Raises
    ------
    SettingRefused
        If there are fewer sessions than asked for plus some to learn from.
    """
    import pandas as pd

    store = CandleStore(home)
    manifest = store.manifest(dataset)
    count = days or DAYS.get(manifest.interval, DAYS_INSIDE)
    sessions = list(manifest.sessions)
    if len(sessions) < 2 * count + 1:
        raise SettingRefused(
            f"dataset {dataset}",
            given=f"{len(sessions)} sessions",
            allowed=f"at least {2 * count + 1} to replay {count} that training never saw",
            fix="give more candles with --data, or fewer days with --days",
        )
    first, last, before = sessions[-count], sessions[-1], sessions[-count - 1]
    history = HISTORY_DAYS.get(manifest.interval, HISTORY_INSIDE)
    since = (pd.Timestamp(first) - pd.Timedelta(days=history)).date()
    frame = store.read(dataset, first=since)
    symbols = most_traded(frame, symbols_max)
    folder = home.root / "replay"
    folder.mkdir(exist_ok=True)
    candles, listed = folder / "candles.parquet", folder / "sessions.json"
    frame[frame["symbol"].isin(symbols)].to_parquet(candles, index=False)
    listed.write_text(json.dumps([day.isoformat() for day in sessions]), encoding="utf-8")
    learned = sessions[:-count]
    if manifest.interval != "day":
        learned = learned[-TRAINED_INSIDE:]
    traded = _sessions_of(store, dataset, symbols, learned)
    folds = min(max(traded // DAYS_A_FOLD, FOLDS[0]), FOLDS[1])
    return Replay(symbols, first, last, learned[0], before, folds, candles, listed)


def _sessions_of(
    store: CandleStore, dataset: str, symbols: tuple[str, ...], among: list[date]
) -> int:
    """Count the sessions that the chosen symbols traded in: another file's days teach nothing."""
    frame = store.read(dataset, symbols=symbols, first=among[0], last=among[-1])
    return int(frame["ts"].dt.date.nunique())


def most_traded(frame: pd.DataFrame, most: int) -> tuple[str, ...]:
    """Return the symbols with the highest median turnover a candle, at most `most`, sorted.

    Symbols without a volume come last, by name; those without a candle on the last day not at
    all.
    """
    last_day = frame["ts"].max().normalize()
    alive = frame.loc[frame["ts"] >= last_day, "symbol"].unique()
    kept = frame[frame["symbol"].isin(alive)]
    turnover = (kept["close"] * kept["volume"]).groupby(kept["symbol"]).median()
    ranked = turnover.replace(np.nan, -1.0).sort_index().sort_values(ascending=False, kind="stable")
    return tuple(sorted(ranked.index[:most]))
