"""Ticker connections: what each has subscribed to, and what is sent to it.

Frames of an instant: one binary frame with every subscribed packet, then order updates, then the
clock. A connection that does not keep up loses its oldest tick frames, as at the broker; text is
never dropped. A heartbeat goes out when nothing else did for a while, in wall time.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from agent.paper.board import Board
from agent.paper.exchange import Exchange, Instant
from agent.paper.wire import HEARTBEAT, MODES, Mode, frame, packet

HEARTBEAT_S: Final = 1.0
INSTRUMENTS_MAX: Final = 3_000
CONNECTIONS_MAX: Final = 16  # the broker's limit is 3, softly: old ones may not be gone yet
QUEUED_FRAMES_MAX: Final = 2_000

Frame = bytes | str


@dataclass(slots=True, eq=False)
class Connection:
    """One open ticker."""

    number: int
    modes: dict[int, Mode] = field(default_factory=dict)
    queue: deque[Frame] = field(default_factory=deque)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    client: str | None = None
    dropped: int = 0

    def put(self, piece: Frame) -> None:
        """Queue a frame; beyond the bound the oldest tick frame goes."""
        self.queue.append(piece)
        if len(self.queue) > QUEUED_FRAMES_MAX:
            for n, old in enumerate(self.queue):
                if isinstance(old, bytes):
                    del self.queue[n]
                    self.dropped += 1
                    break
        self.ready.set()

    async def take(self) -> Frame:
        """Return the next frame, or a heartbeat after a silence."""
        while not self.queue:
            self.ready.clear()
            try:
                await asyncio.wait_for(self.ready.wait(), HEARTBEAT_S)
            except TimeoutError:
                return HEARTBEAT
        return self.queue.popleft()


class Hub:
    """All open tickers.

    Parameters
    ----------
    exchange : Exchange
    tells_clock : bool
        Whether the clock frame is sent: in lock-step, or once a client has joined.
    """

    def __init__(self, exchange: Exchange, *, tells_clock: bool) -> None:
        self._exchange = exchange
        self.tells_clock = tells_clock
        self.connections: list[Connection] = []
        self._opened = 0
        self._without: list[str] = []  # clients that joined and have no ticker yet

    def open(self) -> Connection | None:
        """Add a connection, or return None past the bound."""
        if len(self.connections) >= CONNECTIONS_MAX:
            return None
        self._opened += 1
        connection = Connection(self._opened)
        if self._without:
            connection.client = self._without.pop(0)
        self.connections.append(connection)
        return connection

    def close(self, connection: Connection) -> None:
        """Remove a connection."""
        if connection in self.connections:
            self.connections.remove(connection)

    def claim(self, client: str) -> None:
        """Give a client that joined the oldest connection that nobody has, or the next one."""
        for connection in self.connections:
            if connection.client is None:
                connection.client = client
                return
        self._without.append(client)

    def release(self, client: str) -> None:
        """Forget a client that has left."""
        self._without = [one for one in self._without if one != client]
        for connection in self.connections:
            if connection.client == client:
                connection.client = None

    def receive(self, connection: Connection, text: str) -> None:
        """Act on what a ticker sent: subscribe, unsubscribe, mode."""
        try:
            message = json.loads(text)
            action, value = message["a"], message["v"]
            if action == "subscribe":
                self._subscribe(connection, [int(token) for token in value])
            elif action == "unsubscribe":
                for token in value:
                    connection.modes.pop(int(token), None)
            elif action == "mode":
                self._set_mode(connection, value[0], [int(token) for token in value[1]])
        except (ValueError, KeyError, TypeError, IndexError):
            connection.put(_text("error", f"Could not read the request: {text[:120]}"))

    def publish(self, instant: Instant) -> None:
        """Queue everything of an instant."""
        if not self.connections:
            return
        packets: dict[tuple[int, Mode], bytes] = {}
        updates = [_text("order", update) for update in instant.notes.updates]
        clock = ""
        if self.tells_clock:
            clock = _text("paper_clock", {"now": instant.now_ms, "last": instant.last})
        for connection in self.connections:
            bodies = [
                self._packet(board, connection.modes[board.instrument.token], packets)
                for board in instant.ticked
                if board.instrument.token in connection.modes
            ]
            if bodies:
                connection.put(frame(bodies))
            for update in updates:
                connection.put(update)
            if clock:
                connection.put(clock)

    def _packet(self, board: Board, mode: Mode, made: dict[tuple[int, Mode], bytes]) -> bytes:
        at = (board.instrument.token, mode)
        body = made.get(at)
        if body is None:
            body = made[at] = packet(board.seen(self._exchange.now_ms), mode)
        return body

    def _subscribe(self, connection: Connection, tokens: list[int]) -> None:
        fresh = [token for token in tokens if token not in connection.modes]
        room = INSTRUMENTS_MAX - len(connection.modes)
        if len(fresh) > room:
            connection.put(_text("error", f"At most {INSTRUMENTS_MAX} instruments."))
            fresh = fresh[:room]
        for token in fresh:
            connection.modes[token] = "quote"
        self._send_cached(connection, tokens)

    def _set_mode(self, connection: Connection, mode: str, tokens: list[int]) -> None:
        if mode not in MODES:
            connection.put(_text("error", f"Unknown mode {mode}; {', '.join(MODES)}."))
            return
        for known in MODES:
            if known == mode:
                for token in tokens:
                    connection.modes[token] = known
        self._send_cached(connection, tokens)

    def _send_cached(self, connection: Connection, tokens: list[int]) -> None:
        """Send the last packet at once, as the broker does on a subscription."""
        boards = [
            board
            for token in tokens
            if token in connection.modes
            and (board := self._exchange.by_token.get(token)) is not None
        ]
        if boards:
            made: dict[tuple[int, Mode], bytes] = {}
            connection.put(
                frame(self._packet(b, connection.modes[b.instrument.token], made) for b in boards)
            )


def _text(kind: str, data: Any) -> str:
    return json.dumps({"type": kind, "data": data}, separators=(",", ":"))
