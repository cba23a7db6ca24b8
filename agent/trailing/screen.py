"""Whether a tick is a trade to be believed, and whether a shallow breach counts yet.

Pure. Three screens before a step runs: usable at all (positive, finite, in order of time, inside
the day's circuit limits), a new trade and not a packet that repeats the last one, and not an
outlier that nobody has confirmed. The fourth delays a stop exit while the breach is shallow.
Prices are ticks; distances compare in `1/units` tick, as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from agent.frozen import replace
from agent.trailing.rules import Rules

Ticks = int | Fraction

SUSPECT_SETTLES_MS = 3000  # a trade so long after a suspect is believed whatever it says
SUSPECT_AGREES_QUARTERS = 4  # ... or one within a quarter of the jump

RUN, RUN_DELAYED, SUSPECT, REPEATED, BAD_PRICE, OLD, OUTSIDE_CIRCUIT = range(7)
WHY = {
    SUSPECT: "farther than outlier from the last trade believed",
    REPEATED: "a packet that repeats the last trade",
    BAD_PRICE: "not a positive finite price",
    OLD: "older than the last accepted tick",
    OUTSIDE_CIRCUIT: "outside the day's circuit limits",
}


@dataclass(frozen=True, slots=True)
class Screen:
    """What the screens remember.

    Parameters
    ----------
    last_ms : int or Fraction, epoch milliseconds, or None
        Time of the last accepted tick.
    last_volume, last_price
        Of the last accepted tick; volume None where none was given.
    believed : int or Fraction, ticks
        The last trade believed; the entry before the first.
    suspect, suspect_ms
        The outlier that waits for the next trade; None where none does.
    shallow, shallow_ms
        How many shallow trades in an unbroken row, and when the row began.
    rejected : int
        Unusable ticks so far.
    circuit : (int, int) or None
        The day's lowest and highest price, ticks.
    """

    last_ms: Ticks | None
    last_volume: Ticks | None
    last_price: Ticks | None
    believed: Ticks
    suspect: Ticks | None
    suspect_ms: Ticks | None
    shallow: int
    shallow_ms: Ticks | None
    rejected: int
    circuit: tuple[int, int] | None


def open_screen(rules: Rules, opened_ms: Ticks | None) -> Screen:
    """Return the screen of a position that has just been entered."""
    entry = Fraction(rules.sign * rules.entry, rules.units)
    believed = entry.numerator if entry.denominator == 1 else entry
    return Screen(opened_ms, None, None, believed, None, None, 0, None, 0, None)


def usable(price: object) -> bool:
    """Whether a price is a positive number of ticks: an int or a Fraction, nothing else."""
    return isinstance(price, int | Fraction) and not isinstance(price, bool) and price > 0


def judge(
    rules: Rules,
    screen: Screen,
    stop: int,
    price: Ticks,
    ts_ms: Ticks | None,
    volume: Ticks | None,
) -> tuple[Screen, int]:
    """Return what to do with a tick: `RUN`, `RUN_DELAYED` (no stop exit yet), or why not to run.

    Parameters
    ----------
    rules : Rules
    screen : Screen
    stop : int, ticks
        In force before the tick.
    price : int or Fraction, ticks
    ts_ms : int or Fraction, epoch milliseconds, or None
    volume : optional
        Cumulative volume of the day.

    Returns
    -------
    (Screen, int)
    """
    last_ms = screen.last_ms
    fault = _fault(screen, price, ts_ms)
    if fault:
        return replace(screen, rejected=screen.rejected + 1), fault
    if ts_ms is None:
        ts_ms = last_ms if last_ms is not None else 0  # without times, all at one instant
    trade = volume is None or ts_ms != last_ms or volume != screen.last_volume
    if not trade and price == screen.last_price:
        return screen, REPEATED
    believed, suspect, suspect_ms = screen.believed, screen.suspect, screen.suspect_ms
    if rules.outlier >= 0:
        settles = suspect is not None and trade and _settles(screen, suspect, price, ts_ms)
        if not settles and _apart(price, believed) * rules.units > rules.outlier:
            if not trade:
                return screen, SUSPECT
            after = replace(
                screen, last_ms=ts_ms, last_volume=volume, last_price=price,
                suspect=price, suspect_ms=ts_ms,
            )  # fmt: skip
            return after, SUSPECT
        if trade:
            suspect = suspect_ms = None
    shallow, shallow_ms, code = screen.shallow, screen.shallow_ms, RUN
    if rules.soft_band >= 0:
        shallow, shallow_ms, code = _breach(rules, screen, stop, price, ts_ms if trade else None)
    return Screen(
        ts_ms, volume, price, price, suspect, suspect_ms, shallow, shallow_ms,
        screen.rejected, screen.circuit,
    ), code  # fmt: skip


def _breach(
    rules: Rules, screen: Screen, stop: int, price: Ticks, traded_ms: Ticks | None
) -> tuple[int, Ticks | None, int]:
    """Return count and begin of the row of shallow trades, and whether the stop must wait.

    `traded_ms` is None for a packet that is no new trade: it counts for nothing.
    """
    shallow, since = screen.shallow, screen.shallow_ms
    depth = rules.sign * (stop - price)
    if depth < 0:
        return (shallow if traded_ms is None else 0), since, RUN
    if depth * rules.units > rules.soft_band:
        return shallow, since, RUN
    if traded_ms is None:
        return shallow, since, RUN_DELAYED
    since = traded_ms if shallow == 0 or since is None else since
    enough = shallow + 1 >= rules.confirm_trades and traded_ms - since >= rules.confirm_ms
    return shallow + 1, since, RUN if enough else RUN_DELAYED


def agrees(screen: Screen, suspect: Ticks, price: Ticks) -> bool:
    """Whether a price lies within a quarter of a suspect's jump from the suspect."""
    jump = _apart(suspect, screen.believed)
    return _apart(price, suspect) * SUSPECT_AGREES_QUARTERS <= jump


def _fault(screen: Screen, price: Ticks, ts_ms: Ticks | None) -> int:
    if not usable(price):
        return BAD_PRICE
    if ts_ms is not None and screen.last_ms is not None and ts_ms < screen.last_ms:
        return OLD
    circuit = screen.circuit
    if circuit is not None and not circuit[0] <= price <= circuit[1]:
        return OUTSIDE_CIRCUIT
    return 0


def _settles(screen: Screen, suspect: Ticks, price: Ticks, ts_ms: Ticks | None) -> bool:
    if agrees(screen, suspect, price):
        return True
    since = screen.suspect_ms
    return ts_ms is not None and since is not None and ts_ms - since >= SUSPECT_SETTLES_MS


def _apart(one: Ticks, other: Ticks) -> Ticks:
    return one - other if one >= other else other - one
