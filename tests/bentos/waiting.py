"""Waiting for something that another thread or process does, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(probe: Callable[[], T], limit_s: float = 20.0) -> T:
    """Return the first true answer of `probe`; fail after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while True:
        found = probe()
        if found:
            return found
        assert time.monotonic() < deadline, f"still {found!r} after {limit_s} s"
        time.sleep(0.02)
