"""Values of the core to JSON and back, exactly: what the journal keeps, what a replay reads.

A dataclass carries its name, so that a document says what it is; only the classes listed here can
come back. Fractions and decimals stay text, enums their names, mappings with keys that are not
text become lists of pairs. A trade's plan is not written: it is made again from the policy's text
and its entry, and the trail's own saved form (agent/trailing/saved.py) is put on it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any

from agent.core import commands, events, trade, values
from agent.core.trade import Levels
from agent.errors import check
from agent.market import candles, instruments, sessions
from agent.orders import leg, lifecycle
from agent.signals import signal
from agent.trailing import planner
from agent.trailing.planner import PlacedStop, budget_for
from agent.trailing.policy import Policy, plan_for
from agent.trailing.saved import from_json, to_json

CLASS = "_"
_ROOMS = (commands, events, trade, values, candles, instruments, sessions, leg, lifecycle, signal)
CLASSES: dict[str, type] = {
    name: found
    for room in (*_ROOMS, planner)
    for name, found in vars(room).items()
    if isinstance(found, type) and (dataclasses.is_dataclass(found) or issubclass(found, Enum))
}


def to_plain(value: Any) -> Any:
    """Return a value as what `json` can write.

    Raises
    ------
    Broken
        If it holds something that cannot come back.
    """
    plain: Any
    match value:
        case Enum():
            plain = {CLASS: type(value).__name__, "name": value.name}
        case None | bool() | int() | float() | str():
            plain = value
        case Fraction():
            plain = {CLASS: "Fraction", "text": str(value)}
        case Decimal():
            plain = {CLASS: "Decimal", "text": str(value)}
        case datetime() | date() | time():
            plain = {CLASS: type(value).__name__, "text": value.isoformat()}
        case Levels():
            plain = _levels_to_plain(value)
        case tuple() | list() | frozenset():
            plain = [to_plain(item) for item in value]
        case Mapping():
            plain = {
                CLASS: "pairs",
                "items": [[to_plain(k), to_plain(v)] for k, v in value.items()],
            }
        case _:
            check(type(value).__name__ in CLASSES, "a value that can come back", given=type(value))
            plain = {CLASS: type(value).__name__}
            for field in dataclasses.fields(value):
                if field.init:
                    plain[field.name] = to_plain(getattr(value, field.name))
    return plain


def from_plain(plain: Any) -> Any:
    """Return the value that `to_plain` made a document of; lists come back as tuples.

    Raises
    ------
    Broken
        If a class is not known.
    """
    if isinstance(plain, list):
        return tuple(from_plain(item) for item in plain)
    if not isinstance(plain, dict):
        return plain
    name = plain[CLASS]
    match name:
        case "Fraction":
            return Fraction(plain["text"])
        case "Decimal":
            return Decimal(plain["text"])
        case "datetime":
            return datetime.fromisoformat(plain["text"]).astimezone(sessions.IST)
        case "date":
            return date.fromisoformat(plain["text"])
        case "time":
            return time.fromisoformat(plain["text"])
        case "pairs":
            return {from_plain(k): from_plain(v) for k, v in plain["items"]}
        case "Levels":
            return _levels_from_plain(plain)
        case _:
            found = CLASSES.get(name)
            check(found is not None, "a class that the journal may hold", given=name)
    if found is not None and issubclass(found, Enum):
        return found[plain["name"]]
    known = {field.name for field in dataclasses.fields(found)}  # type: ignore[arg-type]
    return found(**{k: from_plain(v) for k, v in plain.items() if k in known})  # type: ignore[misc]


def _levels_to_plain(levels: Levels) -> dict[str, Any]:
    plan = levels.plan
    return {
        CLASS: "Levels",
        "policy": plan.policy.text,
        "side": plan.side.name,
        "entry": str(plan.entry),
        "tick_size": str(plan.tick_size),
        "atr": None if plan.rules.atr is None else str(plan.rules.atr * Fraction(plan.tick_size)),
        "plan_average": str(plan.average),
        "trail": to_json(levels.trail),
        "average": str(levels.average),
        "quantity": levels.quantity,
        "on": levels.on.isoformat(),
        "placed": to_plain(levels.placed),
        "stop_moves": levels.stop_moves,
        "target_moves": levels.target_moves,
    }


def _levels_from_plain(plain: dict[str, Any]) -> Levels:
    plan = plan_for(
        Policy.parse(plain["policy"], source="the journal's policy"),
        side=instruments.Side[plain["side"]],
        entry=Fraction(plain["entry"]),
        tick_size=Decimal(plain["tick_size"]),
        quantity=plain["quantity"],
        on=date.fromisoformat(plain["on"]),
        atr=None if plain["atr"] is None else Fraction(plain["atr"]),
    )
    average = Fraction(plain["plan_average"])
    if average != plan.average:
        plan = plan.with_average(average)
    placed: PlacedStop | None = from_plain(plain["placed"])
    return Levels(
        plan,
        from_json(plan, plain["trail"]),
        Fraction(plain["average"]),
        plain["quantity"],
        date.fromisoformat(plain["on"]),
        budget_for(plan),
        placed,
        stop_moves=plain["stop_moves"],
        target_moves=plain["target_moves"],
    )
