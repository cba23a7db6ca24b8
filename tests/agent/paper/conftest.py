"""Exchanges that several tests share: started once, in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.paper.source import CandleSet
from tests.agent.paper.lab import DAY, Running, minute_columns, start, wander, write_csv

FLAT = [100.0] * 375
STEPPED = [100.0, 100.0, 98.0, 98.0, 102.0, 102.0, *FLAT[6:]]


@pytest.fixture(scope="session")
def minutes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of scripted minutes: NSE:A flat, NSE:B in steps, an index."""
    rows = {"NSE:A": FLAT, "NSE:B": STEPPED, "NSE:NIFTY 50": [25_000.0] * 375}
    candles = {key: minute_columns(prices) for key, prices in rows.items()}
    return write_csv(
        tmp_path_factory.mktemp("candles") / "minutes.csv", CandleSet("minute", candles)
    )


@pytest.fixture(scope="session")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of 20 day candles of three symbols, the last on DAY."""
    return write_csv(tmp_path_factory.mktemp("candles") / "days.csv", wander(11, 20))


@pytest.fixture(scope="session")
def standing(minutes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return an exchange in lock-step that nobody has joined: time stands at the open."""
    home = tmp_path_factory.mktemp("standing")
    running = start(home, "--candles", str(minutes), "--lockstep", "--first", str(DAY))
    yield running
    assert running.stop() == 0


@pytest.fixture
def moving(minutes: Path, tmp_path: Path) -> Iterator[Running]:
    """Return an exchange in lock-step of the test's own."""
    running = start(tmp_path, "--candles", str(minutes), "--lockstep")
    yield running
    running.kill()
