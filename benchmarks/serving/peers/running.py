"""Starting and ending a peer: ready when it has answered one request of the load."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.serving.bodies import FORMS, requests
from tests.bentos.serving import ROOT, free_port
from tests.bentos.waiting import until

START_S = 120
BIN = Path(sys.executable).parent
PEERS = ("bare", "bentoml", "mlflow", "mlserver")


@contextlib.contextmanager
def running(name: str, version: Path, home: Path) -> Iterator[int]:
    """Run a peer; yields its port."""
    port = free_port()
    folder = (home / name).resolve()  # scripts of an environment name its place for good
    folder.mkdir(parents=True, exist_ok=True)
    command, more = _command(name, version, folder, port)
    log = folder / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder if name == "mlserver" else ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"} | dict(more),
            stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True,
        )  # fmt: skip
    try:
        until(lambda: _answers(process, name, port, log), START_S)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(process: subprocess.Popen[bytes], name: str, port: int, log: Path) -> bool:
    assert process.poll() is None, log.read_text()[-3000:]
    head, _, body = next(requests(name, 1, 1)).partition(b"\r\n\r\n")
    assert head
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", FORMS[name][0], body, {"Content-Type": "application/json"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _command(
    name: str, version: Path, folder: Path, port: int
) -> tuple[Sequence[object], Mapping[str, str]]:
    if name == "bare":
        return [sys.executable, "-m", "benchmarks.serving.peers.bare", version, port], {}
    if name == "bentoml":
        service = "benchmarks.serving.peers.untuned:Untuned"
        told = {"VERSION_FOLDER": str(version), "BENTOML_HOME": str(folder / "bentoml")}
        return [BIN / "bentoml", "serve", service, "--host", "127.0.0.1", "--port", port], told
    if name == "mlflow":
        model = folder / "model"
        shutil.rmtree(model, ignore_errors=True)
        writer = [sys.executable, "-m", "benchmarks.serving.peers.mlflow_model", version, model]
        subprocess.run([str(part) for part in writer], cwd=ROOT, check=True, capture_output=True,
                       env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
        where = ["-h", "127.0.0.1", "-p", port, "--env-manager", "local"]
        # its uvicorn is found by name: our environment first on the path
        path = {"PATH": f"{BIN}:{os.environ['PATH']}"}
        return [BIN / "mlflow", "models", "serve", "-m", model, *where], path
    return _mlserver(version, folder, port)


def _mlserver(version: Path, folder: Path, port: int) -> tuple[Sequence[object], Mapping[str, str]]:
    """MLServer in an environment of its own, made once: it wants an older FastAPI than ours."""
    programs = folder / "venv" / "bin"
    if not (programs / "mlserver").exists():
        uv = ROOT / ".uv" / "bin" / "uv"
        kept = os.environ | {"UV_CACHE_DIR": str(ROOT / ".uv" / "cache")}
        subprocess.run([uv, "-q", "venv", "--clear", "--python", sys.executable, folder / "venv"],
                       check=True, env=kept)  # fmt: skip
        wanted = ["mlserver==1.7.1", "lightgbm>=4.6,<5", "numpy", "setuptools<81"]
        subprocess.run(
            [uv, "-q", "pip", "install", "--python", programs / "python", *wanted],
            check=True, env=kept,
        )  # fmt: skip
    for name in ("__init__", "features", "windows"):  # the one definition of the features
        (folder / "bentos").mkdir(exist_ok=True)
        shutil.copyfile(ROOT / "bentos" / f"{name}.py", folder / "bentos" / f"{name}.py")
    shutil.copyfile(Path(__file__).with_name("mlserver_model.py"), folder / "mlserver_model.py")
    model = {"name": "tiny", "implementation": "mlserver_model.Served",
             "parameters": {"uri": str(version / "model.txt")}}  # fmt: skip
    server = {"host": "127.0.0.1", "http_port": port, "grpc_port": free_port(),
              "metrics_port": free_port(), "parallel_workers": 0, "debug": False}  # fmt: skip
    (folder / "model-settings.json").write_text(json.dumps(model))
    (folder / "settings.json").write_text(json.dumps(server))
    return [programs / "mlserver", "start", folder], {"PYTHONPATH": str(folder),
                                                      "PYTHONSAFEPATH": ""}  # fmt: skip
