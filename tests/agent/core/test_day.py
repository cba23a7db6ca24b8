"""The day's course: what a morning says, and what FLATTEN leaves alone."""

from __future__ import annotations

from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.rules import Rules
from agent.core.values import Mode
from agent.frozen import replace
from agent.risk.settings import MoneySettings, RiskSettings, parse_amount
from tests.agent.orders.bench import Bench, writes
from tests.agent.orders.world import rules as busy_rules

OFF = "max_sector is set but off: no sector file was given"


def money(max_sector: str | None) -> MoneySettings:
    """The settings of the bench with a limit for a sector, or without."""
    ours: Rules = busy_rules()
    limit = None if max_sector is None else parse_amount(max_sector)
    risk = RiskSettings(**{**dict(ours.money.risk), "max_sector": limit})
    return replace(ours.money, risk=risk)


def said(bench: Bench) -> tuple[list[str], list[str]]:
    """What the journal and a person were told about it."""
    notes = [n.words for n in bench.all(cmd.Note) if n.kind == "guard" and n.words == OFF]
    return notes, [n.words for n in bench.all(cmd.Notify) if n.words == OFF]


def test_a_sector_limit_without_a_sector_file_is_said_to_be_off() -> None:
    bench = Bench(money=money("30%"))
    assert said(bench) == ([OFF], [OFF])
    (notice,) = [n for n in bench.all(cmd.Notify) if n.words == OFF]
    assert notice.level == "warning"
    session = bench.desk.session
    assert session is not None
    bench.take(ev.TimerFired(bench.now, "day"))
    bench.take(ev.DayOpened(bench.now, bench.last(cmd.OpenDay).call, session, {}))
    assert said(bench) == ([OFF], [OFF])  # the same day, read again


def test_without_a_sector_limit_nothing_is_said() -> None:
    assert said(Bench(money=money(None))) == ([], [])


def test_a_frozen_trade_is_a_person_s_flatten_leaves_it_and_does_not_halt() -> None:
    bench = Bench()
    trade = bench.opened("SELL")
    frozen = replace(trade, frozen="locked at its circuit limit")
    bench.desk = replace(bench.desk, trades={trade.number: frozen})
    told = bench.take(ev.Ordered(bench.now, "flatten")) + bench.later(60_000)
    assert writes(told) == []
    assert bench.desk.trades[trade.number].closing is None
    assert bench.desk.mode is Mode.FLATTEN  # not HALT: something is still held
    bench.desk = replace(bench.desk, trades={trade.number: trade})
    assert writes(bench.tick(2_000)) != []  # what is not frozen goes


def test_with_a_sector_file_the_limit_is_on_and_nothing_is_said() -> None:
    bench = Bench(money=money("30%"), sectors={"NSE:AAA": "IT"})
    assert said(bench) == ([], [])
    assert bench.desk.money is not None
    assert bench.desk.money.sectors == {"NSE:AAA": "IT"}
