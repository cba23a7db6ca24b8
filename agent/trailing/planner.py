"""When the order at the exchange follows the desired stop: 25 modifications spent where they count.

Pure. The broker refuses an order's 26th modification and the order stays where it was, so a trail
that modifies at every tick stands still after a minute. Here a move is sent when its improvement
passes a step that grows as the budget shrinks; calls are coalesced, one in flight; what is pending
is flushed once the stop is quiet; the reserve stays for the exit. At the end of the budget the
order is replaced (cancel, confirm, place), which orders/ does with the desired stop armed.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from agent.frozen import replace
from agent.trailing.plan import Plan

Ms = int | Fraction

SEND, WAIT, REPLACE, KEEP = "send", "wait", "replace", "keep"


@dataclass(frozen=True, slots=True)
class Budget:
    """What one order may spend, and on what scale.

    Parameters
    ----------
    sign : int
    risk_ticks : int
        The initial stop distance: the last spendable move must be worth all of it.
    buffer_ticks : int
        How far behind the desired stop the placed one trails.
    spendable : int
        Modifications of one order, less the reserve.
    quiet_ms : int
        With the whole budget left; it grows as the budget shrinks.
    """

    sign: int
    risk_ticks: int
    buffer_ticks: int
    spendable: int
    quiet_ms: int

    def placed_for(self, desired: int) -> int:
        """Return the trigger that belongs to a desired stop, in ticks."""
        return max(1, desired - self.sign * self.buffer_ticks)


@dataclass(frozen=True, slots=True)
class PlacedStop:
    """The protective order at the exchange, as far as its trigger goes.

    Parameters
    ----------
    placed : int, ticks
        What the exchange has confirmed.
    used : int
        Trailing modifications sent for this order.
    wanted : int, ticks
        Where it ought to stand.
    changed_ms : int or Fraction, epoch milliseconds, or None
        When `wanted` last changed.
    in_flight : int, ticks, or None
        The move that has been sent and not been answered.
    """

    placed: int
    used: int
    wanted: int
    changed_ms: Ms | None = None
    in_flight: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now.

    Parameters
    ----------
    action : str
        `send` (modify the trigger to `level`), `replace` (the budget is at its end: cancel,
        confirm, place at `level`), `wait` (ask again at `wake_ms`, or after the answer in flight)
        or `keep` (nothing is pending).
    level : int, ticks
    why : str
        In words, with its figures; kept with the trade.
    wake_ms : int or Fraction, epoch milliseconds, or None
    """

    action: str
    level: int
    why: str
    wake_ms: Ms | None = None


def budget_for(
    plan: Plan, *, modifications: int | None = None, atr: Fraction | None = None
) -> Budget:
    """Return the budget of an order under a plan.

    Parameters
    ----------
    plan : Plan
    modifications : int, optional
        Instead of the policy's.
    atr : Fraction, ticks, optional
        The ATR at entry where it became known after the open; a buffer in an unknown ATR is 0.
    """
    settings = plan.policy.planner
    whole = settings.modifications if modifications is None else modifications
    entry_ticks = plan.entry / Fraction(plan.tick_size)
    buffer = plan.distance_ticks(settings.buffer, plan.rules.atr if atr is None else atr)
    return Budget(
        sign=plan.rules.sign,
        risk_ticks=max(1, round(abs(entry_ticks - plan.stop))),
        buffer_ticks=0 if buffer is None else int(buffer),
        spendable=max(0, whole - settings.reserve),
        quiet_ms=settings.quiet_ms,
    )


def place(budget: Budget, desired: int) -> PlacedStop:
    """Return a new order's state: placed for a desired stop, nothing spent."""
    level = budget.placed_for(desired)
    return PlacedStop(level, 0, level)


def decide(
    budget: Budget,
    order: PlacedStop,
    desired: int,
    now_ms: Ms,
    *,
    day_left: Fraction | int = 1,
) -> tuple[PlacedStop, Decision]:
    """Say whether the order follows the desired stop now.

    Parameters
    ----------
    budget : Budget
    order : PlacedStop
    desired : int, ticks
        From the ratchet; it only ever improves.
    now_ms : int or Fraction, epoch milliseconds
    day_left : Fraction, in (0, 1]
        Share of the account's calls of the day (or minute) that is left.

    Returns
    -------
    (PlacedStop, Decision)
        On `send` the level is in flight and counted; tell `answered` what came of it. On
        `replace` call `place` once the new order stands.
    """
    wanted = budget.placed_for(desired)
    if budget.sign * (wanted - order.wanted) > 0:
        order = replace(order, wanted=wanted, changed_ms=now_ms)
    gain = budget.sign * (order.wanted - order.placed)
    if gain <= 0:
        return order, Decision(KEEP, order.placed, "the order stands where it should")
    if order.in_flight is not None:
        return order, Decision(WAIT, order.wanted, f"a move to {order.in_flight} is in flight")
    left = budget.spendable - order.used
    share = max(Fraction(day_left), Fraction(1, 1000)) if day_left != 1 else 1
    over, under = share.numerator * max(left, 1), share.denominator
    step = -(-budget.risk_ticks * under // over)
    quiet_ms = -(-budget.quiet_ms * max(budget.spendable, 1) * under // over)
    told = f"gain {gain} ticks, step {step}, {left} of {budget.spendable} moves left"
    since = order.changed_ms if order.changed_ms is not None else now_ms
    quiet = now_ms - since >= quiet_ms
    if gain < step and not quiet:
        wake = since + quiet_ms
        return order, Decision(WAIT, order.wanted, f"{told}: too small until quiet", wake)
    why = f"{told}: {'worth it' if gain >= step else f'quiet for {quiet_ms} ms'}"
    if left <= 0:
        return order, Decision(REPLACE, order.wanted, f"{why}; the rest is kept for the exit")
    sent = replace(order, used=order.used + 1, in_flight=order.wanted)
    return sent, Decision(SEND, order.wanted, why)


def answered(order: PlacedStop, *, applied: bool) -> PlacedStop:
    """Return the order after the move in flight was confirmed, or refused (it counts either way).

    A move whose answer was lost is neither: leave it in flight until the order book was read.
    """
    placed = order.in_flight if applied and order.in_flight is not None else order.placed
    return replace(order, placed=placed, in_flight=None)
