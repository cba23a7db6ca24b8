"""Short ways to a plan and along a path, for tables: prices as a row of text."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from agent.market.instruments import Side
from agent.trailing.plan import Plan
from agent.trailing.policy import Policy, plan_for
from agent.trailing.ratchet import StepResult, TrailState, open_position, step

LONG, SHORT = Side.LONG, Side.SHORT
USER = 'mode = "fixed"\nstop = "1.00"\ntarget = "2.00"\nstep = "1"\nmove = "1"\nfollow = 1\n'


def plan(text: str, side: Side = LONG, entry: str = "10", tick: str = "0.05", **more) -> Plan:
    return plan_for(
        Policy.parse(text), side=side, entry=Decimal(entry), tick_size=Decimal(tick), **more
    )


def run(
    made: Plan, prices: str, state: TrailState | None = None, **more
) -> tuple[TrailState, list[StepResult]]:
    """Step through prices written as text, to the first exit or the end."""
    state, results = state or open_position(made), []
    for price in prices.split():
        state, result = step(made, state, made.ticks(Decimal(price)), **more)
        results.append(result)
        if result.event == "exit":
            break
    return state, results


def levels(made: Plan, state: TrailState) -> tuple[str, str | None]:
    """Stop and target in rupees, as text."""
    return (
        str(made.price(state.stop)),
        None if state.target is None else str(made.price(state.target)),
    )


def rupees(made: Plan, ticks) -> Fraction:
    return Fraction(ticks) * Fraction(made.tick_size)
