"""Round trips as a table that a tax return can be made from: columns, cells, CSV and JSON.

Rule 1: amounts are rupees with two decimals, exact; averages have four; instants are India's.
Rule 2: no cell is ever a formula. A text that a spreadsheet would evaluate gets an apostrophe in
front; numbers are written by us and stay numbers, negative ones too.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from decimal import Decimal
from io import StringIO
from typing import Any, Final

from agent.market.sessions import IST, from_epoch_ms
from agent.portfolio.roundtrips import Head, RoundTrip

Cell = str | int | Decimal
FORMULA: Final = "=+-@\t\r\n＝＋－＠"  # noqa: RUF001  (wide forms: spreadsheets read them too)
AMOUNTS: Final = (
    "buy_value", "sell_value", "gross", "brokerage", "stt", "exchange_charge", "sebi", "stamp",
    "gst", "other", "charges", "net", "turnover",
)  # fmt: skip
HEADS: Final[tuple[Head, ...]] = (
    "speculative business",
    "non-speculative business",
    "capital gains",
)


def cells(row: RoundTrip, isins: Mapping[str, str]) -> dict[str, Cell]:
    """Return a round trip's cells by column; "" where something is not known.

    Parameters
    ----------
    isins : mapping of key to ISIN
    """
    deal, charges = row.deal, row.charges
    exchange, _, symbol = deal.key.partition(":")
    opened, closed = _instant(row.opened_ms), _instant(row.closed_ms)
    amounts = {
        "buy_value": row.buy_value,
        "sell_value": row.sell_value,
        "gross": row.gross,
        "brokerage": charges.brokerage,
        "stt": charges.stt,
        "exchange_charge": charges.exchange,
        "sebi": charges.sebi,
        "stamp": charges.stamp,
        "gst": charges.gst,
        "other": row.other,
        "charges": row.cost,
        "net": row.net,
        "turnover": row.turnover,
    }
    return {
        "trade": deal.number,
        "part": row.part,
        "financial_year": str(row.year),
        "head": row.head,
        "term": row.term,
        "exchange": exchange,
        "symbol": symbol,
        "isin": isins.get(deal.key, ""),
        "segment": deal.segment,
        "product": deal.product,
        "side": deal.side.value,
        "quantity": row.quantity,
        "opened_date": opened[0],
        "opened_time": opened[1],
        "closed_date": closed[0],
        "closed_time": closed[1],
        "held_days": row.held_days,
        "entry_average": _average(row.entry_value, row.quantity),
        "exit_average": _average(row.exit_value, row.quantity),
        **{name: rupees_of(amounts[name]) for name in AMOUNTS},
        "reason": deal.reason,
        "signal_agent": deal.agent,
        "model": deal.model,
        "model_version": deal.version,
        "variant": deal.variant,
        "note": "; ".join(row.notes),
    }


COLUMNS: Final = (
    "trade", "part", "financial_year", "head", "term", "exchange", "symbol", "isin", "segment",
    "product", "side", "quantity", "opened_date", "opened_time", "closed_date", "closed_time",
    "held_days", "entry_average", "exit_average", *AMOUNTS, "reason", "signal_agent", "model",
    "model_version", "variant", "note",
)  # fmt: skip


def csv_text(rows: Sequence[RoundTrip], isins: Mapping[str, str]) -> str:
    """Return the rows as CSV (RFC 4180) with a header, in the order given."""
    out = StringIO(newline="")
    write = csv.writer(out, lineterminator="\r\n")
    write.writerow(COLUMNS)
    for row in rows:
        found = cells(row, isins)
        write.writerow([harmless(found[column]) for column in COLUMNS])
    return out.getvalue()


def document(rows: Sequence[RoundTrip], isins: Mapping[str, str]) -> dict[str, Any]:
    """Return the rows and their totals by head of income as a JSON document.

    Money is rupees as text with two decimals, so that no reader rounds it.
    """
    shown = [
        {name: str(cell) if isinstance(cell, Decimal) else cell for name, cell in found.items()}
        for found in (cells(row, isins) for row in rows)
    ]
    heads = {
        head: {name: str(paise) for name, paise in total.items()}
        for head, total in totals(rows).items()
    }
    return {"round_trips": shown, "heads": heads}


def totals(rows: Sequence[RoundTrip]) -> dict[str, dict[str, Decimal]]:
    """Return turnover, gross, charges and net by head of income; heads without a row are absent."""
    found: dict[str, dict[str, Decimal]] = {}
    for head in HEADS:
        mine = [row for row in rows if row.head == head]
        if mine:
            found[head] = {
                "turnover": rupees_of(sum(row.turnover for row in mine)),
                "gross": rupees_of(sum(row.gross for row in mine)),
                "charges": rupees_of(sum(row.cost for row in mine)),
                "net": rupees_of(sum(row.net for row in mine)),
            }
    return found


def harmless(cell: Cell) -> str:
    """Return a cell's text; one that a spreadsheet would take for a formula gets an apostrophe."""
    if not isinstance(cell, str):
        return str(cell)
    starts = cell[:1], cell.lstrip()[:1]  # a blank in front does not stop every spreadsheet
    return f"'{cell}" if any(first and first in FORMULA for first in starts) else cell


def rupees_of(paise: int) -> Decimal:
    """Return whole paise as rupees with two decimals."""
    return Decimal(paise).scaleb(-2)


def _average(value: int, quantity: int) -> Cell:
    if not quantity:
        return ""
    return (Decimal(value) / quantity / 100).quantize(Decimal("0.0001"))


def _instant(at_ms: int) -> tuple[str, str]:
    local = from_epoch_ms(at_ms).astimezone(IST)
    return local.date().isoformat(), local.time().isoformat("seconds")
