"""A trail that survives a restart: its state to JSON and back, exactly.

Pure: the caller writes and reads the text. Whole numbers stay whole numbers and ratios are text
(`"10007/3333"`), so a restored stop is the saved stop and not the nearest float. The rules are not
saved: they follow from the plan and the ATR at entry.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

from agent.errors import SettingRefused
from agent.trailing.plan import Plan, rules_at
from agent.trailing.ratchet import Ticks, TrailState, gauge_of
from agent.trailing.screen import Screen

VERSION = 1
# From a version to the next one: takes and returns the document. Add a row when VERSION grows.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def to_json(state: TrailState) -> str:
    """Return the state as one JSON document with a version number."""
    screen = state.screen
    document = {
        "version": VERSION,
        "stop": state.stop,
        "target": state.target,
        "move_ticks": _text(Fraction(state.move) / state.rules.units),
        "atr_at_entry_ticks": _text(state.rules.atr),
        "atr_ticks": None if state.gauge is None else _text(state.gauge.atr),
        "signal": state.signal,
        "exited": state.exited,
        "screen": {
            "last_ms": _text(screen.last_ms),
            "last_volume": _text(screen.last_volume),
            "last_price": _text(screen.last_price),
            "believed": _text(screen.believed),
            "suspect": _text(screen.suspect),
            "suspect_ms": _text(screen.suspect_ms),
            "shallow": screen.shallow,
            "shallow_ms": _text(screen.shallow_ms),
            "rejected": screen.rejected,
            "circuit": screen.circuit,
        },
    }
    return json.dumps(document, separators=(",", ":"))


def from_json(plan: Plan, text: str) -> TrailState:
    """Return the state that `to_json` wrote, under the plan it was made with.

    Parameters
    ----------
    plan : Plan
    text : str

    Returns
    -------
    TrailState

    Raises
    ------
    SettingRefused
        If the text is no saved state, or its version is newer than this program.
    """
    try:
        document = json.loads(text)
        version = document["version"]
        while version in MIGRATIONS and version < VERSION:
            document = MIGRATIONS[version](document)
            version = document["version"]
        if version != VERSION:
            raise SettingRefused(
                "saved trail",
                given=f"version {version}",
                allowed=f"version {VERSION} or older",
                fix="run the program that wrote it",
            )
        return _state(plan, document)
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as fault:
        raise SettingRefused(
            "saved trail",
            given=f"{type(fault).__name__}: {fault}",
            allowed="a document as to_json writes it",
            fix="take the position up again from the order book; its stop there still stands",
        ) from fault


def _state(plan: Plan, document: dict[str, Any]) -> TrailState:
    atr = _number(document["atr_at_entry_ticks"])
    rules = plan.rules
    if atr is not None and rules.atr != atr:
        rules = rules_at(plan, Fraction(atr), units_of=rules.units)
    current = _number(document["atr_ticks"])
    move = Fraction(_number(document["move_ticks"]) or 0) * rules.units
    saved = document["screen"]
    circuit = saved["circuit"]
    screen = Screen(
        shallow=int(saved["shallow"]),
        rejected=int(saved["rejected"]),
        circuit=None if circuit is None else (int(circuit[0]), int(circuit[1])),
        believed=_number(saved["believed"]) or 0,
        **{
            name: _number(saved[name])
            for name in (
                "last_ms", "last_volume", "last_price", "suspect", "suspect_ms", "shallow_ms",
            )
        },
    )  # fmt: skip
    target = document["target"]
    return TrailState(
        stop=int(document["stop"]),
        target=None if target is None else int(target),
        move=move.numerator if move.denominator == 1 else move,
        gauge=None if current is None or rules.atr is None else gauge_of(rules, current),
        settled=False,
        signal=document["signal"],
        screen=screen,
        exited=document["exited"],
        rules=rules,
    )


def regrid(plan: Plan, state: TrailState, onto: Plan) -> TrailState:
    """Return the state on another tick grid (tick sizes change with the month), never looser.

    Parameters
    ----------
    plan, onto : Plan
        The same position on the old and on the new tick size.
    state : TrailState

    Returns
    -------
    TrailState
        Levels rounded so that neither moves against the trade; the best price is kept exactly.
    """
    ratio = Fraction(plan.tick_size) / Fraction(onto.tick_size)
    sign = onto.rules.sign

    def level(ticks: int) -> int:
        return sign * -((-sign * ticks * ratio).__floor__())

    def moved(value: Ticks | None) -> Ticks | None:
        return None if value is None else _whole(value * ratio)

    atr = None if state.rules.atr is None else state.rules.atr * ratio
    rules = onto.rules if atr is None or onto.rules.atr == atr else rules_at(onto, atr)
    current = None if state.gauge is None else moved(state.gauge.atr)
    screen = replace(
        state.screen,
        last_price=moved(state.screen.last_price),
        believed=_whole(state.screen.believed * ratio),
        suspect=moved(state.screen.suspect),
        circuit=None,
    )
    return replace(
        state,
        stop=level(state.stop),
        target=None if state.target is None else level(state.target),
        move=_whole(Fraction(state.move) / state.rules.units * ratio * rules.units),
        gauge=None if current is None else gauge_of(rules, current),
        settled=False,
        screen=screen,
        rules=rules,
    )


def _whole(value: Ticks) -> Ticks:
    return value.numerator if value.denominator == 1 else value


def _text(value: Ticks | None) -> int | str | None:
    if isinstance(value, Fraction):
        return (
            value.numerator if value.denominator == 1 else f"{value.numerator}/{value.denominator}"
        )
    return value


def _number(value: int | str | None) -> Ticks | None:
    return _whole(Fraction(value)) if isinstance(value, str) else value
