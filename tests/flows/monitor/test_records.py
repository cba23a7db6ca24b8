"""The log is read while it grows: torn lines, repeats, other kinds of record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bentos.log import LogLimits, PredictionLog
from flows.home import Home
from flows.monitor import records


@pytest.fixture
def log_home(home: Path) -> Home:
    home.mkdir()
    made = Home(home)
    made.predictions.mkdir()
    return made


def record(**changed: object) -> dict[str, object]:
    told: dict[str, object] = {
        "kind": "prediction", "at_ms": 1, "request_id": "r", "row": None, "model": "m",
        "version": 1, "variant": "champion", "key": "NSE:A", "day": "2025-01-02",
        "candle_ms": 1_735_756_200_000, "features": {"f": 1.5, "g": None}, "unit": "x",
        "prediction": {"side": "BUY", "p_flat": 0.2, "p_long": 0.5, "p_short": 0.3,
                       "er_long": 0.1, "er_short": -0.1, "valid_until": "-"},
    }  # fmt: skip
    return told | changed


def write(home: Home, *rows: dict[str, object], torn: str = "", name: str = "a") -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows) + torn
    (home.predictions / f"{name}.jsonl").write_text(text)


COUNTED = [
    ("nothing", [], "", 0),
    ("one", [record()], "", 1),
    ("written twice", [record(), record(at_ms=2)], "", 1),
    ("a batch's rows", [record(row=0), record(row=1)], "", 2),
    ("two versions", [record(), record(version=2, variant="shadow")], "", 2),
    ("same id, another candle", [record(), record(candle_ms=2)], "", 2),
    ("another model", [record(model="other")], "", 0),
    ("a refusal", [{"kind": "refusal", "model": "m", "request_id": "r"}, record()], "", 1),
    ("a torn last line", [record()], '{"kind": "prediction", "model": "m", "requ', 1),
    ("a bad output", [record(prediction={"side": "HOLD", "p_flat": None})], "", 1),
]


@pytest.mark.parametrize(
    ("case", "rows", "torn", "count"), COUNTED, ids=[row[0] for row in COUNTED]
)
def test_each_prediction_counts_once(
    log_home: Home, case: str, rows: list[dict[str, object]], torn: str, count: int
) -> None:
    if rows or torn:
        write(log_home, *rows, torn=torn)
    with records.connected(log_home) as connection:
        assert records.take(connection, log_home, "m") == count
        assert records.models(connection, log_home) == sorted({str(r["model"]) for r in rows})


def test_features_come_once_for_a_question_that_several_versions_scored(log_home: Home) -> None:
    write(log_home, record(), record(version=2, variant="shadow"))
    write(log_home, record(key="NSE:B", day="2025-01-03", features={"f": 2.0, "g": 4.0}), name="b")
    with records.connected(log_home) as connection:
        rows = records.rows(connection, log_home, "m", ["g", "f"], "2025-01-01")
        late = records.rows(connection, log_home, "m", ["g", "f"], "2025-01-03")
    assert rows.keys == ["NSE:A", "NSE:B"]
    assert np.array_equal(rows.x, [[np.nan, 1.5], [4.0, 2.0]], equal_nan=True)
    assert list(rows.day) == [20090, 20091]
    assert late.keys == ["NSE:B"]


def test_what_the_service_writes_is_what_is_read(log_home: Home) -> None:
    writer = PredictionLog(log_home.predictions, 1, LogLimits())
    writer.start()
    row = np.array([1.25, np.nan])
    for place in range(40):
        writer.put(record(row=place, features=(("f", "g"), row + place)))
    writer.stop()
    with records.connected(log_home) as connection:
        assert records.take(connection, log_home, "m") == 40
        rows = records.rows(connection, log_home, "m", ["f", "g"], "2025-01-01")
    assert sorted(rows.x[:, 0]) == [1.25 + place for place in range(40)]
    assert np.isnan(rows.x[:, 1]).all()


def test_nothing_is_written_outside_the_home(log_home: Home) -> None:
    with records.connected(log_home) as connection:
        where = connection.execute("SELECT current_setting('temp_directory')").fetchall()[0][0]
    assert str(where).startswith(str(log_home.root))
