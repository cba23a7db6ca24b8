"""Which sector an instrument belongs to: a two-column CSV text, parsed.

Without one the sector limit is off and says so (`limits.sector_note`). Reading the file is the
shell's business; this takes its text.
"""

from __future__ import annotations

from agent.market.by_symbol import parse_by_symbol


def parse_sectors(text: str, *, source: str = "sectors") -> dict[str, str]:
    """Return sector by instrument key from CSV text with a header, `symbol` and `sector`.

    Raises
    ------
    SettingRefused
        As `parse_by_symbol`: a column is missing, a cell empty or a symbol has two sectors.
    """
    return parse_by_symbol(text, "sector", source=source)
