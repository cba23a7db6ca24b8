"""Which code made this: the commit of the checkout, or the installed version without one."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GIT_S = 10


def code_revision() -> str:
    """Return the commit (`-dirty` with changes to tracked files), else `ratchet VERSION`."""
    installed = f"ratchet {metadata.version('ratchet')}"
    if not (ROOT / ".git").exists():
        return installed
    try:
        said = subprocess.run(
            ["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=GIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return installed
    return said.stdout.strip() or installed
