"""Profit and loss: running sums against a naive recomputation, by whom, by day, once a trade."""

from __future__ import annotations

from dataclasses import astuple, replace
from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Broken
from agent.market.charges import order_charges
from agent.portfolio.lots import Fill, PositionState
from agent.portfolio.pnl import (
    Line,
    Portfolio,
    freeze,
    next_day,
    on_fill,
    on_mark,
    rounded,
    rupees,
    statement,
    unfreeze,
    whole,
)
from tests.agent.portfolio.naive import recompute

ON = date(2026, 11, 25)
SLOT = ("NSE:A", "MIS")


def fill(n: int, signed: int, price: int, *, order: str | None = None, key: str = "NSE:A",
         product: str = "MIS", agent: str = "model", version: str = "1") -> Fill:  # fmt: skip
    return Fill(
        f"t{n}", order or f"o{n}", key, product, "NSE", "BUY" if signed > 0 else "SELL",
        abs(signed), price, ON, n, agent, version,
    )  # fmt: skip


def filled(*fills: Fill) -> Portfolio:
    portfolio = Portfolio(ON)
    for one in fills:
        portfolio, _ = on_fill(portfolio, one)
    return portfolio


@st.composite
def streams(draw: st.DrawFn) -> list[Fill]:
    """Trades of a few symbols, products and orders; an order keeps its side and symbol."""
    orders = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["NSE:A", "NSE:B"]), st.sampled_from(["MIS", "CNC"]),
                st.sampled_from([1, -1]), st.sampled_from(["model", "momentum"]),
                st.sampled_from(["1", "2"]),
            ), min_size=1, max_size=8,
        )
    )  # fmt: skip
    trades = draw(
        st.lists(
            st.tuples(st.integers(0, len(orders) - 1), st.integers(1, 30), st.integers(100, 90000)),
            max_size=25,
        )
    )
    return [
        fill(n, orders[at][2] * quantity, price, order=f"o{at}", key=orders[at][0],
             product=orders[at][1], agent=orders[at][3], version=orders[at][4])
        for n, (at, quantity, price) in enumerate(trades)
    ]  # fmt: skip


@given(fills=streams(), marks=st.tuples(st.integers(100, 90000), st.integers(100, 90000)))
def test_the_portfolio_equals_a_naive_recomputation(
    fills: list[Fill], marks: tuple[int, int]
) -> None:
    portfolio = filled(*fills)
    at = {"NSE:A": marks[0], "NSE:B": marks[1]}
    for key, price in at.items():
        portfolio = on_mark(portfolio, key, price)
    naive = recompute(fills)
    for slot, shares in naive.held.items():
        position = portfolio.positions.get(slot)
        assert (position.signed if position else 0) == sum(sign for sign, _ in shares)
        assert (position.cost if position else 0) == sum(price for _, price in shares)
    line = whole(portfolio)
    assert line.realised == sum(naive.realised.values())
    assert line.unrealised == naive.unrealised(at)
    assert line.charges == naive.charges
    assert line.round_trips == naive.round_trips
    sides = statement(portfolio, "side")
    for side, realised in naive.realised.items():
        assert sides[side].realised == realised
    for by in ("side", "symbol", "agent", "version"):
        rows = statement(portfolio, by)
        for part in ("realised", "unrealised", "charges", "round_trips", "net"):
            assert sum(getattr(row, part) for row in rows.values()) == getattr(line, part), by


@pytest.mark.parametrize(
    ("paise", "text"),
    [(0, "Rs 0.00"), (-1, "-Rs 0.01"), (1, "Rs 0.01"), (99, "Rs 0.99"), (101, "Rs 1.01"),
     (-100, "-Rs 1.00"), (12345678, "Rs 123,456.78"), (Fraction(5, 2), "Rs 0.03"),
     (Fraction(-5, 2), "-Rs 0.02"), (Fraction(7, 3), "Rs 0.02")],
)  # fmt: skip
def test_paise_as_a_person_reads_them(paise: int | Fraction, text: str) -> None:
    assert rupees(paise) == text
    assert isinstance(rounded(paise), int)


def test_a_mark_or_a_word_that_changes_nothing_changes_nothing() -> None:
    held = on_mark(filled(fill(1, 10, 100_00)), "NSE:A", 101_00)
    assert on_mark(held, "NSE:A", 101_00) is held
    assert on_mark(held, "NSE:B", 101_00) is held
    assert unfreeze(held, SLOT) is held
    assert unfreeze(held, ("NSE:B", "MIS")) is held


def test_a_turn_round_ends_one_round_trip_and_its_charges_are_shared_out() -> None:
    turned = filled(fill(1, 10, 100_00), fill(2, -30, 110_00, agent="momentum"))
    rows = statement(turned, "side")
    assert (rows["LONG"].round_trips, rows["SHORT"].round_trips) == (1, 0)
    assert turned.total.round_trips == 1
    assert (rows["LONG"].realised, rows["SHORT"].realised) == (10_000, 0)
    assert set(statement(turned, "agent")) == {"model", "momentum"}
    scaled = filled(fill(1, 10, 100_00), fill(2, -4, 110_00))
    assert (scaled.total.round_trips, scaled.total.gross) == (0, 4_000)
    assert list(statement(scaled, "side")) == ["LONG"]


@given(fills=streams())
def test_a_trade_counts_once_whenever_it_comes_again(fills: list[Fill]) -> None:
    once, twice = Portfolio(ON), Portfolio(ON)
    for n, one in enumerate(fills):
        once, _ = on_fill(once, one)
        twice, _ = on_fill(twice, one)
        for again in fills[: n + 1]:
            twice, closed = on_fill(twice, again)
            assert closed == ()
    assert once == twice


@given(fills=streams())
def test_what_a_fill_adds_in_charges_is_what_its_order_costs_in_the_end(fills: list[Fill]) -> None:
    portfolio = filled(*fills)
    assert portfolio.total.charges.total == sum(o.charges.total for o in portfolio.orders.values())
    assert all(min(astuple(o.charges)) >= 0 for o in portfolio.orders.values())


def test_brokerage_is_capped_once_an_order_and_not_once_a_fill() -> None:
    parts = filled(*[fill(n, 100, 100_000, order="o") for n in range(3)])  # 3 x Rs 100,000
    assert parts.total.charges.brokerage == 2000
    assert parts.orders["o"].value == 3 * 100 * 100_000
    orders = filled(*[fill(n, 100, 100_000) for n in range(3)])
    assert orders.total.charges.brokerage == 6000


def test_net_is_gross_less_both_legs_charges() -> None:
    portfolio = filled(fill(1, 100, 100_000), fill(2, -100, 100_000))
    assert whole(portfolio).net == -8268  # the worked example of Rs 100,000 bought and sold


def test_if_closed_takes_off_the_exit_s_charges() -> None:
    portfolio = on_mark(filled(fill(1, 100, 100_000)), "NSE:A", 101_000)
    out = order_charges(
        product="MIS", segment="NSE", transaction="SELL", quantity=100,
        price=Fraction(1010), on=ON,  # type: ignore[arg-type]
    ).total  # fmt: skip
    assert portfolio.exit_charges == out
    assert portfolio.net == 100_000 - 3034
    assert portfolio.day_net == 100_000 - 3034 - out


def test_a_frozen_short_counts_at_its_worst_and_a_person_lifts_it() -> None:
    short = on_mark(filled(fill(1, -100, 100_000)), "NSE:A", 110_000)
    frozen = freeze(short, SLOT, "locked at the upper circuit", guard_mark=120_000)
    assert frozen.positions[SLOT].state is PositionState.FROZEN
    assert frozen.unrealised == short.unrealised == -1_000_000
    assert frozen.guarded == -2_000_000
    assert unfreeze(frozen, SLOT) == short
    more, _ = on_fill(frozen, fill(2, 50, 110_000))
    assert more.positions[SLOT].state is PositionState.FROZEN  # a partial exit does not lift it
    with pytest.raises(Broken, match="frozen"):
        freeze(short, ("NSE:B", "MIS"), "no such")


def test_a_carried_lot_s_day_counts_from_the_previous_close() -> None:
    bought = on_mark(filled(fill(1, 10, 100_00, product="CNC")), "NSE:A", 104_00)
    today = next_day(bought, date(2026, 11, 26), {"NSE:A": 105_00})
    assert (today.total.charges.total, today.orders, whole(today).realised) == (0, {}, 0)
    moved = on_mark(today, "NSE:A", 107_00)
    assert moved.unrealised == 10 * 700  # since the entry
    assert moved.guarded == 10 * 200  # today
    for by, name in (("side", "LONG"), ("symbol", "NSE:A"), ("agent", "model"), ("version", "1")):
        assert statement(moved, by) == {name: Line(0, 7000, 0, 0)}  # type: ignore[arg-type]
    sold, closed = on_fill(moved, replace(fill(2, -10, 107_00, product="CNC"),
                                          on=date(2026, 11, 26)))  # fmt: skip
    assert (closed[0].gross, closed[0].day_gross) == (7000, 2000)
    assert sold.total.day_gross == 2000
    assert sold.positions == {}


def test_without_a_close_the_last_mark_stands_in() -> None:
    bought = on_mark(filled(fill(1, 10, 100_00, product="CNC")), "NSE:A", 104_00)
    today = next_day(bought, date(2026, 11, 26), {})
    assert today.positions["NSE:A", "CNC"].day_cost == 10 * 104_00
    with pytest.raises(Broken, match="forward"):
        next_day(today, date(2026, 11, 26), {})


@given(fills=streams(), price=st.integers(100, 90000))
def test_running_sums_are_the_sums(fills: list[Fill], price: int) -> None:
    portfolio = on_mark(filled(*fills), "NSE:A", price)
    held = portfolio.positions.values()
    assert portfolio.unrealised == sum(p.unrealised for p in held)
    assert portfolio.guarded == sum(p.guarded for p in held)
    assert portfolio.exit_charges == sum(
        order_charges(
            product=p.product, segment=p.segment, transaction=p.side.exit_transaction,
            quantity=p.quantity, price=Fraction(p.mark or 0) / 100, on=ON,  # type: ignore[arg-type]
        ).total for p in held
    )  # fmt: skip
