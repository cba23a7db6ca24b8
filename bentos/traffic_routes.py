"""Reading and changing a model's traffic over HTTP: token, revision, body; store.py does it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response

from bentos import contract
from bentos.bodies import read_body
from bentos.contract import Promotion, RollBack, TrafficChange
from bentos.problems import Problem, invalid
from bentos.store import PlanStore
from bentos.traffic import Note, Plan, PlanRefused, parse_split
from bentos.worker import Worker

BODY_BYTES_MAX = 65_536
BODY_S_MAX = 1.0
CHANGE_S_MAX = 3.5  # BentoML answers 504 at 5 s
JSON = "application/json"
T = TypeVar("T")

# A revision as it is or as an entity tag, also one that a proxy has weakened; or a list of them.
_ETAG = re.compile(r'(?:W/)?"(\d{1,9})"|(\d{1,9})', re.ASCII)


async def show(store: PlanStore, request: Request) -> Response:
    """Answer `GET /v1/models/{name}/traffic`; the ETag is the revision.

    Raises
    ------
    bentos.problems.Problem
        `unknown-model`.
    """
    return _told(await asyncio.to_thread(store.current, request.path_params["name"]))


async def put(worker: Worker, store: PlanStore, request: Request) -> Response:
    """Answer `PUT /v1/models/{name}/traffic`.

    Raises
    ------
    bentos.problems.Problem
        As `PlanStore.put`, `revision-missing`, or what is wrong with the body.
    """
    name, revision = request.path_params["name"], await _revision(store, request)
    wanted = await _body(request, TrafficChange)
    if wanted.model not in {None, name}:
        raise invalid("model", name, wanted.model)
    if wanted.revision not in {None, revision}:
        raise invalid("revision", f"{revision}, as If-Match says, or nothing", wanted.revision)
    try:
        split = parse_split(
            {
                "champion": wanted.champion,
                "challengers": wanted.challengers,
                "shadows": wanted.shadows,
            }
        )
    except PlanRefused as fault:
        raise invalid(fault.field, fault.expected, fault.found) from fault
    note = Note(wanted.who, wanted.why, "")
    return await _changed(
        worker, lambda: store.put(name, revision, split, note, wanted.salt), "PUT"
    )


async def promote(worker: Worker, store: PlanStore, request: Request) -> Response:
    """Answer `POST /v1/models/{name}/promote`.

    Raises
    ------
    bentos.problems.Problem
        As `PlanStore.promote`, `revision-missing`, or what is wrong with the body.
    """
    name, revision = request.path_params["name"], await _revision(store, request)
    wanted = await _body(request, Promotion)
    note = Note(wanted.who, wanted.why or f"promote {wanted.version}", "")
    return await _changed(
        worker, lambda: store.promote(name, revision, wanted.version, note), "promote"
    )


async def roll_back(worker: Worker, store: PlanStore, request: Request) -> Response:
    """Answer `POST /v1/models/{name}/rollback`; the body may be empty.

    Raises
    ------
    bentos.problems.Problem
        As `PlanStore.roll_back`, `revision-missing`, or what is wrong with the body.
    """
    name, revision = request.path_params["name"], await _revision(store, request)
    wanted = await _body(request, RollBack, empty=RollBack())
    note = Note(wanted.who, wanted.why or "roll back", "")
    return await _changed(worker, lambda: store.roll_back(name, revision, note), "rollback")


async def _revision(store: PlanStore, request: Request) -> int:
    """Return the revision that the caller has read: of a list the one in force, if it is there."""
    given = request.headers.get("if-match")
    expected = "the plan's revision, as GET traffic and its ETag tell it"
    if given is None:
        raise Problem(
            "revision-missing", "send If-Match with the revision you read", field="If-Match",
            expected=expected,
        )  # fmt: skip
    found = [_ETAG.fullmatch(one.strip()) for one in given.split(",")]
    read = [int(one[1] or one[2]) for one in found if one is not None]
    if len(read) < len(found):
        raise Problem(
            "revision-malformed", f"If-Match: expected {expected}", field="If-Match",
            expected=expected, found=given,
        )  # fmt: skip
    if len(read) == 1:
        return read[0]
    now = (await asyncio.to_thread(store.current, request.path_params["name"])).revision
    return now if now in read else max(read)


async def _body(request: Request, kind: type[T], empty: T | None = None) -> T:
    body = await read_body(request, BODY_BYTES_MAX, BODY_S_MAX)
    if not body.strip() and empty is not None:
        return empty
    wanted = contract.decoded(msgspec.json.Decoder(kind).decode, body)
    contract.refuse_twice(body)
    return wanted


async def _changed(worker: Worker, change: Callable[[], Plan], what: str) -> Response:
    """Make a change in a thread, within BentoML's limit; look at the folder at once."""
    try:
        async with asyncio.timeout(CHANGE_S_MAX):
            plan = await asyncio.to_thread(change)
            await asyncio.to_thread(worker.pool.refresh)
    except TimeoutError:
        raise Problem(
            "registry-unreachable", f"{what} took too long; read the plan before repeating it"
        ) from None
    return _told(plan)


def _told(plan: Plan) -> Response:
    headers = {"ETag": f'"{plan.revision}"', "Cache-Control": "no-store"}
    return Response(orjson.dumps(plan.document()), headers=headers, media_type=JSON)
