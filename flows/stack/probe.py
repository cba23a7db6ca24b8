"""Does a part answer? One small HTTP request without a thread and without a library."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

LIMIT_S = 2.0
ANSWER_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Probe:
    """A request that a ready part answers.

    Parameters
    ----------
    port : int
    path : str
    host : str
        A numeric address: a name would need a resolver thread.
    body : dict, optional
        Sent as JSON by POST; GET without one.
    text : str
        Must stand in the answer; `{pid}` is the part's process id.
    statuses : frozenset of int
        HTTP statuses that say it serves.
    """

    port: int
    path: str
    host: str = "127.0.0.1"
    body: dict[str, Any] | None = None
    text: str = ""
    statuses: frozenset[int] = frozenset({200})

    async def answers(self, pid: int, limit_s: float | None = None) -> bool:
        """Return whether the part with this process id answers as it should.

        Within `limit_s` seconds, two without it.
        """
        try:
            async with asyncio.timeout(LIMIT_S if limit_s is None else limit_s):
                status, text = await self._ask()
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            return False
        return status in self.statuses and self.text.replace("{pid}", str(pid)) in text

    async def _ask(self) -> tuple[int, str]:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            content = b"" if self.body is None else json.dumps(self.body).encode()
            head = (
                f"{'GET' if self.body is None else 'POST'} {self.path} HTTP/1.1\r\n"
                f"Host: {self.host}:{self.port}\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
            )
            writer.write(head.encode() + content)
            await writer.drain()
            answer = bytearray()
            while len(answer) < ANSWER_BYTES_MAX and (piece := await reader.read(65_536)):
                answer += piece
        finally:
            writer.close()
        first, _, rest = bytes(answer).partition(b"\r\n")
        return int(first.split()[1] if b" " in first else 0), rest.decode(errors="replace")
