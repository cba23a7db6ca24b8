"""Which processes belong to a stack: those that carry its mark in their environment.

A mark is inherited by everything that a part starts, also by what has left its session (Prefect's
worker gives each flow run one of its own) or lost its parent. So the stack can be ended whole,
whatever died first. Linux only: it reads /proc.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

STACK = "RATCHET_MARK_HOME"
PART = "RATCHET_MARK_PART"
FLOW_RUN = "PREFECT__FLOW_RUN_ID"
POLL_S = 0.05
KILL_S = 3.0  # a process in a hung system call outlives even SIGKILL: do not wait for it


def marks(root: Path, part: str) -> dict[str, str]:
    """Return the environment that marks a part of the stack of one home."""
    return {STACK: str(root), PART: part}


def marked(root: Path, part: str | None = None) -> dict[int, Mapping[str, str]]:
    """Return the live processes of a home's stack, ourselves left out.

    Parameters
    ----------
    root : Path
        The home, absolute.
    part : str, optional
        Only those of one part.

    Returns
    -------
    dict of int to mapping
        Process id to the environment it was started with.
    """
    wanted = f"{STACK}={root}".encode()
    found: dict[int, Mapping[str, str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) == os.getpid():
            continue
        # another user's process cannot be read, a zombie's environment is empty: neither is ours
        with contextlib.suppress(OSError):
            raw = (folder / "environ").read_bytes().split(b"\0")
            if wanted not in raw:
                continue
            pairs = (item.decode(errors="replace").partition("=") for item in raw if item)
            environment = {key: value for key, _, value in pairs}
            if part is None or environment.get(PART) == part:
                found[int(folder.name)] = environment
    return found


def end_marked(
    root: Path,
    part: str | None = None,
    *,
    grace_s: float,
    spare: Callable[[Mapping[str, str]], bool] = lambda _: False,
) -> int:
    """End a stack's processes: SIGTERM, then after `grace_s` SIGKILL; return how many there were.

    Parameters
    ----------
    root, part
        As `marked`.
    grace_s : float
        Seconds they have to end by themselves; 0 kills at once.
    spare : callable, optional
        From a process's environment to whether it is left alone.
    """

    def ours() -> list[int]:
        return [pid for pid, environment in marked(root, part).items() if not spare(environment)]

    first = ours()
    if first and grace_s > 0:
        send(first, signal.SIGTERM)
        until = time.monotonic() + grace_s
        while ours() and time.monotonic() < until:
            time.sleep(POLL_S)
    until = time.monotonic() + KILL_S
    # again and again: a process killed in the middle of a fork leaves one more
    while (rest := ours()) and time.monotonic() < until:
        send(rest, signal.SIGKILL)
        time.sleep(POLL_S)
    return len(first)


def send(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to each process that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
