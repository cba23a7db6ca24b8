"""The trailing engine's edge cases by their ids; what needs an exchange is tested in orders/."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from agent.errors import SettingRefused
from agent.trailing.policy import Policy, plan_for
from agent.trailing.ratchet import open_position, scale_in, step
from agent.trailing.saved import regrid, to_json
from tests.agent.trailing.paths import LONG, SHORT, USER, levels, plan, run

P = 'mode = "percent"\nstop = "1"\nshare = 0.5\n'


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_t01_a_jump_through_the_stop_fills_at_the_tick(side) -> None:
    made = plan(P, side)
    _, results = run(made, "10 8.35" if side is LONG else "10 11.65")
    assert results[-1].event == "exit"
    assert results[-1].price == made.ticks(Decimal("8.35" if side is LONG else "11.65"))


def test_t02_a_gap_over_night_exits_at_the_first_price_traded() -> None:
    # Pre-open prints never reach the step: the live loop hands over continuous trading only.
    made = plan(P)
    state, _ = run(made, "10 10.4")
    state, result = step(made, state, made.ticks(Decimal(7)), ts_ms=2)
    assert (result.event, result.reason, result.price) == ("exit", "stop", 140)
    again, later = step(made, state, made.ticks(Decimal(6)), ts_ms=3)
    assert (later.event, again) == ("ignored", state), "one exit only"


def test_t03_the_stop_itself_triggers_one_tick_better_does_not() -> None:
    made = plan(P)
    assert run(made, "9.05")[1][-1].event == "held"
    assert run(made, "9")[1][-1].event == "exit"


#  tick, side, candidate from entry 1000 with stop distance d, stop
T04 = [
    ("0.05", LONG, "9.6535", "990.35"),
    ("0.05", SHORT, "9.6535", "1009.65"),
    ("0.10", LONG, "9.6535", "990.40"),
    ("0.01", SHORT, "9.6535", "1009.65"),
    ("0.25", LONG, "9.6535", "990.50"),
    ("1", LONG, "9.6535", "991"),
    ("1", SHORT, "9.6535", "1009"),
]


@pytest.mark.parametrize(("tick", "side", "distance", "stop"), T04)
def test_t04_a_stop_off_the_grid_rounds_toward_the_market(tick, side, distance, stop) -> None:
    made = plan(f'mode = "percent"\nstop = "{distance}"\nshare = 0\n', side, "1000", tick)
    assert levels(made, open_position(made))[0] == stop


def test_t04_a_value_within_1e9_of_a_grid_point_is_that_point() -> None:
    made = plan('mode = "percent"\nstop = "0.99999999999"\nshare = 0\n')
    assert levels(made, open_position(made))[0] == "9.00"
    made = plan('mode = "percent"\nstop = "0.9999"\nshare = 0\n')
    assert levels(made, open_position(made))[0] == "9.05"


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_t05_a_new_tick_size_keeps_the_ratchet(side) -> None:
    text = P + 'target = "2"\nfollow = 0.5\n'
    old, new = plan(text, side, tick="0.01"), plan(text, side, tick="0.05")
    state, _ = run(old, "10.46" if side is LONG else "9.54")
    assert levels(old, state) == (("9.23", "12.23") if side is LONG else ("10.77", "7.77"))
    moved = regrid(old, state, new)
    assert levels(new, moved) == (("9.25", "12.25") if side is LONG else ("10.75", "7.75"))
    assert new.price(1) * Decimal(moved.best.numerator) / moved.best.denominator == Decimal(
        "10.46" if side is LONG else "9.54"
    )
    after, _ = run(new, "11" if side is LONG else "9", moved)
    assert levels(new, after) == (("9.50", "12.50") if side is LONG else ("10.50", "7.50"))


def test_t08_a_stop_in_atr_without_one_is_refused_and_others_wait() -> None:
    with pytest.raises(SettingRefused, match="stop = '2atr' and no ATR at entry"):
        plan('mode = "percent"\nstop = "2atr"\nshare = 0.5\n')
    with pytest.raises(SettingRefused, match="target = '2atr' and no ATR at entry"):
        plan('mode = "percent"\nstop = "1"\ntarget = "2atr"\nshare = 0.5\n')
    made = plan(P + 'activation = "2atr"\ntarget = "3"\nfollow = 1\n')
    state, _ = run(made, "12")
    assert levels(made, state) == ("9.00", "13.00")
    state, _ = run(made, "12", state, atr=Fraction(5))
    assert levels(made, state) == ("10.00", "15.00")


def test_t09_a_doubled_atr_never_loosens() -> None:
    made = plan('mode = "atr"\nstop = "1"\nmultiple = 2\n')
    state, _ = run(made, "11", atr=10)
    assert levels(made, state)[0] == "10.00"
    state, _ = run(made, "11", state, atr=20)
    assert levels(made, state)[0] == "10.00"


def test_t10_a_stop_at_or_below_zero_is_refused() -> None:
    with pytest.raises(SettingRefused, match="a stop above 0"):
        plan('mode = "atr"\nstop = "2atr"\nmultiple = 2\n', atr=Decimal(5))
    with pytest.raises(SettingRefused, match="a target above 0"):
        plan(P + 'target = "100%"\n', SHORT)


@pytest.mark.parametrize(
    ("price", "stop"), [("10.45", "9.00"), ("10.50", "9.25"), ("10.55", "9.30")]
)
def test_t11_activation_by_exactly_zero_and_one_tick(price, stop) -> None:
    made = plan(P + 'activation = "0.5"\n')
    assert levels(made, run(made, price)[0])[0] == stop


T12 = [
    (P + 'lock = "3%"\nactivation = "2%"\n', ["lock = 3% (0.3 ", "activation = 2% (0.2 "]),
    (
        'mode = "fixed"\nstop = "1"\nstep = "0.5"\nmove = "6%"\n',
        ["move = 6% (0.6 ", "step = 0.5 (0.5 "],
    ),
    (
        'mode = "hybrid"\nstop = "1"\nshare = 0.5\nmin_distance = "0.7"\nmax_distance = "5%"\n',
        ["min_distance = 0.7 (0.7 ", "max_distance = 5% (0.5 "],
    ),
    (P.replace("0.5", "1.5"), ["share: found 1.5", "at most 1"]),
    (P + "[volatility]\nfloor = 2\ncap = 1.5\n", ["floor = 2", "cap = 1.5"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), T12, ids=[" ".join(told) for _, told in T12])
def test_t12_a_contradiction_is_refused_with_both_numbers(text, told) -> None:
    with pytest.raises(SettingRefused) as refusal:
        plan(text)
    for part in told:
        assert part in str(refusal.value)


def test_t13_an_older_tick_changes_nothing_a_repeated_packet_counts_for_nothing() -> None:
    text = P + '[whipsaw]\nsoft_band = "0.5"\nconfirm_trades = 2\n'
    made = plan(text)
    state, _ = step(made, open_position(made), 181, ts_ms=1000, volume=100)
    older, result = step(made, state, 300, ts_ms=999, volume=101)
    assert result.event == "rejected"
    assert to_json(older).replace('"rejected":1', '"rejected":0') == to_json(state)
    state, result = step(made, state, 178, ts_ms=2000, volume=110)
    assert result.event == "held", "the first shallow trade waits"
    for _ in range(3):
        state, result = step(made, state, 178, ts_ms=2000, volume=110)
        assert result.event == "ignored", "the same trade again"
    _, result = step(made, state, 178, ts_ms=2000, volume=120)
    assert (result.event, result.reason) == ("exit", "stop")


def test_t14_a_cached_first_tick_from_before_the_entry_is_ignored() -> None:
    made = plan(P)
    state = open_position(made, opened_ms=5000)
    after, result = step(made, state, 100, ts_ms=4999)
    assert (result.event, after.stop, after.exited) == ("rejected", made.stop, None)


@pytest.mark.parametrize("price", [float("nan"), 0, -200, 2000])
def test_t15_an_impossible_price_is_ignored_and_counted(price) -> None:
    # Ten times the price is a suspect under an outlier rule; it needs a second trade to be true.
    made = plan(P + '[whipsaw]\noutlier = "5%"\n')
    state, _ = step(made, open_position(made), 201, ts_ms=1)
    after, result = step(made, state, price, ts_ms=2)
    assert result.event == ("ignored" if price == 2000 else "rejected")
    assert after.best == state.best
    assert after.stop == state.stop
    assert after.screen.rejected == (0 if price == 2000 else 1)


def test_t25_scaling_in_at_a_worse_price_does_not_loosen_the_stop() -> None:
    made = plan(USER)
    state, _ = run(made, "11")
    worse, after = scale_in(made, state, Fraction("10.5"))
    after, _ = run(worse, "11", after)
    assert levels(made, after) == levels(made, state) == ("10.00", "13.00")


def test_t39_ticks_stay_inside_the_band_of_their_candles() -> None:
    from agent.trailing.candles import Bar, replay_bars

    prices = [200, 205, 201, 207, 199, 203, 210, 204, 202, 196]
    made = plan('mode = "percent"\nstop = "0.5"\nshare = 0.8\ntarget = "0.6"\nfollow = 0.5\n')
    state, end = open_position(made), prices[-1]
    for price in prices:
        state, result = step(made, state, price)
        if result.event == "exit":
            end = price
            break
    pairs = [prices[n : n + 5] for n in (0, 5)]
    bars = [Bar(p[0], max(p), min(p), p[-1]) for p in pairs]
    band = replay_bars(made, bars)
    assert band.low <= (end - 200) * Fraction(made.tick_size) <= band.high


def test_a_policy_is_checked_against_the_entry_it_is_used_at() -> None:
    policy = Policy.parse('mode = "percent"\nstop = "0.1%"\nshare = 0.5\n')
    plan_for(policy, side=LONG, entry=Decimal(1000), tick_size=Decimal("0.05"))
    with pytest.raises(SettingRefused, match=r"stop = 0.1% \(0.02 rupees\).*at least 2 ticks"):
        plan_for(policy, side=LONG, entry=Decimal(20), tick_size=Decimal("0.05"))
