"""`ratchet monitor`: what happened after the predictions, and is what is served still usual."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agent.console import emit, tell
from agent.home import DEFAULT_HOME


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("monitor")(monitor)


def monitor(
    model: Annotated[
        str | None, typer.Option(help="Which model [default: the home's own].")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Candles that say what happened [default: the version's own]."),
    ] = None,
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Join predictions with outcomes, judge drift and quality, write the report.

    Example: ratchet monitor --home var/demo
    """
    from flows.home import Home

    opened = Home.open(home)
    from flows.monitor.watch import model_of, watch

    document = watch(opened, model_of(opened, model), tell, dataset=dataset)
    emit(document, as_json=as_json, human=lambda: _draw(document))


def _draw(document: dict[str, Any]) -> None:
    print(
        f"model {document['model']}: {document['predictions']:,} predictions, "
        f"{document['joined']:,} with an outcome ({document['joined_now']:,} new)"
    )
    print(
        f"drift: {document['drifted_features']} of {document['features']} features alarmed on "
        f"the last days, {len(document['alarms'])} alarms and {len(document['integrity'])} data "
        f"findings on {len(document['days'])} days"
    )
    for finding in document["integrity"][:5]:
        of = f" {finding['feature']}" if finding["feature"] else ""
        print(f"  data, {finding['day']}: {finding['kind']}{of}: {finding['why']}")
    if document["retrain"]:
        print(f"RETRAIN: {document['retrain']}")
    for line in document["quality"]:
        hit = "no trade" if line["hit"] is None else f"hit {line['hit']:.0%} of {line['trades']:,}"
        print(
            f"version {line['version']} {line['variant']}: log-loss {line['log_loss']:.4f} "
            f"(a constant's {line['constant']:.4f}), Brier {line['brier']:.4f}, {hit}, "
            f"{line['rows']:,} rows"
        )
    for why, rows in document["waiting"].items():
        print(f"{rows:,} predictions wait: {why}")
    for note in document["notes"]:
        print(note)
    print(f"report: {document['report']}")
    print(f"index: {document['index']}")
