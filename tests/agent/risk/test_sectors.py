"""The sector file: keys, and every unusable line refused with its number."""

from __future__ import annotations

import pytest

from agent.errors import SettingRefused
from agent.risk.sectors import parse_sectors


def test_symbols_become_keys() -> None:
    text = "Sector, symbol ,weight\nit,INFY,1\nbanks,BSE:SBIN,2\nit,INFY,3\n"
    assert parse_sectors(text) == {"NSE:INFY": "it", "BSE:SBIN": "banks"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "sectors.csv line 1"),
        ("symbol,industry\nINFY,it\n", "sectors.csv line 1: found symbol, industry"),
        ("symbol,sector\nINFY,it\nTCS,\n", "sectors.csv line 3"),
        ("symbol,sector\n,it\n", "sectors.csv line 2"),
        ("symbol,sector\nINFY\n", "sectors.csv line 2"),
        ("symbol,sector\nINFY,it\nINFY,banks\n", "sectors.csv line 3: found 'INFY', 'banks'"),
    ],
)
def test_an_unusable_line_is_refused_with_its_number(text: str, line: str) -> None:
    with pytest.raises(SettingRefused, match=line):
        parse_sectors(text, source="sectors.csv")
