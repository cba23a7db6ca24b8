"""A signal file: when to enter which symbol on which side, as CSV `ts,symbol,side`. Pure."""

from __future__ import annotations

import csv

from agent.errors import SettingRefused
from agent.trailing.rows import epoch_ms

Signals = dict[str, list[tuple[int, int]]]  # by symbol: (epoch ms, sign), by time


def read_signals(text: str, source: str) -> Signals:
    """Read a signal file: CSV with `ts,symbol,side`.

    Raises
    ------
    SettingRefused
        If a column is missing, or a row cannot be read (its line is named).
    """
    signals: Signals = {}
    reader = csv.DictReader(text.splitlines())
    missing = {"ts", "symbol", "side"} - set(reader.fieldnames or ())
    if missing:
        raise SettingRefused(
            source, given=f"no column {', '.join(sorted(missing))}", allowed="ts,symbol,side",
            fix="write that header",
        )  # fmt: skip
    for line, row in enumerate(reader, start=2):
        side = {"long": 1, "buy": 1, "short": -1, "sell": -1}.get(str(row["side"]).strip().lower())
        try:
            stamp = int(epoch_ms(str(row["ts"])))
        except ValueError as fault:
            raise _unreadable(source, line, str(fault)) from None
        symbol = str(row["symbol"] or "").strip()
        if side is None or not symbol:
            raise _unreadable(source, line, f"symbol {symbol!r}, side {row['side']!r}")
        key = symbol if ":" in symbol else f"NSE:{symbol}"
        signals.setdefault(key, []).append((stamp, side))
    if not signals:
        raise SettingRefused(source, given="no signal", allowed="at least one row", fix="add rows")
    return {key: sorted(rows) for key, rows in signals.items()}


def _unreadable(source: str, line: int, found: str) -> SettingRefused:
    return SettingRefused(
        f"{source} line {line}",
        given=found,
        allowed="ts in ISO-8601 or epoch ms, an instrument key, LONG or SHORT",
        fix="mend or remove that line",
    )
