"""One part of the stack: what is run, what it needs first, how one knows that it serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flows.stack.probe import Probe

START_LIMIT_S = 180.0  # Prefect and MLflow took 85 s on two cores at a load of 17


def nothing_missing() -> str | None:
    """Return None: the part can run at once."""
    return None


@dataclass(frozen=True, slots=True)
class Part:
    """A process that the keeper minds.

    Parameters
    ----------
    name : str
        Also the name of its log file.
    command : tuple of str
    needs : tuple of str
        Parts that must serve before this one is started.
    probe : Probe, optional
        Answered once it serves; without one it serves as soon as it runs.
    address : str
        Where a person or a program finds it.
    extra : mapping of str to str
        Environment beside the home's.
    missing : callable
        Why the part has nothing to run yet, in words; None if it has. Asked every second.
    once : bool
        Runs to its end, and that is well.
    stage : int
        When it is stopped: all parts of stage 0 together, then those of stage 1, and so on.
    whole : bool
        It is stopped by a signal to every process of it, not to the first alone.
    keeps_orphans : bool
        What it started may finish when it dies (flow runs end COMPLETED without their worker).
    tethered : bool
        Its standard input is a pipe that closes when we end.
    start_limit_s : float
        Seconds until it must serve.
    """

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    probe: Probe | None = None
    address: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)
    missing: Callable[[], str | None] = nothing_missing
    once: bool = False
    stage: int = 0
    whole: bool = False
    keeps_orphans: bool = False
    tethered: bool = False
    start_limit_s: float = START_LIMIT_S
