"""Reading a request's body within bounds of size and time, before anything looks into it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

from starlette.requests import ClientDisconnect, Request

from bentos.problems import Problem


async def read_body(request: Request, bytes_max: int, s_max: float) -> bytes:
    """Return a request's body, whole.

    Parameters
    ----------
    bytes_max : bytes
    s_max : seconds for all of it

    Raises
    ------
    bentos.problems.Problem
        `body-too-large` or `body-late`.
    starlette.requests.ClientDisconnect
        If the client went away.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > bytes_max:
        raise too_large(bytes_max)
    until = time.monotonic() + s_max
    parts, size, more = [], 0, True
    while more:
        message = await _within(request.receive(), until - time.monotonic())
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > bytes_max:
            raise too_large(bytes_max)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _within(part: Awaitable[Any], left_s: float) -> Any:
    try:
        async with asyncio.timeout(max(0.0, left_s)):
            return await part
    except TimeoutError:
        raise too_late() from None


def broken_off() -> Problem:
    """Return the problem of a body whose client went away; nobody but the log hears of it."""
    return Problem("body-malformed", "the connection ended before the body did")


def too_late() -> Problem:
    """Return the problem of a body that takes too long."""
    return Problem("body-late", "the rest of the body did not arrive in time")


def too_large(bytes_max: int) -> Problem:
    """Return the problem of a body past its bound."""
    return Problem("body-too-large", f"at most {bytes_max} bytes", expected=f"{bytes_max} bytes")
