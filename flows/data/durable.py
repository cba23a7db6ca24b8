"""How a file appears: whole or not at all, also after a power cut.

Write beside the target, fsync, rename, fsync the folder. A reader sees the old file or the new.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import EnvironmentRefused

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """Yield a temporary path; when the block ends well it is synced and becomes `target`.

    Raises
    ------
    agent.errors.EnvironmentRefused
        If the disk is full or the folder cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        temporary.replace(target)
        sync(target.parent)
    except OSError as fault:
        if fault.errno not in FULL:
            raise
        raise EnvironmentRefused(
            f"writing {target}",
            given=fault.strerror or str(fault),
            allowed="a writable folder with room",
            fix="free disk space or choose another --home",
        ) from fault
    finally:
        temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write a text file that appears whole or not at all."""
    with appearing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
