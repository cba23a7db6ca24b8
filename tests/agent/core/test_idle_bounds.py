"""Every bound of the proofs that spare a tick or a reading the plain way, at its very edge.

Each case goes both ways from one desk: `decide` and `decide_plainly` must say and leave the same.
Where a case says that an event is news, it must also not have been answered at once: so a bound
that is taken out turns a row red, even where the two ways would agree by luck.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.decide import decide, decide_plainly
from agent.core.state import Desk, Guard
from agent.core.values import Band, HeldRow, Mode, OrderRow
from agent.risk.margin import Margins
from agent.risk.settings import parse_amount
from benchmarks.trailing.decide_events import quote_at
from tests.agent.core.test_idle import same
from tests.agent.orders.bench import KEY, POLICY, Bench

STILL = 'activation = "1.5%"\n' + POLICY  # levels that stand until the price is 30 ticks up
FEW = POLICY + "modifications = 5\n"  # a move of two ticks waits until the stop is quiet
OTHER = "NSE:BBB"


def both(desk: Desk, *events: ev.Event) -> tuple[Desk, tuple[cmd.Command, ...]]:
    """Take events both ways; return what the fast one left and said last."""
    fast = plain = desk
    said: tuple[cmd.Command, ...] = ()
    for event in events:
        fast, said = decide(fast, event)
        plain, plainly = decide_plainly(plain, event)
        assert said == plainly, event
        same(fast, plain, event)
    return fast, said


def standing() -> Bench:
    """Return a bench with an open trade whose last tick was idle."""
    bench = Bench(policy=STILL)
    bench.opened()
    bench.tick(2_000)
    bench.tick(2_000)
    assert bench.desk.idle is not None
    return bench


def tick(bench: Bench, last: int, *, key: str = KEY, wait_ms: int = 1_000) -> ev.TickSeen:
    now = bench.now + wait_ms
    return ev.TickSeen(now, key, quote_at(last, bench.volume + 100, now))


@pytest.mark.parametrize(
    ("last", "idle"), [(2_003, True), (2_004, False), (1_990, True), (1_989, False)]
)
def test_a_price_outside_the_days_circuit_is_never_idle(last: int, idle: bool) -> None:
    bench = standing()
    bench.tick(2_005)  # the best so far: up to it nothing else would stop an idle tick
    asked = bench.last(cmd.ReadQuotes)
    bench.desk = replace(bench.desk, asking={**bench.desk.asking, asked.call: "quotes"})
    bench.take(ev.QuotesRead(bench.now, asked.call, {}, {KEY: Band(1_990, 2_003)}))
    bench.tick(2_000)
    after, _ = both(bench.desk, tick(bench, 2_000), tick(bench, last))
    assert (after.idle is not None) is idle


def test_a_price_at_the_target_is_never_idle() -> None:
    bench = standing()
    trade, desk = bench.trade, replace(bench.desk)
    assert trade.levels is not None
    trail = trade.levels.trail  # a best price beyond the target: no bound but the target's own
    trail = replace(trail, move=trail.move + 100 * trail.rules.units, settled=True, signal=0)
    plan = trade.levels.plan
    far = replace(trade, levels=replace(trade.levels, trail=replace(trail, target=2_010)))
    rules = replace(trail.rules, target_ready=False)
    assert far.levels is not None
    far = replace(far, levels=replace(far.levels, trail=replace(far.levels.trail, rules=rules)))
    assert plan.target is not None
    desk = replace(desk, trades={**desk.trades, trade.number: far}, lulls={})
    desk, _ = both(desk, tick(bench, 2_000))
    idle, _ = both(desk, tick(bench, 2_009, wait_ms=2_000))
    assert idle.idle is not None
    hit, said = both(desk, tick(bench, 2_010, wait_ms=2_000))
    assert hit.idle is None
    assert said


@pytest.mark.parametrize("early_ms", [2, 1, 0, -1, -500])
def test_a_tick_at_the_planners_timer_is_not_idle(early_ms: int) -> None:
    bench = Bench(policy=FEW)
    bench.opened()
    bench.tick(2_004)
    bench.tick(2_004, wait_ms=10)
    due = bench.trade.timer_ms
    assert due > bench.now, "a move waits for the planner"
    wait_ms = due - early_ms - bench.now
    after, said = both(bench.desk, tick(bench, 2_004, wait_ms=wait_ms))
    assert (after.idle is None) is (early_ms < 2)
    assert bool(said) is (early_ms < 2)


@pytest.mark.parametrize("limit", ["max_daily_loss", "max_drawdown"])
@pytest.mark.parametrize("more", [-1, 0, 1, 2])
def test_a_tick_that_reaches_a_loss_limit_is_not_idle(limit: str, more: int) -> None:
    bench = standing()
    first, last = tick(bench, 2_000), tick(bench, 1_990, wait_ms=2_000)
    fallen, _ = decide_plainly(bench.desk, last)
    assert fallen.money is not None
    book, lost = fallen.money, -fallen.money.portfolio.day_net
    if limit == "max_drawdown":
        lost += book.best
    amount = parse_amount(f"{(int(lost) + more) / 100:.2f}")
    rules = bench.desk.rules
    risk = rules.money.risk.model_copy(update={"max_drawdown": None, limit: amount})
    money = replace(rules.money, risk=risk)
    desk = replace(bench.desk, rules=replace(rules, money=money), lulls={})
    desk, _ = both(desk, first)
    assert desk.lulls, "the trade stands still before"
    after, said = both(desk, last)
    assert bool(said) is (more <= 0)
    if more <= 0:
        assert after.idle is None
        assert after.mode is Mode.FLATTEN
    else:
        assert (after.idle is None) is (more == 1), "a paisa early"


Change = Callable[[Desk], dict[str, Any]]
CHANGED: dict[str, tuple[Change, str]] = {
    "flatten": (lambda desk: {"operator": Mode.FLATTEN}, OTHER),
    "flatten of a guard": (
        lambda desk: {"guards": {"max_daily_loss": Guard(Mode.FLATTEN, "", "", 0)}},
        OTHER,
    ),
    "no poll on its way": (lambda desk: {"polling": False}, KEY),
    "a short margin": (
        lambda desk: {"money": replace(desk.money, margins=Margins(1, 99, 0))},  # type: ignore[type-var]
        KEY,
    ),
    "a halt": (lambda desk: {"operator": Mode.HALT}, KEY),
    "no session": (lambda desk: {"session": None}, KEY),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_desk_that_calls_for_something_is_not_idle(name: str) -> None:
    change, key = CHANGED[name]
    bench = standing()
    desk = replace(bench.desk, **change(bench.desk))
    after, _ = both(desk, tick(bench, 2_000, key=key))
    assert after.idle is None


# What a reading may bring: (id, events after the poll, whether the last one is news).
Course = Callable[[Bench, list[OrderRow]], list[ev.Event]]


def rows_of(bench: Bench) -> list[OrderRow]:
    return [bench.made(bench.entry, "COMPLETE"), bench.made(bench.exit, "TRIGGER PENDING")]


def read(bench: Bench, rows: list[OrderRow], held: int | None = None, **more: Any) -> ev.BookRead:
    """Return the answer to the poll: rows, and the shares held where they were asked for."""
    at_ms, call = more.get("at_ms", bench.now), more.get("call", bench.desk.calls + 1)
    positions = None if held is None else (HeldRow(KEY, "MIS", held, 10_000),)
    return ev.BookRead(at_ms, call, tuple(rows), positions)


def poll(bench: Bench, wait_ms: int = 0) -> ev.TimerFired:
    return ev.TimerFired(bench.now + wait_ms, "poll")


COURSES: dict[str, tuple[Course, bool]] = {
    "poll": (lambda b, rows: [poll(b)], False),
    "the same book": (lambda b, rows: [poll(b), read(b, rows)], False),
    "an order more": (
        lambda b, rows: [poll(b), read(b, [*rows, replace(rows[1], order_id="o9", tag=None)])],
        True,
    ),
    "a second agent": (
        lambda b, rows: [
            poll(b),
            read(b, [replace(rows[0], tag="RTo0er000001E00", order_id="x1")]),
        ],
        True,
    ),
    "a stop released": (
        lambda b, rows: [poll(b), read(b, [rows[0], replace(rows[1], status="OPEN")])],
        True,
    ),
    "a trigger moved by a person": (
        lambda b, rows: [poll(b), read(b, [rows[0], replace(rows[1], trigger_ticks=1_990)])],
        True,
    ),
    "news after the same book": (
        lambda b, rows: [
            poll(b),
            read(b, rows),
            read(b, [rows[0], replace(rows[1], status="CANCELLED")]),
        ],
        True,
    ),
    "no answer of ours": (lambda b, rows: [read(b, rows, call=999)], False),
    "positions as held": (lambda b, rows: [read(b, rows, b.trade.open)], False),
    "shares gone": (lambda b, rows: [read(b, rows, b.trade.open - 1)], True),
    "flat": (lambda b, rows: [read(b, rows, 0)], True),
    "polled while a book is out": (lambda b, rows: [poll(b), poll(b)], True),
    "fresh enough": (lambda b, rows: [poll(b, b.desk.rules.watch.stale_ms)], False),
    "stale": (lambda b, rows: [poll(b, b.desk.rules.watch.stale_ms + 1)], True),
    "after the close": (lambda b, rows: [poll(b, 6 * 3_600_000)], True),
    "another timer": (lambda b, rows: [ev.TimerFired(b.now, "recheck")], True),
    "time runs backwards": (lambda b, rows: [poll(b, -10)], True),
    "margin": (lambda b, rows: [ev.MarginsRead(b.now, 1, 10**9, 10)], False),
    "short margin": (lambda b, rows: [ev.MarginsRead(b.now, 1, 1, 10**9)], True),
}


@pytest.mark.parametrize("name", COURSES)
def test_a_reading_is_quiet_only_without_news(name: str) -> None:
    course, news = COURSES[name]
    bench = standing()
    events = course(bench, rows_of(bench))
    after, _ = both(bench.desk, *events)
    assert (after.idle is None) is news
    late = max(events[-1].at_ms - bench.now, 0)
    both(after, tick(bench, 2_001, wait_ms=late + 500), tick(bench, 1_999, wait_ms=late + 600))


def test_a_half_reading_for_a_whole_one_is_news() -> None:
    bench = standing()
    rows = rows_of(bench)
    desk = bench.desk
    while True:
        desk, said = both(desk, ev.TimerFired(bench.now, "poll"))
        asked = next(c for c in said if isinstance(c, cmd.ReadBook))
        if asked.positions:
            break
        desk, _ = both(desk, read(bench, rows, call=asked.call))
        assert desk.idle is not None
    answered, _ = both(desk, read(bench, rows, bench.trade.open, call=asked.call))
    assert answered.idle is not None
    assert answered.trades[bench.trade.number].book_call == asked.call
    half, said = both(desk, read(bench, rows, call=asked.call))
    assert half.idle is None
    assert said, "it is asked again"


@pytest.mark.parametrize(
    "change",
    [{"wanted_book": True}, {"guards": {"token": Guard(Mode.NO_NEW, "", "", 0)}}],
    ids=["another book is wanted", "a guard to lift"],
)
def test_a_whole_reading_that_is_waited_for_is_news(change: dict[str, Any]) -> None:
    bench = standing()
    rows = rows_of(bench)
    desk, _ = decide_plainly(replace(bench.desk, **change), tick(bench, 2_000))
    after, said = both(desk, read(bench, rows, bench.trade.open, at_ms=bench.now + 2_000))
    assert after.idle is None
    assert said


def test_a_whole_reading_after_a_trades_timer_is_news() -> None:
    bench = Bench(policy=FEW)
    bench.opened()
    bench.tick(2_004)
    bench.tick(2_004, wait_ms=10)
    due, rows = bench.trade.timer_ms, rows_of(bench)
    held = bench.trade.open
    early, _ = both(bench.desk, read(bench, rows, held, at_ms=due - 2))
    assert early.idle is not None
    late, said = both(bench.desk, read(bench, rows, held, at_ms=due + 500))
    assert late.idle is None
    assert any(isinstance(c, cmd.Modify) for c in said)
