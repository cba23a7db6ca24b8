"""Promises of the step, each for any legal policy and any path.

A seed draws policy, grid, side and path; a failure prints it (`Random(seed)` replays it).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import SettingRefused
from agent.market.instruments import Side
from agent.trailing.plan import Plan
from agent.trailing.policy import Policy, plan_for
from agent.trailing.ratchet import StepResult, TrailState, open_position, step, with_circuit
from agent.trailing.saved import from_json, to_json
from tests.agent.trailing import cases

SEEDS = st.integers(0, 2**32 - 1).map(Random)
ON = date(2021, 5, 10)


@dataclass(frozen=True)
class Tick:
    price: int | Fraction
    atr: Fraction | None
    ts_ms: int


def position(
    draw: Random, *, side: Side | None = None, bare: bool = False, on_tick: str | None = None
) -> Plan:
    """A plan of a random legal policy; a bare one has no whipsaw rules."""
    while True:
        tick, entry = on_tick or draw.choice(cases.TICKS), draw.choice([300, 1000, 4000])
        size = entry * float(tick)
        text = cases.policy(draw, tick=float(tick), entry=size)
        if bare and "whipsaw" in text:
            continue
        try:
            return plan_for(
                Policy.parse(text),
                side=side or draw.choice(list(Side)),
                entry=Decimal(tick) * entry,
                tick_size=Decimal(tick),
                quantity=100,
                on=ON,
                atr=Decimal(tick) * 5 if draw.random() < 0.7 else None,
            )
        except SettingRefused:
            continue


def path(draw: Random, plan: Plan, count: int = 60) -> list[Tick]:
    here, ms, ticks = int(plan.entry / Fraction(plan.tick_size)), cases.NINE_FIFTEEN, []
    lean = draw.choice([0, 1, -1])
    for _ in range(count):
        ms += draw.choice([0, 500, 1000, 4000])
        here = max(1, here + draw.randint(-3, 3) + lean * draw.randint(0, 2))
        atr = Fraction(draw.randint(10, 90), 10) if draw.random() < 0.4 else None
        ticks.append(Tick(here, atr, ms))
    return ticks


def run(plan: Plan, ticks: list[Tick]) -> list[tuple[TrailState, StepResult]]:
    """Every state and result after each tick, to the first exit."""
    state, out = open_position(plan), []
    for tick in ticks:
        state, result = step(plan, state, tick.price, tick.atr, ts_ms=tick.ts_ms)
        out.append((state, result))
        if result.event == "exit":
            break
    return out


def outcome(steps: list[tuple[TrailState, StepResult]]) -> list[tuple]:
    return [(s.stop, s.target, s.best, r.event, r.reason, r.price) for s, r in steps]


@given(SEEDS)
@settings(max_examples=200)
def test_levels_never_move_against_the_trade(draw: Random) -> None:
    plan = position(draw)
    sign, stop, target = plan.side.sign, plan.stop, plan.target
    for state, result in run(plan, path(draw, plan)):
        assert sign * state.stop >= sign * stop
        if target is not None and state.target is not None:
            assert sign * state.target >= sign * target
        assert (result.event == "trail") == ((state.stop, state.target) != (stop, target))
        stop, target = state.stop, state.target


@given(SEEDS)
@settings(max_examples=200)
def test_t07_no_stop_is_set_at_or_through_the_price_that_set_it(draw: Random) -> None:
    # And the best price is the true running extreme.
    plan = position(draw, bare=True)
    sign, best, ticks = plan.side.sign, plan.entry / Fraction(plan.tick_size), path(draw, plan)
    for tick, (state, result) in zip(ticks, run(plan, ticks), strict=False):
        if result.move is not None and result.move.after.stop != result.move.before.stop:
            assert sign * (tick.price - state.stop) >= state.rules.gap_ticks >= 1
        if result.event != "exit":
            best = sign * max(sign * best, sign * tick.price)
            assert state.best == best


@given(SEEDS)
@settings(max_examples=200)
def test_the_exit_is_decided_on_the_levels_before_the_tick(draw: Random) -> None:
    plan = position(draw, bare=True)
    sign, stop, target, ticks = plan.side.sign, plan.stop, plan.target, path(draw, plan)
    for tick, (state, result) in zip(ticks, run(plan, ticks), strict=False):
        stopped = sign * (tick.price - stop) <= 0
        reached = target is not None and sign * (tick.price - target) >= 0
        assert (result.event == "exit") == (stopped or reached)
        if result.event == "exit":
            assert result.reason == ("stop" if stopped else "target")
            assert result.price == tick.price, "a gap fills at the gap, never at the level"
            assert (state.stop, state.target) == (stop, target)
        stop, target = state.stop, state.target


@given(SEEDS)
@settings(max_examples=200)
def test_t06_a_mirrored_path_gives_mirrored_levels(draw: Random) -> None:
    # The entry lies on the grid, so the mirror of the grid is the grid.
    long = position(draw, side=Side.LONG)
    ticks = path(draw, long)
    policy, twice = long.policy, 2 * int(long.entry / Fraction(long.tick_size))
    short = plan_for(
        policy,
        side=Side.SHORT,
        entry=long.entry,
        tick_size=long.tick_size,
        quantity=100,
        on=ON,
        atr=None if long.rules.atr is None else long.rules.atr * Fraction(long.tick_size),
    )
    mirrored = [Tick(twice - t.price, t.atr, t.ts_ms) for t in ticks if t.price < twice]
    ticks = [t for t in ticks if t.price < twice]
    ours, theirs = run(long, ticks), run(short, mirrored)
    assert len(ours) == len(theirs)
    for (one, result), (other, opposite) in zip(ours, theirs, strict=True):
        assert one.stop + other.stop == twice
        if one.target is not None and other.target is not None and other.target > 1:
            assert one.target + other.target == twice
        assert (result.event, result.reason) == (opposite.event, opposite.reason)
        assert one.best + other.best == twice


@given(SEEDS)
@settings(max_examples=150)
def test_max_distance_holds_once_activated_but_for_min_gap(draw: Random) -> None:
    plan = position(draw, bare=True)
    ticks = path(draw, plan)
    for tick, (state, result) in zip(ticks, run(plan, ticks), strict=False):
        rules = state.rules
        if rules.max_distance < 0 or not rules.stop_ready or not state.activated:
            continue
        if result.event == "exit":
            continue
        nearest = plan.side.sign * tick.price - rules.gap_ticks
        bound = plan.side.sign * state.best - Fraction(rules.max_distance, rules.units)
        assert plan.side.sign * state.stop >= min(bound, nearest)


@given(SEEDS)
@settings(max_examples=150)
def test_no_look_ahead(draw: Random) -> None:
    plan = position(draw)
    ticks = path(draw, plan)
    cut = draw.randint(0, len(ticks))
    other = ticks[:cut] + path(draw, plan, 20)
    ours, theirs = outcome(run(plan, ticks)[:cut]), outcome(run(plan, other)[:cut])
    assert ours == theirs


@given(SEEDS)
@settings(max_examples=150)
def test_a_path_split_and_resumed_from_saved_state_is_the_same_path(draw: Random) -> None:
    plan = position(draw)
    ticks = path(draw, plan)
    cut = draw.randint(0, len(ticks))
    whole = run(plan, ticks)
    before = run(plan, ticks[:cut])
    state = before[-1][0] if before else open_position(plan)
    state = from_json(plan, to_json(state))
    assert from_json(plan, to_json(state)) == state
    after = []
    for tick in ticks[cut:] if state.exited is None else []:
        state, result = step(plan, state, tick.price, tick.atr, ts_ms=tick.ts_ms)
        after.append((state, result))
        if result.event == "exit":
            break
    assert outcome(before) + outcome(after) == outcome(whole)


JUNK = [math.nan, math.inf, -math.inf, 0, -3, Fraction(-1, 2), None, True, 10**7]


@given(SEEDS)
@settings(max_examples=150)
def test_unusable_ticks_never_move_a_level(draw: Random) -> None:
    # NaN, infinite, negative, zero, out of order, outside the circuit limits.
    plan = position(draw)
    ticks = path(draw, plan)
    clean = run(plan, ticks)
    state, out, junk = with_circuit(open_position(plan), (1, 10**6)), [], 0
    for tick in ticks:
        state, result = step(plan, state, tick.price, tick.atr, ts_ms=tick.ts_ms)
        out.append((state, result))
        if result.event == "exit":
            break
        for price, ms in ((draw.choice(JUNK), tick.ts_ms), (tick.price, tick.ts_ms - 1)):
            after, refused = step(plan, state, price, Fraction(99), ts_ms=ms)
            junk += 1
            assert refused.event == "rejected"
            assert (after.stop, after.target, after.best) == (state.stop, state.target, state.best)
            state = after
    assert state.screen.rejected == junk
    assert outcome(out) == outcome(clean)


@pytest.mark.parametrize("tick", cases.TICKS)
@given(SEEDS)
@settings(max_examples=40)
def test_levels_are_exactly_on_the_grid(tick: str, draw: Random) -> None:
    plan = position(draw, on_tick=tick)
    for state, _ in run(plan, path(draw, plan, 20)):
        price = plan.price(state.stop)
        assert price % plan.tick_size == 0
        assert price.as_tuple().exponent == plan.tick_size.as_tuple().exponent
