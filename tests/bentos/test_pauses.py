"""What kept a worker from working is told with its length, and short ones only counted."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bentos.pauses import PAUSE_MS_MIN, Pauses
from tests.bentos.bundles import write_model
from tests.bentos.test_worker import Desk


def test_long_pauses_are_told_and_all_are_counted() -> None:
    records: list[Mapping[str, Any]] = []
    pauses = Pauses(records.append, 2)
    pauses.lasted("gc", PAUSE_MS_MIN - 1)
    assert records == []
    pauses.lasted("flush", PAUSE_MS_MIN + 1)
    (told,) = records
    assert (told["kind"], told["pause"], told["pause_ms"], told["worker"]) == (
        "pause", "flush", PAUSE_MS_MIN + 1, 2,
    )  # fmt: skip
    assert 0 <= told["at_ms"] - told["from_ms"] <= PAUSE_MS_MIN + 2
    assert pauses.seconds["gc"] + pauses.seconds["flush"] == 2 * PAUSE_MS_MIN / 1000


def test_waiting_for_a_processor_is_what_the_kernel_counted() -> None:
    records: list[Mapping[str, Any]] = []
    pauses = Pauses(records.append, 1)
    counted = pauses._read_waited_ms()
    pauses._waited_ms = counted - 40  # as if it had waited that long since
    pauses._beat = time.monotonic() - 0.1
    pauses.beat()
    told = next(r for r in records if r["pause"] == "wait")
    assert told["pause_ms"] >= 40
    assert told["at_ms"] - told["from_ms"] >= 99
    assert threading.main_thread().native_id is not None


def test_a_collection_is_timed_and_a_worker_tells_its_pauses(home: Path) -> None:
    write_model(home / "serving", versions=1)
    desk = Desk(home)
    gc.callbacks.append(desk.worker._collected)
    gc.collect()
    gc.callbacks.remove(desk.worker._collected)
    assert desk.worker.pauses.seconds["gc"] > 0
    gauges = desk.worker.gauges()
    assert gauges["pause_gc_seconds_total"] > 0
    assert {"pause_flush_seconds_total", "pause_wait_seconds_total"} <= gauges.keys()
