"""The day's guards and what a day does to the book: which mode, what it closes, what lifts it."""

from __future__ import annotations

from datetime import date

import pytest

from agent.errors import Broken
from agent.market.instruments import Side
from agent.portfolio.lots import PositionState
from agent.portfolio.settlement import locked_short_mark
from agent.risk import (
    Margins,
    Refusal,
    Sized,
    after_square_off,
    book_of,
    decide_entry,
    freeze,
    guards,
    next_day,
    on_fill,
    on_margins,
    on_mark,
    on_stop,
    open_book,
    reserve,
    unfreeze,
)
from agent.risk.book import Book
from tests.agent.risk.scenes import ON, SECTORS, entered, fill_of, proposal, settings, wide

LONG, SHORT = Side.LONG, Side.SHORT
A = ("NSE:A", "MIS")
LAKH = 100_000_00  # paise


def holding(side: Side = LONG) -> Book:
    """100 shares of A at Rs 1000."""
    return entered(open_book(ON), proposal(side), wide())


def at(book: Book, rupees: str) -> Book:
    from decimal import Decimal

    return on_mark(book, "NSE:A", int(Decimal(rupees) * 100))


#  the entry cost 30.34 and closing costs about 52: a loss of 1,000 is there before 10 rupees
@pytest.mark.parametrize(
    ("side", "price", "acts"),
    [(LONG, "990.90", False), (LONG, "990.80", True), (SHORT, "1009.15", False),
     (SHORT, "1009.20", True)],
)  # fmt: skip
def test_the_loss_of_the_day_flattens_with_charges_counted(
    side: Side, price: str, acts: bool
) -> None:
    found = guards(at(holding(side), price), settings())
    assert [b.mode for b in found] == (["FLATTEN"] if acts else [])
    if acts:
        assert found[0].limit == "max_daily_loss"
        assert found[0].closes == (A,)
        assert "allowed Rs 1,000.00" in found[0].words
        assert "next trading day" in found[0].lifts


def test_the_drawdown_counts_from_the_best_of_the_day_and_never_above_zero() -> None:
    rules = wide(max_drawdown="1%", max_daily_loss="50%")
    risen = at(holding(), "1020")  # the day's best: about Rs 1,917
    assert risen.best == risen.portfolio.day_net
    assert guards(at(risen, "1011"), rules) == ()
    (breach,) = guards(at(risen, "1009"), rules)
    assert (breach.limit, breach.mode) == ("max_drawdown", "FLATTEN")
    assert guards(at(holding(), "991"), rules) == ()  # a loss from the start: best is 0
    assert len(guards(at(holding(), "990"), rules)) == 1


def test_a_guard_that_has_acted_refuses_entries() -> None:
    refused = decide_entry(at(holding(), "989"), proposal(n=1), wide(max_daily_loss="1%"))
    assert isinstance(refused, Refusal)
    assert refused.limit == "max_daily_loss"
    assert "the day has lost Rs 1,18" in refused.words


def test_a_higher_limit_lifts_the_guard_at_run_time() -> None:
    book = at(holding(), "989")
    assert guards(book, wide(max_daily_loss="1%"))
    assert guards(book, wide(max_daily_loss="2%")) == ()


#  use of margin: mode, and whether the worst position is closed
@pytest.mark.parametrize(
    ("available", "utilised", "limit", "mode", "closes"),
    [
        (21, 79, None, None, ()),
        (20, 80, "margin.warn_at", None, ()),
        (10, 90, "margin.no_entry_at", "NO_NEW", ()),
        (5, 95, "margin.reduce_at", "REDUCE_ONLY", (A,)),
        (0, 0, "margin.reduce_at", "REDUCE_ONLY", (A,)),
        (-5, 100, "margin.reduce_at", "REDUCE_ONLY", (A,)),
    ],
)
def test_the_three_levels_of_margin(
    available: int, utilised: int, limit: str | None, mode: str | None, closes: tuple
) -> None:
    book = on_margins(holding(), Margins(available * LAKH, utilised * LAKH, 1))
    found = guards(book, wide())
    assert [(b.limit, b.mode, b.closes) for b in found] == (
        [] if limit is None else [(limit, mode, closes)]
    )
    refused = decide_entry(book, proposal(n=1, margin=200_00), wide())
    assert isinstance(refused, Refusal if mode else Sized)


def test_the_worst_position_is_the_one_that_is_reduced_and_never_a_frozen_one() -> None:
    book = entered(holding(), proposal(SHORT, n=1), wide(), n=2)
    book = on_mark(at(book, "995"), "NSE:B", 1010_00)  # A is down 500, B 1,000
    full = on_margins(book, Margins(0, 100, 1))
    assert guards(full, wide())[-1].closes == (("NSE:B", "MIS"),)
    frozen = freeze(full, ("NSE:B", "MIS"), "a corporate action")
    (breach,) = guards(frozen, wide())
    assert breach.closes == (A,)
    assert "NSE:A MIS is closed, the worst of the day at -Rs 500.00" in breach.words
    none = freeze(frozen, A, "a corporate action")
    (breach,) = guards(none, wide())
    assert breach.closes == ()
    assert "nothing is open that an order may close" in breach.words


def test_equal_losses_are_told_apart_by_name_and_a_guard_s_words_name_use_and_level() -> None:
    book = entered(holding(), proposal(n=1), wide(), n=2)
    (breach,) = guards(on_margins(book, Margins(4, 96, 1)), wide())
    assert breach.closes == (A,)
    assert breach.words.startswith("margin.reduce_at: 96.0 % of the margin is in use, level 95 %: ")
    assert (breach.figure, breach.allowed) == (96, 95)
    assert breach.lifts == "use of margin below 95 %"
    (warning,) = guards(on_margins(book, Margins(15, 85, 1)), wide())
    assert (warning.figure, warning.allowed, warning.mode) == (85, 80, None)
    assert warning.words.endswith("level 80 %: a notice")
    (stop,) = guards(on_margins(book, Margins(8, 92, 1)), wide())
    assert stop.words.endswith("level 90 %: no entries")


def test_flattening_leaves_what_no_order_may_close_and_says_so() -> None:
    book = entered(holding(), proposal(SHORT, n=1), wide(), n=2)
    for n in (3, 4):
        book = entered(book, proposal(SHORT, n=n), wide(), n=n)
    book = freeze(book, ("NSE:B", "MIS"), "a corporate action")
    book, left = after_square_off(book, {"NSE:D": 1000_00, "NSE:E": 1000_00})
    assert len(left) == 4  # the long and three shorts
    book = unfreeze(book, ("NSE:B", "MIS"))
    rules = wide(max_daily_loss="1%", max_drawdown="1%")
    for breach in guards(book, rules):
        assert breach.closes == (A,)
        assert "; no order may close NSE:B MIS SHORT_DELIVERY, NSE:D MIS" in breach.words
    assert [b.limit for b in guards(book, rules)] == ["max_daily_loss", "max_drawdown"]


def test_the_base_of_the_day_s_loss_is_stated() -> None:
    (breach,) = guards(at(holding(), "989"), wide(max_daily_loss="1%"))
    assert breach.words == (
        "max_daily_loss: the day has lost Rs 1,182.37, allowed Rs 1,000.00 (1% of the capital "
        "Rs 100,000.00); realised, unrealised and the charges of leaving are counted"
    )
    assert (breach.figure, breach.allowed) == (1_182_37, 1_000_00)
    (fixed,) = guards(at(holding(), "989"), wide(max_daily_loss=1_182))
    assert "allowed Rs 1,182.00 (a fixed sum); realised" in fixed.words


def test_a_locked_short_counts_at_20_percent_above_until_a_person_frees_it() -> None:
    book = at(holding(SHORT), "1005")
    frozen = freeze(book, A, "locked at the upper circuit", guard_mark=locked_short_mark(1005_00))
    assert frozen.portfolio.positions[A].state is PositionState.FROZEN
    assert frozen.portfolio.guarded == -100 * 206_00
    (breach,) = guards(frozen, wide(max_daily_loss="10%"))
    assert breach.limit == "max_daily_loss"
    assert guards(unfreeze(frozen, A), wide(max_daily_loss="10%")) == ()


def test_no_scaling_into_a_frozen_position() -> None:
    frozen = freeze(holding(), A, "a corporate action")
    refused = decide_entry(frozen, proposal(may_add=True), wide())
    assert isinstance(refused, Refusal)
    assert "100 shares, FROZEN" in refused.words


def test_a_short_not_bought_back_ends_the_day_s_shorts() -> None:
    book, left = after_square_off(holding(SHORT), {"NSE:A": 1000_00})
    assert [u.kind for u in left] == ["SHORT_DELIVERY"]
    rules = wide(max_daily_loss="99%")
    refused = decide_entry(book, proposal(SHORT, n=1), rules)
    assert isinstance(refused, Refusal)
    assert refused.limit == "no_shorts"
    assert "120 % of the close is blocked" in refused.words
    wish = proposal(LONG, n=1, margin=1000_00)
    assert isinstance(decide_entry(book, wish, rules), Refusal)  # 120 % of 1 lakh is blocked
    richer = decide_entry(book, wish, wide(max_daily_loss="99%", total=130_000))
    assert isinstance(richer, Sized)
    assert (richer.bound, richer.quantity) == ("margin", 10)
    morning = next_day(book, date(2026, 11, 26), {"NSE:A": 1000_00})
    assert (morning.no_shorts, morning.blocked) == ("", 120_000_00)  # the auction has not settled
    assert book_of(morning.portfolio).blocked == 120_000_00
    assert isinstance(decide_entry(morning, wish, rules), Refusal)
    part, _ = on_fill(morning, fill_of(proposal(LONG), 40, at="1100", n=8))
    assert part.blocked == 60 * 1200_00
    gone, _ = on_fill(part, fill_of(proposal(LONG), 60, at="1100", n=9))
    assert gone.blocked == 0
    calm, none = after_square_off(open_book(ON), {})
    assert (calm.no_shorts, none) == ("", ())


def test_a_new_day_starts_anew_and_carries_what_is_held() -> None:
    wish = proposal(product="CNC")
    book = on_stop(entered(open_book(ON, SECTORS), wish, wide()), ("NSE:A", "CNC"), 500_00)
    book = on_mark(book, "NSE:A", 1030_00)
    tomorrow = next_day(book, date(2026, 11, 26), {"NSE:A": 1030_00})
    assert (tomorrow.entries, tomorrow.best, tomorrow.round_trips) == (0, 0, {})
    assert tomorrow.planned_risk == {("NSE:A", "CNC"): 500_00}
    assert tomorrow.planned_risk_total == 500_00
    assert tomorrow.exposure == book.exposure
    assert tomorrow.portfolio.day_net == -tomorrow.portfolio.exit_charges
    wide_answer = decide_entry(tomorrow, proposal(n=1), wide())
    assert isinstance(wide_answer, Sized)
    flying = reserve(tomorrow, wide_answer.reserve("i9"))
    with pytest.raises(Broken, match="over a night"):
        next_day(flying, date(2026, 11, 27), {})


def test_a_book_made_from_a_portfolio_has_the_same_sums() -> None:
    book = entered(holding(), proposal(SHORT, n=1), wide(), n=2)
    again = book_of(book.portfolio, None)
    assert again.exposure == book.exposure
    assert again.portfolio == book.portfolio


def test_a_stop_that_has_moved_frees_planned_risk_down_to_nothing() -> None:
    book = holding()
    assert book.planned_risk_total > 0
    moved = on_stop(book, A, 300_00)
    assert (moved.planned_risk_total, moved.planned_risk[A]) == (300_00, 300_00)
    locked = on_stop(moved, A, -700_00)
    assert locked.planned_risk_total == 0
    half, _ = on_fill(moved, fill_of(proposal(), -50, n=8))
    assert half.planned_risk_total == 150_00
    gone, _ = on_fill(half, fill_of(proposal(), -50, n=9))
    assert (gone.planned_risk_total, gone.planned_risk) == (0, {})
    assert on_stop(gone, A, 5) is gone
