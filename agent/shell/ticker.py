"""KiteTicker's thread to our queue: packets, order updates, the clock frames of a paper exchange.

Rule 1: a callback puts into the queue and returns; an exception in one would drop the connection,
so everything is caught and becomes a value.
Rule 2: calls into the client from our thread go through the reactor: the client is not thread-safe.
Rule 3: the client never notices a peer that fell silent; the watchdog on the last frame does.
The first packet of an instrument after a subscription is the cached last one: it is marked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any

from agent.errors import SettingRefused
from agent.market.instruments import Instrument
from agent.shell.inbox import ClockFrame, Connection, Item, Refusal, Tick, Update
from agent.shell.rows import tick_quote


class Ticker:
    """One ticker connection.

    Parameters
    ----------
    api_key, access_token, root : str
    inbox : SimpleQueue of Item
    """

    def __init__(
        self, api_key: str, access_token: str, root: str, inbox: SimpleQueue[Item]
    ) -> None:
        from kiteconnect import KiteTicker

        self._inbox = inbox
        self._instruments: dict[int, Instrument] = {}
        self._wanted: tuple[int, ...] = ()
        self._uncached: set[int] = set()
        self._frame_s = time.monotonic()
        self.connected = False
        self._ticker = KiteTicker(
            api_key, access_token, root=root, reconnect_max_tries=300, reconnect_max_delay=5
        )
        self._ticker.on_connect = self._guarded(self._on_connect)
        self._ticker.on_close = self._guarded(self._on_close)
        self._ticker.on_ticks = self._guarded(self._on_ticks)
        self._ticker.on_order_update = self._guarded(self._on_order)
        self._ticker.on_message = self._guarded(self._on_message)
        self._ticker.on_error = self._guarded(lambda *_: None)

    def start(self) -> None:
        """Connect in a thread of its own; what comes of it arrives in the inbox."""
        import logging

        logging.getLogger("kiteconnect.ticker").setLevel(logging.CRITICAL)
        self._ticker.connect(threaded=True)

    def watch(self, instruments: Iterable[Instrument]) -> None:
        """Subscribe exactly these, in full mode."""
        found = {instrument.token: instrument for instrument in instruments}
        self._instruments = found  # replaced whole: the reactor's thread reads it
        self._wanted = tuple(sorted(found))
        self._in_reactor(self._subscribe)

    def reconnect(self) -> None:
        """Drop a connection that is silent with its socket open; the client opens another."""

        def drop() -> None:
            if self._ticker.ws is not None:
                self._ticker.ws.dropConnection(abort=True)

        self._in_reactor(drop)

    def silent_s(self) -> float:
        """Return for how long no frame (heartbeats included) has come, seconds."""
        return time.monotonic() - self._frame_s

    def stop(self) -> None:
        """Close for good."""
        from twisted.internet import reactor

        self._in_reactor(self._ticker.close)
        self._in_reactor(reactor.stop)

    def _in_reactor(self, function: Callable[[], object]) -> None:
        from twisted.internet import reactor

        def safely() -> None:
            try:
                function()
            except Exception as fault:  # noqa: BLE001  (a thread of the client: nobody else would)
                self._inbox.put(Connection(self.connected, f"{type(fault).__name__}: {fault}"))

        reactor.callFromThread(safely)

    def _guarded(self, callback: Callable[..., None]) -> Callable[..., None]:
        def safely(*args: Any) -> None:
            try:
                callback(*args)
            except Exception as fault:  # noqa: BLE001  (it would drop the connection)
                self._inbox.put(Refusal("", f"{type(fault).__name__}: {fault}"))

        return safely

    def _on_connect(self, ws: Any, response: Any) -> None:
        del ws, response
        self.connected = True
        self._frame_s = time.monotonic()
        self._uncached.clear()
        self._subscribe()
        self._inbox.put(Connection(True, "connected"))

    def _on_close(self, ws: Any, code: Any, reason: Any) -> None:
        del ws
        self.connected = False
        self._inbox.put(Connection(False, f"closed: {code} {reason}"))

    def _subscribe(self) -> None:
        tokens = list(self._wanted)
        have = set(self._ticker.subscribed_tokens)
        gone = sorted(have - set(tokens))
        if not self.connected or self._ticker.ws is None:
            return
        if gone:
            self._ticker.unsubscribe(gone)
        if tokens:
            self._uncached &= set(tokens)
            self._ticker.subscribe(tokens)
            self._ticker.set_mode(self._ticker.MODE_FULL, tokens)

    def _on_message(self, ws: Any, payload: Any, is_binary: bool) -> None:
        del ws
        self._frame_s = time.monotonic()
        if is_binary:
            return
        text = payload.decode() if isinstance(payload, bytes) else payload
        if '"paper_clock"' in text:
            data = json.loads(text)["data"]
            self._inbox.put(ClockFrame(int(data["now"]), bool(data["last"])))

    def _on_ticks(self, ws: Any, ticks: list[dict[str, Any]]) -> None:
        del ws
        for tick in ticks:
            instrument = self._instruments.get(tick["instrument_token"])
            if instrument is None:
                continue
            try:
                quote = tick_quote(tick, instrument)
            except (SettingRefused, ValueError, KeyError, TypeError) as fault:
                self._inbox.put(Refusal(instrument.key, str(fault)))
                continue
            cached = instrument.token not in self._uncached
            self._uncached.add(instrument.token)
            self._inbox.put(Tick(instrument.key, quote, cached))

    def _on_order(self, ws: Any, data: dict[str, Any]) -> None:
        del ws
        self._inbox.put(Update(data))
