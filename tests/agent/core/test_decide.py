"""`decide` is a function: nothing that goes in changes, the same goes in gives the same out."""

from __future__ import annotations

import json
from dataclasses import replace

from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.codec import from_plain, to_plain
from agent.core.decide import HANDLERS, decide
from agent.core.state import Desk
from agent.core.values import Fault
from tests.agent.orders.bench import KEY, Bench
from tests.agent.orders.world import Mix, World
from tests.agent.paper.lab import at


def test_every_event_has_a_handler() -> None:
    kinds = {
        found
        for found in vars(ev).values()
        if isinstance(found, type) and issubclass(found, ev.Event) and found is not ev.Event
    }
    assert kinds == set(HANDLERS)


def test_the_desk_that_went_in_is_not_changed() -> None:
    bench = Bench()
    bench.opened()
    before = bench.desk
    text = repr(before)
    for last in (2_010, 2_045, 1_950):
        bench.tick(last)
        bench.later(1_000)
    assert repr(before) == text


def test_time_never_runs_backwards_inside() -> None:
    bench = Bench()
    bench.tick(2_000)
    desk, _ = decide(bench.desk, ev.TimerFired(bench.now - 60_000, "recheck"))
    assert desk.now_ms == bench.now


def test_a_recorded_day_replays_to_the_same_state_and_commands() -> None:
    """What the journal keeps of the events is enough: text in, the same day out."""
    world = World(7, Mix(updates_twice=0.2, lost_after=0.1))
    kept: list[str] = []
    said: list[list[cmd.Command]] = []
    take = world._take

    def recorded(event: ev.Event) -> None:
        kept.append(json.dumps(to_plain(event)))
        slot: list[cmd.Command] = []
        said.append(slot)
        carry, world._carry_out = world._carry_out, slot.append
        _, commands = decide(world.desk, event)
        slot += commands
        world._carry_out = carry
        take(event)

    world._take = recorded  # type: ignore[method-assign]
    world.run_to(at("10:15"))
    desk = Desk(world.desk.rules)
    for text, commands in zip(kept, said, strict=True):
        desk, again = decide(desk, from_plain(json.loads(text)))
        assert list(again) == commands
    assert desk == world.desk
    assert any(trade.done for trade in desk.trades.values())


def test_a_trade_comes_back_from_its_text_exactly() -> None:
    bench = Bench()
    bench.opened("SELL")
    for last in (1_990, 1_985, 1_992, 1_970):
        bench.tick(last, wait_ms=5_000)
        bench.later(2_000)
    trade = bench.trade
    again = from_plain(json.loads(json.dumps(to_plain(trade))))
    assert again.levels is not None
    assert trade.levels is not None
    assert again.levels.stop == trade.levels.stop
    assert again.levels.target == trade.levels.target
    assert again.levels.trail.move == trade.levels.trail.move
    assert again.exits == trade.exits
    assert replace(again, levels=None) == replace(trade, levels=None)


def test_an_answer_to_a_call_that_nobody_knows_changes_nothing() -> None:
    bench = Bench()
    bench.opened()
    before = bench.desk
    said = bench.take(ev.CallAnswered(bench.now, 10_000, "o1"))
    said += bench.take(ev.CallFailed(bench.now, 10_001, Fault.UNKNOWN, "?"))
    assert said == []
    assert bench.desk.trades == before.trades


def test_a_refused_packet_moves_no_level() -> None:
    bench = Bench()
    bench.opened()
    levels = bench.trade.levels
    bench.take(ev.TickRefused(bench.now, KEY, "last price 0"))
    assert bench.trade.levels is levels
