"""Sizing: the four rules, whole lots, the loss to the stop's LIMIT with both legs' charges."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.market.charges import (
    charges_on,
    exact_order_charges,
    order_charges,
    rates_for,
    total_on,
)
from agent.market.instruments import Instrument, Side
from agent.risk import open_book
from agent.risk.sizing import (
    Proposal,
    _solve,
    quantity_at_risk,
    risk_at_stop,
    slices_of,
    trade_risk,
    wanted,
)
from tests.agent.risk.scenes import CASH, FUTURE, ON, entered, proposal, settings, wide


@pytest.mark.parametrize(
    ("rule", "given", "wish", "shares"),
    [
        ("fixed_quantity", {"quantity": 7}, {}, 7),
        ("fixed_quantity", {"quantity": 120}, {"instrument": FUTURE}, 100),  # whole lots of 50
        ("fixed_notional", {"notional": "25%"}, {}, 25),  # Rs 25,000 at 1000
        ("fixed_notional", {"notional": 999}, {}, 0),
        ("volatility_target", {"volatility": "0.25%"}, {"daily_sd": 20_00}, 12),  # 250 / 20
        ("volatility_target", {"volatility": "0.25%"}, {}, 0),
        ("risk_per_trade", {"risk": "0.25%"}, {}, 22),
        ("risk_per_trade", {"risk": "0.25%"}, {"stop": "980"}, 11),
        ("risk_per_trade", {"risk": 10}, {}, 0),
    ],
)
def test_the_four_rules(rule: str, given: dict, wish: dict, shares: int) -> None:
    rules = settings(how=rule, total=100_000, **given)
    wish_ = proposal(**wish)
    assert wanted(wish_, rules) == (rule, shares, trade_risk(wish_, shares))


def test_the_risk_of_a_trade_figure_by_figure() -> None:
    # LONG 100 at 1000, stop order's limit 990: 100 x 10 rupees, and two orders' charges
    wish = proposal(at="1000", stop="990")
    buy = order_charges(product="MIS", segment="NSE", transaction="BUY", quantity=100,
                        price=Decimal(1000), on=ON)  # fmt: skip
    sell = order_charges(product="MIS", segment="NSE", transaction="SELL", quantity=100,
                         price=Decimal(990), on=ON)  # fmt: skip
    assert (buy.total, sell.total) == (3034, 5205)
    assert trade_risk(wish, 100) == 1_000_00 + 3034 + 5205


def test_the_distance_is_to_the_limit_of_the_stop_and_not_nearer() -> None:
    near, far = proposal(stop="990"), proposal(stop="980.10")  # trigger 990, limit 1 % below
    budget = 250_00
    assert quantity_at_risk(far, budget) < quantity_at_risk(near, budget)
    assert trade_risk(far, quantity_at_risk(far, budget)) <= budget


def exact_risk(wish: Proposal, quantity: int) -> Fraction:
    """The loss at the stop's limit in paise with charges that are not rounded."""
    legs = [
        (wish.side.entry_transaction, wish.limit),
        (wish.side.exit_transaction, wish.stop_limit),
    ]
    charges = sum(
        exact_order_charges(
            product=wish.product, segment=wish.instrument.segment, transaction=transaction,
            quantity=quantity, price=Fraction(wish.instrument.price(ticks)), on=wish.on,
        ).total
        for transaction, ticks in legs
    )  # fmt: skip
    return quantity * wish.side.sign * (wish.limit_paise - wish.stop_paise) + charges * 100


#  a budget for each branch: both legs under the brokerage's cap, one at it, both at it
@pytest.mark.parametrize("budget", [0, 1, 1_00, 250_00, 660_00, 700_00, 2_000_00, 50_000_00])
@pytest.mark.parametrize(
    ("product", "instrument", "at", "behind"),
    [("MIS", CASH[0], "1000", "0.5"), ("MIS", CASH[0], "1000", "30"), ("CNC", CASH[0], "87", "1"),
     ("MTF", CASH[0], "500", "5"), ("NRML", FUTURE, "1000", "2"), ("MIS", CASH[0], "3.05", "1")],
)  # fmt: skip
@pytest.mark.parametrize("side", Side)
def test_the_solution_is_exact_before_it_is_rounded(
    side: Side, product: str, instrument: Instrument, at: str, behind: str, budget: int
) -> None:
    stop = str(Decimal(at) - side.sign * Decimal(behind))
    wish = proposal(side, at, stop, product=product, instrument=instrument)
    rates = rates_for(product, instrument.segment, ON)
    quantity = _solve(wish, rates, budget)
    assert quantity >= 0
    assert exact_risk(wish, quantity) <= budget
    assert exact_risk(wish, quantity + 1) > budget


@pytest.mark.parametrize("quantity", [1, 7, 66, 67, 400, 90_000])
@pytest.mark.parametrize(
    ("product", "instrument", "at", "behind"),
    [("MIS", CASH[0], "1000", "0.5"), ("MIS", CASH[0], "1000", "30"), ("CNC", CASH[0], "87", "1"),
     ("MTF", CASH[0], "500", "5"), ("NRML", FUTURE, "1000", "2")],
)  # fmt: skip
@pytest.mark.parametrize("side", Side)
def test_a_budget_of_just_so_many_shares_buys_just_so_many(
    side: Side, product: str, instrument: Instrument, at: str, behind: str, quantity: int
) -> None:
    stop = str(Decimal(at) - side.sign * Decimal(behind))
    wish = proposal(side, at, stop, product=product, instrument=instrument)
    rates = rates_for(product, instrument.segment, ON)
    budget = ceil(exact_risk(wish, quantity))
    assert _solve(wish, rates, budget) == quantity
    assert _solve(wish, rates, budget - 1) == quantity - 1


@pytest.mark.parametrize("side", Side)
def test_contracts_are_sized_in_whole_lots(side: Side) -> None:
    wish = proposal(side, instrument=FUTURE, product="NRML")
    for lots in (1, 3):
        budget = trade_risk(wish, lots * 50)
        assert quantity_at_risk(wish, budget) == lots * 50
        assert quantity_at_risk(wish, budget - 1) == (lots - 1) * 50
        assert quantity_at_risk(wish, budget + 100) == lots * 50


#  where the roundings of the parts add up to a paisa too much: one share fewer, or none
@pytest.mark.parametrize(
    ("entry", "stop", "budget", "solved", "shares"),
    [(14_395, 14_423, 108_28, 50, 49), (19_721, 19_769, 3_45, 1, 0)],  # solved without the slack
)
def test_a_lot_is_given_back_where_rounding_takes_it(
    entry: int, stop: int, budget: int, solved: int, shares: int
) -> None:
    wish = replace(proposal(Side.SHORT), limit=entry, stop_limit=stop)
    assert _solve(wish, rates_for("MIS", "NSE", ON), budget) == solved
    assert quantity_at_risk(wish, budget) == shares


def test_the_loss_at_a_stop_of_what_is_held_has_the_exit_s_charges() -> None:
    position = entered(open_book(ON), proposal(at="1000"), wide()).portfolio.positions[
        "NSE:A", "MIS"
    ]
    sale = order_charges(product="MIS", segment="NSE", transaction="SELL", quantity=100,
                         price=Decimal(990), on=ON)  # fmt: skip
    assert risk_at_stop(position, 990_00, ON) == 1_000_00 + sale.total
    short = entered(open_book(ON), proposal(Side.SHORT, at="1000"), wide())
    held = short.portfolio.positions["NSE:A", "MIS"]
    buy = order_charges(product="MIS", segment="NSE", transaction="BUY", quantity=100,
                        price=Decimal(985), on=ON)  # fmt: skip
    assert risk_at_stop(held, 985_00, ON) == -1_500_00 + buy.total


def test_exposure_is_counted_at_the_worse_price_for_a_sale_only() -> None:
    for side, reference, unit in (
        (Side.SHORT, "1001", 1001_00), (Side.SHORT, "999", 1000_00), (Side.LONG, "1001", 1000_00),
    ):  # fmt: skip
        wish = proposal(side, at="1000", reference=CASH[0].ticks(reference))
        assert wish.unit_paise == unit
    assert proposal(Side.SHORT).unit_paise == 1000_00


instruments = st.sampled_from([*CASH[:1], FUTURE, Instrument("NSE:Z", 9, Decimal("0.01"))])


@given(
    instrument=instruments,
    side=st.sampled_from(Side),
    entry=st.integers(200, 400_000),
    distance=st.integers(1, 150),
    budget=st.integers(0, 5_000_000),
)
def test_the_size_is_the_largest_that_fits(
    instrument: Instrument, side: Side, entry: int, distance: int, budget: int
) -> None:
    product = "NRML" if instrument is FUTURE else "MIS"
    wish = Proposal(instrument, product, side, entry, entry - side.sign * distance, ON)
    quantity = quantity_at_risk(wish, budget)
    lot = instrument.lot_size
    assert quantity % lot == 0
    assert quantity >= 0
    if quantity:
        assert trade_risk(wish, quantity) <= budget
    assert trade_risk(wish, quantity + lot) > budget


@given(
    pair=st.sampled_from([("MIS", "NSE"), ("CNC", "NSE"), ("NRML", "NFO-FUT"),
                          ("NRML", "NFO-OPT"), ("MTF", "BSE")]),
    transaction=st.sampled_from(["BUY", "SELL"]),
    paise=st.integers(0, 10**12),
)  # fmt: skip
@example(("MIS", "NSE"), "BUY", 83_00)  # GST of .4956 paise
@example(("MIS", "NSE"), "BUY", 83_75)  # and of .50004
@example(("CNC", "NSE"), "BUY", 100_000_00)
def test_the_quick_total_is_the_total(pair: tuple[str, str], transaction: str, paise: int) -> None:
    rates = rates_for(*pair, ON)
    assert total_on(rates, transaction, paise) == charges_on(rates, transaction, paise).total


@pytest.mark.parametrize(
    ("quantity", "freeze", "lot", "slices"),
    [
        (100, None, 1, (100,)),
        (100, 100, 1, (100,)),
        (250, 100, 1, (100, 100, 50)),
        (1800, 1000, 75, (975, 825)),
    ],
)
def test_slices_are_whole_lots_within_the_freeze_quantity(
    quantity: int, freeze: int | None, lot: int, slices: tuple[int, ...]
) -> None:
    instrument = Instrument("NFO:X", 1, Decimal("0.05"), lot_size=lot, freeze_quantity=freeze)
    assert slices_of(quantity, instrument) == slices
    assert sum(slices) == quantity
