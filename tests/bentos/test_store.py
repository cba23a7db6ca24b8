"""Changing a plan: one writer at a time, against the revision that was read, whole or not."""

from __future__ import annotations

import fcntl
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bentos import store as room
from bentos.problems import Problem
from bentos.registry import RegistryTags
from bentos.store import PlanStore
from bentos.traffic import Note, Plan, Split, encoded
from tests.bentos.bundles import write_plan

NOTE = Note("ann", "because", "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for version in (1, 2, 3):
        (tmp_path / "tiny" / "versions" / str(version)).mkdir(parents=True)
    write_plan(tmp_path / "tiny", challengers={"2": 0.2})
    return tmp_path


@pytest.fixture
def plans(folder: Path) -> PlanStore:
    return PlanStore(lambda: folder, None)


def on_disk(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "tiny" / "plan.json").read_bytes())


def kind_of(call: Any) -> str:
    with pytest.raises(Problem) as refused:
        call()
    return refused.value.kind


def test_a_change_is_written_with_who_and_why(plans: PlanStore, folder: Path) -> None:
    plan = plans.put("tiny", 1, Split(1, {2: 0.3}, (3,)), NOTE, None)
    assert plan.revision == 2
    assert on_disk(folder) == json.loads(encoded(plan))
    last = on_disk(folder)["history"][-1]
    assert (last["who"], last["why"], last["challengers"]) == ("ann", "because", {"2": 0.3})
    assert last["at"].endswith("+05:30")
    assert list((folder / "tiny").glob(".plan.json*")) == []


def test_a_stale_revision_changes_nothing(plans: PlanStore, folder: Path) -> None:
    before = on_disk(folder)
    for revision in (0, 2, 7):
        assert kind_of(lambda r=revision: plans.put("tiny", r, Split(3), NOTE, None)) == (
            "revision-moved"
        )
    assert on_disk(folder) == before


def test_a_repeated_call_whose_answer_was_lost_changes_nothing_more(
    plans: PlanStore, folder: Path
) -> None:
    calls = [
        lambda r: plans.put("tiny", r, Split(1, {2: 0.3}), NOTE, None),
        lambda r: plans.promote("tiny", r, 2, NOTE),
        lambda r: plans.roll_back("tiny", r, NOTE),
    ]
    for revision, call in enumerate(calls, start=1):
        first = call(revision)
        assert first.revision == revision + 1
        assert call(revision) == first
        assert on_disk(folder)["revision"] == revision + 1
    assert kind_of(lambda: calls[1](1)) == "revision-moved", "only the last change is repeated"


#  who asks, the field that is named
UNKNOWN = [
    (lambda p: p.put("tiny", 1, Split(9), NOTE, None), "champion"),
    (lambda p: p.put("tiny", 1, Split(1, {9: 0.1}), NOTE, None), "challengers.9"),
    (lambda p: p.put("tiny", 1, Split(1, {}, (2, 9)), NOTE, None), "shadows[1]"),
    (lambda p: p.promote("tiny", 1, 9, NOTE), "version"),
]


@pytest.mark.parametrize(("call", "field"), UNKNOWN)
def test_an_unknown_version_is_named_by_its_field(plans: PlanStore, call: Any, field: str) -> None:
    with pytest.raises(Problem) as refused:
        call(plans)
    assert (refused.value.field, refused.value.found) == (field, 9)


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a\0b", "x" * 300, "\udc80"])
def test_a_name_that_no_model_can_have_is_unknown(
    plans: PlanStore, folder: Path, name: str
) -> None:
    before = sorted(folder.rglob("*"))
    assert kind_of(lambda: plans.current(name)) == "unknown-model"
    assert kind_of(lambda: plans.put(name, 1, Split(1), NOTE, None)) == "unknown-model"
    assert sorted(folder.rglob("*")) == before


def test_a_plan_without_a_history_can_be_brought_back(plans: PlanStore, folder: Path) -> None:
    """The plan of the serving page alone: who lays it out writes no history."""
    document = {"revision": 1, "champion": 1, "challengers": {"2": 0.2}, "shadows": []}
    (folder / "tiny" / "plan.json").write_text(json.dumps(document))
    assert plans.promote("tiny", 1, 3, NOTE) == plans.promote("tiny", 1, 3, NOTE)
    plan = plans.roll_back("tiny", 2, NOTE)
    assert plan.split == Split(1, {2: 0.2})


def test_another_salt_is_a_change_that_can_be_undone(plans: PlanStore) -> None:
    split = Split(1, {2: 0.2})
    plan = plans.put("tiny", 1, split, NOTE, "anew")
    assert (plan.revision, plan.salt) == (2, "anew")
    assert plans.put("tiny", 1, split, NOTE, "anew") == plan, "a repetition"
    assert kind_of(lambda: plans.put("tiny", 1, split, NOTE, "another")) == "revision-moved"
    back = plans.roll_back("tiny", 2, NOTE)
    assert (back.revision, back.salt, back.split) == (3, "salt", split)
    assert plans.roll_back("tiny", 2, NOTE) == back
    assert kind_of(lambda: plans.roll_back("tiny", 3, NOTE)) == "no-earlier-plan"


def test_promote_and_roll_back(plans: PlanStore) -> None:
    plan = plans.promote("tiny", 1, 2, NOTE)
    assert (plan.split.champion, dict(plan.split.challengers)) == (2, {})
    plan = plans.roll_back("tiny", 2, NOTE)
    assert (plan.split.champion, dict(plan.split.challengers)) == (1, {2: 0.2})
    assert plan.history[-1]["restores"] == 1
    assert kind_of(lambda: plans.roll_back("tiny", 3, NOTE)) == "no-earlier-plan"


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda p: p.put("tiny", 1, Split(9), NOTE, None), "field-invalid"),
        (lambda p: p.promote("tiny", 1, 9, NOTE), "field-invalid"),
        (lambda p: p.put("nobody", 1, Split(1), NOTE, None), "unknown-model"),
        (lambda p: p.put("..", 1, Split(1), NOTE, None), "unknown-model"),
        (lambda p: p.current("nobody"), "unknown-model"),
    ],
)
def test_what_does_not_exist_is_refused(plans: PlanStore, call: Any, kind: str) -> None:
    assert kind_of(lambda: call(plans)) == kind


def test_of_writers_at_once_one_wins_each_revision(plans: PlanStore, folder: Path) -> None:
    done: list[Plan] = []
    refused: list[str] = []

    def write(champion: int) -> None:
        try:
            done.append(plans.put("tiny", 1, Split(champion), NOTE, None))
        except Problem as problem:
            refused.append(problem.kind)

    threads = [threading.Thread(target=write, args=(1 + i % 3,)) for i in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({plan.split.champion for plan in done}) == 1, "the winner, and its repetitions"
    assert set(refused) <= {"revision-moved"}
    assert on_disk(folder)["revision"] == 2


def test_a_writer_that_does_not_let_go_is_not_waited_for(
    plans: PlanStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LOCK_WAIT_S", 0.05)
    with (folder / "tiny" / ".plan.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert kind_of(lambda: plans.promote("tiny", 1, 2, NOTE)) == "registry-unreachable"
    assert plans.promote("tiny", 1, 2, NOTE).revision == 2


def test_a_folder_that_cannot_be_written_changes_nothing(
    plans: PlanStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = on_disk(folder)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room.os, "fsync", full)
    assert kind_of(lambda: plans.promote("tiny", 1, 2, NOTE)) == "registry-unreachable"
    assert on_disk(folder) == before
    assert list((folder / "tiny").glob(".plan.json*")) == []


class Registry(ThreadingHTTPServer):
    """A registry server that keeps one tag, over real sockets."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tag: str | None = None
        self.aliases: dict[str, str] = {}
        self.broken = False
        self.seen: list[str] = []

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        self.server.seen.append(urlsplit(self.path).path)
        if self.server.broken:
            return self._answer(500, {})
        if parse_qs(urlsplit(self.path).query) != {"name": ["tiny"]}:
            return self._answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST"})
        tags = [{"key": "other", "value": "x"}]
        if self.server.tag is not None:
            tags.append({"key": "ratchet.plan", "value": self.server.tag})
        told = [{"alias": alias, "version": v} for alias, v in self.server.aliases.items()]
        found = {"name": "tiny", "tags": tags, "aliases": told}
        return self._answer(200, {"registered_model": found})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append(self.path)
        if self.path.endswith("/set-tag"):
            self.server.tag = body["value"]
        else:
            self.server.aliases[body["alias"]] = body["version"]
        self._answer(200, {})

    def do_DELETE(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        del self.server.aliases[body["alias"]]
        self._answer(200, {})


@pytest.fixture
def registry() -> Iterator[Registry]:
    server = Registry()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_with_a_registry_server_the_change_goes_there_first(
    folder: Path, registry: Registry, tmp_path: Path
) -> None:
    plans = PlanStore(lambda: folder, RegistryTags(registry.uri), tmp_path / "locks" / "r.lock")
    plan = plans.put("tiny", 1, Split(1, {3: 0.4}), NOTE, None)
    assert registry.tag == encoded(plan) == (folder / "tiny" / "plan.json").read_text()
    assert registry.aliases == {"champion": "1", "challenger": "3"}


def test_the_registrys_aliases_follow_the_plan(
    folder: Path, registry: Registry, tmp_path: Path
) -> None:
    plans = PlanStore(lambda: folder, RegistryTags(registry.uri), tmp_path / "locks" / "r.lock")
    plans.put("tiny", 1, Split(1, {3: 0.4}, (2,)), NOTE, None)
    assert registry.aliases == {"champion": "1", "challenger": "3", "shadow": "2"}
    plans.put("tiny", 2, Split(3), NOTE, None)
    assert registry.aliases == {"champion": "3"}
    registry.aliases["challenger"] = "2"  # as training names its candidate
    plans.promote("tiny", 3, 1, NOTE)
    assert registry.aliases == {"champion": "1", "challenger": "2"}


def test_the_registrys_revision_is_the_one_that_counts(folder: Path, registry: Registry) -> None:
    ahead = dict(on_disk(folder), revision=5, champion=3)
    ahead["history"] = [*ahead["history"], {"revision": 5, "champion": 3}]
    registry.tag = json.dumps(ahead)
    plans = PlanStore(lambda: folder, RegistryTags(registry.uri))
    assert kind_of(lambda: plans.promote("tiny", 1, 2, NOTE)) == "revision-moved"
    plan = plans.promote("tiny", 5, 2, NOTE)
    assert plan.revision == on_disk(folder)["revision"] == 6


@pytest.mark.parametrize("how", ["gone", "broken", "nonsense"])
def test_without_its_registry_a_change_is_refused_and_nothing_is_written(
    folder: Path, registry: Registry, how: str
) -> None:
    before = on_disk(folder)
    uri = registry.uri
    if how == "gone":
        registry.shutdown()
        registry.server_close()
    registry.broken = how == "broken"
    registry.tag = "{}" if how == "nonsense" else None
    plans = PlanStore(lambda: folder, RegistryTags(uri))
    assert kind_of(lambda: plans.promote("tiny", 1, 2, NOTE)) == "registry-unreachable"
    assert on_disk(folder) == before
    assert plans.current("tiny").revision == 1, "reading needs no registry"
