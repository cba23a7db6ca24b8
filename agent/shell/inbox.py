"""What can lie in the loop's queue: items from the ticker, from calls, from the operator.

Items carry no time: the loop stamps them with the clock that the process goes by when it takes
them out. The queue is the only thing that threads share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.core.events import Event
from agent.core.values import Quote


@dataclass(frozen=True, slots=True)
class Tick:
    """A packet of an instrument."""

    key: str
    quote: Quote
    cached: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """A packet that could not be one."""

    key: str
    words: str


@dataclass(frozen=True, slots=True)
class Update:
    """An order update, as the wire brought it."""

    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Connection:
    """The ticker's connection came or went."""

    connected: bool
    words: str


@dataclass(frozen=True, slots=True)
class ClockFrame:
    """A paper exchange has published everything of an instant; `last`: its market data is over."""

    now_ms: int
    last: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A call came back; `make` gives the event for the instant at which the loop takes it."""

    call: int
    make: Callable[[int], Event]


@dataclass(frozen=True, slots=True)
class Word:
    """The operator's word, through the control API."""

    verb: str
    who: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the process; positions stay protected by their orders."""

    why: str


Item = Tick | Refusal | Update | Connection | ClockFrame | Answer | Word | Stop
