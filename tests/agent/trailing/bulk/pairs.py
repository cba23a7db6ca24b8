"""One random position through the step function and through the bulk path, and where they part."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from random import Random

import numpy as np

from agent.errors import SettingRefused
from agent.market.charges import round_trip_per_share
from agent.market.instruments import Side
from agent.trailing.bulk import search
from agent.trailing.bulk.layout import FITS, REASONS
from agent.trailing.bulk.scale import ATR_PARTS, Range, vector_of
from agent.trailing.candles import Bar, replay_bars
from agent.trailing.plan import Plan
from agent.trailing.policy import Policy, plan_for
from agent.trailing.ratchet import open_position, step
from tests.agent.trailing import cases

ON, QUANTITY = date(2021, 5, 10), 100


@dataclass(frozen=True)
class Pair:
    """A policy, an entry, and its numbers on the bulk path's scale."""

    text: str
    policy: Policy
    side: Side
    tick: str
    scale: int
    entry: int
    atr: int

    @property
    def plan(self) -> Plan | None:
        """The step function's plan; None where the policy does not fit the entry."""
        tick = Fraction(self.tick)
        try:
            return plan_for(
                self.policy,
                side=self.side,
                entry=self.rupees(self.entry),
                tick_size=Decimal(self.tick),
                quantity=QUANTITY,
                on=ON,
                atr=Fraction(self.atr, ATR_PARTS) * tick if self.atr else None,
            )
        except SettingRefused:
            return None

    def rupees(self, parts: int) -> Fraction:
        return Fraction(parts, self.scale) * Fraction(self.tick)

    def ticks(self, parts: int) -> int | Fraction:
        exact = Fraction(int(parts), self.scale)
        return exact.numerator if exact.denominator == 1 else exact

    def vector(self, low: int, high: int, atr: int) -> np.ndarray:
        within = Range(max(high, self.entry), max(high, self.entry) - min(low, self.entry), atr)
        return np.array(vector_of(self.policy, Decimal(self.tick), self.scale, within), np.int64)

    def position(self, vector: np.ndarray, length: int) -> search.Positions:
        sign, entry = np.array([self.side.sign]), np.array([self.entry])
        charge = round_trip_per_share(self.rupees(self.entry), QUANTITY, ON) / Fraction(self.tick)
        return search.Positions(
            sign, entry, np.array([0]), np.array([length]), np.array([self.atr]),
            search.breakeven_of([charge], sign, entry, vector),
        )  # fmt: skip


def draw_pair(draw: Random) -> Pair:
    """A random policy without [whipsaw], at a random entry on or off the grid."""
    while True:
        tick, scale = draw.choice(cases.TICKS), draw.choice([1, 1, 1, 2, 1000])
        entry = draw.choice([60, 200, 400, 1000, 4000]) * scale + draw.randrange(scale)
        text = cases.policy(draw, tick=float(tick), entry=entry / scale * float(tick))
        if "whipsaw" in text:
            continue
        side = draw.choice(list(Side))
        atr = draw.choice([0, draw.randint(1000, 9000)])
        return Pair(text, Policy.parse(text), side, tick, scale, entry, atr)


def draw_atr(draw: Random, count: int) -> np.ndarray:
    """The ATR known with each row; 0 where nothing new is."""
    if draw.random() < 0.4:
        return np.zeros(count, np.int64)
    return np.array([draw.choice([0, 0, 0, draw.randint(1000, 9000)]) for _ in range(count)])


def changes(atr: np.ndarray) -> search.Atr:
    at = np.flatnonzero(atr)
    return search.Atr(at, atr[at])


def draw_price(draw: Random, pair: Pair, here: int, lean: int) -> int:
    reach = (12 if draw.random() < 0.05 else 3) * pair.scale
    here = max(1, here + draw.randint(-reach, reach) + lean * draw.randint(0, 2) * pair.scale)
    on_grid = draw.random() < 0.8
    return max(pair.scale, here // pair.scale * pair.scale) if on_grid else here


def ticks_part(loops, seed: int) -> str:
    """Empty if both agree on every level of every tick, and on the exit; else what differs."""
    draw = Random(seed)
    pair, count = draw_pair(draw), draw.choice([1, 2, 7, 8, 9, 30, 60, 200])
    here, lean, prices = pair.entry, draw.choice([0, 1, -1]), []
    for _ in range(count):
        here = draw_price(draw, pair, here, lean)
        prices.append(here)
    atr = draw_atr(draw, count)
    try:
        vector = pair.vector(min(prices), max(prices), int(max(*atr, pair.atr)))
    except SettingRefused:
        return "refused: scale"
    exits, levels = search.trace(
        loops, vector, np.array(prices), pair.position(vector, count), changes(atr)
    )
    plan = pair.plan
    if (plan is None) is (exits.fits[0] == FITS):
        return f"seed {seed}: fits {exits.fits[0]}, plan {plan}\n{pair}"
    if plan is None:
        return "refused: entry"
    state, sign = open_position(plan), pair.side.sign
    expected = (count, "end")
    for index, (price, now) in enumerate(zip(prices, atr.tolist(), strict=True)):
        state, result = step(
            plan, state, pair.ticks(price), Fraction(now, ATR_PARTS) if now else None
        )
        if result.event == "exit":
            expected = (index, result.reason)
            break
        got = levels[:, index].tolist()
        wanted = [sign * state.stop, got[1] if state.target is None else sign * state.target]
        if got != wanted:
            return f"seed {seed}, tick {index}: levels {got}, wanted {wanted}\n{pair}"
    found = (int(exits.index[0]), REASONS[exits.reason[0]])
    if found != expected or int(exits.stop[0]) != sign * state.stop:
        return f"seed {seed}: exit {found}, wanted {expected}\n{pair}"
    return ""


def candles_part(loops, seed: int) -> str:
    """Empty if both agree on both members, the band and the count; else what differs."""
    draw = Random(seed)
    pair, count = draw_pair(draw), draw.choice([1, 2, 8, 30, 60])
    here, lean = pair.entry, draw.choice([0, 1, -1])
    candles = np.zeros((4, count), np.int64)
    for k in range(count):
        opened, closed, one, other = (draw_price(draw, pair, here, lean) for _ in range(4))
        if draw.random() < 0.5:
            one, other = opened, closed
        prices = (opened, closed, one, other)
        candles[:, k] = opened, max(prices), min(prices), closed
        here = closed
    atr = draw_atr(draw, count)
    try:
        vector = pair.vector(int(candles.min()), int(candles.max()), int(max(*atr, pair.atr)))
    except SettingRefused:
        return "refused: scale"
    found = search.over_candles(loops, vector, candles, pair.position(vector, count), changes(atr))
    plan = pair.plan
    if (plan is None) is (found.fits[0] == FITS):
        return f"seed {seed}: fits {found.fits[0]}, plan {plan}\n{pair}"
    if plan is None:
        return "refused: entry"
    bars = [
        Bar(*(pair.ticks(p) for p in candles[:, k]), Fraction(int(atr[k]), ATR_PARTS) or None)
        for k in range(count)
    ]
    for path, got in (
        ("pessimistic", (found.index[0], found.reason[0], found.move[0])),
        ("optimistic", (found.best_index[0], found.best_reason[0], found.best_move[0])),
    ):
        wanted = replay_bars(plan, bars, path=path)
        moved = (wanted.price - plan.entry) * pair.side.sign
        told = (int(got[0]), REASONS[got[1]], pair.rupees(int(got[2])))
        if told != (wanted.index, wanted.reason, moved):
            return f"seed {seed}, {path}: {told}, wanted {wanted}\n{pair}\n{bars}"
        if pair.rupees(int(got[2])) not in (wanted.low, wanted.high):
            return f"seed {seed}, {path}: {told} is no end of the band {wanted}\n{pair}"
        if found.ambiguous[0] != wanted.ambiguous_candles:
            return f"seed {seed}: {found.ambiguous[0]} unsure, wanted {wanted}\n{pair}"
    return ""
