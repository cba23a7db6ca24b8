"""Take a version one step towards the traffic, where the guards of `flows.steps` allow it.

The evidence is the prediction log. The step itself is a release: the Bento is built and every
version of the plan proves itself before anything changes; a running service follows hot.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.errors import Refused, SettingRefused
from flows import steps
from flows.deploy import mirror
from flows.home import Home
from flows.monitor.records import connected, log_source
from flows.registry import Registry
from flows.steps import Bounds, Shown

ROLES = {steps.TRIAL: "shadow", steps.CHAMPION: "challenger"}  # the role before the step


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose step, and what is kept of it.

    Parameters
    ----------
    weight : share of the units that a challenger gets, 0 to 1
    why : kept in the plan's history
    """

    model: str
    version: int
    weight: float = 0.1
    why: str = ""


def advance(
    home: Home, asked: Asked, tell: Callable[[str], None], bounds: Bounds | None = None
) -> dict[str, Any]:
    """Take the version's next step; return the step, its evidence and the release's document.

    Raises
    ------
    agent.errors.Refused
        If a guard stops it; the message has every reason, and nothing was changed.
    agent.errors.SettingRefused
        If there is no such version, or it is the champion already.
    """
    from flows.release import Wanted, release

    model, version = asked.model, asked.version
    allowed = _allowed(home, model, version)
    plan = mirror(home, model)
    step = steps.next_step(plan, version)
    if step is None:
        raise SettingRefused(
            "--version",
            given=version,
            allowed="a version that is not the champion",
            fix="train a challenger, or roll back over the service's API",
        )
    role = ROLES.get(step, "")
    shown = evidence(home, model, version, role) if role and plan else Shown()
    first = evidence(home, model, int(plan["champion"]), "champion") if plan else Shown()
    refused = steps.refusals(step, shown, first, allowed, bounds or Bounds()) if plan else []
    if refused:
        reasons = "; ".join(refused)
        raise Refused(f"{model} {version} may not become {step} yet: {reasons}. Nothing changed.")
    split = steps.wanted(plan, version, step, asked.weight)
    wanted = Wanted(model, **split, who="deploy", why=asked.why or f"{version}: {step}")
    released = release(home, wanted, tell)
    return {"step": step, "version": version, "shown": _told(shown), **released}


def evidence(home: Home, model: str, version: int, role: str) -> Shown:
    """Return what the prediction log holds of a version in a role; each record counts once."""
    if not any(home.predictions.glob("*.jsonl")):
        return Shown()
    columns = {
        "kind": "VARCHAR", "model": "VARCHAR", "version": "INTEGER", "variant": "VARCHAR",
        "day": "VARCHAR", "latency_ms": "DOUBLE", "warnings": "VARCHAR[]",
        "request_id": "VARCHAR", "row": "INTEGER",
    }  # fmt: skip
    with connected(home) as connection:
        days, rows, bad, p99_ms = connection.execute(
            f"""
            WITH own AS (
                SELECT DISTINCT ON (request_id, row) day, latency_ms,
                       len(list_filter(warnings, lambda w: starts_with(w, 'bad-output'))) > 0 AS bad
                FROM {log_source(home, columns)}
                WHERE kind = 'prediction' AND model = ? AND version = ? AND variant = ?
            )
            SELECT count(DISTINCT day), count(*), count(*) FILTER (bad),
                   quantile_cont(latency_ms, 0.99)
            FROM own
            """,  # noqa: S608  (names of ours, the values are bound)
            [model, version, role],
        ).fetchall()[0]
    return Shown(int(days), int(rows), int(bad), None if p99_ms is None else float(p99_ms))


def _allowed(home: Home, model: str, version: int) -> str:
    """Return what a version's gates allow; refuses one that is not registered."""
    kept = home.serving / model / "versions" / str(version)
    registry = Registry(home)
    registry.version(model, version)
    if not kept.exists():
        registry.fetch(model, version, kept)
    told = json.loads((kept / "version.json").read_bytes())
    return str(told.get("allowed") or "none")


def _told(shown: Shown) -> dict[str, Any]:
    return {"days": shown.days, "rows": shown.rows, "bad": shown.bad, "p99_ms": shown.p99_ms}
