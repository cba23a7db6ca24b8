"""The dated charges schedule: worked examples, rounding once, exactness, breakeven."""

from __future__ import annotations

from dataclasses import astuple, fields
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.errors import SettingRefused
from agent.market.charges import (
    EARLIEST,
    GST_PERCENT,
    NO_CHARGES,
    PARTS,
    SCHEDULES,
    SQUARE_OFF_FEE_PAISE,
    Charges,
    ExactCharges,
    Rates,
    breakeven_price,
    dp_charge_paise,
    exact_order_charges,
    order_charges,
    rates_for,
    round_trip_per_share,
    schedule_on,
    stands_in,
)
from agent.market.instruments import Side

TODAY = date(2026, 11, 24)
PAIRS = [("MIS", "NSE"), ("CNC", "NSE"), ("MTF", "NSE"), ("MIS", "BSE"), ("CNC", "BSE"),
         ("NRML", "NFO-FUT"), ("NRML", "NFO-OPT"), ("MIS", "BFO-FUT"),
         ("NRML", "BFO-OPT")]  # fmt: skip
pairs = st.sampled_from(PAIRS)
days = st.dates(date(2012, 1, 1), date(2027, 12, 31))
prices = st.decimals("0.05", "60000", places=2)


def charges(
    transaction: str, quantity: int, price: str, *, on: date = TODAY, pair: str = "MIS NSE"
) -> Charges:
    product, segment = pair.split()
    return order_charges(
        product=product,
        segment=segment,
        transaction=transaction,
        quantity=quantity,
        price=Decimal(price),
        on=on,
    )


def test_the_worked_example_of_an_intraday_round_trip() -> None:
    both = charges("BUY", 100, "1000") + charges("SELL", 100, "1000")
    assert both == Charges(brokerage=4000, stt=2500, exchange=614, sebi=20, stamp=300, gst=834)
    assert both.total == 8268


#        pair            order                   brokerage stt  exch sebi stamp gst
ROWS = [("CNC NSE",      ("BUY", 100, "1000"),   (0,    10000, 307,  10, 1500,  57)),
        ("CNC NSE",      ("SELL", 100, "1000"),  (0,    10000, 307,  10,    0,  57)),
        ("MIS NSE",      ("BUY", 10, "1000"),    (300,      0,  31,   1,   30,  60)),
        ("MIS NSE",      ("SELL", 10, "1000"),   (300,    250,  31,   1,    0,  60)),
        ("MIS BSE",      ("SELL", 100, "1000"),  (2000,  2500, 375,  10,    0, 429)),
        ("NRML NFO-FUT", ("SELL", 100, "1000"),  (2000,  5000, 183,  10,    0, 395)),
        ("NRML NFO-FUT", ("BUY", 100, "1000"),   (2000,     0, 183,  10,  200, 395)),
        ("NRML NFO-OPT", ("SELL", 75, "100"),    (2000,  1125, 266,   1,    0, 408)),
        ("MTF NSE",      ("BUY", 1, "1000"),     (300,    100,   3,   0,   15,  55)),
        ("MIS NSE",      ("BUY", 1, "83"),       (2,        0,   0,   0,    0,   0)),  # .4956
        ("MIS NSE",      ("BUY", 1, "83.75"),    (3,        0,   0,   0,    0,   1)),  # .50004
        ("MIS NSE",      ("SELL", 3, "333.335"), (30,      25,   3,   0,    0,   6)),
        ("MIS NSE",      ("SELL", 0, "1000"),    (0,        0,   0,   0,    0,   0)),
        ("NRML NFO-OPT", ("SELL", 0, "1000"),    (0,        0,   0,   0,    0,   0))]  # fmt: skip


@pytest.mark.parametrize(("pair", "order", "expected"), ROWS)
def test_an_order_is_charged_by_its_product_and_segment(
    pair: str, order: tuple[str, int, str], expected: tuple[int, ...]
) -> None:
    assert astuple(charges(*order, pair=pair)) == expected


#    first day           last day before    what changed, on Rs 10,00,000 sold, in paise
@pytest.mark.parametrize(
    ("since", "pair", "component", "before", "after"),
    [
        (date(2021, 1, 1), "MIS NSE", "exchange", 3250, 3450),
        (date(2021, 4, 1), "MIS NSE", "sebi", 50, 100),
        (date(2023, 4, 1), "NRML NFO-FUT", "stt", 10_000, 12_500),
        (date(2024, 4, 1), "MIS NSE", "exchange", 3350, 3320),
        (date(2024, 10, 1), "NRML NFO-FUT", "stt", 12_500, 20_000),
        (date(2026, 4, 1), "NRML NFO-FUT", "stt", 20_000, 50_000),
    ],
)
def test_a_rate_changes_on_its_day(
    since: date, pair: str, component: str, before: int, after: int
) -> None:
    eve = since - timedelta(days=1)
    assert getattr(charges("SELL", 1000, "1000", on=eve, pair=pair), component) == before
    assert getattr(charges("SELL", 1000, "1000", on=since, pair=pair), component) == after


def test_the_broker_s_published_sample_of_2023_is_met() -> None:
    # kiteconnect mocks, virtual contract note: SBIN, CNC BUY 1 at 560
    # tax 0.56, exchange 0.01876, SEBI 0.00056, stamp 0.084 (rounded by it), GST 0.0034776
    sample = exact_order_charges(
        product="CNC", segment="NSE", transaction="BUY", quantity=1, price=Decimal(560),
        on=date(2023, 8, 1),
    )  # fmt: skip
    assert float(sample.stt) == 0.56
    assert float(sample.exchange) == 0.01876
    assert float(sample.sebi) == 0.00056
    assert float(sample.stamp) == 0.084
    assert float(sample.gst) == pytest.approx(0.0034776)


#    since               cash      futures   options   STT: futures options  SEBI      per cent
TABLE = [
    (date(2020, 7, 1),  "0.00325", "0.0019",  "0.05",    "0.01",   "0.05",   "0.00005"),
    (date(2021, 1, 1),  "0.00345", "0.0020",  "0.053",   "0.01",   "0.05",   "0.00005"),
    (date(2021, 4, 1),  "0.00345", "0.0020",  "0.053",   "0.01",   "0.05",   "0.0001"),
    (date(2023, 4, 1),  "0.00335", "0.0020",  "0.0505",  "0.0125", "0.0625", "0.0001"),
    (date(2024, 4, 1),  "0.00332", "0.00198", "0.05",    "0.0125", "0.0625", "0.0001"),
    (date(2024, 10, 1), "0.00307", "0.00183", "0.03553", "0.02",   "0.1",    "0.0001"),
    (date(2026, 4, 1),  "0.00307", "0.00183", "0.03553", "0.05",   "0.15",   "0.0001"),
]  # fmt: skip


def parts(percent: str) -> int:
    """Per cent as the schedule counts it."""
    return int(Decimal(percent) * PARTS / 100)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0].isoformat())
def test_every_rate_of_every_schedule(row: tuple[date, str, str, str, str, str, str]) -> None:
    since, cash, futures, options, stt_futures, stt_options, sebi = row
    last = SCHEDULES[-1].since + timedelta(days=400)
    later = min([s.since for s in SCHEDULES if s.since > since], default=last)
    for on in (since, later - timedelta(days=1)):
        taxes = parts(cash), parts(sebi)
        tenth, stamp = parts("0.1"), parts("0.015")
        assert rates_for("CNC", "NSE", on) == Rates(0, 0, (tenth, tenth), *taxes, stamp)
        assert rates_for("MTF", "NSE", on) == Rates(
            parts("0.3"), 2000, (tenth, tenth), *taxes, stamp
        )
        for product in ("MIS", "CO"):
            assert rates_for(product, "NSE", on) == Rates(
                parts("0.03"), 2000, (0, parts("0.025")), *taxes, parts("0.003")
            )
        assert rates_for("NRML", "NFO-FUT", on) == Rates(
            parts("0.03"), 2000, (0, parts(stt_futures)), parts(futures), parts(sebi),
            parts("0.002"),
        )  # fmt: skip
        assert rates_for("MIS", "NFO-OPT", on) == Rates(
            PARTS, 2000, (0, parts(stt_options)), parts(options), parts(sebi), parts("0.003")
        )
        for segment, exchange in (("BSE", "0.00375"), ("BFO-FUT", "0"), ("BFO-OPT", "0.0325")):
            product = "CNC" if segment == "BSE" else "NRML"
            assert rates_for(product, segment, on).exchange == parts(exchange)


def test_the_table_has_every_schedule_and_what_is_not_in_an_order() -> None:
    assert [row[0] for row in TABLE] == [s.since for s in SCHEDULES]
    assert (GST_PERCENT, SQUARE_OFF_FEE_PAISE, dp_charge_paise(TODAY)) == (18, 5_900, 1_534)


def test_a_difference_is_by_component() -> None:
    one, other = Charges(60, 50, 40, 30, 20, 10), Charges(1, 2, 3, 4, 5, 6)
    assert astuple(one - other) == (59, 48, 37, 26, 15, 4)
    assert astuple(one + other) == (61, 52, 43, 34, 25, 16)
    assert one.total == 210
    exact = ExactCharges(*(Fraction(n) for n in (60, 50, 40, 30, 20, 10)))
    assert exact.total == 210


def test_the_schedules_are_in_order_and_say_where_they_are_from() -> None:
    assert [s.since for s in SCHEDULES] == sorted({s.since for s in SCHEDULES})
    assert all(len(s.source) > 20 for s in SCHEDULES)


def test_the_earliest_schedule_stands_in_for_older_days() -> None:
    assert schedule_on(date(2012, 3, 1)) is SCHEDULES[0]
    assert stands_in(date(2012, 3, 1))
    assert not stands_in(EARLIEST)
    assert charges("SELL", 100, "1000", on=date(2012, 3, 1)) == charges(
        "SELL", 100, "1000", on=EARLIEST
    )


@pytest.mark.parametrize(
    "pair", ["NRML NSE", "CNC NFO-FUT", "MIS NFO", "MIS CDS-FUT", "BO NSE", "MTF NFO-OPT"]
)
def test_a_pair_that_does_not_exist_is_refused(pair: str) -> None:
    with pytest.raises(SettingRefused, match="product, segment"):
        charges("BUY", 1, "100", pair=pair)


@pytest.mark.parametrize("order", [("HOLD", 1, "1"), ("BUY", -1, "1"), ("BUY", 1, "-1")])
def test_an_order_that_cannot_have_executed_is_refused(order: tuple[str, int, str]) -> None:
    with pytest.raises(SettingRefused, match="order"):
        charges(*order)


@given(pair=pairs, on=days, price=prices, quantity=st.integers(0, 10**6),
       transaction=st.sampled_from(["BUY", "SELL"]))  # fmt: skip
def test_each_component_is_the_exact_one_rounded_once(
    pair: tuple[str, str], on: date, price: Decimal, quantity: int, transaction: str
) -> None:
    order = {"product": pair[0], "segment": pair[1], "transaction": transaction,
             "quantity": quantity, "price": price, "on": on}  # fmt: skip
    rounded, exact = order_charges(**order), exact_order_charges(**order)  # type: ignore[arg-type]
    for name in [f.name for f in fields(Charges)]:
        paise = getattr(exact, name) * 100
        assert getattr(rounded, name) == (paise + Fraction(1, 2)).__floor__(), name
    assert rounded - rounded == NO_CHARGES
    assert rounded.total == sum(astuple(rounded))


@given(pair=pairs, on=days, price=prices, quantity=st.integers(1, 10**5),
       side=st.sampled_from(Side))  # fmt: skip
@example(("MIS", "NSE"), TODAY, Decimal("683.33"), 100, Side.LONG)  # Rs 20.50, capped at 20
@example(("NRML", "NFO-OPT"), TODAY, Decimal("0.05"), 75, Side.SHORT)  # worth less than its fee
def test_a_trade_closed_at_its_breakeven_earns_exactly_nothing(
    pair: tuple[str, str], on: date, price: Decimal, quantity: int, side: Side
) -> None:
    product, segment = pair
    entry = Fraction(price)
    trade = {"product": product, "segment": segment}
    try:
        out = breakeven_price(side, entry, quantity, on, **trade)
    except SettingRefused:  # a SHORT whose proceeds are under its own charges
        assert side is Side.SHORT
        assert entry <= round_trip_per_share(entry, quantity, on, **trade) * 3
        return
    paid = sum(
        exact_order_charges(
            transaction=transaction, quantity=quantity, price=at, on=on, **trade
        ).total
        for transaction, at in ((side.entry_transaction, entry), (side.exit_transaction, out))
    )
    assert side.sign * quantity * (out - entry) == paid


def test_a_short_worth_less_than_its_own_fee_has_no_breakeven() -> None:
    with pytest.raises(SettingRefused, match=r"SHORT 75 at 1/20.*earns them back"):
        breakeven_price(Side.SHORT, Fraction("0.05"), 75, TODAY, product="NRML", segment="NFO-OPT")


@pytest.mark.parametrize("side", Side)
def test_what_was_had_for_nothing_breaks_even_at_nothing(side: Side) -> None:
    assert breakeven_price(side, Fraction(0), 10, TODAY) == 0
    assert round_trip_per_share(Fraction(0), 10, TODAY) == 0


@given(price=st.fractions(1, 50000, max_denominator=100), quantity=st.integers(1, 10**5), on=days)
def test_a_round_trip_a_share_is_both_legs_at_that_price(
    price: Fraction, quantity: int, on: date
) -> None:
    legs = [
        exact_order_charges(
            product="MIS", segment="NSE", transaction=t, quantity=quantity, price=price, on=on
        ).total
        for t in ("BUY", "SELL")
    ]
    assert round_trip_per_share(price, quantity, on) * quantity == sum(legs)


def test_the_round_trip_of_the_worked_example_a_share() -> None:
    assert round_trip_per_share(Fraction(1000), 100, TODAY) == Fraction("0.826812")


@pytest.mark.parametrize("quantity", [0, -5])
def test_no_breakeven_without_shares(quantity: int) -> None:
    with pytest.raises(SettingRefused, match="quantity"):
        round_trip_per_share(Fraction(100), quantity, TODAY)
    with pytest.raises(SettingRefused, match="quantity"):
        breakeven_price(Side.LONG, Fraction(100), quantity, TODAY)
