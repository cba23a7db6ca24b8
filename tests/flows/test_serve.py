"""`ratchet serve`: the released Bento, alone with its files, until a signal."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.bentos.bundles import request, write_model
from tests.bentos.candles import walk
from tests.bentos.serving import free_port
from tests.bentos.waiting import until

ROOT = Path(__file__).resolve().parents[2]
BODY = json.dumps(request(walk(60, 5))).encode()


def environment(home: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RATCHET_", "MLFLOW_"))}
    return kept | {"BENTOML_HOME": str(home / "bentoml"), "PYTHONSAFEPATH": "1"}


@pytest.fixture(scope="module")
def released_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home as a release leaves it; there is no registry at all."""
    home = tmp_path_factory.mktemp("released")
    write_model(home / "serving", versions=2, challengers={"2": 0.2})
    (home / "serving" / "tiny" / ".mirrored").write_text("1")
    staging = home / "staging"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "bentos", staging / "bentos", ignore=ignored)
    shutil.copytree(home / "serving", staging / "models", ignore=ignored)
    built = subprocess.run(
        [sys.executable, "-m", "bentos.build", str(staging), "r1-test"],
        cwd=staging, env=environment(home) | {"PYTHONPATH": str(staging)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    shutil.rmtree(staging)
    path = Path(built.stdout.strip().splitlines()[-1])
    said = {"tag": "ratchet:r1-test", "path": str(path.relative_to(home))}
    (home / "serving" / "bento.json").write_text(json.dumps(said))
    return home


def serve(home: Path, *options: str, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flows", "serve", "--home", str(home), *options],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, **({"env": environment(home)} | more),
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def answer(url: str) -> dict[str, Any]:
    call = urllib.request.Request(f"{url}/v1/models/tiny/predict", BODY)
    with urllib.request.urlopen(call, timeout=20) as got:
        return dict(json.loads(got.read()))


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Supervisor, keeper, worker and follower."""
    return psutil.Process(process.pid).children(recursive=True)


def follower_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    found = []
    for one in family(process):
        with contextlib.suppress(psutil.Error):  # it is just ending
            found += [one] if "flows.follow" in one.cmdline() else []
    return found


@pytest.fixture
def running(released_home: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    ready = tmp_path / "ready.json"
    port = str(free_port())
    process = serve(released_home, "--port", port, "--ready-file", str(ready), "--json")
    try:
        until(lambda: ready.exists() or process.poll() is not None, 90)
        assert process.poll() is None, ended(process)
        yield process, ready
    finally:
        if process.poll() is None:
            process.terminate()
        ended(process)


def test_it_serves_tells_where_and_leaves_nothing_behind(
    running: tuple[subprocess.Popen[str], Path], released_home: Path
) -> None:
    process, ready = running
    told = json.loads(ready.read_text())
    assert told["pid"] == process.pid
    assert answer(told["url"])["model"] == "tiny"
    port = told["url"].rpartition(":")[2]

    status, out, err = ended(serve(released_home, "--port", port))
    assert (status, out) == (2, "")
    assert f"port {port}" in err
    assert "held by process" in err
    assert "Traceback" not in err

    children = until(lambda: tree if len(tree := family(process)) == 4 else [])
    process.terminate()
    status, out, err = ended(process)
    assert status == 0, err
    (line,) = out.splitlines()  # of --json, written once it was ready
    assert json.loads(line) == told | {"home": str(released_home), "workers": 1}
    assert "serving ratchet:r1-test at http://127.0.0.1:" in err
    assert [c for c in children if c.is_running()] == []
    assert not ready.exists()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", int(port)))


def test_kill_9_of_it_leaves_no_orphan(running: tuple[subprocess.Popen[str], Path]) -> None:
    process, _ = running
    children = until(lambda: tree if len(tree := family(process)) == 4 else [])
    os.kill(process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=15)
    assert alive == []


def test_kill_9_of_the_follower_changes_nothing_and_the_next_one_starts(
    running: tuple[subprocess.Popen[str], Path],
) -> None:
    process, ready = running
    (first,) = until(lambda: follower_of(process))
    first.kill()
    url = json.loads(ready.read_text())["url"]
    assert answer(url)["model"] == "tiny"
    (second,) = until(lambda: [p for p in follower_of(process) if p.pid != first.pid])
    assert process.poll() is None
    assert second.is_running()
    assert answer(url)["model"] == "tiny"


def test_ctrl_c_reaches_the_whole_group_and_looks_like_a_stop(
    released_home: Path, tmp_path: Path
) -> None:
    """As a terminal sends it; by name, as a user calls this machine."""
    ready = tmp_path / "ready.json"
    options = ("--host", "localhost", "--port", "0", "--ready-file", str(ready))
    process = serve(released_home, *options, start_new_session=True)
    until(lambda: ready.exists() or process.poll() is not None, 90)
    until(lambda: process.poll() is not None or follower_of(process))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    status, _, err = ended(process)
    assert status == 0, err
    assert "the follower ended" not in err
    assert err.splitlines()[-1] == "stopped"


def test_the_bento_is_self_contained(released_home: Path, tmp_path: Path) -> None:
    """By tag, as BentoML itself serves it: no serving folder, no registry, another home."""
    port = free_port()
    log = tmp_path / "log"
    command = ["serve", "ratchet:latest", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "bentoml", *command],
            cwd=tmp_path, env=environment(released_home) | {"RATCHET_HOME": str(tmp_path / "h")},
            stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"

        def good() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return answer(url)["version"] in {1, 2}
            except OSError:
                return False

        until(good, 60)
    finally:
        process.terminate()
        process.wait(20)
    assert list((tmp_path / "h" / "predictions").glob("*.jsonl"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--host", "0.0.0.0"), "RATCHET_PREDICT_TOKEN"),
        (("--workers", "0"), "--workers"),
        (("--port", "70000"), "--port"),
        (("--model", "nobody"), "a released model: tiny"),
        (("--ready-file", "."), "--ready-file"),
    ],
)
def test_bad_options_are_one_message(
    released_home: Path, options: tuple[str, ...], told: str
) -> None:
    status, out, err = ended(serve(released_home, *options))
    assert (status, out) == (2, "")
    assert told in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("name", "value"), [("RATCHET_SERVING__TYPO", "1"), ("RATCHET_SERVING__POLL_S", "soon")]
)
def test_a_bad_variable_is_one_message(released_home: Path, name: str, value: str) -> None:
    port = str(free_port())
    more = {"env": environment(released_home) | {name: value}}
    status, out, err = ended(serve(released_home, "--port", port, **more))
    assert (status, out) == (2, "")
    assert name in err
    assert "bug" not in err
    assert len(err.splitlines()) == 1


def test_the_ready_file_of_a_killed_run_is_taken_away(released_home: Path, tmp_path: Path) -> None:
    """Who waits for it must not meet the address of a server that is gone."""
    ready = tmp_path / "ready.json"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = str(held.getsockname()[1])
        for told, kept in ((gone.pid, False), ("half", False), (os.getpid(), True)):
            ready.write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": told}))
            status, _, err = ended(serve(released_home, "--port", port, "--ready-file", str(ready)))
            assert (status, f"port {port}" in err) == (2, True)
            assert ready.exists() is kept, told


def test_with_nothing_released_it_says_what_to_do(home: Path) -> None:
    status, _, err = ended(serve(home, "--port", str(free_port())))
    assert status == 2
    assert "ratchet release" in err


def test_what_a_container_is_made_of_is_in_the_bento(released_home: Path) -> None:
    """No container engine here: its inputs are read as files (tests/system installs them)."""
    said = json.loads((released_home / "serving" / "bento.json").read_text())
    bento = released_home / said["path"]
    locked = (ROOT / "bentos" / "requirements.txt").read_text()
    assert (bento / "env" / "python" / "requirements.txt").read_text() == locked
    dockerfile = (bento / "env" / "docker" / "Dockerfile").read_text()
    assert "FROM python:3.11-slim" in dockerfile
    assert "libgomp1" in dockerfile
    assert "env/python/requirements.txt" in dockerfile
    models = bento / "src" / "models" / "tiny"
    assert (models / "plan.json").is_file()
    assert {p.name for p in (models / "versions").iterdir()} == {"1", "2"}
