"""Where a sweep of files puts down what its memory does not hold, and what a killed one left.

A folder under the home's `tmp`, with a lock beside it that its process holds: taken before the
folder is made, let go by the system when the process ends, however it ends. So a folder whose lock
is free, or that has none, is nobody's.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "sweep-"
LOCK = ".lock"


@contextmanager
def spill(tmp: Path) -> Iterator[Path]:
    """Yield an empty folder of this process alone, gone afterwards; clear what others left.

    Parameters
    ----------
    tmp : Path
        The home's folder for what does not last.
    """
    clear(tmp)
    with tempfile.NamedTemporaryFile(prefix=PREFIX, suffix=LOCK, dir=tmp) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        work = Path(lock.name.removesuffix(LOCK))
        work.mkdir()
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def clear(tmp: Path) -> None:
    """Remove the folders that no process holds."""
    for left in tmp.glob(f"{PREFIX}*"):
        if not left.is_dir():
            continue
        lock = Path(f"{left}{LOCK}")
        if lock.exists() and not _free(lock):
            continue
        shutil.rmtree(left, ignore_errors=True)
        lock.unlink(missing_ok=True)


def _free(lock: Path) -> bool:
    try:
        with lock.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:  # its process has just ended, and taken the folder with it
        return False
    return True
