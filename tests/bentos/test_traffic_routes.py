"""The routes that change traffic: which revision was read, and who is told what was wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from bentos.access import Access
from bentos.app import Gate, build_app
from bentos.settings import ServingSettings
from bentos.store import PlanStore
from bentos.worker import Worker
from tests.bentos.bundles import write_model

TOKEN = "admin-token-0987654321"
TRAFFIC = "/v1/models/tiny/traffic"
PLAN = {"champion": 1, "challengers": {"2": 0.3}}


class Client:
    """Calls the application in this process, with the admin token."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def called() -> httpx.Response:
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            over = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(
                transport=over, base_url="http://test", headers=bearer
            ) as client:
                return await client.request(method, path, **more)

        return asyncio.run(called())

    def put(self, plan: object, revision: str | None) -> httpx.Response:
        headers = {} if revision is None else {"If-Match": revision}
        return self.call("PUT", TRAFFIC, json=plan, headers=headers)


@pytest.fixture
def client(tmp_path: Path) -> Client:
    """A model whose plan stands at revision 2."""
    write_model(tmp_path / "serving", versions=2, challengers={"2": 0.1})
    said = ServingSettings(
        home=tmp_path, serving_dir=tmp_path / "serving", admin_token=SecretStr(TOKEN)
    )
    gate = Gate()
    gate.worker, gate.access = Worker(said, 1), Access(said)
    gate.store = PlanStore(lambda: said.folder, None)
    gate.worker.pool.refresh()
    client = Client(build_app(gate))
    assert client.put(PLAN, "1").json()["revision"] == 2
    return client


#  If-Match, status
IF_MATCH: list[tuple[str | None, int]] = [
    ("2", 200),
    ('"2"', 200),
    (' "2" ', 200),
    ('W/"2"', 200),  # a proxy that packs answers weakens their tags
    ('"1", "2"', 200),
    ('"2", "7"', 200),
    ("1, 2", 200),
    ("3", 412),
    ('"7"', 412),
    ('"7", "9"', 412),
    (None, 428),
    ("", 400),
    ("*", 400),
    ('"2', 400),
    ('2"', 400),
    ('"2",', 400),
    ('"x"', 400),
    ("2.0", 400),
    ("-2", 400),
    ("1e0", 400),
    ('w/"2"', 400),
    ("9" * 10, 400),
]


@pytest.mark.parametrize(("given", "status"), IF_MATCH)
def test_the_revision_is_read_in_every_form(client: Client, given: str | None, status: int) -> None:
    got = client.put({"champion": 2}, given)
    assert got.status_code == status, got.text
    assert client.call("GET", TRAFFIC).headers["etag"] == ('"3"' if status == 200 else '"2"')
    if status != 200:
        assert got.json()["field"] == "If-Match"


#  method and path end, body, the field that is named
BODIES = [
    ("put traffic", {}, "champion"),
    ("put traffic", {"champion": 9}, "champion"),
    ("put traffic", {"champion": 1, "challengers": {"9": 0.1}}, "challengers.9"),
    ("put traffic", {"champion": 1, "challengers": {"2": "0.1"}}, "challengers.2"),
    ("put traffic", {"champion": 1, "challengers": {"1": 0.1}}, "challengers.1"),
    ("put traffic", {"champion": 1, "shadows": [2, 2]}, "shadows[1]"),
    ("put traffic", {"champion": 1, "shadow": []}, "shadow"),
    ("post promote", {}, "version"),
    ("post promote", {"version": 9}, "version"),
    ("post rollback", {"version": 1}, "version"),
]


@pytest.mark.parametrize(("route", "body", "field"), BODIES)
def test_what_is_wrong_with_a_change_is_named(
    client: Client, route: str, body: object, field: str
) -> None:
    method, _, end = route.partition(" ")
    path = f"/v1/models/tiny/{end}"
    got = client.call(method.upper(), path, json=body, headers={"If-Match": "2"})
    assert got.status_code == 422
    assert got.json()["field"] == field
    assert client.call("GET", TRAFFIC).json()["revision"] == 2


@pytest.mark.parametrize("name", ["nobody", "..", "a%00b", "x" * 300])
def test_a_model_that_nobody_serves_is_unknown(client: Client, name: str) -> None:
    path = f"/v1/models/{name}/traffic".replace("..", "%2e%2e")
    headers = {"If-Match": '"1", "2"'}
    for got in (client.call("GET", path), client.call("PUT", path, json=PLAN, headers=headers)):
        assert got.status_code == 404
        assert got.json()["status"] == 404
