"""Candles: certain, ambiguous, not hit; the band over the set. Rows as open high low close."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Broken
from agent.market.instruments import Side
from agent.trailing.candles import PATHS, Bar, examine, open_walk, replay_bars
from agent.trailing.ratchet import open_position, step
from tests.agent.trailing.paths import LONG, SHORT, plan, rupees
from tests.agent.trailing.test_properties import SEEDS, position

P = 'mode = "percent"\nstop = "1"\nshare = 0.5\n'  # stop 9 at entry 10
T = P + 'target = "1"\n'
FOLLOWS = T + "follow = 0.5\n"


def bars(text: str, tick: str = "0.05") -> list[Bar]:
    rows = [row.split() for row in text.split(",")]
    return [Bar(*(Fraction(v) / Fraction(tick) for v in row[:4])) for row in rows]


#  id, policy, side, one candle, certain, ambiguous, possible kinds
ONE = [
    ("open through the stop", T, LONG, "8.9 12 8 11.5", True, False, ["stop"]),
    ("open on the target", T, LONG, "11 12 8 9", True, False, ["target"]),
    ("low on the stop", T, LONG, "10 10.5 9 10", True, False, ["stop"]),
    ("close on the raised stop", T, LONG, "10 10.8 9.3 9.4", True, False, ["stop"]),
    ("low on the raised stop only", T, LONG, "10 10.8 9.3 9.5", False, True, ["stop"]),
    ("nothing", T, LONG, "10 10.5 9.5 10", False, False, []),
    ("a fixed target touched", T, LONG, "10 11 9.55 11", True, False, ["target"]),
    ("a following target touched", FOLLOWS, LONG, "10 11.2 9.65 11", False, True, ["target"]),
    (
        "a following target surely reached",
        FOLLOWS,
        LONG,
        "10.05 12 10.05 12",
        True,
        False,
        ["target"],
    ),
    ("both: sure exit, unsure kind", T, LONG, "10 11 9 10", True, True, ["stop", "target"]),
    ("both unsure", FOLLOWS, LONG, "10 11.2 9.55 11", False, True, ["stop", "target"]),
    ("mirrored: low on the raised stop", T, SHORT, "10 10.7 9.2 10.5", False, True, ["stop"]),
    ("mirrored: close on it", T, SHORT, "10 10.7 9.2 10.6", True, False, ["stop"]),
]


@pytest.mark.parametrize("row", ONE, ids=[row[0] for row in ONE])
def test_one_candle(row: tuple) -> None:
    _, text, side, candle, certain, ambiguous, kinds = row
    made = plan(text, side)
    said = examine(made, open_walk(made), bars(candle)[0])
    assert (said.certain, said.ambiguous) == (certain, ambiguous)
    assert [p.reason for p in said.possible] == kinds


#  id, policy, candles, (path, price, reason, index) ..., low, high, ambiguous candles
MANY = [
    (
        "an ambiguous stop, then the end",
        P,
        "10 10.8 9.3 9.5, 9.5 10 9.45 9.9",
        [
            ("pessimistic", "9.3", "stop", 0),
            ("optimistic", "9.9", "end", 1),
            ("colour", "9.3", "stop", 0),
        ],
        "-0.7", "-0.1", 1,
    ),
    (
        "the end is worth the last close",
        P,
        "10 10.2 9.8 10.1, 10.1 10.4 9.9 10.3",
        [("pessimistic", "10.3", "end", 1), ("optimistic", "10.3", "end", 1)],
        "0.3", "0.3", 0,
    ),
    (
        "the earlier candle of equal results",
        P + 'target = "2"\n',
        "10 11 9.4 11, 11 11 9.4 9.6",
        [("pessimistic", "9.4", "stop", 0)],
        "-0.6", "-0.5", 1,
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", MANY, ids=[row[0] for row in MANY])
def test_the_set_of_possible_exits(row: tuple) -> None:
    _, text, candles, members, low, high, ambiguous = row
    made = plan(text)
    for path, price, reason, index in members:
        result = replay_bars(made, bars(candles), path=path)
        assert (result.price, result.reason, result.index) == (Fraction(price), reason, index)
        assert (result.low, result.high) == (Fraction(low), Fraction(high))
        assert result.ambiguous_candles == ambiguous
        assert result.ambiguous == (ambiguous > 0)


def test_the_coloured_path_takes_the_low_first_when_the_candle_rises() -> None:
    made = plan('mode = "percent"\nstop = "1"\nshare = 1\n')
    rises, falls = "10 10.6 9.2 10.3", "10.3 10.6 9.2 10"
    assert replay_bars(made, bars(rises), path="colour").reason == "end"
    met = replay_bars(made, bars(falls), path="colour")
    assert (met.reason, met.price) == ("stop", Fraction("9.2"))
    short = plan('mode = "percent"\nstop = "1"\nshare = 1\n', SHORT)
    assert replay_bars(short, bars("10 10.8 9.4 9.7"), path="colour").reason == "end"
    met = replay_bars(short, bars("9.7 10.8 9.4 10"), path="colour")
    assert (met.reason, met.price) == ("stop", Fraction("10.8"))


def test_the_atr_of_a_candle_is_known_when_it_has_closed() -> None:
    made = plan('mode = "atr"\nstop = "1"\nmultiple = 1\n')
    first, second = bars("10 11 9.8 11, 11 11.4 10.8 11")
    walk = open_walk(made)
    walk = examine(made, walk, Bar(first.open, first.high, first.low, first.close, 10)).after
    assert made.price(walk.state.stop) == 9
    walk = examine(made, walk, second).after
    assert rupees(made, walk.state.stop) == Fraction("10.9")


def test_volatility_carries_the_best_stop_that_may_be_in_force() -> None:
    # Between whole steps a wider distance lets the candidate fall while the price rises: at
    # m = 2 it is 100.50, at m = 2.9 only 100.05; nobody knows which of the two came last.
    text = 'mode = "fixed"\nstop = "1"\nstep = 1\nmove = 1\n[volatility]\nfloor = 1\ncap = 2\n'
    made = plan(text, entry="100", atr=Fraction(1))
    calm, wild, after = bars("100 100.4 99.6 100, 100.6 102.9 100.3 102, 100.4 101 100.4 101")
    wider = Bar(calm.open, calm.high, calm.low, calm.close, 30)
    walk = examine(made, open_walk(made), wider).after
    said = examine(made, walk, wild)
    assert rupees(made, said.after.state.stop) == Fraction("100.05")
    assert rupees(made, said.after.upper) == Fraction("100.5")
    assert (said.certain, said.ambiguous) == (False, True)
    assert [rupees(made, p) for p in (said.possible[0].low, said.possible[0].high)] == [
        Fraction("100.3"),
        Fraction("100.5"),
    ]
    carried = examine(made, said.after, after)
    assert (carried.certain, carried.ambiguous) == (False, True), "an open between the two"
    assert rupees(made, carried.after.upper) == Fraction("100.5")


@given(SEEDS, st.sampled_from(list(Side)))
@settings(max_examples=150)
def test_every_tick_order_inside_the_candles_ends_inside_the_band(draw, side) -> None:
    """Random ticks, cut into candles: the tick result is a member of what the candles allow."""
    made = position(draw, side=side, bare=True)
    if made.policy.mode == "atr" or not made.rules.stop_ready:
        return
    here, prices = int(made.entry / Fraction(made.tick_size)), []
    for _ in range(60):
        here = max(1, here + draw.randint(-4, 4))
        prices.append(here)
    chunks = [prices[n : n + 6] for n in range(0, 60, 6)]
    result = replay_bars(made, [Bar(c[0], max(c), min(c), c[-1]) for c in chunks])
    state, price, at = open_position(made), prices[-1], None
    for number, tick in enumerate(prices):
        state, told = step(made, state, tick)
        if told.event == "exit":
            price, at = tick, number // 6
            break
    pnl = made.side.sign * (price * Fraction(made.tick_size) - made.entry)
    assert result.low <= pnl <= result.high
    certain = None
    walk = open_walk(made)
    for number, chunk in enumerate(chunks):
        said = examine(made, walk, Bar(chunk[0], max(chunk), min(chunk), chunk[-1]))
        if said.certain:
            certain = number
            break
        walk = said.after
    assert certain is None or (at is not None and at <= certain), "a certain exit happens"


@given(SEEDS, st.sampled_from(PATHS))
@settings(max_examples=100)
def test_the_printed_member_lies_in_the_band(draw, path) -> None:
    made = position(draw)
    here, rows = int(made.entry / Fraction(made.tick_size)), []
    for _ in range(12):
        four = [max(1, here + draw.randint(-6, 6)) for _ in range(4)]
        rows.append(Bar(four[0], max(four), min(four), four[3], draw.choice([None, 3, 7])))
        here = four[3]
    result = replay_bars(made, rows, path=path)
    pnl = made.side.sign * (result.price - made.entry)
    assert result.low <= pnl <= result.high
    if path == "pessimistic":
        assert pnl == result.low
    if path == "optimistic":
        assert pnl == result.high


def test_no_candle_or_an_unknown_path_is_our_own_fault() -> None:
    with pytest.raises(Broken, match="at least one candle"):
        replay_bars(plan(P), [])
    with pytest.raises(Broken, match="unknown path"):
        replay_bars(plan(P), bars("10 10 10 10"), path="hopeful")
