"""The life of a part, as a table: state and event to the next state; a miss is a bug of ours.

    waiting -> starting -> up <-> silent
       ^          |         |       |
       +-------- down <-----+-------+        any -> stopping -> stopped

`waiting` names what it waits for: another part, or something to run. `down` waits for its
back-off. A part that only runs once ends as `done`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from agent.errors import check


class State(StrEnum):
    """What a part is doing."""

    WAITING = "waiting"
    STARTING = "starting"
    UP = "up"
    SILENT = "silent"
    DOWN = "down"
    DONE = "done"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Event(StrEnum):
    """What can happen to a part."""

    CLEARED = "cleared"  # nothing is missing any more
    READY = "ready"
    UNANSWERED = "unanswered"  # several probes in a row
    ENDED = "ended"  # its process is gone, or was given up on
    FINISHED = "finished"  # a part that runs once ended well
    DUE = "due"  # the back-off is over
    STOP = "stop"


NEXT: Final = {
    (State.WAITING, Event.CLEARED): State.STARTING,
    (State.STARTING, Event.READY): State.UP,
    (State.STARTING, Event.ENDED): State.DOWN,
    (State.STARTING, Event.FINISHED): State.DONE,
    (State.UP, Event.UNANSWERED): State.SILENT,
    (State.UP, Event.ENDED): State.DOWN,
    (State.SILENT, Event.READY): State.UP,
    (State.SILENT, Event.ENDED): State.DOWN,
    (State.DOWN, Event.DUE): State.WAITING,
    (State.WAITING, Event.STOP): State.STOPPED,  # nothing of it runs in these three
    (State.DOWN, Event.STOP): State.STOPPED,
    (State.DONE, Event.STOP): State.STOPPED,
    (State.STARTING, Event.STOP): State.STOPPING,
    (State.UP, Event.STOP): State.STOPPING,
    (State.SILENT, Event.STOP): State.STOPPING,
    (State.STOPPING, Event.ENDED): State.STOPPED,
}
RUNNING: Final = frozenset({State.STARTING, State.UP, State.SILENT, State.STOPPING})
SERVING: Final = frozenset({State.UP, State.DONE})

BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 30.0
STEADY_S = 60.0


def after(state: State, event: Event) -> State:
    """Return the next state.

    Raises
    ------
    agent.errors.Broken
        If the pair is not in the table.
    """
    check((state, event) in NEXT, "no such step in the life of a part", state=state, event=event)
    return NEXT[state, event]


def backoff_s(faults_in_a_row: int) -> float:
    """Return how long to wait before the next start: 0.5, 1, 2, … at most 30 seconds."""
    doubled = BACKOFF_FIRST_S * 2.0 ** min(max(faults_in_a_row - 1, 0), 16)
    return min(BACKOFF_MAX_S, doubled)
