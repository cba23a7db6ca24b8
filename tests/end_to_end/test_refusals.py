"""Bad input to every command of both programs: one message, the right status, no traceback.

Each row is a command and what is wrong with the world; the message must name what was found.
"""

from __future__ import annotations

import importlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

AGENT_READS = ("status", "positions", "halt", "resume", "flatten")
LOCAL = {
    "RATCHET_AGENT__BROKER__REST_URL": "http://127.0.0.1:1",
    "RATCHET_AGENT__BROKER__TICKER_URL": "ws://127.0.0.1:1",
}
PROGRAMS = {"ratchet": "flows.cli", "ratchet-agent": "agent.cli"}


@dataclass(frozen=True)
class Ended:
    """How a program has ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[[str, Path, dict[str, str]], Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Return what runs a program's own `main` in this process: fifty interpreters take a minute."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("RATCHET", "MLFLOW", "KITE")):
            monkeypatch.delenv(name)

    def running(command: str, home: Path, env: dict[str, str]) -> Ended:
        program, *arguments = shlex.split(command)
        monkeypatch.setattr(sys, "argv", [program, *arguments, "--home", str(home)])
        monkeypatch.chdir(home.parent)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            importlib.import_module(PROGRAMS[program]).main()
        out, err = capfd.readouterr()
        return Ended(int(end.value.code or 0), out, err)

    yield running
    os.environ.clear()
    os.environ.update(before)


def one_message(ended: Ended, status: int, names: str) -> None:
    said = ended.stdout + ended.stderr
    assert ended.returncode == status, said
    assert names in said
    assert "Traceback" not in said
    assert "a bug of ours" not in said


def a_file(home: Path) -> None:
    home.write_text("")


def broken_toml(home: Path) -> None:
    home.mkdir()
    (home / "ratchet.toml").write_text("x = [\n")


def a_folder_of_settings(home: Path) -> None:
    (home / "ratchet.toml").mkdir(parents=True)


def open_secrets(home: Path) -> None:
    home.mkdir()
    (home / "secrets.env").write_text("KITE_API_KEY=a\n")
    (home / "secrets.env").chmod(0o644)


def garbled(*names: str, text: str = "garbage\n") -> Callable[[Path], None]:
    def make(home: Path) -> None:
        for name in names:
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(text)

    return make


def nothing(home: Path) -> None:
    home.mkdir()


#  command, what the world is like, environment, status, what the message names
ROWS = [
    *((f"ratchet {verb}", a_file, {}, 2, "home.x") for verb in
      ("ingest --source sample", "models list", "serve", "init", "up", "config check")),
    *((f"ratchet-agent {verb}", a_file, {}, 2, "home.x") for verb in
      ("run", "paper", "login", "trades", *AGENT_READS)),
    ("ratchet up", broken_toml, {}, 2, "ratchet.toml"),
    ("ratchet config check", broken_toml, {}, 2, "ratchet.toml"),
    ("ratchet-agent run", broken_toml, {}, 2, "ratchet.toml"),
    ("ratchet init", broken_toml, {}, 1, "--force"),
    ("ratchet init --force", a_folder_of_settings, {}, 2, "a folder"),
    ("ratchet config check", a_folder_of_settings, {}, 2, "ratchet.toml"),
    ("ratchet-agent run", a_folder_of_settings, {}, 2, "ratchet.toml"),
    ("ratchet config check", open_secrets, {}, 2, "chmod 600"),
    ("ratchet-agent login", open_secrets, {}, 2, "chmod 600"),
    *((f"ratchet-agent {verb}", garbled("agent/control.json"), {}, 2, "control.json")
      for verb in ("status", "halt")),
    ("ratchet-agent status", garbled("agent/control.json", text="[]"), {}, 2, "control.json"),
    ("ratchet-agent status", garbled("agent/control.json", text='{"port": "x", "token": 3}'), {},
     2, "control.json"),
    ("ratchet-agent trades", garbled("agent/journal.db"), {}, 2, "journal.db"),
    ("ratchet-agent run", garbled("agent/journal.db"), LOCAL, 2, "journal.db"),
    ("ratchet serve", garbled("serving/bento.json"), {}, 2, "ratchet release"),
    ("ratchet status", garbled("stack/state.json"), {}, 0, "ratchet up"),
    ("ratchet models list", garbled("mlflow/mlflow.db"), {}, 2, "mlflow.db"),
    ("ratchet models list", nothing, {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, 2,
     "http://127.0.0.1:9"),
    ("ratchet train --dataset x", garbled("candles/x/dataset.json"), {}, 2, "dataset.json"),
    ("ratchet train --dataset nope", nothing, {}, 2, "nope"),
    ("ratchet ingest --source kite", nothing, {}, 1, "blocked: log in"),
    ("ratchet ingest --source csv:/nope", nothing, {}, 2, "/nope"),
    ("ratchet serve --port x", nothing, {}, 2, "--port"),
    ("ratchet up --without nope", nothing, {}, 2, "'nope'"),
    ("ratchet up --paper-clock nope", nothing, {}, 2, "stack.paper_clock"),
    ("ratchet up", nothing, {"RATCHET_STACK__SERVE_PORT": "x"}, 2, "stack.serve_port"),
    ("ratchet up", nothing, {"RATCHET_STACK__SERVE_PORT": "13050"}, 2, "13050"),
    ("ratchet-agent run --clock nope", nothing, {}, 2, "--clock"),
    ("ratchet-agent run", nothing, {}, 2, "--live"),
    ("ratchet-agent run", nothing, LOCAL, 2, "127.0.0.1:1"),
    ("ratchet-agent run", nothing, {"RATCHET_AGENT__NOPE": "1"}, 2, "RATCHET_AGENT__NOPE"),
    ("ratchet config check", nothing, {"RATCHET_AGENT__NOPE": "1"}, 2, "RATCHET_AGENT__NOPE"),
    ("ratchet-agent run", nothing, {"RATCHET_AGENT__NOTICES__URLS": "[tok"}, 2, "URLS"),
    ("ratchet config check", nothing, {"RATCHET_AGENT__NOTICES__URLS": "[tok"}, 2, "URLS"),
    ("ratchet-agent run", nothing, {"RATCHET_AGENT__RISK__MAX_DALY": "1"}, 2, "max_daly"),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]} {n}" for n, row in enumerate(ROWS)])
def test_it_ends_with_one_message(row: tuple, tmp_path: Path, run: Run) -> None:
    command, world, env, status, names = row
    home = tmp_path / "home.x"
    world(home)
    one_message(run(command, home, env), status, names)


def test_a_secret_that_cannot_be_read_is_not_shown(tmp_path: Path, run: Run) -> None:
    for command in ("ratchet-agent run", "ratchet config check"):
        for text in ("[tgram://token/1", '{"a": "tgram://token/1"}'):
            ended = run(command, tmp_path, {"RATCHET_AGENT__NOTICES__URLS": text})
            one_message(ended, 2, "")
            assert "token" not in ended.stdout + ended.stderr


def test_both_programs_read_a_list_in_both_forms(tmp_path: Path, run: Run) -> None:
    for text in ('["json://127.0.0.1:1/a", "json://127.0.0.1:1/b"]',
                 "json://127.0.0.1:1/a, json://127.0.0.1:1/b"):  # fmt: skip
        env = {"RATCHET_AGENT__NOTICES__URLS": text}
        checked = run("ratchet config check --json", tmp_path, env)
        assert checked.returncode == 0, checked.stderr
        assert json.loads(checked.stdout)
        one_message(run("ratchet-agent run", tmp_path, {**env, **LOCAL}), 2, "127.0.0.1:1")
