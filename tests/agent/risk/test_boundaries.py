"""Each limit at its figure and one beyond: what still fits, what no longer does, and the words."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.market.instruments import Instrument, Side
from agent.portfolio.lots import plain
from agent.portfolio.pnl import rounded, rupees
from agent.risk import (
    Book,
    Margins,
    Refusal,
    RiskSettings,
    Sized,
    decide_entry,
    guards,
    on_fill,
    on_margins,
    on_mark,
    on_stop,
    open_book,
    release,
    reserve,
)
from agent.risk.capital import pool_of
from agent.risk.limits import margin_room, risk_left, risk_room
from agent.risk.margin import checked_margin, fallback_margin, product_refusal
from agent.risk.settings import CapitalSettings, MarginSettings, parse_amount
from agent.risk.sizing import trade_risk
from tests.agent.risk.scenes import CASH, FUTURE, ON, SECTORS, entered, fill_of, proposal, wide

LONG, SHORT = Side.LONG, Side.SHORT
CALL = Instrument("NFO:A26DEC1000CE", 91, Decimal("0.05"), lot_size=50, segment="NFO-OPT",
                  instrument_type="CE", freeze_quantity=10_010)  # fmt: skip
PUT = replace(CALL, key="NFO:A26DEC1000PE", instrument_type="PE")


def sized(wish: Any, book: Book | None = None, **given: Any) -> Sized:
    answer = decide_entry(open_book(ON) if book is None else book, wish, wide(**given))
    assert isinstance(answer, Sized), answer
    return answer


def refused(wish: Any, book: Book | None = None, **given: Any) -> Refusal:
    answer = decide_entry(open_book(ON) if book is None else book, wish, wide(**given))
    assert isinstance(answer, Refusal), answer
    return answer


@pytest.mark.parametrize(
    ("given", "wish"),
    [
        ({"quantity": 1}, {}),
        ({"max_gross": 1000}, {}),
        ({"max_net": 1000}, {}),
        ({"max_symbol": 1000}, {"side": SHORT}),
        ({"max_short": 1999}, {"side": SHORT}),
        ({"how": "fixed_notional", "notional": 1000}, {}),
        ({"how": "volatility_target", "volatility": 20}, {"daily_sd": 20_00}),
        ({}, {"depth": 1}),
        ({}, {"margin": 100_000_00}),
    ],
)
def test_one_share_that_just_fits_is_taken(given: dict[str, Any], wish: dict[str, Any]) -> None:
    assert sized(proposal(**wish), **given).quantity == 1


LEFT = "room left Rs"
NOTHING_YET = "the figure is Rs 0.00, allowed Rs"
LOT_OF_ONE = "allowed at least one lot of 1, room left none"


#  what is one paisa (or one share) short, and every word of the refusal
@pytest.mark.parametrize(
    ("given", "wish", "words"),
    [
        (
            {"max_gross": "999.99"},
            {},
            f"max_gross: one lot takes Rs 1,000.00; {NOTHING_YET} 999.99, {LEFT} 999.99",
        ),
        (
            {"how": "fixed_notional", "notional": "999.99"},
            {},
            f"fixed_notional: the size is 0, {LOT_OF_ONE}",
        ),
        (
            {"how": "volatility_target", "volatility": "19.99"},
            {"daily_sd": 20_00},
            f"volatility_target: the size is 0, {LOT_OF_ONE}",
        ),
        ({}, {"depth": 0}, f"depth: shares to be had is 0, {LOT_OF_ONE}"),
        (
            {"max_gross": 49_999},
            {"instrument": FUTURE, "product": "NRML"},
            f"max_gross: one lot takes Rs 50,000.00; {NOTHING_YET} 49,999.00, {LEFT} 49,999.00",
        ),
    ],
)
def test_what_just_does_not_fit_is_refused_with_all_figures(
    given: dict[str, Any], wish: dict[str, Any], words: str
) -> None:
    answer = refused(proposal(**wish), **given)
    assert answer.words == words
    for part in (f" is {answer.figure}, ", f"allowed {answer.allowed}, ", answer.room):
        assert part in words


@pytest.mark.parametrize(
    ("limit", "side"),
    [("max_gross", LONG), ("max_long", LONG), ("max_short", SHORT), ("max_net", SHORT),
     ("max_symbol", LONG), ("max_sector", SHORT)],
)  # fmt: skip
def test_a_paisa_short_of_a_share_is_no_share(limit: str, side: Side) -> None:
    book = open_book(ON, SECTORS)
    assert refused(proposal(side), book, **{limit: "999.99"}).limit == limit
    assert sized(proposal(side), book, **{limit: 1000}).quantity == 1


def test_caps_are_whole_lots() -> None:
    wish = proposal(instrument=FUTURE, product="NRML", depth=149, margin=1)
    book = on_margins(open_book(ON), Margins(249, 1, 1))
    answer = sized(wish, book, quantity=1_000, max_gross=499_000)
    assert dict(answer.caps) | {"risk": 0} == {
        "fixed_quantity": 1_000, "max_gross": 450, "max_long": 1_000, "max_net": 1_000,
        "max_symbol": 1_000, "margin": 200, "max_daily_loss": 1_000, "depth": 100,
        "freeze": 10_000, "risk": 0,
    }  # fmt: skip
    assert (answer.quantity, answer.bound, answer.slices) == (100, "depth", (100,))
    call = proposal(instrument=CALL, product="NRML", at="10", stop="9", margin=1)
    many = sized(call, quantity=500_000, total=10**9, slices=3)
    assert (many.quantity, many.slices) == (30_000, (10_000, 10_000, 10_000))


@pytest.mark.parametrize(
    ("instrument", "side", "product", "words"),
    [
        (CALL, SHORT, "NRML", "writing options"),
        (PUT, SHORT, "MIS", "writing options"),
        (CALL, LONG, "NRML", None),
        (PUT, LONG, "MIS", None),
        (FUTURE, SHORT, "NRML", None),
        (FUTURE, SHORT, "CO", None),
        (FUTURE, LONG, "CNC", "CNC does not exist for futures and options"),
        (CASH[0], SHORT, "MIS", None),
        (CASH[0], SHORT, "CO", None),
        (CASH[0], SHORT, "MTF", "MTF SELL needs shares held"),
        (CASH[0], LONG, "MTF", None),
        (CASH[0], LONG, "NRML", "NRML does not exist for shares"),
    ],
)
def test_which_product_may_open_which_side(
    instrument: Instrument, side: Side, product: str, words: str | None
) -> None:
    found = product_refusal(instrument, side, product)
    assert (found is None) is (words is None)
    assert words is None or words in str(found)


def test_the_price_band_and_the_least_price_are_inclusive() -> None:
    wish = proposal(at="1000", stop="990")
    ticks = (CASH[0].ticks("990"), CASH[0].ticks("1000"))
    assert sized(replace(wish, band=ticks)).quantity == 100
    for band in ((ticks[0] + 1, ticks[1]), (ticks[0], ticks[1] - 1)):
        assert refused(replace(wish, band=band)).limit == "band"
    assert sized(proposal(at="50", stop="49"), min_price=50).quantity == 100
    assert refused(proposal(at="49.95", stop="49"), min_price=50).limit == "min_price"
    cheap = proposal(at="10", stop="9", instrument=CALL, product="NRML")
    assert sized(cheap, min_price=50).quantity == 100  # a premium is no share's price
    assert sized(proposal(at="0.10", stop="0.05")).quantity == 100  # one tick is a price
    for limit, stop in ((0, -1), (2, 0)):
        odd = replace(wish, limit=limit, stop_limit=stop)
        assert refused(odd).limit == "price"
    free = replace(proposal(SHORT), limit=0, stop_limit=5)
    assert refused(free).limit == "price"
    assert sized(replace(free, limit=1)).quantity == 100
    for side in Side:
        near = replace(proposal(side), stop_limit=proposal(side).limit - side.sign)
        assert sized(near).quantity == 100  # a tick away is behind the entry
        assert refused(replace(near, stop_limit=near.limit)).limit == "stop"


def test_counts_at_their_limit() -> None:
    book = open_book(ON)
    for n in range(2):
        book = entered(book, proposal(n=n), wide(), n=n)
    assert sized(proposal(n=2), book, max_open_positions=3, max_trades=3)
    full = refused(proposal(n=2), book, max_open_positions=2)
    assert full.words == "max_open_positions: open and in flight is 2, allowed 2, room left 0"
    assert (full.figure, full.room) == ("2", "0")
    done = refused(proposal(n=2), book, max_trades=2)
    assert done.words == "max_trades: entries today is 2, allowed 2, room left 0"
    book, _ = on_fill(book, fill_of(proposal(), -100, n=9))
    assert sized(proposal(), book, max_round_trips=2)
    again = refused(proposal(), book, max_round_trips=1)
    assert again.words == (
        "max_round_trips: round trips of NSE:A, the open one counted, is 1, allowed 1, room left 0"
    )


def test_adding_is_for_open_positions_of_the_same_side_and_one_order_at_a_time() -> None:
    rules, adding = wide(max_round_trips=1), proposal(may_add=True)
    book = entered(open_book(ON), proposal(), wide())
    first = decide_entry(book, adding, rules)
    assert isinstance(first, Sized)  # adding is no further round trip
    flying = reserve(book, first.reserve("i2"))
    second = decide_entry(flying, adding, rules)
    assert isinstance(second, Refusal)
    assert second.figure == "100 shares, OPEN"
    answer = decide_entry(reserve(open_book(ON), first.reserve("i2")), adding, rules)
    assert isinstance(answer, Refusal)
    assert answer.figure == "an entry in flight"
    other = proposal(SHORT, may_add=True)
    assert isinstance(decide_entry(book, other, rules), Refusal)


def test_the_guards_act_at_their_figure_exactly() -> None:
    book = on_mark(entered(open_book(ON), proposal(), wide()), "NSE:A", 995_00)
    lost = -rounded(book.portfolio.day_net)
    for over, acts in ((0, True), (1, False)):
        rules = wide(max_daily_loss=Decimal(lost + over) / 100)
        assert [b.limit for b in guards(book, rules)] == ["max_daily_loss"] * acts
        rules = wide(max_drawdown=Decimal(lost + over) / 100)
        assert [b.limit for b in guards(book, rules)] == ["max_drawdown"] * acts
    risen = on_mark(book, "NSE:A", 1100_00)
    fallen = on_mark(risen, "NSE:A", 1090_00)
    fall = rounded(fallen.best - fallen.portfolio.day_net)
    (breach,) = guards(fallen, wide(max_drawdown=Decimal(fall) / 100))
    assert (breach.figure, breach.allowed) == (fall, fall)
    assert breach.words.startswith("max_drawdown: Rs 99")
    assert "below the day's best Rs 9,9" in breach.words
    assert breach.lifts == "the next trading day, or a person's resume with a higher limit"


def test_what_the_day_may_still_lose_is_less_what_it_has_lost_and_what_stops_may_lose() -> None:
    rules = wide(max_daily_loss=5_000)
    book = entered(open_book(ON), proposal(), rules)
    book, _ = on_fill(book, fill_of(proposal(), -100, at="995", n=5))
    lost = 500_00 + book.portfolio.total.charges.total
    assert risk_room(book, rules).figure == lost
    answer = sized(proposal(n=1), book, max_daily_loss=5_000)
    flying = reserve(book, answer.reserve("i7"))
    assert risk_room(flying, rules).figure == lost + answer.risk
    assert risk_room(flying, rules).left == 5_000_00 - lost - answer.risk
    assert risk_room(flying, wide(max_daily_loss=1)).left == 0
    refused = decide_entry(flying, proposal(n=2), wide(max_daily_loss=(lost + answer.risk) // 100))
    assert isinstance(refused, Refusal)
    assert refused.figure == rupees(
        lost + answer.risk
    )  # of the stops, too: not the day's loss alone
    assert risk_left(flying, rules) == 5_000_00 - lost - answer.risk
    assert risk_left(flying, wide(max_daily_loss=1)) == 0


PAISE = st.fractions(-10_000_00, 10_000_00, max_denominator=10_000)


@given(PAISE, PAISE, PAISE, st.integers(0, 20_000))
@example(Fraction(-1, 3), Fraction(7, 2), Fraction(5, 6), 500)
@example(Fraction(50, 7), Fraction(100, 3), Fraction(200, 9), 500)
def test_the_whole_paise_of_the_risk_that_is_left_are_those_of_its_fraction(
    gross: Fraction, planned: Fraction, reserved: Fraction, loss: int
) -> None:
    book = entered(open_book(ON), proposal(), wide())
    total = replace(book.portfolio.total, day_gross=plain(gross))
    book = replace(
        book,
        portfolio=replace(book.portfolio, total=total),
        planned_risk_total=plain(planned),
        reserved_risk=plain(reserved),
    )
    rules = wide(max_daily_loss=loss)
    assert risk_left(book, rules) == floor(risk_room(book, rules).left)


def test_all_shares_are_taken_where_the_day_s_loss_is_just_enough() -> None:
    wish = proposal()
    worst = trade_risk(wish, 100)
    assert sized(wish, max_daily_loss=Decimal(worst) / 100).quantity == 100
    less = sized(wish, max_daily_loss=Decimal(worst - 1) / 100)
    assert (less.quantity, less.bound) == (99, "max_daily_loss")


def test_our_margin_counts_positions_by_product_orders_in_flight_and_the_blocked() -> None:
    rules = wide(total=500_000, fallback_mis=20, fallback_carry=100)
    book = entered(open_book(ON), proposal(), wide())
    book = entered(book, proposal(product="CNC", n=1), wide(), n=2)
    answer = decide_entry(book, proposal(n=2), rules)
    assert isinstance(answer, Sized)
    book = reserve(book, answer.reserve("i3"))
    room = margin_room(book, rules)
    assert (room.limit, room.allowed) == ("margin", 500_000_00)
    assert room.figure == 20_000_00 + 100_000_00 + answer.quantity * 200_00
    assert margin_room(replace(book, blocked=7), rules).figure == room.figure + 7
    assert margin_room(release(book, "i3"), rules).figure == 120_000_00
    both = entered(book, proposal(SHORT, n=4), wide(), n=4)
    assert margin_room(both, rules).figure == room.figure + 20_000_00
    asked = on_margins(book, Margins(9_000_00, 0, 1), unseen=frozenset({"i3"}))
    assert margin_room(asked, rules).figure == answer.quantity * 200_00
    assert margin_room(asked, rules).allowed == 9_000_00


@pytest.mark.parametrize(
    ("available", "utilised", "percent"),
    [
        (75, 25, 25),
        (0, 0, 100),
        (1, 0, 0),
        (0, 1, 100),
        (-1, 0, 100),
        (-5, 6, 600),
        (3, 1, 25),
        (4, 4, 50),
    ],
)
def test_the_use_of_margin(available: int, utilised: int, percent: int) -> None:
    assert Margins(available, utilised, 1).use_percent == percent


def test_the_use_of_margin_is_not_rounded() -> None:
    assert Decimal("33.33") < Margins(2, 1, 1).use_percent < Decimal("33.34")


def test_the_least_margin_is_rounded_up_and_for_shares_alone() -> None:
    assert checked_margin(CASH[0], "MIS", 1001, 0)[0] == 201
    assert isinstance(checked_margin(CASH[0], "MIS", 1001, 0)[0], int)
    for product, least in (("MIS", 20_000), ("CO", 20_000), ("MTF", 20_000), ("CNC", 100_000)):
        assert checked_margin(CASH[0], product, 100_000, 0)[0] == least
    assert checked_margin(FUTURE, "MIS", 1001, 1) == (1, "")
    assert checked_margin(CASH[0], "NRML", 1001, 1) == (1, "")


def test_our_margin_is_a_share_rounded_up() -> None:
    rules = MarginSettings(fallback_mis=Decimal("33.3"), fallback_carry=Decimal(40))
    assert fallback_margin("MIS", 1000, rules) == 333
    assert fallback_margin("CO", 1001, rules) == 334
    assert fallback_margin("CNC", 1000, rules) == 400
    assert fallback_margin("NRML", Fraction(1, 3), rules) == 1
    assert fallback_margin("NRML", 0, rules) == 0
    rules = MarginSettings(fallback_carry=Decimal("12.5"))
    assert fallback_margin("CNC", 1000, rules) == 125


def test_a_side_s_share_of_the_pool() -> None:
    separate = CapitalSettings(mode="separate", long_share=Decimal("62.5"), short_share=Decimal(30))
    assert pool_of(LONG, 1_000, separate) == 625
    assert pool_of(SHORT, 1_000, separate) == 300
    assert pool_of(SHORT, 1_000, CapitalSettings(short_share=Decimal(30))) == 1_000
    assert pool_of(LONG, 999, separate) == 624  # rounded down


def test_no_side_has_more_than_all() -> None:
    assert CapitalSettings(long_share=Decimal(60), short_share=Decimal(40)).long_share == 60
    with pytest.raises(ValueError, match="60 and short_share 41 exceed 100"):
        CapitalSettings(long_share=Decimal(60), short_share=Decimal(41))


def test_a_carried_limit_counts_both_products_of_a_symbol() -> None:
    book = entered(open_book(ON), proposal(), wide())
    answer = sized(proposal(product="CNC"), book, max_symbol=150_000)
    assert (answer.quantity, answer.bound) == (50, "max_symbol")
    held = entered(book, proposal(product="CNC"), wide(), n=2)
    assert refused(proposal(product="MTF"), held, max_round_trips=2).figure == "2"


def test_a_sector_has_its_own_sum() -> None:
    book = entered(open_book(ON, SECTORS), proposal(n=0), wide())
    answer = sized(proposal(n=1), book, max_sector=100_000 + 30_000)
    assert (answer.quantity, dict(answer.caps)["max_sector"]) == (30, 30)
    assert sized(proposal(n=2), book, max_sector=130_000).quantity == 100


def test_planned_risk_is_in_proportion_rounded_up_and_never_below_nothing() -> None:
    slot = ("NSE:A", "MIS")
    book = on_stop(entered(open_book(ON), proposal(), wide()), slot, 100)
    part, _ = on_fill(book, fill_of(proposal(), -67, n=5))
    assert part.planned_risk == {slot: 33}
    more, _ = on_fill(part, fill_of(proposal(), -32, n=6))
    assert more.planned_risk == {slot: 1}
    turned, _ = on_fill(more, fill_of(proposal(), -5, n=7))
    assert (turned.planned_risk, turned.planned_risk_total) == ({slot: 0}, 0)
    assert turned.round_trips == {"NSE:A": 1}


@pytest.mark.parametrize(
    ("given", "paise"),
    [("0.25%", 250), (" 50 ", 5_000), (12.5, 1_250), ("0", 0), ("100%", 100_000), ("0.001", 0)],
)
def test_an_amount_is_rupees_or_a_share_of_the_capital(given: Any, paise: int) -> None:
    assert parse_amount(given).paise(100_000) == paise
    assert parse_amount(parse_amount(given)) == parse_amount(given)


@pytest.mark.parametrize("given", ["", "x", "-1", "-1%", "%", "NaN", "inf", True, None, "1%%"])
def test_what_is_no_amount_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="expected rupees"):
        parse_amount(given)
    with pytest.raises(ValueError, match="expected rupees"):
        RiskSettings(max_gross=given)
