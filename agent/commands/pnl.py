"""`ratchet-agent pnl`: what the trades have come to, by day, side and author."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from agent.console import tell
from agent.errors import SettingRefused
from agent.home import DEFAULT_HOME

if TYPE_CHECKING:
    from agent.portfolio.pnl import Line
    from agent.portfolio.results import Results

COLUMNS: Final = ("realised", "unrealised", "gross", "charges", "net", "trips")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("pnl")(pnl)


def pnl(
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    since: Annotated[str | None, typer.Option(help="First day, YYYY-MM-DD.")] = None,
    until: Annotated[str | None, typer.Option(help="Last day, YYYY-MM-DD.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show profit and loss: gross, charges and net by side, symbol, signal agent, version and day.

    Reads the journal only: an agent may run or not. What is open counts at the last price that
    the journal knows. Net is after every charge paid so far.

    Example: ratchet-agent pnl --home var --since 2026-11-01
    """
    from agent.console import emit
    from agent.portfolio.results import results
    from agent.portfolio.roundtrips import round_trips
    from agent.program import date_option
    from agent.shell.deals import last_prices, read_deals

    first, last = date_option("--since", since), date_option("--until", until)
    if first is not None and last is not None and first > last:
        raise SettingRefused(
            "--since, --until",
            given=f"{first} after {last}",
            allowed="a first day not after the last",
            fix="exchange them",
        )
    deals = read_deals(home, since=first, until=last)
    held = [deal for deal in deals if round_trips(deal)[1] is not None]
    found = results(deals, last_prices(home, held), since=first, until=last)
    document = {
        "since": None if first is None else first.isoformat(),
        "until": None if last is None else last.isoformat(),
        "trades": len(deals),
        **found.document(),
    }
    emit(document, as_json=as_json, human=lambda: _human(found, len(deals)))


def _human(found: Results, trades: int) -> None:
    from agent.market.sessions import IST, from_epoch_ms
    from agent.portfolio.pnl import rupees

    if not trades:
        print("no trade has filled anything in this time: nothing was earned or lost")
        return
    for line in _aligned(found):
        print(line)
    for position in found.positions:
        deal, price = position.held.deal, position.price
        words = f"{deal.side.value} {position.held.quantity} {deal.key} is open"
        if price is None:
            tell(f"{words}; no price of it is known: it is not in the sums")
        else:
            at = from_epoch_ms(price.at_ms).astimezone(IST)
            tell(f"{words}; last price {rupees(price.paise)} of {at:%Y-%m-%d %H:%M:%S}")


def _aligned(found: Results) -> list[str]:
    """Return the total and every table as columns of rupees; no amount is ever cut."""
    rows = [("rupees", *COLUMNS), ("all", *_amounts(found.total))]
    for name, lines in found.tables.items():
        rows.append((f"by {name}", *("" for _ in COLUMNS)))
        rows += [(f"  {key}", *_amounts(line)) for key, line in lines.items()]
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(t.rjust(w) for t, w in zip(row[1:], widths[1:], strict=True)),
            ]
        ).rstrip()
        for row in rows
    ]


def _amounts(line: Line) -> tuple[str, ...]:
    paise = (line.realised, line.unrealised, line.gross, line.charges, line.net)
    return (*(f"{Decimal(p).scaleb(-2):,.2f}" for p in paise), str(line.round_trips))
