"""`ratchet deploy`: a version's next step towards the traffic, if it has earned it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agent.console import emit, tell
from agent.home import DEFAULT_HOME


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("deploy")(deploy)


def deploy(  # noqa: PLR0913, PLR0917  (one parameter an option)
    model: Annotated[str, typer.Option(help="Registered model.")],
    version: Annotated[int, typer.Option(min=1, help="Version that takes its next step.")],
    weight: Annotated[
        float, typer.Option(min=0.001, max=0.9, help="Share of units of the A/B step.")
    ] = 0.1,
    shadow_days: Annotated[
        int, typer.Option(min=0, help="Trading days as a shadow before the A/B step.")
    ] = 3,
    trial_days: Annotated[
        int, typer.Option(min=0, help="Trading days of A/B before it becomes champion.")
    ] = 5,
    why: Annotated[str, typer.Option(help="Kept in the plan's history.")] = "",
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Take a version from nothing to shadow, to A/B, to champion; one step a call.

    Status 1, with every reason, where its days, rows, errors or latency do not allow the step.
    Example: ratchet deploy --model infy --version 3
    """
    from flows.home import Home

    opened = Home.open(home)
    from flows.advance import Asked, advance
    from flows.steps import Bounds

    bounds = Bounds(shadow_days=shadow_days, trial_days=trial_days)
    document = advance(opened, Asked(model, version, weight, why), tell, bounds)
    emit(document, as_json=as_json, human=lambda: _draw(document))


def _draw(document: dict[str, Any]) -> None:
    plan = document["plan"]
    print(f"{document['model']} {document['version']} is now {document['step']}")
    print(f"plan revision {plan['revision']}, released as {document['bento']}")
