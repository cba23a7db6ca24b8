"""The served thing over real sockets: traffic, plans, damage, kill -9. Two workers."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from bentos.answer import trading_day
from bentos.problems import KINDS
from bentos.traffic import Plan, parse_plan, slot_of
from tests.bentos.bundles import booster_text, predicted, request, write_model, write_version
from tests.bentos.candles import walk
from tests.bentos.serving import Service
from tests.bentos.waiting import until

PREDICT = "/v1/models/tiny/predict"
BATCH = "/v1/models/tiny/predict_batch"
TRAFFIC = "/v1/models/tiny/traffic"
CANDLES = walk(60, 5)
DAY = trading_day(int(CANDLES.ts_ms[-1]))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("served")
    write_model(home / "serving", versions=3, challengers={"2": 0.2}, shadows=[3])
    write_model(home / "serving", "other", versions=1)
    with Service(home, workers=2) as running:
        few = (1_024, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, few)  # workers raise theirs
        yield running.wait_ready(workers=2)


def plan_of(service: Service) -> Plan:
    return parse_plan(service.call("GET", TRAFFIC).json(), model="tiny")


def ask(service: Service, keys: list[str], connections: int = 8) -> list[dict[str, Any]]:
    """Ask for each key once, over several connections at once; every answer must be good."""
    shares = [keys[i::connections] for i in range(connections)]

    def run(share: list[str]) -> list[dict[str, Any]]:
        connection = service.connect()
        try:
            got = [connection.call("POST", PREDICT, request(CANDLES, key)) for key in share]
        finally:
            connection.close()
        assert [a.status for a in got] == [200] * len(share), [a.body for a in got]
        return [a.json() for a in got]

    with ThreadPoolExecutor(connections) as pool:
        return [answer for answers in pool.map(run, shares) for answer in answers]


def test_an_answer_is_what_the_package_would_say(service: Service) -> None:
    plan = plan_of(service)
    for i in range(10):
        key = f"NSE:ONE{i}"
        answer = service.call("POST", PREDICT, request(CANDLES, key, request_id=f"one.{i}")).json()
        version, variant = plan.choose(slot_of("tiny", plan.salt, key, DAY))
        assert answer["prediction"].pop("valid_until") == "2020-11-13T15:30:00+05:30"
        assert answer["prediction"] == predicted(booster_text(version), CANDLES)
        assert answer.pop("latency_ms") > 0
        del answer["prediction"]
        assert answer == {
            "request_id": f"one.{i}", "model": "tiny", "version": version, "variant": variant,
            "plan_revision": plan.revision, "unit": f"{key}|{DAY}", "warnings": [],
        }  # fmt: skip


def test_a_thousand_requests_split_as_the_plan_says_and_are_all_logged(service: Service) -> None:
    plan = plan_of(service)
    keys = [f"NSE:K{i}" for i in range(1_000)]
    answers = ask(service, keys)
    for answer in answers:
        slot = slot_of("tiny", plan.salt, answer["unit"].partition("|")[0], DAY)
        assert (answer["version"], answer["variant"]) == plan.choose(slot)
    share = sum(a["variant"] == "challenger" for a in answers) / len(answers)
    assert abs(share - 0.2) < 0.05
    asked = {a["request_id"]: a for a in answers}

    def all_logged() -> list[dict[str, Any]]:
        found = [r for r in service.records() if r.get("request_id") in asked]
        return found if len(found) >= 3_000 else []

    records = until(all_logged)
    assert Counter(r["variant"] == "shadow" for r in records) == {True: 2_000, False: 1_000}
    # which worker takes a connection is the kernel's choice: ask on new ones until both did
    until(lambda: ask(service, keys[:8]) and {r.get("worker") for r in service.records()} >= {1, 2})
    by_request: dict[str, set[int]] = {}
    for record in records:
        by_request.setdefault(record["request_id"], set()).add(record["version"])
        if record["variant"] != "shadow":
            assert len(record["features"]) == 44
    assert set(map(frozenset, by_request.values())) == {frozenset({1, 2, 3})}, (
        "every row is scored by all"
    )


def test_a_unit_keeps_its_variant_over_workers_and_time(service: Service) -> None:
    keys = [f"NSE:STICKY{i}" for i in range(40)]
    told = [{a["unit"]: a["version"] for a in ask(service, keys)} for _ in range(3)]
    assert told[0] == told[1] == told[2]
    assert set(told[0].values()) == {1, 2}


def test_a_pinned_version_answers_whatever_the_plan_says(service: Service) -> None:
    for version in (1, 2, 3):
        answer = service.call("POST", PREDICT, request(CANDLES, pin_version=version)).json()
        assert (answer["version"], answer["variant"]) == (version, "pinned")
    refused = service.call("POST", PREDICT, request(CANDLES, pin_version=9))
    assert (refused.status, refused.json()["field"]) == (404, "pin_version")


def test_a_batch_answers_in_order_and_a_bad_row_spoils_no_other(service: Service) -> None:
    rows: list[Any] = [
        request(CANDLES, "NSE:B0", request_id="b.0"),
        {"key": "NSE:B1"},
        request(walk(59), "NSE:B2"),
        request(CANDLES, "NSE:B3", pin_version=2),
        request(CANDLES, "NSE:B4", pin_version=9),
        7,
        *(request(walk(60, i), f"NSE:C{i}") for i in range(14)),
    ]
    answers = service.call("POST", BATCH, {"instances": rows}).json()["answers"]
    assert len(answers) == len(rows)
    bad = {i for i, answer in enumerate(answers) if "error" in answer}
    assert bad == {1, 2, 4, 5}
    assert {answers[i]["error"]["status"] for i in bad} == {404, 422}
    for i in (0, 3, *range(6, len(rows))):
        alone = service.call("POST", PREDICT, rows[i]).json()
        assert answers[i]["prediction"] == alone["prediction"]
        assert (answers[i]["version"], answers[i]["unit"]) == (alone["version"], alone["unit"])
    assert answers[0]["request_id"] == "b.0"


def test_what_a_caller_must_send_is_told(service: Service) -> None:
    told = service.call("GET", "/v1/models/tiny").json()
    assert (told["name"], told["window"], told["interval"]) == ("tiny", 60, "day")
    assert len(told["features"]) == 44
    assert told["traffic"]["champion"] == plan_of(service).split.champion
    versions = {v["version"]: v for v in told["versions"]}
    assert {v["state"] for n, v in versions.items() if n <= 3} == {"ready"}
    one = versions[1]
    assert one["alias"] == "champion"
    assert one["policy"]["stop"] == {"distance": "1%"}
    assert len(one["policy_hash"]) == 64
    assert one["gates"]["statistical"]["passed"] is False
    assert one["allowed"] == "none"
    assert (one["interval"], one["window"], one["context"]) == ("day", 60, [])
    assert {m["name"] for m in service.call("GET", "/v1/models").json()["models"]} == {
        "tiny", "other",
    }  # fmt: skip
    assert service.call("GET", "/openapi.json").json()["paths"].keys() >= {"/v1/models"}
    assert b"ratchet_answers_total" in service.call("GET", "/metrics").body


GOOD = json.dumps(request(CANDLES)).encode()


def head(method: str, path: str, *headers: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def post(body: bytes, path: str = PREDICT) -> bytes:
    return head("POST", path, f"Content-Length: {len(body)}", "Connection: close") + body


NESTED = b'{"key":"NSE:A","context":' + b'{"a":' * 9_000 + b"1" + b"}" * 9_000 + b"}"
HUGE = b'{"key":"NSE:A","candles":{"ts":[' + b"1," * 40_000 + b"1]}}"
LONG = b'{"key":"NSE:A","candles":{"ts":[' + b"1," * 20_000 + b"1]}}"
TWICE = GOOD[:-1] + b',"key":"NSE:TCS"}'

#  id, raw bytes, status (0: whatever uvicorn says, 400 or a closed connection)
BAD: list[tuple[str, bytes, int]] = [
    ("empty", post(b""), 400),
    ("not json", post(b"hello"), 400),
    ("truncated json", post(GOOD[:-10]), 400),
    ("bad utf-8", post(GOOD[:20] + b"\xff\xfe" + GOOD[20:]), 400),
    ("NaN", post(GOOD.replace(b'"open": [', b'"open": [NaN, ')), 400),
    ("Infinity", post(GOOD.replace(b'"open": [', b'"open": [-Infinity, ')), 400),
    ("1e999", post(GOOD.replace(b'"open": [', b'"open": [1e999, ')), 422),
    ("one more open", post(GOOD.replace(b'"open": [', b'"open": [1, ')), 422),
    ("huge integer", post(GOOD.replace(b'"open": [', b'"open": [' + b"9" * 5_000 + b", ")), 422),
    ("text", post(GOOD.replace(b'"open": [', b'"open": ["1.5", ')), 422),
    ("true", post(GOOD.replace(b'"open": [', b'"open": [true, ')), 422),
    ("twice", post(TWICE), 422),
    ("nested", post(NESTED), 422),
    ("a long list", post(LONG), 422),
    ("too large", post(HUGE), 413),
    ("too large, undeclared", head("POST", PREDICT, "Transfer-Encoding: chunked")
     + b"".join(b"4000\r\n" + b" " * 0x4000 + b"\r\n" for _ in range(6)) + b"0\r\n\r\n", 413),
    ("too large, promised", head("POST", PREDICT, "Content-Length: 99999999999"), 413),
    ("never arrives", head("POST", PREDICT, "Content-Length: 50") + b"{", 408),
    ("unknown model", post(GOOD, "/v1/models/nobody/predict"), 404),
    ("strange model", post(GOOD, "/v1/models/%00%ff..%2f/predict"), 404),
    ("batch of nothing", post(b'{"instances": []}', BATCH), 422),
    ("batch of too many", post(b'{"instances": [' + b"1," * 300 + b"1]}", BATCH), 422),
    ("batch is a list", post(b"[]", BATCH), 422),
    ("no route", head("GET", "/v2/nothing", "Connection: close"), 404),
    ("root", head("GET", "/", "Connection: close"), 404),
    ("wrong method", head("DELETE", PREDICT, "Connection: close"), 405),
    ("strange method", head("PROPFIND", PREDICT, "Connection: close"), 405),
    ("options", head("OPTIONS", PREDICT, "Connection: close"), 405),
    ("no path", b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 0),
    ("trailing slash", post(GOOD, PREDICT + "/"), 404),
    ("no token", head("PUT", TRAFFIC, "If-Match: 1", "Content-Length: 2") + b"{}", 401),
    ("bad token", head("PUT", TRAFFIC, "Authorization: Bearer \xff", "Content-Length: 2") + b"{}",
     401),
    ("not http", b"\x16\x03\x01\x02\x00garbage\r\n\r\n", 0),
]  # fmt: skip


def raw(service: Service, text: bytes) -> tuple[int, bytes]:
    """Send bytes; return the status and the body of what comes back."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as wire:
        wire.sendall(text)
        got = b""
        while b"\r\n\r\n" not in got:
            part = wire.recv(65_536)
            if not part:
                return 0, got
            got += part
        top, _, body = got.partition(b"\r\n\r\n")
        lengths = [x for x in top.lower().split(b"\r\n") if x.startswith(b"content-length:")]
        while lengths and len(body) < int(lengths[0].split(b":")[1]):
            body += wire.recv(65_536)
        return int(top.split()[1]), body


@pytest.mark.parametrize(("text", "status"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_input_gets_problem_json_and_kills_nobody(
    service: Service, text: bytes, status: int
) -> None:
    pids = {w.pid for w in service.workers()}
    found, body = raw(service, text)
    if status:
        assert found == status, body
        problem = json.loads(body)
        assert problem["status"] == status
        assert problem["type"].removeprefix("urn:ratchet:problem:") in KINDS
        assert problem["detail"]
    else:
        assert found in {0, 400, 404}
    assert {w.pid for w in service.workers()} == pids
    assert service.call("POST", PREDICT, GOOD).status == 200


def test_refusals_are_logged_with_the_offending_field(service: Service) -> None:
    body = request(CANDLES, request_id="refused-1")
    body["candles"]["open"][3] = -7.0
    assert service.call("POST", PREDICT, body).status == 422

    def logged() -> list[dict[str, Any]]:
        return [r for r in service.records() if r.get("request_id") == "refused-1"]

    (record,) = until(logged)
    assert record["kind"] == "refusal"
    assert (record["status"], record["problem"]) == (422, "field-invalid")
    assert (record["field"], record["found"]) == ("candles.open[3]", "-7.0")


#  id, method, path end, body, If-Match, status
CHANGES: list[tuple[str, str, str, Any, str | None, int]] = [
    ("no revision", "PUT", "traffic", {"champion": 1}, None, 428),
    ("no number", "PUT", "traffic", {"champion": 1}, "*", 400),
    ("stale", "PUT", "traffic", {"champion": 1}, "77", 412),
    ("no champion", "PUT", "traffic", {}, "NOW", 422),
    ("unknown version", "PUT", "traffic", {"champion": 9}, "NOW", 422),
    ("weights", "PUT", "traffic", {"champion": 1, "challengers": {"2": 1.5}}, "NOW", 422),
    ("twice", "PUT", "traffic", {"champion": 1, "shadows": [1]}, "NOW", 422),
    ("typo", "PUT", "traffic", {"champion": 1, "shadow": [2]}, "NOW", 422),
    ("another model", "PUT", "traffic", {"champion": 1, "model": "other"}, "NOW", 422),
    ("not json", "PUT", "traffic", b"{", "NOW", 400),
    ("unknown version", "POST", "promote", {"version": 9}, "NOW", 422),
    ("nothing", "POST", "promote", b"", "NOW", 400),
    ("not yet", "POST", "rollback", b"", "NOW", 409),
]


@pytest.mark.parametrize("row", CHANGES, ids=[f"{c[1]} {c[0]}" for c in CHANGES])
def test_a_bad_change_of_traffic_changes_nothing(service: Service, row: tuple) -> None:
    _, method, end, body, revision, status = row
    before = service.call("GET", TRAFFIC)
    headers = {"Authorization": f"Bearer {service.token}"}
    if revision is not None:
        headers["If_Match"] = before.headers["etag"] if revision == "NOW" else revision
    got = service.call(method, f"/v1/models/tiny/{end}", body, **headers)
    assert got.status == status, got.body
    assert got.json()["status"] == status
    assert service.call("GET", TRAFFIC).json() == before.json()


def test_plans_change_hot_under_traffic_and_every_answer_follows_one_of_them(
    service: Service,
) -> None:
    plans: dict[int, Plan] = {}
    stop = threading.Event()
    answers: list[dict[str, Any]] = []

    def traffic(seed: int) -> None:
        connection, i = service.connect(), 0
        while not stop.is_set():
            got = connection.call("POST", PREDICT, request(CANDLES, f"NSE:H{seed}.{i % 50}"))
            assert got.status == 200, got.body
            answers.append(got.json())
            i += 1
        connection.close()

    def note(plan: Any) -> int:
        plans[plan["revision"]] = parse_plan(plan, model="tiny")
        return int(plan["revision"])

    revision = note(service.call("GET", TRAFFIC).json())
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(traffic, seed) for seed in range(2)]
        steps: list[tuple[str, str, Any]] = [
            ("PUT", "traffic", {"champion": 1, "challengers": {"2": 0.2, "3": 0.3}}),
            ("PUT", "traffic", {"champion": 1, "challengers": {"2": 0.6, "3": 0.3}}),
            ("POST", "promote", {"version": 2}),
            ("POST", "rollback", b""),
            ("POST", "rollback", b""),
        ]
        for method, end, body in steps:
            got = service.admin(method, f"/v1/models/tiny/{end}", body, revision)
            assert got.status == 200, got.body
            revision = note(got.json())
            until(lambda r=revision: sum(a["plan_revision"] == r for a in list(answers)) >= 40)
        stop.set()
        for one in running:
            one.result()
    for answer in answers:
        plan = plans[answer["plan_revision"]]
        slot = slot_of("tiny", plan.salt, answer["unit"].partition("|")[0], DAY)
        assert (answer["version"], answer["variant"]) == plan.choose(slot)
    assert plans[revision].split.document() == {
        "champion": 1, "challengers": {"2": 0.2, "3": 0.3}, "shadows": [],
    }  # fmt: skip
    # a lost answer, asked again with the revision that was read: the same answer, no second step
    again = service.admin("POST", "/v1/models/tiny/rollback", b"", revision - 1)
    assert (again.status, again.json()["revision"]) == (200, revision)


def test_a_damaged_version_never_takes_traffic_also_not_after_a_respawn(service: Service) -> None:
    folder = write_version(service.home / "serving" / "tiny" / "versions" / "4", seed=4)
    golden = json.loads((folder / "golden.json").read_bytes())
    golden["expected"]["p_long"] = 0.99
    (folder / "golden.json").write_text(json.dumps(golden))
    before = plan_of(service)
    got = service.admin("POST", "/v1/models/tiny/promote", {"version": 4}, before.revision)
    assert got.status == 200, "the plan is written; whether it comes into force is proved"

    def failed() -> bool:
        told = service.call("GET", "/v1/models/tiny").json()
        states = {v["version"]: v["state"] for v in told["versions"]}
        return "golden answer not reproduced" in states.get(4, "")

    until(failed)
    for worker in service.workers():
        worker.kill()
    until(lambda: len(service.workers()) == 2 and service.ready())
    keys = [f"NSE:D{i}" for i in range(60)]
    answers = ask(service, keys, connections=6)
    assert {a["plan_revision"] for a in answers} == {before.revision}
    assert {a["version"] for a in answers} <= set(before.split.takers)
    # a killed worker takes its last half second of records along; the next one tells it again
    until(lambda: any(r.get("alert") == "golden-mismatch" for r in service.records()))
    assert service.admin(
        "POST", "/v1/models/tiny/rollback", b"", got.json()["revision"]
    ).status == (200)
    until(lambda: {a["plan_revision"] for a in ask(service, keys[:8])} == {before.revision + 2})


def test_a_killed_worker_is_replaced_and_the_other_goes_on(service: Service) -> None:
    told = {a["unit"]: a["version"] for a in ask(service, [f"NSE:R{i}" for i in range(30)])}
    service.workers()[0].kill()
    for key, version in told.items():  # new connections: the other worker takes them
        body = request(CANDLES, key.partition("|")[0])
        assert service.call("POST", PREDICT, body).json()["version"] == version
    until(lambda: len(service.workers()) == 2 and service.ready())
    again = {a["unit"]: a["version"] for a in ask(service, [f"NSE:R{i}" for i in range(30)])}
    assert again == told


def test_a_killed_keeper_leaves_no_orphan_and_is_replaced(service: Service) -> None:
    worker = service.workers()[0]
    keeper = worker.parent()
    assert keeper is not None
    keeper.kill()
    assert ask(service, [f"NSE:Q{i}" for i in range(4)], connections=1)  # the other takes them
    psutil.wait_procs([worker], timeout=20)
    assert not worker.is_running()
    until(lambda: len(service.workers()) == 2 and service.ready(), 60)
    family = psutil.Process(service.process.pid).children(recursive=True)
    assert {p.pid for p in family if p.ppid() != service.process.pid} == {
        w.pid for w in service.workers()
    }


def test_a_flood_is_answered_or_refused_never_failed(service: Service) -> None:
    texts = [post(json.dumps(request(CANDLES, f"NSE:F{i}")).encode()) for i in range(400)]
    wires = [socket.create_connection(("127.0.0.1", service.port), timeout=30) for _ in texts]
    for wire, text in zip(wires, texts, strict=True):
        wire.sendall(text)
    statuses: Counter[int] = Counter()
    for wire in wires:
        got = b""
        while part := wire.recv(65_536):
            got += part
        wire.close()
        status = int(got.split()[1])
        statuses[status] += 1
        if status == 503:
            assert b"retry-after: 1" in got.lower()
            assert b"urn:ratchet:problem:overloaded" in got
    assert set(statuses) <= {200, 503}
    assert statuses[200] >= 64
    assert service.ready()


def test_two_thousand_connections_and_slow_clients_cost_nobody_an_answer(service: Service) -> None:
    """Idle ones, half a head, half a body a byte at a time: the others are answered as before."""
    pids = {worker.pid for worker in service.workers()}
    for pid in pids:  # one that was just forked raises it in a moment
        until(lambda pid=pid: len(set(resource.prlimit(pid, resource.RLIMIT_NOFILE))) == 1)
    before = sum(worker.memory_info().rss for worker in service.workers())
    half = [b"", b"POST /v1/mod", head("POST", PREDICT, "Content-Length: 5000") + b'{"key"']
    wires = [
        socket.create_connection(("127.0.0.1", service.port), timeout=30) for _ in range(2_000)
    ]
    try:
        for i, wire in enumerate(wires):
            wire.sendall(half[i % 2 if i >= 90 else 2])  # as many bodies as may be open stay open
        drip = wires[0]
        for answer in ask(service, [f"NSE:W{i}" for i in range(60)], connections=4):
            assert answer["version"] in {1, 2, 3}
            with contextlib.suppress(OSError):  # it is refused in the end
                drip.sendall(b"x")
        assert service.ready()
        grown = sum(worker.memory_info().rss for worker in service.workers()) - before
        assert grown < 200 * 2**20, grown
    finally:
        for wire in wires:
            wire.close()
    assert {worker.pid for worker in service.workers()} == pids
    assert b"Traceback" not in service.log.read_bytes()
