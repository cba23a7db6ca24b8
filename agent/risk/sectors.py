"""Which sector an instrument belongs to: a two-column CSV text, parsed.

Without one the sector limit is off and says so (`limits.sector_note`). Reading the file is the
shell's business; this takes its text.
"""

from __future__ import annotations

import csv

from agent.errors import SettingRefused


def parse_sectors(text: str, *, source: str = "sectors") -> dict[str, str]:
    """Return sector by instrument key from CSV text with a header.

    Parameters
    ----------
    text : str
        Columns `symbol` and `sector` in any order, others ignored. A symbol without an exchange
        is of NSE. A symbol may come twice only with the same sector.
    source : str
        The file's name, for the message.

    Raises
    ------
    SettingRefused
        If a column is missing, a cell empty or a symbol has two sectors; with the line.
    """
    rows = csv.DictReader(text.splitlines())
    columns = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
    if not {"symbol", "sector"} <= set(columns):
        raise SettingRefused(
            f"{source} line 1",
            given=", ".join(rows.fieldnames or ()) or "nothing",
            allowed="a header with symbol and sector",
            fix="write the header as the first line",
        )
    sectors: dict[str, str] = {}
    for row in rows:
        symbol = (row[columns["symbol"]] or "").strip()
        sector = (row[columns["sector"]] or "").strip()
        key = symbol if ":" in symbol else f"NSE:{symbol}"
        if not symbol or not sector or sectors.get(key, sector) != sector:
            raise SettingRefused(
                f"{source} line {rows.line_num}",
                given=f"{symbol!r}, {sector!r}",
                allowed="one sector for each symbol",
                fix="fill or remove the line",
            )
        sectors[key] = sector
    return sectors
