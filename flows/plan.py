"""The traffic plan as the registry keeps it: documents in, documents out, errors of ours.

Pure. What a plan is, how it splits and how it changes is `bentos.traffic`'s business, because the
served model changes plans, too; this file only speaks the pipeline's language.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from agent.errors import Refused, SettingRefused
from bentos import traffic
from bentos.traffic import Note

__all__ = ["CHARACTERS_MAX", "Note", "PlanMoved", "encoded", "expect_revision", "next_plan"]

CHARACTERS_MAX = traffic.PLAN_CHARACTERS_MAX


class PlanMoved(Refused):
    """Another writer was first: the plan's revision is not the one that was expected."""


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
    try:
        before = traffic.parse_plan(current, model=model) if current else None
        split = traffic.parse_split(wanted)
        salt = wanted.get("salt") or None
        after = traffic.next_plan(before, split, model=model, note=note, known=known, salt=salt)
    except traffic.PlanRefused as fault:
        raise SettingRefused(
            f"traffic plan of {model}, {fault.field}",
            given=fault.found,
            allowed=fault.expected,
            fix="mend the plan",
        ) from fault
    return dict(current) if current and after is before else after.document()


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
