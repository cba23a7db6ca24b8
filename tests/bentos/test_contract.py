"""Reading a request: everything that is not a question is refused by the field that is wrong."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.contract import (
    Instance,
    Question,
    Shape,
    ask,
    read_batch,
    read_instance,
    stamp_ms,
)
from bentos.features import FEATURES, features_last
from bentos.problems import Problem
from tests.bentos.bundles import request
from tests.bentos.candles import walk

SHAPE = Shape("day", 60, tuple(f.name for f in FEATURES))
DEEP = b'{"key": "NSE:INFY", "x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"


def asked(body: bytes | dict[str, Any], shape: Shape = SHAPE) -> Question:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(read_instance(text), shape, "generated")


def refusal(body: bytes | dict[str, Any], shape: Shape = SHAPE) -> Problem:
    with pytest.raises(Problem) as refused:
        asked(body, shape)
    return refused.value


def changed(path: str, value: object) -> dict[str, Any]:
    """A good request with one thing changed: `candles.open.3`, `request_id`."""
    body = request(walk(60, 5))
    *parents, last = path.split(".")
    place: Any = body
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    if isinstance(place, list):
        place[int(last)] = value
    elif value is ...:
        del place[last]
    else:
        place[last] = value
    return body


def test_a_good_request_becomes_arrays() -> None:
    candles = walk(60, 5)
    body = request(candles, request_id="r-1", as_of=candles.ts_ms.tolist()[-1], pin_version=3)
    question = asked(body)
    assert (question.key, question.request_id, question.pin_version) == ("NSE:INFY", "r-1", 3)
    assert question.candles is not None
    np.testing.assert_array_equal(features_last(question.candles), features_last(candles))
    assert asked(request(candles)).request_id == "generated"


MIDNIGHT = 1_767_551_400_000  # 2026-01-05 00:00 in India


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-01-05T00:00:00+05:30",
        "2026-01-05T00:00:00+0530",
        "2026-01-05 00:00:00+05:30",
        "2026-01-04T18:30:00Z",
        "2026-01-04T18:30:00z",
        "2026-01-04T18:30:00.000000+00:00",
        MIDNIGHT,
    ],
)
def test_times_in_all_their_forms(stamp: str | int) -> None:
    assert stamp_ms(stamp, "as_of") == MIDNIGHT


#  path, value, field named
BAD_FIELDS: list[tuple[str, object, str]] = [
    ("key", ..., "key"),
    ("key", 7, "key"),
    ("key", "", "key"),
    ("key", "INFY", "key"),
    ("key", "nse:infy", "key"),
    ("key", "NSE:" + "A" * 60, "key"),
    ("key", "NSE:A\n", "key"),
    ("typo", 1, "typo"),
    ("candles.typo", 1, "candles.typo"),
    ("candles.ts", ..., "candles.ts"),
    ("candles.volume", ..., "candles.volume"),
    ("candles", None, "candles"),
    ("candles", [], "candles"),
    ("candles", {}, "candles.ts"),
    ("candles.open", "text", "candles.open"),
    ("candles.open.3", True, "candles.open[3]"),
    ("candles.open.3", "1.5", "candles.open[3]"),
    ("candles.open.3", None, "candles.open[3]"),
    ("candles.open.3", [1.0], "candles.open[3]"),
    ("candles.open.3", 0, "candles.open[3]"),
    ("candles.open.3", -1.5, "candles.open[3]"),
    ("candles.open.3", 1e308, "candles.open[3]"),
    ("candles.close.59", 1e12, "candles.close[59]"),
    ("candles.high.7", 1.0, "candles.high[7]"),
    ("candles.low.7", 1e6, "candles.low[7]"),
    ("candles.volume.2", -1, "candles.volume[2]"),
    ("candles.volume.2", 1e300, "candles.volume[2]"),
    ("candles.open", [1.0] * 59, "candles.open"),
    ("candles.close", [], "candles.close"),
    ("candles.open", [1.0] * 2_001, "candles.open"),
    ("candles.ts.3", "2026-01-05", "candles.ts[3]"),
    ("candles.ts.3", "2026-01-05T09:15:00", "candles.ts[3]"),
    ("candles.ts.3", "yesterday", "candles.ts[3]"),
    ("candles.ts.3", "1950-01-01T00:00:00Z", "candles.ts[3]"),
    ("candles.ts.3", -1, "candles.ts[3]"),
    ("candles.ts.3", 10**18, "candles.ts[3]"),
    ("candles.ts.3", 1.6e12 + 0.5, "candles.ts[3]"),
    ("candles.ts.3", 1_600_000_000_000, "candles.ts[3]"),  # out of order
    ("features", {"move_1": 1.0}, "candles"),  # both forms
    ("request_id", "", "request_id"),
    ("request_id", "a b", "request_id"),
    ("request_id", "x" * 65, "request_id"),
    ("request_id", 7, "request_id"),
    ("as_of", "now", "as_of"),
    ("as_of", [], "as_of"),
    ("pin_version", 0, "pin_version"),
    ("pin_version", "1", "pin_version"),
    ("pin_version", 1.5, "pin_version"),
    ("pin_version", True, "pin_version"),
    ("source", ["kite"], "source"),
    ("source", ["kite"] * 59 + ["guess"], "source[59]"),
    ("source", "kite", "source"),
    ("context", {"NIFTY": {}}, "context"),
    ("context", {"NSE:NIFTY 50": {"ts": []}}, "context.NSE:NIFTY 50.open"),
    ("context", {"NSE:NIFTY 50": {"ts": [True]}}, "context.NSE:NIFTY 50.ts[0]"),
    ("context", {"NSE:A": None}, "context.NSE:A"),
    ("features", {"move_1": 1, "move_2": "1"}, "features.move_2"),
    ("features", {"move_1": None, "move_2": True}, "features.move_2"),
    ("context", [], "context"),
]


@pytest.mark.parametrize(("path", "value", "field"), BAD_FIELDS)
def test_a_bad_field_is_named(path: str, value: object, field: str) -> None:
    problem = refusal(changed(path, value))
    assert (problem.kind, problem.status) == ("field-invalid", 422)
    assert problem.field == field
    assert problem.expected


#  path, value, what the answer and the log tell of it
COPIES: list[tuple[str, object, str]] = [
    ("key", 7, "7"),
    ("key", "INFY", "INFY"),
    ("key", ..., "nothing"),
    ("typo", [1, 2], "[1,2]"),
    ("candles.open.3", "1.5", "1.5"),
    ("candles.open.3", None, "null"),
    ("candles.open.3", True, "true"),
    ("context", {"NIFTY": {}}, "NIFTY"),
    ("context", {"NSE:A": {"ts": [True]}}, "true"),
    ("features", {"move_1": "x"}, "x"),
]


@pytest.mark.parametrize(("path", "value", "found"), COPIES)
def test_what_was_sent_is_told(path: str, value: object, found: str) -> None:
    assert refusal(changed(path, value)).found == found


def test_a_number_too_large_is_found_under_its_key() -> None:
    problem = refusal(b'{"key": "NSE:INFY", "features": {"move_1": 1, "move_2": 1e999}}')
    assert problem.field == "features.move_2"


@pytest.mark.parametrize(
    ("path", "value", "request_id"),
    [
        ("key", 7, "mine"),
        ("typo", 1, "mine"),
        ("candles.open.3", "x", "mine"),
        ("request_id", "a b", ""),
        ("request_id", 7, ""),
        ("request_id", ["mine"], ""),
    ],
)
def test_a_refused_body_keeps_its_request_id(path: str, value: object, request_id: str) -> None:
    body = {"request_id": "mine"} | changed(path, value)
    assert refusal(body).request_id == request_id


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "body-malformed"),
        (b"   ", "body-malformed"),
        (b"\xff\xfe", "body-malformed"),
        (b'{"key": "NSE:INFY"', "body-malformed"),
        (b'{"key": "NSE:INFY"}}', "body-malformed"),
        (b'{"key": "\xff"}', "body-malformed"),
        (b'{"key": "NSE:INFY", "as_of": NaN}', "body-malformed"),
        (b'{"key": "NSE:INFY", "as_of": Infinity}', "body-malformed"),
        (b"null", "field-invalid"),
        (b"[]", "field-invalid"),
        (b'"text"', "field-invalid"),
        (b"{}", "field-invalid"),
        (b'{"key": "NSE:INFY", "key": "NSE:TCS"}', "field-invalid"),
        (b'{"key": "NSE:INFY", "as_of": 1, "\\u0061s_of": 2}', "field-invalid"),
        (b'{"key": "NSE:INFY", "features": {"move_1": 1, "move_1": 2}}', "field-invalid"),
        (b'{"key": "NSE:INFY", "features": {"move_1": 1e999}}', "field-invalid"),
        (DEEP, None),
    ],
)
def test_a_bad_body_is_told_apart_from_a_bad_field(body: bytes, kind: str | None) -> None:
    problem = refusal(body)
    assert problem.status in {400, 422}
    assert kind is None or problem.kind == kind


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
FIELDS = [*Instance.__struct_fields__]


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4))
def test_no_json_gets_past_as_anything_but_a_problem(body: dict[str, Any]) -> None:
    """Whatever is sent, the answer is a Problem: nothing else may escape to become a 500."""
    with contextlib.suppress(Problem):
        asked(json.dumps(body).encode())


@settings(max_examples=100)
@given(st.data())
def test_no_change_of_a_good_body_gets_past(data: st.DataObject) -> None:
    text = bytearray(json.dumps(request(walk(60, 5))).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        question = asked(bytes(text))
    except Problem as problem:
        json.loads(problem.body())
    else:
        assert question.candles is not None
        assert len(question.candles) == 60


def test_the_first_problem_of_a_window_is_its_length() -> None:
    problem = refusal(request(walk(59)))
    assert problem.field == "candles.ts"
    assert "60" in problem.expected


@pytest.mark.parametrize(
    ("interval", "step_ms", "a_day", "good"),
    [
        ("day", 86_400_000, 0, True),
        ("day", 3_600_000, 7, False),
        ("60minute", 3_600_000, 7, True),
        ("60minute", 300_000, 75, False),
        ("60minute", 86_400_000, 0, False),
        ("minute", 60_000, 375, True),
        ("5minute", 300_000, 75, True),
        ("5minute", 3_600_000, 7, False),
    ],
)
def test_candles_of_another_interval_are_refused(
    interval: str, step_ms: int, a_day: int, good: bool
) -> None:
    body = request(walk(100, 5, step_ms=step_ms, a_day=a_day))
    shape = Shape(interval, 60, ())
    if good:
        assert asked(body, shape).candles is not None
    else:
        assert refusal(body, shape).field.startswith("candles.ts")


def test_unknown_volume_is_null() -> None:
    body = request(walk(60, 5))
    body["candles"]["volume"] = [None] * 60
    question = asked(body)
    assert question.candles is not None
    assert np.isnan(question.candles.volume).all()


def test_candles_built_from_ticks_are_counted() -> None:
    assert asked(request(walk(60, 5), source=["kite"] * 58 + ["ticks"] * 2)).ticks == 2
    assert asked(request(walk(60, 5))).ticks is None


def test_features_may_be_sent_instead() -> None:
    row = features_last(walk(60, 5))
    sent = {
        f.name: None if math.isnan(x) else x for f, x in zip(FEATURES, row.tolist(), strict=True)
    }
    question = asked({"key": "NSE:INFY", "features": sent})
    assert question.features is not None
    np.testing.assert_array_equal(question.features, row)
    short = dict(list(sent.items())[1:])
    assert refusal({"key": "NSE:INFY", "features": short}).field == "features.move_1"
    problem = refusal({"key": "NSE:INFY", "features": {**sent, "typo": 1.0}})
    assert problem.field == "features.typo"
    partial = asked({"key": "NSE:INFY", "features": short}, Shape("day", 60, ("move_2",)))
    assert partial.features is not None
    assert math.isnan(partial.features[0])


def test_a_context_series_that_the_model_reads_must_be_there() -> None:
    shape = Shape("day", 60, (), context=("NSE:NIFTY 50",))
    assert refusal(request(walk(60)), shape).field == "context.NSE:NIFTY 50"
    series = request(walk(60, 8))["candles"]
    question = asked(request(walk(60), context={"NSE:NIFTY 50": series}), shape)
    assert len(question.context["NSE:NIFTY 50"]) == 60


def test_a_batch_is_bounded() -> None:
    assert len(read_batch(b'{"instances": [1, 2]}', 2)) == 2
    for body in (b'{"instances": [1, 2, 3]}', b'{"instances": []}', b"{}", b'{"instances": 1}'):
        with pytest.raises(Problem):
            read_batch(body, 2)


def test_a_batch_holds_its_rows_once() -> None:
    for body in (
        b'{"instances": [1], "instances": [2]}',
        b'{"instances": [1], "\\u0069nstances": []}',
    ):
        with pytest.raises(Problem) as refused:
            read_batch(body, 2)
        assert refused.value.field == "instances"
    twice_in_a_row = b'{"instances": [{"instances": 1, "\\u0061": {"b": 1, "b": 2}}, 2]}'
    assert len(read_batch(twice_in_a_row, 2)) == 2
