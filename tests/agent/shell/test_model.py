"""The agent's client of the served model: lost connections, the breaker, and the real contract."""

from __future__ import annotations

import copy
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import uvicorn

from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.commands import Priority
from agent.errors import Refused, Retryable
from agent.shell.model import Breaker, ModelClient, prediction_of
from bentos.access import Access
from bentos.app import Gate, build_app
from bentos.documents import Answer, BatchAnswer, ModelTold, RowRefused
from bentos.settings import ServingSettings
from bentos.store import PlanStore
from bentos.worker import Worker
from tests.bentos.bundles import write_intraday, write_model
from tests.bentos.candles import walk
from tests.bentos.waiting import until

NOW = 1_700_000_000_000


class Line:
    """A server of one line: each connection is handled by the next of `acts`."""

    def __init__(self, *acts: Callable[[socket.socket], None]) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.asked: list[bytes] = []
        self._acts = acts
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        for act in self._acts:
            wire, _ = self._socket.accept()
            with wire:
                act(wire)

    def close(self) -> None:
        self._socket.close()


def read(wire: socket.socket, line: list[bytes]) -> None:
    got = b""
    while b"\r\n\r\n" not in got:
        got += wire.recv(65_536)
    top, _, body = got.partition(b"\r\n\r\n")
    for header in top.lower().split(b"\r\n"):
        if header.startswith(b"content-length:"):
            while len(body) < int(header.split(b":")[1]):
                body += wire.recv(65_536)
    line.append(body)


ANSWERS = b'{"models": [{"name": "tiny"}], "answers": []}'


def answers(line: list[bytes], status: int = 200) -> Callable[[socket.socket], None]:
    def act(wire: socket.socket) -> None:
        read(wire, line)
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(ANSWERS)}\r\nConnection: close\r\n\r\n"
        wire.sendall(head.encode() + ANSWERS)

    return act


def loses(line: list[bytes]) -> Callable[[socket.socket], None]:
    return lambda wire: read(wire, line)


WINDOW = cmd.Window("NSE:AAA", (1, 2), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (1.0, None),
                    ("kite", "ticks"))  # fmt: skip


def test_a_lost_connection_is_tried_once_more_with_the_same_request() -> None:
    asked: list[bytes] = []
    line = Line(loses(asked), answers(asked))
    client = ModelClient(line.url, "tiny")
    with pytest.raises(Refused, match="answered"):  # no answer to one window: read, and refused
        client.ask(cmd.AskModel(1, Priority.READ, (WINDOW,), NOW), 0)
    assert len(asked) == 2
    assert asked[0] == asked[1], "both carry the same request id"
    assert json.loads(asked[0])["instances"][0]["request_id"]
    client.close()
    line.close()


def test_lost_twice_is_a_failure() -> None:
    asked: list[bytes] = []
    line = Line(loses(asked), loses(asked))
    client = ModelClient(line.url, "tiny")
    with pytest.raises(Retryable):
        client.describe(1, 0)
    assert len(asked) == 2
    client.close()
    line.close()


def test_a_time_out_is_not_tried_again() -> None:
    accepted = threading.Event()
    over = threading.Event()

    def hangs(wire: socket.socket) -> None:
        accepted.set()
        over.wait(30)

    line = Line(hangs)
    client = ModelClient(line.url, "tiny", timeout_s=0.1)
    with pytest.raises(Retryable, match="Timeout"):
        client.ask(cmd.AskModel(1, Priority.READ, (WINDOW,), NOW), 0)
    assert accepted.is_set()
    over.set()
    client.close()
    line.close()


def test_after_failures_in_a_row_the_model_is_not_asked_for_a_while() -> None:
    client = ModelClient("http://127.0.0.1:9", "tiny", breaker=Breaker(3, 3600))
    for _ in range(3):
        with pytest.raises(Retryable, match="ConnectError"):
            client.describe(1, 0)
    with pytest.raises(Retryable, match="not asked after 3 failures"):
        client.describe(1, 0)
    client.close()


#  id, steps (f: fails, w: works, a number: seconds pass), seconds that it stays open
BREAKER: list[tuple[str, list[str | float], float]] = [
    ("new", [], 0),
    ("two failures", ["f", "f"], 0),
    ("three", ["f", "f", "f"], 10),
    ("a success between", ["f", "f", "w", "f"], 0),
    ("half gone", ["f", "f", "f", 4], 6),
    ("over", ["f", "f", "f", 10], 0),
    ("the first try fails", ["f", "f", "f", 10, "f"], 10),
    ("the first try works", ["f", "f", "f", 10, "w", "f", "f"], 0),
]


@pytest.mark.parametrize("row", BREAKER, ids=[row[0] for row in BREAKER])
def test_the_breaker(row: tuple[str, list[str | float], float]) -> None:
    _, steps, open_s = row
    breaker, now_s = Breaker(3, 10), 100.0
    for step in steps:
        if step == "f":
            breaker.failed(now_s)
        elif step == "w":
            breaker.worked()
        else:
            now_s += float(step)
    assert breaker.wait_s(now_s) == open_s


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, Any]]]:
    """The service's own application on a socket, and its OpenAPI document."""
    home = tmp_path_factory.mktemp("contract")
    write_model(home / "serving", versions=2, challengers={"2": 0.5})
    write_intraday(home / "serving")
    said = ServingSettings(home=home, serving_dir=home / "serving", admin_token="a" * 20)
    gate = Gate()
    gate.worker, gate.access = Worker(said, 1), Access(said)
    gate.store = PlanStore(lambda: said.folder, None)
    gate.worker.pool.refresh()
    app = build_app(gate)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", app.openapi()
    server.should_exit = True
    thread.join(10)


def window(key: str, candles: Any) -> cmd.Window:
    columns = ("ts_ms", "open", "high", "low", "close", "volume")
    told = [tuple(getattr(candles, name).tolist()) for name in columns]
    return cmd.Window(key, *told, ("kite",) * len(candles))


SHAPES = {"tiny": (60, {}), "minutes": (75, {"step_ms": 300_000, "a_day": 75})}


@pytest.mark.parametrize("name", SHAPES)
def test_client_and_service_keep_the_documented_contract(
    served: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    url, document = served
    count, shape = SHAPES[name]
    client = ModelClient(url, name)
    sent: list[Any] = []
    got: list[Any] = []
    post, get = client._http.post, client._http.get

    def posted(path: str, **more: Any) -> Any:
        sent.append(more["json"])
        answer = post(path, **more)
        got.append(answer.json())
        return answer

    def read_back(path: str, **more: Any) -> Any:
        answer = get(path, **more)
        msgspec.convert(answer.json(), ModelTold)
        return answer

    monkeypatch.setattr(client._http, "post", posted)
    monkeypatch.setattr(client._http, "get", read_back)
    told = client.describe(1, 0)
    assert (told.name, told.window) == (name, count)
    assert {v.alias for v in told.versions} >= {"champion"}
    assert all(v.policy_toml for v in told.versions)
    windows = [window(f"NSE:K{i}", walk(count, i, **shape)) for i in range(6)]
    as_of_ms = int(windows[0].ts_ms[-1])
    found = client.ask(cmd.AskModel(2, Priority.READ, (*windows, WINDOW), as_of_ms), 0)
    assert isinstance(found, ev.ModelAnswered)
    components = {"components": document["components"]}
    batch = jsonschema_rs.validator_for(components | {"$ref": "#/components/schemas/Batch"})
    batch.validate(sent[0])
    with pytest.raises(jsonschema_rs.ValidationError):
        batch.validate({"instances": [{"key": "no key"}]})
    msgspec.convert(got[0], BatchAnswer)
    *good, bad = zip(found.predictions, got[0]["answers"], sent[0]["instances"], strict=True)
    for one, row, asked in good:
        answer = msgspec.convert(row, Answer, strict=True)
        assert one.error == ""
        assert (one.side, one.version) == (answer.prediction.side, str(answer.version))
        assert one.er_long == answer.prediction.er_long
        assert one.er_short == answer.prediction.er_short
        assert one.request_id == answer.request_id == asked["request_id"]
    assert (bad[0].key, bad[0].error) == (
        WINDOW.key, msgspec.convert(bad[1], RowRefused).error["detail"],
    )  # fmt: skip
    client.close()


def test_an_answer_without_what_the_agent_needs_is_an_error_for_its_symbol(
    served: tuple[str, dict[str, Any]],
) -> None:
    """What the client reads is what the document says is always there."""
    schemas = served[1]["components"]["schemas"]
    assert {"version", "prediction", "request_id"} <= set(schemas["Answer"]["required"])
    needed = {"side", "er_long", "er_short", "valid_until"}
    assert needed <= set(schemas["Said"]["required"])
    assert {"name", "interval", "window", "universe", "versions"} <= set(
        schemas["ModelTold"]["required"]
    )
    whole = {
        "request_id": "r", "model": "tiny", "version": 1, "variant": "champion",
        "plan_revision": 1, "unit": "NSE:A|2026-01-05", "warnings": [], "latency_ms": 1.0,
        "prediction": {"side": "BUY", "p_long": 0.4, "p_short": 0.3, "p_flat": 0.3,
                       "er_long": 0.1, "er_short": -0.1,
                       "valid_until": "2026-01-06T15:30:00+05:30"},
    }  # fmt: skip
    msgspec.convert(whole, Answer)
    assert prediction_of("NSE:A", whole).error == ""
    for name in needed:
        broken = copy.deepcopy(whole)
        del broken["prediction"][name]  # type: ignore[attr-defined]
        assert prediction_of("NSE:A", broken).error
