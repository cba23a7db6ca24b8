"""The wheel in a clean environment with the base dependencies alone, among decoys of our names.

Needs `uv` (`make install` puts it into .uv/) and what it has cached or can fetch.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest

import agent.cli
import flows.cli

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("wheel")]
ROOT = Path(__file__).resolve().parents[2]


def uv(*arguments: object, cwd: Path = ROOT) -> None:
    local = ROOT / ".uv" / "bin" / "uv"
    program = str(local) if local.exists() else shutil.which("uv")
    if program is None:
        pytest.skip("no uv: `make install` puts it into .uv/")
    environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    environment.setdefault("UV_CACHE_DIR", str(ROOT / ".uv" / "cache"))
    done = subprocess.run(
        [program, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "--quiet", "--out-dir", out)
    return next(out.glob("ratchet-*.whl"))


@pytest.fixture(scope="module")
def base(wheel: Path) -> Path:
    """Return the `bin` of an environment with the wheel and its base dependencies, as locked."""
    folder = wheel.parent / "venv"
    locked = wheel.parent / "locked.txt"
    uv(
        "export",
        "--frozen",
        "--quiet",
        "--no-emit-project",
        "--no-hashes",
        "--no-dev",
        "-o",
        locked,
    )
    uv("venv", "--quiet", "--python", shutil.which("python3.11") or "3.11", folder)
    python = folder / "bin" / "python"
    uv("pip", "install", "--quiet", "--python", python, "--constraint", locked, wheel)
    return folder / "bin"


@pytest.fixture
def decoys(tmp_path: Path) -> Path:
    for name in ("agent", "bentos", "flows"):
        package = tmp_path / "work" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise RuntimeError('a decoy was imported')\n")
    return tmp_path / "work"


def run(base: Path, cwd: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{base}:/usr/bin:/bin", "HOME": str(cwd.parent), "LANG": "C.UTF-8"}
    return subprocess.run(
        [base / program, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_wheel_holds_what_a_run_needs_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"agent", "bentos", "flows", f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"}
    assert {"flows/prefect.yaml", "flows/policies/daily.toml"} <= set(names)
    assert "agent/paper/scenarios/flash_crash.toml" in names
    assert not [name for name in names if "tests" in name or "/test_" in name]


SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
VERBS = {"ratchet": flows.cli.VERBS, "ratchet-agent": agent.cli.VERBS}


@pytest.mark.parametrize("program", SCRIPTS)
def test_each_entry_point_answers_with_base_dependencies_among_decoys(
    base: Path, decoys: Path, program: str
) -> None:
    told = run(base, decoys, program, "--help")
    assert (told.returncode, told.stderr) == (0, "")
    assert "Usage" in told.stdout
    assert run(base, decoys, program, "--version").stdout.strip()


def test_every_verb_explains_itself_with_base_dependencies_among_decoys(
    base: Path, decoys: Path
) -> None:
    assert set(VERBS) == set(SCRIPTS)
    asked = [(program, verb) for program, verbs in VERBS.items() for verb in verbs]
    told = {(program, verb): run(base, decoys, program, verb, "--help") for program, verb in asked}
    wrong = {key: ended.stderr for key, ended in told.items() if ended.returncode or ended.stderr}
    assert wrong == {}


@pytest.mark.parametrize(
    ("program", "arguments", "extra"),
    [
        ("ratchet", ("ingest", "--source", "sample"), "pipeline"),
        ("ratchet", ("train",), "pipeline"),
        ("ratchet", ("release",), "pipeline"),
        ("ratchet", ("up",), "pipeline"),
        ("ratchet-agent", ("paper", "--port", "0"), "paper"),
    ],
)
def test_a_command_without_its_extra_names_it(
    base: Path, decoys: Path, program: str, arguments: tuple[str, ...], extra: str
) -> None:
    told = run(base, decoys, program, *arguments)
    assert told.returncode == 2
    assert f"ratchet[{extra}]" in told.stderr
    assert "Traceback" not in told.stderr


def test_settings_status_and_doctor_need_the_base_alone(base: Path, decoys: Path) -> None:
    assert run(base, decoys, "ratchet", "init").returncode == 0
    assert run(base, decoys, "ratchet", "config", "check", "--json").returncode == 0
    assert run(base, decoys, "ratchet", "status").returncode == 0
    told = run(base, decoys, "ratchet", "doctor")
    assert told.returncode == 2  # the pipeline is not installed: a fault, with the extra to install
    assert "ratchet[pipeline,serving,paper]" in told.stdout
    assert "Traceback" not in told.stderr
