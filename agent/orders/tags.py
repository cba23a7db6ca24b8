"""An order's name of our own: at most 20 alphanumerics, the same whenever it is derived.

    RT iiii nnnnnn E a    prefix, instance, trade number, role, attempt (base 36)

The broker has no idempotency key; after a lost answer the tag is the only way to find an order.
The instance tells two agents apart: an order of today with our prefix and another instance means
that a second one trades this account.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from agent.core.values import Role
from agent.errors import check

PREFIX: Final = "RT"
INSTANCE_CHARS: Final = 4
_NUMBER_CHARS: Final = 6
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_ATTEMPT_CHARS: Final = 2
_LENGTH: Final = len(PREFIX) + INSTANCE_CHARS + _NUMBER_CHARS + 1 + _ATTEMPT_CHARS


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag taken apart."""

    instance: str
    trade: int
    role: Role
    attempt: int


def tag_of(instance: str, trade: int, role: Role, attempt: int) -> str:
    """Return the tag of an order.

    Raises
    ------
    Broken
        If a part does not fit.

    Examples
    --------
    >>> tag_of("a1b2", 77, Role.EXIT, 3)
    'RTa1b2000025X03'
    """
    check(len(instance) == INSTANCE_CHARS and instance.isalnum(), "an instance", given=instance)
    check(0 < trade < 36**_NUMBER_CHARS and 0 <= attempt < 36**_ATTEMPT_CHARS, "fits", trade=trade)
    return (
        PREFIX + instance + _base36(trade, _NUMBER_CHARS) + role + _base36(attempt, _ATTEMPT_CHARS)
    )


def parse_tag(text: str | None) -> Tag | None:
    """Return the parts of a tag of this program, of any instance; None for anything else.

    >>> parse_tag("RTa1b2000025X03")
    Tag(instance='a1b2', trade=77, role=<Role.EXIT: 'X'>, attempt=3)
    >>> parse_tag("by hand") is None
    True
    """
    return None if text is None else _parsed(text)


@lru_cache(maxsize=4096)  # the rows of a day, read again every ten seconds
def _parsed(text: str) -> Tag | None:
    if len(text) != _LENGTH or not text.startswith(PREFIX):
        return None
    instance, rest = text[2 : 2 + INSTANCE_CHARS], text[2 + INSTANCE_CHARS :]
    number, role, attempt = rest[:_NUMBER_CHARS], rest[_NUMBER_CHARS], rest[_NUMBER_CHARS + 1 :]
    try:
        return Tag(instance, int(number, 36), Role(role), int(attempt, 36))
    except ValueError:
        return None


def instance_of(host: str, home: str) -> str:
    """Return the instance of an agent: the same home on the same host is the same agent.

    Derived, not stored: with the journal lost, its orders are still known to be its own.
    """
    digest = int.from_bytes(hashlib.sha256(f"{host}\n{home}".encode()).digest()[:8], "big")
    return _base36(digest % 36**INSTANCE_CHARS, INSTANCE_CHARS)


def _base36(number: int, width: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text.rjust(width, "0")
