"""What the bulk path refuses: by name, never ignored; and what its scale holds exactly."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agent.errors import SettingRefused
from agent.trailing.bulk import layout
from agent.trailing.bulk.scale import Range, vector_of
from agent.trailing.policy import Policy

BASE = 'mode = "percent"\nstop = "1%"\nshare = 0.5\n'
DAY = Range(entry=60_000, move=6_000, atr=90_000)


def vector(text: str, within: Range = DAY, scale: int = 1) -> list[int]:
    return vector_of(Policy.parse(BASE + text), Decimal("0.05"), scale, within)


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ('[whipsaw]\nconfirm_trades = 2\nsoft_band = "0.1%"\n', "[whipsaw]"),
        ('[whipsaw]\noutlier = "1%"\n', "[whipsaw]"),
        ("[signal]\nextend_only_while_agrees = true\n", "[signal]"),
        ('[signal]\ntighten_on_flip = "0.3%"\n', "[signal]"),
    ],
)
def test_what_it_does_not_do_is_refused_by_name(table: str, named: str) -> None:
    with pytest.raises(SettingRefused) as refusal:
        vector(table)
    assert named in str(refusal.value)


def test_planner_and_overtrading_are_the_agents_and_do_not_hinder() -> None:
    assert vector("[planner]\nquiet_ms = 500\n[overtrading]\ncooldown_s = 60\n") == vector("")


@pytest.mark.parametrize(
    ("line", "units"),
    [
        ("", 100),  # 1 % of a whole tick
        ('max_distance = "1.25%"\n', 400),  # 1.25 % = 1/80; with 1/100 it is 1/400
        ('min_gap = "0.07"\n', 100),  # 1.4 ticks: fifths, which hundredths hold
        ('min_gap = "0.0007"\n', 500),  # 0.014 ticks
        ('max_distance = "2.5atr"\n', 400),  # thousandths of a tick, times five halves
    ],
)
def test_units_make_every_distance_whole(line: str, units: int) -> None:
    assert vector(line)[layout.P_UNITS] == units
    assert vector(line, scale=2)[layout.P_UNITS] % 200 == 0  # 1 % of a price in half ticks


def test_a_scale_that_leaves_64_bits_is_refused_with_its_size() -> None:
    fine = 'max_distance = "1.123456789123456789%"\n'
    with pytest.raises(SettingRefused) as refusal:
        vector(fine)
    assert "fewer decimals" in str(refusal.value)
    assert "2**" in str(refusal.value)


def test_a_range_that_grows_is_refused_at_last_not_wrapped() -> None:
    text = 'max_distance = "1.2345%"\n[volatility]\nfloor = 0.5\ncap = 2\n'
    assert vector(text)
    with pytest.raises(SettingRefused):
        vector(text, Range(entry=10**9, move=10**9, atr=10**12))


def test_a_dear_share_on_a_fine_grid_fits_with_the_volatility_guard() -> None:
    text = 'mode = "atr"\nstop = "3atr"\nmultiple = 2.5\n[volatility]\nfloor = 0.35\ncap = 2.15\n'
    within = Range(entry=15_000_000, move=1_500_000, atr=100_000_000)  # Rs 150,000, paise
    assert vector_of(Policy.parse(text), Decimal("0.01"), 1, within)
