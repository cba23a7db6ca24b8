"""Shadows: scored beside the answer, never in its way."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from bentos import shadow
from bentos.features import FEATURES, features_last
from bentos.models import Loaded, load_version
from bentos.shadow import TOGETHER_MAX, ShadowRow, Shadows
from tests.bentos.bundles import booster_text, predicted, write_version
from tests.bentos.candles import walk
from tests.bentos.waiting import until

CANDLES = walk(60, 5)
NAMES = tuple(f.name for f in FEATURES)
RECORD = {"kind": "prediction", "request_id": "r-1", "version": 1, "variant": "champion",
          "latency_ms": 1.0, "warnings": ["of the answer"],
          "features": (NAMES, features_last(CANDLES))}  # fmt: skip


@pytest.fixture
def version(tmp_path: Path) -> Loaded:
    return load_version(write_version(tmp_path / "2", seed=2), 2)


def no_alert(*told: object) -> None:
    raise AssertionError(told)


def test_a_shadow_leaves_a_record_under_the_same_request_id(version: Loaded) -> None:
    records: list[dict[str, Any]] = []
    shadows = Shadows(10, records.append, no_alert)
    shadows.start()
    shadows.put(ShadowRow((version,), features_last(CANDLES), RECORD))
    other = {**RECORD, "request_id": "r-2", "features": (NAMES[1:], features_last(CANDLES)[1:])}
    shadows.put(ShadowRow((version,), features_last(CANDLES), other))
    shadows.stop()
    record, differs = records
    assert differs["features"][0] == NAMES, "another set of features is written out"
    assert (record["request_id"], record["version"], record["variant"]) == ("r-1", 2, "shadow")
    assert record["prediction"] == pytest.approx(predicted(booster_text(2), CANDLES))
    assert record["warnings"] == [], "the answer's warnings are the answer's"
    assert record["features"] is None, "they stand in the answer's record"
    assert record["latency_ms"] is None
    assert RECORD["variant"] == "champion", "the record of the answer is not touched"
    assert shadows.scored == 2


def test_a_full_queue_drops_and_counts(version: Loaded) -> None:
    blocked, go = threading.Event(), threading.Event()

    def slow(_: dict[str, Any]) -> None:
        blocked.set()
        go.wait(10)

    shadows = Shadows(3, slow, no_alert)
    shadows.start()
    row = ShadowRow((version,), features_last(CANDLES), RECORD)
    shadows.put(row)
    assert blocked.wait(10)
    for _ in range(8):
        shadows.put(row)
    assert shadows.dropped == 5
    assert shadows.waiting == 3
    go.set()
    shadows.stop()
    assert shadows.scored == 4


def test_a_backlog_waits_for_no_more_rows(version: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a busy service would score so many rows a wait, and drop the rest."""
    monkeypatch.setattr(shadow, "GATHER_S", 3_600)
    shadows = Shadows(1_000, lambda _: None, no_alert)
    for _ in range(4 * TOGETHER_MAX + 1):
        shadows.put(ShadowRow((version,), features_last(CANDLES), RECORD))
    shadows.start()
    until(lambda: shadows.scored >= 4 * TOGETHER_MAX)
    shadows.stop()
    assert shadows.scored == 4 * TOGETHER_MAX + 1


def test_a_fault_while_scoring_becomes_an_alert(version: Loaded) -> None:
    alerts: list[tuple[object, ...]] = []
    records: list[dict[str, Any]] = []
    shadows = Shadows(3, records.append, lambda *told: alerts.append(told))
    shadows.start()
    shadows.put(ShadowRow((version,), features_last(CANDLES)[:3], RECORD))
    shadows.put(ShadowRow((version,), features_last(CANDLES), RECORD))
    shadows.stop()
    assert [(a[0], a[2]) for a in alerts] == [("shadow-failed", 2)]
    assert len(records) == 1, "the thread goes on"
