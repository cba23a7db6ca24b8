"""A grid means every combination, and names the key that it cannot use."""

from __future__ import annotations

import pytest

from agent.errors import SettingRefused
from agent.trailing.policy import Policy
from flows.sweep.grid import read_grid

BASE = 'mode = "percent"\nstop = "1%"\n'


def test_lists_are_axes_and_every_combination_is_a_policy() -> None:
    grid = read_grid(
        'mode = "percent"\nstop = ["0.5%", 1.25, 2]\nshare = [0.3, 0.5]\n'
        "[volatility]\nfloor = 0.5\ncap = [1, 2.0]\n"
    )
    assert [axis.key for axis in grid.axes] == ["stop", "share", "volatility.cap"]
    assert len(grid.trials) == 12
    assert grid.left_out == 0
    assert len({trial.policy.sha256 for trial in grid.trials}) == 12
    last = grid.trials[-1]
    again = Policy.parse(
        'mode = "percent"\nstop = 2\nshare = 0.5\n[volatility]\nfloor = 0.5\ncap = 2.0\n'
    )
    assert last.policy.stop == again.stop
    assert last.policy.volatility == again.volatility
    assert [str(value) for value in last.values] == ["2", "0.5", "2.0"]


def test_a_plain_policy_is_a_grid_of_one() -> None:
    grid = read_grid(BASE + "share = 0.5\n")
    assert len(grid.trials) == 1
    assert grid.axes == ()


def test_a_combination_that_is_no_policy_is_left_out_and_counted() -> None:
    grid = read_grid(BASE + "share = 1\n[volatility]\nfloor = [0.5, 3]\ncap = [1, 4]\n")
    assert (len(grid.trials), grid.left_out) == (3, 1)
    assert "volatility.floor" in grid.why_left_out


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("share = [0.5]\nstep = 1\n", "step"),
        ("share = [0.5]\nno_such_key = [1, 2]\n", "no_such_key"),
        ("share = []\n", "share"),
        ("share = [0.5, 0.5]\n", "share"),
        ("share = [[0.5]]\n", "share"),
        ("share = [0.5, 7]\n[whipsaw]\noutlier = '1%'\n", "[whipsaw]"),
        ("share = 0.5\n[planner]\nquiet_ms = [1, 2]\n", "planner.quiet_ms"),
        ("share = 0.5\n[signal]\nextend_only_while_agrees = [true, false]\n", "[signal]"),
        ("share = [7, 8]\n", "share"),
        ("share = ", "grid"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_its_key(text: str, named: str) -> None:
    with pytest.raises(SettingRefused) as refusal:
        read_grid(BASE + text)
    assert named in str(refusal.value)


def test_too_many_policies_are_refused_with_their_number() -> None:
    values = ", ".join(str((n + 1) / 1000) for n in range(200))
    with pytest.raises(SettingRefused, match="40,000"):
        read_grid(f'mode = "percent"\nstop = [{values}]\nshare = [{values}]\n')
