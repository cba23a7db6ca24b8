"""What callers get back, as types: the OpenAPI document shows them, tests hold answers to them.

Answers are built as dictionaries (half the cost of objects); nothing here runs on a request's
path. A field that is always there has no default; unknown fields are a test's failure.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """What a version predicts; figures are null only where it answered no probabilities."""

    side: Literal["BUY", "SELL", "HOLD"]
    p_long: float | None
    p_short: float | None
    p_flat: float | None
    er_long: float | None
    er_short: float | None
    valid_until: str


class Answer(msgspec.Struct, forbid_unknown_fields=True):
    """The answer to one question."""

    request_id: str
    model: str
    version: int
    variant: Literal["champion", "challenger", "pinned"]
    plan_revision: int
    unit: str
    prediction: Said
    warnings: list[str]
    latency_ms: float
    cached: bool = False


class RowRefused(msgspec.Struct, forbid_unknown_fields=True):
    """A bad row of a batch; `error` is its problem."""

    request_id: str
    error: dict[str, Any]


class BatchAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """The answers to a batch, in the order of its rows."""

    model: str
    answers: list[dict[str, Any]]


class PlanDocument(msgspec.Struct, forbid_unknown_fields=True):
    """A traffic plan; its ETag is the revision."""

    model: str
    revision: int
    champion: int
    challengers: dict[str, float]
    shadows: list[int]
    salt: str
    slots: dict[str, list[list[int]]]
    history: list[dict[str, Any]]


class VersionState(msgspec.Struct, forbid_unknown_fields=True):
    """How far a version has come: `loading`, `ready`, `failed: why`."""

    version: int
    alias: Literal["champion", "challenger", "shadow"] | None
    state: str


class ModelSummary(msgspec.Struct, forbid_unknown_fields=True):
    """One served model, in short."""

    name: str
    state: Literal["ready", "degraded", "not ready"]
    champion: int | None
    plan_revision: int | None
    last_error: str | None
    requests: int
    refusals: dict[str, int]
    latency_ms: dict[str, float | None]
    model_bytes: int
    versions: list[VersionState]


class Models(msgspec.Struct, forbid_unknown_fields=True):
    """Every served model; figures are those of the worker that answers."""

    models: list[ModelSummary]
    worker: int
    memory_bytes: int


class FeatureTold(msgspec.Struct, forbid_unknown_fields=True):
    """One feature of a model."""

    name: str
    unit: str
    look_back: int
    why: str


class VersionTold(msgspec.Struct):
    """One version, with what a caller and an operator need; more fields may follow."""

    version: int
    alias: Literal["champion", "challenger", "shadow"] | None
    state: str
    policy: dict[str, Any] | None
    policy_toml: str | None
    policy_hash: str | None
    gates: dict[str, Any] | None
    allowed: str | None = None


class ModelTold(msgspec.Struct):
    """One served model: what to send, who answers. The first six are there once it is ready."""

    name: str
    state: Literal["ready", "degraded", "not ready"]
    window: int
    interval: str
    features: list[FeatureTold]
    context: list[str]
    universe: list[str]
    traffic: PlanDocument
    champion: int | None
    plan_revision: int | None
    last_error: str | None
    requests: int
    refusals: dict[str, int]
    latency_ms: dict[str, float | None]
    model_bytes: int
    versions: list[VersionTold]
    worker: int
    memory_bytes: int


TYPES = (Answer, RowRefused, BatchAnswer, PlanDocument, Models, ModelTold)
