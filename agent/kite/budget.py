"""How many calls may still be made: a log of send times, per API key, on disk, shared.

The broker counts calendar seconds and minutes on its own clock, so a token bucket will not do (it
passes 19 in one calendar second): at most 9 order calls in ANY 1.1 s and 360 in any 60 s. 100 of
the minute's 400 are kept for exits, and a share of the day's 5,000. The log is a file under the
home folder, so that every process with the same key (agent, ingest) counts in the same place.

A leaf: imports nothing of the agent. Times come in; the caller says which clock it goes by.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Kind = Literal["order", "quote", "historical", "other"]

KINDS: Final[tuple[Kind, ...]] = ("order", "quote", "historical", "other")
SECOND_MS: Final = 1_100
MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
_RECORD: Final = struct.Struct("<qB")
_FILE_BYTES_MAX: Final = 256 * 1024
_FUTURE_MS: Final = 60_000  # a log that is ahead of the clock is another clock's: start over


@dataclass(frozen=True, slots=True)
class Window:
    """At most `calls` in any `length_ms`; entries and other unhurried calls stop at `unhurried`."""

    length_ms: int
    calls: int
    unhurried: int


# https://kite.trade/docs/connect/v3/exceptions/ and staff posts of 2026: 10 orders a second and
# 400 a minute an account, 5,000 a day; quote 1 a second, historical 3, everything else 10.
WINDOWS: Final[dict[Kind, tuple[Window, ...]]] = {
    "order": (Window(SECOND_MS, 9, 7), Window(MINUTE_MS, 360, 260), Window(DAY_MS, 4_900, 4_500)),
    "quote": (Window(SECOND_MS, 1, 1),),
    "historical": (Window(SECOND_MS, 3, 3),),
    "other": (Window(SECOND_MS, 9, 9),),
}


class Budget:
    """The calls made with one API key.

    Parameters
    ----------
    folder : Path
        Where the logs lie (HOME/kite); created if need be.
    api_key : str
        Only its digest appears in the file's name.
    """

    def __init__(self, folder: Path, api_key: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(api_key.encode()).hexdigest()[:12]
        self.path = folder / f"calls-{digest}.log"
        self._sent: dict[Kind, deque[int]] = {kind: deque() for kind in KINDS}
        self._read_to = 0
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)

    def take(self, kind: Kind, now_ms: int, *, hurried: bool = False, calls: int = 1) -> int:
        """Count a call (or several together) about to be made, if it may be.

        Parameters
        ----------
        kind : {"order", "quote", "historical", "other"}
        now_ms : int, epoch ms, of the clock that the calls are counted by
        hurried : bool
            An exit or a protective order: it may use what is kept for these.
        calls : int
            How many requests it makes; all of them leave, or none.

        Returns
        -------
        int
            0 if the call is counted and may leave; else when to ask again, epoch ms.
        """
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            self._catch_up(now_ms)
            wait = wait_until(kind, self._sent[kind], now_ms, hurried=hurried, calls=calls)
            if not wait:
                for _ in range(calls):
                    self._append(kind, now_ms)
            return wait
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def left(self, kind: Kind, now_ms: int) -> list[tuple[int, int]]:
        """Return (window length in ms, calls left in it) for each window of a kind."""
        sent = self._sent[kind]
        return [
            (window.length_ms, window.calls - sum(at > now_ms - window.length_ms for at in sent))
            for window in WINDOWS[kind]
        ]

    def close(self) -> None:
        """Close the log."""
        os.close(self._file)

    def _append(self, kind: Kind, now_ms: int) -> None:
        at = max(now_ms, self._sent[kind][-1] if self._sent[kind] else now_ms)
        self._sent[kind].append(at)
        os.lseek(self._file, 0, os.SEEK_END)
        os.write(self._file, _RECORD.pack(at, KINDS.index(kind)))
        self._read_to += _RECORD.size

    def _catch_up(self, now_ms: int) -> None:
        """Take in what other processes have written; drop what no window looks at any more."""
        size = os.fstat(self._file).st_size
        if size < self._read_to:
            self._forget()
        if size > self._read_to:
            os.lseek(self._file, self._read_to, os.SEEK_SET)
            data = os.read(self._file, size - self._read_to)
            whole = len(data) // _RECORD.size * _RECORD.size
            for at, number in _RECORD.iter_unpack(data[:whole]):
                if number < len(KINDS):
                    self._sent[KINDS[number]].append(at)
            self._read_to += whole
        if any(sent and sent[-1] > now_ms + _FUTURE_MS for sent in self._sent.values()):
            self._forget()
            self._rewrite()
        for kind, sent in self._sent.items():
            oldest = now_ms - max(window.length_ms for window in WINDOWS[kind])
            while sent and sent[0] <= oldest:
                sent.popleft()
        if size > _FILE_BYTES_MAX:
            self._rewrite()

    def _forget(self) -> None:
        self._read_to = 0
        for sent in self._sent.values():
            sent.clear()

    def _rewrite(self) -> None:
        records = sorted((at, KINDS.index(kind)) for kind in KINDS for at in self._sent[kind])
        data = b"".join(_RECORD.pack(at, number) for at, number in records)
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, data)
        self._read_to = len(data)


def wait_until(
    kind: Kind, sent: deque[int], now_ms: int, *, hurried: bool = False, calls: int = 1
) -> int:
    """Return when so many calls may leave beside those that were sent; 0: now.

    Parameters
    ----------
    kind : {"order", "quote", "historical", "other"}
    sent : deque of int, epoch ms, rising
        Send times of this kind, as far back as its longest window.
    now_ms : int, epoch ms
    hurried : bool
    calls : int
    """
    until = 0
    for window in WINDOWS[kind]:
        allowed = window.calls if hurried else window.unhurried
        recent = len(sent) - _index_after(sent, now_ms - window.length_ms)
        if recent + calls > allowed:
            until = max(until, sent[len(sent) - allowed + calls - 1] + window.length_ms)
    return until


def _index_after(sent: deque[int], instant: int) -> int:
    """Return how many of the send times are at or before an instant (they are in order)."""
    count = len(sent)
    for at in reversed(sent):
        if at <= instant:
            return count
        count -= 1
    return 0
