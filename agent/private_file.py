"""A file that only its owner may read, written whole or not at all.

A leaf, for both programs: what is private is written here alone.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from agent.errors import EnvironmentRefused


def write_private(path: Path, text: str) -> None:
    """Write a text file with mode 0600 in place of what is there, durably.

    The new file is complete and on disk before it takes the name, so that a reader, or a machine
    that loses its power, sees the old one or the new one. Folders on the way are made.

    Raises
    ------
    EnvironmentRefused
        If it cannot be written, or the name is that of something else than a file.
    """
    try:
        if path.exists() and not path.is_file():
            raise IsADirectoryError(0, "something that is not a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            Path(part).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(part).unlink()
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as fault:
        raise EnvironmentRefused(
            str(path),
            given=fault.strerror or str(fault),
            allowed="a file in a folder that this user can write",
            fix="choose another name, or mend owner, permissions or disk space",
        ) from fault
