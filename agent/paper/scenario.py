"""A scenario: a market with a shape, faults along its day, a seed, and what it is there to teach.

TOML, from the library in agent/paper/scenarios/ by name or from any file. What is wrong in one is
refused with the file, the line and the key. Reading only: opening.py draws the market and arms
the faults.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.errors import SettingRefused
from agent.market.sessions import NSE
from agent.paper.faults import Fault, first_error, read_fault
from agent.paper.market import Market
from agent.paper.shapes import Shape, draw_shapes
from agent.paper.source import CandleSet, key_of, read_candles

LIBRARY: Final = "agent.paper.scenarios"
DAYS_MAX: Final = 20
SYMBOLS_MAX: Final = 50
Percent = Annotated[float, Field(ge=-90, le=900)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Split(_Table):
    day: int = Field(ge=2, description="The day of the run on which the shares are divided.")
    ratio: int = Field(ge=2, le=100)


class _Symbol(_Table):
    symbol: str = Field(min_length=1)
    close: float = Field(gt=0)
    paths: Annotated[
        list[Annotated[list[tuple[time, Percent]], Field(min_length=1, max_length=500)]],
        Field(min_length=1, max_length=DAYS_MAX),
    ]
    noise_bp: float = Field(3.0, ge=0, le=500)
    volume: int = Field(6_000, ge=1)
    derivatives: bool = True
    circuit_percent: float = Field(20.0, gt=0, le=90)
    split: _Split | None = None


class _Document(_Table):
    teaches: str = Field(min_length=10)
    safe: str = Field(min_length=10)
    seed: int = Field(1, ge=0)
    days: list[date] = Field(default=[date(2026, 11, 27)], min_length=1, max_length=DAYS_MAX)
    history_days: int = Field(20, ge=1, le=250)
    minutes: Literal[1, 3, 5] = Field(
        1, description="Length of a candle; longer ones: fewer ticks."
    )
    candles: str | None = None
    symbols: list[_Symbol] = Field(default=[], max_length=SYMBOLS_MAX)
    faults: list[dict[str, Any]] = []


@dataclass(frozen=True, slots=True)
class Scenario:
    """What was read.

    Parameters
    ----------
    name : str
    teaches, safe : str
        What it shows, and what a safe client does.
    days : tuple of date
        Those that are played; empty: all that the candles have.
    text : str
        The whole file: another text is another run.
    """

    name: str
    teaches: str
    safe: str
    seed: int
    days: tuple[date, ...]
    history_days: int
    minutes: int
    candles: str | None
    shapes: tuple[Shape, ...]
    faults: tuple[Fault, ...]
    text: str

    def candle_set(self, seed: int) -> CandleSet:
        """Read or draw the candles."""
        if self.candles is not None:
            return read_candles(self.candles)
        return draw_shapes(
            self.shapes,
            self.days,
            seed=seed,
            history_days=self.history_days,
            minutes=self.minutes,
        )

    def shape_market(self, market: Market) -> None:
        """Tell a market the circuit limits and the splits."""
        market.circuits = {s.key: Decimal(str(s.circuit_percent)) / 100 for s in self.shapes}
        market.splits = {
            shape.key: (self.days[shape.split[0] - 1], shape.split[1])
            for shape in self.shapes
            if shape.split is not None
        }


def library() -> list[str]:
    """Return the names of the scenarios that are shipped."""
    found = [one.name for one in files(LIBRARY).iterdir()]
    return sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml"))


def find_scenario(name: str, operations: Collection[str]) -> Scenario:
    """Return a scenario of the library, or of a file.

    Raises
    ------
    SettingRefused
        If there is none, or it is wrong: with file, line and key.
    """
    path = Path(name)
    if name in library():
        return read_scenario(
            (files(LIBRARY) / f"{name}.toml").read_text(encoding="utf-8"), name, operations
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise SettingRefused(
            f"--scenario {name}",
            given="no such file" if isinstance(fault, FileNotFoundError) else fault,
            allowed=f"a TOML file, or one of {', '.join(library())}",
            fix="see --list-scenarios",
        ) from fault
    return read_scenario(text, name, operations, folder=path.parent)


def print_scenarios(operations: Collection[str]) -> None:
    """Print the library: name, what it teaches, what a safe client does."""
    for name in library():
        one = find_scenario(name, operations)
        print(f"{name}\n  teaches: {one.teaches}\n  safe: {one.safe}")


def read_scenario(
    text: str, name: str, operations: Collection[str], *, folder: Path | None = None
) -> Scenario:
    """Return a scenario from its text.

    Raises
    ------
    SettingRefused
        With the line and the key.
    """
    try:
        raw = tomllib.loads(text)
        document = _Document.model_validate(raw)
    except tomllib.TOMLDecodeError as fault:
        raise SettingRefused(
            f"scenario {name}", given=fault, allowed="TOML", fix="mend that line"
        ) from fault
    except ValidationError as fault:
        where, given, allowed = first_error(fault)
        raise _wrong((text, name), where, given, allowed) from None
    _check(document, text, name)
    candles = document.candles
    if candles is not None and folder is not None:
        candles = str(folder / candles)
    return Scenario(
        name,
        document.teaches,
        document.safe,
        document.seed,
        tuple(document.days) if document.symbols or "days" in document.model_fields_set else (),
        document.history_days,
        document.minutes,
        candles,
        tuple(_shape(one) for one in document.symbols),
        tuple(
            _fault(one, n, (text, name), operations) for n, one in enumerate(document.faults)
        ),
        text,
    )  # fmt: skip


def line_of(text: str, where: tuple[int | str, ...]) -> int:
    """Return the line, from 1, on which a key of a TOML text stands, or its table, or 1.

    Parameters
    ----------
    text : str
    where : keys and list positions, as `("faults", 1, "kind")`
    """
    table: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    best = 1
    path = [str(part) for part in where]
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*(\[\[?)\s*([\w.\-]+)\s*\]\]?", line)
        if header:
            name = header[2]
            table = tuple(name.split("."))
            if header[1] == "[[":
                counts[name] = counts.get(name, -1) + 1
                table = (*table, str(counts[name]))
            if table == tuple(path[: len(table)]):
                best = number
            continue
        key = re.match(r"\s*([\w\-]+)\s*=", line)
        if key and (*table, key[1]) == tuple(path[: len(table) + 1]):
            best = number
    return best


def _wrong(
    source: tuple[str, str], where: tuple[int | str, ...], given: object, allowed: object
) -> SettingRefused:
    text, name = source
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    return SettingRefused(
        f"scenario {name}, line {line_of(text, where)}: {key.lstrip('.')}",
        given=given,
        allowed=allowed,
        fix="mend that line",
    )


def _check(document: _Document, text: str, name: str) -> None:
    """Check what needs more than one key."""
    source = (text, name)
    if bool(document.symbols) == (document.candles is not None):
        raise _wrong(source, ("symbols",), "both or none", "either [[symbols]] or candles")
    for n, on in enumerate(document.days):
        if NSE.session(on) is None:
            raise _wrong(source, ("days",), on, "days on which NSE trades")
        if n and on <= document.days[n - 1]:
            raise _wrong(source, ("days",), on, "rising days")
    for n, one in enumerate(document.symbols):
        if [each.symbol for each in document.symbols].index(one.symbol) != n:
            raise _wrong(source, ("symbols", n, "symbol"), one.symbol, "each symbol once")
        for path in one.paths:
            if [at for at, _ in path] != sorted(at for at, _ in path):
                raise _wrong(source, ("symbols", n, "paths"), path[0], "times that rise")
        if one.split is not None and one.split.day > len(document.days):
            raise _wrong(source, ("symbols", n, "split"), one.split.day, "one of the days")


def _shape(one: _Symbol) -> Shape:
    return Shape(
        key_of(one.symbol),
        one.close,
        tuple(tuple(path) for path in one.paths),
        one.noise_bp,
        one.volume,
        one.derivatives,
        one.circuit_percent,
        None if one.split is None else (one.split.day, one.split.ratio),
    )


def _fault(
    document: Mapping[str, Any], number: int, source: tuple[str, str], operations: Collection[str]
) -> Fault:
    try:
        return read_fault(document, operations)
    except SettingRefused as refused:
        where = ("faults", number, refused.subject)
        raise _wrong(source, where, refused.given, refused.allowed) from refused
