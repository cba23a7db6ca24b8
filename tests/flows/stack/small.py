"""A stack of small parts under the real keeper: `python -m tests.flows.stack.small HOME PORT KIND`.

Its parts are Python one-liners, so that a test of supervision takes milliseconds of CPU.
"""

from __future__ import annotations

import sys
from pathlib import Path

from flows.stack import keeper, probe
from flows.stack.part import Part
from flows.stack.parts import Stack
from flows.stack.probe import Probe
from flows.stack.up import run

SERVER = """
import http.server, pathlib, sys, time
time.sleep(float(sys.argv[2]))
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.5 if pathlib.Path(sys.argv[3] + "-slow").exists() else 0)
        self.send_response(503 if pathlib.Path(sys.argv[3]).exists() else 200)
        self.end_headers()
    def log_message(self, *_): pass
print("serving", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
SLEEPER = "import time; print('here', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"
# a child in a session of its own, as Prefect's worker starts flow runs
SPAWNER = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {SLEEPER!r}], start_new_session=True)
{SLEEPER}
"""


# kind: seconds for the last question, and for every other
SILENT = {"hanging": (0.5, 0.5), "slow": (20.0, 0.25), "patient": (600.0, 0.5)}


def python(code: str, *arguments: object) -> tuple[str, ...]:
    return (sys.executable, "-c", code, *map(str, arguments))


def parts(home: Path, port: int, kind: str) -> tuple[Part, ...]:
    warden = Part(
        "warden", (sys.executable, "-m", "flows.stack.warden", str(home)), tethered=True, stage=3
    )
    server = Part(
        "server",
        python(SERVER, port, 0.3, home / "sick"),
        probe=Probe(port, "/health"),
        address=f"http://127.0.0.1:{port}",
        stage=2,
    )
    # asked of the server, as Prefect's worker is: the answer may come when the part is long gone
    client = Part("client", python(SPAWNER), needs=("server",), probe=Probe(port, "/client"))

    def nothing_yet() -> str | None:
        return None if (home / "work").exists() else "no work yet"

    idle = Part("idle", python(SLEEPER), missing=nothing_yet)
    once = Part("once", python("print('did it')"), once=True)
    more = {
        "plain": (idle, once),
        "failing": (Part("failing", python("import sys; sys.exit('no key: give one')")),),
        "stubborn": (Part("stubborn", python(STUBBORN)),),
        **dict.fromkeys(SILENT, ()),
    }
    return (warden, server, client, *more[kind])


def main() -> None:
    home, port, kind = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    from flows.home import Home

    keeper.PROBE_UP_S = 0.3
    if kind in SILENT:
        keeper.HUNG_UNANSWERED, keeper.PATIENCE_S, probe.LIMIT_S = 5, *SILENT[kind]
    document = run(Home.open(home), Stack(parts(home, port, kind), {}, {}, {port: "server"}))
    sys.exit(0 if document["orderly"] else 3)


if __name__ == "__main__":
    main()
