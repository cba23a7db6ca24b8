"""The synthetic market: the same seed the same candles, a known answer, an NSE-like look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agent.errors import SettingRefused
from bentos.features import FEATURES, CandleArrays, features_over
from flows.data.frame import INTERVAL_MS, VALUES, ts_ms
from flows.data.quality import inspect
from flows.data.sources.synthetic import LAST_DAY, Market, SyntheticSource


def test_the_same_options_give_the_same_candles_and_others_do_not() -> None:
    one = SyntheticSource(Market(symbols=2, days=20, seed=7)).read("NSE:SYN002")
    again = SyntheticSource(Market(symbols=2, days=20, seed=7)).read("NSE:SYN002")
    more = SyntheticSource(Market(symbols=9, days=20, seed=7)).read("NSE:SYN002")
    other = SyntheticSource(Market(symbols=2, days=20, seed=8)).read("NSE:SYN002")
    pd.testing.assert_frame_equal(one, again)
    pd.testing.assert_frame_equal(one, more)
    assert not one["close"].equals(other["close"])


@pytest.mark.parametrize("interval", INTERVAL_MS)
def test_every_interval_gives_whole_sessions_of_good_candles(interval: str) -> None:
    source = SyntheticSource(Market(interval=interval, symbols=1, days=4, edge=0.08))
    found = inspect(source.read("NSE:SYN001"), interval)
    counts = found.counts
    minutes = 375 if interval == "day" else INTERVAL_MS[interval] // 60_000
    assert counts.candles == 4 * -(-375 // minutes)
    assert (counts.bad, counts.duplicates, counts.outside_session, counts.off_grid) == (0, 0, 0, 0)
    assert source.sessions[-1] == LAST_DAY
    assert not source.facts.simulated_path
    assert "not real prices" in source.facts.notes


def test_it_looks_like_a_market() -> None:
    """Bands around 48 NSE shares: volatility .017, |r| memory .12, correlation .26, kurtosis 4."""
    source = SyntheticSource(Market(interval="day", symbols=20, days=1000, seed=3))
    frames = [source.read(symbol) for symbol in source.symbols]
    moves = np.array([np.diff(np.log(frame["close"])) for frame in frames])
    centred = (moves - moves.mean(1, keepdims=True)) / moves.std(1, keepdims=True)
    size = np.abs(moves)
    memory = [np.corrcoef(row[1:], row[:-1])[0, 1] for row in size]
    correlation = np.corrcoef(moves)[np.triu_indices(len(moves), 1)]
    body = np.concatenate([np.abs(f["close"] - f["open"]) / (f["high"] - f["low"]) for f in frames])
    assert 0.014 < moves.std() < 0.022
    assert 2.0 < np.median((centred**4).mean(1) - 3.0) < 7.0
    assert 0.05 < np.mean(memory) < 0.2
    assert 0.20 < correlation.mean() < 0.33
    assert 0.40 < np.nanmean(body) < 0.50


def _auc(score: Any, up: Any) -> float:
    ranks = np.argsort(np.argsort(score)) + 1.0
    ups = int(up.sum())
    return float((ranks[up].sum() - ups * (ups + 1) / 2) / (ups * (len(up) - ups)))


@pytest.mark.parametrize(("edge", "low", "high"), [(0.0, 0.485, 0.515), (0.08, 0.545, 0.60)])
def test_the_dial_is_what_a_straight_line_through_the_features_finds(
    edge: float, low: float, high: float
) -> None:
    """Ridge on ranked features, first half against second: the AUC of the next candle's side."""
    source = SyntheticSource(Market(interval="15minute", symbols=8, days=150, edge=edge, seed=1))
    features, ahead, late = [], [], []
    for symbol in source.symbols:
        frame = source.read(symbol)
        rows = features_over(CandleArrays(ts_ms(frame), *(frame[v].to_numpy() for v in VALUES)))
        move = np.append(frame["close"].to_numpy()[1:] / frame["close"].to_numpy()[:-1] - 1, np.nan)
        known = np.isfinite(rows[:, 0]) & np.isfinite(move) & (move != 0)
        features.append(np.nan_to_num(rows[known]))
        ahead.append(move[known])
        late.append(np.flatnonzero(known) >= len(frame) // 2)
    x, y, test = np.concatenate(features), np.concatenate(ahead), np.concatenate(late)
    x = np.clip((x - x.mean(0)) / (x.std(0) + 1e-12), -3, 3)
    gram = x[~test].T @ x[~test] + 10.0 * np.eye(len(FEATURES))
    beta = np.linalg.solve(gram, x[~test].T @ np.sign(y[~test]))
    assert low < _auc(x[test] @ beta, y[test] > 0) < high


@pytest.mark.parametrize(
    "wrong",
    [{"edge": 0.3}, {"edge": -0.1}, {"symbols": 0}, {"days": 1}, {"interval": "2minute"}],
)
def test_a_wrong_option_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingRefused, match=f"--{next(iter(wrong))}"):
        Market(**wrong)


@pytest.mark.shared
def test_no_share_of_nse_is_called_like_ours(shared_data: Path) -> None:
    dump = pd.read_csv(shared_data / "nse_equity_instruments_2026-04-17.csv.gz")
    names = set(dump["tradingsymbol"])
    symbols = SyntheticSource(Market(symbols=400)).symbols
    assert not names & {symbol.removeprefix("NSE:") for symbol in symbols}
