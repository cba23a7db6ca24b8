"""The step as tables: one row a sentence of the rules; prices and levels in rupees."""

# ruff: noqa: E501  (one row of a table, one line)

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from agent.trailing.ratchet import open_position, scale_in, step, with_signal
from tests.agent.trailing.paths import LONG, SHORT, USER, levels, plan, run

P = 'mode = "percent"\nstop = "1"\nshare = 0.5\n'
H = 'mode = "hybrid"\nstop = "1"\nshare = 0.8\nmin_distance = "0.5"\n'
A = 'mode = "atr"\nstop = "1"\nmultiple = 2\n'
F = 'mode = "fixed"\nstop = "1"\nstep = "0.5"\nmove = "0.3"\n'

#  id, policy, side, prices, stop, target, exit price
TABLE = [
    ("the user's case at 11", USER, LONG, "10 11", "10.00", "13.00", None),
    ("the user's case mirrored", USER, SHORT, "10 9", "10.00", "7.00", None),
    ("one tick short of the step", USER, LONG, "10 10.95", "9.00", "12.00", None),
    ("two steps at once", USER, LONG, "10 12.5", "9.00", "12.00", "12.5"),
    ("exit before the level would move", USER, LONG, "11 9.5", "10.00", "13.00", "9.5"),
    ("stop then untouched by a fall", USER, LONG, "11 10.5 10.2", "10.00", "13.00", None),
    ("fixed: whole steps only", F, LONG, "11.4", "9.60", None, None),
    ("fixed: continuous, up to the grid", F + "continuous = true\n", LONG, "11.4", "9.85", None, None),
    ("fixed: continuous, SHORT", F + "continuous = true\n", SHORT, "8.6", "10.15", None, None),
    ("percent: half of the move", P, LONG, "12", "10.00", None, None),
    ("percent: rounds toward the market", P, LONG, "10.05", "9.05", None, None),
    ("percent: SHORT rounds down", P, SHORT, "9.95", "10.95", None, None),
    ("hybrid: the percent candidate", H, LONG, "10.5", "9.40", None, None),
    ("hybrid: not nearer than min_distance", H, LONG, "14", "12.20", None, None),
    ("hybrid: the less favourable of both", H, LONG, "13.4", "11.75", None, None),
    ("hybrid: min_distance decides", H.replace("0.5", "2"), LONG, "14", "12.00", None, None),
    ("hybrid: a nearer initial stop stays", H.replace("0.5", "2"), LONG, "10.1", "9.00", None, None),
    ("activation not reached", P + 'activation = "1"\n', LONG, "10.95", "9.00", None, None),
    ("activation reached exactly", P + 'activation = "1"\n', LONG, "11", "9.50", None, None),
    ("activation stays reached", P + 'activation = "1"\n', LONG, "11 10", "9.50", None, None),
    ("no guard acts before activation", P + 'activation = "1"\nmax_distance = "0.1"\n', LONG, "10.9", "9.00", None, None),
    ("lock: not before lock + min_gap", P + 'lock = "0.5"\n', LONG, "10.5", "9.25", None, None),
    ("lock: from lock + min_gap on", P + 'lock = "0.5"\n', LONG, "10.55", "10.50", None, None),
    ("lock: SHORT", P + 'lock = "0.5"\n', SHORT, "9.45", "9.50", None, None),
    ("max_distance pulls nearer", P + 'max_distance = "0.6"\n', LONG, "11", "10.40", None, None),
    ("min_gap is last, against the price", P + 'max_distance = "0"\nmin_gap = "0.2"\n', LONG, "11", "10.80", None, None),
    ("min_gap rounds up to whole ticks", P + 'max_distance = "0"\nmin_gap = "0.12"\n', LONG, "11", "10.85", None, None),
    ("min_gap against p, not b", P + 'activation = "1"\nmax_distance = "0.1"\nmin_gap = "0.6"\n', LONG, "11 10.8", "10.40", None, None),
    ("price on the stop triggers (T03)", P, LONG, "9", "9.00", None, "9"),
    ("one tick above does not (T03)", P, LONG, "9.05", "9.00", None, None),
    ("price on the target triggers", USER, SHORT, "8", "11.00", "8.00", "8"),
    ("target caps at max_extension", P + 'target = "3"\nfollow = 2\nmax_extension = "0.5"\n', LONG, "11", "9.50", "13.50", None),
    ("target rounds toward the entry", P + 'target = "3"\nfollow = 0.5\n', LONG, "10.05", "9.05", "13.00", None),
    ("target rounds toward the entry, SHORT", P + 'target = "3"\nfollow = 0.5\n', SHORT, "9.95", "10.95", "7.00", None),
    ("follow 0 keeps the target", P + 'target = "3"\nfollow = 0\n', LONG, "12", "10.00", "13.00", None),
    ("a SHORT's target at exactly 0", P + 'target = "9"\nfollow = 1\n', SHORT, "9", "10.50", "0.05", None),
    ("a SHORT's target ends at one tick", P + 'target = "9"\nfollow = 5\n', SHORT, "7", "9.50", "0.05", None),
    ("fixed: move 0 never moves", F.replace('"0.3"', "0"), LONG, "12", "9.00", None, None),
    ("percent: share 0 never moves", P.replace("0.5", "0"), LONG, "12", "9.00", None, None),
    ("percent: share 1 is tick for tick", P.replace("0.5", "1"), LONG, "12.05", "11.05", None, None),
    ("max_distance 0 is one tick off", P + "max_distance = 0\n", LONG, "11", "10.95", None, None),
    ("max_distance is from b, not p", P + 'activation = "1"\nmax_distance = "0.4"\n', LONG, "11 10.7", "10.60", None, None),
    ("max_extension 0 keeps the target", P + 'target = "3"\nfollow = 2\nmax_extension = 0\n', LONG, "11", "9.50", "13.00", None),
    ("a huge follow ends at max_extension", P + 'target = "3"\nfollow = 1e6\nmax_extension = "0.33"\n', LONG, "10.05", "9.05", "13.30", None),
    ("lock = activation: not yet", P + 'activation = "0.5"\nlock = "0.5"\n', LONG, "10.5", "9.25", None, None),
    ("lock = activation: lock", P + 'activation = "0.5"\nlock = "0.5"\n', LONG, "10.55", "10.50", None, None),
    ("lock waits for a wider min_gap", P + 'lock = "0.5"\nmin_gap = "0.12"\n', LONG, "10.6", "9.30", None, None),
    ("lock and then min_gap, as wide", P + 'lock = "0.5"\nmin_gap = "0.12"\n', LONG, "10.65", "10.50", None, None),
    ("activation holds the target, too", P + 'activation = "1"\ntarget = "3"\nfollow = 1\n', LONG, "10.95", "9.00", "13.00", None),
    ("activation frees both", P + 'activation = "1"\ntarget = "3"\nfollow = 1\n', LONG, "11", "9.50", "14.00", None),
    ("user's example, half the follow", USER.replace("follow = 1", "follow = 0.5"), LONG, "11", "10.00", "12.50", None),
]  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_levels_after_a_path(row: tuple) -> None:
    _, text, side, prices, stop, target, exit_price = row
    made = plan(text, side)
    state, results = run(made, prices)
    assert levels(made, state) == (stop, target)
    told = results[-1].price if results[-1].event == "exit" else None
    assert told == (None if exit_price is None else made.ticks(Decimal(exit_price)))


@pytest.mark.parametrize("row", [r for r in TABLE if "SHORT's" not in r[0]], ids=lambda row: row[0])
def test_the_mirrored_path_ends_at_the_mirrored_levels(row: tuple) -> None:
    _, text, side, prices, stop, target, _ = row
    other = plan(text, SHORT if side is LONG else LONG)
    state, _ = run(other, " ".join(str(20 - Decimal(price)) for price in prices.split()))
    mirrored = (20 - Decimal(stop), None if target is None else 20 - Decimal(target))
    assert levels(other, state) == tuple(None if m is None else str(m) for m in mirrored)


#  id, policy, (price, ATR) pairs, stop
ATR_TABLE = [
    ("atr: distance from the best price", A, "12 0.5", "11.00"),
    ("atr: the ATR doubles (T09)", A, "12 0.5 12 1", "11.00"),
    ("atr: the ATR falls", A, "12 0.5 12 0.25", "11.50"),
    ("atr: falls while p is below b", A, "12 0.5 11.1 0.1", "11.05"),
    ("atr: no ATR yet, the stop stays (T08)", A, "12 0", "9.00"),
    ("percent in ATR: ATR at entry only", P + 'max_distance = "2atr"\n', "12 0.2 12 0.1", "11.60"),
    ("hybrid: min_distance by the current ATR", H.replace('"0.5"', '"2atr"'), "14 1 14 0.5", "12.20"),
    ("volatility widens", P + "[volatility]\nfloor = 0.5\ncap = 2\n", "10 0.5 12 1", "9.00"),
    ("volatility narrows", P + "[volatility]\nfloor = 0.5\ncap = 2\n", "10 1 12 0.7", "10.60"),
    ("volatility at its floor", P + "[volatility]\nfloor = 0.5\ncap = 2\n", "10 1 12 0.1", "11.00"),
    ("volatility: floor = cap = 1 is none", P + "[volatility]\nfloor = 1\ncap = 1\n", "10 0.5 12 1", "10.00"),
    ("volatility on fixed", F + "[volatility]\nfloor = 0.5\ncap = 2\n", "10 0.5 12 0.25", "11.10"),
    ("volatility on hybrid, after min_distance", H + "[volatility]\nfloor = 0.5\ncap = 2\n", "10 0.5 14 0.25", "13.10"),
    ("volatility, then lock", P + 'lock = "0.5"\n[volatility]\nfloor = 0.5\ncap = 2\n', "10 0.5 12 1", "10.50"),
    ("volatility, then max_distance", P + 'max_distance = "1.2"\n[volatility]\nfloor = 0.5\ncap = 2\n', "10 0.5 12 1", "10.80"),
    ("volatility, then min_gap", P + 'min_gap = "1.1"\n[volatility]\nfloor = 0.5\ncap = 2\n', "10 1 12 0.5", "10.90"),
    ("volatility on atr: squared", A + "[volatility]\nfloor = 0.1\ncap = 2\n", "10 0.4 12 0.2", "11.80"),
]  # fmt: skip


@pytest.mark.parametrize("row", ATR_TABLE, ids=[row[0] for row in ATR_TABLE])
@pytest.mark.parametrize("side", [LONG, SHORT])
def test_levels_by_atr(row: tuple, side) -> None:
    _, text, pairs, stop = row
    made = plan(text, side)
    state = open_position(made)
    numbers = pairs.split()
    for price, atr in zip(numbers[::2], numbers[1::2], strict=True):
        signed = Decimal(price) if side is LONG else 20 - Decimal(price)
        state, _ = step(made, state, made.ticks(signed), made.ticks(Decimal(atr)))
    assert Decimal(levels(made, state)[0]) == (
        Decimal(stop) if side is LONG else 20 - Decimal(stop)
    )


def test_a_level_waits_for_the_atr_of_its_own_guards_only() -> None:
    made = plan(P + 'target = "3"\nfollow = 1\nmax_distance = "2atr"\n')
    state, _ = run(made, "11")
    assert levels(made, state) == ("9.00", "14.00")
    made = plan(P + 'target = "3"\nfollow = 1\nmax_extension = "2atr"\n')
    state, _ = run(made, "11")
    assert levels(made, state) == ("9.50", "13.00")


def test_the_model_tightens_and_freezes_only_while_it_is_listened_to() -> None:
    text = (
        P
        + 'target = "3"\nfollow = 1\n'
        + '[signal]\nextend_only_while_agrees = true\ntighten_on_flip = "0.2"\n'
    )
    made = plan(text)
    free, _ = run(made, "11")
    assert levels(made, free) == ("9.50", "14.00")
    for signal, wanted in (
        (1, ("9.50", "14.00")),
        (0, ("9.50", "13.00")),
        (-1, ("10.80", "13.00")),
    ):
        state, _ = run(made, "11", with_signal(open_position(made), signal))
        assert levels(made, state) == wanted, signal
    turned, _ = run(made, "11", with_signal(free, -1))
    assert levels(made, turned) == ("10.80", "14.00")  # nothing is taken back
    again, _ = run(made, "12", with_signal(turned, 1))
    assert levels(made, again) == ("10.80", "15.00")


def test_every_move_can_say_why() -> None:
    made = plan(P + 'lock = "0.5"\ntarget = "3"\nfollow = 1\n')
    _, results = run(made, "10.3 10.6 10.6 11.55")
    moves = [r.move for r in results if r.move is not None]
    assert [m.bound_by for m in moves] == ["", "lock", ""]
    assert moves[1].candidate == made.ticks(Decimal("9.3"))
    assert moves[1].after.stop == made.ticks(Decimal("10.5"))
    assert "stop 9.15 -> 10.5 (percent gives 9.3, lock decided" in moves[1].told(made)
    assert "target 13.3 -> 13.6" in moves[1].told(made)
    near = plan(P + 'max_distance = "0.1"\nmin_gap = "0.3"\n')
    _, (result,) = run(near, "11")
    assert result.move is not None
    assert result.move.bound_by == "min_gap"
    far = plan(P + 'max_distance = "0.4"\n')
    _, (result,) = run(far, "11")
    assert result.move is not None
    assert result.move.bound_by == "max_distance"


@pytest.mark.parametrize("multiple", ["", 'max_distance = "9atr"\n'])
def test_a_scale_in_moves_the_lock_and_nothing_else(multiple: str) -> None:
    # T25: buying more at a worse price must not loosen the stop.
    made = plan(P + 'lock = "0.5"\n' + multiple, atr=Decimal("0.3"))
    state, _ = run(made, "10.6", atr=Fraction(20, 3))
    assert levels(made, state) == ("10.50", None)
    dearer, after = scale_in(made, state, Fraction("10.2003"))
    assert (after.best, after.stop) == (state.best, state.stop)
    after, _ = run(dearer, "10.6 10.8", after)
    assert levels(dearer, after) == ("10.75", None)
    cheaper, after = scale_in(made, state, Fraction("9.5"))
    after, _ = run(cheaper, "10.6", after)
    assert levels(cheaper, after) == ("10.50", None)


def test_a_scale_in_keeps_a_stop_by_atr() -> None:
    made = plan(A)
    state, _ = run(made, "12", atr=Fraction(20, 3))
    other, after = scale_in(made, state, Fraction("10.0003"))
    one, _ = run(made, "12.5", state, atr=Fraction(20, 3))
    two, _ = run(other, "12.5", after, atr=Fraction(20, 3))
    assert levels(made, one) == levels(other, two) == ("11.85", None)
