"""The serving folder follows a registry server, and stays as it is while there is none."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from flows.home import Home
from flows.plan import Note, next_plan
from flows.registry import Registry
from flows.stack.follower import Follower, fetch
from tests.flows.bundles import make_bundle


class Server(http.server.BaseHTTPRequestHandler):
    """The search of MLflow's REST API, one model a page; `models` is set by the test."""

    models: ClassVar[list[dict[str, Any]]] = []
    status: ClassVar[int] = 200

    def do_GET(self) -> None:
        token = parse_qs(urlsplit(self.path).query).get("page_token", ["0"])[0]
        at = int(token or 0)
        page: dict[str, Any] = {"registered_models": self.models[at : at + 1]}
        if at + 1 < len(self.models):
            page["next_page_token"] = str(at + 1)
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(json.dumps(page).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Server.models, Server.status = [], 200
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_address[1]}"
        made.shutdown()
        thread.join()


def plan(revision: int, champion: int = 1) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(revision):
        wanted = {"champion": champion, "shadows": [3 - champion] if made else []}
        note = Note("a test", f"{len(made.get('history', []))}", "2026-11-02T10:00:00+05:30")
        made = next_plan(made or None, wanted, model="m", known=[1, 2], note=note)
        champion = 3 - champion
    return made


def registered(name: str, document: Any, *, ours: bool = True) -> dict[str, Any]:
    tags = [{"key": "ratchet.plan", "value": json.dumps(document)}]
    tags += [{"key": "ratchet.model", "value": "1"}] if ours else []
    return {"name": name, "tags": tags}


@pytest.fixture
def opened(home: Path) -> Home:
    for version in ("1", "2"):  # the bundles are there: fetching has its own test
        (home / "serving" / "m" / "versions" / version).mkdir(parents=True)
    return Home(home)


def test_a_plan_is_taken_over_whole_and_said_once(opened: Home, server: str) -> None:
    told: list[str] = []
    follower = Follower(opened, server, told.append)
    others = registered("theirs", {"champion": 1}, ours=False)
    for revision in (1, 1, 2):
        Server.models = [others, registered("m", plan(revision)), {"name": "bare"}]
        follower.look()
        kept = json.loads((opened.serving / "m" / "plan.json").read_text())
        assert kept == plan(revision)
    assert told == [
        f"follows {server}",
        "m: serves plan revision 1",
        "m: serves plan revision 2",
    ]
    assert [p.name for p in opened.serving.iterdir()] == ["m"]


@pytest.mark.parametrize("fault", ["away", "broken"])
def test_without_the_registry_the_folder_stays_as_it_is(
    opened: Home, server: str, fault: str
) -> None:
    told: list[str] = []
    Server.models = [registered("m", plan(1))]
    Follower(opened, server, told.append).look()
    before = (opened.serving / "m" / "plan.json").read_bytes()

    Server.status = 500
    follower = Follower(opened, "http://127.0.0.1:9" if fault == "away" else server, told.append)
    follower.look()
    follower.look()

    assert (opened.serving / "m" / "plan.json").read_bytes() == before
    assert told[-1].endswith("what is served stays as it is")
    assert len(told) == 3


def test_a_folder_that_is_ahead_is_not_set_back(opened: Home, server: str) -> None:
    told: list[str] = []
    (opened.serving / "m" / "plan.json").write_text(json.dumps(plan(3)))
    Server.models = [registered("m", plan(2))]
    Follower(opened, server, told.append).look()
    assert json.loads((opened.serving / "m" / "plan.json").read_text()) == plan(3)
    assert "the folder is ahead at revision 3" in told[-1]


def test_a_version_comes_from_the_registry_whole_before_its_plan(
    home: Path, server: str, tmp_path: Path
) -> None:
    opened = Home(home)
    opened.tmp.mkdir(parents=True)
    Registry(opened).register("m", make_bundle(tmp_path / "bundle", name="m").folder, {}, {}, {})
    fetch(opened, "m", 1)
    there = opened.serving / "m" / "versions" / "1"
    assert sorted(p.name for p in there.iterdir()) == sorted(
        p.name for p in (tmp_path / "bundle").iterdir()
    )
    told: list[str] = []
    Server.models = [registered("m", plan(2))]  # names version 2, which the registry has not
    Follower(opened, server, told.append).look()
    assert not (opened.serving / "m" / "plan.json").exists()
    assert "not taken: version 2: version of model m: found 2; expected 1" in told[-1]
