"""A trade that is said to be at rest stays as it is when it is driven again, nothing said."""

from __future__ import annotations

from random import Random

import pytest

import agent.core.decide as deciding
from agent.core.levels import ensure_levels
from agent.core.trade import Trade
from agent.core.turn import Turn
from agent.orders.drive import at_rest, drive
from tests.agent.core.test_idle import Rough
from tests.agent.orders.world import World, mix_of
from tests.agent.paper.lab import at
from tests.agent.trailing import cases


class Watched:
    """`at_rest`, watched: what it spares is done on a turn of its own, and compared."""

    def __init__(self) -> None:
        self.rests = self.sent = 0

    def __call__(self, turn: Turn, trade: Trade) -> bool:
        rests = at_rest(turn, trade)
        if rests:
            self.rests += 1
            self.sent += any(leg.flight is not None for leg in trade.live_exits)
            again = Turn(turn.desk, turn.at_ms)
            assert ensure_levels(again, trade) is trade
            drive(again, trade.number)
            assert again.desk.trades[trade.number] is trade
            assert not again.commands
            assert again.desk == turn.desk
        return rests


@pytest.mark.parametrize("seed", range(3))
def test_a_trade_at_rest_on_a_bad_day(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched()
    monkeypatch.setattr(deciding, "at_rest", watched)
    world = World(seed, mix_of(seed))
    world.run_to(at("11:30"))
    assert watched.rests > 10


@pytest.mark.parametrize("part", range(4))
def test_a_trade_at_rest_in_any_course_of_events(
    part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched()
    monkeypatch.setattr(deciding, "at_rest", watched)
    for seed in range(part * 10, part * 10 + 10):
        draw = Random(seed)
        keys = tuple(f"NSE:S{n}" for n in range(draw.choice([1, 2, 4])))
        policy = cases.policy(draw, tick=0.05, entry=50.0)
        policy += draw.choice(["", "[planner]\nquiet_ms = 900\nmodifications = 5\nbuffer = 0.1\n"])
        street = Rough(policy, keys, held=len(keys))
        street.begin(draw)
        for _ in range(160):
            street.on_the_way()
    assert watched.rests > 20
    assert watched.sent > 5
