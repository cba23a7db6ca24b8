"""What our flows share as Prefect runs: names, artifacts, events, and days without a session.

Imported by flow modules only, where Prefect is loaded anyway. Nothing here decides anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.events import emit_event
from prefect.runtime import flow_run

from agent.market.sessions import IST, NSE

NO_SESSION = "no session today"
REFUSED = "Refused"
REGISTERED = "ratchet.version.registered"
RETRAIN = "ratchet.retrain.asked"


def run_name() -> str:
    """Return a run's name: its flow, what it works on, and when, in India.

    Prefect calls it as `flow_run_name`.
    """
    given = flow_run.parameters or {}
    subject = next((given[key] for key in ("model", "dataset", "source") if given.get(key)), "all")
    when = datetime.now(IST).strftime("%d %b %H:%M:%S")
    return f"{flow_run.flow_name} {subject} {when}"


def closed_today() -> bool:
    """Return whether NSE has no session on this day in India."""
    return NSE.session(datetime.now(IST).date()) is None


def key(*parts: object) -> str:
    """Return an artifact's key: Prefect takes small letters, digits and dashes.

    >>> key("train", "NSE_daily.v2", "folds")
    'train-nse-daily-v2-folds'
    """
    return re.sub(r"[^a-z0-9]+", "-", "-".join(map(str, parts)).lower()).strip("-")


def keep_training(document: Mapping[str, Any], tracking_uri: str) -> None:
    """Keep a training's folds, gates and where its version is, with the run.

    Parameters
    ----------
    document : mapping
        Of `ratchet train --json`.
    tracking_uri : str
        The registry; its page is linked if it has one.
    """
    name, version = document["model"], document["version"]
    create_table_artifact(
        [_row(number, fold) for number, fold in enumerate(document["folds"], 1)],
        key=key("train", name, "folds"),
        description=f"folds of {name} version {version}",
    )
    gates = document["gates"].items()
    create_markdown_artifact(
        f"## {name} version {version}\n\nmay trade: {document['allowed']}\n\n"
        "| gate | verdict | why |\n| --- | --- | --- |\n"
        + "\n".join(f"| {gate} | {told['verdict']} | {told['why']} |" for gate, told in gates),
        key=key("train", name, "gates"),
    )
    if tracking_uri.startswith(("http://", "https://")):
        create_link_artifact(
            f"{tracking_uri.rstrip('/')}/#/models/{name}/versions/{version}",
            link_text=f"{name} version {version} in the registry",
            key=key("train", name, "version"),
        )


def tell_registered(document: Mapping[str, Any]) -> None:
    """Emit the event that starts a release (prefect.yaml, triggers)."""
    facts = {k: document[k] for k in ("model", "version", "allowed")}
    emit_event(REGISTERED, resource=_resource(document["model"]), payload=facts)


def tell_retrain(model: str, why: str) -> None:
    """Emit the event that starts a training (prefect.yaml, triggers)."""
    emit_event(RETRAIN, resource=_resource(model), payload={"model": model, "why": why})


def keep_release(document: Mapping[str, Any]) -> None:
    """Keep what a release has put in force, with the run."""
    plan = document["plan"]
    create_markdown_artifact(
        f"## {document['model']}, plan revision {plan['revision']}\n\n"
        f"- champion {plan['champion']}\n- challengers {plan['challengers'] or 'none'}\n"
        f"- shadows {plan['shadows'] or 'none'}\n- Bento `{document['bento']}`\n"
        f"- proved in a fresh process: versions {document['proved']}\n",
        key=key("release", document["model"]),
    )


def _resource(model: str) -> dict[str, str]:
    return {"prefect.resource.id": f"ratchet.model.{model}", "prefect.resource.name": model}


def _row(number: int, fold: Mapping[str, Any]) -> dict[str, Any]:
    """Return a fold as a row: its plain figures, rounded for reading."""
    plain = {k: v for k, v in fold.items() if isinstance(v, str | int | float | bool)}
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in plain.items()}
    return {"fold": number, **rounded}
