"""A move of the stop that the price forbids is not sent, and not counted as spent either."""

from __future__ import annotations

from agent.core import commands as cmd
from tests.agent.orders.bench import POLICY, Bench

# two spendable moves; a breach counts only once twenty trades have confirmed it
POLICY_OF_TWO = (
    POLICY
    + 'modifications = 5\n[whipsaw]\nsoft_band = "0.5%"\nconfirm_trades = 20\nconfirm_ms = 60000\n'
)


def test_a_move_that_the_price_forbids_costs_nothing() -> None:
    bench = Bench(policy=POLICY_OF_TWO)
    bench.opened()
    bench.tick(2_008)  # the stop wants to follow by four ticks: too few to be sent at once
    levels = bench.trade.levels
    assert levels is not None
    assert levels.placed is not None
    assert levels.placed.placed < levels.stop
    used, stop = levels.placed.used, levels.stop
    for _ in range(4):  # through the desired stop, inside the soft band, past the planner's quiet
        said = bench.tick(stop - 1, wait_ms=2_000)
        assert not [c for c in said if isinstance(c, cmd.Modify)]
    levels = bench.trade.levels
    assert levels is not None
    assert levels.placed is not None
    assert levels.placed.used == used
    assert levels.placed.in_flight is None
    said = bench.tick(stop + 5)
    assert [c.terms.trigger_ticks for c in said if isinstance(c, cmd.Modify)] == [stop]
