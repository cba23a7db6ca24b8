"""The built Bento in a clean environment of its own locked requirements: nothing of ours around.

Needs the package registry (or uv's cache) besides Debian's libgomp1, which LightGBM loads.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.bentos.bundles import request, write_intraday, write_model
from tests.bentos.candles import walk
from tests.bentos.serving import free_port
from tests.bentos.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
QUESTIONS = {
    "tiny": request(walk(60, 5)),
    "minutes": request(walk(75, 5, step_ms=300_000, a_day=75)),
}


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Path:
    staging = tmp_path_factory.mktemp("staging")
    write_model(staging / "models", versions=2)
    write_intraday(staging / "models")
    shutil.copytree(
        ROOT / "bentos", staging / "bentos", ignore=shutil.ignore_patterns("__pycache__")
    )
    built = subprocess.run(
        [sys.executable, "-m", "bentos.build", str(staging), "alone"],
        cwd=staging,
        env=os.environ
        | {"PYTHONPATH": str(staging), "BENTOML_HOME": str(staging / "bentoml")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return Path(built.stdout.strip().splitlines()[-1])


def clean_environment(bento: Path, folder: Path) -> Path:
    uv = next((p for p in (ROOT / ".uv" / "bin" / "uv", shutil.which("uv")) if p), None)
    assert uv is not None, "uv is missing: make install"
    settings = os.environ | {"UV_CACHE_DIR": str(ROOT / ".uv" / "cache")}
    subprocess.run([uv, "-q", "venv", "--python", sys.executable, folder], check=True, env=settings)
    requirements = bento / "env" / "python" / "requirements.txt"
    command = [uv, "-q", "pip", "sync", "--require-hashes", "--python", folder / "bin" / "python"]
    subprocess.run([*command, requirements], check=True, env=settings)
    return folder / "bin"


def test_it_answers_in_an_environment_of_its_own_requirements(bento: Path, tmp_path: Path) -> None:
    programs = clean_environment(bento, tmp_path / "venv")
    port = free_port()
    log = tmp_path / "log"
    home = tmp_path / "home"
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [programs / "bentoml", "serve", bento, "--host", "127.0.0.1", "--port", str(port)],
            cwd=tmp_path,
            env=kept | {"HOME": str(tmp_path), "BENTOML_HOME": str(tmp_path / "bentoml"),
                        "BENTOML_DO_NOT_TRACK": "True", "RATCHET_HOME": str(home)},
            stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        for name, question in QUESTIONS.items():
            call = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/models/{name}/predict", json.dumps(question).encode()
            )

            def answered(call: urllib.request.Request = call) -> dict[str, object]:
                assert process.poll() is None, log.read_text()
                try:
                    with urllib.request.urlopen(call, timeout=10) as got:
                        return dict(json.loads(got.read()))
                except OSError:
                    return {}

            assert until(answered, 90)["model"] == name
    finally:
        process.terminate()
        process.wait(20)
    assert list((home / "predictions").glob("*.jsonl"))
