"""`ratchet-agent trades`: past and open trades of the journal, and the tax return's list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.console import tell
from agent.errors import SettingRefused
from agent.home import DEFAULT_HOME

if TYPE_CHECKING:
    from agent.portfolio.fiscal import FinancialYear
    from agent.portfolio.roundtrips import RoundTrip

SHOWN = 50


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("trades")(trades)


def trades(  # noqa: PLR0913, PLR0917  (one parameter an option: this is the command line)
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    day: Annotated[str | None, typer.Option(help="One trading day, YYYY-MM-DD.")] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Refused signals instead.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help=f"The newest so many [default: {SHOWN}]."),
    ] = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Closed round trips for a tax return, as CSV.")
    ] = False,
    fy: Annotated[
        str | None, typer.Option(help="Round trips of one financial year (2026-27), or all.")
    ] = None,
    isins: Annotated[
        Path | None, typer.Option(help="CSV with symbol and isin, for --csv and --fy.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="With --csv: write this file (0600), not stdout.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List trades with their result, the signals that were refused and why, or the tax rows.

    Reads the journal only: an agent may run or not. --csv and --fy list closed round trips by
    day of closing, charges by component, in India's time; --csv without --fy has all years.

    Example: ratchet-agent trades --home var --csv --fy 2026-27 --out trades.csv
    """
    if as_csv or fy is not None:
        _refuse_beside(
            "--csv, --fy", {"--day": day, "--refused": refused or None, "--limit": limit}
        )
        _refuse_beside("--csv", {"--json": (as_csv and as_json) or None})
        _tax(home, fy, isins, as_csv=as_csv, out=out, as_json=as_json)
        return
    for name, value in {"--isins": isins, "--out": out}.items():
        if value is not None:
            raise SettingRefused(
                name, given=f"{name} alone", allowed=f"{name} with --csv", fix="add --csv"
            )
    from agent.console import emit
    from agent.shell.history import read_refusals, read_trades

    most = SHOWN if limit is None else limit
    rows = read_refusals(home, day, most) if refused else read_trades(home, day, most)
    document = {"refused" if refused else "trades": rows}
    emit(document, as_json=as_json, human=lambda: _human(rows))


def _refuse_beside(option: str, others: dict[str, object]) -> None:
    for name, value in others.items():
        if value is not None:
            raise SettingRefused(
                name, given=f"{name} beside {option}", allowed="not both", fix=f"remove {name}"
            )


def _tax(
    home: Path,
    fy: str | None,
    isins: Path | None,
    *,
    as_csv: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Print or write the closed round trips of a financial year, or of all of them."""
    from agent.console import emit
    from agent.portfolio.fiscal import FinancialYear
    from agent.portfolio.roundtrips import round_trips, with_depository
    from agent.portfolio.tax_rows import csv_text, document
    from agent.private_file import write_private
    from agent.shell.deals import read_deals

    year = None if fy in (None, "all") else FinancialYear.parse(str(fy))
    if out is not None and not as_csv:
        raise SettingRefused(
            "--out", given="--out without --csv", allowed="--out with --csv", fix="add --csv"
        )
    names = {} if isins is None else _isins(isins)
    deals = read_deals(
        home, since=None if year is None else year.since, until=None if year is None else year.until
    )
    parts = [round_trips(deal) for deal in deals]
    rows = with_depository(part for closed, _ in parts for part in closed)
    rows = [row for row in rows if year is None or row.year == year]
    still_open = sum(held is not None for _, held in parts)
    if as_csv:
        text = csv_text(rows, names)
        if out is None:
            print(text, end="", flush=True)
        else:
            write_private(out, text)
        _told(rows, year, still_open, out)
        return
    found = {"financial_year": "all" if year is None else str(year)}
    emit(
        {**found, **document(rows, names), "still_open": still_open},
        as_json=as_json,
        human=lambda: _human_tax(rows, year, still_open),
    )


def _told(
    rows: Sequence[RoundTrip], year: FinancialYear | None, still_open: int, out: Path | None
) -> None:
    """Say on stderr what the list holds and what it lacks."""
    of = "all years" if year is None else f"financial year {year}"
    where = "" if out is None else f" in {out}"
    tell(f"{len(rows)} round trips of {of}{where}, each on the day it was closed")
    if still_open:
        tell(f"{still_open} trades are still open: what is held of them is not in the list")
    noted = sum(bool(row.notes) for row in rows)
    if noted:
        tell(f"{noted} rows carry a note: compare them with the contract notes")


def _isins(path: Path) -> dict[str, str]:
    from agent.market.by_symbol import parse_by_symbol

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise SettingRefused(
            f"--isins {path}",
            given=getattr(fault, "strerror", None) or str(fault),
            allowed="a CSV file with the columns symbol and isin",
            fix="check the name",
        ) from fault
    return parse_by_symbol(text, "isin", source=path.name, blank_allowed=True)


def _human_tax(rows: Sequence[RoundTrip], year: FinancialYear | None, still_open: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from agent.portfolio.tax_rows import totals

    if rows:
        title = "All financial years" if year is None else f"Financial year {year}"
        table = Table(title=f"{title}, rupees")
        table.add_column("head of income")
        for name in ("round trips", "turnover", "gross", "charges", "net"):
            table.add_column(name, justify="right")
        for head, total in totals(rows).items():
            count = sum(row.head == head for row in rows)
            table.add_row(head, str(count), *(f"{amount:,}" for amount in total.values()))
        Console().print(table)
    _told(rows, year, still_open, None)


def _human(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    shown = [_short(row) for row in rows]
    for column in shown[0] if shown else ():
        words = column in {"key", "reason", "words"}
        table.add_column(column, justify="left" if words else "right")
    for row in shown:
        table.add_row(*row.values())
    Console().print(table)


def _short(row: dict[str, Any]) -> dict[str, str]:
    """Return what fits on a line; `--json` has everything."""
    if "words" in row:
        return {"at": str(row["at"])[:19], "key": row["key"], "words": row["words"]}
    return {
        "day": row["day"],
        "key": row["key"],
        "side": row["side"],
        "shares": str(row["shares"]),
        "entry": _price(row["entry"]),
        "exit": _price(row["exit"]),
        "reason": row["reason"],
        "net": f"{row['net_paise'] / 100:,.2f}",
    }


def _price(price: float | None) -> str:
    return "" if price is None else f"{price:.2f}"
