"""Reads past the broker's budgets: refused where the clock runs, counted where it stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.paper.limits import BUDGETS
from agent.paper.opening import Opening, assemble, open_exchange
from agent.paper.store import Store
from tests.agent.paper.lab import DAY, scripted
from tests.agent.paper.test_fault_edges import Desk

READS = {
    "quote": "/quote/ltp",
    "historical": "/instruments/historical/1/minute",
    "other": "/portfolio/positions",
}


#  lock-step, asked for, whether reads are refused
CHOICES = [
    (False, None, True),
    (False, False, False),
    (True, None, False),
    (True, True, True),
]


@pytest.mark.parametrize(("lockstep", "asked", "refused"), CHOICES)
def test_who_is_refused(tmp_path: Path, lockstep: bool, asked: bool | None, refused: bool) -> None:
    store = Store(tmp_path / "x.db", "x")
    exchange, _ = open_exchange(scripted({"NSE:A": [100.0] * 375}), store, cash_paise=1)
    opening = Opening(tmp_path, DAY, lockstep=lockstep, read_limits=asked)
    assert assemble(opening, exchange, store).limits.reads is refused
    store.close()


@pytest.mark.parametrize("kind", READS)
def test_a_budget_is_a_calendar_second_and_then_a_429(tmp_path: Path, kind: str) -> None:
    desk = Desk(tmp_path)
    desk.service.limits.reads = True
    ((_, allowed),) = BUDGETS[kind]

    def status() -> int:
        return desk.call("GET", READS[kind]).status

    assert 429 not in [status() for _ in range(allowed)]
    assert [status() for _ in range(2)] == [429, 429]
    body = json.loads(desk.call("GET", READS[kind]).body)
    assert (body["error_type"], body["message"]) == ("NetworkException", "Too many requests")
    desk.pass_ms(1_000)
    assert status() != 429
    assert desk.admin("GET", "audit")["over_budget"] == {kind: 3}
    desk.store.close()
