"""A small HTTP server that speaks the served model's contract, for the end-to-end tests.

Its opinion is a table from symbol to side, so that a test knows what must be traded.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

POLICY = """\
mode = "percent"
stop = "0.6%"
target = "1.2%"
share = 0.5
follow = 0.25
[planner]
quiet_ms = 1000
"""


class Served:
    """The server; use as a context manager."""

    def __init__(
        self,
        sides: Mapping[str, str],
        *,
        interval: str = "day",
        window: int = 5,
        policy: str = POLICY,
        valid_ms: int = 10 * 86_400_000,
    ) -> None:
        self.sides = dict(sides)
        self.questions: list[dict[str, Any]] = []
        self.down = False
        served = self
        document = {
            "name": "tiny",
            "window": window,
            "interval": interval,
            "features": [],
            "context": [],
            "universe": sorted(sides),
            "versions": [
                {
                    "version": 3,
                    "alias": "champion",
                    "state": "ready",
                    "policy_toml": policy,
                    "allowed": "paper",
                    "gates": {},
                }
            ],
        }

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if served.down:
                    self.say(503, {"title": "overloaded"})
                elif self.path == "/v1/models":
                    self.say(200, {"models": [{"name": "tiny"}]})
                else:
                    self.say(200, document)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if served.down:
                    self.say(503, {"title": "overloaded"})
                    return
                served.questions.append(body)
                answers = [answer(one) for one in body["instances"]]
                self.say(200, {"model": "tiny", "answers": answers})

            def say(self, status: int, found: object) -> None:
                text = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args: object) -> None:
                return

        def answer(one: dict[str, Any]) -> dict[str, Any]:
            until = datetime.fromtimestamp((one["as_of"] + valid_ms) / 1000, UTC)
            side = served.sides.get(one["key"], "HOLD")
            return {
                "request_id": f"r{len(served.questions)}-{one['key'].partition(':')[2]}",
                "model": "tiny",
                "version": 3,
                "variant": "champion",
                "plan_revision": 1,
                "prediction": {
                    "side": side,
                    "p_long": 0.4,
                    "p_short": 0.4,
                    "p_flat": 0.2,
                    "er_long": 0.2 if side == "BUY" else -0.1,
                    "er_short": 0.2 if side == "SELL" else -0.1,
                    "valid_until": until.isoformat(),
                },
                "warnings": [],
                "latency_ms": 1.0,
            }

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
