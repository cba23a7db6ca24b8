"""Round trips for a tax return: heads, days, turnover, and rows that add up to the orders."""

from __future__ import annotations

from dataclasses import astuple, replace
from datetime import date, datetime, time, timedelta
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import SettingRefused
from agent.market.charges import NO_CHARGES, Charges, dp_charge_paise
from agent.market.instruments import Side
from agent.market.sessions import IST, epoch_ms
from agent.portfolio.fiscal import FinancialYear
from agent.portfolio.roundtrips import Deal, Order, order_cost, round_trips, shared, with_depository

MONDAY = date(2026, 11, 23)
LONG, SHORT = Side.LONG, Side.SHORT


def at(on: date, clock: str = "10:00") -> int:
    return epoch_ms(datetime.combine(on, time.fromisoformat(clock), tzinfo=IST))


def order(quantity: int, rupees: int, on: date = MONDAY, clock: str = "10:00", *,
          ours: bool = True) -> Order:  # fmt: skip
    return Order(quantity, quantity * rupees * 100, at(on, clock), ours)


def deal(entry: Order, *exits: Order, side: Side = LONG, product: str = "MIS",
         segment: str = "NSE", number: int = 1, key: str = "NSE:A") -> Deal:  # fmt: skip
    return Deal(number, key, product, segment, side, (entry,), exits, "STOP", "model", "m", "3")


def days(n: int) -> date:
    return MONDAY + timedelta(days=n)


#    product, segment  side  closed after  head                        turnover, days, term
@pytest.mark.parametrize(
    ("pair", "side", "after", "head", "turnover", "term"),
    [
        ("MIS NSE", LONG, 0, "speculative business", 200_00, ""),
        ("MIS NSE", SHORT, 0, "speculative business", 200_00, ""),
        ("CNC NSE", LONG, 0, "speculative business", 200_00, ""),
        ("CNC NSE", LONG, 1, "capital gains", 980_00, "short"),
        ("CNC BSE", LONG, 365, "capital gains", 980_00, "short"),
        ("MTF NSE", LONG, 366, "capital gains", 980_00, "long"),
        ("MIS NSE", LONG, 2, "capital gains", 980_00, "short"),  # not squared off: delivered
        ("MIS NSE", SHORT, 2, "speculative business", 200_00, ""),  # the auction settled it
        ("NRML NFO-FUT", SHORT, 9, "non-speculative business", 200_00, ""),
        ("NRML NFO-OPT", LONG, 0, "non-speculative business", 200_00, ""),
    ],
)
def test_the_head_the_turnover_and_the_term(
    pair: str, side: Side, after: int, head: str, turnover: int, term: str
) -> None:
    product, segment = pair.split()
    # 10 at 118 in, at 98 out: 200 rupees lost by a LONG, won by a SHORT
    (row,), held = round_trips(
        deal(order(10, 118), order(10, 98, days(after)), side=side, product=product,
             segment=segment)
    )  # fmt: skip
    assert held is None
    assert (row.head, row.turnover, row.term, row.held_days) == (head, turnover, term, after)
    assert row.gross == side.sign * -200_00
    assert (row.buy_value, row.sell_value) == (
        (1180_00, 980_00) if side is LONG else (980_00, 1180_00)
    )


def test_twelve_months_end_on_the_same_day_also_in_a_leap_year() -> None:
    bought = order(10, 100, date(2028, 2, 29))
    for sold, term in ((date(2029, 2, 28), "short"), (date(2029, 3, 1), "long")):
        (row,), _ = round_trips(deal(bought, order(10, 100, sold), product="CNC"))
        assert row.term == term


def test_charges_are_the_orders_by_component() -> None:
    (row,), _ = round_trips(deal(order(100, 1000), order(100, 1000)))
    assert row.charges == Charges(4000, 2500, 614, 20, 300, 834)  # the worked example
    assert (row.gross, row.cost, row.net) == (0, 8268, -8268)


def test_each_order_is_charged_by_its_own_day() -> None:
    bought, sold = order(50, 1000, date(2026, 3, 30)), order(50, 1000, date(2026, 4, 1))
    (row,), _ = round_trips(deal(bought, sold, product="NRML", segment="NFO-FUT"))
    assert row.charges.stt == 25_00  # 0.05 % of the sale, no longer 0.02 %
    assert str(row.year) == "2026-27"  # the year is that of the exit
    short = deal(bought, sold, side=SHORT, product="NRML", segment="NFO-FUT")
    assert round_trips(short)[0][0].charges.stt == 10_00


def test_a_trade_closed_on_two_days_has_a_row_for_each_and_what_is_left_is_held() -> None:
    found, held = round_trips(
        deal(order(30, 100), order(5, 101, clock="11:00"), order(5, 103, clock="12:00"),
             order(7, 110, days(1)), product="CNC")
    )  # fmt: skip
    assert [(r.part, r.quantity, r.head, r.last) for r in found] == [
        (1, 10, "speculative business", False),
        (2, 7, "capital gains", False),
    ]
    assert [r.gross for r in found] == [20_00, 70_00]
    assert found[0].closed_ms == at(MONDAY, "12:00")
    assert held is not None
    assert (held.quantity, held.value) == (13, 1300_00)
    whole, none = round_trips(deal(order(30, 100), order(30, 101)))
    assert (whole[0].last, none) == (True, None)


def test_the_depository_is_paid_once_a_scrip_and_day_of_delivery() -> None:
    rows = [
        row
        for n, (key, product, after) in enumerate(
            [("NSE:A", "CNC", 1), ("NSE:A", "CNC", 1), ("NSE:B", "MTF", 1), ("NSE:A", "CNC", 2),
             ("NSE:C", "CNC", 0), ("NSE:D", "MIS", 1)]
        )
        for row in round_trips(
            deal(order(1, 100), order(1, 100, days(after)), product=product, number=n, key=key)
        )[0]
    ]  # fmt: skip
    charged = {(r.deal.number): r.other for r in with_depository(reversed(rows))}
    dp = dp_charge_paise(days(1))
    assert charged == {0: dp, 1: 0, 2: dp, 3: dp, 4: 0, 5: 0}
    first = with_depository(rows)[1]
    assert first.cost == first.charges.total + dp
    assert first.net == -first.cost


#  what is odd, and the words that the row carries
@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (deal(order(10, 100, ours=False), order(10, 101)), "10 shares came in without an order"),
        (deal(order(10, 100), order(6, 101), order(4, 101, ours=False)), "4 shares were closed"),
        (deal(order(10, 100), order(12, 101)), "2 shares more were traded than were held"),
        (deal(order(10, 100), order(10, 101), product="CNC"), "bought and sold on one day"),
        (deal(order(10, 100), order(10, 101, days(2)), side=SHORT), "not bought back on its day"),
    ],
)
def test_what_a_person_must_look_up_is_said(odd: Deal, words: str) -> None:
    (row,), _ = round_trips(odd)
    (note,) = row.notes
    assert note.startswith(words)
    assert row.quantity == 10


@pytest.mark.parametrize(
    "plain",
    [
        deal(order(10, 100), order(10, 101)),
        deal(order(10, 100), order(10, 101), side=SHORT),
        deal(order(10, 100), order(10, 101, days(2)), product="CNC"),
        deal(order(10, 100), order(10, 101), product="NRML", segment="NFO-FUT"),
        deal(order(10, 100), order(10, 101, days(2)), side=SHORT, product="NRML",
             segment="NFO-FUT"),
    ],
)  # fmt: skip
def test_of_what_is_plain_nothing_is_said(plain: Deal) -> None:
    (row,), _ = round_trips(plain)
    assert row.notes == ()


def test_nothing_is_charged_that_is_not_ours() -> None:
    (row,), _ = round_trips(deal(order(10, 100, ours=False), order(10, 101, ours=False)))
    assert row.charges == NO_CHARGES
    assert row.net == 10_00


def test_what_never_filled_has_no_row_and_what_only_entered_is_held() -> None:
    empty = Deal(1, "NSE:A", "MIS", "NSE", LONG, (), ())
    assert round_trips(empty) == ((), None)
    rows, held = round_trips(deal(order(10, 100)))
    assert rows == ()
    assert held is not None
    assert held.charges == order_cost(held.deal, order(10, 100), "BUY")


def test_a_trade_is_open_since_its_first_entry() -> None:
    both = (order(10, 100), order(10, 102, clock="11:00"))
    added = replace(deal(both[0], order(5, 105, clock="12:00")), entries=both)
    (row,), held = round_trips(added)
    assert held is not None
    assert (row.opened_ms, held.opened_ms) == (at(MONDAY), at(MONDAY))
    assert (row.entry_value, held.value) == (5 * 101_00, 15 * 101_00)


def test_a_share_of_a_sale_is_whole_paise() -> None:
    sale = replace(order(12, 100), value=1200_10)
    (row,), _ = round_trips(deal(order(10, 100), sale))
    assert (row.exit_value, type(row.exit_value)) == (1000_08, int)  # of 1000.0833


def test_a_surplus_order_after_the_last_share_is_charged_all_the_same() -> None:
    rows, held = round_trips(deal(order(10, 100), order(10, 101), order(3, 101, days(1))))
    assert held is None
    assert [(r.quantity, r.exit_value) for r in rows] == [(10, 1010_00), (0, 0)]
    assert rows[1].charges.total > 0


orders = st.lists(
    st.tuples(st.integers(1, 60), st.integers(1_00, 5_000_00), st.integers(0, 3), st.booleans()),
    max_size=6,
)


@given(entry=st.integers(1, 200), price=st.integers(1_00, 5_000_00), exits=orders,
       side=st.sampled_from(Side), product=st.sampled_from(["MIS", "CNC"]))  # fmt: skip
def test_rows_and_what_is_held_add_up_to_the_orders(
    entry: int, price: int, exits: list, side: Side, product: str
) -> None:
    gone = accumulate(quantity for quantity, *_ in exits)
    kept = [e for e, upto in zip(exits, gone, strict=True) if upto <= entry]
    found = Deal(
        1, "NSE:A", product, "NSE", side, (Order(entry, entry * price, at(MONDAY)),),
        tuple(sorted((Order(q, q * p, at(days(n)), ours) for q, p, n, ours in kept),
                     key=lambda o: o.at_ms)),
    )  # fmt: skip
    rows, held = round_trips(found)
    rest = 0 if held is None else held.quantity
    assert sum(r.quantity for r in rows) + rest == entry
    assert sum(r.entry_value for r in rows) + (held.value if held else 0) == entry * price
    assert sum(r.exit_value for r in rows) == sum(o.value for o in found.exits)
    paid = order_cost(found, found.entries[0], side.entry_transaction)
    for one in found.exits:
        paid += order_cost(found, one, side.exit_transaction)
    cost = NO_CHARGES if held is None else held.charges
    for row in rows:
        cost += row.charges
        assert min(astuple(row.charges)) >= 0
        assert row.net == row.gross - row.charges.total
    assert cost == paid
    assert [r.closed_on for r in rows] == sorted({r.closed_on for r in rows})
    assert [r.last for r in rows] == [False] * (len(rows) - 1) + [not rest] * bool(rows)


@given(value=st.integers(0, 10**9), quantities=st.lists(st.integers(1, 500), min_size=1))
def test_what_is_shared_out_adds_up(value: int, quantities: list[int]) -> None:
    parts = shared(value, quantities)
    assert sum(parts) == value
    assert all(type(part) is int for part in parts)
    total = sum(quantities)
    for part, quantity in zip(parts, quantities, strict=True):
        assert abs(part - value * quantity / total) < 2


@pytest.mark.parametrize(
    ("on", "year"),
    [(date(2026, 3, 31), "2025-26"), (date(2026, 4, 1), "2026-27"), (date(2027, 3, 31), "2026-27"),
     (date(2099, 5, 1), "2099-00"), (date(2000, 1, 1), "1999-00")],
)  # fmt: skip
def test_a_day_is_of_the_financial_year_april_to_march(on: date, year: str) -> None:
    found = FinancialYear.of(on)
    assert str(found) == year
    assert on in found
    assert found.since <= on <= found.until
    assert found.since - timedelta(days=1) not in found
    assert found.until + timedelta(days=1) not in found


def test_a_financial_year_is_read_as_it_is_written() -> None:
    year = FinancialYear.parse(" 2026-27 ")
    assert (year.since, year.until) == (date(2026, 4, 1), date(2027, 3, 31))
    assert FinancialYear.parse("2099-00") > year


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-28", "2026-2027", "26-27", "2026/27", "2026-26", "٢٠٢٦-٢٧", "=1+1"]
)
def test_what_is_no_financial_year_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingRefused, match="2026-27 is 1 April 2026 to 31 March 2027"):
        FinancialYear.parse(text)
