"""Results of many trades: every table adds up to the total, and the total is the portfolio's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from agent.market.charges import dp_charge_paise
from agent.market.instruments import Side
from agent.portfolio.lots import Fill
from agent.portfolio.pnl import Portfolio, on_fill, on_mark, whole
from agent.portfolio.results import BY, Price, results
from agent.portfolio.roundtrips import Deal, Order
from tests.agent.portfolio.test_roundtrips import MONDAY, at, days, deal, order

PARTS = ("realised", "unrealised", "charges", "round_trips", "gross", "net")


@st.composite
def traded(draw: st.DrawFn) -> list[Deal]:
    """Trades of a day, each in an instrument of its own: whole or in part closed, or not at all."""
    found = []
    for n in range(draw(st.integers(0, 6))):
        entered = draw(st.integers(1, 50))
        left, exits = entered, []
        for clock in ("11:00", "12:00", "13:00"):
            quantity = min(draw(st.integers(0, 40)), left)
            left -= quantity
            if quantity:
                exits.append(Order(quantity, quantity * draw(st.integers(5_00, 900_00)),
                                   at(MONDAY, clock)))  # fmt: skip
        found.append(
            Deal(
                n + 1, f"NSE:S{n}", draw(st.sampled_from(["MIS", "CNC"])), "NSE",
                draw(st.sampled_from(Side)),
                (Order(entered, entered * draw(st.integers(5_00, 900_00)), at(MONDAY)),),
                tuple(exits), "", draw(st.sampled_from(["model", "momentum", ""])), "m",
                draw(st.sampled_from(["1", "2"])),
            )
        )  # fmt: skip
    return found


def fills(one: Deal) -> Iterator[Fill]:
    side = one.side
    for n, (what, transaction) in enumerate(
        [(o, side.entry_transaction) for o in one.entries]
        + [(o, side.exit_transaction) for o in one.exits]
    ):
        name = f"{one.number}-{n}"
        yield Fill(name, name, one.key, one.product, one.segment, transaction, what.quantity,
                   what.value // what.quantity, MONDAY, what.at_ms)  # fmt: skip


@given(deals=traded(), mark=st.integers(5_00, 900_00))
def test_the_journal_s_results_are_the_portfolio_s_to_the_paisa(
    deals: list[Deal], mark: int
) -> None:
    portfolio = Portfolio(MONDAY)
    for one in deals:
        for fill in fills(one):
            portfolio, _ = on_fill(portfolio, fill)
    for one in deals:
        portfolio = on_mark(portfolio, one.key, mark)
    found = results(deals, {one.key: Price(mark, at(MONDAY, "14:00")) for one in deals})
    assert found.total == whole(portfolio)
    assert len(found.positions) == len(portfolio.positions)


@given(deals=traded(), mark=st.integers(5_00, 900_00))
def test_every_table_adds_up_to_the_total(deals: list[Deal], mark: int) -> None:
    found = results(deals, {one.key: Price(mark, at(days(1))) for one in deals[::2]})
    assert set(found.tables) == set(BY) >= {"day", "side", "symbol", "agent", "version"}
    for table in found.tables.values():
        for part in PARTS:
            assert sum(getattr(line, part) for line in table.values()) == getattr(found.total, part)
    held = {p.held.deal.key for p in found.positions}
    assert set(found.unpriced) == held - {one.key for one in deals[::2]}


def test_an_amount_belongs_to_its_own_day() -> None:
    carried = deal(order(10, 100), order(4, 110, days(1)), product="CNC")
    found = results([carried], {"NSE:A": Price(120_00, at(days(2)))})
    by_day = found.tables["day"]
    assert list(by_day) == [days(n).isoformat() for n in range(3)]
    first, second, third = by_day.values()
    assert (first.realised, first.unrealised) == (0, 0)
    assert first.charges > 0
    assert (second.realised, second.round_trips) == (40_00, 0)
    assert second.charges > dp_charge_paise(days(1))  # the sale's, and the depository's
    assert (third.unrealised, third.charges) == (6 * 20_00, 0)
    only = results([carried], {"NSE:A": Price(120_00, at(days(2)))}, since=days(1), until=days(1))
    assert only.total == second
    assert results([carried], {}, since=days(3)).total.net == 0


def test_a_position_without_a_price_is_named_and_not_counted() -> None:
    found = results([deal(order(10, 100))], {})
    assert (found.total.unrealised, found.unpriced) == (0, ("NSE:A",))
    shown = found.document()
    assert shown["open"][0]["unrealised_paise"] is None
    assert shown["unpriced"] == ["NSE:A"]
    short = results([deal(order(10, 100), side=Side.SHORT)], {"NSE:A": Price(101_00, at(MONDAY))})
    assert (short.total.unrealised, short.unpriced) == (-10_00, ())
    even = results([deal(order(10, 100))], {"NSE:A": Price(100_00, at(MONDAY))})
    assert (even.total.unrealised, even.unpriced) == (0, ())


def test_who_decided_is_named_or_unknown() -> None:
    by_hand = replace(deal(order(10, 100), order(10, 103), number=2), agent="", model="")
    tables = results([deal(order(10, 100), order(10, 105)), by_hand], {}).tables
    assert {n: line.realised for n, line in tables["agent"].items()} == {
        "model": 50_00,
        "unknown": 30_00,
    }
    assert list(tables["version"]) == ["m 3", "no model 3"]


def test_a_price_older_than_the_trade_counts_on_the_trade_s_day() -> None:
    found = results([deal(order(10, 100))], {"NSE:A": Price(99_00, at(date(2026, 11, 20)))})
    assert list(found.tables["day"]) == [MONDAY.isoformat()]


def test_the_document_s_keys() -> None:
    found = results([deal(order(10, 100), order(10, 105))], {})
    shown = found.document()
    assert json.loads(json.dumps(shown)) == shown
    assert list(shown) == ["total", "by_day", "by_side", "by_symbol", "by_agent", "by_version",
                           "by_product", "open", "unpriced"]  # fmt: skip
    assert shown["total"] == {
        "realised_paise": 5000, "unrealised_paise": 0, "gross_paise": 5000,
        "charges_paise": found.total.charges, "net_paise": 5000 - found.total.charges,
        "round_trips": 1,
    }  # fmt: skip
    assert list(shown["by_version"]) == ["m 3"]
    assert results([], {}).document()["by_day"] == {}
