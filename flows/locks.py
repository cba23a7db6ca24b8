"""Who may write: one process at a time, by `flock` files under `HOME/locks/`.

A lock dies with its process, also by kill -9, so nothing has to be cleaned up. It holds on one
machine; two machines that share one registry server must not train or release at once.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import Refused

POLL_S = 0.05


@contextmanager
def held(lock: Path, *, what: str, wait_s: float = 0.0) -> Iterator[None]:
    """Hold a lock file for the block.

    Parameters
    ----------
    lock : Path
        Made if need be; never removed (removing a lock file is a race).
    what : str
        What the block does, as a person would say it: "train model sample".
    wait_s : float
        How long to wait for another holder, seconds.

    Raises
    ------
    agent.errors.Refused
        If another process still holds it after `wait_s`.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(handle, what, wait_s)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def _take(handle: int, what: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
                raise Refused(
                    f"cannot {what}: process {holder} is doing so; wait for it to end"
                ) from None
            time.sleep(POLL_S)
        else:
            return
