"""A run under faults repeats: same seed, same calls, same faults, same book, over real sockets."""

from __future__ import annotations

from pathlib import Path

import requests

from tests.agent.paper.lab import DAY, start
from tests.agent.paper.test_lockstep import stored, trade_a_run

MIX = [
    {"kind": "storm_429", "operation": "place", "probability": 0.1},
    {"kind": "timeout_after", "operation": "place", "answer": "400", "probability": 0.1},
    {"kind": "late_order", "answer": "400", "probability": 0.1},
    {"kind": "rejected", "probability": 0.1},
    {"kind": "stop_void", "probability": 0.3},
    {"kind": "being_processed", "probability": 0.3},
    {"kind": "thin_depth", "since": "10:00", "until": "15:00"},
    {"kind": "hand_trade", "after": "fill", "nth": 3, "after_ms": 700},
    {"kind": "square_off_early", "since": "14:00", "day": 1},
]


def a_run(home: Path, days: Path) -> tuple[list, list, list]:
    running = start(home, "--candles", str(days), "--lockstep",
                    "--first", str(DAY), "--ticks-per-day", "60")  # fmt: skip
    try:
        answer = requests.post(running.rest + "/_paper/faults", json=MIX, timeout=10).json()
        assert len(answer["armed"]) == len(MIX)
        heard = trade_a_run(running, 7)
        armed = running.get("faults")["faults"]
        struck = [(one["kind"], one["seen"], one["struck"]) for one in armed]
        return heard, stored(running), struck
    finally:
        running.stop()


def test_same_seed_same_faults_same_book(days: Path, tmp_path: Path) -> None:
    first = a_run(tmp_path / "one", days)
    assert a_run(tmp_path / "two", days) == first
    assert len({kind for kind, _, struck in first[2] if struck}) >= 4, first[2]
