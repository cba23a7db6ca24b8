"""The real agent through days that are to teach it something: the exchange's book is the judge.

Three of the library in the suite, on candles of three minutes; `make bench-scenarios` runs all of
it on minutes. The figures are printed (`pytest -s`), in virtual time.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.paper.opening import OPERATIONS
from agent.paper.scenario import find_scenario, library
from tests.end_to_end.scenario_days import UNPROTECTED_MS_MAX, run_day

#  name, positions at least, faults that must have struck
DAYS = [
    ("circuit_lock", 3, set()),
    ("broker_outage", 3, {"outage"}),
    ("storm_429", 1, {"storm_429"}),
]


@pytest.mark.parametrize("row", DAYS, ids=[row[0] for row in DAYS])
def test_no_promise_is_broken(row: tuple, tmp_path: Path) -> None:
    name, positions, struck = row
    day = run_day(name, tmp_path, minutes=3)
    print(day.row())
    assert day.faults() == []
    assert len(day.audit["positions"]) >= positions
    assert struck <= set(day.struck)
    assert day.summary["open"] == []


def test_every_scenario_has_its_bound() -> None:
    assert sorted(UNPROTECTED_MS_MAX) == library()
    for name in library():
        assert find_scenario(name, OPERATIONS).faults or name in {"calm_day", "circuit_lock"}
