"""`ratchet doctor`: what may be wrong here, and how to mend it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agent.console import USAGE, emit
from agent.home import DEFAULT_HOME, at

SIGNS = {"ok": "ok     ", "warning": "WARNING", "fault": "FAULT  "}


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("doctor")(doctor)


def doctor(
    live: Annotated[
        bool, typer.Option("--live", help="Ask the broker too: session, permissions, clock.")
    ] = False,
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check machine, versions, ports, disk, clock, calendar, home and settings.

    Ends with 2 if something will not work, else with 0. Example: ratchet doctor --live
    """
    from flows.doctor.ground import ground, registry
    from flows.doctor.machine import machine

    root = at(home)
    findings = [*machine(root), *ground(root), registry(root)]
    if live:
        from flows.doctor.broker import broker

        findings += broker(root)
    faults = sum(finding.level == "fault" for finding in findings)
    document: dict[str, Any] = {
        "ok": not faults,
        "faults": faults,
        "warnings": sum(finding.level == "warning" for finding in findings),
        "findings": [finding.document() for finding in findings],
    }
    emit(document, as_json=as_json, human=lambda: _draw(document))
    if faults:
        raise typer.Exit(USAGE)


def _draw(document: dict[str, Any]) -> None:
    for finding in document["findings"]:
        print(f"{SIGNS[finding['level']]} {finding['check']}: {finding['found']}")
        if finding["fix"]:
            print(f"        {finding['fix']}")
    print(f"{document['faults']} faults, {document['warnings']} warnings")
