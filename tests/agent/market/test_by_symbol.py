"""One value of each symbol out of a user's CSV: columns by name, blanks passed over if allowed."""

from __future__ import annotations

import pytest

from agent.errors import SettingRefused
from agent.market.by_symbol import parse_by_symbol


def test_a_list_of_all_instruments_may_leave_values_out() -> None:
    text = "tradingsymbol,isin\nA,\nB,INE2\nC,  \nBSE:D,INE4\n"
    found = parse_by_symbol(text, "isin", source="isins.csv", blank_allowed=True)
    assert found == {"NSE:B": "INE2", "BSE:D": "INE4"}
    with pytest.raises(SettingRefused, match=r"isins\.csv line 2: found 'A', ''"):
        parse_by_symbol(text, "isin", source="isins.csv")


def test_a_value_without_a_symbol_is_refused_whether_blanks_are_allowed_or_not() -> None:
    for allowed in (True, False):
        with pytest.raises(SettingRefused, match=r"isins\.csv line 3: found '', 'INE2'"):
            parse_by_symbol(
                "symbol,isin\nA,INE1\n,INE2\n", "isin", source="isins.csv", blank_allowed=allowed
            )


def test_symbol_is_read_before_tradingsymbol_and_a_mark_of_the_file_s_encoding_is_not() -> None:
    text = "\ufefftradingsymbol,Symbol,ISIN\nX,A,INE1\n"
    assert parse_by_symbol(text, "isin", source="isins.csv") == {"NSE:A": "INE1"}


@pytest.mark.parametrize(
    ("text", "given"),
    [("", "found nothing"), ("isin\nINE1\n", "found isin"), ("symbol\nA\n", "found symbol")],
)
def test_a_header_without_both_columns_is_refused(text: str, given: str) -> None:
    with pytest.raises(SettingRefused, match=rf"isins\.csv line 1: {given}") as refused:
        parse_by_symbol(text, "isin", source="isins.csv")
    assert "a header with symbol and isin" in str(refused.value)
    assert "write the header as the first line" in str(refused.value)
