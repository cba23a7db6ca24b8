"""A scheduled run on a day without a session: it ends well, says why, and touches nothing."""

from __future__ import annotations

from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest
from prefect.logging import disable_run_logger

from agent.market.sessions import IST
from flows import prefect_runs
from flows.ingest import ingest
from flows.monitor.flow import monitor
from flows.prefect_runs import NO_SESSION, closed_today

#  id, the time of day in India, whether NSE has no session then
DAYS = [
    ("a Thursday", datetime(2026, 11, 26, 17, 0, tzinfo=IST), False),
    ("a Saturday", datetime(2026, 11, 28, 17, 0, tzinfo=IST), True),
    ("a holiday", datetime(2026, 11, 24, 17, 0, tzinfo=IST), True),
    ("a Sunday with a session", datetime(2026, 2, 1, 17, 0, tzinfo=IST), False),
]
FLOWS = {"ingest": ingest, "monitor": monitor}


def at(clock: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return clock.astimezone(tz)

    monkeypatch.setattr(prefect_runs, "datetime", Stopped)


@pytest.mark.parametrize(("clock", "closed"), [r[1:] for r in DAYS], ids=[r[0] for r in DAYS])
def test_the_calendar_says_whether_a_day_is_closed(
    clock: datetime, closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(clock, monkeypatch)
    assert closed_today() is closed


@pytest.mark.parametrize("name", FLOWS)
def test_on_a_closed_day_a_scheduled_run_ends_completed_with_a_plain_reason(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(datetime(2026, 11, 24, 17, 0, tzinfo=IST), monkeypatch)
    home = tmp_path / "home"
    with disable_run_logger():
        state: Any = FLOWS[name].fn(home=str(home), sessions_only=True)
    assert (state.type.value, state.name) == ("COMPLETED", NO_SESSION)
    assert "NSE is closed" in state.message
    assert not home.exists()
