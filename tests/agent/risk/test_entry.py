"""The entry decision: which constraint bound, and every refusal with its three figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.market.instruments import Side
from agent.risk import (
    Margins,
    MoneySettings,
    Proposal,
    Refusal,
    Reserve,
    Sized,
    decide_entry,
    on_fill,
    on_margins,
    on_mark,
    open_book,
    release,
    reserve,
)
from agent.risk.book import Book
from agent.risk.limits import sector_note
from tests.agent.risk.scenes import (
    CASH,
    FUTURE,
    ON,
    SECTORS,
    entered,
    fill_of,
    proposal,
    settings,
    wide,
)

LONG, SHORT = Side.LONG, Side.SHORT


def held(*wishes: Any, sectors: dict[str, str] | None = None) -> Book:
    """A book that holds 100 shares at Rs 1000 of each (instrument number, side)."""
    book = open_book(ON, sectors)
    for n, (number, side) in enumerate(wishes):
        book = entered(book, proposal(side, n=number), wide(), n=n)
    return book


def test_with_the_safe_defaults_a_quarter_percent_is_at_risk() -> None:
    answer = decide_entry(open_book(ON), proposal(), settings())
    assert isinstance(answer, Sized)
    assert (answer.quantity, answer.bound, answer.slices) == (22, "risk_per_trade", (22,))
    assert answer.risk <= 250_00
    assert "LONG 22 NSE:A at 1000.00: decided by risk_per_trade" in answer.words


def sized(wish: Proposal, rules: MoneySettings) -> Sized:
    answer = decide_entry(open_book(ON), wish, rules)
    assert isinstance(answer, Sized), answer
    return answer


#   bound            settings that bind                     wish                    shares
@pytest.mark.parametrize(
    ("bound", "given", "wish", "shares"),
    [
        ("fixed_quantity", {}, {}, 100),
        ("max_gross", {"max_gross": 30_500}, {}, 30),
        ("max_long", {"max_long": 20_999}, {}, 20),
        ("max_short", {"max_short": 20_999}, {"side": SHORT}, 20),
        ("max_net", {"max_net": 10_000}, {"side": SHORT}, 10),
        ("max_symbol", {"max_symbol": "5%"}, {}, 5),
        ("max_sector", {"max_sector": "7%"}, {}, 7),
        ("capital.separate", {"max_gross": 50_000, "mode": "separate", "long_share": 30}, {}, 15),
        ("margin", {"fallback_mis": 100, "total": 42_000}, {}, 42),
        ("margin", {"total": 42_000}, {"margin": 500_00}, 84),
        ("max_daily_loss", {"max_daily_loss": 250}, {}, 22),
        ("depth", {}, {"depth": 17}, 17),
        ("freeze", {"quantity": 250_000, "total": 10**9}, {}, 100_000),
    ],
)
def test_the_answer_says_which_constraint_bound(
    bound: str, given: dict[str, Any], wish: dict[str, Any], shares: int
) -> None:
    answer = decide_entry(open_book(ON, SECTORS), proposal(**wish), wide(**given))
    assert isinstance(answer, Sized), answer
    assert (answer.bound, answer.quantity) == (bound, shares)
    assert dict(answer.caps)[bound] == shares
    assert answer.risk > 0


def test_what_the_freeze_quantity_keeps_out_is_told_in_words() -> None:
    rules = wide(quantity=250_000, total=10**9)
    cut = sized(proposal(depth=180_000), rules)
    assert (cut.quantity, cut.held_back, cut.slices) == (100_000, 80_000, (100_000,))
    assert (
        "; 80000 of 180000 shares stay out: an order carries at most the exchange's freeze "
        "quantity of 100000" in cut.words
    )
    lots = sized(proposal(instrument=replace(FUTURE, freeze_quantity=140)), wide(quantity=1000))
    assert (lots.bound, lots.quantity, lots.held_back) == ("freeze", 100, 900)
    assert "900 of 1000 shares stay out" in lots.words
    for wish in (proposal(depth=100_000), proposal(depth=7)):  # no less without the freeze
        whole = sized(wish, rules)
        assert (whole.bound, whole.held_back) == ("depth", 0)
        assert "freeze" not in whole.words


def test_a_freeze_quantity_under_a_lot_is_refused_in_words() -> None:
    wish = proposal(instrument=replace(FUTURE, freeze_quantity=49))
    refused = decide_entry(open_book(ON), wish, wide())
    assert isinstance(refused, Refusal)
    assert (refused.limit, refused.figure) == ("freeze", "49")
    assert "freeze quantity, the most that an order carries, is 49" in refused.words
    assert "allowed at least one lot of 50" in refused.words


def test_of_limits_without_room_the_first_is_named() -> None:
    book = held((0, LONG))  # 1,000 rupees left of the gross, less than nothing of the symbol
    wish = proposal(LONG, at="2000", product="CNC")
    refused = decide_entry(book, wish, wide(max_gross=101_000, max_symbol=99_000))
    assert isinstance(refused, Refusal)
    assert refused.limit == "max_gross"


def test_slices_above_the_freeze_quantity_by_setting() -> None:
    rules = wide(quantity=250_000, total=10**9, slices=3)
    answer = decide_entry(open_book(ON), proposal(), rules)
    assert isinstance(answer, Sized)
    assert answer.slices == (100_000, 100_000, 50_000)


def test_a_short_is_counted_at_the_reference_when_it_may_fill_above_its_limit() -> None:
    wish = proposal(SHORT, at="1000", reference=CASH[0].ticks("1001"))
    answer = decide_entry(open_book(ON), wish, wide(max_gross=10_010))
    assert isinstance(answer, Sized)
    assert (answer.unit, answer.quantity) == (1001_00, 10)


#   refused by          settings                    wish                        in the words
REFUSALS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("product", {}, {"side": SHORT, "product": "CNC"}, "within the day only (MIS)"),
    ("product", {}, {"product": "NRML"}, "NRML does not exist for shares"),
    ("product", {}, {"instrument": FUTURE, "product": "CNC"}, "does not exist for futures"),
    ("allow_short", {"allow_short": False}, {"side": SHORT}, "allow_short is off"),
    ("allow_long", {"allow_long": False}, {}, "allow_long is off"),
    ("mis_allowed", {}, {"mis_allowed": False}, "no MIS order in NSE:A"),
    ("min_price", {"min_price": 50}, {"at": "49.95"}, "Rs 49.95, allowed from Rs 50"),
    ("stop", {}, {"stop": "1000"}, "is 1000.00, allowed below the entry 1000.00"),
    ("stop", {}, {"side": SHORT, "stop": "999"}, "allowed above the entry"),
    ("band", {}, {"band": (18_000, 19_990)}, "is 1000.00, allowed 900.00 to 999.50"),
    ("band", {}, {"band": (19_990, 22_000)}, "is 990.00, allowed 999.50 to 1100.00"),
    ("max_open_positions", {"max_open_positions": 0}, {}, "is 0, allowed 0, room left 0"),
    ("max_trades", {"max_trades": 0}, {}, "entries today is 0, allowed 0"),
    ("max_round_trips", {"max_round_trips": 0}, {}, "is 0, allowed 0"),
    ("max_gross", {"max_gross": 999}, {}, "Rs 0.00, allowed Rs 999.00, room left Rs 999.00"),
    ("max_daily_loss", {"max_daily_loss": 10}, {}, "one lot takes Rs 11.06"),
    ("margin", {}, {"margin": 200_000_00}, "allowed Rs 100,000.00"),
    ("depth", {}, {"depth": 0}, "at least one lot of 1"),
    ("fixed_quantity", {"quantity": 49}, {"instrument": FUTURE}, "at least one lot of 50"),
    ("risk_per_trade", {"how": "risk_per_trade", "risk": 10}, {}, "is Rs 11.06, allowed Rs 10.00"),
    ("volatility_target", {"how": "volatility_target"}, {}, "not known"),
]  # fmt: skip


@pytest.mark.parametrize(("limit", "given", "wish", "words"), REFUSALS)
def test_every_refusal_is_a_value_with_its_figures(
    limit: str, given: dict[str, Any], wish: dict[str, Any], words: str
) -> None:
    answer = decide_entry(open_book(ON), proposal(**wish), wide(**given))
    assert isinstance(answer, Refusal), answer
    assert answer.limit == limit
    assert words in answer.words
    assert answer.figure
    assert answer.allowed
    assert answer.room


def test_overnight_shorts_go_through_futures() -> None:
    wish = proposal(SHORT, instrument=FUTURE, product="NRML")
    assert isinstance(decide_entry(open_book(ON), wish, wide()), Sized)


def test_one_position_or_entry_in_a_symbol_and_product() -> None:
    book = held((0, LONG))
    refused = decide_entry(book, proposal(SHORT), wide())
    assert isinstance(refused, Refusal)
    assert refused.words == (
        "one_position: NSE:A MIS is 100 shares, OPEN, allowed nothing open, room left none"
    )
    assert isinstance(decide_entry(book, proposal(LONG), wide()), Refusal)
    assert isinstance(decide_entry(book, proposal(LONG, may_add=True), wide()), Sized)
    assert isinstance(decide_entry(book, proposal(LONG, product="CNC"), wide()), Sized)


def test_an_entry_in_flight_counts_in_full_until_its_order_is_dead() -> None:
    wish, other = proposal(n=0), proposal(n=1)
    rules = wide(max_gross=150_000, max_open_positions=1)
    answer = decide_entry(open_book(ON), wish, rules)
    assert isinstance(answer, Sized)
    book = reserve(open_book(ON), answer.reserve("i1"))
    assert decide_entry(book, other, rules).limit == "max_open_positions"  # type: ignore[union-attr]
    wider = wide(max_gross=150_000)
    second = decide_entry(book, other, wider)
    assert isinstance(second, Sized)
    assert (second.bound, second.quantity) == ("max_gross", 50)
    book, _ = on_fill(book, fill_of(wish, 30), "i1")
    assert decide_entry(book, other, wider).quantity == 50  # type: ignore[union-attr]
    book = release(book, "i1")  # 70 of 100 were cancelled
    assert decide_entry(book, other, wider).quantity == 100  # type: ignore[union-attr]
    assert (book.exposure.gross, book.entries) == (30_000_00, 1)


def test_an_entry_that_filled_nothing_is_no_trade_of_the_day() -> None:
    answer = decide_entry(open_book(ON), proposal(), wide())
    assert isinstance(answer, Sized)
    book = release(reserve(open_book(ON), answer.reserve("i1")), "i1")
    assert book == open_book(ON)
    assert release(book, "i1") is book


def test_an_entry_that_fills_after_it_was_given_up_counts_and_is_held() -> None:
    answer = decide_entry(open_book(ON), proposal(), wide())
    assert isinstance(answer, Sized)
    book = release(reserve(open_book(ON), answer.reserve("i1")), "i1")
    for n in (1, 2):  # two trades of the one late order
        book, _ = on_fill(book, fill_of(proposal(), 40, n=n, order="late"), "i1")
    assert (book.entries, book.exposure.long_decided) == (1, 80_000_00)
    book, _ = on_fill(book, fill_of(proposal(), -80, n=3))
    assert book.entries == 1  # an exit is no entry


def test_round_trips_of_a_symbol_count_the_open_one() -> None:
    rules, wish = wide(max_round_trips=2), proposal()
    book = held((0, LONG))
    book, _ = on_fill(book, fill_of(wish, -100, n=9))
    assert book.round_trips == {"NSE:A": 1}
    book = entered(book, wish, rules, n=10)
    refused = decide_entry(book, proposal(product="CNC"), rules)
    assert isinstance(refused, Refusal)
    assert refused.limit == "max_round_trips"


def test_sectors_bind_across_symbols_and_the_unlisted_share_one() -> None:
    rules = wide(max_sector=150_000)
    book = held((0, LONG), (5, SHORT), sectors=SECTORS)
    for n, shares in ((1, 50), (2, 100), (4, 50)):  # B shares banks with A, E unknown with F
        answer = decide_entry(book, proposal(n=n), rules)
        assert isinstance(answer, Sized)
        assert answer.quantity == shares, n


def test_without_a_sector_file_the_limit_is_off_and_says_so() -> None:
    rules = wide(max_sector=10)
    assert isinstance(decide_entry(open_book(ON), proposal(), rules), Sized)
    assert (
        sector_note(open_book(ON), rules) == "max_sector is set but off: no sector file was given"
    )
    assert sector_note(open_book(ON, SECTORS), rules) is None
    assert sector_note(open_book(ON), wide()) is None


def test_a_short_makes_room_in_the_net_for_a_long_and_not_in_the_gross() -> None:
    book = held((0, SHORT))
    net = decide_entry(book, proposal(n=1), wide(max_net=50_000, quantity=500))
    assert isinstance(net, Sized)
    assert (net.bound, net.quantity) == ("max_net", 150)
    gross = decide_entry(book, proposal(n=1), wide(max_gross=150_000, quantity=500))
    assert gross.quantity == 50  # type: ignore[union-attr]


def test_a_hedge_counts_at_the_price_decided_and_only_once_it_is_filled() -> None:
    rules = wide(max_net=50_000, quantity=500)
    risen = on_mark(held((0, SHORT)), "NSE:A", 1200_00)
    assert decide_entry(risen, proposal(n=1), rules).quantity == 150  # type: ignore[union-attr]
    answer = decide_entry(open_book(ON), proposal(SHORT), wide())
    assert isinstance(answer, Sized)
    flying = reserve(open_book(ON), answer.reserve("i1"))
    assert decide_entry(flying, proposal(n=1), rules).quantity == 50  # type: ignore[union-attr]


def test_what_is_reserved_is_what_was_decided_to_the_paisa() -> None:
    answer = decide_entry(open_book(ON), proposal(at="1003.35"), settings())
    assert isinstance(answer, Sized)
    assert answer.risk % answer.quantity  # it does not divide evenly
    book = reserve(open_book(ON), answer.reserve("i1"))
    assert book.reserved_risk == answer.risk
    assert book.exposure.long_reserved == answer.quantity * 1003_35


def test_the_capital_mode_switches_between_two_decisions() -> None:
    book = held((0, LONG))
    pooled, separate = (
        wide(max_gross=200_000, quantity=500, mode=mode) for mode in ("pooled", "separate")
    )
    for rules, side, shares in (
        (pooled, LONG, 100), (separate, LONG, None), (separate, SHORT, 100), (pooled, LONG, 100),
    ):  # fmt: skip
        answer = decide_entry(book, proposal(side, n=1), rules)
        assert getattr(answer, "quantity", None) == shares
    refused = decide_entry(book, proposal(LONG, n=1), separate)
    assert refused.limit == "capital.separate"  # type: ignore[union-attr]


def test_a_price_that_rose_counts_against_the_next_entry() -> None:
    book = on_mark(held((0, LONG)), "NSE:A", 1200_00)
    answer = decide_entry(book, proposal(n=1), wide(max_gross=150_000))
    assert answer.quantity == 30  # type: ignore[union-attr]
    assert book.exposure.decided(LONG) == 100_000_00


def test_the_stops_of_all_positions_together_stay_inside_the_day_s_loss() -> None:
    rules = wide(max_daily_loss=2_500)
    book = held((0, LONG), (1, SHORT))  # each at risk: Rs 1,000 and charges
    answer = decide_entry(book, proposal(n=2), rules)
    assert isinstance(answer, Sized)
    assert answer.bound == "max_daily_loss"
    lost = book.portfolio.total.charges.total
    assert lost + book.planned_risk_total + answer.risk <= 2_500_00
    assert book.planned_risk_total + lost == pytest.approx(2 * 1_082_50, abs=200)


def test_the_broker_s_margin_counts_and_our_own_orders_on_top() -> None:
    wish, rules = proposal(margin=200_00), wide()
    book = on_margins(open_book(ON), Margins(available=15_000_00, utilised=0, at_ms=1))
    answer = decide_entry(book, wish, rules)
    assert isinstance(answer, Sized)
    assert (answer.bound, answer.quantity) == ("margin", 75)
    book = reserve(book, answer.reserve("i1"))
    assert decide_entry(book, proposal(n=1, margin=200_00), rules).limit == "margin"  # type: ignore[union-attr]
    book, _ = on_fill(book, fill_of(wish, 40), "i1")  # a fill frees nothing
    assert decide_entry(book, proposal(n=1, margin=200_00), rules).limit == "margin"  # type: ignore[union-attr]
    asked = on_margins(book, Margins(7_000_00, 8_000_00, 2), unseen=frozenset({"i1"}))
    assert decide_entry(asked, proposal(n=1, margin=200_00), rules).limit == "margin"  # type: ignore[union-attr]
    known = on_margins(book, Margins(7_000_00, 8_000_00, 2))
    assert decide_entry(known, proposal(n=1, margin=200_00), rules).quantity == 35  # type: ignore[union-attr]
    rest = release(book, "i1")  # 35 unfilled shares give their margin back
    assert decide_entry(rest, proposal(n=1, margin=200_00), rules).quantity == 35  # type: ignore[union-attr]


def test_without_the_broker_s_figures_ours_stand_in_by_product() -> None:
    rules = wide(total=200_000, fallback_mis=50, fallback_carry=100, quantity=500)
    for product, taken in (("MIS", 50_000), ("CNC", 100_000)):  # of 100 shares at Rs 1000
        book = entered(open_book(ON), proposal(product=product), wide())
        answer = decide_entry(book, proposal(n=1), rules)
        assert isinstance(answer, Sized)
        assert (answer.bound, answer.quantity) == ("margin", (200_000 - taken) // 500)
    odd = decide_entry(open_book(ON), proposal(at="100.05", stop="99"), wide(fallback_mis=33))
    assert odd.margin_per_share == 3302  # 3301.65 paise, rounded up  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("product", "asked", "counted", "words"),
    [
        ("MIS", 200_00, 200_00, ""),
        (
            "MIS",
            199_99,
            200_00,
            "Rs 199.99 a share is under 20 % of Rs 1,000.00: counted as Rs 200",
        ),
        ("MTF", 1, 200_00, "under 20 %"),
        ("CNC", 999_99, 1000_00, "under 100 %"),
        ("CNC", 1000_00, 1000_00, ""),
    ],
)
def test_a_broker_s_margin_under_the_market_s_least_is_not_believed(
    product: str, asked: int, counted: int, words: str
) -> None:
    answer = decide_entry(open_book(ON), proposal(product=product, margin=asked), wide(quantity=1))
    assert isinstance(answer, Sized)
    assert answer.margin_per_share == counted
    assert words in answer.note
    assert bool(answer.note) is bool(words)
    assert answer.words.endswith(answer.note or "charges included")
    odd = decide_entry(open_book(ON), proposal(at="100.05", stop="99", margin=1), wide(quantity=1))
    assert odd.margin_per_share == 2001  # 20.01 rupees exactly  # type: ignore[union-attr]
    future = proposal(instrument=FUTURE, product="NRML", margin=1)
    assert decide_entry(open_book(ON), future, wide()).note == ""  # type: ignore[union-attr]


def test_a_reserve_is_made_once_and_of_something() -> None:
    from agent.errors import Broken

    entry = Reserve("i1", ("NSE:A", "MIS"), LONG, 10, 1000_00, 10_00, 200_00)
    book = reserve(open_book(ON), entry)
    with pytest.raises(Broken, match="once"):
        reserve(book, entry)
