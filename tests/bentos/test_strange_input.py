"""Whatever a client sends, drawn from the service's own OpenAPI document: 4xx or 503, and a record.

The application runs in this process without BentoML (test_served.py has the sockets): the same
routes, worker and store. A failing example is printed and can be replayed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bentos.access import Access
from bentos.app import Gate, build_app
from bentos.openapi import ROUTES
from bentos.problems import KINDS, MEDIA_TYPE
from bentos.settings import ServingSettings
from bentos.store import PlanStore
from bentos.worker import Worker
from tests.bentos.bundles import request, write_model
from tests.bentos.candles import walk

TOKEN = "admin-token-0987654321"
BENTOML = {"/livez", "/readyz"}  # answered before our routes are asked
CHECKS = (status_code_conformance, content_type_conformance, response_schema_conformance)
EXAMPLES = 12


@dataclass
class Face:
    """The application, its document, and what it logged."""

    schema: Any
    worker: Worker
    records: list[dict[str, Any]]

    def operation(self, method: str, path: str) -> Any:
        return self.schema[path][method]


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Face:
    home = tmp_path_factory.mktemp("face")
    write_model(home / "serving", versions=2, challengers={"2": 0.3})
    said = ServingSettings(home=home, serving_dir=home / "serving", admin_token=TOKEN)
    gate = Gate()
    gate.worker, gate.access = Worker(said, 1), Access(said)
    gate.store = PlanStore(lambda: said.folder, None)
    gate.worker.pool.refresh()
    records: list[dict[str, Any]] = []
    gate.worker.log.put = records.append  # type: ignore[method-assign, assignment]
    return Face(schemathesis.openapi.from_asgi("/openapi.json", build_app(gate)), gate.worker,
                records)  # fmt: skip


OURS = [route for route in ROUTES if route.path not in BENTOML]
# what is sent without a body or a header cannot be other than described
CASES = [(route, GenerationMode.POSITIVE) for route in OURS]
CASES += [(route, GenerationMode.NEGATIVE) for route in OURS if route.body or route.admin]


@pytest.mark.parametrize(
    ("route", "mode"), CASES, ids=[f"{r.method} {r.path} {m.value}" for r, m in CASES]
)
def test_whatever_is_sent_gets_a_documented_answer(face: Face, route: Any, mode: Any) -> None:
    operation = face.operation(route.method, route.path)
    named = {"path_parameters": {"name": "tiny"}} if "{name}" in route.path else {}

    @settings(max_examples=EXAMPLES, phases=[Phase.generate, Phase.shrink], deadline=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(data=st.data())
    def attack(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode, **named))
        if route.admin and data.draw(st.booleans(), label="with the right token and revision"):
            revision = face.worker.pool.models["tiny"].newest
            case.headers = {"If-Match": str(revision)}
            case.headers["Authorization"] = f"Bearer {TOKEN}"
        before = len(face.records)
        answer = case.call()
        case.validate_response(answer, checks=CHECKS)
        assert answer.status_code < 500 or answer.status_code == 503
        if answer.status_code >= 400:
            assert answer.headers["content-type"][0] == MEDIA_TYPE
            kind = answer.json()["type"].removeprefix("urn:ratchet:problem:")
            assert KINDS[kind][0] == answer.status_code
            assert kind != "internal", answer.text
            told = [r for r in face.records[before:] if r["kind"] == "refusal"]
            assert [(r["status"], r["problem"]) for r in told] == [(answer.status_code, kind)]

    attack()
    good = face.operation("post", "/v1/models/{name}/predict").Case(
        path_parameters={"name": "tiny"}, body=request(walk(60, 5)), media_type="application/json"
    )
    assert good.call().status_code == 200
