"""Ticker connections: what each has subscribed to, and what is sent to it.

Frames of an instant: one binary frame with every subscribed packet, then order updates, then the
clock. A connection that does not keep up loses its oldest tick frames, as at the broker; text is
never dropped. A heartbeat goes out when nothing else did for a while, in wall time. What a fault
does to a frame or an update is done here, to each connection apart; the clock frames of lock-step
are not the broker's and always come.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from agent.paper.board import Board
from agent.paper.exchange import Exchange, Instant
from agent.paper.faults import Asked, Faults, Strike
from agent.paper.source import DAY_MS
from agent.paper.wire import HEARTBEAT, MODES, Mode, frame, packet

HEARTBEAT_S: Final = 1.0
INSTRUMENTS_MAX: Final = 3_000
CONNECTIONS_MAX: Final = 3  # of an API key, and there is one
QUEUED_FRAMES_MAX: Final = 2_000
UNREAD_MAX: Final = 4_000

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
    broken: bool = False  # by a fault: the socket is to be reset
    held: bytes | None = None  # a frame that comes after the next one
    late: list[tuple[int, str]] = field(default_factory=list)  # updates and when they come

    def put(self, piece: Frame) -> None:
        """Queue a frame; beyond the bound the oldest tick frame goes, far beyond it the socket."""
        if self.broken:
            return
        self.queue.append(piece)
        if len(self.queue) > QUEUED_FRAMES_MAX:
            for n, old in enumerate(self.queue):
                if isinstance(old, bytes):
                    del self.queue[n]
                    self.dropped += 1
                    break
        if len(self.queue) > UNREAD_MAX:  # text alone: nobody reads there any more
            self.reset()
        self.ready.set()

    async def take(self) -> Frame:
        """Return the next frame, or a heartbeat after a silence."""
        while not self.queue and not self.broken:
            self.ready.clear()
            try:
                await asyncio.wait_for(self.ready.wait(), HEARTBEAT_S)
            except TimeoutError:
                return HEARTBEAT
        if self.broken:
            raise ConnectionResetError
        return self.queue.popleft()

    def reset(self) -> None:
        """Let the socket break under whoever reads it."""
        self.broken = True
        self.queue.clear()
        self.ready.set()


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
        self.faults = Faults()
        self.lockstep = tells_clock
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
        frames: list[tuple[dict[int, Mode], bytes]] = []  # of equal subscriptions only one is made
        silent = self.silent()
        clock = ""
        if self.tells_clock and (self.lockstep or not silent):
            clock = _text("paper_clock", {"now": instant.now_ms, "last": instant.last})
        for connection in self.connections:
            ticks = next((made for modes, made in frames if modes == connection.modes), None)
            if ticks is None:
                ticks = self._frame(connection, instant, packets)
                frames.append((connection.modes, ticks))
            if ticks and silent:
                self._felt("ticker_silent")
            elif ticks:
                self._send_ticks(connection, ticks)
            self._send_updates(connection, instant.notes.updates, silent=silent)
            if clock:
                connection.put(clock)

    def tell(self, updates: list[dict[str, Any]]) -> None:
        """Queue the order updates of a request."""
        silent = self.silent()
        for connection in self.connections:
            self._send_updates(connection, updates, silent=silent)

    def silent(self) -> bool:
        """Tell whether a fault lets nothing out, heartbeats neither."""
        return self._standing("ticker_silent") or (self.lockstep and self._standing("outage"))

    def refuses(self) -> bool:
        """Tell whether a fault lets nobody connect: time would stand still in lock-step."""
        return not self.lockstep and self._standing("outage")

    def skew_ms(self) -> int:
        """Return how far the broker's clock is off."""
        exchange = self._exchange
        found = self.faults.standing("clock_skew", Asked(), exchange.now_ms, exchange.day)
        return 0 if found is None else int(found.own("skew_ms"))

    def drop_all(self) -> None:
        """Break every connection."""
        for connection in self.connections:
            connection.reset()

    def _send_ticks(self, connection: Connection, ticks: bytes) -> None:
        strike = self._strike("frame", Asked())
        kind = "" if strike is None else strike.fault.kind
        if kind == "frames_reordered" and connection.held is None:
            connection.held = ticks
            return
        connection.put(ticks[: len(ticks) // 2] if kind == "frames_corrupt" else ticks)
        if kind == "frames_doubled":
            connection.put(ticks)
        if connection.held is not None:
            connection.put(connection.held)
            connection.held = None

    def _send_updates(
        self, connection: Connection, updates: list[dict[str, Any]], *, silent: bool
    ) -> None:
        now = self._exchange.now_ms
        for update in updates:
            text = _text("order", update)
            key = f"{update['exchange']}:{update['tradingsymbol']}"
            strike = self._strike("update", Asked(symbol=key, tag=update["tag"] or ""))
            kind = "" if strike is None else strike.fault.kind
            if strike is not None and kind == "updates_reordered":
                connection.late.append((now + strike.within("delay_ms"), text))
            elif kind != "updates_lost" and not silent:
                for _ in range(2 if kind == "updates_doubled" else 1):
                    connection.put(text)
        if connection.late:
            for due, text in connection.late:
                if due <= now and not silent:
                    connection.put(text)
            connection.late = [one for one in connection.late if one[0] > now]

    def _strike(self, stage: Literal["update", "frame", "ticker"], asked: Asked) -> Strike | None:
        if not self.faults.armed:
            return None
        return self.faults.strike(stage, asked, self._exchange.now_ms, self._exchange.day)

    def _felt(self, kind: str) -> None:
        self.faults.felt(kind, Asked(), self._exchange.now_ms, self._exchange.day)

    def _standing(self, kind: str) -> bool:
        if not self.faults.armed:
            return False
        exchange = self._exchange
        return self.faults.standing(kind, Asked(), exchange.now_ms, exchange.day) is not None

    def _frame(
        self, connection: Connection, instant: Instant, made: dict[tuple[int, Mode], bytes]
    ) -> bytes:
        """Return the frame of an instant for a connection; empty if nothing of it is subscribed."""
        modes = connection.modes
        bodies = [
            self._packet(board, modes[board.instrument.token], made)
            for board in instant.ticked
            if board.instrument.token in modes
        ]
        return frame(bodies) if bodies else b""

    def _packet(self, board: Board, mode: Mode, made: dict[tuple[int, Mode], bytes]) -> bytes:
        at = (board.instrument.token, mode)
        body = made.get(at)
        if body is None:
            skew_ms = self.skew_ms() if self.faults.armed else 0
            if skew_ms:
                self._felt("clock_skew")
            told_ms = self._exchange.now_ms + skew_ms
            body = made[at] = packet(board.seen(told_ms), mode)
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
        if boards and not self.silent():
            made: dict[tuple[int, Mode], bytes] = {}
            tell = self._stale if self._standing("stale_first_tick") else self._packet
            connection.put(
                frame(tell(b, connection.modes[b.instrument.token], made) for b in boards)
            )

    def _stale(self, board: Board, mode: Mode, made: dict[tuple[int, Mode], bytes]) -> bytes:
        """Return what was last seen of an instrument yesterday."""
        del made
        self._felt("stale_first_tick")
        before = board.seen(self._exchange.now_ms - DAY_MS)
        last = board.previous_close
        return packet(replace(before, last=last, last_trade_s=before.exchange_s), mode)


def _text(kind: str, data: Any) -> str:
    return json.dumps({"type": kind, "data": data}, separators=(",", ":"))
