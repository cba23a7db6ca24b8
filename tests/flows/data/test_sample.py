"""The sample: figures that the set is known by, and the grid its prices stand on."""

from __future__ import annotations

import hashlib
from datetime import date
from typing import Any

import numpy as np
import pytest

from agent.errors import EnvironmentRefused
from flows.data.grid import round_to_grid, ticks_per_rupee
from flows.data.sources import sample
from flows.data.sources.sample import SampleSource

#  symbol       candles  first        last close on its grid (raw: 430.47 806.19 202.91 27.95)
KNOWN = [
    ("NSE:AAPL", 3270, date(2000, 3, 1), 430.45),
    ("NSE:GOOG", 2148, date(2004, 8, 19), 806.2),
    ("NSE:IBM", 3270, date(2000, 3, 1), 202.91),
    ("NSE:MSFT", 3270, date(2000, 3, 1), 27.95),
]


@pytest.fixture(scope="module")
def source() -> SampleSource:
    return SampleSource()


@pytest.mark.parametrize(("symbol", "candles", "first", "close"), KNOWN)
def test_known_figures(
    source: SampleSource, symbol: str, candles: int, first: date, close: float
) -> None:
    frame = source.read(symbol)
    assert len(frame) == candles
    assert frame["ts"].iloc[0].date() == first
    assert frame["ts"].iloc[-1].date() == date(2013, 3, 1)
    assert frame["close"].iloc[-1] == close
    assert not frame.isna().any().any()


def test_it_carries_its_own_trading_days_and_says_what_it_left_out(source: SampleSource) -> None:
    assert source.sessions is not None
    assert len(source.sessions) == 3270
    assert date(2013, 1, 1) not in source.sessions
    assert list(source.symbols) == [row[0] for row in KNOWN]
    assert [(s.name, "196 days" in s.reason) for s in source.skipped] == [("NSE:FB", True)]
    assert "read as rupees" in source.facts.notes
    assert not source.facts.simulated_path


def test_every_price_stands_on_its_grid_and_no_candle_is_disordered(source: SampleSource) -> None:
    for symbol in source.symbols:
        frame = source.read(symbol)
        prices = frame[["open", "high", "low", "close"]].to_numpy()
        steps = ticks_per_rupee(prices)
        assert np.array_equal(prices, np.rint(prices * steps) / steps)
        assert (prices.max(axis=1) == frame["high"]).all()
        assert (prices.min(axis=1) == frame["low"]).all()
        assert (frame["high"] > frame["low"]).all()


GRID = [
    ("below 250: paise", 249.996, 100, 250.0),
    ("to 1000: five paise", 250.03, 100, 250.05),
    ("month of a dear share", 249.97, 20, 249.95),
    ("month of a cheap share", 1000.04, 100, 1000.0),
    ("to 5000: ten paise", 1234.56, 10, 1234.6),
    ("to 20000: one rupee", 12345.6, 10, 12346.0),
    ("above: five rupees", 23456.0, 0.2, 23455.0),
]


@pytest.mark.parametrize(("case", "price", "steps", "expected"), GRID, ids=[r[0] for r in GRID])
def test_the_coarser_of_two_grids(case: str, price: float, steps: float, expected: float) -> None:
    rounded: Any = round_to_grid(np.array([price]), np.array([float(steps)]))
    assert rounded[0] == expected


def test_another_file_than_the_checked_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "SHA256", hashlib.sha256(b"another").hexdigest())
    with pytest.raises(EnvironmentRefused, match=r"bokeh_sampledata==2026\.1"):
        _ = SampleSource().symbols
