"""The real service in processes of its own, over real sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from tests.bentos.waiting import until

ROOT = Path(__file__).resolve().parents[2]
START_S = 60
STOP_S = 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One kept-alive connection: one worker answers it as long as it lasts."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        text = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        self._http.request(method, path, text, headers or {})
        got = self._http.getresponse()
        told = {name.lower(): value for name, value in got.getheaders()}
        return Answer(got.status, told, got.read())

    def close(self) -> None:
        self._http.close()


class Service:
    """A supervisor with its workers.

    Parameters
    ----------
    home : the home folder; models are served from HOME/serving
    host, workers : as the service gets them
    environment : more variables
    """

    def __init__(
        self, home: Path, *, workers: int = 1, host: str = "127.0.0.1", **environment: str
    ) -> None:
        self.home = home
        self.port = free_port()
        home.mkdir(exist_ok=True)
        self.log = home / "service.log"
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RATCHET_")}
        own = {
            "RATCHET_HOME": str(home),
            "RATCHET_SERVING_DIR": str(home / "serving"),
            "RATCHET_WORKERS": str(workers),
            "RATCHET_SERVING__POLL_S": "0.1",
            "RATCHET_SERVING__LOG_FLUSH_S": "0.1",
            "RATCHET_SERVING__BODY_S_MAX": "0.5",
            "BENTOML_HOME": str(home / "bentoml"),
            "MLFLOW_TRACKING_URI": "",
        }
        service = "bentos.service:ModelServingPipeline"
        with self.log.open("wb") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows.launch", service, host, str(self.port)],
                cwd=ROOT,
                env=kept | own | environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def connect(self) -> Connection:
        return Connection(self.port)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Make one call on a connection of its own."""
        connection = self.connect()
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return connection.call(method, path, body, named)
        finally:
            connection.close()

    def live(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.call("GET", "/livez").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def ready(self) -> bool:
        return self.live() and self.call("GET", "/readyz").status == 200

    def wait_ready(self, workers: int = 1) -> Self:
        """Wait until that many workers answer; which one did is told to readers only."""
        until(self.ready, START_S)
        if workers == 1:
            return self
        seen: set[int] = set()

        def answered() -> bool:
            seen.add(self.call("GET", "/v1/models").json()["worker"])
            return len(seen) >= workers

        until(answered, START_S)
        return self

    def workers(self) -> list[psutil.Process]:
        """Return the processes that answer: each is its keeper's only child."""
        found = []
        for keeper in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):  # it is just ending
                found += [w for w in keeper.children() if w.status() != psutil.STATUS_ZOMBIE]
        return found

    @property
    def token(self) -> str:
        return (self.home / "secrets" / "admin-token").read_text().strip()

    def admin(self, method: str, path: str, body: Any, revision: int | str) -> Answer:
        told = {"Authorization": f"Bearer {self.token}", "If_Match": str(revision)}
        return self.call(method, path, body, **told)

    def records(self) -> list[dict[str, Any]]:
        """Return what the prediction log holds, whole lines only."""
        paths = sorted((self.home / "predictions").glob("*.jsonl"))
        lines = [line for p in paths for line in p.read_text().splitlines(keepends=True)]
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def stop(self) -> float:
        """Stop as an operator does; return how long it took, seconds."""
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                for process in psutil.Process(self.process.pid).children(recursive=True):
                    process.kill()
                self.process.kill()
                self.process.wait()
                raise
        return time.monotonic() - started
