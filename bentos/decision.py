"""From class probabilities to a side: the one place of the rule.

Pure. Training, validation and backtest import it from here; nothing else decides a side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

CLASSES = ("FLAT", "LONG", "SHORT")  # the order of probabilities and payoffs, everywhere

SideWord = Literal["BUY", "SELL", "HOLD"]


class Payoff(TypedDict):
    """Mean result of a side per class, in R after charges, in the order of `CLASSES`."""

    r_long: Sequence[float]
    r_short: Sequence[float]


class Rule(TypedDict):
    """When an expected result is worth a trade; `version.json` carries it as it is here.

    `edge` reads `min_edge` (R); `top_share` (paper only) the two thresholds (R).
    """

    kind: Literal["edge", "top_share"]
    min_edge: NotRequired[float]
    share: NotRequired[float]
    er_long_at_least: NotRequired[float]
    er_short_at_least: NotRequired[float]


@dataclass(frozen=True, slots=True)
class Decision:
    """A side and the expected results that chose it, in R after charges."""

    side: SideWord
    er_long: float
    er_short: float


def decide_side(p: Sequence[float], payoff: Payoff, rule: Rule) -> Decision:
    """Return the side that a version's rule takes on these probabilities.

    Parameters
    ----------
    p : three floats, the probabilities in the order of `CLASSES`
    payoff, rule : as checked by `check_payoff` and `check_rule`

    Returns
    -------
    Decision; HOLD when an expected result is not a number
    """
    er_long, er_short = _expected(p, payoff["r_long"]), _expected(p, payoff["r_short"])
    if rule["kind"] == "edge":
        long_over = er_long - er_short
        # strict: two sides worth the same are no reason for either
        buy = er_long >= rule["min_edge"] and long_over > 0
        sell = er_short >= rule["min_edge"] and long_over < 0
    else:
        long_over = er_long - rule["er_long_at_least"]
        short_over = er_short - rule["er_short_at_least"]
        buy = long_over >= 0 and long_over >= short_over
        sell = short_over >= 0 and short_over > long_over
    side: SideWord = "BUY" if buy else "SELL" if sell else "HOLD"
    return Decision(side, er_long, er_short)


def _expected(p: Sequence[float], r: Sequence[float]) -> float:
    return p[0] * r[0] + p[1] * r[1] + p[2] * r[2]


def check_payoff(document: object) -> Payoff:
    """Return the payoff table of a `version.json`, or say what is wrong with it.

    Raises
    ------
    ValueError
        If a side does not have three finite numbers.
    """
    if not isinstance(document, Mapping):
        raise ValueError(f"payoff: found {document!r}; expected r_long and r_short")  # noqa: TRY004
    sides = {side: _numbers(document.get(side), f"payoff.{side}") for side in ("r_long", "r_short")}
    return Payoff(r_long=sides["r_long"], r_short=sides["r_short"])


def _numbers(value: Any, name: str) -> tuple[float, ...]:
    whole = isinstance(value, Sequence) and len(value) == len(CLASSES)
    if not whole or not all(_finite(x) for x in value):
        raise ValueError(f"{name}: found {value!r}; expected three finite numbers for {CLASSES}")
    return tuple(float(x) for x in value)


def _finite(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]


def check_rule(document: object) -> Rule:
    """Return the rule of a `version.json`, or say what is wrong with it.

    Raises
    ------
    ValueError
        If the kind is unknown or one of its thresholds is missing or not finite.
    """
    needs = {"edge": ("min_edge",), "top_share": ("er_long_at_least", "er_short_at_least")}
    kind = document.get("kind") if isinstance(document, Mapping) else None
    if not isinstance(document, Mapping) or not isinstance(kind, str) or kind not in needs:
        raise ValueError(f"rule.kind: found {kind!r}; expected one of {sorted(needs)}")
    for name in needs[kind]:
        if not _finite(document.get(name)):
            found = document.get(name)
            raise ValueError(f"rule.{name}: found {found!r}; expected a finite number, in R")
    rule: Rule = {**document}  # type: ignore[typeddict-item]
    return rule
