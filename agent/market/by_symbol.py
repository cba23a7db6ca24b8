"""One thing known of each symbol (its sector, its ISIN), out of a CSV text of the user's.

Reading the file is the shell's business; this takes its text.
"""

from __future__ import annotations

import csv

from agent.errors import SettingRefused

SYMBOL_COLUMNS = ("symbol", "tradingsymbol")


def parse_by_symbol(
    text: str, column: str, *, source: str, blank_allowed: bool = False
) -> dict[str, str]:
    """Return a column's value by instrument key, from CSV text with a header.

    Parameters
    ----------
    text : str
        Columns `symbol` (or `tradingsymbol`) and the wanted one in any order, others ignored. A
        symbol without an exchange is of NSE. It may come twice only with the same value.
    column : str
        Name of the wanted column, lower case.
    source : str
        The file's name, for the message.
    blank_allowed : bool
        Whether a line without the value is passed over (a list of all instruments), or refused.

    Raises
    ------
    SettingRefused
        If a column is missing, a cell empty or a symbol has two values; with the line.
    """
    rows = csv.DictReader(text.removeprefix("\ufeff").splitlines())
    columns = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
    symbol_column = next((columns[name] for name in SYMBOL_COLUMNS if name in columns), None)
    if symbol_column is None or column not in columns:
        raise SettingRefused(
            f"{source} line 1",
            given=", ".join(rows.fieldnames or ()) or "nothing",
            allowed=f"a header with symbol and {column}",
            fix="write the header as the first line",
        )
    found: dict[str, str] = {}
    for row in rows:
        symbol = (row[symbol_column] or "").strip()
        value = (row[columns[column]] or "").strip()
        if blank_allowed and not value:
            continue
        key = symbol if ":" in symbol else f"NSE:{symbol}"
        if not symbol or not value or found.get(key, value) != value:
            raise SettingRefused(
                f"{source} line {rows.line_num}",
                given=f"{symbol!r}, {value!r}",
                allowed=f"one {column} for each symbol",
                fix="fill or remove the line",
            )
        found[key] = value
    return found
