"""What a signal agent is asked and what it may say. Values only.

A signal agent is a small class: `on_candle(context) -> Signal | None`. None is "no information";
HOLD is an opinion ("stay out"). Strength is in R after charges where the agent can say so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from agent.core.events import OfficialCandle, Prediction
from agent.market.instruments import Side

Opinion = Literal["BUY", "SELL", "HOLD"]


@dataclass(frozen=True, slots=True)
class Signal:
    """An opinion on one symbol.

    Parameters
    ----------
    agent : str
    opinion : {"BUY", "SELL", "HOLD"}
    strength : float, >= 0
        How much it is worth; only compared with other strengths.
    valid_until_ms : int, epoch ms
    words : str
        The reason, for the journal.
    """

    agent: str
    opinion: Opinion
    strength: float
    valid_until_ms: int
    words: str
    version: str = ""
    variant: str = ""
    request_id: str = ""

    @property
    def side(self) -> Side | None:
        """The side it is for; None on HOLD."""
        return {"BUY": Side.LONG, "SELL": Side.SHORT}.get(self.opinion)


@dataclass(frozen=True, slots=True)
class Context:
    """What a signal agent is shown: closed candles, oldest first, and the model's answer."""

    key: str
    now_ms: int
    interval: str
    valid_ms: int
    candles: tuple[OfficialCandle, ...]
    prediction: Prediction | None = None


class SignalAgent(Protocol):
    """The whole interface."""

    name: str

    def on_candle(self, context: Context) -> Signal | None:
        """Return an opinion, or None without one."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A side that the coordinator took for a symbol, on its way to an entry.

    `waits` says, in words, what kept it from entering so far.
    """

    key: str
    side: Side
    strength: float
    valid_until_ms: int
    signals: tuple[Signal, ...]
    words: str
    since_ms: int
    waits: str = ""
    facts: dict[str, str] = field(default_factory=dict)
