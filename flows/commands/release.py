"""`ratchet release`: build, prove and publish the versions that take traffic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agent.console import emit, tell
from agent.errors import SettingRefused
from agent.home import DEFAULT_HOME


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("release")(release)


def release(  # noqa: PLR0913, PLR0917  (one parameter an option)
    model: Annotated[
        str | None, typer.Option(help="Registered model [default: the home's own].")
    ] = None,
    champion: Annotated[
        int | None,
        typer.Option(min=1, help="Version that answers [default: alias champion, plan, oldest]."),
    ] = None,
    challenger: Annotated[
        list[str] | None,
        typer.Option(help="Version and its share of (key, day) units: 3=0.1. May be repeated."),
    ] = None,
    shadow: Annotated[
        list[int] | None, typer.Option(min=1, help="Version that only listens. May be repeated.")
    ] = None,
    why: Annotated[str, typer.Option(help="Kept in the plan's history.")] = "release",
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Build the Bento, let each version answer its golden request, then change the traffic.

    Options that are left out keep what the plan says. Example:
    ratchet release --champion 1 --challenger 2=0.2 --shadow 3
    """
    from flows.home import Home

    shares = None if challenger is None else dict(_share(text) for text in challenger)
    opened = Home.open(home)
    from flows.release import Wanted
    from flows.release import release as run

    shadows = None if shadow is None else tuple(shadow)
    wanted = Wanted(model, champion, shares, shadows, who="release", why=why)
    document = run(opened, wanted, tell)
    emit(document, as_json=as_json, human=lambda: _draw(document))


def _share(text: str) -> tuple[int, float]:
    version, _, weight = text.partition("=")
    try:
        return int(version), float(weight)
    except ValueError:
        raise SettingRefused(
            "--challenger", given=repr(text), allowed="VERSION=WEIGHT", fix="write it like 3=0.1"
        ) from None


def _draw(document: dict[str, Any]) -> None:
    plan = document["plan"]
    print(f"released {document['bento']}: versions {document['proved']} proved themselves")
    print(f"model {document['model']}, plan revision {plan['revision']}")
    shares = ", ".join(f"{v} takes {w:.1%}" for v, w in plan["challengers"].items()) or "none"
    shadows = ", ".join(map(str, plan["shadows"])) or "none"
    print(f"  champion {plan['champion']} · challengers {shares} · shadows {shadows}")
