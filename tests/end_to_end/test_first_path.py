"""Candles to an answer over HTTP, by the commands a person types, in a machine of their own.

The user's home stays empty, the working folder stays empty, and the released model answers with its
registry gone.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BIN = Path(sys.executable).parent

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("first-path")]


class Machine:
    """A user's account: their home, a working folder, and the state folder they name."""

    def __init__(self, root: Path) -> None:
        self.user, self.work, self.state = root / "user", root / "work", root / "state"
        self.user.mkdir()
        self.work.mkdir()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.user),
            "LANG": "C.UTF-8",
            "PYTHONSAFEPATH": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "ratchet", *arguments, "--home", self.state],
            cwd=self.work,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=220,
            check=False,
        )

    def ask(self, *arguments: str) -> dict[str, Any]:
        told = self.run(*arguments, "--json")
        assert told.returncode == 0, told.stderr
        document: dict[str, Any] = json.loads(told.stdout)
        return document


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return Machine(tmp_path_factory.mktemp("machine"))


@pytest.fixture(scope="module")
def trained(machine: Machine) -> dict[str, Any]:
    machine.ask("ingest", "--source", "sample")
    return machine.ask("train", "--folds", "2", "--first", "2010-01-01")


@pytest.fixture(scope="module")
def served(machine: Machine, trained: dict[str, Any]) -> Iterator[str]:
    """Release, take the registry away for good, serve; yield the address."""
    machine.ask("release", "--champion", str(trained["version"]))
    shutil.rmtree(machine.state / "mlflow")
    ready = machine.state / "ready.json"
    command = ["serve", "--port", "0", "--ready-file", str(ready), "--home", str(machine.state)]
    server = subprocess.Popen(
        [BIN / "ratchet", *command], cwd=machine.work, env=machine.environment
    )
    try:
        until = time.monotonic() + 90
        while not ready.exists():
            assert server.poll() is None, "the server ended before it was ready"
            assert time.monotonic() < until, "the server was not ready in time"
            time.sleep(0.05)
        yield json.loads(ready.read_text(encoding="utf-8"))["url"]
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0


def test_a_version_says_how_it_was_judged(trained: dict[str, Any]) -> None:
    assert set(trained["gates"]) == {"statistical", "economic"}
    assert all(isinstance(gate["why"], str) and gate["why"] for gate in trained["gates"].values())
    assert len(trained["folds"]) == 2
    assert len(trained["model_sha256"]) == 64


def test_the_same_data_and_seed_give_the_same_model(
    machine: Machine, trained: dict[str, Any]
) -> None:
    again = machine.ask("train", "--folds", "2", "--first", "2010-01-01")
    assert again["model_sha256"] == trained["model_sha256"]
    assert again["version"] == trained["version"], "the same version is not registered twice"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["ingest", "--source", "parquet:/no/such/*.parquet"], "/no/such"),
        (["train", "--dataset", "no-such"], "no-such"),
        (["release", "--champion", "99"], "99"),
    ],
)
def test_a_wrong_argument_is_one_message(
    machine: Machine, trained: dict[str, Any], arguments: list[str], named: str
) -> None:
    assert trained
    told = machine.run(*arguments)
    assert told.returncode == 2, told.stderr
    assert named in told.stderr
    assert "Traceback" not in told.stderr


def test_the_released_model_answers_its_golden_request_with_the_registry_gone(
    machine: Machine, trained: dict[str, Any], served: str
) -> None:
    folder = machine.state / "serving" / trained["model"] / "versions" / str(trained["version"])
    golden = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    request = urllib.request.Request(
        f"{served}/v1/models/{trained['model']}/predict",
        data=json.dumps(golden["request"]).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        told = json.load(answer)
    assert told["version"] == trained["version"]
    assert told["variant"] == "champion"
    assert {key: told["prediction"][key] for key in golden["expected"]} == golden["expected"]


def test_nothing_was_written_outside_the_state_folder(machine: Machine, served: str) -> None:
    assert served
    assert list(machine.user.iterdir()) == []
    assert list(machine.work.iterdir()) == []
