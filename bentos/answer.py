"""From a feature row and probabilities to a prediction: the same for traffic, shadow and golden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta, timezone
from functools import lru_cache
from typing import Any

import numpy as np

from bentos.bundle import Manifest
from bentos.checks import bad_output, closes_ms
from bentos.contract import Question
from bentos.decision import Payoff, Rule, decide_side
from bentos.features import features_last
from bentos.windows import DAY_MS, IST_MS, Floats

INDIA = timezone(timedelta(hours=5, minutes=30))
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
GOLDEN_TOLERANCE = 1e-9
PREDICTED = ("p_long", "p_short", "p_flat", "er_long", "er_short")


def feature_row(question: Question) -> Floats:
    """Return a question's features, shape (n_features,), in the order of `FEATURES`."""
    if question.candles is None:
        if question.features is None:
            raise ValueError("a question without candles and without features")
        return question.features
    return features_last(question.candles, question.context)


def feature_rows(questions: Sequence[Question]) -> Floats:
    """Return the features of several questions, shape (n_questions, n_features)."""
    return np.stack([feature_row(question) for question in questions])


def prediction(manifest: Manifest, p: Sequence[float]) -> tuple[dict[str, Any], str]:
    """Return what a version says on probabilities, and what is wrong with them (else empty).

    Parameters
    ----------
    p : flat, long, short

    Returns
    -------
    dict without `valid_until`; a bad output is HOLD with null figures
    """
    wrong = bad_output(p)
    if wrong:
        return {"side": "HOLD", **dict.fromkeys(PREDICTED)}, wrong
    return spoken(p, manifest.payoff, manifest.rule), ""


def spoken(p: Sequence[float], payoff: Payoff, rule: Rule) -> dict[str, Any]:
    """Return the prediction of an answer on sound probabilities (flat, long, short)."""
    decision = decide_side(p, payoff, rule)
    return {
        "side": decision.side,
        "p_long": p[1],
        "p_short": p[2],
        "p_flat": p[0],
        "er_long": decision.er_long,
        "er_short": decision.er_short,
    }


def moments(question: Question, interval: str, now_ms: int) -> tuple[int, int]:
    """Return when the last candle opened and closed, epoch milliseconds.

    A question of features has no candle: both are its `as_of`, else now.
    """
    if question.candles is None:
        at = question.as_of_ms if question.as_of_ms is not None else now_ms
        return at, at
    opened = int(question.candles.ts_ms[-1])
    return opened, closes_ms(opened, interval)


@lru_cache(maxsize=64)
def _date(day: int) -> str:
    return date.fromordinal(EPOCH_ORDINAL + day).isoformat()


def trading_day(ms: int) -> str:
    """Return the date in Asia/Kolkata of an instant, ISO."""
    return _date((ms + IST_MS) // DAY_MS)


def iso_india(ms: int) -> str:
    """Return an instant as ISO 8601 with India's offset, to the second.

    >>> iso_india(1_600_021_800_123)
    '2020-09-14T00:00:00+05:30'
    """
    day, second = divmod((ms + IST_MS) // 1000, 86_400)
    minute, second = divmod(second, 60)
    return f"{_date(day)}T{minute // 60:02d}:{minute % 60:02d}:{second:02d}+05:30"


def golden_difference(expected: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Return how an answer differs from the golden one, empty if it does not."""
    if set(expected) - {"valid_until"} != set(found):
        return f"keys {sorted(expected)}; answered {sorted(found)}"
    if expected["side"] != found["side"]:
        return f"side: expected {expected['side']}, answered {found['side']}"
    for name in PREDICTED:
        wanted, got = expected[name], found[name]
        if not isinstance(wanted, int | float) or not isinstance(got, int | float):
            return f"{name}: expected {wanted!r}, answered {got!r}"
        if not abs(wanted - got) <= GOLDEN_TOLERANCE:
            return f"{name}: expected {wanted!r}, answered {got!r}"
    return ""
