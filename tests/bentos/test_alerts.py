"""Every kind of alert leaves through the hook, once, and delays nobody."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from bentos.alerts import KINDS, Bounds, ModelReading, Reading, Vigil
from bentos.app import Gate, _guarded
from bentos.checks import STUCK_ANSWERS
from bentos.metrics import BUCKETS_MS
from bentos.notify import WAITING_MAX, Notice, Notifier
from bentos.problems import Problem
from bentos.shadow import ShadowRow
from tests.bentos.bundles import request, write_model, write_plan, write_version
from tests.bentos.candles import walk
from tests.bentos.test_worker import Desk
from tests.bentos.waiting import until


class Receiver(ThreadingHTTPServer):
    """Where alerts arrive."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[dict[str, Any]] = []
        self.refuse = 0
        self.hold = threading.Event()
        self.hold.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/alerts"

    def kinds(self) -> list[str]:
        return [told["kind"] for told in self.got]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.hold.wait(20)
        if self.server.refuse > 0:
            self.server.refuse -= 1
            status = 503
        else:
            self.server.got.append(json.loads(body))
            status = 200
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.hold.set()
        server.shutdown()


def desk(home: Path, receiver: Receiver, **options: Any) -> Desk:
    """A worker whose threads do not run, but the notifier's."""
    made = Desk(home, alert_hook=receiver.url, **options)
    made.worker.notifier.start()
    made.worker.look()  # the reading that later ones are compared with
    return made


def damage(home: Path, receiver: Receiver) -> Desk:
    write_version(home / "serving" / "tiny" / "versions" / "3")
    (home / "serving" / "tiny" / "versions" / "3" / "model.txt").write_text("damaged")
    write_plan(home / "serving" / "tiny", revision=2, champion=3)
    return desk(home, receiver)


def break_golden(home: Path, receiver: Receiver) -> Desk:
    write_version(home / "serving" / "tiny" / "versions" / "3", broken=True)
    write_plan(home / "serving" / "tiny", revision=2, champion=3)
    return desk(home, receiver)


def overload(home: Path, receiver: Receiver) -> Desk:
    made = desk(home, receiver)
    for i in range(60):
        made.answer(request(walk(60, i)))
    made.worker.refused("/", "tiny", Problem("overloaded", "64 wait"), "id")
    made.worker.look()
    return made


def slow(home: Path, receiver: Receiver) -> Desk:
    made = desk(home, receiver, alert_p99_ms=50)
    for i in range(40):
        made.worker.figures.of("tiny").answered(1, "champion", "HOLD", 51.0 if i < 3 else 1.0)
    made.worker.look()
    return made


def stick(home: Path, receiver: Receiver) -> Desk:
    made = desk(home, receiver)
    watch = made.worker.pool.models["tiny"].active.champion.watch  # type: ignore[union-attr]
    for i in range(STUCK_ANSWERS):
        watch.seen(bytes([i % 250, i // 250]), (0.2, 0.3, 0.5))
    _, active = made.worker.served("tiny")
    asked = made.asked(request(walk(60, 1)))
    made.worker._answered(active, asked, made.row(), (0.2, 0.3, 0.5), cached=False)
    return made


def answer_nonsense(home: Path, receiver: Receiver) -> Desk:
    made = desk(home, receiver)
    _, active = made.worker.served("tiny")
    asked = made.asked(request(walk(60, 1)))
    made.worker._answered(active, asked, made.row(), (0.9, 0.9, 0.9), cached=False)
    return made


def fill_shadows(home: Path, receiver: Receiver) -> Desk:
    write_plan(home / "serving" / "tiny", revision=2, champion=1, shadows=[2])
    made = desk(home, receiver, shadow_waiting_max=1)
    for i in range(3):  # nobody scores them
        made.answer(request(walk(60, i)))
    made.worker.look()
    return made


def break_shadow(home: Path, receiver: Receiver) -> Desk:
    write_plan(home / "serving" / "tiny", revision=2, champion=1, shadows=[2])
    made = desk(home, receiver)
    made.answer(request(walk(60, 1)))
    row = made.worker.shadows._queue.get()
    assert row is not None
    made.worker.shadows.score([ShadowRow(row.versions, row.row[:3], row.record)])
    return made


def fill_log(home: Path, receiver: Receiver) -> Desk:
    made = desk(home, receiver, log_waiting_max=100)
    del made.worker.log.put  # the real one; its thread does not run
    for i in range(110):
        made.worker.refused("/", "tiny", Problem("not-found", str(i)), "id")
    made.worker.look()
    return made


def lose_folder(home: Path, receiver: Receiver) -> Desk:
    made = desk(home, receiver)

    def gone() -> Path:
        raise OSError("stale file handle")

    made.worker.pool._folder = gone
    made.worker.look()
    return made


def fault(home: Path, receiver: Receiver) -> Desk:
    made = desk(home, receiver)
    gate = Gate()
    gate.worker = made.worker

    async def breaks(_: Request) -> Any:
        raise RuntimeError("ours")

    scope = {"type": "http", "path": "/x", "path_params": {}, "headers": [], "method": "GET",
             "query_string": b"", "server": ("x", 1), "scheme": "http", "state": {}}  # fmt: skip
    answer = asyncio.run(_guarded(gate, breaks)(Request(scope)))
    assert answer.status_code == 503
    return made


CAUSES: dict[str, Callable[[Path, Receiver], Desk]] = {
    "load-failed": damage,
    "golden-mismatch": break_golden,
    "plan-not-followed": break_golden,
    "error-rate": overload,
    "latency": slow,
    "stuck-output": stick,
    "bad-output": answer_nonsense,
    "shadow-full": fill_shadows,
    "shadow-failed": break_shadow,
    "log-full": fill_log,
    "follower-failed": lose_folder,
    "internal": fault,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_arrives_once_with_what_to_do(home: Path, receiver: Receiver, kind: str) -> None:
    write_model(home / "serving", versions=2)
    made = CAUSES[kind](home, receiver)
    until(lambda: kind in receiver.kinds())
    made.worker.look()
    made.worker.notifier.stop(10)
    assert receiver.kinds().count(kind) == 1
    told = next(told for told in receiver.got if told["kind"] == kind)
    assert told["what_to_do"] == KINDS[kind]
    assert told["detail"]
    assert told["worker"] == 1
    assert made.worker.figures.alerts[kind] >= 1


def test_an_alert_leaves_once_in_a_while_whichever_worker_saw_it(
    home: Path, receiver: Receiver
) -> None:
    workers = [Notifier(receiver.url, 300, home, number) for number in (1, 2)]
    for worker in workers:
        worker.start()
    for at_s in (1000.0, 1001.0, 1299.0):
        for worker in workers:
            worker.put(Notice("latency", "tiny", None, "slow", at_s))
    workers[0].put(Notice("latency", "other", None, "slow", 1000.0))
    until(lambda: all(worker._queue.empty() for worker in workers))
    for worker in workers:
        worker.stop(10)
    assert sorted(told["model"] for told in receiver.got) == ["other", "tiny"]
    later = Notifier(receiver.url, 300, home, 3)
    later.start()
    later.put(Notice("latency", "tiny", None, "slow", 1400.0))
    until(lambda: len(receiver.got) == 3)
    assert receiver.got[2]["held_back"] == 5
    later.stop(10)


def test_a_receiver_that_hangs_delays_nobody_and_nothing_piles_up(
    home: Path, receiver: Receiver
) -> None:
    receiver.hold.clear()
    notifier = Notifier(receiver.url, 0, home, 1)
    notifier.start()
    for i in range(WAITING_MAX + 50):
        notifier.put(Notice("latency", f"m{i}", None, "slow", 1000.0))
    assert notifier.dropped >= 49
    assert receiver.got == []
    receiver.hold.set()
    until(lambda: notifier.sent + notifier.dropped == WAITING_MAX + 50)


def test_a_receiver_that_refuses_is_asked_again(
    home: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bentos.notify.BETWEEN_S", 0.01)
    receiver.refuse = 2
    notifier = Notifier(receiver.url, 300, home, 1)
    notifier.start()
    notifier.put(Notice("log-full", "", None, "10 dropped", 1000.0))
    until(lambda: receiver.kinds() == ["log-full"])
    receiver.refuse = 3
    notifier.put(Notice("latency", "tiny", 2, "slow", 1000.0))
    until(lambda: notifier.failed == 1)
    notifier.stop(10)
    assert notifier.sent == 1


def test_a_command_gets_the_alert_on_its_standard_input(home: Path, tmp_path: Path) -> None:
    into = tmp_path / "told"
    code = f"import sys,pathlib; pathlib.Path({str(into)!r}).write_bytes(sys.stdin.buffer.read())"
    notifier = Notifier(shlex.join([sys.executable, "-c", code]), 300, home, 1)
    notifier.start()
    notifier.put(Notice("load-failed", "tiny", 3, "no model.txt", 1_000.0))
    until(lambda: notifier.sent == 1)
    notifier.stop(10)
    told = json.loads(into.read_text())
    assert (told["kind"], told["version"]) == ("load-failed", 3)
    assert told["at"] == "1970-01-01T00:16:40.000+00:00"


def reading(at_s: float, requests: int, errors: int = 0, slow: int = 0, **more: int) -> Reading:
    buckets = [0] * (len(BUCKETS_MS) + 1)
    buckets[0], buckets[-1] = requests - errors - slow, slow
    models = {"m": ModelReading(requests, errors, tuple(buckets))}
    return Reading(at_s, models, more.get("shadow", 0), more.get("log", 0))


#  id, readings, kinds told at each
ROWS: list[tuple[str, list[Reading], list[list[str]]]] = [
    ("quiet", [reading(0, 0), reading(1, 500)], [[], []]),
    ("few", [reading(0, 0), reading(1, 19, 19)], [[], []]),
    ("at the bound", [reading(0, 0), reading(1, 200, 2)], [[], []]),
    ("over it, once", [reading(0, 0), reading(1, 200, 3), reading(2, 220, 5)],
     [[], ["error-rate"], []]),
    ("again after it was good", [reading(0, 0), reading(1, 100, 9), reading(70, 9_100, 9),
                                 reading(140, 18_100, 9), reading(141, 18_200, 900)],
     [[], ["error-rate"], [], [], ["error-rate"]]),
    ("slow", [reading(0, 0), reading(1, 100, 0, 2)], [[], ["latency"]]),
    ("one slow of a hundred", [reading(0, 0), reading(1, 100, 0, 1)], [[], []]),
    ("old errors have left the window", [reading(0, 1_000, 900), reading(100, 2_000, 900),
                                         reading(200, 3_000, 900)],
     [[], [], []]),
    ("drops are told for every window", [reading(0, 0), reading(1, 0, shadow=5),
                                         reading(2, 0, shadow=6), reading(62, 0, shadow=9)],
     [[], ["shadow-full"], [], ["shadow-full"]]),
    ("log", [reading(0, 0), reading(1, 0, log=1)], [[], ["log-full"]]),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[r[0] for r in ROWS])
def test_figures_over_time_give_alerts(row: tuple[str, list[Reading], list[list[str]]]) -> None:
    _, readings, expected = row
    vigil = Vigil(Bounds(60, 0.01, 50), BUCKETS_MS)
    assert [[kind for kind, _, _ in vigil.look(one)] for one in readings] == expected
