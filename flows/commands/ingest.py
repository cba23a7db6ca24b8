"""`ratchet ingest`: candles from a source into the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agent.console import emit, tell
from agent.home import DEFAULT_HOME
from agent.program import date_option


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("ingest")(ingest)


def ingest(  # noqa: PLR0913, PLR0917  (one parameter an option)
    source: Annotated[
        str,
        typer.Option(help="sample, synthetic, parquet:GLOB, csv:GLOB or kite (quote a pattern)."),
    ],
    dataset: Annotated[
        str | None, typer.Option(help="Name in the store [default: the source's or the file's].")
    ] = None,
    first: Annotated[str | None, typer.Option(help="First date, YYYY-MM-DD, inclusive.")] = None,
    last: Annotated[str | None, typer.Option(help="Last date, YYYY-MM-DD, inclusive.")] = None,
    interval: Annotated[
        str | None,
        typer.Option(help="minute … 60minute, day: which files to take, or what to generate."),
    ] = None,
    drop_bad: Annotated[
        bool, typer.Option("--drop-bad", help="Leave bad candles out (counted), do not refuse.")
    ] = False,
    universe: Annotated[
        str | None,
        typer.Option(help="Only these keys, apart by commas [default: all; kite: the settings']."),
    ] = None,
    symbols: Annotated[int, typer.Option(help="synthetic: number of shares.")] = 12,
    days: Annotated[int, typer.Option(help="synthetic: number of sessions.")] = 250,
    edge: Annotated[float, typer.Option(help="synthetic: AUC planted above 0.5, 0 to 0.2.")] = 0.0,
    seed: Annotated[int, typer.Option(help="synthetic: another seed is another market.")] = 0,
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Read candles from a source into the store, refusing bad ones by name.

    Example: ratchet ingest --source 'parquet:candles/*.parquet' --dataset mine
    """
    from flows.home import Home

    opened = Home.open(home)
    from flows.data.intake import ingest as run
    from flows.data.sources import Request

    request = Request(
        source=source,
        dataset=dataset,
        first=date_option("--first", first),
        last=date_option("--last", last),
        interval=interval,
        drop_bad=drop_bad,
        universe=tuple(filter(None, (key.strip() for key in (universe or "").split(",")))),
        symbols=symbols,
        days=days,
        edge=edge,
        seed=seed,
    )
    document = run(opened, request, tell)
    emit(document, as_json=as_json, human=lambda: _draw(document))


def _draw(document: dict[str, Any]) -> None:
    totals = document["quality"]["totals"]
    same = " (unchanged)" if document["unchanged"] else ""
    print(f"dataset {document['dataset']}{same}: {document['notes']}")
    print(
        f"{document['candles']:,} {document['interval']} candles of {len(document['symbols'])} "
        f"symbols, {document['first'][:10]} to {document['last'][:10]}, "
        f"{document['sessions']} sessions, {document['seconds']:.1f} s"
    )
    words = {
        "missing_days": "days missing",
        "missing_candles": "candles missing inside days",
        "duplicates": "repeated rows removed",
        "flat": "flat candles",
        "jumps": "moves above 20 %",
        "volume_missing": "candles without a volume",
        "outside_session": "candles outside NSE's hours",
        "off_grid": "candles off the interval's grid",
    }
    found = [f"{totals[key]:,} {word}" for key, word in words.items() if totals[key]]
    dropped = document["quality"]["bad_dropped"]
    if dropped:
        found.insert(0, f"{dropped:,} BAD candles dropped")
    print("quality: " + ("; ".join(found) or "nothing to report"))
    print(f"fingerprint {document['fingerprint'][:16]}")
