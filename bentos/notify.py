"""Alerts leave the service through one hook: an address that gets a POST, or a command.

A bounded queue and a thread of its own: nothing here can delay or fail a request. An alert of one
kind, model and version leaves at most once in `every_s` per home, whichever worker saw it; what
was held back is told with the next one. The hook gets one JSON document, in the POST's body or on
the command's standard input: {"kind", "model", "version", "detail", "what_to_do", "worker",
"host", "at", "held_back"}.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import shlex
import socket
import subprocess
import sys
import threading
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from bentos.alerts import KINDS

WAITING_MAX = 100
TRIES = 3
HOOK_S = 10.0
BETWEEN_S = 1.0  # before the next try


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert on its way out."""

    kind: str
    model: str
    version: int | None
    detail: str
    at_s: float  # epoch seconds


class Notifier:
    """The hook of one worker.

    Parameters
    ----------
    hook : `http://…`, `https://…`, or a command line; empty tells nobody
    every_s : seconds before the same alert leaves again
    folder : where workers of one home remember what left when
    worker : the worker's number
    """

    def __init__(self, hook: str, every_s: float, folder: Path, worker: int) -> None:
        self._hook, self._every_s = hook, every_s
        self._folder, self._worker = folder, worker
        self._queue: queue.Queue[Notice | None] = queue.Queue(WAITING_MAX)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)
        self.sent = 0
        self.failed = 0
        self.dropped = 0

    def start(self) -> None:
        """Start the thread, where there is a hook."""
        if self._hook:
            self._thread.start()

    def put(self, notice: Notice) -> None:
        """Take a notice, or drop and count it."""
        if not self._hook:
            return
        try:
            self._queue.put_nowait(notice)
        except queue.Full:
            self.dropped += 1

    def stop(self, limit_s: float = 3.0) -> None:
        """Send what waits, within the limit."""
        self._stop.set()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        if self._thread.is_alive():
            self._thread.join(limit_s)

    def _run(self) -> None:
        while not (self._stop.is_set() and self._queue.empty()):
            try:
                notice = self._queue.get(timeout=0.5)
            except queue.Empty:
                continue
            if notice is not None:
                self._leave(notice)

    def _leave(self, notice: Notice) -> None:
        try:
            held_back = self._turn(notice)
        except OSError:
            held_back = 0  # a folder that cannot be written must not silence an alert
        if held_back is None:
            return
        document = orjson.dumps(self._document(notice, held_back))
        for left in reversed(range(TRIES)):
            try:
                self._send(document)
            except (OSError, subprocess.SubprocessError, ValueError) as fault:
                if left == 0 or self._stop.wait(BETWEEN_S):
                    self.failed += 1
                    print(f"ratchet: alert hook: {fault}", file=sys.stderr, flush=True)
                    return
            else:
                self.sent += 1
                return

    def _turn(self, notice: Notice) -> int | None:
        """Return how many of its kind were held back before; None where this one is, too."""
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{notice.kind}.{notice.model or '-'}.{notice.version or '-'}"
        handle = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            left_at, _, held = os.pread(handle, 64, 0).decode("ascii", "replace").partition(" ")
            held_back = int(held) if held.isdigit() else 0
            age_s = notice.at_s - float(left_at or 0)
            mine = not 0 <= age_s < self._every_s
            said = f"{notice.at_s:.3f} 0" if mine else f"{left_at} {held_back + 1}"
            os.truncate(handle, 0)
            os.pwrite(handle, said.encode(), 0)
        except ValueError:  # not what we wrote: as if nothing had left
            return 0
        finally:
            os.close(handle)
        return held_back if mine else None

    def _document(self, notice: Notice, held_back: int) -> dict[str, object]:
        return {
            "kind": notice.kind,
            "model": notice.model or None,
            "version": notice.version,
            "detail": notice.detail,
            "what_to_do": KINDS.get(notice.kind, ""),
            "worker": self._worker,
            "host": socket.gethostname(),
            "at": datetime.fromtimestamp(notice.at_s, UTC).isoformat(timespec="milliseconds"),
            "held_back": held_back,
        }

    def _send(self, document: bytes) -> None:
        if self._hook.startswith(("http://", "https://")):
            request = urllib.request.Request(  # noqa: S310  (the operator's own address)
                self._hook, document, {"Content-Type": "application/json"}
            )
            urllib.request.urlopen(request, timeout=HOOK_S).close()  # noqa: S310
            return
        command = shlex.split(self._hook)
        subprocess.run(command, input=document, timeout=HOOK_S, check=True, capture_output=True)
