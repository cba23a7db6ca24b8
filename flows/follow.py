"""The follower: keeps the serving folder and the registry alike, in a process of its own.

A registry server is followed into the folder (`flows.stack.follower`). Without one, changes made
over the API are in the folder alone: they are brought into the registry's database by
`flows.deploy.mirror`, in yet another process, because MLflow would cost this one 190 MB. What
fails is tried again; serving goes on with the last plan.

A process of its own, because the served model must not depend on it: kill -9 of it changes
nothing for callers, and `Follower`, in `ratchet serve`, starts the next one. It ends with its
parent, however that ends: the pipe on its standard input closes.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from flows.home import Home, tracking_uri

FOLLOW_S = 2.0
FOLLOW_S_MAX = 60.0
MIRROR_S = 120.0
STOP_S = 8.0
AGAIN_S, AGAIN_S_MAX = 0.5, 30.0  # before the next one is started; doubled while none lasts
LASTED_S = 60.0  # one that ran this long was in order
PLAN, MIRRORED = "plan.json", ".mirrored"


class Follower:
    """Runs the follower's process as long as a server runs; starts it again when it dies.

    Parameters
    ----------
    home : Home
    tell : callable
        Gets one line for each change of what is true.
    """

    def __init__(self, home: Home, tell: Callable[[str], None]) -> None:
        self._home = home
        self._tell = tell
        self._stop = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    @property
    def pid(self) -> int | None:
        """The process that follows now, None between two."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start following."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following; what is under way is left to the next one."""
        self._stop.set()
        if (process := self._process) is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # it holds nothing that is not written whole
        self._thread.join(STOP_S)

    def _run(self) -> None:
        wait_s = AGAIN_S
        while not self._stop.is_set():
            ran_s = self._follow()
            if self._stop.is_set():
                return
            wait_s = AGAIN_S if ran_s > LASTED_S else wait_s
            self._tell(f"the follower ended; the next one starts in {wait_s:g} s")
            self._stop.wait(wait_s)
            wait_s = min(wait_s * 2, AGAIN_S_MAX)

    def _follow(self) -> float:
        """Run one process to its end, passing on what it says; return how long it ran, seconds."""
        began = time.monotonic()
        with subprocess.Popen(
            [sys.executable, "-m", "flows.follow", str(self._home.root)],
            stdin=subprocess.PIPE,  # closes when we end, however we end
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C is for us; it would look like a crash of this one
        ) as process:
            self._process = process
            if self._stop.is_set():
                process.kill()
            for line in process.stdout or ():
                self._tell(line.rstrip())
        return time.monotonic() - began


def follow(home: Home, stop: threading.Event, tell: Callable[[str], None]) -> None:
    """Follow until `stop` is set.

    Parameters
    ----------
    home : Home
    stop : threading.Event
    tell : callable
        Gets one line for each change of what is true.
    """
    uri = tracking_uri(home)
    wait_s = FOLLOW_S
    if uri.startswith(("http://", "https://")):
        from flows.stack.follower import Follower as ServerFollower

        server = ServerFollower(home, uri, tell)
        while not stop.wait(wait_s):
            server.look()
        return
    while not stop.wait(wait_s):
        ahead = any(_ahead(path.parent) for path in home.serving.glob(f"*/{PLAN}"))
        failed = ahead and not _mirror(home)
        wait_s = min(wait_s * 2, FOLLOW_S_MAX) if failed else FOLLOW_S


def _mirror(home: Home) -> bool:
    home.logs.mkdir(exist_ok=True)
    with (home.logs / "mirror.log").open("ab") as log:
        try:
            run = subprocess.run(
                [sys.executable, "-m", "flows.deploy", str(home.root)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=MIRROR_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return run.returncode == 0


def _ahead(folder: Path) -> bool:
    """Whether a model's folder holds a plan that the registry has not seen."""
    try:
        revision = json.loads((folder / PLAN).read_bytes())["revision"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    try:
        return (folder / MIRRORED).read_text(encoding="utf-8").strip() != str(revision)
    except OSError:
        return True


def main() -> None:
    """Follow the registry of a home until standard input closes: `python -m flows.follow HOME`."""
    home = Home.open(Path(sys.argv[1]))
    stop = threading.Event()

    def watch() -> None:
        sys.stdin.buffer.read()
        stop.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()
    follow(home, stop, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
