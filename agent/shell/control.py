"""The local control API: `status`, `positions`, `halt`, `resume`, `flatten` for the CLI and a page.

Standard library only: it serves a handful of loopback requests a minute from one thread, and a
web framework would cost the live process a third of a second and 25 MB at its start.
Reads and writes need the token of `HOME/agent/control.json` (0600). A write puts a word into the
loop's queue and returns; what became of it is in `status`.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from agent.errors import EnvironmentRefused
from agent.private_file import write_private
from agent.shell.inbox import Item, Word

VERBS: Final = ("halt", "resume", "flatten", "no_new", "reduce_only")
BODY_BYTES_MAX: Final = 10_000
Reads = Mapping[str, Callable[[], dict[str, Any]]]


class Control:
    """The server.

    Parameters
    ----------
    home : Path
    port : int
        0 takes a free one; the file says which.
    inbox : SimpleQueue of Item
    reads : mapping of name to what answers `GET /name`

    Raises
    ------
    EnvironmentRefused
        If the port is taken.
    """

    def __init__(self, home: Path, port: int, inbox: SimpleQueue[Item], reads: Reads) -> None:
        self._token = secrets.token_urlsafe(24)
        handler = _handler(self._token, inbox, reads)
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        except OSError as fault:
            raise EnvironmentRefused(
                "agent.control.port",
                given=f"{port}: {fault.strerror}",
                allowed="a free port on 127.0.0.1",
                fix="stop who holds it, or set RATCHET_AGENT__CONTROL__PORT (0: any)",
            ) from fault
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._file = control_file(home)
        told = {"port": self.port, "token": self._token, "pid": os.getpid()}
        write_private(self._file, json.dumps(told))
        threading.Thread(target=self._server.serve_forever, name="control", daemon=True).start()

    def stop(self) -> None:
        """Stop serving and remove the file."""
        self._server.shutdown()
        self._server.server_close()
        self._file.unlink(missing_ok=True)


def control_file(home: Path) -> Path:
    """Return where the port and token of the running agent are."""
    return home / "agent" / "control.json"


def ask(home: Path, method: str, path: str) -> dict[str, Any]:
    """Ask the running agent of a home.

    Raises
    ------
    EnvironmentRefused
        If none runs, or it does not answer.
    """
    file = control_file(home)
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        with closing(HTTPConnection("127.0.0.1", int(kept["port"]), timeout=5)) as http:
            http.request(method, path, headers={"Authorization": f"Bearer {kept['token']}"})
            response = http.getresponse()
            document = json.loads(response.read())
    except (OSError, ValueError, KeyError, TypeError, HTTPException) as fault:
        raise EnvironmentRefused(
            str(file),
            given=f"no agent that answers ({fault})",
            allowed="a running agent on this home",
            fix="start one: ratchet-agent run --home ...",
        ) from fault
    if response.status != 200:
        raise EnvironmentRefused(
            path, given=f"{response.status}: {document}", allowed="200", fix="see the words above"
        )
    return dict(document)


def _handler(token: str, inbox: SimpleQueue[Item], reads: Reads) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_GET(self) -> None:
            name = self.path.strip("/")
            if not self._allowed():
                return
            if name not in reads:
                self._say(404, {"error": f"no {self.path}", "known": sorted(reads)})
                return
            self._say(200, reads[name]())

        def do_POST(self) -> None:
            name = self.path.strip("/")
            length = int(self.headers.get("Content-Length") or 0)
            if length > BODY_BYTES_MAX:
                self._say(413, {"error": f"at most {BODY_BYTES_MAX} bytes"})
                return
            self.rfile.read(length)
            if not self._allowed():
                return
            if name not in VERBS:
                self._say(404, {"error": f"no {self.path}", "known": list(VERBS)})
                return
            inbox.put(Word(name, self.headers.get("X-Who") or "operator"))
            self._say(200, {"asked": name})

        def _allowed(self) -> bool:
            given = self.headers.get("Authorization", "").encode()
            if hmac.compare_digest(given, f"Bearer {token}".encode()):
                return True
            self._say(401, {"error": "a token is needed: see control.json in the home folder"})
            return False

        def _say(self, status: int, document: dict[str, Any]) -> None:
            body = json.dumps(document, default=str).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            del format, args

    return Handler
