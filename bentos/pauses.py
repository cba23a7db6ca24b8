"""Why an answer was slow: the moments when a worker could not work, with their lengths.

Four kinds: `gc` (garbage collection), `flush` (the log's thread held the interpreter), `wait` (the
worker was ready to run and other work had the processor) and `steal` (the machine below had it).
Those past `PAUSE_MS_MIN` become records of the prediction log (`kind: pause`), so that a slow
answer can be laid over them afterwards.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PAUSE_MS_MIN = 5.0
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
STEAL_FIELD = 8  # of the first line of /proc/stat


class Pauses:
    """The pauses of one worker.

    Parameters
    ----------
    log : takes a record
    worker : the worker's number
    """

    def __init__(self, log: Callable[[Mapping[str, Any]], None], worker: int) -> None:
        self._log, self._worker = log, worker
        self.seconds: dict[str, float] = dict.fromkeys(("gc", "flush", "wait", "steal"), 0.0)
        # of the thread that answers: where that is not the main one, nothing is told
        self._delay = Path(f"/proc/self/task/{threading.main_thread().native_id}/schedstat")
        self._waited_ms = self._read_waited_ms()
        self._stolen_ms = self._read_stolen_ms()
        self._beat = time.monotonic()

    def lasted(self, kind: str, ms: float) -> None:
        """Take a pause that ends now."""
        self._take(kind, ms, ms)

    def beat(self) -> None:
        """Take what the kernel counted since the last beat; cheap, ten times a second."""
        now = time.monotonic()
        since_ms, self._beat = (now - self._beat) * 1000, now
        waited_ms, stolen_ms = self._read_waited_ms(), self._read_stolen_ms()
        self._take("wait", waited_ms - self._waited_ms, since_ms)
        self._take("steal", stolen_ms - self._stolen_ms, since_ms)
        self._waited_ms, self._stolen_ms = waited_ms, stolen_ms

    def _take(self, kind: str, ms: float, within_ms: float) -> None:
        self.seconds[kind] += ms / 1000
        if ms < PAUSE_MS_MIN:
            return
        until_ms = time.time() * 1000
        self._log(
            {
                "kind": "pause",
                "at_ms": int(until_ms),
                "pause": kind,
                "pause_ms": round(ms, 3),
                "from_ms": round(until_ms - within_ms, 1),
                "worker": self._worker,
            }
        )

    def _read_waited_ms(self) -> float:
        try:
            return int(self._delay.read_text(encoding="ascii").split()[1]) / 1e6
        except (OSError, ValueError, IndexError):
            return 0.0

    @staticmethod
    def _read_stolen_ms() -> float:
        try:
            with Path("/proc/stat").open(encoding="ascii") as stat:
                return int(stat.readline().split()[STEAL_FIELD]) * TICK_MS
        except (OSError, ValueError, IndexError):
            return 0.0
