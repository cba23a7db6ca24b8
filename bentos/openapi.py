"""The OpenAPI document: bodies and answers from their msgspec types, every refusal by status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from bentos.contract import Batch, Instance, Promotion, RollBack, TrafficChange
from bentos.documents import TYPES, Answer, BatchAnswer, Models, ModelTold, PlanDocument
from bentos.problems import KINDS, MEDIA_TYPE

JSON = "application/json"
REFS = "#/components/schemas/{name}"
ADMIN: list[dict[str, list[str]]] = [{"admin": []}]

NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
NO_WORDS = "text/plain"


@dataclass(frozen=True, slots=True)
class Route:
    """One route as the document shows it.

    Parameters
    ----------
    body, answer : msgspec types; an answer of None is text
    problems : kinds it may be refused with, besides those that every route has
    """

    method: str
    path: str
    said: str
    answer: type | None
    problems: tuple[str, ...] = ()
    body: type | None = None
    admin: bool = False


ASKING = ("body-malformed", "unknown-model", "unknown-version", "body-late", "body-too-large",
          "field-invalid", "model-not-ready", "version-not-ready")  # fmt: skip
CHANGING = ("body-malformed", "revision-malformed", "unknown-model", "body-late", "revision-moved",
            "body-too-large", "field-invalid", "revision-missing", "model-not-ready",
            "registry-unreachable")  # fmt: skip
ALWAYS = ("token-missing", "token-refused", "method-not-allowed", "overloaded", "internal")

MODEL = "/v1/models/{name}"
ROUTES: tuple[Route, ...] = (
    Route("post", f"{MODEL}/predict", "Answer one question.", Answer, ASKING, Instance),
    Route("post", f"{MODEL}/predict_batch", "Answer many, in order.", BatchAnswer, ASKING, Batch),
    Route("get", "/v1/models", "List the served models.", Models),
    Route("get", MODEL, "What to send, versions, traffic.", ModelTold, ("unknown-model",)),
    Route("get", f"{MODEL}/traffic", "The traffic plan; ETag is its revision.", PlanDocument,
          ("unknown-model", "model-not-ready")),
    Route("put", f"{MODEL}/traffic", "Replace the plan.", PlanDocument, CHANGING, TrafficChange,
          admin=True),
    Route("post", f"{MODEL}/promote", "Make a version champion.", PlanDocument, CHANGING,
          Promotion, admin=True),
    Route("post", f"{MODEL}/rollback", "Undo the last change.", PlanDocument,
          (*CHANGING, "no-earlier-plan"), RollBack, admin=True),
    Route("get", "/livez", "Is the process alive.", None),
    Route("get", "/readyz", "Should it get traffic.", None),
    Route("get", "/metrics", "Prometheus text of one worker.", None),
)  # fmt: skip


def describe_routes(app: FastAPI) -> None:
    """Give the application its OpenAPI document: the routes are Starlette's, bodies msgspec's."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    whole = get_openapi(title=app.title, version=app.version, routes=[])
    bodies = [Instance, Batch, TrafficChange, Promotion, RollBack]
    _, schemas = msgspec.json.schema_components([*bodies, *TYPES], ref_template=REFS)
    schemas["Batch"]["properties"]["instances"]["items"] = {"$ref": REFS.format(name="Instance")}
    answers = [{"$ref": REFS.format(name=name)} for name in ("Answer", "RowRefused")]
    schemas["BatchAnswer"]["properties"]["answers"]["items"] = {"anyOf": answers}
    schemas["RowRefused"]["properties"]["error"] = {"$ref": REFS.format(name="Problem")}
    schemas["Problem"] = _problem_schema()
    whole["components"] = {
        "schemas": _patterns(schemas),
        "securitySchemes": {"admin": {"type": "http", "scheme": "bearer"}},
    }
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method] = _operation(route)
    whole["paths"] = paths
    return whole


def _patterns(schema: Any) -> Any:
    """Return a schema with its patterns as JSON Schema reads them, where Python alone has `Z`."""
    if isinstance(schema, list):
        return [_patterns(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value.replace(r"\Z", "$") if key == "pattern" and isinstance(value, str)
        else _patterns(value)
        for key, value in schema.items()
    }  # fmt: skip


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": route.said, "responses": _responses(route)}
    if "{name}" in route.path:
        schema = {"type": "string", "pattern": f"^{NAME}$"}
        name = {"name": "name", "in": "path", "required": True, "schema": schema}
        operation["parameters"] = [name]
    if route.admin:
        revision = {"name": "If-Match", "in": "header", "required": True}
        schema = {"type": "string", "pattern": '^([0-9]{1,9}|"[0-9]{1,9}")$'}
        operation["parameters"].append({**revision, "schema": schema})
        operation["security"] = ADMIN
    if route.body is not None:
        content = {"schema": {"$ref": REFS.format(name=route.body.__name__)}}
        needed = route.body is not RollBack
        operation["requestBody"] = {"content": {JSON: content}, "required": needed}
    return operation


def _responses(route: Route) -> dict[str, Any]:
    if route.answer is None:
        done: dict[str, Any] = {"description": "Done.", "content": {NO_WORDS: {}}}
    else:
        schema = {"$ref": REFS.format(name=route.answer.__name__)}
        done = {"description": "Done.", "content": {JSON: {"schema": schema}}}
    responses = {"200": done}
    by_status: dict[str, list[str]] = {}
    for kind in (*route.problems, *ALWAYS):
        by_status.setdefault(str(KINDS[kind][0]), []).append(kind)
    problem = {"schema": {"$ref": REFS.format(name="Problem")}}
    for status, kinds in sorted(by_status.items()):
        said = "; ".join(KINDS[kind][1] for kind in kinds)
        responses[status] = {"description": said, "content": {MEDIA_TYPE: problem}}
    if route.path == "/readyz":
        responses["503"] = {"description": "Not ready.", "content": {NO_WORDS: {}}}
    return responses


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    kinds = [f"urn:ratchet:problem:{kind}" for kind in KINDS]
    properties: dict[str, Any] = dict.fromkeys(
        ("title", "detail", "field", "expected", "found", "request_id"), text
    )
    properties |= {"type": {"type": "string", "enum": kinds}, "status": {"type": "integer"}}
    return {"type": "object", "properties": properties, "required": ["type", "title", "status"]}
