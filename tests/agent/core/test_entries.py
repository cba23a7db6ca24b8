"""Refused before it leaves, each with its reason in words: a row a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.rules import EntryRules
from agent.core.values import Band, Mode, Reason, Role
from agent.risk.settings import RiskSettings
from agent.trailing.policy import Policy
from tests.agent.orders.bench import KEY, POLICY, Bench
from tests.agent.orders.world import rules


def asked(bench: Bench, side: str = "BUY", **answer: Any) -> list[cmd.Note]:
    """Let the model speak; return the refusals."""
    bench.take(ev.TimerFired(bench.now, "decide"))
    call = bench.last(cmd.AskModel).call
    told = ev.Prediction(KEY, side, "3", "champion", "r", 0.5, 0.5, bench.now + 600_000)
    told = replace(told, **answer)
    bench.take(ev.ModelAnswered(bench.now, call, (told,)))
    bench.answer_reads()
    return [n for n in bench.all(cmd.Note) if n.kind == "refused"]


def patience_over(bench: Bench) -> list[cmd.Note]:
    for _ in range(30):
        bench.tick(2_000, spread=20)
    return [n for n in bench.all(cmd.Note) if n.kind == "refused"]


def allowed(word: str) -> Callable[[Bench], None]:
    def change(bench: Bench) -> None:
        info = replace(bench.desk.versions["3"], allowed=word)
        bench.desk = replace(bench.desk, versions={"3": info})

    return change


def guarded(bench: Bench) -> None:
    bench.take(ev.GuardRaised(bench.now, "journal", "disk full"))


def near_circuit(bench: Bench) -> None:
    bench.desk = replace(bench.desk, bands={KEY: Band(1_970, 3_000)})


#  id             what is changed before           reason        words
NOW = [
    ("gate none", allowed("none"), "gate", "may trade 'none'"),
    ("mode", guarded, "mode", "disk full"),
    ("circuit", near_circuit, "circuit", "adverse circuit"),
]


@pytest.mark.parametrize(
    ("change", "reason", "words"), [r[1:] for r in NOW], ids=[r[0] for r in NOW]
)
def test_a_refusal_has_its_reason_in_words(
    change: Callable[[Bench], None], reason: str, words: str
) -> None:
    bench = Bench()
    bench.tick(2_000)
    change(bench)
    (refusal,) = asked(bench)
    assert refusal.facts["reason"] == reason
    assert words in refusal.words
    assert bench.orders_sent(Role.ENTRY) == []


def test_paper_is_paper_and_live_needs_the_economic_gate() -> None:
    bench = Bench(live=True)
    bench.tick(2_000)
    (refusal,) = asked(bench)
    assert refusal.facts["reason"] == "gate"
    assert "'paper', not live" in refusal.words


def test_an_own_policy_is_taken_on_paper_and_live_only_with_leave() -> None:
    own = Policy.parse(POLICY.replace('"1%"', '"2%"'))
    for live, mismatch, enters in ((False, False, True), (True, False, False), (True, True, True)):
        bench = Bench(policy=POLICY, live=live, allow_policy_mismatch=mismatch)
        bench.desk = replace(bench.desk, rules=replace(bench.desk.rules, policy=own))
        allowed("live")(bench)
        bench.tick(2_000)
        asked(bench)
        assert bool(bench.orders_sent(Role.ENTRY)) is enters
        if enters:
            assert bench.trade.pin.policy_toml == own.text


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"valid_until_ms": 1}, "expired"),
        ({"version": "9"}, "version"),
    ],
)
def test_an_answer_that_cannot_be_acted_on(answer: dict[str, Any], why: str) -> None:
    bench = Bench()
    bench.tick(2_000)
    (refusal,) = asked(bench, **answer)
    assert refusal.facts["reason"] == why


def test_a_hold_and_an_error_are_no_entries_and_no_refusals() -> None:
    for answer in ({"side": "HOLD"}, {"error": "503"}, {"side": "HOLD", "warnings": ("stale",)}):
        bench = Bench()
        bench.tick(2_000)
        assert asked(bench, **answer) == []
        assert bench.orders_sent(Role.ENTRY) == []


def test_a_wide_spread_is_waited_out_and_then_refused() -> None:
    bench = Bench(entry=replace(EntryRules(), patience_ms=20_000))
    bench.tick(2_000, spread=20)
    assert asked(bench) == []
    assert [c.waits for c in bench.desk.candidates] == ["spread 99.5 bp, allowed 10"]
    (refusal,) = patience_over(bench)
    assert refusal.facts["reason"] == "spread"


def test_a_wide_spread_that_narrows_in_time_lets_the_entry_leave() -> None:
    bench = Bench()
    bench.tick(2_000, spread=20)
    asked(bench)
    bench.tick(2_000, spread=1)
    assert len(bench.orders_sent(Role.ENTRY)) == 1
    assert bench.desk.candidates == ()


def test_a_stale_packet_lets_nothing_in() -> None:
    bench = Bench()
    bench.tick(2_000)
    bench.now += 120_000
    assert asked(bench) == []
    assert "lately" in bench.desk.candidates[0].waits


def test_depth_caps_the_size() -> None:
    bench = Bench()
    bench.tick(2_000, shares=20)
    asked(bench)
    (place,) = bench.orders_sent(Role.ENTRY)
    assert place.terms.quantity == 100  # five levels of 20


def test_a_symbol_that_the_margin_call_left_out_is_not_mis_eligible() -> None:
    bench = Bench()
    bench.desk = replace(bench.desk, margins_per_share={(KEY, "SELL"): 100})
    bench.tick(2_000)
    bench.take(ev.TimerFired(bench.now, "decide"))
    told = ev.Prediction(KEY, "BUY", "3", "champion", "r", 0.5, 0.5, bench.now + 600_000)
    bench.take(ev.ModelAnswered(bench.now, bench.last(cmd.AskModel).call, (told,)))
    bench.take(ev.OrderMarginsRead(bench.now, bench.last(cmd.ReadOrderMargins).call, {}))
    (refusal,) = [n for n in bench.all(cmd.Note) if n.kind == "refused"]
    assert refusal.facts["reason"] == "mis_allowed"


def test_the_moneys_no_is_the_entrys_no() -> None:
    base = rules().money
    bench = Bench(money=replace(base, risk=RiskSettings(max_open_positions=0)))
    bench.tick(2_000)
    (refusal,) = asked(bench)
    assert refusal.facts["reason"] == "max_open_positions"


def test_a_second_entry_in_a_symbol_waits_and_is_then_refused() -> None:
    bench = Bench()
    bench.opened()
    bench.desk = replace(bench.desk, decided={})
    assert asked(bench) == []
    assert "holds or enters it" in bench.desk.candidates[0].waits


def test_after_a_stop_out_the_same_side_cools_down() -> None:
    bench = Bench(policy=POLICY + "[overtrading]\ncooldown_s = 300\nmax_round_trips = 2\n")
    bench.opened()
    bench.tick(1_975)
    bench.row(bench.exit, "COMPLETE", filled=300)
    assert bench.trade.done
    assert bench.trade.reason is Reason.STOP  # released by the exchange: nothing of ours was sent
    bench.desk = replace(bench.desk, decided={})
    (refusal,) = asked(bench)
    assert refusal.facts["reason"] == "cooldown"
    bench.desk = replace(bench.desk, decided={})
    asked(bench, side="SELL")
    assert len(bench.orders_sent(Role.ENTRY)) == 2


def test_one_decision_a_symbol_and_candle() -> None:
    bench = Bench()
    bench.tick(2_000)
    asked(bench, side="HOLD")
    asks = len(bench.all(cmd.AskModel))
    bench.take(ev.TimerFired(bench.now, "decide"))
    assert len(bench.all(cmd.AskModel)) == asks
    assert bench.desk.mode is Mode.NORMAL
