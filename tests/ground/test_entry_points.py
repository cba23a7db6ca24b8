"""Each entry point answers in a hostile working folder, quickly, and leaves the user's home alone.

The three parts have generic names; a stranger's folder may well hold another `agent/` or `flows/`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
HEAVY = {
    "pandas", "mlflow", "prefect", "lightgbm", "evidently", "bentoml", "numpy", "kiteconnect",
    "twisted",
}  # fmt: skip
PROGRAMS = (["ratchet"], ["ratchet-agent"], ["python", "-m", "flows"], ["python", "-m", "agent"])


def run(command: list[str], cwd: Path, user_home: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(user_home),
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
    }
    program, *rest = command
    return subprocess.run(
        [BIN / program, *rest],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def decoys(tmp_path: Path) -> Path:
    """A working folder that holds packages of our names which explode when imported."""
    for name in ("agent", "bentos", "flows"):
        package = tmp_path / "work" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise RuntimeError('a decoy was imported')\n")
    return tmp_path / "work"


@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_help_answers_among_decoys_and_writes_nothing(
    program: list[str], decoys: Path, tmp_path: Path
) -> None:
    user_home = tmp_path / "user"
    user_home.mkdir()

    told = run([*program, "--help"], decoys, user_home)

    assert told.returncode == 0, told.stderr
    assert "Usage" in told.stdout
    assert list(user_home.iterdir()) == []
    assert sorted(p.name for p in decoys.iterdir()) == ["agent", "bentos", "flows"]


def verbs(program: str) -> list[str]:
    from agent.cli import VERBS as AGENT_VERBS
    from flows.cli import VERBS as FLOW_VERBS

    return list(AGENT_VERBS if program == "ratchet-agent" else FLOW_VERBS)


@pytest.mark.parametrize("program", ["ratchet", "ratchet-agent"])
def test_every_verb_has_help_and_needs_no_heavy_import_for_it(
    program: str, decoys: Path, tmp_path: Path
) -> None:
    part = "agent" if program == "ratchet-agent" else "flows"
    script = f"""
import sys, typer.testing
from {part}.cli import app
for verb in {verbs(program)!r}:
    answer = typer.testing.CliRunner().invoke(app, [verb, '--help'])
    assert answer.exit_code == 0, (verb, answer.output)
heavy = {HEAVY!r} & set(sys.modules)
assert not heavy, heavy
"""
    told = subprocess.run(
        [BIN / "python", "-c", script],
        cwd=decoys,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stderr


def test_an_unknown_verb_is_a_usage_error(tmp_path: Path) -> None:
    told = run(["ratchet", "no-such-verb"], tmp_path, tmp_path)
    assert told.returncode == 2
    assert "no-such-verb" in told.stderr
    assert "Traceback" not in told.stderr
