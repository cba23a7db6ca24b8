"""A real keeper over small parts: order, restarts, and an end that leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flows.stack.kept import read_state
from flows.stack.mark import end_marked, marked
from flows.stack.status import is_running, status

LIMIT_S = 30.0
STOP_S = 15.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {limit_s} s: {what}")


class Running:
    """One keeper in a process of its own."""

    def __init__(self, home: Path, kind: str, port: int) -> None:
        self.home, self.port = home, port
        self.errors = home.parent / "stderr.txt"
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.flows.stack.small", str(home), str(port), kind],
                stderr=errors,
                stdin=subprocess.DEVNULL,
                cwd=Path(__file__).resolve().parents[3],
                env={**os.environ, "PYTHONPATH": "."},
            )

    def part(self, name: str) -> dict[str, Any]:
        return dict(read_state(self.home).get("parts", {}).get(name, {}))

    def wait(self, name: str, state: str, *, restarts: int = 0) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            part = self.part(name)
            arrived = part.get("state") == state and part["restarts"] >= restarts
            return part if arrived else None

        return dict(until(there, f"{name} {state}; it is {self.part(name)}; {self.told()}"))

    def told(self) -> str:
        return self.errors.read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(STOP_S + 5)
        return time.monotonic() - began

    def nothing_is_left(self) -> bool:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError:
                return False
        return not marked(self.home) and not is_running(self.home)


@contextmanager
def keeper(home: Path, kind: str = "plain", port: int | None = None) -> Iterator[Running]:
    running = Running(home, kind, port or free_port())
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        end_marked(home, grace_s=0)


def test_each_part_waits_for_what_it_needs_and_says_so(home: Path) -> None:
    with keeper(home) as stack:
        stack.wait("client", "up")
        server, client = stack.part("server"), stack.part("client")
        assert server["state"] == "up"
        assert server["since"] <= client["since"]
        assert stack.wait("once", "done")["restarts"] == 0
        assert stack.part("idle")["state"] == "waiting"
        assert stack.part("idle")["why"] == "no work yet"

        (home / "work").touch()
        stack.wait("idle", "up")

        said = status(home)
        assert (said["running"], said["ok"], said["wrong"]) == (True, True, [])
        assert said["parts"]["server"]["address"] == f"http://127.0.0.1:{stack.port}"
        took = stack.stop(signal.SIGINT)
        assert stack.process.returncode == 0
        assert took < STOP_S
        assert stack.nothing_is_left()
        assert not status(home)["running"]
    told = stack.told()
    assert "idle waits: no work yet" in told
    assert "server     | serving" in told  # a part's own output, with its name before it
    assert "SIGINT: stopping all parts" in told
    assert "did it" in (home / "logs" / "once.log").read_text()


@pytest.mark.parametrize("name", ["server", "client", "warden"])
def test_a_part_killed_is_started_again_and_it_is_said(home: Path, name: str) -> None:
    with keeper(home) as stack:
        stack.wait("client", "up")
        before = stack.wait(name, "up")
        orphans = set(marked(home, "client"))
        os.kill(before["pid"], signal.SIGKILL)

        after = stack.wait(name, "up", restarts=1)

        assert after["pid"] != before["pid"]
        assert "SIGKILL" in after["last_fault"]["why"]
        if name == "client":  # what it had started went with it
            assert not orphans & set(marked(home, "client"))
        stack.stop()
        assert stack.nothing_is_left()
        assert f"{name} ended by SIGKILL; restart 1 in 0.5 s" in stack.told()


def test_kill_9_of_the_keeper_leaves_nothing_and_the_next_one_starts(home: Path) -> None:
    with keeper(home) as stack:
        stack.wait("client", "up")
        until(lambda: len(marked(home, "client")) == 2, "its own child runs")
        stack.process.kill()
        stack.process.wait()
        until(stack.nothing_is_left, "everything gone", STOP_S)
        assert "`ratchet up`" in status(home)["wrong"][0]
    with keeper(home, port=stack.port) as again:
        again.wait("client", "up")


def test_kill_9_of_keeper_and_warden_leaves_what_the_next_one_ends(home: Path) -> None:
    with keeper(home) as stack:
        stack.wait("client", "up")
        until(lambda: len(marked(home, "client")) == 2, "its own child runs")
        stack.process.send_signal(signal.SIGSTOP)  # or it would start another warden
        os.kill(stack.part("warden")["pid"], signal.SIGKILL)
        stack.process.kill()
        stack.process.wait()
        # the kernel ends the parts; what a part put into another session lives on
        left = until(lambda: len(marked(home)) == 1 and marked(home), "one orphan")
        assert f"{len(left)} processes" in status(home)["wrong"][1]
    with keeper(home, port=stack.port) as again:
        again.wait("client", "up")
        assert not set(left) & set(marked(home))
        again.stop()
        assert again.nothing_is_left()


def test_a_part_that_fails_at_once_backs_off_and_tells_its_last_words(home: Path) -> None:
    with keeper(home, "failing") as stack:
        failing = stack.wait("failing", "down", restarts=2)
        assert failing["last_fault"]["why"] == "ended with status 1: no key: give one"
        assert failing["why"] == "restarts after 1 s"
        wrong = status(home)["wrong"]
        assert wrong == [
            "failing is down (ended with status 1: no key: give one); restarts after 1 s"
        ]
        stack.wait("client", "up")  # the others do not mind


def test_a_part_that_runs_but_does_not_answer_is_told_and_left(home: Path, tmp_path: Path) -> None:
    with keeper(home) as stack:
        pid = stack.wait("server", "up")["pid"]
        (home / "sick").touch()
        silent = stack.wait("server", "silent")
        assert silent["pid"] == pid
        assert "server runs, but left 3 questions unanswered" in status(home)["wrong"]
        (home / "sick").unlink()
        assert stack.wait("server", "up")["pid"] == pid


def test_a_part_that_hangs_is_started_again_but_not_what_waits_for_it(home: Path) -> None:
    with keeper(home, "hanging") as stack:
        stack.wait("client", "up")
        before = stack.part("server")["pid"], stack.part("client")["pid"]
        os.kill(before[0], signal.SIGSTOP)
        server = stack.wait("server", "up", restarts=1)
        assert server["pid"] != before[0]
        assert "hung: it left 6 questions" in server["last_fault"]["why"]
        # the client is asked through the server: its silence was not its own
        client = stack.wait("client", "up")
        assert (client["pid"], client["restarts"]) == (before[1], 0)
        stack.stop()
        assert stack.nothing_is_left()
    told = stack.told()
    assert told.index("server runs but does not answer") < told.index("server seems to hang")
    assert "restart 1 in 0.5 s" in told


def test_a_part_that_is_slow_is_not_started_again(home: Path) -> None:
    """It answers nothing in time, but the last question, which may take longer."""
    with keeper(home, "slow") as stack:
        pid = stack.wait("server", "up")["pid"]
        (home / "sick-slow").touch()  # half a second an answer, a quarter allowed
        stack.wait("server", "silent")
        until(lambda: stack.told().count("server seems to hang") >= 2, "it was asked twice")
        server = stack.wait("server", "silent")
        assert (server["pid"], server["restarts"]) == (pid, 0)
        (home / "sick-slow").unlink()
        assert stack.wait("server", "up")["pid"] == pid


def test_a_stop_while_a_hung_part_is_asked_once_more_does_not_wait_for_it(home: Path) -> None:
    with keeper(home, "patient") as stack:
        stack.wait("client", "up")
        os.kill(stack.part("server")["pid"], signal.SIGSTOP)
        until(lambda: "server seems to hang" in stack.told(), "it is being asked")
        assert stack.stop() < STOP_S
        assert stack.nothing_is_left()


def test_what_ignores_sigterm_is_killed_in_time_and_the_status_says_so(home: Path) -> None:
    with keeper(home, "stubborn") as stack:
        stack.wait("stubborn", "up")
        until(lambda: "stubborn   | here" in stack.told(), "its handler is set")
        took = stack.stop()
        assert took < STOP_S
        assert stack.process.returncode == 3
        assert "stubborn did not stop in time: killed" in stack.told()
        assert stack.nothing_is_left()


def test_a_second_signal_does_not_wait(home: Path) -> None:
    with keeper(home, "stubborn") as stack:
        stack.wait("stubborn", "up")
        until(lambda: "stubborn   | here" in stack.told(), "its handler is set")
        stack.process.send_signal(signal.SIGINT)
        until(lambda: "stopping all parts" in stack.told(), "the first was heard")
        took = stack.stop(signal.SIGINT)
        assert took < 4.0  # the grace is five seconds
        assert stack.nothing_is_left()


def test_a_stop_while_a_part_is_being_asked_is_an_ordinary_stop(home: Path) -> None:
    with keeper(home) as stack:
        stack.wait("client", "up")
        (home / "sick-slow").touch()  # from now on nearly always one question is open
        until(lambda: status(home)["running"], "it runs")
        time.sleep(0.6)
        stack.stop()
        assert stack.process.returncode == 0, stack.told()
        assert stack.nothing_is_left()


def test_one_keeper_a_home(home: Path) -> None:
    with keeper(home) as stack:
        stack.wait("server", "up")
        with keeper(home) as second:
            assert second.process.wait(LIMIT_S) != 0
            assert f"process {stack.process.pid} is doing so" in second.told()
            assert stack.part("server")["state"] == "up"


def test_a_taken_port_is_refused_before_anything_starts(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with keeper(home, port=port) as stack:
            assert stack.process.wait(LIMIT_S) != 0
            assert f"port {port} (server)" in stack.told()
            assert "the server port in" in stack.told()
            assert not marked(home)
    assert json.dumps(read_state(home)) == "{}"
