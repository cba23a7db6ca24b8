"""Ticks that are answered at once are what the plain way makes of them, event for event.

`Twin` takes every event both ways: through `decide`, and through `decide_plainly`, which knows no
idle ticks. Commands must be the same at every event; the desks are compared at some events only,
so that stretches of idle ticks of every length are written down.
"""

from __future__ import annotations

import random

import pytest

from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.codec import to_plain
from agent.core.decide import decide, decide_plainly
from agent.core.state import Desk
from tests.agent.orders import world as worlds
from tests.agent.orders.world import World, mix_of
from tests.agent.paper.lab import at

MORE = [f"NSE:M{n}" for n in range(4)]


class Twin:
    """`decide`, watched: the same event the plain way, and the two compared."""

    def __init__(self, seed: int, look: float = 0.2) -> None:
        self.draw = random.Random(seed)
        self.look = look
        self.fast: Desk | None = None
        self.plain: Desk | None = None
        self.ticks = self.idle = 0

    def __call__(self, desk: Desk, event: ev.Event) -> tuple[Desk, tuple[cmd.Command, ...]]:
        if desk is not self.fast or self.plain is None:
            self.plain = desk  # a start, or a desk that came back from the journal
        fast, said = decide(desk, event)
        self.plain, plainly = decide_plainly(self.plain, event)
        assert said == plainly, (event, said, plainly)
        if isinstance(event, ev.TickSeen):
            self.ticks += 1
            self.idle += fast.idle is not None
        if self.draw.random() < self.look:
            same(fast, self.plain, event)
        self.fast = fast
        return fast, said


def same(fast: Desk, plain: Desk, event: ev.Event | None = None) -> None:
    """Compare two desks, the field that differs named; then as the journal writes trades."""
    for name in Desk.__dataclass_fields__:
        if name not in {"lulls", "idle"}:
            assert getattr(fast, name) == getattr(plain, name), (name, event)
    assert list(fast.sights) == list(plain.sights)
    assert list(fast.trades) == list(plain.trades)
    if plain.money is not None and fast.money is not None:
        positions = plain.money.portfolio.positions
        assert list(fast.money.portfolio.positions) == list(positions)
    assert [to_plain(t) for t in fast.trades.values()] == [
        to_plain(t) for t in plain.trades.values()
    ]


@pytest.mark.parametrize("seed", range(6))
def test_a_bad_day_goes_both_ways(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = Twin(seed, look=0.05)
    monkeypatch.setattr(worlds, "decide", twin)
    world = World(seed, mix_of(seed))
    world.run_to(at("11:30"))
    same(world.desk, twin.plain or world.desk)
    assert twin.idle, f"seed {seed}"
