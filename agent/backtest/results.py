"""What came of a simulation: round trips, days, and what the exchange's own book says of them.

Values only. Money is whole paise. The net of a day is the exchange's (its cash after less before);
a round trip's is the agent's own account of its orders, and the two are compared in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from agent.market.instruments import Side

DRAWN, RECORDED = "drawn", "recorded"
COLOUR, PESSIMISTIC = "colour", "pessimistic"
PATHS_TOLD: Mapping[str, str] = {
    RECORDED: "recorded ticks",
    COLOUR: "candles as open-low-high-close (rising) or open-high-low-close (falling)",
    PESSIMISTIC: "candles, the extreme that is against the open position first",
    DRAWN: "simulated path: drawn inside real candles; proves nothing about a model or a policy",
}


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """One trade from its entry until flat.

    Parameters
    ----------
    number : int
        Of the day's trades.
    signal_ms : int, epoch ms
        When its signal was known.
    entry_ms, exit_ms : int, epoch ms
        First fill of the entry and last of the exit, on the exchange's clock.
    entry_paise, exit_paise : int
        Values of all shares.
    stop_ticks, target_ticks : int; the target None where there is none
        Levels at the entry; `last_` those in force at the end.
    naked_ms : int
        Longest stretch without a live exit as the agent saw it.
    orders : int
        Orders that it took.
    ambiguous : bool
        Whether the candle of the exit holds both levels, so that which came first is the path's
        assumption; never with recorded ticks.
    """

    day: date
    number: int
    key: str
    side: Side
    quantity: int
    version: str
    strength: float
    signal_ms: int
    entry_ms: int
    exit_ms: int
    entry_paise: int
    exit_paise: int
    gross_paise: int
    charges_paise: int
    reason: str
    tick_paise: int
    stop_ticks: int | None
    target_ticks: int | None
    last_stop_ticks: int | None
    last_target_ticks: int | None
    stop_moves: int
    target_moves: int
    naked_ms: int
    orders: int
    ambiguous: bool

    @property
    def net_paise(self) -> int:
        """After the charges of its orders."""
        return self.gross_paise - self.charges_paise

    @property
    def bp(self) -> float:
        """Net result, basis points of the entry's value."""
        return self.net_paise / self.entry_paise * 1e4

    @property
    def r(self) -> float | None:
        """Net result in units of the initial risk (entry to first stop); None without a stop."""
        if self.stop_ticks is None:
            return None
        stop = self.stop_ticks * self.tick_paise * self.quantity
        risk = self.side.sign * (self.entry_paise - stop)
        return self.net_paise / risk if risk > 0 else None

    def document(self) -> dict[str, Any]:
        """Return it for `--json`: rupees, ISO dates, epoch ms."""
        shares = self.quantity
        return {
            "day": self.day.isoformat(),
            "number": self.number,
            "symbol": self.key,
            "side": self.side.value,
            "quantity": shares,
            "version": self.version,
            "signal_ms": self.signal_ms,
            "entry_ms": self.entry_ms,
            "exit_ms": self.exit_ms,
            "entry": round(self.entry_paise / shares / 100, 4),
            "exit": round(self.exit_paise / shares / 100, 4),
            "gross": self.gross_paise / 100,
            "charges": self.charges_paise / 100,
            "net": self.net_paise / 100,
            "reason": self.reason,
            "stop": _rupees(self.stop_ticks, self.tick_paise),
            "target": _rupees(self.target_ticks, self.tick_paise),
            "last_stop": _rupees(self.last_stop_ticks, self.tick_paise),
            "last_target": _rupees(self.last_target_ticks, self.tick_paise),
            "stop_moves": self.stop_moves,
            "target_moves": self.target_moves,
            "ambiguous": self.ambiguous,
        }


@dataclass(frozen=True, slots=True)
class Day:
    """One day's outcome.

    Parameters
    ----------
    audit : mapping
        `agent.paper.audit.Audit.document` at the end of the day.
    refused : mapping of reason to how often
        Signals that were refused an entry, by the agent's own word for it.
    halted : str
        Why the agent stopped by itself, "" where it did not.
    events, instants : int
        Decisions of the agent, instants of the exchange.
    notes : tuple of (epoch ms, kind, key, words); empty unless asked for
    """

    on: date
    trips: tuple[RoundTrip, ...]
    net_paise: int
    charges_paise: int
    audit: Mapping[str, Any]
    refused: Mapping[str, int]
    halted: str
    events: int
    instants: int
    notes: tuple[tuple[int, str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """A whole simulation.

    Parameters
    ----------
    path : {"recorded", "drawn", "colour", "pessimistic"}
        Where the prices inside the day came from.
    days : tuple of Day, oldest first
        Those with a signal; the others hold no trade.
    capital_paise : int
        What returns are counted on.
    """

    path: str
    capital_paise: int
    days: tuple[Day, ...] = field(default=())

    @property
    def trips(self) -> tuple[RoundTrip, ...]:
        """All round trips, in the order of days and of their numbers."""
        return tuple(trip for day in self.days for trip in day.trips)

    @property
    def net_paise(self) -> int:
        """What all days brought, charges paid."""
        return sum(day.net_paise for day in self.days)

    @property
    def unprotected_ms_max(self) -> int:
        """Longest stretch with shares and without an exit for all of them, at the exchange."""
        return max((int(day.audit["max_unprotected_ms"]) for day in self.days), default=0)

    @property
    def equity(self) -> tuple[tuple[date, int], ...]:
        """(day, paise earned since the beginning), oldest first."""
        total, line = 0, []
        for day in self.days:
            total += day.net_paise
            line.append((day.on, total))
        return tuple(line)

    @property
    def simulated_path(self) -> bool:
        """Whether the path inside the day was drawn: no gate takes such a result."""
        return self.path == DRAWN


def _rupees(ticks: int | None, tick_paise: int) -> float | None:
    return None if ticks is None else ticks * tick_paise / 100
