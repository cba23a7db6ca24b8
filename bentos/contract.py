"""From the bytes of a request to a checked question: typed bodies, one strict reading.

msgspec refuses what pydantic lets through (NaN, Infinity, true, "1.5" as numbers) and unknown
fields. What it lets through, this file refuses: a key twice in one object, times without an
offset. Every refusal is a `Problem` that names the field.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np

from bentos.checks import check_candles
from bentos.faults import UNREADABLE, Terms, named
from bentos.features import FEATURES
from bentos.problems import Problem, invalid
from bentos.windows import CandleArrays, Floats

TS_MS_MAX = 4_102_444_800_000  # 2100-01-01
CANDLES_MAX = 2_000
FEATURES_MAX = 500
CONTEXT_MAX = 16
INSTANCES_HARD_MAX = 1_000

Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=TS_MS_MAX)]
Stamp = Milliseconds | Annotated[str, msgspec.Meta(max_length=40)]
KEY_PATTERN = r"^[A-Z]{2,5}:[A-Z0-9&_. -]{1,48}\Z"
REQUEST_ID_PATTERN = r"^[A-Za-z0-9._:-]{1,64}\Z"
Key = Annotated[str, msgspec.Meta(pattern=KEY_PATTERN)]
RequestId = Annotated[str, msgspec.Meta(pattern=REQUEST_ID_PATTERN)]
VersionNumber = Annotated[int, msgspec.Meta(ge=1, le=999_999_999)]
Listed = msgspec.Meta(max_length=CANDLES_MAX)


class Candles(msgspec.Struct, forbid_unknown_fields=True):
    """Candles as a caller sends them, oldest first; `ts` is ISO 8601 with offset or epoch ms."""

    ts: Annotated[list[Stamp], Listed]
    open: Annotated[list[float], Listed]
    high: Annotated[list[float], Listed]
    low: Annotated[list[float], Listed]
    close: Annotated[list[float], Listed]
    volume: Annotated[list[float | None], Listed]


class Instance(msgspec.Struct, forbid_unknown_fields=True):
    """One question: exactly one of `candles` and `features`."""

    key: Key
    candles: Candles | None = None
    features: Annotated[dict[str, float | None], msgspec.Meta(max_length=FEATURES_MAX)] | None = (
        None
    )
    request_id: RequestId | None = None
    as_of: Stamp | None = None
    pin_version: VersionNumber | None = None
    source: Annotated[list[Literal["kite", "ticks"]], Listed] | None = None
    context: Annotated[dict[Key, Candles], msgspec.Meta(max_length=CONTEXT_MAX)] | None = None


class Batch(msgspec.Struct, forbid_unknown_fields=True):
    """Many questions; each is read by itself, so that a bad one spoils no other."""

    instances: Annotated[
        list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=INSTANCES_HARD_MAX)
    ]


class TrafficChange(msgspec.Struct, forbid_unknown_fields=True):
    """A new plan; the keys that a reader got and may send back are compared or not read."""

    champion: VersionNumber
    challengers: dict[str, float] = msgspec.field(default_factory=dict)
    shadows: list[VersionNumber] = msgspec.field(default_factory=list)
    salt: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    who: Annotated[str, msgspec.Meta(max_length=64)] = ""
    why: Annotated[str, msgspec.Meta(max_length=300)] = ""
    model: str | None = None
    revision: int | None = None
    slots: Any = None
    history: Any = None


class Promotion(msgspec.Struct, forbid_unknown_fields=True):
    """The version that becomes champion."""

    version: VersionNumber
    who: Annotated[str, msgspec.Meta(max_length=64)] = ""
    why: Annotated[str, msgspec.Meta(max_length=300)] = ""


class RollBack(msgspec.Struct, forbid_unknown_fields=True):
    """A roll-back needs no body; it may say why."""

    who: Annotated[str, msgspec.Meta(max_length=64)] = ""
    why: Annotated[str, msgspec.Meta(max_length=300)] = ""


@dataclass(frozen=True, slots=True)
class Question:
    """One checked question.

    Parameters
    ----------
    candles : CandleArrays, or None where the caller sent features
    features : float64 array in the order of `FEATURES`, or None where the caller sent candles
    as_of_ms : epoch milliseconds, None where the caller did not say
    ticks : how many candles were built from ticks; None where the caller did not say
    """

    key: str
    candles: CandleArrays | None
    features: Floats | None
    request_id: str
    as_of_ms: int | None
    pin_version: int | None
    ticks: int | None
    context: Mapping[str, CandleArrays]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model's questions must look like; `features` are those that must be sent."""

    interval: str
    window: int
    features: tuple[str, ...]
    context: tuple[str, ...] = ()


T = TypeVar("T")
_TERMS = Terms(
    values={"features": float | None, "context": Candles, "challengers": float},
    keys=KEY_PATTERN,
    words={
        KEY_PATTERN: "an instrument as EXCHANGE:SYMBOL, like NSE:INFY",
        REQUEST_ID_PATTERN: "1 to 64 of A-Za-z0-9._:-",
    },
    enum="kite or ticks",
)
_INSTANCE = msgspec.json.Decoder(Instance)
_BATCH = msgspec.json.Decoder(Batch)


def read_instance(body: bytes | bytearray | memoryview) -> Instance:
    """Return the instance in a body.

    Raises
    ------
    bentos.problems.Problem
        `body-malformed` or `field-invalid`.
    """
    text = bytes(body)
    try:
        instance = decoded(_INSTANCE.decode, text)
        if b"\\" in text or text.count(b'"') != 2 * _texts(instance):
            refuse_twice(text)
    except Problem as problem:
        problem.request_id = _asked_by(text)
        raise
    return instance


def _asked_by(text: bytes) -> str:
    """Return the request id in a body that is refused; empty where it has none that can be told."""
    try:
        sent = json.loads(text)["request_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    told = isinstance(sent, str) and re.search(REQUEST_ID_PATTERN, sent)
    return sent if told else ""


def _texts(instance: Instance) -> int:
    """Return how many texts, keys among them, a body holds in which no key stands twice.

    More are there where one does, or where a field is null or a series of context is sent: then
    the body is read again, slowly. A text has two quotation marks, and no escapes (asked before).
    """
    count = 2  # "key" and its value
    if instance.candles is not None:
        count += 7 + sum(type(stamp) is str for stamp in instance.candles.ts)
    if instance.features is not None:
        count += 1 + len(instance.features)
    if instance.request_id is not None:
        count += 2
    if instance.as_of is not None:
        count += 2 if type(instance.as_of) is str else 1
    if instance.pin_version is not None:
        count += 1
    if instance.source is not None:
        count += 1 + len(instance.source)
    return count


def read_batch(body: bytes, instances_max: int) -> list[msgspec.Raw]:
    """Return the instances of a batch, unread.

    Raises
    ------
    bentos.problems.Problem
        `body-malformed` or `field-invalid`.
    """
    instances = decoded(_BATCH.decode, body).instances
    if body.count(b'"instances"') > 1 or b"\\" in body:
        _refuse_outer_twice(body)
    if len(instances) > instances_max:
        raise invalid("instances", f"at most {instances_max}", f"{len(instances)} instances")
    return instances


def decoded(decode: Callable[[bytes], T], body: bytes) -> T:
    """Return what a decoder makes of a body; msgspec's errors renamed.

    Raises
    ------
    bentos.problems.Problem
        `body-malformed` or `field-invalid`.
    """
    try:
        return decode(body)
    except msgspec.ValidationError as fault:
        raise named(str(fault), body, _TERMS) from None
    except UNREADABLE as fault:
        raise Problem("body-malformed", f"not JSON: {fault}"[:300]) from None


def refuse_twice(text: bytes) -> None:
    """Refuse a key that stands twice in one object: readers differ on which one counts.

    Raises
    ------
    bentos.problems.Problem
        `field-invalid`, naming the key.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise invalid(twice[:60], "each key once in an object", "it stands there twice")
        return found

    try:
        json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as fault:
        raise Problem("body-malformed", f"not JSON: {fault}"[:300]) from None


def _refuse_outer_twice(body: bytes) -> None:
    """Refuse a batch whose own object holds `instances` twice; its rows are looked at one by one.

    Raises
    ------
    bentos.problems.Problem
        `field-invalid`, or `body-malformed`.
    """
    try:
        pairs = json.loads(body, object_pairs_hook=tuple)
    except (ValueError, RecursionError) as fault:
        raise Problem("body-malformed", f"not JSON: {fault}"[:300]) from None
    if len(pairs) > 1:
        raise invalid("instances", "each key once in an object", "it stands there twice")


def ask(instance: Instance, shape: Shape, request_id: str) -> Question:
    """Return the checked question of an instance.

    Parameters
    ----------
    request_id : used where the caller gave none

    Raises
    ------
    bentos.problems.Problem
        `field-invalid`.
    """
    if (instance.candles is None) == (instance.features is None):
        raise invalid("candles", "exactly one of candles and features", None)
    candles, features, ticks = None, None, None
    if instance.candles is not None:
        candles = arrays(instance.candles, "candles")
        check_candles(candles, shape.interval, shape.window, "candles")
        ticks = _ticks(instance, len(candles))
    else:
        features = _features(instance.features or {}, shape.features)
    context = {}
    for key in shape.context:
        if key not in (instance.context or {}):
            raise invalid(f"context.{key}", "its candles: the model reads them", None)
    for key, series in (instance.context or {}).items():
        context[key] = arrays(series, f"context.{key}")
        if key in shape.context:
            check_candles(context[key], shape.interval, shape.window, f"context.{key}")
    return Question(
        key=instance.key,
        candles=candles,
        features=features,
        request_id=instance.request_id or request_id,
        as_of_ms=None if instance.as_of is None else stamp_ms(instance.as_of, "as_of"),
        pin_version=instance.pin_version,
        ticks=ticks,
        context=context,
    )


def arrays(sent: Candles, field: str) -> CandleArrays:
    """Return sent candles as arrays.

    Raises
    ------
    bentos.problems.Problem
        If a list has another length than `ts`, or a time has no offset.
    """
    n = len(sent.ts)
    for name in ("open", "high", "low", "close", "volume"):
        if len(getattr(sent, name)) != n:
            found = f"{len(getattr(sent, name))} values"
            raise invalid(f"{field}.{name}", f"{n} values, as many as ts", found)
    ts = [t if type(t) is int else stamp_ms(t, f"{field}.ts[{i}]") for i, t in enumerate(sent.ts)]
    prices = (*sent.open, *sent.high, *sent.low, *sent.close)
    try:
        packed = _doubles(5 * n).pack(*prices, *sent.volume)
    except struct.error:  # a volume that is not known
        volume = (math.nan if v is None else v for v in sent.volume)
        packed = _doubles(5 * n).pack(*prices, *volume)
    # one packing of all: five arrays of five lists would take three times as long
    return CandleArrays(np.array(ts, dtype=np.int64), *np.ndarray((5, n), np.float64, packed))


@lru_cache(maxsize=64)
def _doubles(count: int) -> struct.Struct:
    return struct.Struct(f"{count}d")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def stamp_ms(stamp: int | str, field: str) -> int:
    """Return a time as epoch milliseconds.

    Raises
    ------
    bentos.problems.Problem
        If it is no ISO 8601 time with an offset, or lies outside 1970 to 2100.
    """
    if isinstance(stamp, int):
        return stamp
    expected = "ISO 8601 with offset (2026-01-05T09:15:00+05:30) or epoch milliseconds"
    try:
        # RFC 3339 takes a small z, too; Python does not
        at = datetime.fromisoformat(stamp[:-1] + "Z" if stamp.endswith("z") else stamp)
        if at.tzinfo is None:
            raise invalid(field, expected, stamp)
        ms = round((at - _EPOCH).total_seconds() * 1000)
    except (ValueError, OverflowError):
        raise invalid(field, expected, stamp) from None
    if not 0 <= ms <= TS_MS_MAX:
        raise invalid(field, "a time from 1970 to 2100", stamp)
    return ms


def _ticks(instance: Instance, n: int) -> int | None:
    if instance.source is None:
        return None
    if len(instance.source) != n:
        found = f"{len(instance.source)} words"
        raise invalid("source", f"{n} words, one a candle", found)
    return instance.source.count("ticks")


_PLACES = {feature.name: place for place, feature in enumerate(FEATURES)}


def _features(sent: Mapping[str, float | None], needed: tuple[str, ...]) -> Floats:
    row = np.full(len(FEATURES), math.nan)
    for name, value in sent.items():
        if name not in _PLACES:
            raise invalid(f"features.{name[:60]}", "a feature of the model", "an unknown name")
        row[_PLACES[name]] = math.nan if value is None else value
    for name in needed:
        if name not in sent:
            raise invalid(f"features.{name}", "a number, or null where it is not known", "nothing")
    return row
