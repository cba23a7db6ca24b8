"""What can go wrong, named by what its catcher does.

A leaf: imports nothing of ours, so every room may raise and every shell may catch.
Exit statuses (docs/operating.md): 0 done, 1 refused by a gate or guard, 2 usage, settings or
environment, 3 interrupted, 4 a bug of ours.
"""

from __future__ import annotations

from typing import ClassVar


class RatchetError(Exception):
    """Base of every error that we raise on purpose; `exit_status` is what a command ends with."""

    exit_status: ClassVar[int] = 4


class Refused(RatchetError):
    """A gate or a guard said no; nothing was changed. Catcher: tell the person, do not retry."""

    exit_status = 1


class SettingRefused(RatchetError):
    """A setting, an argument or a file's content cannot be used. Catcher: show it, stop.

    Parameters
    ----------
    subject : str
        The key, argument or file (with its line where it has one).
    given, allowed : object
        What was found and what was expected, as a person would write them.
    fix : str
        What to do about it.
    """

    exit_status = 2

    def __init__(self, subject: str, *, given: object, allowed: object, fix: str) -> None:
        super().__init__(f"{subject}: found {given}; expected {allowed}; {fix}")
        self.subject = subject
        self.given = given
        self.allowed = allowed
        self.fix = fix


class EnvironmentRefused(SettingRefused):
    """The machine is not as it must be (port taken, folder unwritable, server gone)."""


class Retryable(RatchetError):
    """Nothing happened on the other side; the same call may be made again."""


class Unknown(RatchetError):
    """The call may or may not have taken effect. Catcher: look it up before sending anything."""


class Broken(RatchetError):
    """An invariant of ours does not hold. Catcher: open nothing new; leave protection standing."""


def check(condition: bool, why: str, **facts: object) -> None:
    """Raise `Broken` with the facts unless `condition` holds; unlike `assert` it survives `-O`.

    Raises
    ------
    Broken
        If `condition` is false.
    """
    if not condition:
        told = ", ".join(f"{name}={value!r}" for name, value in facts.items())
        raise Broken(f"{why} ({told})" if told else why)
