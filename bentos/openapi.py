"""The OpenAPI page: bodies from their msgspec types, answers and errors by example."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from bentos.contract import Batch, Instance, Promotion, RollBack, TrafficChange
from bentos.problems import KINDS, MEDIA_TYPE

REFS = "#/components/schemas/{name}"
ADMIN: list[dict[str, list[str]]] = [{"admin": []}]

# method, path, one line, body, whether the admin token is needed
ROUTES: tuple[tuple[str, str, str, type | None, bool], ...] = (
    ("post", "/v1/models/{name}/predict", "Answer one question.", Instance, False),
    ("post", "/v1/models/{name}/predict_batch", "Answer many, in order.", Batch, False),
    ("get", "/v1/models", "List the served models.", None, False),
    ("get", "/v1/models/{name}", "What to send, versions, traffic, figures.", None, False),
    ("get", "/v1/models/{name}/traffic", "The traffic plan; ETag is its revision.", None, False),
    ("put", "/v1/models/{name}/traffic", "Replace the plan.", TrafficChange, True),
    ("post", "/v1/models/{name}/promote", "Make a version champion.", Promotion, True),
    ("post", "/v1/models/{name}/rollback", "Undo the last change.", RollBack, True),
    ("get", "/livez", "Is the process alive.", None, False),
    ("get", "/readyz", "Should it get traffic.", None, False),
    ("get", "/metrics", "Prometheus text of one worker.", None, False),
)


def describe_routes(app: FastAPI) -> None:
    """Give the application its OpenAPI document: the routes are Starlette's, bodies msgspec's."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    whole = get_openapi(title=app.title, version=app.version, routes=[])
    types = [Instance, Batch, TrafficChange, Promotion, RollBack]
    _, schemas = msgspec.json.schema_components(types, ref_template=REFS)
    schemas["Batch"]["properties"]["instances"]["items"] = {"$ref": REFS.format(name="Instance")}
    schemas["Problem"] = _problem_schema()
    whole["components"] = {
        "schemas": schemas,
        "securitySchemes": {"admin": {"type": "http", "scheme": "bearer"}},
    }
    paths: dict[str, dict[str, Any]] = {}
    for method, path, said, body, admin in ROUTES:
        paths.setdefault(path, {})[method] = _operation(path, said, body, admin=admin)
    whole["paths"] = paths
    return whole


def _operation(path: str, said: str, body: type | None, *, admin: bool) -> dict[str, Any]:
    problem = {"schema": {"$ref": REFS.format(name="Problem")}}
    operation: dict[str, Any] = {
        "summary": said,
        "responses": {
            "200": {"description": "Done."},
            "default": {"description": "Refused.", "content": {MEDIA_TYPE: problem}},
        },
    }
    if "{name}" in path:
        name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
        operation["parameters"] = [name]
    if admin:
        revision = {"name": "If-Match", "in": "header", "required": True}
        operation["parameters"].append({**revision, "schema": {"type": "string"}})
        operation["security"] = ADMIN
    if body is not None:
        schema = {"schema": {"$ref": REFS.format(name=body.__name__)}}
        operation["requestBody"] = {"content": {"application/json": schema}}
    return operation


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    kinds = [f"urn:ratchet:problem:{kind}" for kind in KINDS]
    properties: dict[str, Any] = dict.fromkeys(
        ("title", "detail", "field", "expected", "found", "request_id"), text
    )
    properties |= {"type": {"type": "string", "enum": kinds}, "status": {"type": "integer"}}
    return {"type": "object", "properties": properties, "required": ["type", "title", "status"]}
