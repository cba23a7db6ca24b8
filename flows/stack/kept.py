"""What the keeper knows about each part, and the document that `ratchet status` reads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.market.sessions import IST
from flows.children import Child
from flows.stack.part import Part
from flows.stack.states import Event, State, after

STATE_FILE = "stack/state.json"
LOCK_FILE = "locks/stack.lock"


def now() -> str:
    """Return the time in India, ISO 8601 to the second."""
    return datetime.now(IST).isoformat(timespec="seconds")


@dataclass(slots=True)
class Kept:
    """One part and its life so far."""

    part: Part
    state: State = State.WAITING
    since: str = field(default_factory=now)
    why: str = ""
    child: Child | None = None
    restarts: int = 0
    faults_in_a_row: int = 0
    last_fault: dict[str, str] | None = None

    def take(self, event: Event, why: str = "") -> None:
        """Go to the next state."""
        self.state = after(self.state, event)
        self.since = now()
        self.why = why

    def document(self) -> dict[str, Any]:
        """Return what is told about the part."""
        return {
            "state": self.state.value,
            "since": self.since,
            "why": self.why,
            "pid": self.child.pid if self.child else None,
            "address": self.part.address,
            "restarts": self.restarts,
            "last_fault": self.last_fault,
        }


def write_state(root: Path, since: str, parts: Iterable[Kept], elsewhere: dict[str, str]) -> None:
    """Write the state document; a reader sees the old one or the new one."""
    path = root / STATE_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "pid": os.getpid(),
        "since": since,
        "parts": {kept.part.name: kept.document() for kept in parts},
        "elsewhere": elsewhere,
    }
    passing = path.with_name(path.name + ".tmp")
    passing.write_text(json.dumps(document, indent=1), encoding="utf-8")
    passing.replace(path)


def read_state(root: Path) -> dict[str, Any]:
    """Return the last state document of a home, empty if there is none."""
    try:
        return dict(json.loads((root / STATE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
