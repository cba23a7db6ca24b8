"""Changing a traffic plan: one writer, the registry first, then the folder, whole or not at all.

Workers see the change by watching the folder; the one that made it looks at once. Blocking: the
routes call it in a thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from bentos.answer import INDIA
from bentos.problems import Problem, invalid
from bentos.registry import RegistryTags
from bentos.traffic import (
    Note,
    Plan,
    PlanRefused,
    Split,
    encoded,
    next_plan,
    parse_plan,
    promoted,
    rolled_back,
)

LOCK_WAIT_S = 0.5
LOCK_POLL_S = 0.01

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a change makes of a plan.

    Parameters
    ----------
    salt : None keeps the one there is
    restores : the revision that it brings back, None where it brings back none
    """

    split: Split
    salt: str | None = None
    restores: int | None = None


Change = Callable[[Plan], Wanted]


class PlanStore:
    """The plans under one serving folder.

    Parameters
    ----------
    folder : callable returning the serving folder
    registry : RegistryTags, or None where the registry is not an HTTP server
    registry_lock : Path, or None
        The lock file that the pipeline takes to write the registry of this home.
    """

    def __init__(
        self,
        folder: Callable[[], Path],
        registry: RegistryTags | None,
        registry_lock: Path | None = None,
    ) -> None:
        self._folder = folder
        self._registry = registry
        self._registry_lock = registry_lock

    def current(self, model: str) -> Plan:
        """Return the plan in the folder.

        Raises
        ------
        bentos.problems.Problem
            `unknown-model`, or `model-not-ready` where the plan cannot be read.
        """
        path = self._of(model) / "plan.json"
        try:
            return parse_plan(msgspec.json.decode(path.read_bytes()), model=model)
        except FileNotFoundError:
            raise Problem("unknown-model", f"no model {model} is served here") from None
        except (OSError, ValueError) as fault:
            raise Problem("model-not-ready", f"plan.json of {model}: {fault}") from fault

    def put(self, model: str, expected: int, wanted: Split, note: Note, salt: str | None) -> Plan:
        """Replace the plan.

        Raises
        ------
        bentos.problems.Problem
            `revision-moved`, `field-invalid`, `registry-unreachable`.
        """
        return self._change(model, expected, lambda _: Wanted(wanted, salt), note)

    def promote(self, model: str, expected: int, version: int, note: Note) -> Plan:
        """Make a version champion. A repetition of the call that did it answers the same.

        Raises
        ------
        bentos.problems.Problem
            As `put`.
        """

        def made_champion(plan: Plan) -> Wanted:
            return Wanted(promoted(plan, version))

        try:
            return self._change(model, expected, made_champion, note)
        except Problem as problem:
            if problem.field == "champion":  # what its caller sent is called so
                raise invalid("version", problem.expected, version) from problem
            raise

    def roll_back(self, model: str, expected: int, note: Note) -> Plan:
        """Bring back the plan before the last change. A repetition answers the same.

        Raises
        ------
        bentos.problems.Problem
            As `put`, or `no-earlier-plan`.
        """

        def earlier(plan: Plan) -> Wanted:
            found = rolled_back(plan)
            if found is None:
                raise Problem(
                    "no-earlier-plan",
                    f"revision {plan.revision} holds the oldest plan that is kept",
                )
            return Wanted(found.split, found.salt, found.revision)

        return self._change(model, expected, earlier, note)

    def _of(self, model: str) -> Path:
        """Return the folder of a model; a name that none can have is not looked for."""
        folder = self._folder() / model
        if NAME.fullmatch(model) is None or not folder.is_dir():
            raise Problem("unknown-model", "no model of that name is served here")
        return folder

    def _change(self, model: str, expected: int, change: Change, note: Note) -> Plan:
        folder = self._of(model)
        with self._writing(folder):
            current = self._newest(model)
            if current.revision == expected + 1 and _was_this(current, change):
                return current
            if current.revision != expected:
                raise Problem(
                    "revision-moved",
                    f"the plan is at revision {current.revision}, not {expected}; "
                    "read it again and decide anew",
                    field="If-Match",
                    expected=str(current.revision),
                    found=str(expected),
                )
            plan = self._checked(folder, current, change(current), note)
            if plan is not current:
                self._write(folder, current, plan)
            return plan

    def _checked(self, folder: Path, current: Plan, wanted: Wanted, note: Note) -> Plan:
        at = datetime.now(INDIA).isoformat(timespec="seconds")
        told = Note(note.who or "api", note.why, at, wanted.restores)
        known = [int(p.name) for p in (folder / "versions").glob("*") if p.name.isdigit()]
        try:
            return next_plan(
                current,
                wanted.split,
                model=current.model,
                note=told,
                known=known,
                salt=wanted.salt,
            )
        except PlanRefused as fault:
            raise invalid(fault.field, fault.expected, fault.found) from fault

    def _newest(self, model: str) -> Plan:
        """Return the registry's plan where there is one, else the folder's."""
        local = self.current(model)
        if self._registry is None:
            return local
        self._registry.begin()
        document = self._registry.plan(model)
        if document is None:
            return local
        try:
            theirs = parse_plan(document, model=model)
        except PlanRefused as fault:
            raise Problem("registry-unreachable", f"the registry's plan: {fault}") from fault
        return theirs if theirs.revision >= local.revision else local

    def _write(self, folder: Path, before: Plan, plan: Plan) -> None:
        text = encoded(plan)
        if self._registry is not None:
            self._registry.write_plan(plan.model, text)
        try:
            write_whole(folder / "plan.json", text)
        except OSError as fault:
            raise Problem("registry-unreachable", f"{folder}: {fault}") from fault
        if self._registry is not None:
            named = {before.split.champion, *before.split.challengers}
            self._registry.point_aliases(plan.model, _aliases(plan.split), named)

    @contextlib.contextmanager
    def _writing(self, folder: Path) -> Iterator[None]:
        with contextlib.ExitStack() as locks:
            if self._registry is not None and self._registry_lock is not None:
                self._registry_lock.parent.mkdir(parents=True, exist_ok=True)
                locks.enter_context(locked(self._registry_lock))
            locks.enter_context(locked(folder / ".plan.lock"))
            yield


def _aliases(split: Split) -> dict[str, int | None]:
    """Return where the aliases point, for people: of several the one with the greatest weight."""
    tried = sorted(split.challengers.items(), key=lambda item: (-item[1], item[0]))
    return {
        "champion": split.champion,
        "challenger": tried[0][0] if tried else None,
        "shadow": split.shadows[0] if split.shadows else None,
    }


def _was_this(current: Plan, change: Change) -> bool:
    """Whether the last change of a plan is the one asked for: an answer that got lost."""
    before = [(revision, split) for revision, split in current.earlier()]
    if not before or before[0][0] != current.revision - 1:
        return False
    kept = tuple(e for e in current.history if e.get("revision") != current.revision)
    salt = str(current.history[-1].get("salt_before", current.salt))
    was = Plan(current.model, before[0][0], before[0][1], salt, {}, kept)
    try:
        wanted = change(was)
    except Problem:
        return False
    return (wanted.split, wanted.salt or salt) == (current.split, current.salt)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file; it dies with its process.

    Raises
    ------
    bentos.problems.Problem
        `registry-unreachable` if another writer holds it for longer than `LOCK_WAIT_S`.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as fault:
        raise Problem("registry-unreachable", f"{path}: {fault}") from fault
    try:
        until = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise Problem(
                        "registry-unreachable", "another writer is changing the plan"
                    ) from None
                time.sleep(LOCK_POLL_S)
        yield
    finally:
        os.close(handle)


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader, or a power cut, sees the old or the new, never a part.

    Raises
    ------
    OSError
        If it cannot be written; the old file stands.
    """
    passing = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with passing.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        passing.replace(path)
    finally:
        passing.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
