"""Versions that only listen: scored after the answer, by a thread, out of a bounded queue.

Nothing here can delay or fail a caller's request: a full queue drops the row and counts it, and
a fault while scoring becomes an alert. Rows are gathered for a moment and scored together, one
library call a version: a thread that woke for every row would take the interpreter from the
request that comes next.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bentos.answer import prediction
from bentos.models import Loaded
from bentos.windows import Floats

GATHER_S = 0.02
TOGETHER_MAX = 16  # rows of one library call; a request may wait for their 0.3 ms of Python


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
        self._stop = threading.Event()
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
        self._stop.set()
        self._queue.put(None)
        self._thread.join(limit_s)

    def _run(self) -> None:
        while (row := self._queue.get()) is not None:
            if self._queue.qsize() < TOGETHER_MAX:
                self._stop.wait(GATHER_S)
            rows = [row]
            while len(rows) < TOGETHER_MAX and not self._queue.empty():
                if (row := self._queue.get()) is None:
                    self._queue.put(None)  # the end comes after these
                    break
                rows.append(row)
            self.score(rows)

    def score(self, rows: Sequence[ShadowRow]) -> None:
        """Score rows by the versions that listened to each."""
        versions = {id(one): one for row in rows for one in row.versions}
        for version in versions.values():
            self._score(
                version, [row for row in rows if any(one is version for one in row.versions)]
            )
            time.sleep(0)  # lets the event loop have the interpreter

    def _score(self, version: Loaded, rows: Sequence[ShadowRow]) -> None:
        manifest = version.manifest
        try:
            matrix = np.stack([row.row for row in rows])[:, manifest.columns]
            scored = version.booster.probabilities(matrix).tolist()
            said = [prediction(manifest, p) for p in scored]
        except Exception as fault:  # noqa: BLE001  (a shadow may fail; the service may not)
            if len(rows) > 1:  # one bad row spoils no other
                for row in rows:
                    self._score(version, [row])
                return
            self._alert("shadow-failed", manifest.name, manifest.number, repr(fault))
            return
        for row, own, (told, wrong) in zip(rows, matrix, said, strict=True):
            self.scored += 1
            self._log(_record(version, row, own, told, wrong))


def _record(
    version: Loaded, row: ShadowRow, own: Floats, told: dict[str, Any], wrong: str
) -> dict[str, Any]:
    manifest = version.manifest
    answered = row.record["features"]
    same = answered is not None and answered[0] == manifest.features
    return {
        **row.record,
        "version": manifest.number,
        "variant": "shadow",
        "prediction": told,
        # the same row stands in the answer's record: two thirds of the log's bytes saved
        "features": None if same else (manifest.features, own),
        "latency_ms": None,
        "warnings": [wrong] if wrong else [],
    }
