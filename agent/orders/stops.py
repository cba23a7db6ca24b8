"""Which stop should the exchange hold now? The desired one, through the modification budget.

The desired stop follows every tick (agent/trailing/ratchet.py); the placed one is moved where a
move is worth most (agent/trailing/planner.py), because the broker allows 25 modifications an order.
Here the planner's memory is kept in step with the order it is about.
"""

from __future__ import annotations

from agent.core.trade import Levels, Trade
from agent.core.turn import Turn
from agent.errors import check
from agent.frozen import replace
from agent.orders.leg import Leg
from agent.trailing.planner import (
    REPLACE,
    SEND,
    WAIT,
    Decision,
    PlacedStop,
    answered,
    decide,
    place,
)


def first_stop(trade: Trade) -> tuple[Trade, int]:
    """Return the trade with a fresh budget, and the trigger of a new protective order, ticks."""
    levels = _levels(trade)
    placed = place(levels.budget, levels.stop)
    return replace(trade, levels=replace(levels, placed=placed, wake_ms=0)), placed.placed


def stop_move(turn: Turn, trade: Trade, leg: Leg) -> tuple[Trade, Decision | None]:
    """Return what the planner says of a resting stop without a call in flight.

    Returns
    -------
    (Trade, Decision or None)
        Only `send` and `replace` come back as a decision; on `wait` the trade carries when to ask.
    """
    levels = _levels(trade)
    old = leg.terms.trigger_ticks or levels.stop
    placed = levels.placed or PlacedStop(old, leg.modifications, old)
    if placed.in_flight is not None:  # settled: the order's row says whether it was applied
        placed = answered(placed, applied=old == placed.in_flight)
    if placed.placed != old:
        placed = replace(placed, placed=old)
    placed, decision = decide(levels.budget, placed, levels.stop, turn.at_ms)
    wake = int(decision.wake_ms or 0) + 1 if decision.action == WAIT and decision.wake_ms else 0
    if placed != levels.placed or wake != levels.wake_ms:
        trade = replace(trade, levels=replace(levels, placed=placed, wake_ms=wake))
    return trade, decision if decision.action in {SEND, REPLACE} else None


def unspent(before: Trade, after: Trade) -> Trade:
    """Return a trade whose planner said `send` where nothing can be sent: the move is not spent.

    `before` itself where nothing else has changed: a trade that stays as it is stands still.
    """
    levels = _levels(after)
    if levels.placed is None:
        return after
    placed = replace(levels.placed, used=levels.placed.used - 1, in_flight=None)
    levels = replace(levels, placed=placed)
    return before if levels == before.levels else replace(after, levels=levels)


def _levels(trade: Trade) -> Levels:
    check(trade.levels is not None, "a stop has levels", trade=trade.number)
    assert trade.levels is not None  # noqa: S101  (for the type checker; checked above)
    return trade.levels
