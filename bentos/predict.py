"""The two prediction routes: one question, or a batch whose bad rows spoil no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response

from bentos import contract
from bentos.bodies import read_body, too_large
from bentos.contract import Instance
from bentos.models import Active, Loaded, Model
from bentos.problems import Problem, invalid
from bentos.worker import Asked, Worker

INSTANCES_A_TURN = 8  # of a batch, before other requests get theirs
JSON = "application/json"


async def predict(worker: Worker, request: Request) -> Response:
    """Answer `POST /v1/models/{name}/predict`.

    Raises
    ------
    bentos.problems.Problem
        Whatever the request did wrong, or an overload.
    """
    started = time.perf_counter()
    model, _ = worker.served(request.path_params["name"])
    settings = worker.settings
    with worker.lanes.reading(model.name):
        body = await read_body(request, settings.body_bytes_max, settings.body_s_max)
    await worker.lanes.turn(model.name)
    instance = contract.read_instance(body)
    request_id = request.state.request_id = instance.request_id or request.state.request_id
    pinned = await _pinned(worker, model, instance)
    said = answered_together(worker, model.name, [Put(instance, pinned, request_id, started)])[0]
    if isinstance(said, Problem):
        raise said
    return Response(said, media_type=JSON)


@dataclass(frozen=True, slots=True)
class Put:
    """An instance as it is put to a model.

    Parameters
    ----------
    pinned : the version that must answer; None: the plan's choice
    started : `time.perf_counter()` seconds at which the request came
    """

    instance: Instance
    pinned: Loaded | None
    request_id: str
    started: float


def answered_together(worker: Worker, model: str, puts: Sequence[Put]) -> list[bytes | Problem]:
    """Return the answers' bodies to questions whose turn it is, by the plan of this instant.

    Returns
    -------
    list in the order of `puts`; a question that cannot be answered has its problem in its place
    """
    try:
        _, active = worker.served(model)
    except Problem as problem:
        return [problem] * len(puts)
    said: list[bytes | Problem] = []
    asked: list[Asked] = []
    places: list[int] = []
    for place, put in enumerate(puts):
        try:
            asked.append(_asked(worker, active, put))
            places.append(place)
            said.append(b"")
        except Problem as problem:
            said.append(problem)
    for place, answer in zip(places, worker.answers(active, asked), strict=True):
        said[place] = answer if isinstance(answer, Problem) else orjson.dumps(answer)
    return said


def _asked(worker: Worker, active: Active, put: Put, *, row: int | None = None) -> Asked:
    """Return the checked question with the version that answers it.

    Raises
    ------
    bentos.problems.Problem
        `field-invalid`, also where features leave out one that a pinned version reads.
    """
    sent = put.instance.features
    if put.pinned is not None and sent is not None:
        missing = next((name for name in put.pinned.manifest.features if name not in sent), None)
        if missing is not None:
            expected = "a number, or null where it is not known: the pinned version reads it"
            raise invalid(f"features.{missing}", expected, "nothing")
    question = contract.ask(put.instance, active.shape, put.request_id)
    return worker.ask(active, question, put.pinned, put.started, row=row)


async def predict_batch(worker: Worker, request: Request) -> Response:
    """Answer `POST /v1/models/{name}/predict_batch`: one library call a version.

    Raises
    ------
    bentos.problems.Problem
        Whatever the batch as a whole did wrong, or an overload.
    """
    started = time.perf_counter()
    model, _ = worker.served(request.path_params["name"])
    settings = worker.settings
    with worker.lanes.reading(model.name):
        body = await read_body(request, settings.batch_bytes_max, settings.body_s_max)
    await worker.lanes.turn(model.name)
    raws = contract.read_batch(body, settings.batch_instances_max)
    _, active = worker.served(model.name)
    batch = _Batch(worker, model, active, started)
    for place, raw in enumerate(raws):
        if place % INSTANCES_A_TURN == INSTANCES_A_TURN - 1:
            await worker.lanes.turn(model.name)
        await batch.take(place, raw, f"{request.state.request_id}.{place}")
    answers = await batch.answers(request.url.path)
    return Response(orjson.dumps({"model": model.name, "answers": answers}), media_type=JSON)


class _Batch:
    """The rows of one batch: good ones wait for the library call, bad ones keep their error."""

    def __init__(self, worker: Worker, model: Model, active: Active, started: float) -> None:
        self._worker, self._model, self._active = worker, model, active
        self._started = started
        self._asked: list[Asked] = []
        self._order: list[tuple[str, Problem | None]] = []

    async def take(self, place: int, raw: msgspec.Raw, request_id: str) -> None:
        """Read one row."""
        body_bytes_max = self._worker.settings.body_bytes_max
        text = memoryview(raw)
        try:
            if len(text) > body_bytes_max:
                raise too_large(body_bytes_max)
            instance = contract.read_instance(text)
            request_id = instance.request_id or request_id
            pinned = await _pinned(self._worker, self._model, instance)
            put = Put(instance, pinned, request_id, self._started)
            self._asked.append(_asked(self._worker, self._active, put, row=place))
            self._order.append((request_id, None))
        except Problem as problem:
            self._order.append((problem.request_id or request_id, problem))

    async def answers(self, route: str) -> list[dict[str, Any]]:
        """Return answers and errors in the order of the rows."""
        worker = self._worker
        answered = worker.answers_in_turn(self._active, self._asked)
        told: list[dict[str, Any]] = []
        for request_id, problem in self._order:
            if problem is None and (done := len(told)) and done % INSTANCES_A_TURN == 0:
                await worker.lanes.turn(self._model.name)
            said = next(answered) if problem is None else problem
            if isinstance(said, Problem):
                worker.refused(route, self._model.name, said, request_id)
                told.append({"request_id": request_id, "error": said.document()})
            else:
                told.append(said)
        return told


async def _pinned(worker: Worker, model: Model, instance: Instance) -> Loaded | None:
    if instance.pin_version is None:
        return None
    loaded = model.loaded.get(instance.pin_version)
    if loaded is not None:
        return loaded
    return await asyncio.to_thread(worker.pool.pinned, model, instance.pin_version)
