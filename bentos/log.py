"""The prediction log: one JSON line a record, written by a thread, off the request's path.

A request appends to a deque (0.3 us); the thread turns records into lines and writes them, a few
at a time so that it never holds the interpreter for long. Each worker has files of its own,
`HOME/predictions/predictions-DAY-wWORKER-PID-SEQUENCE.jsonl`, which DuckDB reads while they grow:

    select * from read_json('predictions/*.jsonl', format='newline_delimited',
                            union_by_name=true, ignore_errors=true) where kind is not null

A kill -9 loses what was not written yet: at most the flush interval. A graceful stop loses
nothing. A full disk drops the oldest records past a bound, and counts them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

LINES_A_WRITE = 32
SECONDS_A_DAY = 86_400
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


@dataclass(frozen=True, slots=True)
class LogLimits:
    """How often it is flushed, when a file is full, how many records wait, how long files stay."""

    flush_s: float = 0.5
    file_bytes_max: int = 67_108_864
    waiting_max: int = 100_000
    keep_days: int = 365


class PredictionLog:
    """The log of one worker.

    Parameters
    ----------
    folder : Path
    worker : int
    limits : LogLimits
    complain : called with one line when a write fails and when it works again
    """

    def __init__(
        self,
        folder: Path,
        worker: int,
        limits: LogLimits,
        complain: Callable[[str], None] = lambda said: print(said, file=sys.stderr, flush=True),
    ) -> None:
        self._folder = folder
        self._worker = worker
        self._limits = limits
        self._complain = complain
        self._waiting: deque[Mapping[str, Any]] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._file = -1
        self._file_bytes = 0
        self._file_day = ""
        self._sequence = 0
        self._torn = False
        self._failing = False
        self.dropped = 0
        self.written = 0
        # gets "flush" and milliseconds for each chunk: while it is made nothing else may run
        self.paused: Callable[[str, float], None] = lambda _kind, _ms: None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, record: Mapping[str, Any]) -> None:
        """Take a record; the caller must not change it afterwards."""
        if len(self._waiting) >= self._limits.waiting_max:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(record)

    @property
    def waiting(self) -> int:
        """Records not written yet."""
        return len(self._waiting)

    def stop(self, limit_s: float = 10.0) -> None:
        """Write what is left, sync, close."""
        self._stop.set()
        self._thread.join(limit_s)

    def _run(self) -> None:
        while not self._stop.wait(self._limits.flush_s):
            self._drain()
        self._drain()
        self._close()

    def _drain(self) -> None:
        while self._waiting:
            chunk = [self._waiting.popleft() for _ in range(min(LINES_A_WRITE, len(self._waiting)))]
            began = time.perf_counter()
            try:
                self._write(b"".join(_line(record) for record in chunk), len(chunk))
            except OSError as fault:
                self._waiting.extendleft(reversed(chunk))
                self._tell(failing=True, said=f"prediction log: {fault}; records wait")
                self._close()
                return
            self._tell(failing=False, said="prediction log: writes again")
            self.paused("flush", (time.perf_counter() - began) * 1000)
            time.sleep(0)  # lets the event loop have the interpreter between two chunks

    def _tell(self, *, failing: bool, said: str) -> None:
        if failing != self._failing:
            self._failing = failing
            self._complain(said)

    def _write(self, lines: bytes, records: int) -> None:
        day = datetime.now(UTC).strftime("%Y%m%d")
        full = self._file_bytes + len(lines) > self._limits.file_bytes_max
        if self._file < 0 or day != self._file_day or (full and self._file_bytes):
            self._open(day)
        if self._torn:
            lines = b"\n" + lines  # ends the half line that a failed write left
        done = os.write(self._file, lines)
        self._file_bytes += done
        self._torn = done < len(lines)
        if self._torn:
            done += self._rest(lines[done:])
        self.written += records

    def _rest(self, lines: bytes) -> int:
        done = 0
        while done < len(lines):
            done += os.write(self._file, lines[done:])
        self._file_bytes += done
        self._torn = False
        return done

    def _open(self, day: str) -> None:
        self._close()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._forget_old()
        name = f"predictions-{day}-w{self._worker}-{os.getpid()}-{self._sequence:04d}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self._folder / name, flags, 0o640)
        self._sequence += 1
        self._file_bytes, self._file_day, self._torn = 0, day, False

    def _close(self) -> None:
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.fsync(self._file)
            os.close(self._file)
            self._file = -1

    def _forget_old(self) -> None:
        oldest = time.time() - self._limits.keep_days * SECONDS_A_DAY
        for path in self._folder.glob("predictions-*.jsonl"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


def _line(record: Mapping[str, Any]) -> bytes:
    """Return a record as a line; `features` comes as (names, row) and leaves as an object."""
    features = record.get("features")
    if isinstance(features, tuple):
        names, row = features
        record = {**record, "features": dict(zip(names, row.tolist(), strict=True))}
    return orjson.dumps(record, option=_OPTIONS) + b"\n"
