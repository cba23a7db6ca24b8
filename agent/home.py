"""The one folder that holds all state: `--home DIR`. Nothing is written elsewhere.

A leaf, shared by both programs.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from agent.errors import EnvironmentRefused

DEFAULT_HOME = Path("var")


def open_home(home: Path) -> Path:
    """Create the home folder if need be and prove that it can be written.

    Parameters
    ----------
    home : Path
        As the person gave it, relative paths against the working folder.

    Returns
    -------
    Path
        Absolute.

    Raises
    ------
    EnvironmentRefused
        If it cannot be created, is not a folder, or a file cannot be written and synced in it.
    """
    home = at(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"probe")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as fault:
        raise EnvironmentRefused(
            f"home {home}",
            given=f"{fault.strerror or fault}",
            allowed="a folder that this user can write",
            fix="choose another with --home DIR, or mend its owner, permissions or disk space",
        ) from fault
    return home


def at(home: Path) -> Path:
    """Return a home's absolute path, made or not; one path for one home, links kept."""
    return Path(os.path.abspath(home))  # noqa: PTH100  (resolve() would follow the user's links)
