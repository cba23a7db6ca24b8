"""Who drives virtual time: clients in lock-step, a factor of the wall clock, or the wall itself.

All move the exchange from instant to instant and publish each before the next. Lock-step passes
an instant only when every client that joined has acknowledged it; with nobody joined it stands.
Paced runs by a factor, overnight jumps and all, and falls behind rather than skip an instant.
Wall is the time of day: nights, weekends and holidays last as long as they do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from agent.console import tell
from agent.paper.exchange import Exchange, Instant
from agent.paper.refusals import RequestRefused, bad_input

SILENCE_S: Final = 60.0  # a client that does not acknowledge for so long is dropped
SLICE_S: Final = 0.02  # instants are run in slices, so that other connections are served
CLIENTS_MAX: Final = 64
WAKE_AFTER_END_MS: Final = 3_600_000  # a client may still ask to be woken after the last session
IDLE_S: Final = 0.5
LOOK_S: Final = 0.02  # between two looks where lock-step has a speed

Publish = Callable[[Instant], None]


class Clock(Protocol):
    """What the server needs of either."""

    lockstep: bool

    def now_ms(self) -> int:
        """Return the virtual instant, having let happen what was due."""

    def scheduled(self) -> None:
        """Notice that a request may have brought an earlier instant."""

    async def run(self) -> None:
        """Run until cancelled."""

    def join(self) -> tuple[str, int]:
        """Add a client; return its name and the instant."""

    async def ack(self, client: str | None, through: int, wake: int | None) -> int:
        """Take an acknowledgement; return where the clock stands after it."""

    async def leave(self, client: str | None) -> int:
        """Remove a client; return where the clock stands after it."""

    async def drop(self, client: str, why: str) -> None:
        """Remove a client that does not answer."""


@dataclass(slots=True)
class _Client:
    through: int
    wake: int | None
    heard_s: float


class LockStep:
    """Stands at each instant until every joined client has acknowledged it.

    Parameters
    ----------
    exchange, publish
        What is moved, and who is told of each instant.
    wall : callable
        Seconds of a clock that never goes back.
    gone : callable
        Told the name of a client that has left or was dropped.
    speed_max : float, optional
        At most so many virtual seconds a second of the wall; nights are passed at once. What
        the clients were slow for is not made up for.
    """

    lockstep = True

    def __init__(
        self,
        exchange: Exchange,
        publish: Publish,
        wall: Callable[[], float],
        gone: Callable[[str], None],
        speed_max: float | None = None,
    ) -> None:
        self._exchange = exchange
        self._publish = publish
        self._wall = wall
        self._gone = gone
        self._speed_max = speed_max
        self._clients: dict[str, _Client] = {}
        self._joined = 0
        self._moving = asyncio.Lock()
        self._stands_since_s = wall()

    def now_ms(self) -> int:
        """Return the instant at which the clock stands."""
        return self._exchange.now_ms

    def scheduled(self) -> None:
        """Do nothing: an acknowledgement moves the clock."""

    async def run(self) -> None:
        """Drop clients that fell silent, so that a dead one does not hang the exchange."""
        while True:
            await asyncio.sleep(IDLE_S if self._speed_max is None else LOOK_S)
            await self.move()
            await self.drop_silent()

    async def drop_silent(self) -> None:
        """Drop whoever has let the clock stand for too long."""
        now = self._wall()
        for name, client in list(self._clients.items()):
            late = client.through < self._exchange.now_ms
            if late and now - max(client.heard_s, self._stands_since_s) > SILENCE_S:
                await self.drop(name, f"no acknowledgement for {SILENCE_S:.0f} s")

    def join(self) -> tuple[str, int]:
        """Add a client; the clock waits for it from this instant on.

        Raises
        ------
        RequestRefused
            If too many have joined.
        """
        if len(self._clients) >= CLIENTS_MAX:
            raise bad_input(f"at most {CLIENTS_MAX} clients may join")
        self._joined += 1
        name, now = f"c{self._joined}", self._exchange.now_ms
        self._clients[name] = _Client(now - 1, None, self._wall())
        return name, now

    async def ack(self, client: str | None, through: int, wake: int | None) -> int:
        """Let the clock run through an instant as far as this client is concerned.

        Raises
        ------
        RequestRefused
            If the client has not joined, or none is named and not just one has.
        """
        one = self._clients[self._name(client)]
        one.through, one.heard_s = max(one.through, through), self._wall()
        one.wake = wake
        await self.move()
        return self._exchange.now_ms

    async def leave(self, client: str | None) -> int:
        """Remove a client; the others no longer wait for it."""
        name = self._name(client)
        del self._clients[name]
        self._gone(name)
        await self.move()
        return self._exchange.now_ms

    async def drop(self, client: str, why: str) -> None:
        """Remove a client that does not answer, with a notice."""
        if self._clients.pop(client, None) is not None:
            tell(f"paper exchange: client {client} dropped: {why}")
            self._gone(client)
            await self.move()

    async def move(self) -> None:
        """Move as far as the clients, and the speed, let the clock go."""
        async with self._moving:
            slice_ends = self._wall() + SLICE_S
            while (at := self._next()) is not None and not self._early(at):
                self._publish(self._exchange.move_to(at))
                self._stands_since_s = self._wall()
                if self._stands_since_s > slice_ends:
                    await asyncio.sleep(0)
                    slice_ends = self._wall() + SLICE_S

    def _next(self) -> int | None:
        """Return the instant to move to, or None while the clock stands."""
        now = self._exchange.now_ms
        if not self._clients or any(one.through < now for one in self._clients.values()):
            return None
        due = self._exchange.next_due()
        wakes = [one.wake for one in self._clients.values() if one.wake and one.wake > now]
        if due is None:
            wakes = [wake for wake in wakes if wake <= now + WAKE_AFTER_END_MS]
        return min([*wakes, *([] if due is None else [due])], default=None)

    def _early(self, at: int) -> bool:
        """Tell whether an instant is too soon after the last one for the speed."""
        if self._speed_max is None or self._exchange.overnight:
            return False
        apart_s = (at - self._exchange.now_ms) / 1000 / self._speed_max
        return self._wall() - self._stands_since_s < apart_s

    def _name(self, client: str | None) -> str:
        if client is None and len(self._clients) == 1:
            return next(iter(self._clients))
        if client is None:
            raise bad_input(
                f"`client` is missing: {len(self._clients)} clients have joined, name one"
            )
        if client not in self._clients:
            raise RequestRefused(
                f"client {client} has not joined, or was dropped; POST /_paper/join again",
                "InputException",
                409,
            )
        return client


class Paced:
    """Runs at a factor of the wall clock."""

    lockstep = False

    def __init__(
        self, exchange: Exchange, publish: Publish, speed: float, wall: Callable[[], float]
    ) -> None:
        self._exchange = exchange
        self._publish = publish
        self._speed = speed
        self._wall = wall
        self._base_ms, self._base_s = exchange.now_ms, wall()
        self._woken = asyncio.Event()
        self._joined = 0

    def now_ms(self) -> int:
        """Return the virtual instant: the wall's, but never past an instant not yet happened."""
        now = self._target()
        due = self._exchange.next_due()
        while due is not None and due <= now:
            if self._exchange.overnight:
                return self._exchange.now_ms  # the runner jumps over the night
            self._publish(self._exchange.move_to(due))
            due = self._exchange.next_due()
        if due is None:
            return self._exchange.now_ms
        self._exchange.now_ms = max(self._exchange.now_ms, now)
        return self._exchange.now_ms

    def scheduled(self) -> None:
        """Wake the runner: an order may be due before the next tick."""
        self._woken.set()

    async def run(self) -> None:
        """Move from instant to instant as the wall clock reaches them."""
        while True:
            self._woken.clear()
            due = self._exchange.next_due()
            wait_s = IDLE_S if due is None else self._wait(due)
            if wait_s <= 0:
                self.now_ms()
                await asyncio.sleep(0)
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), min(wait_s, IDLE_S))

    def join(self) -> tuple[str, int]:
        """Name a client; nothing waits for it at a paced clock."""
        self._joined += 1
        return f"c{self._joined}", self.now_ms()

    async def ack(self, client: str | None, through: int, wake: int | None) -> int:
        """Return the instant; a paced clock waits for nobody."""
        del client, through, wake
        return self.now_ms()

    async def leave(self, client: str | None) -> int:
        """Return the instant."""
        return await self.ack(client, 0, None)

    async def drop(self, client: str, why: str) -> None:
        """Do nothing: nothing waits for a client."""

    def _target(self) -> int:
        return self._base_ms + int((self._wall() - self._base_s) * 1000 * self._speed)

    def _wait(self, due: int) -> float:
        """Return the seconds until an instant; over a night there is no wait."""
        if self._exchange.overnight:
            self._publish(self._exchange.move_to(due))
            self._base_ms, self._base_s = due, self._wall()
            return 0.0
        return (due - self._base_ms) / 1000 / self._speed - (self._wall() - self._base_s)


class Wall(Paced):
    """Goes by the time of day: what is due by the calendar happens when it is due.

    A clock that was set back stands until it is made up for. After a standstill of the machine
    everything in between happens at once, in its order.

    Parameters
    ----------
    exchange, publish
        What is moved, and who is told of each instant.
    epoch : callable
        The time of day, epoch ms.
    """

    def __init__(self, exchange: Exchange, publish: Publish, epoch: Callable[[], int]) -> None:
        super().__init__(exchange, publish, 1.0, lambda: epoch() / 1000)
        self._epoch = epoch

    def now_ms(self) -> int:
        """Return the time of day, having let happen what was due."""
        now = self._epoch()
        while (due := self._exchange.next_due()) is not None and due <= now:
            self._publish(self._exchange.move_to(due))
        self._exchange.now_ms = max(self._exchange.now_ms, now)
        return self._exchange.now_ms

    def _wait(self, due: int) -> float:
        return (due - self._epoch()) / 1000


def epoch_now() -> int:
    """Return the time of day, epoch ms."""
    return time.time_ns() // 1_000_000


def monotonic() -> float:
    """Return the seconds of a clock that never goes back."""
    return time.monotonic()
