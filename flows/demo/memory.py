"""The most memory a run has used at any time: our process and all below it, sampled from /proc.

Resident sizes added up, so pages that processes share count more than once: an upper bound.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

PERIOD_S = 0.5
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MIB = 1024 * 1024


def resident_mib(root: int) -> float:
    """Return the resident memory of process `root` and its descendants, MiB."""
    parents: dict[int, int] = {}
    pages: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            after_name = (folder / "stat").read_text(encoding="ascii", errors="replace")
            fields = after_name.rsplit(")", 1)[1].split()
            parents[int(folder.name)] = int(fields[1])
            pages[int(folder.name)] = int(fields[21])
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        total += pages.get(pid, 0)
        waiting += [child for child, parent in parents.items() if parent == pid]
    return total * PAGE_BYTES / MIB


class PeakMemory:
    """Samples while its block runs; `mib` is the highest sum seen."""

    def __init__(self) -> None:
        self.mib = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="peak-memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.mib = max(self.mib, resident_mib(os.getpid()))
            if self._done.wait(PERIOD_S):
                return
