"""One view of all logs: each part's file is followed, shown with a prefix, and rotated.

Parts write to their own files, so a stopped terminal or a dead keeper never makes a trading
process wait. Rotation copies and truncates (the writers append); what is written within the
microseconds between the two is lost, and nothing else is.
"""

from __future__ import annotations

import os
import queue
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from agent.market.sessions import IST

ROTATE_BYTES = 10 * 1024 * 1024
KEPT = 5
READ_BYTES_MAX = 256 * 1024  # of one file in one look: one loud part does not starve the others
LINE_MAX = 4_000
WAITING_LINES_MAX = 10_000
COLOURS = (36, 33, 35, 32, 34, 31, 96, 93, 95, 92)


@dataclass(slots=True)
class Followed:
    """One part's file, how far it was read, and how many characters each line begins with."""

    name: str
    path: Path
    skip: int = 0
    at: int = 0
    begun: bytes = b""
    last: str = ""

    def __post_init__(self) -> None:
        self.at = self.path.stat().st_size if self.path.exists() else 0

    def new_lines(self) -> list[str]:
        """Return the whole lines written since the last look, rotating a file that grew large."""
        try:
            with self.path.open("rb") as source:
                size = os.fstat(source.fileno()).st_size
                if size < self.at:  # somebody else truncated it
                    self.at = 0
                source.seek(self.at)
                data = source.read(READ_BYTES_MAX)
                self.at += len(data)
                if self.at >= ROTATE_BYTES and self.at >= os.fstat(source.fileno()).st_size:
                    self._rotate()
        except FileNotFoundError:
            return []
        *whole, self.begun = (self.begun + data).split(b"\n")
        if len(self.begun) > LINE_MAX:
            whole, self.begun = [*whole, self.begun], b""
        lines = [line.decode("utf-8", errors="replace")[:LINE_MAX].rstrip() for line in whole]
        told = [line[self.skip :] for line in lines if line]
        if told:
            self.last = told[-1]
        return told

    def _rotate(self) -> None:
        for number in range(KEPT - 1, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            if older.exists():
                older.replace(self.path.with_name(f"{self.path.name}.{number + 1}"))
        shutil.copyfile(self.path, self.path.with_name(f"{self.path.name}.1"))
        os.truncate(self.path, 0)
        self.at = 0


@dataclass(slots=True)
class Terminal:
    """Shows lines on stderr from a thread of its own; drops, and counts, when nobody reads.

    A terminal stopped with Ctrl-S must not stop the keeper.
    """

    colour: bool = field(
        default_factory=lambda: sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    )
    waiting: queue.Queue[str | None] = field(
        default_factory=lambda: queue.Queue(maxsize=WAITING_LINES_MAX)
    )
    dropped: int = 0
    _thread: threading.Thread | None = None
    _colours: dict[str, int] = field(default_factory=dict)

    def start(self) -> None:
        """Begin to show."""
        self._thread = threading.Thread(target=self._write, name="terminal", daemon=True)
        self._thread.start()

    def show(self, name: str, line: str) -> None:
        """Queue one line with its part's name before it."""
        at = datetime.now(IST).strftime("%H:%M:%S")
        prefix = f"{name:<11}|"
        if self.colour:
            code = COLOURS[self._colours.setdefault(name, len(self._colours)) % len(COLOURS)]
            prefix = f"\x1b[{code}m{prefix}\x1b[0m"
        if self.dropped and not self.waiting.full():
            missed, self.dropped = self.dropped, 0
            self.waiting.put_nowait(f"{at} ({missed} lines not shown here; they are in the files)")
        try:
            self.waiting.put_nowait(f"{at} {prefix} {line}")
        except queue.Full:
            self.dropped += 1

    def close(self, limit_s: float = 1.0) -> None:
        """Show what is queued, for at most `limit_s` seconds, and end."""
        if self._thread is None:
            return
        try:
            self.waiting.put(None, timeout=limit_s)
        except queue.Full:
            return
        self._thread.join(limit_s)

    def _write(self) -> None:
        while (line := self.waiting.get()) is not None:
            try:
                print(line, file=sys.stderr, flush=True)
            except OSError:  # the terminal is gone; the files go on
                return


@dataclass(slots=True)
class Logs:
    """The files of all parts, followed together."""

    folder: Path
    show: Callable[[str, str], None]
    files: dict[str, Followed] = field(default_factory=dict)

    def follow(self, name: str, *, skip: int = 0) -> None:
        """Add a part; what its file held before is not shown again, nor a line's beginning."""
        self.files[name] = Followed(name, self.folder / f"{name}.log", skip)

    def look(self) -> None:
        """Show everything new."""
        for file in self.files.values():
            for line in file.new_lines():
                self.show(file.name, line)

    def last_line(self, name: str) -> str:
        """Return the last line a part has written since we follow it."""
        return self.files[name].last if name in self.files else ""
