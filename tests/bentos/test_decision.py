"""The rule: when an expected result is worth a trade, and which side takes it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.decision import Payoff, Rule, check_payoff, check_rule, decide_side

PAYOFF: Payoff = {"r_long": [-0.1, 1.0, -1.0], "r_short": [-0.1, -1.0, 1.0]}
EDGE: Rule = {"kind": "edge", "min_edge": 0.05}
TOP: Rule = {"kind": "top_share", "er_long_at_least": -0.02, "er_short_at_least": -0.05}
NAN = math.nan

#  id                 rule  flat  long  short  side
TABLE = [
    ("long edge", EDGE, 0.0, 0.6, 0.4, "BUY"),
    ("short edge", EDGE, 0.0, 0.4, 0.6, "SELL"),
    ("exactly min_edge", {"kind": "edge", "min_edge": 0.25}, 0.0, 0.625, 0.375, "BUY"),
    ("edge too thin", EDGE, 0.0, 0.51, 0.49, "HOLD"),
    ("flat wins", EDGE, 0.8, 0.1, 0.1, "HOLD"),
    ("a tie is no reason", {"kind": "edge", "min_edge": -1.0}, 0.0, 0.5, 0.5, "HOLD"),
    ("top: best long", TOP, 0.0, 0.5, 0.5, "SELL"),
    ("top: both under", TOP, 1.0, 0.0, 0.0, "HOLD"),
    ("top: long over", TOP, 0.0, 0.6, 0.4, "BUY"),
    ("not a number", EDGE, NAN, NAN, NAN, "HOLD"),
    ("top: not a number", TOP, NAN, NAN, NAN, "HOLD"),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_the_rule(row: tuple) -> None:
    _, rule, flat, long, short, side = row
    assert decide_side((flat, long, short), PAYOFF, rule).side == side


@given(st.floats(0, 1), st.floats(0, 1), st.floats(-1, 1))
def test_long_and_short_are_mirrors_under_edge(a: float, b: float, min_edge: float) -> None:
    rule: Rule = {"kind": "edge", "min_edge": min_edge}
    one = decide_side((a, b, 1 - a), PAYOFF, rule)
    other = decide_side((a, 1 - a, b), PAYOFF, rule)
    assert (one.er_long, one.er_short) == pytest.approx((other.er_short, other.er_long))
    if abs(one.er_long - one.er_short) > 1e-9 and abs(abs(one.er_long) - abs(min_edge)) > 1e-9:
        assert other.side == {"BUY": "SELL", "SELL": "BUY", "HOLD": "HOLD"}[one.side]


def test_expected_results_are_payoffs_weighted_by_probability() -> None:
    got = decide_side((0.5, 0.3, 0.2), PAYOFF, EDGE)
    assert got.er_long == pytest.approx(-0.05 + 0.3 - 0.2)
    assert got.er_short == pytest.approx(-0.05 - 0.3 + 0.2)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (None, "payoff"),
        ({"r_long": [1, 2, 3]}, "payoff.r_short"),
        ({"r_long": [1, 2], "r_short": [1, 2, 3]}, "payoff.r_long"),
        ({"r_long": [1, 2, NAN], "r_short": [1, 2, 3]}, "payoff.r_long"),
        ({"r_long": [1, 2, True], "r_short": [1, 2, 3]}, "payoff.r_long"),
        ({"r_long": "abc", "r_short": [1, 2, 3]}, "payoff.r_long"),
    ],
)
def test_a_bad_payoff_table_is_refused_by_name(document: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check_payoff(document)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([], "rule.kind"),
        ({"kind": "best"}, "rule.kind"),
        ({"kind": ["edge"]}, "rule.kind"),
        ({"kind": "edge"}, "rule.min_edge"),
        ({"kind": "edge", "min_edge": "0.05"}, "rule.min_edge"),
        ({"kind": "top_share", "er_long_at_least": 1.0}, "rule.er_short_at_least"),
    ],
)
def test_a_bad_rule_is_refused_by_name(document: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check_rule(document)


def test_good_documents_pass_unchanged() -> None:
    assert check_rule({**TOP, "share": 0.2}) == {**TOP, "share": 0.2}
    assert check_payoff(PAYOFF) == {k: tuple(v) for k, v in PAYOFF.items()}
