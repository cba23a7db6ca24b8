"""The HTTP face: every route, and one error shape. Decides nothing about models or traffic.

A FastAPI application that BentoML mounts (service.py). Bodies are read raw and typed by msgspec
(contract.py): pydantic would let NaN and "1.5" through and costs more. Whatever goes wrong below
is a `Problem`; what is not is a fault of ours: 503, an alert, never a 500 and never a dead worker.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from bentos import describe, predict, traffic_routes
from bentos.access import Access
from bentos.api_page import add_page
from bentos.bodies import broken_off
from bentos.openapi import describe_routes
from bentos.problems import MEDIA_TYPE, Problem
from bentos.store import PlanStore
from bentos.worker import Worker, new_request_id

JSON = "application/json"
EVERY_METHOD = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
BENTOMLS = {"/livez", "/readyz", "/healthz"}  # answered before this application is asked

Handler = Callable[[Request], Awaitable[Response]]


class Gate:
    """What the routes need; filled in when the service starts, after the module was imported."""

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self.access: Access | None = None
        self.store: PlanStore | None = None

    def parts(self) -> tuple[Worker, Access, PlanStore]:
        """Return the started parts.

        Raises
        ------
        bentos.problems.Problem
            `model-not-ready` before the service has started.
        """
        if self.worker is None or self.access is None or self.store is None:
            raise Problem("model-not-ready", "the service is starting")
        return self.worker, self.access, self.store


def build_app(gate: Gate) -> FastAPI:
    """Return the application; `gate` is filled in later."""
    app = FastAPI(
        title="Ratchet: the served model",
        version="1",
        redirect_slashes=False,
        docs_url=None,  # api_page.py has its own
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    routes: dict[tuple[str, str], Handler] = {
        ("POST", "/v1/models/{name}/predict"): _for_callers(gate, predict.predict),
        ("POST", "/v1/models/{name}/predict_batch"): _for_callers(gate, predict.predict_batch),
        ("GET", "/v1/models"): _for_callers(gate, _list_models),
        ("GET", "/v1/models/{name}"): _for_callers(gate, _show_model),
        ("GET", "/v1/models/{name}/traffic"): _show_traffic(gate),
        ("PUT", "/v1/models/{name}/traffic"): _for_admins(gate, traffic_routes.put),
        ("POST", "/v1/models/{name}/promote"): _for_admins(gate, traffic_routes.promote),
        ("POST", "/v1/models/{name}/rollback"): _for_admins(gate, traffic_routes.roll_back),
        ("GET", "/metrics"): _metrics(gate),
    }
    for (method, path), handler in routes.items():
        # Starlette's routing: FastAPI's own costs 80 us a request, for bodies that we read anyway.
        app.add_route(path, _guarded(gate, handler), methods=[method], include_in_schema=False)
    add_page(app)
    nowhere = _guarded(gate, _nowhere)
    app.add_route("/{path:path}", nowhere, methods=list(EVERY_METHOD), include_in_schema=False)
    app.add_exception_handler(HTTPException, _strange_method(gate))
    describe_routes(app)
    return app


def _for_callers(gate: Gate, handler: Callable[[Worker, Request], Awaitable[Response]]) -> Handler:
    async def checked(request: Request) -> Response:
        worker, access, _ = gate.parts()
        access.check_predict(request.headers.get("authorization"))
        return await handler(worker, request)

    return checked


def _for_admins(
    gate: Gate, handler: Callable[[Worker, PlanStore, Request], Awaitable[Response]]
) -> Handler:
    async def checked(request: Request) -> Response:
        worker, access, store = gate.parts()
        access.check_admin(request.headers.get("authorization"))
        _check_own(worker, request)
        return await handler(worker, store, request)

    return checked


def _show_traffic(gate: Gate) -> Handler:
    async def shown(request: Request) -> Response:
        worker, access, store = gate.parts()
        access.check_predict(request.headers.get("authorization"))
        _check_own(worker, request)
        return await traffic_routes.show(store, request)

    return shown


def _check_own(worker: Worker, request: Request) -> None:
    """Refuse the traffic of a model that is in the folder but not served here.

    Raises
    ------
    bentos.problems.Problem
        `unknown-model`.
    """
    own = worker.settings.models
    if own and request.path_params["name"] not in own:
        raise Problem("unknown-model", f"this service serves {', '.join(own)} alone")


async def _list_models(worker: Worker, _: Request) -> Response:
    return Response(orjson.dumps(describe.models_document(worker)), media_type=JSON)


async def _show_model(worker: Worker, request: Request) -> Response:
    name = request.path_params["name"]
    model = worker.pool.models.get(name)
    if model is None:
        worker.served(name)  # raises the problem that names the served ones
        raise Problem("unknown-model", "no such model")
    # Reads files of versions that are not in memory.
    document = await asyncio.to_thread(describe.model_document, worker, model)
    return Response(orjson.dumps(document), media_type=JSON)


def _metrics(gate: Gate) -> Handler:
    async def metrics(_: Request) -> Response:
        worker = gate.parts()[0]
        text = worker.figures.prometheus(worker.gauges(), worker.model_gauges())
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return metrics


async def _nowhere(request: Request) -> Response:
    problem = _not_allowed(request)
    if problem is None:
        raise Problem("not-found", "the routes are listed in /docs and /openapi.json")
    raise problem


def _not_allowed(request: Request) -> Problem | None:
    """Return the problem of an address that takes other methods; None where it takes none."""
    allowed: set[str] = {"GET"} if request.url.path in BENTOMLS else set()
    for route in request.app.router.routes[:-1]:
        match, _ = route.matches(request.scope)
        if match == Match.PARTIAL:
            allowed |= route.methods
    if not allowed:
        return None
    problem = Problem("method-not-allowed", f"allowed: {', '.join(sorted(allowed))}")
    problem.allow = ", ".join(sorted(allowed))
    return problem


def _strange_method(gate: Gate) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Answer what no route takes (`PROPFIND`, a file that is not there) in the one error shape."""

    async def answered(request: Request, fault: Exception) -> Response:
        request.state.request_id = new_request_id()
        missing = isinstance(fault, HTTPException) and fault.status_code == 404
        problem = Problem("not-found", str(fault)) if missing else _not_allowed(request)
        problem = problem or Problem("method-not-allowed", str(fault))
        return _refusal(gate.worker, request, problem)

    return answered


def _guarded(gate: Gate, handler: Handler) -> Handler:
    """Wrap a handler: problems become problem JSON, the rest a 503; everything is counted."""

    async def guarded(request: Request) -> Response:
        request.state.request_id = new_request_id()
        worker = gate.worker
        try:
            response = await _bounded(worker, handler, request)
        except Problem as problem:
            response = _refusal(worker, request, problem)
        except ClientDisconnect:
            response = _refusal(worker, request, broken_off())
        except Exception as fault:  # noqa: BLE001  (the outermost edge)
            response = _refusal(worker, request, _broke(worker, fault))
        if worker is not None:
            worker.figures.statuses[response.status_code] += 1
        return response

    return guarded


def _broke(worker: Worker | None, fault: Exception) -> Problem:
    if worker is not None:
        return worker.broke(fault)
    traceback.print_exception(fault)
    return Problem("internal", "see the service's log")


async def _bounded(worker: Worker | None, handler: Handler, request: Request) -> Response:
    """Run a handler unless too many requests are open already."""
    if worker is None:
        return await handler(request)
    if worker.open >= worker.settings.open_max:
        raise Problem("overloaded", f"{worker.open} requests are open")
    worker.open += 1
    try:
        return await handler(request)
    finally:
        worker.open -= 1


def _refusal(worker: Worker | None, request: Request, problem: Problem) -> Response:
    request_id = problem.request_id or request.state.request_id
    if worker is not None:
        name = request.path_params.get("name", "")
        worker.refused(request.url.path, name, problem, request_id)
    return Response(
        problem.body(request_id), problem.status, problem.headers(), media_type=MEDIA_TYPE
    )
