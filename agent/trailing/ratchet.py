"""One tick in, two levels out: how stop and target follow the price.

Rule 1: pure. No clock, no I/O, no randomness; levels are whole ticks, the rest whole `1/units`.
Rule 2: knows no orders. What the exchange holds is planner.py's business.
Order: screen (screen.py), exit check on the OLD levels, best price and ATR, candidate, guards,
grid, ratchet; then the target. `step` is the only place where a level moves: the live agent,
replay, labels, backtest and search all call it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from agent.frozen import replace
from agent.trailing.plan import Plan, rules_at
from agent.trailing.rules import (
    ATR_MULTIPLE,
    LINEAR_WITH_FLOOR,
    STEPPED,
    Rules,
    ceil_ticks,
    floor_ticks,
)
from agent.trailing.screen import RUN, RUN_DELAYED, WHY, Screen, agrees, judge, open_screen

Ticks = int | Fraction

FORMULA, VOLATILITY, LOCK, MAX_DISTANCE = "", "volatility", "lock", "max_distance"
TIGHTEN, MIN_GAP = "tighten_on_flip", "min_gap"
HELD, TRAIL, EXIT, REJECTED, IGNORED = "held", "trail", "exit", "rejected", "ignored"


@dataclass(frozen=True, slots=True)
class Gauge:
    """The current ATR, and what follows from it once instead of at every tick.

    Parameters
    ----------
    atr : int or Fraction, ticks
    distance, distance_over : int
        Ratio in `1/units` tick: the ATR times the policy's multiple.
    ratio, ratio_over : int
        The volatility guard's clipped ATR_now / ATR_entry.
    """

    atr: Ticks
    distance: int
    distance_over: int
    ratio: int
    ratio_over: int


@dataclass(frozen=True, slots=True)
class TrailState:
    """Where a position's levels stand.

    Parameters
    ----------
    stop, target : int, ticks
        In force for the next tick; target None where there is none.
    move : int or Fraction, `1/rules.units` tick
        Best favourable move so far, never negative.
    gauge : Gauge or None
        None until an ATR is known.
    settled : bool
        Whether the levels are what `move` and `gauge` give whatever the price: then a tick that
        changes neither cannot move a level.
    signal : int or None
        The model's latest signal: 1 agrees with the side, 0 says nothing, -1 turned against it;
        None where no model is listened to (replay, labels): the [signal] rules are then off.
    screen : Screen
        What the tick screen remembers.
    exited : str or None
        `stop` or `target` once the position has been told to exit.
    rules : Rules
        Follow from the plan and the ATR at entry; not saved.
    """

    stop: int
    target: int | None
    move: Ticks
    gauge: Gauge | None
    settled: bool
    signal: int | None
    screen: Screen
    exited: str | None
    rules: Rules

    @property
    def atr_at_entry(self) -> Fraction | None:
        """ATR at entry in ticks, or None while it is not known."""
        return self.rules.atr

    @property
    def best(self) -> Fraction:
        """Best price so far in ticks."""
        rules = self.rules
        return Fraction(rules.sign * (rules.entry + self.move), rules.units)

    @property
    def activated(self) -> bool:
        """Whether the minimum profit before trailing has been reached."""
        return self.move >= self.rules.activation


@dataclass(frozen=True, slots=True)
class Move:
    """Why a level moved: enough to do the sum again by hand.

    Holds the two states and works the figures out when somebody asks: a trail that moves at every
    tick must not pay for words that nobody reads.

    Parameters
    ----------
    before, after : TrailState
    price : int or Fraction, ticks
        The tick's price.
    """

    before: TrailState
    after: TrailState
    price: Ticks

    @property
    def best(self) -> Fraction:
        """Best price, ticks."""
        return self.after.best

    @property
    def favourable(self) -> Fraction:
        """Best favourable move, ticks."""
        return Fraction(self.after.move, self.after.rules.units)

    @property
    def atr(self) -> Fraction | None:
        """The current ATR, ticks."""
        return None if self.after.gauge is None else Fraction(self.after.gauge.atr)

    @property
    def candidate(self) -> Fraction | None:
        """The stop by mode and volatility guard, ticks, unrounded; None if the stop stood."""
        if self.after.stop == self.before.stop:
            return None
        rules = self.after.rules
        top, over = candidate(rules, self.after.move, self.after.gauge)
        return Fraction(rules.sign * top, over)

    @property
    def bound_by(self) -> str:
        """The guard that decided the stop; `FORMULA` where none did, or the stop stood."""
        after = self.after
        if after.stop == self.before.stop:
            return FORMULA
        signed = after.rules.sign * self.price
        return guarded(after.rules, after.move, signed, after.gauge, after.signal == -1)[1]

    def facts(self, plan: Plan) -> dict[str, object]:
        """Return everything in rupees as a journal keeps it: exact decimals as text."""
        before, after, tick = self.before, self.after, Fraction(plan.tick_size)

        def rupees(ticks: Ticks | None) -> str | None:
            return None if ticks is None else f"{float(ticks * tick):.12g}"

        return {
            "mode": plan.policy.mode,
            "price": rupees(self.price),
            "best": rupees(after.best),
            "atr": rupees(self.atr),
            "atr_at_entry": rupees(after.atr_at_entry),
            "stop_before": rupees(before.stop),
            "stop": rupees(after.stop),
            "candidate": rupees(self.candidate),
            "bound_by": self.bound_by,
            "target_before": rupees(before.target),
            "target": rupees(after.target),
        }

    def told(self, plan: Plan) -> str:
        """Return the sum in words, in rupees, as the journal and `replay --explain` show it."""
        facts = self.facts(plan)
        parts = [f"price {facts['price']}, best {facts['best']}"]
        if facts["atr"] is not None:
            parts.append(f"ATR {facts['atr']} (at entry {facts['atr_at_entry']})")
        if facts["candidate"] is not None:
            bound = f", {facts['bound_by']} decided" if facts["bound_by"] else ""
            parts.append(
                f"stop {facts['stop_before']} -> {facts['stop']} ({facts['mode']} gives "
                f"{facts['candidate']}{bound}, rounded toward the market)"
            )
        if facts["target"] != facts["target_before"]:
            parts.append(f"target {facts['target_before']} -> {facts['target']}")
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one tick did.

    Parameters
    ----------
    event : str
        `held`, `trail` (a level moved), `exit`, `rejected` (not a usable tick) or `ignored`
        (usable, but a suspect or a repeated packet: no step was run).
    reason : str or None
        `stop` or `target` on an exit; why, on rejected and ignored.
    price : int or Fraction, ticks, or None
        The exit's price: the tick's, never the level's.
    move : Move or None
        On `trail`.
    """

    event: str
    reason: str | None = None
    price: Ticks | None = None
    move: Move | None = None


_HELD = StepResult(HELD)
_DONE = StepResult(IGNORED, "the position has been told to exit")
_UNRUN = {code: StepResult(REJECTED if code > 3 else IGNORED, why) for code, why in WHY.items()}


def open_position(
    plan: Plan, *, opened_ms: Ticks | None = None, atr: Ticks | None = None
) -> TrailState:
    """Return the state of a position that has just been entered.

    Parameters
    ----------
    plan : Plan
    opened_ms : int or Fraction, epoch milliseconds, optional
        Ticks older than this are rejected (a ticker's first packet may be yesterday's).
    atr : int or Fraction, ticks, optional
        The current ATR where it is another than the plan's ATR at entry.
    """
    rules = plan.rules
    known = rules.atr if atr is None else atr
    return TrailState(
        stop=plan.stop,
        target=plan.target,
        move=0,
        gauge=None if known is None or rules.atr is None else gauge_of(rules, known),
        settled=False,
        signal=None,
        screen=open_screen(rules, opened_ms),
        exited=None,
        rules=rules,
    )


def step(
    plan: Plan,
    state: TrailState,
    price: Ticks,
    atr: Ticks | None = None,
    *,
    ts_ms: Ticks | None = None,
    volume: Ticks | None = None,
) -> tuple[TrailState, StepResult]:
    """Run one tick.

    Parameters
    ----------
    plan : Plan
    state : TrailState
    price : int or Fraction, ticks
        A trade price: an int on the grid, a Fraction off it. Anything that is not a positive
        finite number is rejected and moves nothing.
    atr : int or Fraction, ticks, optional
        The ATR known with this tick, if it is another than before; not positive: keeps the last.
    ts_ms : int or Fraction, epoch milliseconds, optional
        Time of the trade; older than the last accepted one: rejected.
    volume : int or Fraction, optional
        Cumulative volume; with it, a packet that repeats the last trade is told from a new one.

    Returns
    -------
    (TrailState, StepResult)
        The state after the tick; on an exit the levels are as before it.
    """
    if state.exited is not None:
        return state, _DONE
    rules, screen, code = state.rules, state.screen, RUN
    if ts_ms is not None or type(price) is not int or price <= 0 or rules.screens:
        screen, code = judge(rules, screen, state.stop, price, ts_ms, volume)
        if code > RUN_DELAYED:
            return replace(state, screen=screen), _UNRUN[code]
    stop, target, sign = state.stop, state.target, rules.sign
    signed = sign * price
    if signed <= sign * stop and code == RUN:
        return replace(state, screen=screen, exited="stop"), StepResult(EXIT, "stop", price)
    if target is not None and signed >= sign * target:
        return replace(state, screen=screen, exited="target"), StepResult(EXIT, "target", price)

    move, gauge, settled = state.move, state.gauge, state.settled
    favourable = signed * rules.units - rules.entry
    if favourable > move:
        move, settled = favourable, False
    if atr is not None and is_news(gauge, atr) and atr > 0:
        if rules.atr is None:
            rules, move = learn_atr(plan, rules, move, atr)
        gauge, settled = gauge_of(rules, atr), False
    signal = state.signal
    if settled:
        after = TrailState(stop, target, move, gauge, True, signal, screen, None, rules)
        return after, _HELD
    new_stop, settled = stop_after(rules, stop, move, signed, gauge, signal == -1)
    new_target = target_now(plan, rules, target, move, signal)
    after = TrailState(new_stop, new_target, move, gauge, settled, signal, screen, None, rules)
    if new_stop == stop and new_target == target:
        return after, _HELD
    return after, StepResult(TRAIL, move=Move(state, after, price))


def with_signal(state: TrailState, signal: int | None) -> TrailState:
    """Return the state after the model spoke: 1 agrees with the side, 0 nothing, -1 against it."""
    return replace(state, signal=signal, settled=False)


def with_circuit(state: TrailState, circuit: tuple[int, int] | None) -> TrailState:
    """Return the state with the day's lowest and highest price (ticks); others are rejected."""
    return replace(state, screen=replace(state.screen, circuit=circuit))


def scale_in(plan: Plan, state: TrailState, average: Fraction) -> tuple[Plan, TrailState]:
    """Return plan and state after the average entry changed: it moves the lock, nothing else.

    Parameters
    ----------
    plan : Plan
    state : TrailState
    average : Fraction, rupees
    """
    moved = plan.with_average(average)
    rules = rules_at(moved, state.rules.atr, units_of=state.rules.units)
    gauge = None if state.gauge is None else gauge_of(rules, state.gauge.atr)
    move = state.move * (rules.units // state.rules.units)
    return moved, replace(state, rules=rules, move=move, gauge=gauge, settled=False)


def settle_by_quote(
    plan: Plan, state: TrailState, price: Ticks, *, ts_ms: Ticks, volume: Ticks | None = None
) -> tuple[TrailState, StepResult]:
    """Run a quote that agrees with the suspect as the trade that settles it; else do nothing.

    Parameters
    ----------
    plan : Plan
    state : TrailState
    price : int or Fraction, ticks
        The quote's last price.
    ts_ms : int or Fraction, epoch milliseconds
        The quote's time.
    volume : int or Fraction, optional
        As for `step`.
    """
    screen = state.screen
    if screen.suspect is None or not agrees(screen, screen.suspect, price):
        return state, _HELD
    return step(plan, state, price, ts_ms=ts_ms, volume=volume)


def with_atr(plan: Plan, state: TrailState, atr: Ticks | None) -> TrailState:
    """Return the state once an ATR is known that came without a step: the next one uses it."""
    if atr is None or not is_news(state.gauge, atr) or atr <= 0:
        return state
    rules, move = state.rules, state.move
    if rules.atr is None:
        rules, move = learn_atr(plan, rules, move, atr)
    return replace(state, rules=rules, move=move, gauge=gauge_of(rules, atr), settled=False)


def learn_atr(plan: Plan, rules: Rules, move: Ticks, atr: Ticks) -> tuple[Rules, Ticks]:
    """Return the rules once the ATR at entry is known, and the move in their finer unit."""
    known = rules_at(plan, Fraction(atr), units_of=rules.units)
    return known, move * (known.units // rules.units)


def gauge_of(rules: Rules, atr: Ticks) -> Gauge:
    """Return what the current ATR gives. No Fraction arithmetic: Wilder's denominators are long."""
    top, under = atr.numerator, atr.denominator
    ratio, ratio_over = 1, 1
    if rules.floor[0] and rules.atr is not None:
        ratio, ratio_over = top * rules.atr.denominator, under * rules.atr.numerator
        (floor, floor_over), (cap, cap_over) = rules.floor, rules.cap
        if ratio * floor_over < floor * ratio_over:
            ratio, ratio_over = floor, floor_over
        elif ratio * cap_over > cap * ratio_over:
            ratio, ratio_over = cap, cap_over
    distance = rules.multiple * top * rules.units
    return Gauge(atr, distance, rules.multiple_over * under, ratio, ratio_over)


def candidate(rules: Rules, move: Ticks, gauge: Gauge | None) -> tuple[Ticks, int]:
    """Return the signed stop by mode and the volatility guard, as a ratio in ticks."""
    form = rules.form
    if form == STEPPED:
        away: Ticks = rules.stop_distance + move - rules.move * (move // rules.step)
        over = 1
    elif form == ATR_MULTIPLE and gauge is not None:
        away, over = gauge.distance, gauge.distance_over
    else:
        over = rules.gain_over
        away = (rules.stop_distance + move) * over - rules.gain * move
        if form == LINEAR_WITH_FLOOR:
            least, least_over = rules.min_distance, 1
            if rules.multiple and gauge is not None:
                least, least_over = gauge.distance, gauge.distance_over
            if away * least_over < least * over:
                away, over = least, least_over
    if rules.floor[0] and gauge is not None:
        away *= gauge.ratio
        over *= gauge.ratio_over
    return (rules.entry + move) * over - away, rules.units * over


def stop_after(
    rules: Rules, stop: int, move: Ticks, signed: Ticks, gauge: Gauge | None, turned: bool
) -> tuple[int, bool]:
    """Return the stop that a best move gives with a signed price, never behind `stop`.

    The guards are clamps and rounding keeps order, so clamping rounded levels gives what rounding
    the clamped value would: whole ticks from here on. The second value says whether the price
    played no part (then only a new `move` or ATR can move the stop).
    """
    if move < rules.activation or not rules.stop_ready or (turned and not rules.tighten_ready):
        return stop, True
    level, bound = guarded(rules, move, signed, gauge, turned)
    better = level > rules.sign * stop
    return (rules.sign * level if better else stop), bound is not MIN_GAP


def guarded(
    rules: Rules, move: Ticks, signed: Ticks, gauge: Gauge | None, turned: bool
) -> tuple[int, str]:
    """Return the signed stop after all guards, on the grid, and the guard that decided it."""
    top, over = candidate(rules, move, gauge)
    level, bound = ceil_ticks(top, over), FORMULA
    if gauge is not None and gauge.ratio != gauge.ratio_over:
        bound = VOLATILITY
    if rules.lock_from is not None and move >= rules.lock_from and level < rules.lock_ticks:
        level, bound = rules.lock_ticks, LOCK
    farthest = rules.max_distance
    tight = turned and rules.tighten >= 0 and not 0 <= farthest <= rules.tighten
    if tight:
        farthest = rules.tighten
    if farthest >= 0:
        near = ceil_ticks(rules.entry + move - farthest, rules.units)
        if level < near:
            level, bound = near, TIGHTEN if tight else MAX_DISTANCE
    limit = signed - rules.gap_ticks
    if type(limit) is not int:
        limit = ceil_ticks(limit, 1)
    return (limit, MIN_GAP) if level > limit else (level, bound)


def target_now(
    plan: Plan, rules: Rules, target: int | None, move: Ticks, signal: int | None
) -> int | None:
    """Return the target that a best move gives where it may move at all, else the one in force."""
    if target is None or not rules.target_ready or _frozen(plan, signal):
        return target
    return target_after(rules, target, move)


def target_after(rules: Rules, target: int, move: Ticks) -> int:
    """Return the target that a best move gives, never nearer than `target`."""
    if move < rules.activation:
        return target
    if rules.form == STEPPED:
        driver: Ticks = rules.move * (move // rules.step)
        over = rules.follow_over
    else:
        driver = rules.drive * move
        over = rules.drive_over * rules.follow_over
    extension = rules.follow * driver
    if rules.max_extension >= 0 and extension > rules.max_extension * over:
        extension = rules.max_extension * over
    level = floor_ticks(
        (rules.entry + rules.target_distance) * over + extension,
        rules.units * over,
    )
    sign = rules.sign
    if sign < 0 and level > -1:
        level = -1  # a SHORT's target that follows ends at one tick
    return sign * level if level > sign * target else target


def is_news(gauge: Gauge | None, atr: Ticks) -> bool:
    """Whether an ATR is another than the levels know."""
    return gauge is None or (atr is not gauge.atr and atr != gauge.atr)


def _frozen(plan: Plan, signal: int | None) -> bool:
    return signal is not None and signal <= 0 and plan.policy.signal.extend_only_while_agrees
