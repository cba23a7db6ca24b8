"""Many opinions, one outcome, in words: a row a case."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.events import OfficialCandle, Prediction
from agent.core.rules import SignalRules
from agent.market.instruments import Side
from agent.signals.coordinator import candidate_of, coordinate, rank
from agent.signals.mean_reversion import MeanReversion, z_score
from agent.signals.model import Model
from agent.signals.momentum import Momentum, scaled_return
from agent.signals.signal import Candidate, Context, Opinion, Signal

L, S = Side.LONG, Side.SHORT


def signal(agent: str, opinion: Opinion, strength: float = 0.2, until: int = 100) -> Signal:
    return Signal(agent, opinion, strength, until, f"{agent} says {opinion}")


def rules(**changes: Any) -> SignalRules:
    weights = changes.pop("weights", {"model": Fraction(1), "momentum": Fraction(1, 2)})
    return SignalRules(weights=weights, **changes)


M, T = "model", "momentum"
#  id   opinions   rules   side   in the words
CASES = [
    ("nobody", [], {}, None, "no signal agent"),
    ("one buys", [(M, "BUY", 0.2)], {}, L, "model says BUY"),
    ("one sells", [(M, "SELL", 0.2)], {}, S, "model says SELL"),
    ("hold", [(M, "HOLD", 0.0)], {}, None, "no side"),
    ("opposite, model heavier", [(M, "BUY", 0.2), (T, "SELL", 0.2)], {}, L, "momentum says SELL"),
    ("opposite, equal pull", [(M, "BUY", 0.1), (T, "SELL", 0.2)], {}, None, "no side"),
    ("opposite, other heavier", [(M, "BUY", 0.1), (T, "SELL", 0.5)], {}, S, "model says BUY"),
    ("weightless", [("x", "BUY", 0.9)], {}, None, "no side"),
    ("required and silent", [(M, "BUY", 0.2)], {"require": (M, T)}, None, "silent: momentum"),
    ("required agree", [(M, "BUY", 0.2), (T, "BUY", 0.1)], {"require": (M, T)}, L, "BUY"),
    ("required disagree", [(M, "BUY", 0.2), (T, "SELL", 0.1)], {"require": (M, T)}, None,
     "do not agree"),
    ("required holds", [(M, "BUY", 0.2), (T, "HOLD", 0.1)], {"require": (M, T)}, None,
     "do not agree"),
    ("required outweighed", [(M, "SELL", 0.9), (T, "BUY", 0.1)], {"require": (T,)}, None,
     "outweigh"),
    ("too weak", [(M, "BUY", 0.04)], {"least": Fraction(1, 20)}, None, "under 0.050"),
    ("strong enough", [(M, "BUY", 0.05)], {"least": Fraction(1, 20)}, L, "BUY"),
    ("a side without strength", [(M, "BUY", 0.0)], {}, L, "BUY"),
]  # fmt: skip


@pytest.mark.parametrize("row", CASES, ids=[row[0] for row in CASES])
def test_an_outcome_and_its_words(row: tuple[Any, ...]) -> None:
    _, opinions, changes, side, words = row
    outcome = coordinate("NSE:AAA", [signal(*one) for one in opinions], rules(**changes))
    assert outcome.side is side
    assert words in outcome.words


opinions = st.lists(
    st.builds(
        signal,
        st.sampled_from(["model", "momentum", "mean_reversion"]),
        st.sampled_from(["BUY", "SELL", "HOLD"]),
        st.floats(0, 2),
    ),
    max_size=3,
    unique_by=lambda s: s.agent,
)


@given(heard=opinions)
def test_mirrored_opinions_give_the_mirrored_side_and_the_order_does_not_matter(
    heard: list[Signal],
) -> None:
    turned: dict[str, Opinion] = {"BUY": "SELL", "SELL": "BUY", "HOLD": "HOLD"}
    mirror = [signal(s.agent, turned[s.opinion], s.strength) for s in heard]
    weights = rules(weights=dict.fromkeys(["model", "momentum", "mean_reversion"], Fraction(1)))
    one = coordinate("k", heard, weights)
    other = coordinate("k", mirror, weights)
    assert one.strength == other.strength
    assert (one.side, other.side) in {(L, S), (S, L), (None, None)}
    assert coordinate("k", heard[::-1], weights).side is one.side


def test_the_strongest_candidate_comes_first_and_a_tie_goes_by_name() -> None:
    found = [Candidate(key, L, strength, 9, (), "", 0) for key, strength in
             [("b", 0.1), ("a", 0.1), ("c", 0.3)]]  # fmt: skip
    assert [c.key for c in rank(found)] == ["c", "a", "b"]


def test_a_candidate_is_valid_as_long_as_the_shortest_of_those_who_agree() -> None:
    heard = [signal("model", "BUY", 0.3, 500), signal("momentum", "BUY", 0.1, 300)]
    candidate = candidate_of(coordinate("k", heard, rules()), 7)
    assert candidate is not None
    assert (candidate.valid_until_ms, candidate.since_ms) == (300, 7)
    assert candidate_of(coordinate("k", [], rules()), 7) is None


# the agents


def context(closes: list[float], prediction: Prediction | None = None) -> Context:
    candles = tuple(OfficialCandle(n, c, c, c, c, 1.0) for n, c in enumerate(closes))
    return Context("NSE:AAA", 1_000, "day", 60_000, candles, prediction)


RISING = [100 * 1.01**n for n in range(60)]


@pytest.mark.parametrize(
    ("closes", "momentum"),
    [
        ([100 + 0.1 * (n % 2) for n in range(45)] + [101 + n for n in range(15)], "BUY"),
        ([100 + 0.1 * (n % 2) for n in range(45)] + [99 - n for n in range(15)], "SELL"),
        ([100 + (n % 2) for n in range(60)], "HOLD"),
        ([100.0] * 60, None),
        ([100.0, 101.0], None),
    ],
)
def test_momentum_goes_with_what_ran(closes: list[float], momentum: str | None) -> None:
    found = Momentum().on_candle(context(closes))
    assert (None if found is None else found.opinion) == momentum
    if found is not None:
        assert found.valid_until_ms == 61_000


@pytest.mark.parametrize(("last", "opinion"), [(110.0, "SELL"), (90.0, "BUY"), (100.5, "HOLD")])
def test_mean_reversion_goes_against_what_ran_too_far(last: float, opinion: str) -> None:
    closes = [100 + (n % 2) for n in range(40)] + [last]
    found = MeanReversion().on_candle(context(closes))
    assert found is not None
    assert found.opinion == opinion


@given(st.lists(st.floats(1, 1e4), min_size=41, max_size=60))
def test_the_scores_turn_with_the_price(closes: list[float]) -> None:
    z = z_score(closes, 20)
    mirrored = z_score([2e4 - c for c in closes], 20)
    assert (z is None) == (mirrored is None)
    if z is not None and mirrored is not None:
        assert z == pytest.approx(-mirrored, abs=1e-6)
    r = scaled_return(closes, 20)
    assert r is None or abs(r) < 1e9


@pytest.mark.parametrize(
    ("prediction", "opinion"),
    [
        (None, None),
        (Prediction("k", "BUY", "3", er_long=0.2), "BUY"),
        (Prediction("k", "SELL", "3", er_short=0.2), "SELL"),
        (Prediction("k", "HOLD", "3"), "HOLD"),
        (Prediction("k", "HOLD", "3", warnings=("bad output",)), None),  # no information, not flat
        (Prediction("k", "BUY", "3", warnings=("outside range",)), "BUY"),
        (Prediction("k", error="503"), None),
    ],
)
def test_the_models_opinion_is_its_answer(
    prediction: Prediction | None, opinion: str | None
) -> None:
    found = Model().on_candle(context(RISING, prediction))
    assert (None if found is None else found.opinion) == opinion
