"""Processes we start: named, logged, ready before they are used, and never left behind.

A child gets its own session (so that a whole tree can be ended at once), our environment, one log
file, and the kernel's promise to end it when we die (`PR_SET_PDEATHSIG`): kill -9 of the parent
leaves nothing running. Readiness is a file that the child writes once it serves.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.errors import EnvironmentRefused

PR_SET_PDEATHSIG = 1
POLL_S = 0.05
LOG_TAIL_LINES = 12


@dataclass(slots=True)
class Child:
    """One running process of ours."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """The process's id, also its process group's and session's."""
        return self.process.pid

    def fault(self) -> str | None:
        """Return why the child is not running any more, with the end of its log; None if it is."""
        status = self.process.poll()
        if status is None:
            return None
        how = f"ended by signal {-status}" if status < 0 else f"ended with status {status}"
        return f"{self.name} {how}; the end of {self.log}:\n{tail(self.log)}"

    def stop(self, grace_s: float) -> int:
        """End the child: SIGTERM, then after `grace_s` SIGKILL to its whole group.

        Returns
        -------
        int
            Its exit status, negative for a signal.
        """
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(grace_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self.process.wait()


@dataclass(slots=True)
class Children:
    """The processes of one run, ended in reverse order of their start, whatever happens.

    Parameters
    ----------
    environment : mapping of str to str
        What every child gets beside our own environment.
    logs : Path
        Folder of the log files, one a child.
    grace_s : float
        Seconds a child has to end by itself.
    """

    environment: Mapping[str, str]
    logs: Path
    grace_s: float = 8.0
    running: list[Child] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop_all()

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        extra: Mapping[str, str] | None = None,
        tethered: bool = False,
    ) -> Child:
        """Start one child; its output goes to `logs/NAME.log`.

        Parameters
        ----------
        name : str
        command : sequence of str
        extra : mapping of str to str, optional
            Environment beside what every child gets.
        tethered : bool
            Its standard input is a pipe that closes when we end, however we end.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{name}.log"
        with log.open("ab") as sink:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE if tethered else subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment, **(extra or {})},
                start_new_session=True,
                preexec_fn=die_with_parent(os.getpid()),  # noqa: PLW1509  (no threads hold locks)
            )
        child = Child(name, process, log)
        self.running.append(child)
        return child

    def discard(self, child: Child) -> None:
        """End what is left of a child's group at once, and let go of it."""
        child.stop(0)
        if child.process.stdin:
            child.process.stdin.close()
        self.running = [other for other in self.running if other is not child]

    def stop_all(self) -> None:
        """End every child, last started first."""
        while self.running:
            self.running.pop().stop(self.grace_s)

    def first_fault(self, *, besides: Child) -> str | None:
        """Return what the first dead child but one died of, None while all others run."""
        others = (child for child in self.running if child is not besides)
        return next((why for child in others if (why := child.fault())), None)


def wait_ready(child: Child, ready: Callable[[], bool], *, limit_s: float) -> None:
    """Wait until `ready()`; poll, because a child in another session cannot be joined on.

    Raises
    ------
    EnvironmentRefused
        If the child ends first, or is not ready within `limit_s` seconds.
    """
    until = time.monotonic() + limit_s
    while not ready():
        if (why := child.fault()) is not None:
            raise EnvironmentRefused(
                child.name, given=why, allowed="a process that starts", fix=f"read {child.log}"
            )
        if time.monotonic() > until:
            raise EnvironmentRefused(
                child.name,
                given=f"not ready after {limit_s:g} s; the end of its log:\n{tail(child.log)}",
                allowed="a process that serves",
                fix=f"read {child.log}; a busy machine may need a second try",
            )
        time.sleep(POLL_S)


def require_free_port(port: int, *, host: str, purpose: str, setting: str) -> None:
    """Refuse early, and by name, a port that something else holds.

    Raises
    ------
    EnvironmentRefused
        If a socket cannot be bound to it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as fault:
            raise EnvironmentRefused(
                f"port {port} ({purpose})",
                given=f"{fault.strerror}" + _holder(port),
                allowed="a free port",
                fix=f"stop what holds it, or choose another with {setting}",
            ) from fault


def tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """Return the last lines of a log, indented, for an error message."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as fault:
        return f"    (unreadable: {fault})"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (empty)"


def _holder(port: int) -> str:
    """Name the process that listens on a port where /proc tells; an empty text where not."""
    wanted = f":{port:04X}"
    inodes = {
        row.split()[9]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        if Path(table).exists()
        for row in Path(table).read_text(encoding="ascii").splitlines()[1:]
        if row.split()[1].endswith(wanted) and row.split()[3] == "0A"
    }
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in (folder / "fd").iterdir():
                link = str(descriptor.readlink())
                if link.removeprefix("socket:[").removesuffix("]") in inodes:
                    command = (
                        (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                    )
                    return f", held by process {folder.name} ({command[:80]})"
    return ""


def die_with_parent(parent: int) -> Callable[[], None]:
    """Return what a child runs between fork and exec: ask the kernel to end it with us."""
    libc = ctypes.CDLL(None, use_errno=True)  # loaded before the fork, where it is safe

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # we died between the fork and the call
            os._exit(1)

    return ask
