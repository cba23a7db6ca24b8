"""Many opinions on one symbol, one outcome, in words; and who goes first among symbols.

Rule 1: opinions are weighed by the settings' weights; an agent with weight 0 or none is only heard
where `require` names it. BUY and SELL pull against each other, HOLD pulls neither way.
Rule 2: `require` is a veto: every agent in it must give the same side.
Rule 3: whatever comes out, the journal gets a sentence that says why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from agent.core.rules import SignalRules
from agent.market.instruments import Side
from agent.signals.signal import Candidate, Signal


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the opinions on one symbol come to; `side` None: stay out."""

    key: str
    side: Side | None
    strength: float
    words: str
    signals: tuple[Signal, ...]


def coordinate(key: str, signals: Iterable[Signal], rules: SignalRules) -> Outcome:
    """Weigh the opinions on one symbol."""
    heard = tuple(sorted(signals, key=lambda s: s.agent))
    if not heard:
        return Outcome(key, None, 0.0, "no signal agent has an opinion", heard)
    by_agent = {signal.agent: signal for signal in heard}
    missing = [name for name in rules.require if name not in by_agent]
    if missing:
        return Outcome(key, None, 0.0, f"required and silent: {', '.join(missing)}", heard)
    required = {by_agent[name].opinion for name in rules.require}
    if len(required) > 1 or "HOLD" in required:
        told = ", ".join(f"{name} {by_agent[name].opinion}" for name in rules.require)
        return Outcome(key, None, 0.0, f"the required agents do not agree: {told}", heard)
    pull = sum((_pull(signal, rules) for signal in heard), Fraction(0))
    told = "; ".join(signal.words for signal in heard)
    if not pull:
        return Outcome(key, None, 0.0, f"no side has the weight: {told}", heard)
    side = Side.LONG if pull > 0 else Side.SHORT
    if required and side.entry_transaction not in required:
        return Outcome(key, None, 0.0, f"the others outweigh the required agents: {told}", heard)
    if abs(pull) < rules.least:
        words = f"strength {float(abs(pull)):.3f} is under {float(rules.least):.3f}: {told}"
        return Outcome(key, None, 0.0, words, heard)
    return Outcome(key, side, float(abs(pull)), told, heard)


def rank(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Return candidates in the order in which they get at the capital: strongest first."""
    return tuple(sorted(candidates, key=lambda c: (-c.strength, c.key)))


def candidate_of(outcome: Outcome, at_ms: int) -> Candidate | None:
    """Return the outcome as a candidate for an entry; None where it stays out."""
    if outcome.side is None:
        return None
    agreeing = tuple(s for s in outcome.signals if s.side is outcome.side)
    until = min((s.valid_until_ms for s in agreeing), default=at_ms)
    return Candidate(
        outcome.key, outcome.side, outcome.strength, until, agreeing, outcome.words, at_ms
    )


def _pull(signal: Signal, rules: SignalRules) -> Fraction:
    side = signal.side
    if side is None:
        return Fraction(0)
    weight = rules.weights.get(signal.agent, Fraction(0))
    # an opinion without a strength still counts as an opinion
    return (
        side.sign
        * weight
        * max(Fraction(signal.strength).limit_denominator(10**6), Fraction(1, 10**6))
    )
