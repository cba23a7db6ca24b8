"""What happens to one trade: a table of scenes, by the ids of the edge cases.

Prices are ticks of 0.05 (2000 = 100.00); the policy is stop 1 %, target 2 %, half the move kept.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.restore import Kept, restored
from agent.core.rules import EntryRules, SignalRules
from agent.core.values import Fault, Mode, Reason, Role, Terms
from agent.market.instruments import Side
from agent.market.sessions import Calendar
from agent.orders.lifecycle import OrderState
from tests.agent.orders.bench import INSTRUMENT, KEY, POLICY, Bench, writes
from tests.agent.orders.world import rules
from tests.agent.paper.lab import DAY, at

DAY_MS = 86_400_000
BOTH = pytest.mark.parametrize(("side", "sign"), [("BUY", 1), ("SELL", -1)])


# entries


@BOTH
def test_an_entry_is_a_limit_at_the_best_opposite_price_through_the_slip(
    side: str, sign: int
) -> None:
    bench = Bench()
    bench.enter(side)
    (place,) = bench.orders_sent(Role.ENTRY)
    best = 2_001 if side == "BUY" else 2_000
    slip = -(-best * 5 // 10_000)  # 5 bp, rounded up to whole ticks
    assert place.terms == Terms("LIMIT", 300, best + sign * slip)
    assert (place.transaction, place.product) == (side, "MIS")
    assert len(place.tag) <= 20
    assert place.tag.isalnum()


def test_an_entry_not_filled_in_time_is_withdrawn_once() -> None:
    bench = Bench()
    bench.enter()
    bench.accept()
    bench.row(bench.entry, "OPEN")
    assert writes(bench.later(9_000)) == []
    (cancel,) = writes(bench.later(1_500))
    assert isinstance(cancel, cmd.Cancel)
    bench.accept()
    bench.row(bench.entry, "CANCELLED")
    assert bench.trade.done
    assert bench.desk.money is not None
    assert not bench.desk.money.reserves


@BOTH
def test_t16_a_part_fill_is_protected_at_once_and_the_stop_grows_with_it(
    side: str, sign: int
) -> None:
    bench = Bench()
    bench.enter(side)
    bench.accept()
    (stop,) = writes(bench.row(bench.entry, "OPEN", filled=30))
    assert isinstance(stop, cmd.Place)
    assert (stop.terms.order_type, stop.terms.quantity) == ("SL", 30)
    trigger = stop.terms.trigger_ticks or 0
    assert sign * (trigger - (stop.terms.price_ticks or 0)) >= 20  # at least 1 % of gap
    bench.accept()
    bench.row(bench.exit, "TRIGGER PENDING")
    (grown,) = writes(bench.row(bench.entry, "OPEN", filled=80))
    assert isinstance(grown, cmd.Modify)
    assert grown.terms.quantity == 80
    assert grown.quantity_changes
    assert bench.exit.modifications == 1


def test_what_filled_of_an_entry_under_the_least_is_given_back() -> None:
    bench = Bench(entry=replace(EntryRules(), min_fill=50, spread_bp_max=50))
    bench.enter()
    bench.accept()
    bench.row(bench.entry, "OPEN", filled=30)
    bench.accept()
    bench.row(bench.exit, "TRIGGER PENDING")
    bench.later(10_500)
    bench.accept()
    (leave,) = writes(bench.row(bench.entry, "CANCELLED", filled=30))
    assert isinstance(leave, cmd.Modify)
    assert leave.terms.order_type == "LIMIT"
    assert bench.trade.closing is not None
    assert bench.trade.closing.reason is Reason.MIN_FILL


# one exit order for life


@BOTH
def test_the_target_makes_an_exit_of_the_resting_stop(side: str, sign: int) -> None:
    bench = Bench()
    bench.opened(side)
    (leave,) = writes(bench.tick(2_000 + sign * 45))
    assert isinstance(leave, cmd.Modify)
    assert leave.order_id == bench.exit.order_id
    assert leave.terms.order_type == "LIMIT"
    assert leave.terms.trigger_ticks is None
    assert len(bench.orders_sent(Role.EXIT)) == 1  # never a second order beside it
    assert bench.trade.closing is not None
    assert bench.trade.closing.reason is Reason.TARGET


@BOTH
def test_the_stop_follows_and_never_goes_back(side: str, sign: int) -> None:
    bench = Bench()
    trade = bench.opened(side)
    assert trade.levels is not None
    first = trade.levels.stop
    seen = [first]
    for move in (6, 12, 9, 18, 3, 20):
        bench.tick(2_000 + sign * move, wait_ms=3_000)
        bench.later(3_000)
        if bench.exit.flight is not None:
            bench.accept()
            bench.row(bench.exit, "TRIGGER PENDING")
        seen.append(bench.exit.terms.trigger_ticks or 0)
    assert all(sign * (b - a) >= 0 for a, b in pairwise(seen))
    assert sign * (seen[-1] - first) > 0


@BOTH
def test_a_stop_crossed_where_the_placed_one_lags_exits_through_that_order(
    side: str, sign: int
) -> None:
    thrifty = POLICY.replace("quiet_ms = 1000", "quiet_ms = 600000\nmodifications = 4")
    bench = Bench(policy=thrifty)
    bench.opened(side)
    bench.tick(2_000 + sign * 30)  # worth 15 ticks of stop, too little for the last spendable move
    assert bench.exit.flight is None
    levels = bench.trade.levels
    assert levels is not None
    assert sign * (levels.stop - (bench.exit.terms.trigger_ticks or 0)) > 0
    said = writes(bench.tick(levels.stop - sign, wait_ms=100))
    leave = said[-1]
    assert isinstance(leave, cmd.Modify)
    assert leave.terms.order_type == "LIMIT"


def test_the_ladder_goes_from_limit_to_wider_to_protected_market_to_a_person() -> None:
    bench = Bench()
    bench.opened()
    asked = [bench.tick(2_045)]
    for _ in range(3):
        bench.accept()
        bench.row(bench.exit, "OPEN")
        asked.append(bench.later(2_100))
    terms = [w.terms for said in asked for w in writes(said) if isinstance(w, cmd.Modify)]
    assert [t.order_type for t in terms] == ["LIMIT", "LIMIT", "MARKET", "LIMIT"]
    first, wider = terms[0].price_ticks or 0, terms[1].price_ticks or 0
    assert first > wider
    market = [w for w in bench.all(cmd.Modify) if w.terms.order_type == "MARKET"]
    assert [w.market_protection for w in market] == [-1]  # omitted is refused since 1 Apr 2026
    assert any(n.level == "alarm" and n.kind == "exit stuck" for n in bench.all(cmd.Notify))
    assert len(bench.orders_sent(Role.EXIT)) == 1


def test_the_remainder_of_an_entry_is_withdrawn_before_an_exit_starts() -> None:
    bench = Bench()
    bench.enter()
    bench.accept()
    bench.row(bench.entry, "OPEN", filled=100)
    bench.accept()
    bench.row(bench.exit, "TRIGGER PENDING")
    (cancel,) = writes(bench.tick(2_045))
    assert isinstance(cancel, cmd.Cancel)
    assert cancel.role is Role.ENTRY
    bench.accept()
    (leave,) = writes(bench.row(bench.entry, "CANCELLED", filled=100))
    assert isinstance(leave, cmd.Modify)
    assert leave.terms.order_type == "LIMIT"


def test_t18_a_change_refused_as_being_processed_reads_the_book_before_anything_else() -> None:
    bench = Bench()
    bench.opened()
    bench.tick(2_045)
    said = bench.fail(Fault.REFUSED, "Order cannot be modified as it is being processed.")
    assert writes(said) == []
    bench.later(400)
    assert isinstance(bench.out[-2], cmd.ReadBook | cmd.SetTimer)
    row = bench.made(bench.exit, "COMPLETE", filled=300)
    bench.book(bench.made(bench.entry, "COMPLETE", filled=300), row, held=0)
    assert bench.trade.done
    assert len(bench.orders_sent(Role.EXIT)) == 1


def test_t19_a_stop_that_the_price_has_passed_becomes_an_exit_at_once() -> None:
    bench = Bench()
    bench.enter()
    bench.accept()
    bench.tick(1_970)  # through the stop before the fill is known
    (leave,) = writes(bench.row(bench.entry, "COMPLETE", filled=300))
    assert isinstance(leave, cmd.Place)
    assert leave.terms.order_type == "LIMIT"
    assert bench.trade.closing is not None
    assert bench.trade.closing.reason is Reason.STOP


def test_t17_an_exit_that_dies_half_way_is_replaced_for_the_rest_after_a_full_book() -> None:
    bench = Bench()
    bench.opened()
    said = bench.row(bench.exit, "CANCELLED", filled=100)
    assert writes(said) == []  # the book first
    rows = [
        bench.made(bench.entry, "COMPLETE", filled=300),
        bench.made(bench.exit, "CANCELLED", filled=100),
    ]
    assert writes(bench.book(*rows, held=None)) == []  # T38: positions unknown is not flat
    bench.later(2_000)
    (again,) = writes(bench.book(*rows, held=200))
    assert isinstance(again, cmd.Place)
    assert (again.terms.order_type, again.terms.quantity) == ("SL", 200)
    assert again.tag != bench.trade.exits[0].tag


def test_t36_a_stop_withdrawn_by_hand_is_placed_again() -> None:
    bench = Bench()
    bench.opened()
    bench.row(bench.exit, "CANCELLED")
    (again,) = writes(
        bench.book(
            bench.made(bench.entry, "COMPLETE", filled=300),
            bench.made(bench.exit, "CANCELLED"),
            held=300,
        )
    )
    assert isinstance(again, cmd.Place)
    assert again.terms.quantity == 300


def test_t37_a_position_closed_by_hand_ends_the_trail_and_withdraws_the_stop() -> None:
    bench = Bench()
    bench.opened()
    hand = replace(
        bench.made(bench.exit, "COMPLETE", filled=300),
        order_id="by hand", tag=None, order_type="MARKET", filled_ms=bench.now,
        value_paise=3_010_000,
    )  # fmt: skip
    bench.take(ev.OrderSeen(bench.now, hand))
    rows = (
        bench.made(bench.entry, "COMPLETE", filled=300),
        bench.made(bench.exit, "TRIGGER PENDING"),
        hand,
    )
    (cancel,) = writes(bench.book(*rows, held=0))
    assert isinstance(cancel, cmd.Cancel)
    assert bench.trade.open == 0
    bench.accept()
    bench.row(bench.exit, "CANCELLED")
    assert bench.trade.done
    assert bench.trade.closing is not None
    assert bench.trade.closing.reason is Reason.EXTERNAL


def test_t38_positions_that_cannot_be_read_are_unknown_never_flat() -> None:
    bench = Bench()
    bench.opened()
    bench.take(ev.FeedChanged(bench.now, True, "up"))
    said = bench.book(
        bench.made(bench.entry, "COMPLETE", filled=300),
        bench.made(bench.exit, "TRIGGER PENDING"),
        held=None,
    )
    assert writes(said) == []
    assert bench.trade.open == 300
    assert bench.exit.state is OrderState.RESTING


def test_t20_the_twenty_sixth_change_is_never_sent_and_the_order_is_replaced() -> None:
    bench = Bench(
        policy=POLICY.replace("quiet_ms = 1000", "quiet_ms = 1\nreserve = 0").replace("0.5", "1.0")
    )
    bench.opened()
    sent = 0
    for n in range(1, 38):
        bench.tick(2_000 + n, wait_ms=2_000)
        bench.later(2_000)
        found = bench.all(cmd.Modify, cmd.Cancel)[sent:]
        sent += len(found)
        for one in found:
            bench.take(ev.CallAnswered(bench.now, one.call, one.order_id))
            if isinstance(one, cmd.Cancel):
                bench.row(bench.trade.exits[0], "CANCELLED")
                break
            bench.row(bench.exit, "TRIGGER PENDING")
        if bench.trade.exits[0].final:
            break
    assert bench.trade.exits[0].modifications <= 25
    assert bench.trade.exits[0].state is OrderState.CANCELLED
    rows = (bench.made(bench.entry, "COMPLETE", filled=300), bench.made(bench.exit, "CANCELLED"))
    bench.book(*rows, held=300)  # asked before the stop was gone: proves nothing about it
    assert len(bench.orders_sent(Role.EXIT)) == 1
    (again,) = writes(bench.book(*rows, held=300))
    assert isinstance(again, cmd.Place)
    assert again.terms.order_type == "SL"


# lost answers


@pytest.mark.parametrize("fault", [Fault.UNKNOWN])
def test_t22_t23_a_lost_entry_is_looked_up_and_never_sent_twice(fault: Fault) -> None:
    bench = Bench()
    bench.enter()
    bench.fail(fault, "Order request timed out. Please check the order book.")
    for _ in range(30):
        bench.later(2_000)
        if bench.desk.asking:
            bench.book(held=0)
    assert len(bench.orders_sent(Role.ENTRY)) == 1
    bench.later(70_000)
    bench.answer_reads()
    assert bench.entry.state is OrderState.ABSENT
    said = bench.row(
        bench.entry, "COMPLETE", filled=300, order_id="late"
    )  # it appears all the same
    (stop,) = writes(said)
    assert isinstance(stop, cmd.Place)
    assert stop.terms.order_type == "SL"
    assert not bench.trade.done


def test_t22_a_lost_stop_that_is_there_is_adopted_and_not_sent_again() -> None:
    bench = Bench()
    bench.enter()
    bench.accept()
    bench.row(bench.entry, "COMPLETE", filled=300)
    bench.fail(Fault.UNKNOWN, "timed out")
    bench.later(400)
    there = bench.made(bench.exit, "TRIGGER PENDING", order_id="o7")
    bench.book(bench.made(bench.entry, "COMPLETE", filled=300), there, held=300)
    assert bench.exit.state is OrderState.RESTING
    assert bench.exit.order_id == "o7"
    assert len(bench.orders_sent(Role.EXIT)) == 1


def test_t22_a_lost_stop_that_no_book_shows_is_sent_again_after_two_books_and_positions() -> None:
    bench = Bench()
    bench.enter()
    bench.accept()
    bench.row(bench.entry, "COMPLETE", filled=300)
    bench.fail(Fault.UNKNOWN, "timed out")
    filled = bench.made(bench.entry, "COMPLETE", filled=300)
    for _ in range(8):
        bench.later(1_000)
        if any(p.startswith("book") for p in bench.desk.asking.values()):
            bench.book(filled, held=300)
        if len(bench.orders_sent(Role.EXIT)) == 2:
            break
    first, second = bench.orders_sent(Role.EXIT)
    assert first.tag != second.tag
    assert second.terms.order_type == "SL"
    assert bench.trade.exits[0].lookups >= 2


def test_a_lost_stop_of_a_position_that_somebody_closed_is_given_up_in_the_end() -> None:
    bench = Bench()
    bench.enter()
    bench.accept()
    bench.row(bench.entry, "COMPLETE", filled=300)
    bench.fail(Fault.UNKNOWN, "timed out")
    filled = bench.made(bench.entry, "COMPLETE", filled=300)
    for _ in range(80):
        bench.later(2_000)
        if any(p.startswith("book") for p in bench.desk.asking.values()):
            bench.book(filled, held=0)
    assert bench.trade.done
    assert bench.trade.reason is Reason.EXTERNAL
    assert len(bench.orders_sent(Role.EXIT)) == 1  # nothing is sent for a position that is gone


def test_a_late_second_exit_leaves_one_only() -> None:
    bench = Bench()
    bench.opened()
    lost = replace(bench.exit, tag=bench.exit.tag[:-1] + "7")
    late = replace(bench.made(lost, "TRIGGER PENDING"), order_id="late")
    rows = (
        bench.made(bench.entry, "COMPLETE", filled=300),
        bench.made(bench.exit, "TRIGGER PENDING"),
    )
    bench.take(ev.FeedChanged(bench.now, True, "up"))
    (cancel,) = writes(bench.book(*rows, late, held=300))
    assert isinstance(cancel, cmd.Cancel)
    assert len(bench.trade.live_exits) == 2
    bench.accept()
    gone = bench.trade.exits[0] if bench.trade.exits[0].flight else bench.trade.exits[1]
    bench.row(gone, "CANCELLED")
    assert len(bench.trade.live_exits) == 1


def test_exits_that_closed_too_much_make_a_trade_of_the_other_side_that_is_closed() -> None:
    bench = Bench()
    bench.opened()
    first = bench.exit
    lost = replace(first, tag=first.tag[:-1] + "7")
    late = replace(bench.made(lost, "COMPLETE", filled=300), order_id="late")
    bench.row(first, "COMPLETE", filled=300)
    bench.take(ev.FeedChanged(bench.now, True, "up"))
    rows = (
        bench.made(bench.entry, "COMPLETE", filled=300),
        bench.made(first, "COMPLETE", filled=300),
    )
    bench.book(*rows, late, held=-300)
    other = bench.trade
    assert other.side is Side.SHORT
    assert (other.open, other.adopted_shares) == (300, 300)
    assert other.closing is not None
    assert other.closing.reason is Reason.SURPLUS
    back = bench.last(cmd.Place)
    assert (back.transaction, back.terms.quantity) == ("BUY", 300)
    assert bench.desk.trades[1].done


# the day and the modes


def test_t28_everything_is_closed_before_the_brokers_square_off_and_entries_end() -> None:
    bench = Bench(clock="14:30")
    bench.opened()
    said = bench.later(34 * 60_000 + 40_000)
    leave = [w for w in writes(said) if isinstance(w, cmd.Modify) and w.terms.order_type != "SL"]
    assert leave
    assert bench.trade.closing is not None
    assert bench.trade.closing.reason is Reason.SQUARE_OFF
    assert bench.trade.closing.since_ms < at("15:05")


@pytest.mark.parametrize(
    ("clock", "side", "allowed"),
    [
        ("09:20:30", "BUY", True),
        ("09:18", "BUY", False),
        ("13:58", "SELL", True),
        ("14:00", "SELL", False),
        ("14:43", "BUY", True),
        ("14:45", "BUY", False),
        ("15:10", "BUY", False),
    ],
)
def test_t29_entries_keep_to_their_hours(clock: str, side: str, allowed: bool) -> None:
    bench = Bench(clock=clock)
    bench.tick(2_000)
    bench.take(ev.TimerFired(bench.now, "decide"))
    ask = bench.last(cmd.AskModel)
    answer = ev.Prediction(KEY, side, "3", "champion", "r1", 0.5, 0.5, bench.now + 600_000)
    bench.take(ev.ModelAnswered(bench.now, ask.call, (answer,)))
    bench.answer_reads()
    assert bool(bench.orders_sent(Role.ENTRY)) is allowed
    if not allowed:
        assert [n.facts["reason"] for n in bench.all(cmd.Note) if n.kind == "refused"] == ["hours"]


def test_flatten_closes_everything_and_then_halts() -> None:
    bench = Bench()
    bench.opened()
    (leave,) = writes(bench.take(ev.Ordered(bench.now, "flatten")))
    assert isinstance(leave, cmd.Modify)
    assert bench.desk.mode is Mode.FLATTEN
    bench.accept()
    bench.row(bench.exit, "COMPLETE", filled=300)
    assert bench.desk.mode is Mode.HALT
    bench.take(ev.Ordered(bench.now, "resume"))
    assert bench.desk.mode is Mode.NORMAL


def test_halt_sends_nothing_but_leaves_and_completes_protection() -> None:
    bench = Bench()
    bench.enter()
    bench.accept()
    bench.take(ev.Ordered(bench.now, "halt"))
    said = writes(bench.row(bench.entry, "OPEN", filled=100))
    kinds = [type(one).__name__ for one in said]
    assert "Place" in kinds  # what has filled is protected all the same
    assert all(not (isinstance(one, cmd.Place) and one.role is Role.ENTRY) for one in said)


def test_t26_a_short_locked_at_the_upper_circuit_waits_at_the_band_without_spam() -> None:
    bench = Bench()
    bench.opened("SELL")
    bench.desk = replace(bench.desk, bands={KEY: ev.Band(1_700, 2_015)})
    bench.tick(2_010)
    bench.now += 1_000
    quote = replace(bench.desk.sights[KEY].quote, last=2_015, asks=(), volume=10**6,
                    exchange_ms=bench.now // 1000 * 1000)  # fmt: skip
    bench.take(ev.Ordered(bench.now, "flatten"))
    bench.take(ev.TickSeen(bench.now, KEY, quote))
    sent = len(writes(bench.out))
    for _ in range(5):
        if bench.exit.flight is not None:
            bench.accept()
            bench.row(bench.exit, "OPEN")
        bench.later(5_000)
    assert bench.trade.frozen
    assert len(writes(bench.out)) <= sent + 2
    assert bench.last(cmd.Modify).terms.price_ticks == 2_015


def test_t24_a_reverse_waits_until_the_trade_is_flat_and_gets_new_ids() -> None:
    bench = Bench(signals=replace(SignalRules(), opposite="reverse"))
    first = bench.opened("BUY")
    bench.now = at("10:06")
    bench.desk = replace(bench.desk, decided={})
    bench.tick(2_001)
    bench.take(ev.TimerFired(bench.now, "decide"))
    answer = ev.Prediction(KEY, "SELL", "3", "champion", "r2", 0.0, 0.6, bench.now + 600_000)
    bench.take(ev.ModelAnswered(bench.now, bench.last(cmd.AskModel).call, (answer,)))
    bench.answer_reads()
    assert len(bench.orders_sent(Role.ENTRY)) == 1
    bench.accept()
    bench.row(bench.exit, "COMPLETE", filled=300)
    assert bench.desk.trades[first.number].done
    bench.tick(2_001)
    entries = bench.orders_sent(Role.ENTRY)
    assert [e.transaction for e in entries] == ["BUY", "SELL"]
    assert entries[0].trade != entries[1].trade


def test_t40_no_answer_of_the_model_no_entry_and_exits_go_on() -> None:
    bench = Bench()
    bench.opened()
    bench.desk = replace(bench.desk, decided={})
    bench.take(ev.TimerFired(bench.now, "decide"))
    bench.take(ev.CallFailed(bench.now, bench.last(cmd.AskModel).call, Fault.RETRYABLE, "503"))
    assert bench.desk.mode is Mode.NO_NEW
    (leave,) = writes(bench.tick(2_045))
    assert isinstance(leave, cmd.Modify)


def test_a_foreign_agents_order_of_today_stops_entries() -> None:
    bench = Bench()
    bench.opened()
    row = replace(bench.made(bench.exit, "OPEN"), order_id="x", tag="RTzzzz000001E00")
    bench.take(ev.OrderSeen(bench.now, row))
    assert bench.desk.mode is Mode.NO_NEW
    assert "second_agent" in bench.desk.guards


def test_without_a_stop_for_too_long_the_position_is_closed() -> None:
    bench = Bench()
    bench.enter()
    bench.accept()
    bench.row(bench.entry, "COMPLETE", filled=300)
    for _ in range(8):  # the broker refuses every stop
        if bench.exit.flight is not None and bench.trade.closing is None:
            bench.fail(Fault.REFUSED, "stop orders are blocked for this instrument")
        filled = bench.made(bench.entry, "COMPLETE", filled=300)
        bench.later(1_200)
        if any(p.startswith("book") for p in bench.desk.asking.values()):
            bench.book(filled, held=300)
    assert bench.trade.closing is not None
    assert bench.trade.closing.reason is Reason.UNPROTECTED
    assert bench.last(cmd.Place).terms.order_type == "LIMIT"


def test_the_rules_of_the_bench_are_those_of_the_simulation() -> None:
    assert rules().entry.ttl_ms == EntryRules().ttl_ms


def test_a_broker_that_refuses_every_order_is_asked_less_and_less_often_and_never_given_up() -> (
    None
):
    bench = Bench()
    bench.enter()
    bench.accept()
    filled = bench.made(bench.entry, "COMPLETE", filled=300)
    bench.row(bench.entry, "COMPLETE", filled=300)
    sent = []
    for second in range(300):
        for place in bench.orders_sent(Role.EXIT)[len(sent) :]:
            sent.append(second)
            bench.take(ev.CallFailed(bench.now, place.call, Fault.BLOCKED, "IP is not registered"))
        if any(p.startswith("book") for p in bench.desk.asking.values()):
            bench.book(filled, held=300)
        bench.later(1_000)
    gaps = [b - a for a, b in pairwise(sent)]
    assert 8 <= len(sent) <= 20
    assert max(gaps) <= 40
    assert "writes" in bench.desk.guards
    assert "IP is not registered" in bench.desk.guards["writes"].words
    assert not bench.trade.done


def test_a_level_reached_during_a_halt_is_acted_on_after_it() -> None:
    bench = Bench()
    bench.opened()
    bench.take(ev.Ordered(bench.now, "halt"))
    assert writes(bench.tick(2_045)) == []
    assert writes(bench.tick(2_030)) == []
    (leave,) = writes(bench.take(ev.Ordered(bench.now, "resume")))
    assert isinstance(leave, cmd.Modify)
    assert bench.trade.reason is Reason.TARGET


def test_t30_a_dead_token_stops_entries_and_a_reading_lifts_it() -> None:
    bench = Bench()
    bench.opened()
    bench.take(ev.FeedChanged(bench.now, True, "up"))
    call = bench.last(cmd.ReadBook).call
    bench.take(ev.CallFailed(bench.now, call, Fault.TOKEN, "Incorrect `access_token`."))
    assert bench.desk.mode is Mode.NO_NEW
    assert bench.exit.state is OrderState.RESTING  # the broker's own order protects
    bench.later(2_000)
    bench.book(
        bench.made(bench.entry, "COMPLETE", filled=300),
        bench.made(bench.exit, "TRIGGER PENDING"),
        held=300,
    )
    assert bench.desk.mode is Mode.NORMAL


def _next_morning(bench: Bench) -> None:
    """Let the process die with a trade open and start on the next day."""
    bench.desk = restored(bench.desk.rules, Kept(trades=(bench.trade,), calls=90))
    bench.now += DAY_MS
    bench.out.clear()
    bench.take(ev.Started(bench.now))
    tomorrow = DAY + timedelta(days=1)
    session = Calendar.of_days([tomorrow]).session(tomorrow)
    assert session is not None
    opening = bench.last(cmd.OpenDay).call
    bench.take(ev.DayOpened(bench.now, opening, session, {KEY: INSTRUMENT}))


@BOTH
def test_a_position_gone_overnight_leaves_no_trade_behind(side: str, sign: int) -> None:
    del sign
    bench = Bench()
    bench.opened(side)
    _next_morning(bench)
    bench.book(held=0)
    bench.later(1_000)
    bench.book(held=0)
    assert bench.trade.open == 0
    assert bench.trade.done
    assert bench.exit.state is OrderState.CANCELLED
    assert not writes(bench.out)


@BOTH
def test_a_position_still_there_in_the_morning_gets_a_new_stop(side: str, sign: int) -> None:
    bench = Bench()
    bench.opened(side)
    old = bench.exit
    _next_morning(bench)
    bench.book(held=sign * 300)
    assert not writes(bench.out), "only a second reading says that nothing else closes it"
    bench.later(1_000)
    bench.book(held=sign * 300)
    (place,) = writes(bench.out)
    assert isinstance(place, cmd.Place)
    assert bench.exit.tag != old.tag
    assert place.terms.quantity == 300
    assert place.terms.trigger_ticks is not None
    assert old.terms.trigger_ticks is not None
    assert sign * place.terms.trigger_ticks >= sign * old.terms.trigger_ticks


def test_an_order_of_today_that_a_book_does_not_show_is_not_taken_for_over() -> None:
    bench = Bench()
    bench.opened()
    bench.take(ev.TimerFired(bench.now, "recheck"))
    bench.book(held=300)
    assert bench.exit.state is OrderState.RESTING
