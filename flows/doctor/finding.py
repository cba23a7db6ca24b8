"""One finding: what was looked at, what was found, and how to mend it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look has found.

    Parameters
    ----------
    check : str
        What was looked at, in one or two words.
    level : str
        `ok`; `warning`: works today, look at it; `fault`: something will not work.
    found : str
    fix : str
        What to do; empty where all is well.
    """

    check: str
    level: Level
    found: str
    fix: str = ""

    def document(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)


def well(check: str, found: str) -> Finding:
    """Return a finding that needs nothing."""
    return Finding(check, "ok", found)
