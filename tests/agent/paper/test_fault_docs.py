"""docs/paper-exchange.md tells every fault and every scenario, in their own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.paper.faults import KINDS, Fault
from agent.paper.opening import OPERATIONS
from agent.paper.scenario import find_scenario, library

PAGE = (Path(__file__).parents[3] / "docs" / "paper-exchange.md").read_text(encoding="utf-8")


def row(name: str, words: str) -> str:
    """Return the table row that begins with a name and holds some words."""
    found = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
    return next((line for line in found if words in line), "")


@pytest.mark.parametrize("name", KINDS)
def test_a_fault_is_on_the_page(name: str) -> None:
    told = row(name, KINDS[name].what)
    assert told
    assert [own for own in KINDS[name].own if f"`{own}`" not in told] == []


@pytest.mark.parametrize("name", library())
def test_a_scenario_is_on_the_page(name: str) -> None:
    scenario = find_scenario(name, OPERATIONS)
    assert scenario.safe in row(name, scenario.teaches)


def test_every_key_of_a_fault_is_on_the_page() -> None:
    assert [name for name in Fault.model_fields if f"`{name}`" not in PAGE] == []
