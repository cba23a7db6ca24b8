"""A version's way to the traffic: which step is next, what stops it, what the log has to show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.errors import Refused, SettingRefused
from agent.home import open_home
from flows import advance as room
from flows.home import Home
from flows.steps import CHAMPION, SHADOW, TRIAL, Bounds, Shown, next_step, refusals, wanted

PLAN = {"champion": 1, "challengers": {"2": 0.2}, "shadows": [3]}
GOOD = Shown(days=5, rows=100, bad=0, p99_ms=4.0)


@pytest.mark.parametrize(("version", "step"), [(1, None), (2, CHAMPION), (3, TRIAL), (4, SHADOW)])
def test_each_role_has_its_next_step(version: int, step: str | None) -> None:
    assert next_step(PLAN, version) == step
    assert next_step(None, version) == CHAMPION


#  id, step, shown, champion, allowed, what the reason says ("": the step is allowed)
ROWS: list[tuple[str, str, Shown, Shown, str, str]] = [
    ("a shadow needs nothing", SHADOW, Shown(), GOOD, "none", ""),
    ("to A/B", TRIAL, Shown(3, 50), GOOD, "paper", ""),
    ("gates", TRIAL, Shown(3, 50), GOOD, "none", "gates"),
    ("a day short", TRIAL, Shown(2, 50), GOOD, "paper", "2 trading days"),
    ("a row short", TRIAL, Shown(3, 49), GOOD, "paper", "49 rows"),
    ("to champion", CHAMPION, GOOD, GOOD, "live", ""),
    ("four days", CHAMPION, Shown(4, 100, 0, 4.0), GOOD, "live", "4 trading days"),
    ("errors", CHAMPION, Shown(5, 1_000, 2, 4.0), GOOD, "live", "2 of 1000"),
    ("one error of a thousand", CHAMPION, Shown(5, 1_000, 1, 4.0), GOOD, "live", ""),
    ("slow", CHAMPION, Shown(5, 100, 0, 60.0), GOOD, "live", "60.0 ms"),
    ("as slow as the champion", CHAMPION, Shown(5, 100, 0, 60.0), Shown(9, 9, 0, 61.0), "live", ""),
]


@pytest.mark.parametrize("row", ROWS, ids=[r[0] for r in ROWS])
def test_what_stops_a_step(row: tuple[str, str, Shown, Shown, str, str]) -> None:
    _, step, shown, champion, allowed, reason = row
    found = refusals(step, shown, champion, allowed, Bounds())
    if reason:
        (told,) = found
        assert reason in told
    else:
        assert found == []


def test_the_split_after_each_step() -> None:
    assert wanted(PLAN, 4, SHADOW, 0.1) == {
        "champion": 1, "challengers": {2: 0.2}, "shadows": (3, 4),
    }  # fmt: skip
    assert wanted(PLAN, 3, TRIAL, 0.1) == {
        "champion": 1, "challengers": {2: 0.2, 3: 0.1}, "shadows": (),
    }  # fmt: skip
    assert wanted(PLAN, 2, CHAMPION, 0.1) == {
        "champion": 2, "challengers": {}, "shadows": (3, 1),
    }  # fmt: skip
    assert wanted(None, 1, CHAMPION, 0.1) == {"champion": 1, "challengers": {}, "shadows": ()}


def record(i: int, **more: Any) -> dict[str, Any]:
    return {
        "kind": "prediction", "request_id": f"r{i}", "row": None, "model": "tiny", "version": 3,
        "variant": "shadow", "day": f"2026-01-{5 + i % 4:02d}", "latency_ms": None, "warnings": [],
    } | more  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    opened = Home(open_home(tmp_path / "home"))
    opened.tmp.mkdir()
    opened.predictions.mkdir()
    return opened


def test_the_log_shows_what_a_version_has_done(home: Home) -> None:
    assert room.evidence(home, "tiny", 3, "shadow") == Shown()
    rows = [record(i) for i in range(60)]
    rows += [record(0), record(61, version=2), record(62, model="other"), {"kind": "pause"}]
    rows += [record(63, warnings=["bad-output: a probability is not a number"])]
    rows += [record(100 + i, variant="challenger", latency_ms=float(i)) for i in range(101)]
    text = "\n".join(json.dumps(row) for row in rows) + '\n{"kind": "pred'
    (home.predictions / "predictions-a.jsonl").write_text(text)
    assert room.evidence(home, "tiny", 3, "shadow") == Shown(4, 61, 1, None)
    assert room.evidence(home, "tiny", 3, "challenger") == Shown(4, 101, 0, 99.0)


def test_a_refused_step_names_every_reason_and_releases_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Registry and release have tests of their own; here nothing of them is reached."""
    monkeypatch.setattr(room, "_allowed", lambda *_: "none")
    monkeypatch.setattr(room, "mirror", lambda *_: PLAN)
    with pytest.raises(Refused, match=r"gates.*0 trading days.*0 rows.*Nothing changed"):
        room.advance(home, room.Asked("tiny", 3), print)
    with pytest.raises(SettingRefused, match="champion"):
        room.advance(home, room.Asked("tiny", 1), print)
    assert list(home.serving.glob("*")) == []
