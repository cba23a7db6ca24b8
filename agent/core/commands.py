"""What goes out: commands are values, carried out by the shell in this order of priority.

A command that is a call has a number, `call`; its answer comes back as an event with the same.
An order call is journaled as an intent before it is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.core.values import Priority, Role, Terms, Transaction


@dataclass(frozen=True, slots=True)
class Command:
    """The base."""


@dataclass(frozen=True, slots=True)
class Call(Command):
    """A call to the world, numbered."""

    call: int
    priority: Priority


@dataclass(frozen=True, slots=True)
class Place(Call):
    """Send a new order."""

    trade: int
    role: Role
    key: str
    product: str
    transaction: Transaction
    terms: Terms
    tag: str
    market_protection: int | None = None


@dataclass(frozen=True, slots=True)
class Modify(Call):
    """Change a live order; `quantity` is sent only when it changes."""

    trade: int
    role: Role
    key: str
    order_id: str
    terms: Terms
    quantity_changes: bool = False
    market_protection: int | None = None


@dataclass(frozen=True, slots=True)
class Cancel(Call):
    """Withdraw a live order."""

    trade: int
    role: Role
    key: str
    order_id: str


@dataclass(frozen=True, slots=True)
class ReadBook(Call):
    """Read the order book, then (when `positions`) the positions."""

    positions: bool = True


@dataclass(frozen=True, slots=True)
class ReadQuotes(Call):
    """Ask quotes over REST: circuit bands, and prices when the ticker is blind."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReadMargins(Call):
    """Ask the account's margins."""


@dataclass(frozen=True, slots=True)
class ReadOrderMargins(Call):
    """Ask what one share of each (key, transaction, price in ticks) blocks."""

    product: str
    items: tuple[tuple[str, Transaction, int], ...]


@dataclass(frozen=True, slots=True)
class ReadHistory(Call):
    """Ask official candles from one instant to another, both included."""

    key: str
    token: int
    interval: str
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Describe(Call):
    """Ask the served model what it is and wants."""


@dataclass(frozen=True, slots=True)
class Window:
    """The last candles of one symbol, as the model takes them; `sources` says kite or ticks."""

    key: str
    ts_ms: tuple[int, ...]
    open: tuple[float, ...]
    high: tuple[float, ...]
    low: tuple[float, ...]
    close: tuple[float, ...]
    volume: tuple[float | None, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AskModel(Call):
    """Ask the served model about many symbols at once."""

    windows: tuple[Window, ...]
    as_of_ms: int


@dataclass(frozen=True, slots=True)
class OpenDay(Call):
    """Prepare the session of now or the next: calendar, instruments dump of the keys."""

    keys: tuple[str, ...]
    at_ms: int


@dataclass(frozen=True, slots=True)
class Watch(Command):
    """Subscribe exactly these symbols, in full mode."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reconnect(Command):
    """Drop the ticker's connection: it is silent with its socket open."""


@dataclass(frozen=True, slots=True)
class SetTimer(Command):
    """Be called back with `TimerFired(name)`; a timer of the same name is replaced."""

    name: str
    due_ms: int


@dataclass(frozen=True, slots=True)
class CancelTimer(Command):
    """Forget a timer."""

    name: str


@dataclass(frozen=True, slots=True)
class Note(Command):
    """A line for the journal: a refusal, a level moved, a decision, in words and facts."""

    kind: str
    key: str
    words: str
    trade: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notify(Command):
    """Tell a person. `level`: info, warning, alarm."""

    level: str
    kind: str
    words: str
