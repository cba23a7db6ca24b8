"""The rows of a tick or candle file, exact from text: no float, no clock, one row in memory.

Pure: the caller opens the file and hands its lines over. A number that is no price (nan, 0) makes
a rejected row; a text that is no number, or a missing column, ends the run with its line number.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from agent.errors import SettingRefused

Ticks = int | Fraction

IST = timezone(timedelta(hours=5, minutes=30), "Asia/Kolkata")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EPOCH_MS = re.compile(r"[+-]?\d{1,18}(\.\d{1,9})?")
_MS_MIN, _MS_MAX = -62_000_000_000_000, 253_400_000_000_000  # the years 5 to 9999
_PLAIN = re.compile(r"(\d{1,15})(?:\.(\d{1,15}))?")
_EXPONENT_MAX = 300
_DECIMAL_PLACES_MAX = 400

TICK_COLUMNS = ("ts", "price")
CANDLE_COLUMNS = ("ts", "open", "high", "low", "close")


class Grid:
    """Prices of one tick size as whole ticks, straight from decimal text.

    Parameters
    ----------
    tick_size : Decimal, rupees, positive
    """

    def __init__(self, tick_size: Decimal) -> None:
        self._tick = Fraction(tick_size)

    def ticks(self, text: str) -> Ticks | None:
        """Return a positive finite number in ticks; None for nan, infinities, 0 and negatives.

        Raises
        ------
        ValueError
            If the text is no number.
        """
        text = text.strip()
        plain = _PLAIN.fullmatch(text)
        if plain:
            part = plain[2] or ""
            tick = self._tick
            top, under = (
                int(plain[1] + part) * tick.denominator,
                tick.numerator * 10 ** len(part),
            )
            whole, rest = divmod(top, under)
            if rest:
                return Fraction(top, under)
            return whole or None
        value = number(text)
        if value is None or value <= 0:
            return None
        exact = Fraction(value) / self._tick
        return exact.numerator if exact.denominator == 1 else exact


@dataclass(frozen=True, slots=True)
class TickRow:
    """One row: `price` and `atr` in ticks, None where the cell holds no positive finite number."""

    line: int
    ts: str
    ts_ms: Ticks
    price: Ticks | None
    atr: Ticks | None
    volume: Fraction | None


@dataclass(frozen=True, slots=True)
class CandleRow:
    """One candle in ticks; `prices` is (open, high, low, close), None if it is no candle."""

    line: int
    ts: str
    ts_ms: Ticks
    prices: tuple[Ticks, Ticks, Ticks, Ticks] | None
    atr: Ticks | None


def tick_rows(lines: Iterable[str], grid: Grid, *, source: str) -> Iterator[TickRow]:
    """Yield the rows of a tick file.

    Parameters
    ----------
    lines : iterable of str
        The first is the header: `ts,price` and optionally `atr`, `volume`, in any order.
    grid : Grid
    source : str
        What messages call the file.

    Raises
    ------
    SettingRefused
        At the first row that cannot be read, with its line number; or at once, if a column is
        missing.
    """
    for line, cells in _cells(lines, TICK_COLUMNS, source):
        try:
            yield TickRow(
                line=line,
                ts=cells["ts"],
                ts_ms=epoch_ms(cells["ts"]),
                price=grid.ticks(cells["price"]),
                atr=_optional(grid, cells.get("atr")),
                volume=_volume(cells.get("volume")),
            )
        except ValueError as fault:
            raise _unreadable(source, line, str(fault), TICK_COLUMNS) from None


def candle_rows(lines: Iterable[str], grid: Grid, *, source: str) -> Iterator[CandleRow]:
    """Yield the rows of a candle file: `ts,open,high,low,close` and optionally `volume`, `atr`.

    Raises
    ------
    SettingRefused
        As `tick_rows`.
    """
    for line, cells in _cells(lines, CANDLE_COLUMNS, source):
        try:
            _volume(cells.get("volume"))
            yield CandleRow(
                line=line,
                ts=cells["ts"],
                ts_ms=epoch_ms(cells["ts"]),
                prices=_candle(*(grid.ticks(cells[name]) for name in CANDLE_COLUMNS[1:])),
                atr=_optional(grid, cells.get("atr")),
            )
        except ValueError as fault:
            raise _unreadable(source, line, str(fault), CANDLE_COLUMNS) from None


def has_column(header: str, name: str) -> bool:
    """Whether a file's header line names a column."""
    return name in _names(header)


def epoch_ms(text: str) -> Ticks:
    """Return a time as epoch milliseconds: an int, or a Fraction between two of them.

    Parameters
    ----------
    text : str
        Epoch milliseconds, or ISO-8601; without an offset it is Asia/Kolkata.

    Raises
    ------
    ValueError
        If it is neither.
    """
    text = text.strip()
    if _EPOCH_MS.fullmatch(text):
        exact = Fraction(text)
        if not _MS_MIN <= exact <= _MS_MAX:
            raise ValueError(f"ts {text!r}, which is no day of a calendar")
        return exact.numerator if exact.denominator == 1 else exact
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"ts {text!r}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=IST)
    micros = (moment - _EPOCH) // _MICROSECOND
    if not _MS_MIN * 1000 <= micros <= _MS_MAX * 1000:
        raise ValueError(f"ts {text!r}, which is no day of a calendar")
    return micros // 1000 if micros % 1000 == 0 else Fraction(micros, 1000)


def number(text: str) -> Decimal | None:
    """Return a decimal number exactly; None for nan and infinities.

    Raises
    ------
    ValueError
        If the text is no number, or beyond 1e300.
    """
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError(f"{text!r} for a number") from None
    if "_" in text:
        raise ValueError(f"{text!r} for a number")
    if not value.is_finite():
        return None
    if abs(value.adjusted()) > _EXPONENT_MAX:
        raise ValueError(f"{text!r}, which is beyond any price")
    return value


def decimal_text(value: Fraction) -> str:
    """Return an exact decimal as a JSON number: no exponent, no rounding.

    A ratio that no decimal equals is cut to 20 digits; sums of decimals never are one.
    """
    if value.denominator == 1:
        return str(value.numerator)
    places = 0
    scaled = value
    while scaled.denominator != 1 and places < _DECIMAL_PLACES_MAX:
        places += 1
        scaled *= 10
    if scaled.denominator != 1:
        return format(Decimal(value.numerator) / Decimal(value.denominator), ".20g")
    digits = f"{abs(scaled.numerator):0{places + 1}d}"
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def _cells(
    lines: Iterable[str], wanted: tuple[str, ...], source: str
) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(iter(lines), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        for name in wanted:
            if name not in names:
                raise _unreadable(source, 1, f"no column {name!r} in the header", wanted)
        for row in reader:
            if not row:
                continue
            cells = dict(zip(names, row, strict=False))
            missing = [name for name in wanted if not cells.get(name, "").strip()]
            missing += names[len(row) :]
            if missing:
                raise _unreadable(source, reader.line_num, f"no {missing[0]}", wanted)
            yield reader.line_num, cells
    except csv.Error as fault:
        raise _unreadable(source, reader.line_num, str(fault), wanted) from None


def _names(header: str) -> list[str]:
    return [name.strip() for name in next(csv.reader([header]), [])]


def _unreadable(source: str, line: int, found: str, wanted: tuple[str, ...]) -> SettingRefused:
    return SettingRefused(
        f"{source} line {line}",
        given=found,
        allowed=f"{','.join(wanted)} with numbers, ts in ISO-8601 or epoch milliseconds",
        fix="mend or remove that line",
    )


def _optional(grid: Grid, text: str | None) -> Ticks | None:
    return None if text is None or not text.strip() else grid.ticks(text)


def _volume(text: str | None) -> Fraction | None:
    if text is None or not text.strip():
        return None
    value = number(text)
    return None if value is None else Fraction(value)


def _candle(
    opened: Ticks | None, high: Ticks | None, low: Ticks | None, close: Ticks | None
) -> tuple[Ticks, Ticks, Ticks, Ticks] | None:
    if opened is None or high is None or low is None or close is None:
        return None
    if not low <= min(opened, close) or not max(opened, close) <= high:
        return None
    return opened, high, low, close
