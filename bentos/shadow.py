"""Versions that only listen: scored after the answer, by a thread, out of a bounded queue.

Nothing here can delay or fail a caller's request: a full queue drops the row and counts it, and
a fault while scoring becomes an alert.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bentos.answer import prediction
from bentos.booster import Booster, Scorer
from bentos.models import Loaded
from bentos.windows import Floats


@dataclass(frozen=True, slots=True)
class ShadowRow:
    """One row to score beside the answer: who, what, and the record that it completes."""

    versions: tuple[Loaded, ...]
    row: Floats
    record: dict[str, Any]


class Shadows:
    """The shadow scorer of one worker.

    Parameters
    ----------
    waiting_max : rows that may wait
    log : takes a finished record
    alert : takes kind, model, version, what
    """

    def __init__(
        self,
        waiting_max: int,
        log: Callable[[dict[str, Any]], None],
        alert: Callable[[str, str, int | None, str], None],
    ) -> None:
        self._waiting_max = waiting_max
        self._log = log
        self._alert = alert
        self._queue: queue.SimpleQueue[ShadowRow | None] = queue.SimpleQueue()
        self._scorers: dict[int, tuple[Booster, Scorer]] = {}
        self._thread = threading.Thread(target=self._run, name="shadows", daemon=True)
        self.dropped = 0
        self.scored = 0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Rows not scored yet."""
        return self._queue.qsize()

    def put(self, row: ShadowRow) -> None:
        """Take a row, or drop and count it."""
        if self._queue.qsize() >= self._waiting_max:
            self.dropped += len(row.versions)
        else:
            self._queue.put(row)

    def stop(self, limit_s: float = 5.0) -> None:
        """Score what waits, then end."""
        self._queue.put(None)
        self._thread.join(limit_s)

    def _run(self) -> None:
        while (row := self._queue.get()) is not None:
            for version in row.versions:
                self._score(version, row)

    def _score(self, version: Loaded, row: ShadowRow) -> None:
        manifest = version.manifest
        try:
            p = self._scorer(version).probabilities(row.row[manifest.columns])
            said, wrong = prediction(manifest, p)
        except Exception as fault:  # noqa: BLE001  (a shadow may fail; the service may not)
            self._alert("shadow-failed", manifest.name, manifest.number, repr(fault))
            return
        self.scored += 1
        own = (manifest.features, row.row[manifest.columns])
        answered = row.record["features"]
        same = answered is not None and answered[0] == own[0]
        self._log(
            {
                **row.record,
                "version": manifest.number,
                "variant": "shadow",
                "prediction": said,
                # the same row stands in the answer's record: two thirds of the log's bytes saved
                "features": None if same else own,
                "latency_ms": None,
                "warnings": [wrong] if wrong else [],
            }
        )

    def _scorer(self, version: Loaded) -> Scorer:
        key = id(version)
        known = self._scorers.get(key)
        if known is None or known[0] is not version.booster:
            if len(self._scorers) > 64:
                self._scorers.clear()  # versions come and go; their memory must, too
            known = self._scorers[key] = (version.booster, version.booster.scorer())
        return known[1]
