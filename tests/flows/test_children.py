"""Processes we start end with us, say why they died, and are ready before they are used."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.errors import EnvironmentRefused
from flows.children import Children, require_free_port, wait_ready

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


def wait_until(condition: object, limit_s: float = 20.0) -> bool:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


def test_children_end_when_the_block_ends_even_by_an_error(tmp_path: Path) -> None:
    pids: list[int] = []

    def block() -> None:
        with Children({}, tmp_path) as children:
            pids.extend(children.start(name, SLEEPER).pid for name in ("one", "two"))
            raise KeyError

    with pytest.raises(KeyError):
        block()
    assert [alive(pid) for pid in pids] == [False, False]


def test_a_child_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    stubborn = (
        "import signal, subprocess, sys, time, pathlib\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(inner.pid))\n"
        "time.sleep(600)\n"
    )
    with Children({}, tmp_path, grace_s=0.2) as children:
        children.start("stubborn", [sys.executable, "-c", stubborn])
        assert wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        inner = int((tmp_path / "pid").read_text())
    assert wait_until(lambda: not alive(inner))


def test_kill_9_of_the_parent_leaves_no_child(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            (
                "import sys, time; from pathlib import Path; from flows.children import Children\n"
                f"c = Children({{}}, Path({str(tmp_path)!r}))\n"
                f"print(c.start('child', {SLEEPER!r}).pid, flush=True); time.sleep(600)"
            ),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    assert wait_until(lambda: not alive(child))


def test_a_child_that_dies_before_it_is_ready_is_told_with_its_last_words(tmp_path: Path) -> None:
    with Children({}, tmp_path) as children:
        child = children.start("brief", [sys.executable, "-c", "print('no luck'); exit(7)"])
        with pytest.raises(EnvironmentRefused, match=r"(?s)brief.*status 7.*no luck"):
            wait_ready(child, lambda: False, limit_s=20)


def test_a_taken_port_is_named_with_its_holder() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            EnvironmentRefused, match=rf"port {port} .*held by process {os.getpid()}"
        ):
            require_free_port(port, host="127.0.0.1", purpose="a test", setting="--port")
    require_free_port(port, host="127.0.0.1", purpose="a test", setting="--port")
