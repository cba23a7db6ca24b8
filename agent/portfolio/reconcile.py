"""Our positions against the broker's: quantity, average, profit; and after a night, the price.

Rule 1: a failed fetch is `unknown`, never flat.
Rule 2: nothing is repaired here: what differs is said in words, and who reads it decides. A
position of the broker that we never traded is foreign: reported, left alone.
Rule 3: after a night a jump above 5 % between the close we know and the packet's `close` is taken
for a corporate action (split, bonus, demerger): the position is frozen, no entry is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from agent.portfolio.lots import Paise, Position
from agent.portfolio.pnl import Portfolio, Slot, rounded

CLOSE_JUMP_PERCENT: Final = 5
AVERAGE_TOLERANCE_PAISE: Final = Fraction(1, 2)  # the broker prints averages to the paisa
PNL_TOLERANCE_PAISE: Final = 100

Status = Literal["unknown", "equal", "different"]


@dataclass(frozen=True, slots=True)
class BrokerPosition:
    """One row of the broker's positions; quantity signed, prices in paise, `pnl` gross."""

    key: str
    product: str
    quantity: int
    average: Paise
    pnl: Paise | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that does not agree."""

    slot: Slot
    what: Literal["quantity", "average", "pnl", "foreign", "missing"]
    ours: Paise
    theirs: Paise
    words: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The outcome of one comparison."""

    status: Status
    differences: tuple[Difference, ...] = ()


def reconcile(portfolio: Portfolio, broker: Iterable[BrokerPosition] | None) -> Reconciliation:
    """Compare the portfolio with the broker's net positions.

    Parameters
    ----------
    broker : iterable of BrokerPosition, or None
        None where the fetch failed.
    """
    if broker is None:
        return Reconciliation("unknown")
    rows = {(row.key, row.product): row for row in broker}
    ours = _slots(portfolio)
    found: list[Difference] = []
    for slot in sorted(ours | set(rows)):
        row, position = rows.get(slot), portfolio.positions.get(slot)
        if slot in ours:
            found += _compared(portfolio, slot, position, row)
        elif row is not None and row.quantity:
            words = f"{slot[0]} {slot[1]}: the broker holds {row.quantity}, not ours: left alone"
            found.append(Difference(slot, "foreign", 0, row.quantity, words))
    return Reconciliation("different" if found else "equal", tuple(found))


def _slots(portfolio: Portfolio) -> set[Slot]:
    """Everything held, and everything that was closed today."""
    closed = {(whose.symbol, whose.product) for whose in portfolio.tallies}
    return set(portfolio.positions) | closed


def _compared(
    portfolio: Portfolio, slot: Slot, position: Position | None, row: BrokerPosition | None
) -> list[Difference]:
    name, held = " ".join(slot), 0 if position is None else position.signed
    if row is None:
        if not held:
            return []
        words = f"{name}: we hold {held}, the broker has no such row"
        return [Difference(slot, "missing", held, 0, words)]
    if row.quantity != held:
        words = f"{name}: we hold {held}, the broker {row.quantity}"
        return [Difference(slot, "quantity", held, row.quantity, words)]
    found = []
    if position is not None and not averages_agree(position, row.average):
        said = f"our average is {_rs(position.average)}, the broker's {_rs(row.average)}"
        found.append(Difference(slot, "average", position.average, row.average, f"{name}: {said}"))
    gross = gross_of(portfolio, slot)
    if row.pnl is not None and abs(Fraction(gross - row.pnl)) > PNL_TOLERANCE_PAISE:
        said = f"our gross profit is {_rs(gross)}, the broker's {_rs(row.pnl)}"
        found.append(Difference(slot, "pnl", gross, row.pnl, f"{name}: {said}"))
    return found


def averages_agree(position: Position, theirs: Paise) -> bool:
    """Tell whether the broker's average price is ours, to half a paisa.

    The broker averages everything bought, also what was sold since; first in, first out leaves
    another average after a scale-out, and both are right: then there is nothing to compare.
    """
    if position.scaled_out:
        return True
    return abs(position.average - Fraction(theirs)) <= AVERAGE_TOLERANCE_PAISE


def gross_of(portfolio: Portfolio, slot: Slot) -> Paise:
    """Return the gross profit of a symbol and product: realised today and unrealised."""
    realised: Paise = sum(
        tally.gross
        for whose, tally in portfolio.tallies.items()
        if (whose.symbol, whose.product) == slot
    )
    position = portfolio.positions.get(slot)
    return realised if position is None else realised + position.unrealised


def _rs(paise: Paise) -> str:
    return f"Rs {float(paise) / 100:.4f}"


def close_jump(key: str, known_close: Paise, packet_close: Paise) -> str | None:
    """Say that a previous close is not the one we know, or None if it is within 5 %.

    Parameters
    ----------
    known_close : paise
        Yesterday's close as we stored it.
    packet_close : paise
        The `close` of today's first packet: the broker adjusts it for corporate actions.
    """
    change = Fraction(packet_close) / Fraction(known_close) - 1
    if abs(change) * 100 <= CLOSE_JUMP_PERCENT:
        return None
    return (
        f"{key}: the previous close reads {rounded(packet_close) / 100:.2f}, we know "
        f"{rounded(known_close) / 100:.2f} ({float(change) * 100:+.1f} %): a corporate action? "
        "No exit by level, no entry; a person decides"
    )


def overnight_reasons(
    position: Position, row: BrokerPosition | None, known_close: Paise, packet_close: Paise
) -> tuple[str, ...]:
    """Return why a position carried over a night must be frozen; empty where it need not.

    Broker quantity and average price against the journal's, and the previous close.
    """
    name = f"{position.key} {position.product}"
    reasons = []
    if row is None or row.quantity != position.signed:
        theirs = "no such row" if row is None else row.quantity
        reasons.append(f"{name}: the journal holds {position.signed}, the broker {theirs}")
    elif not averages_agree(position, row.average):
        ours, theirs = _rs(position.average), _rs(row.average)
        reasons.append(f"{name}: the journal's average is {ours}, the broker's {theirs}")
    jump = close_jump(position.key, known_close, packet_close)
    return (*reasons, *([jump] if jump else []))
