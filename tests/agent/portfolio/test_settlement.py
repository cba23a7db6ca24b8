"""Settled, T1 and pledged shares; shorts that were not bought back; the auction's price."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest

from agent.errors import Broken
from agent.market.instruments import Side
from agent.market.sessions import NSE
from agent.portfolio.lots import Fill, PositionState
from agent.portfolio.pnl import Portfolio, freeze, next_day, on_fill, on_mark
from agent.portfolio.settlement import (
    after_square_off,
    auction_fill,
    blocked_paise,
    close_out_price,
    locked_short_mark,
    settlement,
)

FRIDAY, MONDAY, TUESDAY = date(2026, 11, 20), date(2026, 11, 23), date(2026, 11, 25)


def fill(n: int, signed: int, *, on: date, product: str = "CNC", price: int = 100_00,
         segment: str = "NSE") -> Fill:  # fmt: skip
    return Fill(f"t{n}", f"o{n}", "NSE:A", product, segment, "BUY" if signed > 0 else "SELL",
                abs(signed), price, on, n)  # fmt: skip


def carried() -> Portfolio:
    """10 bought on Friday, 20 on Monday, 5 today (the 24th is a holiday)."""
    portfolio, _ = on_fill(Portfolio(FRIDAY), fill(1, 10, on=FRIDAY))
    portfolio, _ = on_fill(next_day(portfolio, MONDAY, {}), fill(2, 20, on=MONDAY))
    portfolio, _ = on_fill(next_day(portfolio, TUESDAY, {}), fill(3, 5, on=TUESDAY))
    return portfolio


def test_shares_are_settled_t1_or_of_the_day_by_the_calendar() -> None:
    before = NSE.previous_session(TUESDAY)
    assert before is not None
    found = settlement(carried(), "NSE:A", before.on, pledged=4)
    assert (found.settled, found.t1, found.bought, found.pledged) == (10, 20, 5, 4)


#  pledged, T1 may be sold: sellable
@pytest.mark.parametrize(
    ("pledged", "t1", "sellable"), [(0, True, 35), (0, False, 15), (4, True, 31), (99, True, 0)]
)
def test_a_cnc_exit_has_only_what_is_sellable(pledged: int, t1: bool, sellable: int) -> None:
    held = settlement(carried(), "NSE:A", MONDAY, pledged)
    assert held.sellable(t1=t1) == sellable
    assert held.sellable() == held.sellable(t1=True)  # Zerodha lets T1 shares be sold


def test_nothing_is_settled_of_what_is_not_held() -> None:
    assert settlement(Portfolio(MONDAY), "NSE:A", FRIDAY, 0).sellable() == 0


def test_a_sale_takes_the_oldest_shares_first() -> None:
    sold, _ = on_fill(carried(), fill(4, -12, on=TUESDAY))
    found = settlement(sold, "NSE:A", MONDAY, 0)
    assert (found.settled, found.t1, found.bought) == (0, 18, 5)


def short() -> Portfolio:
    portfolio, _ = on_fill(Portfolio(MONDAY), fill(1, -10, on=MONDAY, product="MIS"))
    return on_mark(portfolio, "NSE:A", 104_00)


def test_a_short_left_open_goes_into_delivery_with_120_percent_blocked() -> None:
    after, left = after_square_off(short(), {"NSE:A": 105_00})
    position = after.positions["NSE:A", "MIS"]
    assert position.state is PositionState.SHORT_DELIVERY
    assert [(u.kind, u.side, u.quantity, u.blocked) for u in left] == [
        ("SHORT_DELIVERY", Side.SHORT, 10, 10 * 126_00)
    ]
    assert blocked_paise(after) == 10 * 126_00
    assert after.guarded == -10 * 26_00  # the loss guard counts it at +20 % of the close
    assert after.unrealised == -10 * 4_00
    again, none = after_square_off(after, {"NSE:A": 105_00})
    assert (again, none) == (after, ())


def test_only_a_short_in_delivery_blocks_money() -> None:
    assert blocked_paise(short()) == 0
    frozen = freeze(short(), ("NSE:A", "MIS"), "locked", guard_mark=locked_short_mark(104_00))
    assert blocked_paise(frozen) == 0


def test_what_is_blocked_is_rounded_up_to_the_paisa_and_nothing_is_passed_over() -> None:
    portfolio, _ = on_fill(carried(), fill(5, -10, on=TUESDAY, product="MIS"))
    portfolio, _ = on_fill(portfolio, replace(fill(6, 3, on=TUESDAY, product="MIS"), key="NSE:B"))
    closes = {"NSE:A": 100_01, "NSE:B": Fraction(100_00, 3)}
    after, left = after_square_off(portfolio, closes)  # the delivery held comes first and stays
    assert [(u.slot[0], u.kind, u.blocked) for u in left] == [
        ("NSE:A", "SHORT_DELIVERY", 10 * 120_02),
        ("NSE:B", "LONG_DELIVERY", 100_00),
    ]
    assert after.positions["NSE:A", "MIS"].guard_mark == 120_02
    later, _ = after_square_off(portfolio, {"NSE:A": 100_00, "NSE:B": Fraction(100_01, 3)})
    assert later.positions["NSE:A", "MIS"].guard_mark == 120_00
    _, left = after_square_off(portfolio, {"NSE:B": Fraction(100_00, 7)})
    assert left[1].blocked == 42_86  # 3 x 14.2857 rupees
    assert locked_short_mark(100_01) == 120_02
    assert isinstance(locked_short_mark(100_01), int)


def test_the_last_mark_stands_in_for_a_missing_close() -> None:
    after, _ = after_square_off(short(), {})
    assert after.positions["NSE:A", "MIS"].guard_mark == Fraction(104_00 * 12, 10)


def test_a_long_left_open_is_reported_with_the_money_it_needs() -> None:
    portfolio, _ = on_fill(Portfolio(MONDAY), fill(1, 10, on=MONDAY, product="MIS"))
    after, left = after_square_off(portfolio, {"NSE:A": 101_00})
    assert after == portfolio
    assert (left[0].kind, left[0].blocked) == ("LONG_DELIVERY", 10 * 101_00)


@pytest.mark.parametrize(
    ("product", "segment"), [("CNC", "NSE"), ("NRML", "NFO-FUT"), ("MIS", "NFO-FUT")]
)
def test_carry_and_contracts_are_not_delivered_at_the_square_off(
    product: str, segment: str
) -> None:
    portfolio, _ = on_fill(
        Portfolio(MONDAY), fill(1, 10, on=MONDAY, product=product, segment=segment)
    )
    assert after_square_off(portfolio, {}) == (portfolio, ())


def test_the_auction_closes_a_short_in_delivery_and_nothing_else() -> None:
    after, _ = after_square_off(short(), {"NSE:A": 105_00})
    position = after.positions["NSE:A", "MIS"]
    price = close_out_price(122_00, 105_00)
    assert price == 126_00
    settled, closed = on_fill(after, auction_fill(position, price, TUESDAY, 1))
    assert settled.positions == {}
    assert [c.gross for c in closed] == [-10 * 26_00]
    assert (closed[0].quantity, closed[0].exit) == (10, price)
    with pytest.raises(Broken, match="short in delivery"):
        auction_fill(replace(position, state=PositionState.OPEN), price, TUESDAY, 1)


def test_the_close_out_is_the_higher_of_two_prices() -> None:
    assert close_out_price(130_00, 105_00) == 130_00
    assert close_out_price(0, 100_01) == 120_02  # rounded up to the paisa
    assert locked_short_mark(100_00) == 120_00
