"""What a candle says about stop and target: what surely happened, what may have, what cannot have.

A candle hides the order of its prices, so an exit is certain, ambiguous or not hit, and the result
of a position is a band over the whole SET of possible exits, not over two paths. Pure; the levels
come from ratchet.py's two functions. Written for LONG in signed ticks; SHORT is the mirror.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from agent.errors import check
from agent.trailing.plan import Plan, rules_at
from agent.trailing.policy import Whipsaw
from agent.trailing.ratchet import (
    EXIT,
    Ticks,
    TrailState,
    open_position,
    step,
    stop_after,
    target_after,
    with_atr,
)
from agent.trailing.rules import ATR_MULTIPLE, Rules

PESSIMISTIC, OPTIMISTIC, COLOUR = "pessimistic", "optimistic", "colour"
PATHS = (PESSIMISTIC, OPTIMISTIC, COLOUR)


@dataclass(frozen=True, slots=True)
class Bar:
    """One candle in ticks (ints; Fractions off the grid); `atr` is known once it has closed."""

    open: Ticks
    high: Ticks
    low: Ticks
    close: Ticks
    atr: Ticks | None = None


@dataclass(frozen=True, slots=True)
class Possible:
    """One possible exit: the candle, the level, and the signed prices it may have had."""

    index: int
    reason: str
    low: Ticks
    high: Ticks


@dataclass(frozen=True, slots=True)
class Candle:
    """What one candle says.

    Parameters
    ----------
    possible : tuple of Possible
        In the order stop, target.
    certain, ambiguous : bool
        Whether the position surely ended here; whether its exit, or the kind, is unsure.
    after : Walk
        The position if it survived.
    """

    possible: tuple[Possible, ...]
    certain: bool
    ambiguous: bool
    after: Walk


@dataclass(frozen=True, slots=True)
class Walk:
    """A position between two candles.

    Parameters
    ----------
    state : TrailState
        Levels, best move and the ATR known by now.
    upper : int, signed ticks
        The best stop that may be in force (`S"`); the stop itself without a volatility guard.
    index : int
        Candles examined so far.
    """

    state: TrailState
    upper: int
    index: int = 0


@dataclass(frozen=True, slots=True)
class BarExit:
    """The result of one position over candles.

    Parameters
    ----------
    index : int
        The candle of the exit, from 0; of `end`, the last one.
    price : Fraction, rupees
    reason : str
        `stop`, `target` or `end`.
    ambiguous_candles : int
        Candles examined whose exit, or its kind, was unsure; 0 is a result without a doubt.
    low, high : Fraction, rupees a share
        The band: lowest and highest P&L of all possible exits.
    stop, target : int, ticks
        In force when that candle began; target None where there is none.
    best : Fraction, ticks
        Best price before that candle.
    """

    index: int
    price: Fraction
    reason: str
    ambiguous_candles: int
    low: Fraction
    high: Fraction
    stop: int
    target: int | None
    best: Fraction

    @property
    def ambiguous(self) -> bool:
        """Whether any candle left the exit, or its kind, unsure."""
        return self.ambiguous_candles > 0


def replay_bars(plan: Plan, bars: Sequence[Bar], *, path: str = PESSIMISTIC) -> BarExit:
    """Run one position over candles.

    Parameters
    ----------
    plan : Plan
    bars : sequence of Bar, oldest first, at least one
    path : str
        Which member of the set of possible exits is returned: `pessimistic` (the lowest P&L; what
        labels use), `optimistic` (the highest), `colour` (the one that O-L-H-C meets when the
        candle closes at or above its open, else O-H-L-C; mirrored for SHORT).

    Returns
    -------
    BarExit

    Raises
    ------
    Broken
        If there is no candle or the path is unknown.
    """
    check(len(bars) > 0, "a position needs at least one candle to be replayed over")
    plan = for_candles(plan)
    choice = Choice(plan, path)
    walk = open_walk(plan)
    for bar in bars:
        candle = examine(plan, walk, bar)
        choice.see(walk, bar, candle)
        if candle.certain:
            return choice.result()
        walk = candle.after
    choice.end(walk, bars[-1])
    return choice.result()


def for_candles(plan: Plan) -> Plan:
    """Return the plan with confirmation and outlier rule off: candles cannot show either."""
    if not plan.rules.screens:
        return plan
    bare = replace(plan, policy=replace(plan.policy, whipsaw=Whipsaw()))
    return replace(bare, rules=rules_at(bare, plan.rules.atr))


def open_walk(plan: Plan) -> Walk:
    """Return the position before its first candle."""
    state = open_position(plan)
    return Walk(state, plan.rules.sign * state.stop)


def examine(plan: Plan, walk: Walk, bar: Bar) -> Candle:
    """Say what one candle may have done to a position, by the levels in force at its start.

    Parameters
    ----------
    plan : Plan
    walk : Walk
    bar : Bar

    Returns
    -------
    Candle
    """
    state, index = walk.state, walk.index
    rules, sign, stop = state.rules, state.rules.sign, state.rules.sign * state.stop
    target = None if state.target is None else sign * state.target
    first, last = sign * bar.open, sign * bar.close
    low, high = (bar.low, bar.high) if sign > 0 else (-bar.high, -bar.low)
    if first <= stop:
        return Candle((Possible(index, "stop", first, first),), True, False, walk)
    if target is not None and first >= target:
        return Candle((Possible(index, "target", first, first),), True, False, walk)

    favourable = high * rules.units - rules.entry
    move = max(state.move, favourable)
    stop_then, settled = stop_after(rules, state.stop, move, high, state.gauge, False)
    upper = max(_upper(rules, state, move, high, sign * stop_then), walk.upper)
    possible: tuple[Possible, ...] = ()
    certain = False
    if low <= upper:
        possible = (Possible(index, "stop", low, upper),)
        certain = low <= stop or last <= sign * stop_then
    target_then = state.target
    if state.target is not None and target is not None:
        if rules.target_ready:
            target_then = target_after(rules, state.target, move)
        if high >= target:
            possible += (Possible(index, "target", target, high),)
            certain = certain or high >= sign * (target_then or 0)
    after = replace(state, stop=stop_then, target=target_then, move=move, settled=settled)
    survived = Walk(with_atr(plan, after, bar.atr), upper, index + 1)
    return Candle(
        possible, certain, bool(possible) and not (certain and len(possible) == 1), survived
    )


def _upper(rules: Rules, state: TrailState, move: Ticks, high: Ticks, stop_then: int) -> int:
    """Return the best signed stop that any best move on the way could have given (`S"`).

    Only a volatility ratio above 1 can make the candidate fall while the move grows.
    """
    gauge = state.gauge
    if not rules.floor[0] or gauge is None or gauge.ratio <= gauge.ratio_over:
        return stop_then
    if rules.form == ATR_MULTIPLE or move < rules.activation:
        return stop_then
    best = stop_then
    for between in _moves_between(rules, state.move, move):
        stop, _ = stop_after(rules, rules.sign * best, between, high, gauge, False)
        best = rules.sign * stop
    return best


def _moves_between(rules: Rules, start: Ticks, end: Ticks) -> Iterator[Ticks]:
    """Yield `start` and every later best move below `end` whose best price is on the grid."""
    yield start
    tick = (rules.entry + start) // rules.units + 1
    while (between := tick * rules.units - rules.entry) < end:
        yield between
        tick += 1


class Choice:
    """Picks one member of the set of possible exits, and keeps the band, candle by candle."""

    def __init__(self, plan: Plan, path: str) -> None:
        check(path in PATHS, "unknown path", path=path, known=PATHS)
        self._plan, self._path, self._sign = plan, path, plan.rules.sign
        self._entry = self._sign * plan.entry / Fraction(plan.tick_size)
        self._picked: tuple[Ticks, str, Walk] | None = None
        self._low: Ticks | None = None
        self._high: Ticks | None = None
        self._ambiguous = 0
        self._met = False

    @property
    def picked_index(self) -> int | None:
        """The candle of the member picked so far; None where there is none yet."""
        return None if self._picked is None else self._picked[2].index

    def see(self, walk: Walk, bar: Bar, candle: Candle) -> None:
        """Take in what a candle said, with the position before it."""
        self._ambiguous += candle.ambiguous
        for exit_ in candle.possible:
            self._widen(exit_.low, exit_.high)
            if self._path == PESSIMISTIC:
                self._prefer(exit_.low, exit_.reason, walk)
            elif self._path == OPTIMISTIC:
                self._prefer(exit_.high, exit_.reason, walk)
        if self._path == COLOUR and candle.possible and not self._met:
            self._meet(walk, bar)

    def end(self, walk: Walk, last: Bar) -> None:
        """Take in the end of the data: the position is worth the last close."""
        close = self._sign * last.close
        self._widen(close, close)
        before = replace(walk, index=walk.index - 1)
        if self._path != COLOUR:
            self._prefer(close, "end", before)
        elif not self._met:
            self._picked = (close, "end", before)

    def result(self) -> BarExit:
        """Return the member picked and the band."""
        check(self._picked is not None, "no exit was picked")
        price, reason, walk = self._picked  # type: ignore[misc]
        state, tick = walk.state, Fraction(self._plan.tick_size)
        return BarExit(
            index=walk.index,
            price=self._sign * price * tick,
            reason=reason,
            ambiguous_candles=self._ambiguous,
            low=(self._low - self._entry) * tick,  # type: ignore[operator]
            high=(self._high - self._entry) * tick,  # type: ignore[operator]
            stop=state.stop,
            target=state.target,
            best=state.best,
        )

    def _widen(self, low: Ticks, high: Ticks) -> None:
        self._low = low if self._low is None or low < self._low else self._low
        self._high = high if self._high is None or high > self._high else self._high

    def _prefer(self, price: Ticks, reason: str, walk: Walk) -> None:
        if self._picked is not None:
            have = self._picked[0]
            if not (price < have if self._path == PESSIMISTIC else price > have):
                return
        self._picked = (price, reason, walk)

    def _meet(self, walk: Walk, bar: Bar) -> None:
        """Run the coloured path's four prices as ticks, by the ATR known before the candle."""
        rises = self._sign * (bar.close - bar.open) >= 0
        low, high = (bar.low, bar.high) if self._sign > 0 else (bar.high, bar.low)
        path = (bar.open, low, high, bar.close) if rises else (bar.open, high, low, bar.close)
        state = walk.state
        for price in path:
            state, result = step(self._plan, replace(state), price)
            if result.event == EXIT:
                self._met = True
                self._picked = (self._sign * price, result.reason or "", walk)
                return
