"""Which policies does a grid mean? A policy file in which a key may hold a list of values.

Pure. `stop = ["0.5%", "1%"]` and `share = [0.3, 0.5]` are four policies; every combination is one.
A combination that no policy file could hold (floor above cap) is left out and counted; a key that
is unknown, or makes no difference here, is refused by name.
"""

from __future__ import annotations

import itertools
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from agent.errors import SettingRefused
from agent.trailing.bulk.scale import refuse_undone
from agent.trailing.policy import Policy

POLICIES_MAX = 20_000
ELSEWHERE = ("planner", "overtrading")  # the agent's and the backtest's; a candle shows neither


@dataclass(frozen=True, slots=True)
class Axis:
    """One key with several values, as the file writes them (text, number or flag)."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """One policy of the grid, and the value of each axis that makes it."""

    policy: Policy
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """All policies that a grid means.

    Parameters
    ----------
    text : str
        The file.
    axes : tuple of Axis, in the file's order
    trials : tuple of Trial
    left_out : int
        Combinations that are no policy.
    why_left_out : str
        The first one's refusal; empty where there is none.
    """

    text: str
    axes: tuple[Axis, ...]
    trials: tuple[Trial, ...]
    left_out: int
    why_left_out: str


def read_grid(text: str, *, source: str = "grid") -> Grid:
    """Read a grid.

    Raises
    ------
    SettingRefused
        If it is not TOML, a list is empty, holds a value twice or a table, no combination is a
        policy (the first refusal names the key), there are more than `POLICIES_MAX`, or a key
        does nothing in a sweep.
    """
    try:
        values = tomllib.loads(text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as fault:
        raise SettingRefused(
            source, given=str(fault), allowed="a policy in TOML, lists for some keys", fix="mend it"
        ) from fault
    axes = tuple(_axes(values, source))
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > POLICIES_MAX:
        raise SettingRefused(
            source,
            given=f"{count:,} policies ({' x '.join(str(len(a.values)) for a in axes)})",
            allowed=f"at most {POLICIES_MAX:,}",
            fix="give fewer values",
        )
    trials, refusals = _trials(values, axes, source)
    if not trials:
        raise refusals[0]
    first = str(refusals[0]) if refusals else ""
    return Grid(text, axes, tuple(trials), len(refusals), first)


def _axes(values: Mapping[str, Any], source: str, prefix: str = "") -> Iterator[Axis]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _axes(value, source, f"{name}.")
        elif isinstance(value, list):
            if name.split(".", maxsplit=1)[0] in ELSEWHERE:
                raise SettingRefused(
                    f"{source}: {name}",
                    given="a list",
                    allowed="one value: candles and ticks show no modification and no cool-down",
                    fix="search it with the backtest; here it would only be counted as trials",
                )
            plain = [v for v in value if isinstance(v, str | int | Decimal)]
            if not value or len(plain) < len(value) or len({str(v) for v in plain}) < len(value):
                raise SettingRefused(
                    f"{source}: {name}",
                    given=f"{_shown(value)}",
                    allowed="a list of different values, each text, a number, true or false",
                    fix="list each value once",
                )
            yield Axis(name, tuple(value))


def _trials(
    values: Mapping[str, Any], axes: tuple[Axis, ...], source: str
) -> tuple[list[Trial], list[SettingRefused]]:
    trials: list[Trial] = []
    refusals: list[SettingRefused] = []
    for chosen in itertools.product(*(axis.values for axis in axes)):
        picked = dict(zip((axis.key for axis in axes), chosen, strict=True))
        try:
            policy = Policy.parse(policy_text(values, picked), source=source)
        except SettingRefused as fault:
            refusals.append(fault)
            continue
        refuse_undone(policy)
        trials.append(Trial(policy, chosen))
    return trials, refusals


def policy_text(values: Mapping[str, Any], picked: Mapping[str, Any]) -> str:
    """Return the policy file of one combination: plain keys, then the tables."""
    lines, tables = [], []
    for key, value in values.items():
        if isinstance(value, Mapping):
            inner = {k: picked.get(f"{key}.{k}", v) for k, v in value.items()}
            tables.append(f"[{key}]\n" + "".join(f"{k} = {_toml(v)}\n" for k, v in inner.items()))
        else:
            lines.append(f"{key} = {_toml(picked.get(key, value))}\n")
    return "".join(lines + tables)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):  # a table in a table: Policy.parse names it
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def _shown(values: list[Any]) -> str:
    return (
        "[" + ", ".join(str(value) for value in values[:6]) + ("]" if len(values) < 7 else ", …]")
    )
