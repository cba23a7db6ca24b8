"""The daily report: lines that add up, a document with stable keys, the stand-in told."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

from agent.portfolio.lots import Closed, Fill
from agent.portfolio.pnl import Portfolio, next_day, on_fill, on_mark, rupees
from agent.portfolio.report import daily_report

ON = date(2026, 11, 25)


def day(on: date = ON) -> tuple[Portfolio, list[Closed]]:
    """A long that won, a short that lost, a long still open."""
    trades = [
        ("NSE:A", 100, 100_000, "model", "3"), ("NSE:A", -100, 101_000, "", ""),
        ("NSE:B", -50, 20_000, "momentum", ""), ("NSE:B", 50, 20_100, "", ""),
        ("NSE:C", 10, 50_000, "model", "3"),
    ]  # fmt: skip
    portfolio, closed = Portfolio(on), []
    for n, (key, signed, price, agent, version) in enumerate(trades):
        transaction = "BUY" if signed > 0 else "SELL"
        portfolio, parts = on_fill(
            portfolio,
            Fill(f"t{n}", f"o{n}", key, "MIS", "NSE", transaction, abs(signed), price, on, n,
                 agent, version),
        )  # fmt: skip
        closed += parts
    return on_mark(portfolio, "NSE:C", 50_500), closed


def test_every_part_of_the_report_adds_up_to_the_whole() -> None:
    report = daily_report(*day())
    assert report.total.realised == 100_000 - 5_000
    assert report.total.unrealised == 5_000
    assert report.charges.total == report.total.charges
    for part in (report.sides, report.symbols, report.agents, report.versions):
        assert sum(line.net for line in part.values()) == report.total.net
    assert report.sides["LONG"].realised == 100_000
    assert report.sides["SHORT"].realised == -5_000
    assert (report.total.round_trips, report.still_open) == (2, 1)
    assert report.best is not None
    assert report.worst is not None
    assert (report.best[0], report.worst[0]) == ("NSE:A", "NSE:B")


def test_the_report_in_words_line_by_line() -> None:
    report = daily_report(*day())
    charges = report.total.charges
    parts = "realised Rs 950.00 + unrealised Rs 50.00 - charges"
    won, lost = report.symbols["NSE:A"].net, report.symbols["NSE:B"].net
    trips = "2 round trips, 1 still open"
    assert report.lines() == [
        f"2026-11-25: net {rupees(100_000 - charges)} = {parts} {rupees(charges)}; {trips}",
        f"LONG: net {rupees(report.sides['LONG'].net)}, 1 round trips",
        f"SHORT: net {rupees(report.sides['SHORT'].net)}, 1 round trips",
        f"best NSE:A {rupees(won)}, worst NSE:B {rupees(lost)}",
    ]
    assert report.best == ("NSE:A", report.symbols["NSE:A"].net)
    assert report.worst == ("NSE:B", report.symbols["NSE:B"].net)
    sides = report.document()["sides"]
    assert isinstance(sides, dict)
    line = report.sides["LONG"]
    assert sides["LONG"]["gross"] == line.realised + line.unrealised == 105_000
    assert sides["LONG"]["net"] == line.net == 105_000 - line.charges
    total = report.document()["total"]
    assert isinstance(total, dict)
    assert (total["gross"], total["net"]) == (100_000, 100_000 - charges)


def test_the_document_is_json_and_the_words_carry_its_figures() -> None:
    report = daily_report(*day())
    document = json.loads(json.dumps(report.document()))
    assert document["on"] == "2026-11-25"
    assert document["net"] == document["total"]["net"] == report.net
    assert document["charges"]["total"] == report.total.charges
    assert set(document["agents"]) == {"model", "momentum"}
    assert document["schedule"].startswith("since 2026-04-01")
    first = report.lines()[0]
    assert "2 round trips, 1 still open" in first
    assert f"net Rs {report.net / 100:,.2f}" in first


def test_an_older_day_says_that_the_schedule_stands_in() -> None:
    report = daily_report(*day(date(2012, 6, 1)))
    assert report.schedule_stands_in
    assert any("stands in" in line for line in report.lines())
    assert not daily_report(*day()).schedule_stands_in


def test_a_delivery_sale_pays_the_depository_once_a_scrip() -> None:
    bought = Fill("t", "o", "NSE:A", "CNC", "NSE", "BUY", 10, 100_00, date(2026, 11, 23), 1)
    portfolio, _ = on_fill(Portfolio(bought.on), bought)
    portfolio = next_day(portfolio, ON, {})
    closed: list[Closed] = []
    for n in (1, 2):
        sale = replace(bought, trade_id=f"s{n}", order_id=f"s{n}", transaction="SELL", quantity=5,
                       on=ON)  # fmt: skip
        portfolio, parts = on_fill(portfolio, sale)
        closed += parts
    report = daily_report(portfolio, closed)
    assert report.dp_charges == 1_534
    assert report.net == report.total.net - 1_534
    paid = rupees(report.total.charges + 1_534)
    assert report.lines()[0].endswith(f"- charges {paid}; 1 round trips, 0 still open")
    assert daily_report(*day()).dp_charges == 0
    _, same_day = on_fill(
        on_fill(Portfolio(bought.on), bought)[0],
        replace(bought, trade_id="s", order_id="s", transaction="SELL"),
    )
    assert daily_report(Portfolio(bought.on), same_day).dp_charges == 0  # never delivered


def test_a_day_without_a_trade_has_a_report() -> None:
    report = daily_report(Portfolio(ON))
    assert (report.net, report.best, report.lines()[0][:31]) == (
        0, None, "2026-11-25: net Rs 0.00 = reali",
    )  # fmt: skip
