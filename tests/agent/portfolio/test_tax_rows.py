"""The tax return's table: columns, exact rupees, India's time, and no cell that is a formula."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.market.instruments import Side
from agent.portfolio.roundtrips import Deal, round_trips
from agent.portfolio.tax_rows import AMOUNTS, COLUMNS, FORMULA, cells, csv_text, document, harmless
from tests.agent.portfolio.test_roundtrips import MONDAY, days, deal, order

NUMBER = re.compile(r"-?\d+(\.\d+)?")


def rows(*deals: Deal) -> list:
    return [row for one in deals for row in round_trips(one)[0]]


def parsed(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text, newline="")))


def test_a_row_has_every_figure_of_its_trade() -> None:
    sold, bought = order(14, 820, clock="09:31:05"), order(14, 814, clock="15:02:59")
    short = deal(sold, bought, side=Side.SHORT, number=7, key="NSE:SBIN")
    (row,) = parsed(csv_text(rows(short), {"NSE:SBIN": "INE062A01020"}))
    assert tuple(row) == COLUMNS
    shown = {name: row[name] for name in ("symbol", "exchange", "isin", "side", "quantity", "head")}
    assert list(shown.values()) == ["SBIN", "NSE", "INE062A01020", "SHORT", "14",
                                    "speculative business"]  # fmt: skip
    assert (row["opened_date"], row["opened_time"]) == ("2026-11-23", "09:31:05")
    assert (row["closed_date"], row["closed_time"]) == ("2026-11-23", "15:02:59")
    assert (row["entry_average"], row["exit_average"]) == ("820.0000", "814.0000")
    assert (row["buy_value"], row["sell_value"]) == ("11396.00", "11480.00")
    assert (row["gross"], row["turnover"]) == ("84.00", "84.00")
    parts = ("brokerage", "stt", "exchange_charge", "sebi", "stamp", "gst", "other")
    assert sum(Decimal(row[name]) for name in parts) == Decimal(row["charges"])
    assert Decimal(row["net"]) == Decimal(row["gross"]) - Decimal(row["charges"])
    assert (row["signal_agent"], row["model"], row["model_version"]) == ("model", "m", "3")
    assert (row["financial_year"], row["trade"], row["part"]) == ("2026-27", "7", "1")


def test_a_loss_stays_a_number() -> None:
    (row,) = parsed(csv_text(rows(deal(order(10, 118), order(10, 98))), {}))
    assert (row["gross"], row["isin"]) == ("-200.00", "")
    assert row["net"].startswith("-2")


def test_averages_round_at_the_fourth_decimal_and_values_do_not() -> None:
    odd = deal(replace(order(7, 100), value=700_01), order(7, 101))
    (row,) = parsed(csv_text(rows(odd), {}))
    assert (row["entry_average"], row["buy_value"]) == ("100.0014", "700.01")
    surplus = rows(deal(order(1, 100), order(1, 101), order(3, 101, days(1))))[1]
    assert cells(surplus, {})["exit_average"] == ""


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\tx", "\rx", " =1", '=HYPERLINK("http://x")',
     "＝1", "-2+3+cmd|' /C calc'!A0"],  # noqa: RUF001
)  # fmt: skip
def test_a_formula_gets_an_apostrophe_and_comes_back_as_text(text: str) -> None:
    assert harmless(text) == f"'{text}"
    named = replace(deal(order(10, 100), order(10, 90)), agent=text, reason=text, key=f"NSE:{text}")
    (row,) = parsed(csv_text(rows(named), {named.key: text}))
    for column in ("signal_agent", "reason", "symbol", "isin"):
        assert row[column] == f"'{text}"
    assert row["gross"] == "-100.00"


@given(texts=st.lists(st.text(), min_size=4, max_size=4), side=st.sampled_from(Side))
def test_no_cell_is_a_formula_whatever_the_names(texts: list[str], side: Side) -> None:
    agent, version, reason, symbol = texts
    named = replace(
        deal(order(10, 118), order(10, 98), side=side),
        agent=agent, version=version, reason=reason, key=f"NSE:{symbol}",
    )  # fmt: skip
    (row,) = parsed(csv_text(rows(named), {}))
    assert tuple(row) == COLUMNS  # nor does any text break out of its cell
    for name, cell in row.items():
        if name in AMOUNTS:
            assert NUMBER.fullmatch(cell)
        else:
            assert cell[:1] not in tuple(FORMULA)
    assert row["signal_agent"].removeprefix("'") in (agent, agent.removeprefix("'"))


def test_plain_texts_are_left_as_they_are() -> None:
    for text in ("", " ", "M&M", "BAJAJ-AUTO", "a=b", "'quoted'", "3"):
        assert harmless(text) == text
    assert harmless(Decimal("-1.50")) == "-1.50"


def test_the_document_has_exact_rupees_and_totals_by_head() -> None:
    found = document(
        rows(
            deal(order(10, 118), order(10, 98)),
            deal(order(10, 100), order(10, 105), number=2),
            deal(order(10, 100), order(10, 105, days(3)), product="CNC", number=3),
            deal(order(50, 100), order(50, 99), product="NRML", segment="NFO-FUT", number=4),
        ),
        {},
    )
    assert json.loads(json.dumps(found)) == found
    assert list(found["heads"]) == ["speculative business", "non-speculative business",
                                    "capital gains"]  # fmt: skip
    assert found["heads"]["speculative business"]["turnover"] == "250.00"  # 200 lost, 50 won
    assert found["heads"]["speculative business"]["gross"] == "-150.00"
    assert found["heads"]["capital gains"]["turnover"] == "1050.00"
    for head, total in found["heads"].items():
        mine = [row for row in found["round_trips"] if row["head"] == head]
        for name, amount in total.items():
            assert Decimal(amount) == sum(Decimal(row[name]) for row in mine)
    assert document([], {}) == {"round_trips": [], "heads": {}}


def test_the_columns_are_the_cells() -> None:
    (row,) = rows(deal(order(10, 100), order(10, 105)))
    assert tuple(cells(row, {})) == COLUMNS
    assert csv_text([], {}) == ",".join(COLUMNS) + "\r\n"


def test_a_year_ends_in_march() -> None:
    over = deal(order(10, 100, date(2027, 3, 31)), order(10, 101, date(2027, 4, 1)), product="CNC")
    (row,) = parsed(csv_text(rows(over), {}))
    assert (row["financial_year"], row["held_days"], row["term"]) == ("2027-28", "1", "short")
    assert MONDAY.isoformat() not in row.values()
