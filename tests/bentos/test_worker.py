"""One worker without sockets: warnings, refusals by setting, the cache, answers that are none."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from bentos.checks import STUCK_ANSWERS
from bentos.contract import ask, read_instance
from bentos.features import FEATURES, features_last
from bentos.problems import Problem
from bentos.settings import ServingSettings, load_settings
from bentos.windows import Floats
from bentos.worker import Asked, Worker
from tests.bentos.bundles import (
    booster_text,
    predicted,
    request,
    write_intraday,
    write_model,
    write_plan,
    write_version,
)
from tests.bentos.candles import walk

CANDLES = walk(60, 5)
LAST_OPEN_MS = int(CANDLES.ts_ms[-1])
MIDNIGHT_MS = (LAST_OPEN_MS + 19_800_000) // 86_400_000 * 86_400_000 - 19_800_000
CLOSED_MS = MIDNIGHT_MS + 15 * 3_600_000 + 30 * 60_000


class Desk:
    """A worker that nobody started: no threads, its records in a list."""

    def __init__(self, home: Path, **options: Any) -> None:
        self.worker = Worker(ServingSettings(home=home, serving_dir=home / "serving", **options), 1)
        self.records: list[dict[str, Any]] = []
        self.worker.log.put = self.records.append  # type: ignore[method-assign, assignment]
        self.worker.pool.refresh()

    def asked(self, body: dict[str, Any], name: str = "tiny") -> Asked:
        model, active = self.worker.served(name)
        question = ask(read_instance(json.dumps(body).encode()), active.shape, "id")
        pin = question.pin_version
        pinned = self.worker.pool.pinned(model, pin) if pin else None
        return self.worker.ask(active, question, pinned, time.perf_counter())

    def row(self) -> Floats:
        return features_last(CANDLES)

    def answer(self, body: dict[str, Any], name: str = "tiny") -> dict[str, Any]:
        _, active = self.worker.served(name)
        return self.worker.answer(active, self.asked(body, name))

    def warnings(self, body: dict[str, Any]) -> list[str]:
        return [warning.partition(":")[0] for warning in self.answer(body)["warnings"]]


@pytest.fixture
def serving(home: Path) -> Path:
    return write_model(home / "serving", versions=1)


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [
        (None, []),
        (CLOSED_MS, []),
        (CLOSED_MS + 86_400_000, []),
        (CLOSED_MS + 86_400_001, ["stale"]),
        (CLOSED_MS - 1, ["unfinished-candle"]),
    ],
)
def test_the_time_of_asking_is_weighed(
    home: Path, serving: Path, as_of: int | None, expected: list[str]
) -> None:
    more = {} if as_of is None else {"as_of": as_of}
    assert Desk(home).warnings(request(CANDLES, **more)) == expected


def test_stale_and_outside_are_refused_where_the_settings_say_so(home: Path) -> None:
    folder = home / "serving" / "tiny"
    write_version(folder / "versions" / "1", training_range={"move_1": [5.0, 6.0]})
    write_plan(folder)
    assert Desk(home).warnings(request(CANDLES)) == ["outside-training-range"]
    with pytest.raises(Problem, match=r"features\.move_1"):
        Desk(home, outside_range="refuse").answer(request(CANDLES))
    late = request(CANDLES, as_of=CLOSED_MS + 86_400_001)
    with pytest.raises(Problem, match="as_of"):
        Desk(home, stale="refuse").answer(late)


def test_an_instrument_that_was_not_trained_on_is_told(home: Path) -> None:
    folder = home / "serving" / "tiny"
    write_version(folder / "versions" / "1", universe=["NSE:TCS"])
    write_plan(folder)
    desk = Desk(home)
    assert desk.warnings(request(CANDLES, "NSE:TCS")) == []
    assert desk.warnings(request(CANDLES, "NSE:INFY")) == ["unknown-key"]


def test_a_missing_challengers_units_are_answered_by_the_champion(home: Path) -> None:
    write_model(home / "serving", versions=2, challengers={"2": 1.0})
    (home / "serving" / "tiny" / "versions" / "2" / "model.txt").write_text("damaged")
    desk = Desk(home)
    answer = desk.answer(request(CANDLES))
    assert (answer["version"], answer["variant"]) == (1, "champion")
    assert answer["warnings"][0].startswith("challenger-missing: version 2")
    assert "versions [2]" in desk.worker.unready()[0]


def test_a_repeated_question_is_answered_from_the_cache_a_corrected_one_is_not(
    home: Path, serving: Path
) -> None:
    desk = Desk(home, cache_answers=2)
    body = request(CANDLES)
    first = desk.answer(body)
    again = desk.answer({**body, "request_id": "again"})
    assert "cached" not in first
    assert again["cached"] is True
    assert again["prediction"] == first["prediction"]
    assert again["request_id"] == "again"
    corrected = json.loads(json.dumps(body))
    corrected["candles"]["volume"][7] += 1  # the same times, another candle
    assert "cached" not in desk.answer(corrected)
    for seed in (1, 2):  # two more: the first has left
        desk.answer(request(walk(60, seed)))
    assert "cached" not in desk.answer(body)
    assert desk.worker.figures.of("tiny").cached == 1
    assert [r.get("cached", False) for r in desk.records[:3]] == [False, True, False]


def test_the_cache_is_off_by_default(home: Path, serving: Path) -> None:
    desk = Desk(home)
    desk.answer(request(CANDLES))
    assert "cached" not in desk.answer(request(CANDLES))


def test_a_version_that_always_says_the_same_raises_one_alert(home: Path) -> None:
    """A booster without a split: a legal model that knows nothing."""
    import lightgbm as lgb
    import numpy as np

    from tests.bentos import bundles

    rows = np.zeros((60, len(FEATURES)))
    params = {"objective": "multiclass", "num_class": 3, "num_threads": 1, "verbose": -1}
    names = [f.name for f in FEATURES]
    data = lgb.Dataset(rows, np.arange(60) % 3, feature_name=names)
    text = lgb.train(params, data, num_boost_round=1).model_to_string()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles, "booster_text", lambda *_: text)
        write_model(home / "serving", versions=1)
    desk = Desk(home)
    for seed in range(STUCK_ANSWERS + 20):
        desk.answer(request(walk(60, seed)))
    alerts = [r for r in desk.records if r["kind"] == "alert"]
    assert [a["alert"] for a in alerts] == ["stuck-output"]


def test_a_bad_output_is_a_hold_with_a_warning_and_an_alert(home: Path, serving: Path) -> None:
    desk = Desk(home)
    _, active = desk.worker.served("tiny")
    question = ask(read_instance(json.dumps(request(CANDLES)).encode()), active.shape, "id")
    asked = desk.worker.ask(active, question, None, 0.0)
    row = features_last(CANDLES)
    answer = desk.worker._answered(active, asked, row, (float("nan"), 0.5, 0.5), cached=False)
    assert answer["prediction"]["side"] == "HOLD"
    assert answer["prediction"]["p_long"] is None
    assert answer["warnings"][0].startswith("bad-output")
    assert [r["alert"] for r in desk.records if r["kind"] == "alert"] == ["bad-output"]


def test_a_pinned_version_may_need_more_candles(home: Path, serving: Path) -> None:
    write_version(serving / "versions" / "2", seed=2, window=60)
    document = json.loads((serving / "versions" / "2" / "version.json").read_text())
    document["window"] = 61
    golden = json.loads((serving / "versions" / "2" / "golden.json").read_text())
    golden["request"] = request(walk(61, 99))
    golden["expected"] = predicted(booster_text(2), walk(61, 99))
    (serving / "versions" / "2" / "version.json").write_text(json.dumps(document))
    (serving / "versions" / "2" / "golden.json").write_text(json.dumps(golden))
    desk = Desk(home)
    with pytest.raises(Problem, match="at least 61 candles"):
        desk.answer(request(CANDLES, pin_version=2))
    assert desk.answer(request(walk(61, 5), pin_version=2))["variant"] == "pinned"


def test_features_may_come_without_candles(home: Path, serving: Path) -> None:
    desk = Desk(home)
    sent = dict(zip([f.name for f in FEATURES], features_last(CANDLES).tolist(), strict=True))
    told = desk.answer({"key": "NSE:INFY", "features": sent, "as_of": CLOSED_MS})
    by_candles = desk.answer(request(CANDLES))
    assert told["prediction"] == by_candles["prediction"]
    assert told["unit"] == by_candles["unit"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RATCHET_SERVING__WAITING_MAX", "0"),
        ("RATCHET_SERVING__WAITING_MAX", "many"),
        ("RATCHET_SERVING__BODY_S_MAX", "60"),
        ("RATCHET_SERVING__STALE", "ignore"),
        ("RATCHET_SERVING__MODELS", "tiny"),
        ("RATCHET_SERVING__WAITNG_MAX", "7"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"^{name}: "):
        load_settings()


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATCHET_PREDICT_TOKEN", "")
    monkeypatch.setenv("RATCHET_SERVING_DIR", "")
    settings = load_settings()
    assert settings.predict_token is None
    assert settings.serving_dir is None
    monkeypatch.setenv("RATCHET_SERVING__WAITING_MAX", "7")
    assert load_settings().waiting_max == 7


def test_a_model_that_cannot_load_leaves_the_other_as_it_was(home: Path, serving: Path) -> None:
    """A daily and an intraday model, with windows and plans of their own."""
    write_intraday(home / "serving", challengers={"2": 0.5})
    desk = Desk(home)
    minutes = desk.worker.served("minutes")[1]
    assert (minutes.shape.interval, minutes.shape.window) == ("5minute", 75)
    assert desk.worker.served("tiny")[1].shape.window == 60
    asked = request(walk(75, 3, step_ms=300_000, a_day=75))
    told = desk.answer(asked, "minutes")
    with pytest.raises(Problem, match="at least 75 candles"):
        desk.answer(request(walk(60, 3, step_ms=300_000, a_day=75)), "minutes")
    with pytest.raises(Problem, match="day candles"):
        desk.answer(asked)
    write_version(serving / "versions" / "9", seed=2, broken=True)
    write_plan(serving, revision=2, champion=9)
    desk.worker.look()
    assert desk.worker.pool.models["tiny"].last_error
    again = desk.answer(asked, "minutes")
    assert again["prediction"] == told["prediction"]
    assert again["plan_revision"] == told["plan_revision"] == 1
    assert desk.worker.served("minutes")[1] is minutes, "its plan was not touched"
    assert desk.worker.model_gauges()["minutes"]["model_ready"] == 1
