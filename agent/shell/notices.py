"""Tell a person: through apprise, in a thread of its own, never in the way of trading.

Bounded and rate-limited: when the queue is full the oldest info goes first, an alarm never; the
same words within a minute are sent once. Without a target notices go to stderr alone.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Final

from agent.console import tell as to_stderr

QUEUED_MAX: Final = 200
AGAIN_S: Final = 60.0
PER_MINUTE_MAX: Final = 20
LEVELS: Final = {"info": 0, "warning": 1, "alarm": 2}


class Notices:
    """Sends notices.

    Parameters
    ----------
    urls : tuple of str
        apprise targets (`tgram://…`, `mailto://…`); none: stderr alone.
    least : {"info", "warning", "alarm"}
        What is sent out; everything at least this grave.
    shown : {"info", "warning", "alarm"}
        What goes to stderr.
    """

    def __init__(
        self, urls: tuple[str, ...] = (), *, least: str = "info", shown: str = "warning"
    ) -> None:
        self._urls = urls
        self._least = LEVELS[least]
        self._shown = LEVELS[shown]
        self._queue: deque[tuple[int, str, str]] = deque()
        self._ready = threading.Condition()
        self._last: dict[str, float] = {}
        self._sent: deque[float] = deque()
        self._stopping = False
        self.dropped = 0
        self.failed = 0
        if urls:
            self._thread = threading.Thread(target=self._work, name="notices", daemon=True)
            self._thread.start()

    def tell(self, level: str, kind: str, words: str) -> None:
        """Queue a notice; returns at once."""
        grave = LEVELS[level]
        if grave >= self._shown:
            to_stderr(f"{level}: {kind}: {words}")
        if not self._urls or grave < self._least:
            return
        now = time.monotonic()
        if now - self._last.get(words, -AGAIN_S) < AGAIN_S:
            return
        if len(self._last) > QUEUED_MAX:
            self._last.clear()
        self._last[words] = now
        with self._ready:
            if len(self._queue) >= QUEUED_MAX:
                self._drop()
            self._queue.append((grave, kind, words))
            self._ready.notify()

    def stop(self) -> None:
        """Send what is queued for at most two seconds, then let go."""
        if self._urls:
            with self._ready:
                self._stopping = True
                self._ready.notify()
            self._thread.join(2.0)

    def _drop(self) -> None:
        mild = min(range(len(self._queue)), key=lambda n: self._queue[n][0])
        del self._queue[mild]
        self.dropped += 1

    def _work(self) -> None:
        import apprise

        out: Any = apprise.Apprise()
        for url in self._urls:
            out.add(url)
        while True:
            with self._ready:
                while not self._queue and not self._stopping:
                    self._ready.wait()
                if not self._queue:
                    return
                grave, kind, words = self._queue.popleft()
            self._pace(grave)
            try:
                if not out.notify(title=f"ratchet: {kind}", body=words):
                    self.failed += 1
            except Exception:  # noqa: BLE001  (somebody's server; trading goes on)
                self.failed += 1

    def _pace(self, grave: int) -> None:
        """Keep to so many a minute; an alarm goes at once."""
        now = time.monotonic()
        while self._sent and self._sent[0] < now - 60:
            self._sent.popleft()
        if grave < LEVELS["alarm"] and len(self._sent) >= PER_MINUTE_MAX:
            time.sleep(max(0.0, self._sent[0] + 60 - now))
        self._sent.append(time.monotonic())
