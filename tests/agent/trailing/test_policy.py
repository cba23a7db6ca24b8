"""Policy files: what is accepted, and what is refused by which key."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from importlib import resources

import pytest

from agent.errors import SettingRefused
from agent.market.instruments import Side
from agent.trailing.policy import Policy, plan_for
from agent.trailing.presets import PRESETS
from tests.agent.trailing.paths import plan

P = 'mode = "percent"\nstop = "1%"\nshare = 0.5\n'
T = P + 'target = "2%"\n'

#  text, key that the message names, words that it holds
REFUSED = [
    ("", "mode", "fixed, percent, atr, hybrid"),
    ('mode = "trail"\nstop = 1\n', "mode", "found 'trail'"),
    ('mode = "percent"\nshare = 0.5\n', "stop", "found nothing"),
    ('mode = "percent"\nstop = 1\n', "share", "found nothing"),
    ('mode = "fixed"\nstop = 1\nstep = 1\n', "move", "found nothing"),
    ('mode = "atr"\nstop = 1\n', "multiple", "found nothing"),
    ('mode = "hybrid"\nstop = 1\nshare = 0.5\n', "min_distance", "found nothing"),
    (P + "multiple = 2\n", "multiple", "with mode = 'percent'"),
    (P + "continuous = true\n", "continuous", "with mode = 'percent'"),
    (P + 'stopp = "1%"\n', "stopp", "unknown key"),
    (P + "[planner]\nbufer = 1\n", "planner.bufer", "unknown key"),
    (P + "[nothing]\na = 1\n", "nothing", "unknown key"),
    (P.replace('"1%"', '"-1%"'), "stop", "at least 0"),
    (P.replace('"1%"', "-1"), "stop", "at least 0"),
    (P.replace('"1%"', '"1 rupee"'), "stop", "2atr"),
    (P.replace('"1%"', "nan"), "stop", "2atr"),
    (P.replace('"1%"', "inf"), "stop", "2atr"),
    (P.replace('"1%"', "true"), "stop", "2atr"),
    (P.replace('"1%"', "1e999999999"), "stop", "2atr"),
    (P.replace("0.5", "1.01"), "share", "at most 1"),
    (P.replace("0.5", "-0.1"), "share", "at least 0"),
    (P.replace("0.5", '"half"'), "share", "a number"),
    ('mode = "atr"\nstop = 1\nmultiple = 0\n', "multiple", "above 0"),
    ('mode = "fixed"\nstop = 1\nstep = 0\nmove = 0\n', "step", "above 0"),
    (T + "follow = -1\n", "follow", "at least 0"),
    (P + "follow = 0\n", "follow", "without a target"),
    (P + "max_extension = 1\n", "max_extension", "without a target"),
    (P + "[volatility]\nfloor = 0.5\n", "volatility.cap", "required together"),
    (P + "[volatility]\ncap = 0.5\n", "volatility.floor", "required together"),
    (P + "[volatility]\nfloor = 0\ncap = 1\n", "volatility.floor", "above 0"),
    (P + "volatility = 1\n", "volatility", "a table"),
    (P + "[whipsaw]\nsoft_band = 1\n", "whipsaw.soft_band", "alone"),
    (P + "[whipsaw]\nconfirm_trades = 2\n", "whipsaw.confirm_trades", "alone"),
    (P + "[whipsaw]\nconfirm_ms = 2\n", "whipsaw.confirm_ms", "alone"),
    (P + "[whipsaw]\nsoft_band = 1\nconfirm_trades = 0\n", "whipsaw.confirm_trades", "at least 1"),
    (P + "[planner]\nmodifications = 26\n", "planner.modifications", "at most 25"),
    (P + "[planner]\nmodifications = 5\nreserve = 6\n", "planner.reserve", "modifications = 5"),
    (P + "[overtrading]\ncooldown_s = -1\n", "overtrading.cooldown_s", "at least 0"),
    (P + '[signal]\ntighten_on_flip = "x"\n', "signal.tighten_on_flip", "2atr"),
    (P + "[signal]\nextend_only_while_agrees = 1\n", "signal.extend_only_while_agrees", "true or"),
    ("mode = \n", "policy", "line 1"),
    (P + 'lock = "break-even"\n', "lock", "2atr"),
    (P + "[volatility]\nfloor = 0.5\ncap = 0\n", "volatility.floor", "at most cap = 0"),
]


@pytest.mark.parametrize(
    ("text", "key", "words"), REFUSED, ids=[f"{k}: {w}" for _, k, w in REFUSED]
)
def test_a_bad_policy_is_refused_by_key(text: str, key: str, words: str) -> None:
    with pytest.raises(SettingRefused) as refusal:
        Policy.parse(text)
    assert refusal.value.exit_status == 2
    assert str(refusal.value).startswith(f"policy: {key}" if key != "policy" else "policy: ")
    assert words in str(refusal.value)


AT_ENTRY = [
    (P + 'min_gap = "0.04"\n', "min_gap = 0.04", "tick_size = 0.05"),
    (P + 'min_gap = "0.1%"\n', "min_gap = 0.1% (0.01 rupees)", "0.05"),
    (P.replace('"1%"', '"0.09"'), "stop = 0.09", "0.10 rupees"),
    (P + 'target = "0.04"\n', "target = 0.04", "1 tick of"),
    (P.replace('"1%"', '"100%"'), "at 0 for entry = 10", "a stop above 0"),
    (P + 'lock = "breakeven"\n', "without a quantity", "--qty"),
]


@pytest.mark.parametrize(("text", "found", "wanted"), AT_ENTRY, ids=[a for _, a, _ in AT_ENTRY])
def test_what_only_the_entry_shows_is_refused_with_both_numbers(text, found, wanted) -> None:
    with pytest.raises(SettingRefused) as refusal:
        plan(text)
    assert found in str(refusal.value)
    assert wanted in str(refusal.value)


def test_an_unknown_atr_is_not_compared() -> None:
    made = plan(P + 'lock = "3atr"\nactivation = "2atr"\n')
    assert not made.rules.stop_ready
    with pytest.raises(SettingRefused, match="lock = 3atr"):
        plan(P + 'lock = "3atr"\nactivation = "2atr"\n', atr=Fraction(1, 10))


def test_every_form_of_a_distance_is_exact() -> None:
    for text, size in (("0.3", "0.3"), ('"0.3"', "0.3"), ('"3%"', "0.3"), ('"1.5atr"', "0.3")):
        made = plan(P.replace('"1%"', text), atr=Fraction("0.2"))
        assert Fraction(made.rules.stop_distance, made.rules.units) == Fraction(size) / Fraction(
            "0.05"
        )
    assert plan(P.replace('"1%"', "1")).stop == 180


def test_the_text_travels_with_the_policy() -> None:
    policy = Policy.parse(P, source="mine.toml")
    assert policy.text == P
    assert policy.sha256 == hashlib.sha256(P.encode()).hexdigest()
    assert Policy.parse(P + "\n").sha256 != policy.sha256


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("side", list(Side))
def test_a_preset_makes_a_plan(name: str, side: Side) -> None:
    from datetime import date
    from decimal import Decimal

    packaged = resources.files("agent.trailing.presets") / f"{name}.toml"
    policy = Policy.parse(packaged.read_text(encoding="utf-8"), source=name)
    made = plan_for(
        policy,
        side=side,
        entry=Decimal(1500),
        tick_size=Decimal("0.05"),
        quantity=100,
        on=date(2026, 11, 25),
        atr=Decimal("4.2"),
    )
    assert side.sign * (made.entry / Fraction(made.tick_size) - made.stop) > 0


def test_the_specs_whole_file_is_read() -> None:
    text = """
mode = "hybrid"
stop = "1%"
target = "2%"
share = 0.5
min_distance = "0.4%"
activation = "0.5%"
lock = "0.1%"
max_distance = "1.5%"
min_gap = "0.05"
follow = 0.5
max_extension = "3%"
[volatility]
floor = 0.5
cap = 2.0
[planner]
buffer = "0"
modifications = 25
reserve = 3
quiet_ms = 2000
[whipsaw]
confirm_trades = 2
confirm_ms = 500
soft_band = "0.1%"
outlier = "1%"
[overtrading]
cooldown_s = 300
max_round_trips = 6
[signal]
extend_only_while_agrees = true
tighten_on_flip = "0.3%"
"""
    policy = Policy.parse(text)
    assert (policy.planner.modifications, policy.planner.reserve) == (25, 3)
    assert policy.overtrading.max_round_trips == 6
    assert policy.signal.extend_only_while_agrees
    plan(text, entry="1000")
