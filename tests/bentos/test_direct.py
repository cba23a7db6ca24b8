"""The plain question answered from its connection: the same as through the application.

Real sockets. A question goes the usual way when its body comes in chunks, so both ways are there
to be compared in one service.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from bentos.problems import MEDIA_TYPE
from tests.bentos.bundles import request, write_model, write_version
from tests.bentos.candles import walk
from tests.bentos.serving import Service
from tests.bentos.waiting import until

TOKEN = "predict-token-1234567890"
ADMIN = "admin-token-0987654321"
WHOLE = json.dumps(request(walk(60, 5), request_id="same-1")).encode()
PREDICT = "/v1/models/tiny/predict"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("direct")
    write_model(home / "serving", versions=2, challengers={"2": 0.5})
    write_version(home / "serving" / "tiny" / "versions" / "7", seed=7)  # outside the plan
    with Service(home, RATCHET_PREDICT_TOKEN=TOKEN, RATCHET_ADMIN_TOKEN=ADMIN) as running:
        yield running.wait_ready()


@dataclass
class Heard:
    """One answer, as it came over the wire."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def head(*, chunked: bool, length: int, token: str | None = TOKEN, more: str = "") -> bytes:
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {length}"
    sent = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\n{framing}\r\n{more}"
    if token is not None:
        sent += f"Authorization: Bearer {token}\r\n"
    return f"{sent}\r\n".encode()


def framed(body: bytes, *, chunked: bool, **told: Any) -> bytes:
    top = head(chunked=chunked, length=len(body), **told)
    if not chunked:
        return top + body
    return top + (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"


class Line:
    """A connection on which several answers are read, one after the other."""

    def __init__(self, service: Service) -> None:
        self.socket = socket.create_connection(("127.0.0.1", service.port), timeout=20)
        self._got = b""

    def send(self, text: bytes) -> None:
        self.socket.sendall(text)

    def hear(self) -> Heard:
        while b"\r\n\r\n" not in self._got:
            self._more()
        top, _, self._got = self._got.partition(b"\r\n\r\n")
        first, *lines = top.decode().split("\r\n")
        headers = [(k.lower(), v) for k, _, v in (line.partition(": ") for line in lines)]
        length = int(dict(headers)["content-length"])
        while len(self._got) < length:
            self._more()
        body, self._got = self._got[:length], self._got[length:]
        return Heard(int(first.split()[1]), headers, body)

    def ended(self) -> bool:
        return not self._got and self.socket.recv(1) == b""

    def _more(self) -> None:
        part = self.socket.recv(65_536)
        assert part, f"the connection ended after {self._got!r}"
        self._got += part


@pytest.fixture
def line(service: Service) -> Iterator[Line]:
    opened = Line(service)
    yield opened
    opened.socket.close()


def told(answer: Heard) -> tuple[Any, ...]:
    """What must not depend on the way: all but times."""
    body = {k: v for k, v in answer.json().items() if k != "latency_ms"}
    headers = sorted((k, v) for k, v in answer.headers if k not in {"date", "content-length"})
    return answer.status, headers, body


BODIES = {
    "good": WHOLE,
    "pinned": json.dumps({**json.loads(WHOLE), "pin_version": 2}).encode(),
    "pinned-nowhere": json.dumps({**json.loads(WHOLE), "pin_version": 99}).encode(),
    "not-json": b"{",
    "empty": b"",
    "bad-key": json.dumps({**json.loads(WHOLE), "key": "infy"}).encode(),
    "too-few": json.dumps(request(walk(9, 5), request_id="same-2")).encode(),
    "bad-utf8": b'{"key":"\xff"}',
    "deep": b'{"key":"NSE:A","x":' + b"[" * 5_000,
}


@pytest.mark.parametrize("name", BODIES)
def test_both_ways_tell_the_same(line: Line, name: str) -> None:
    heard = []
    for chunked in (False, True):
        line.send(framed(BODIES[name], chunked=chunked))
        answer = line.hear()
        if "same" not in answer.json().get("request_id", ""):  # made by the service: never twice
            answer.body = json.dumps({**answer.json(), "request_id": ""}).encode()
        heard.append(told(answer))
    assert heard[0] == heard[1]
    kind = dict(heard[0][1])["content-type"]
    assert kind == ("application/json" if heard[0][0] == 200 else MEDIA_TYPE)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_version_outside_the_plan_is_loaded_for_who_is_pinned_to_it(
    line: Line, chunked: bool
) -> None:
    line.send(framed(json.dumps({**json.loads(WHOLE), "pin_version": 7}).encode(), chunked=chunked))
    answer = line.hear()
    assert (answer.status, answer.json()["version"]) == (200, 7), answer.body
    assert answer.json()["variant"] == "pinned"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("token", "status"), [(None, 401), ("wrong", 401), (TOKEN, 200), (ADMIN, 200)]
)
def test_the_token_is_asked_for_either_way(
    line: Line, chunked: bool, token: str | None, status: int
) -> None:
    line.send(framed(WHOLE, chunked=chunked, token=token))
    assert line.hear().status == status


def test_questions_sent_ahead_are_answered_in_their_order(line: Line) -> None:
    """Pipelined: the first goes directly, the rest wait behind it and go the usual way."""
    bodies = [json.dumps({**json.loads(WHOLE), "request_id": f"n{i}"}) for i in range(6)]
    texts = [framed(body.encode(), chunked=False) for body in bodies]
    line.send(b"".join(texts))
    assert [line.hear().json()["request_id"] for _ in texts] == [f"n{i}" for i in range(6)]
    line.send(texts[0])
    assert line.hear().status == 200


def test_questions_that_wait_together_are_answered_as_they_would_be_alone(
    service: Service,
) -> None:
    """Among them bad ones, pinned ones and one whose version must be loaded first."""
    rows = [json.loads(WHOLE) | {"request_id": f"t{i}", "key": f"NSE:T{i}"} for i in range(40)]
    for i, row in enumerate(rows):
        row["candles"] = request(walk(60 + i % 3, 100 + i))["candles"]
    rows[3]["pin_version"], rows[11]["pin_version"], rows[17]["pin_version"] = 1, 99, 7
    rows[5]["candles"]["close"][7] = -1.0
    rows[6]["key"] = "infy"
    texts = [framed(json.dumps(row).encode(), chunked=False) for row in rows]
    lines = [Line(service) for _ in rows]
    alone = []
    for text in texts:
        lines[0].send(text)
        alone.append(told(lines[0].hear()))
    for line, text in zip(lines, texts, strict=True):
        line.send(text)
    together = [told(line.hear()) for line in lines]
    for line in lines:
        line.socket.close()
    assert [status for status, _, _ in alone] == [
        {5: 422, 6: 422, 11: 404}.get(i, 200) for i in range(40)
    ]
    for one, several in zip(alone, together, strict=True):
        for answer in (one, several):
            if answer[0] != 200 and not answer[2]["request_id"].startswith("t"):
                answer[2]["request_id"] = ""
        assert one == several


def test_a_body_in_many_pieces_is_one_question(line: Line) -> None:
    text = framed(WHOLE, chunked=False)
    line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(0, len(text), 97):
        line.send(text[at : at + 97])
    assert line.hear().status == 200


def test_a_connection_that_asks_to_be_closed_is(line: Line) -> None:
    line.send(framed(WHOLE, chunked=False, more="Connection: close\r\n"))
    answer = line.hear()
    assert answer.status == 200
    assert ("connection", "close") in answer.headers
    assert line.ended()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_stays_away_is_refused_in_time(line: Line, chunked: bool) -> None:
    text = framed(WHOLE, chunked=chunked)
    line.send(text[: len(text) // 2])
    answer = line.hear()
    assert answer.status == 408
    assert answer.json()["type"] == "urn:ratchet:problem:body-late"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_breaks_off_leaves_its_record(service: Service, chunked: bool) -> None:
    def broken_off() -> int:
        ended = "the connection ended before the body did"
        return sum(r.get("detail") == ended for r in service.records())

    before = broken_off()
    line = Line(service)
    text = framed(WHOLE, chunked=chunked)
    line.send(text[: len(text) // 2])
    line.socket.close()
    until(lambda: broken_off() == before + 1)


def test_whoever_goes_away_after_asking_is_answered_to_the_log(service: Service) -> None:
    line = Line(service)
    mine = json.dumps({**json.loads(WHOLE), "request_id": "left-early"}).encode()
    line.send(framed(mine, chunked=False))
    line.socket.close()
    until(lambda: any(r.get("request_id") == "left-early" for r in service.records()))
    opened = b'ratchet_open_requests{worker="1"} 1\n'  # the one that reads them
    until(lambda: opened in service.call("GET", "/metrics").body)


def test_a_body_past_the_bound_is_refused_unread(line: Line) -> None:
    line.send(head(chunked=False, length=10_000_000) + b"{")
    assert line.hear().status == 413


@pytest.mark.parametrize(
    "sent", [b"HELLO\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET /" + b"x" * 4_000 + b"\r\n\x00"]
)
def test_what_is_not_http_is_refused_in_the_same_shape(
    service: Service, line: Line, sent: bytes
) -> None:
    line.send(sent)
    answer = line.hear()
    assert answer.status == 400
    assert dict(answer.headers)["content-type"] == MEDIA_TYPE
    assert answer.json()["type"] == "urn:ratchet:problem:request-malformed"
    assert line.ended()
    mine = answer.json()["request_id"]

    def logged() -> list[str]:
        return [r["route"] for r in service.records() if r.get("request_id") == mine]

    until(lambda: len(logged()) == 1)
    assert len(logged()[0]) <= 200


def test_a_version_that_is_asked_by_features_is_told_all_of_its_own(
    service: Service, line: Line
) -> None:
    names = service.call("GET", "/v1/models/tiny", authorization=f"Bearer {TOKEN}").json()
    names = [feature["name"] for feature in names["features"]]
    row = dict.fromkeys(names[1:], 0.5)
    for pinned in ({}, {"pin_version": 7}):
        asked = {"key": "NSE:INFY", "features": row, **pinned}
        line.send(framed(json.dumps(asked).encode(), chunked=False))
        answer = line.hear()
        assert (answer.status, answer.json()["field"]) == (422, f"features.{names[0]}")


def test_a_head_without_end_is_refused(line: Line) -> None:
    line.send(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ")
    with contextlib.suppress(ConnectionError):  # hung up on while we send
        for _ in range(64):
            line.send(b"a" * 65_536)
    answer = line.hear()
    assert (answer.status, answer.json()["type"]) == (431, "urn:ratchet:problem:head-too-large")


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_an_upgrade_is_not_taken(service: Service, protocol: str) -> None:
    """A question would lose its body, so it is refused; what has none is answered."""
    more = f"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\n"
    asked, without = Line(service), Line(service)
    asked.send(framed(WHOLE, chunked=False, more=more))
    assert asked.hear().json()["detail"].startswith("Upgrade is not taken")
    assert asked.ended()
    sent = f"GET /v1/models HTTP/1.1\r\nHost: x\r\n{more}Authorization: Bearer {TOKEN}\r\n\r\n"
    without.send(sent.encode())
    assert without.hear().status == 200
    for line in (asked, without):
        line.socket.close()


@pytest.mark.parametrize("method", ["PROPFIND", "TRACE", "PUT"])
@pytest.mark.parametrize(
    ("path", "allow"),
    [("/v1/models", "GET"), ("/livez", "GET"), ("/v1/models/tiny/predict", "POST")],
)
def test_a_method_that_is_not_taken_names_those_that_are(
    line: Line, method: str, path: str, allow: str
) -> None:
    line.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = line.hear()
    assert answer.status == 405
    assert allow in dict(answer.headers)["allow"].split(", ")


def test_a_connection_without_a_request_is_not_kept(service: Service) -> None:
    """Half a head is refused; no head, and half of one behind an answer, are hung up on."""
    idle, half, second = (Line(service) for _ in range(3))
    half.send(b"POST /v1/models/tiny/predict HTTP/1.1\r\nHost: x\r\n")
    second.send(framed(WHOLE, chunked=False) + b"POST /v1/mod")
    assert second.hear().status == 200
    answer = half.hear()
    assert (answer.status, answer.json()["type"]) == (408, "urn:ratchet:problem:request-late")
    for line in (idle, half, second):
        assert line.ended()
        line.socket.close()


def test_a_service_that_may_not_answer_directly_answers_all_the_same(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The setting is seen by what BentoML's own layers do: its access log names the request."""
    home = tmp_path_factory.mktemp("usual")
    write_model(home / "serving", versions=1)
    access = json.dumps({"services": {"ratchet": {"logging": {"access": {"enabled": True}}}}})
    for direct in ("false", "true"):
        told = {"RATCHET_SERVING__DIRECT": direct, "BENTOML_CONFIG_OVERRIDES": access}
        with Service(home, **told) as service:  # type: ignore[arg-type]
            line = Line(service.wait_ready())
            line.send(framed(WHOLE, chunked=False, token=None))
            assert line.hear().status == 200
            line.socket.close()
        assert (PREDICT in service.log.read_text()) == (direct == "false")


def test_a_stop_lets_an_open_question_be_answered(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("stopping")
    write_model(home / "serving", versions=1)
    with Service(home, RATCHET_SERVING__BODY_S_MAX="4") as service:
        line = Line(service.wait_ready())
        text = framed(WHOLE, chunked=False, token=None)
        line.send(text[:-100])
        until(
            lambda: b'ratchet_open_requests{worker="1"} 2\n' in service.call("GET", "/metrics").body
        )
        service.process.terminate()
        line.send(text[-100:])
        answer = line.hear()
        assert answer.status == 200
        line.socket.close()
        service.process.wait(20)
    until(lambda: any(r.get("request_id") == "same-1" for r in service.records()))
