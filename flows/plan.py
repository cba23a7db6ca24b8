"""The traffic plan as a document: who answers, who is tried, who only listens, and its history.

Pure. The registry keeps it in one tag and writes it in one call; serving mirrors it.

    {"model": "sample", "revision": 3, "champion": 1, "challengers": {"2": 0.2}, "shadows": [3],
     "salt": "…",
     "history": [{"revision", "champion", "challengers", "shadows", "who", "why", "at"}]}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from agent.errors import Refused, SettingRefused

# registered_model_tags.value is VARCHAR(5000) in MLflow's PostgreSQL schema, whatever its own
# validation (100,000) says; SQLite would hide it until the day one moves.
CHARACTERS_MAX = 4800
WHY_CHARACTERS_MAX = 300
TRIED_WEIGHT_MAX = 1.0


class PlanMoved(Refused):
    """Another writer was first: the plan's revision is not the one that was expected."""


@dataclass(frozen=True, slots=True)
class Note:
    """Who changed a plan, why, and when (ISO 8601 with offset)."""

    who: str
    why: str
    at: str


def next_plan(
    current: Mapping[str, Any] | None,
    wanted: Mapping[str, Any],
    *,
    model: str,
    known: Collection[int],
    note: Note,
) -> dict[str, Any]:
    """Return the plan after a change; the current one if nothing would change.

    Parameters
    ----------
    current : mapping or None
        The plan in force; None before the first.
    wanted : mapping
        `champion`, optionally `challengers`, `shadows`, `salt`; other keys are ignored.
    model : str
    known : versions that exist
    note : Note

    Raises
    ------
    agent.errors.SettingRefused
        If a version is unknown or named twice, or the weights are not shares of one whole.
    """
    parts = _checked(wanted, known)
    salt = str(wanted.get("salt") or (current or {}).get("salt") or _salt(model))
    same = {**parts, "salt": salt}
    if current and all(current.get(key) == value for key, value in same.items()):
        return dict(current)
    revision = int(current["revision"]) + 1 if current else 1
    entry = {"revision": revision, **parts, "who": note.who, "at": note.at}
    entry["why"] = note.why[:WHY_CHARACTERS_MAX]
    history = [*(current["history"] if current else []), entry]
    plan = {"model": model, "revision": revision, **parts, "salt": salt, "history": history}
    while len(encoded(plan)) > CHARACTERS_MAX and len(history) > 2:
        history.pop(0)
    if len(encoded(plan)) > CHARACTERS_MAX:
        raise SettingRefused(
            "traffic plan",
            given=f"{len(encoded(plan))} characters",
            allowed=f"at most {CHARACTERS_MAX}",
            fix="name fewer challengers and shadows",
        )
    return plan


def encoded(plan: Mapping[str, Any]) -> str:
    """Return the text that the tag and `plan.json` hold."""
    return json.dumps(plan, sort_keys=True, separators=(",", ":"), allow_nan=False)


def expect_revision(current: Mapping[str, Any] | None, expected: int | None) -> None:
    """Refuse unless the plan is at the expected revision (0: there is none; None: any).

    Raises
    ------
    PlanMoved
        If it is not.
    """
    found = int(current["revision"]) if current else 0
    if expected is not None and expected != found:
        raise PlanMoved(
            f"the plan is at revision {found}, not {expected}: another writer was first; "
            "read it again and decide anew"
        )


def _salt(model: str) -> str:
    # Deterministic: a demo repeated from nothing splits the same way.
    return hashlib.sha256(f"ratchet:{model}".encode()).hexdigest()[:16]


def _checked(wanted: Mapping[str, Any], known: Collection[int]) -> dict[str, Any]:
    try:
        champion = int(wanted["champion"])
        challengers = {
            str(int(v)): float(w) for v, w in dict(wanted.get("challengers") or {}).items()
        }
        shadows = [int(v) for v in wanted.get("shadows") or []]
    except (KeyError, TypeError, ValueError) as fault:
        raise _refused(f"{type(fault).__name__}: {fault}", "champion, challengers, shadows") from (
            fault
        )
    named = [champion, *map(int, challengers), *shadows]
    for version in named:
        if version not in known:
            raise _refused(f"version {version}", f"one of {sorted(known)}")
        if named.count(version) > 1:
            raise _refused(f"version {version} twice", "each version in one part only")
    if not all(0.0 < weight <= TRIED_WEIGHT_MAX for weight in challengers.values()):
        raise _refused(f"challengers {challengers}", "weights above 0 and at most 1")
    if sum(challengers.values()) > TRIED_WEIGHT_MAX + 1e-9:
        raise _refused(f"challengers {challengers}", "weights that sum to at most 1")
    return {"champion": champion, "challengers": challengers, "shadows": shadows}


def _refused(given: str, allowed: str) -> SettingRefused:
    return SettingRefused("traffic plan", given=given, allowed=allowed, fix="mend the plan")
