"""Registries that can be away: MLflow itself, and a small server that speaks the part we use."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from tests.bentos.serving import free_port
from tests.bentos.waiting import until

API = "/api/2.0/mlflow/registered-models"
START_S = 120.0


class Registry(Protocol):
    """What stands for a registry server in a test; it keeps its tags over stop and start."""

    uri: str

    def start(self) -> None: ...

    def stop(self) -> None: ...


class TagServer:
    """The registry's tags over real sockets, in this process."""

    def __init__(self, models: list[str]) -> None:
        self.tags: dict[str, dict[str, str]] = {name: {"ratchet.model": "1"} for name in models}
        self._port = free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self._server: _Tags | None = None

    def start(self) -> None:
        self._server = _Tags(self._port, self.tags)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()


class _Tags(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, tags: dict[str, dict[str, str]]) -> None:
        self.tags = tags
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Tags

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _model(self, name: str) -> dict[str, Any]:
        tags = [{"key": k, "value": v} for k, v in self.server.tags[name].items()]
        return {"name": name, "tags": tags}

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        if path.path.endswith("/search"):
            found = [self._model(name) for name in sorted(self.server.tags)]
            return self._answer(200, {"registered_models": found})
        (name,) = parse_qs(path.query)["name"]
        if name not in self.server.tags:
            return self._answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST"})
        return self._answer(200, {"registered_model": self._model(name)})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/set-tag"):
            self.server.tags[body["name"]][body["key"]] = body["value"]
        self._answer(200, {})


class MLflow:
    """MLflow's own server, in a process of its own, over one home's database."""

    def __init__(self, home: Path, models: list[str]) -> None:
        self._home, self._models = home, models
        self._port = free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._home.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "flows.stack.registry_server", str(self._home)]
        with (self._home / "mlflow.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, str(self._port)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=os.environ | {"RATCHET_HOME": str(self._home)},
            )  # fmt: skip
        until(self._up, START_S)
        for name in self._models:
            with contextlib.suppress(urllib.error.HTTPError):  # it is there already
                self._post("/create", {"name": name})
            self._post("/set-tag", {"name": name, "key": "ratchet.model", "value": "1"})

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)

    def _up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._home / "mlflow.log").read_text()
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _post(self, path: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(
            f"{self.uri}{API}{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=20).close()
