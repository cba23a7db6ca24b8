"""Which keys may a policy file hold, and what may stand behind each? One reader a kind of value.

Pure: a parsed TOML table in, checked values out. Rules that need no entry price live here; those
that compare distances live in plan.py. Every refusal names the key, what was found and what may
stand there.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from agent.errors import SettingRefused
from agent.trailing.distance import Distance, exact, parse_distance

MODES = ("fixed", "percent", "atr", "hybrid")
KEYS_OF_MODE = {
    "fixed": ("step", "move"),
    "percent": ("share",),
    "atr": ("multiple",),
    "hybrid": ("share", "min_distance"),
}
_OPTIONAL_OF_MODE = {"fixed": ("continuous",)}
_EVERY_MODE = (
    "mode", "stop", "target", "activation", "lock", "max_distance", "min_gap", "follow",
    "max_extension", "volatility", "planner", "whipsaw", "overtrading", "signal",
)  # fmt: skip
BREAKEVEN = "breakeven"


class Table:
    """One table of the file: takes values out by key, and refuses what nobody asked for.

    Parameters
    ----------
    source : str
        The file, for messages.
    values : mapping
        As tomllib gives it, floats as `Decimal`.
    prefix : str
        The table's name and a dot, for messages.
    """

    def __init__(self, source: str, values: Mapping[str, Any], prefix: str = "") -> None:
        self.source, self.values, self.prefix = source, values, prefix

    def subject(self, key: str) -> str:
        """Return how a message names a key."""
        return f"{self.source}: {self.prefix}{key}"

    def refuse(self, key: str, allowed: str, fix: str) -> SettingRefused:
        """Return the error that says a key's value cannot stand."""
        return SettingRefused(
            self.subject(key), given=_shown(self.values.get(key)), allowed=allowed, fix=fix
        )

    def only(self, allowed: tuple[str, ...], why: str = "unknown key") -> None:
        """Refuse the first key that is not among the allowed ones."""
        for key in self.values:
            if key not in allowed:
                raise SettingRefused(
                    self.subject(key),
                    given=f"{why} {key!r}",
                    allowed=f"one of {', '.join(allowed)}",
                    fix="remove it, or mend the spelling",
                )

    def require(self, keys: tuple[str, ...], why: str) -> None:
        """Refuse a missing key."""
        for key in keys:
            if key not in self.values:
                raise SettingRefused(
                    self.subject(key), given="nothing", allowed=why, fix=f"add {key} = ..."
                )

    def distance(self, key: str) -> Distance | None:
        """Return a distance, or None where the key is absent."""
        if key not in self.values:
            return None
        return parse_distance(self.subject(key), self.values[key])

    def number(self, key: str, *, low: int, high: int | None = None, open_low: bool = False) -> Any:
        """Return a plain number within its bounds, or None where the key is absent."""
        if key not in self.values:
            return None
        bounds = f"a number {'above' if open_low else 'of at least'} {low}"
        bounds += f" and at most {high}" if high is not None else ""
        value = self.values[key]
        amount = (
            exact(value)
            if isinstance(value, int | Decimal) and not isinstance(value, bool)
            else None
        )
        inside = (
            amount is not None
            and (amount > low if open_low else amount >= low)
            and (high is None or amount <= high)
        )
        if not inside:
            raise self.refuse(key, bounds, "choose a value in that range")
        return amount

    def whole(self, key: str, *, low: int, default: int, high: int | None = None) -> int:
        """Return a whole number within its bounds, or the default where the key is absent."""
        value = self.values.get(key, default)
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or value < low
            or (high is not None and value > high)
        ):
            bounds = f"a whole number of at least {low}"
            bounds += f" and at most {high}" if high is not None else ""
            raise self.refuse(key, bounds, "choose a value in that range")
        return value

    def flag(self, key: str) -> bool:
        """Return true or false; an absent key is false."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.refuse(key, "true or false", "write it without quotes")
        return value

    def table(self, key: str) -> Table | None:
        """Return a table inside this one, or None where it is absent."""
        if key not in self.values:
            return None
        value = self.values[key]
        if not isinstance(value, Mapping):
            raise self.refuse(key, "a table", f"write [{key}] and its keys below")
        return Table(self.source, value, f"{self.prefix}{key}.")


def mode_of(table: Table) -> str:
    """Return the mode, having refused what is missing for it, unknown, or another mode's.

    Raises
    ------
    SettingRefused
        Naming the key.
    """
    table.require(("mode",), f"one of {', '.join(MODES)}")
    mode = table.values["mode"]
    if not isinstance(mode, str) or mode not in MODES:
        raise table.refuse("mode", f"one of {', '.join(MODES)}", "choose one")
    own = KEYS_OF_MODE[mode] + _OPTIONAL_OF_MODE.get(mode, ())
    others = {k for keys in (*KEYS_OF_MODE.values(), *_OPTIONAL_OF_MODE.values()) for k in keys}
    for key in table.values:
        if key in others and key not in own:
            raise SettingRefused(
                table.subject(key),
                given=f"{key} = {_shown(table.values[key])} with mode = {mode!r}",
                allowed=f"of the modes' own keys only {', '.join(own)}",
                fix=f"remove {key}, or change the mode",
            )
    table.only(_EVERY_MODE + own)
    table.require(("stop",), "the distance of the initial stop")
    table.require(KEYS_OF_MODE[mode], f"a value: mode = {mode!r} needs it")
    return mode


def lock_of(table: Table) -> Distance | str | None:
    """Return the minimum profit kept: a distance, `BREAKEVEN`, or None."""
    return BREAKEVEN if table.values.get("lock") == BREAKEVEN else table.distance("lock")


def volatility_of(table: Table) -> tuple[Fraction, Fraction] | None:
    """Return floor and cap of the volatility guard, or None.

    Raises
    ------
    SettingRefused
        If one stands alone, floor is not positive or above cap.
    """
    inner = table.table("volatility")
    if inner is None:
        return None
    inner.only(("floor", "cap"))
    inner.require(("floor", "cap"), "a number: floor and cap are required together")
    floor = inner.number("floor", low=0, open_low=True)
    cap = inner.number("cap", low=0)  # 0 is below every floor: refused with both numbers
    if floor > cap:
        raise SettingRefused(
            inner.subject("floor"),
            given=f"floor = {inner.values['floor']}",
            allowed=f"at most cap = {inner.values['cap']}",
            fix="lower floor or raise cap",
        )
    return floor, cap


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)
