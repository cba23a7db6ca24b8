"""The load, a process of its own: `python -m benchmarks.serving.generator '{"port": …}'`.

Open loop (`rate`): requests leave at drawn (Poisson) times whatever the service does, and a latency
counts from the time a request should have left, not from when it did; a service that stalls cannot
slow its own load down. Closed loop (`rate` 0): each connection asks again as soon as it is
answered; that gives the saturation and nothing else. New candles in every request.

Plain sockets, one epoll and one timer of the kernel: an event loop rounds its timers to whole
milliseconds, which would stand in every latency as half of one, and costs as much processor time a
request as the service, on the cores that the service needs. Prints one JSON document. The form of
a request is its target's: bodies.py.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import json
import os
import select
import socket
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.serving.bodies import FORMS, requests

LIMIT_S = 10.0  # for one answer
SLOW_KEPT = 2_000
READ_BYTES = 1 << 18
SEND_BUFFER_BYTES = 1 << 18  # a whole request fits: a send is never partial
END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length:"


@dataclass(frozen=True)
class Wanted:
    """One run.

    Attributes
    ----------
    form : a key of `bodies.FORMS`
    rate : requests a second; 0: closed loop
    count : requests of a closed loop; 0: as many as `seconds` allow
    slow_ms : answers slower than this are told one by one, with when they were under way
    """

    port: int
    seconds: float
    rate: float = 0
    connections: int = 16
    form: str = "ratchet"
    slow_ms: float = 1e9
    count: int = 0


class Alarm:
    """A timer of the kernel that epoll can wait for, to the microsecond."""

    MONOTONIC, ABSOLUTE = 1, 1

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.number = self._libc.timerfd_create(self.MONOTONIC, os.O_NONBLOCK)
        if self.number < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._at = (ctypes.c_long * 4)()  # struct itimerspec: interval, then the moment

    def at(self, moment: float) -> None:
        """Ring at a moment of `time.perf_counter()`; one that has passed rings at once."""
        self._at[2], self._at[3] = int(moment), int(moment % 1 * 1e9)
        if self._libc.timerfd_settime(self.number, self.ABSOLUTE, self._at, None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")


@dataclass(eq=False)
class Wire:
    """One kept-alive connection; `due`: when the request under way should have left."""

    socket: socket.socket
    due: float = 0.0
    got: bytes = b""

    def answer(self) -> bytes | None:
        """Read; return the whole answer, empty where the connection ended, None before that."""
        try:
            part = self.socket.recv(READ_BYTES)
        except ConnectionError:
            part = b""
        if not part:
            return b""
        self.got += part
        end = self.got.find(END_OF_HEAD)
        if end < 0:
            return None
        head = self.got[:end].lower()
        at = head.index(LENGTH) + len(LENGTH)
        length = int(head[at:].split(b"\r", 1)[0])
        if len(self.got) < end + len(END_OF_HEAD) + length:
            return None
        whole, self.got = self.got, b""
        return whole


@dataclass
class Load:
    """The run."""

    wanted: Wanted
    latencies_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    variants: Counter[str] = field(default_factory=Counter)
    slow: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._epoll = select.epoll()
        self._alarm = Alarm()
        self._epoll.register(self._alarm.number, select.EPOLLIN | select.EPOLLET)
        self._free: deque[Wire] = deque()
        self._busy: dict[int, Wire] = {}
        self._clock = time.time() - time.perf_counter()
        self.seconds = self.wanted.seconds

    def connect(self) -> None:
        """Open one more connection."""
        opened = socket.create_connection(("127.0.0.1", self.wanted.port))
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setblocking(False)
        self._epoll.register(opened, select.EPOLLIN)
        self._free.append(Wire(opened))

    def send(self, text: bytes, due: float) -> None:
        """Send one request on a free connection, a new one where all are busy."""
        while True:
            if not self._free:
                self.connect()
            wire = self._free.popleft()
            try:
                sent = wire.socket.send(text)
            except ConnectionError:  # closed by the other side while it was idle
                wire.socket.close()
                continue
            assert sent == len(text), "the socket's buffer is too small for a request"
            break
        wire.due = due
        self._busy[wire.socket.fileno()] = wire
        self.late_ms.append((time.perf_counter() - due) * 1000)

    def take(self, wait_s: float) -> None:
        """Take the answers that are there, or the first that comes, until the alarm or the wait."""
        for number, _ in self._epoll.poll(wait_s):
            if number == self._alarm.number:
                continue
            wire = self._busy.get(number)
            if wire is None:  # closed by the other side while it was idle
                self._forget(number)
                continue
            answer = wire.answer()
            if answer is None:
                continue
            del self._busy[number]
            if answer:
                self._free.append(wire)
                self._answered(wire, answer)
            else:
                wire.socket.close()
                self.outcomes["ConnectionResetError"] += 1

    def _forget(self, number: int) -> None:
        wire = next(wire for wire in self._free if wire.socket.fileno() == number)
        self._free.remove(wire)
        wire.socket.close()

    def _answered(self, wire: Wire, answer: bytes) -> None:
        done = time.perf_counter()
        latency_ms = (done - wire.due) * 1000
        self.latencies_ms.append(latency_ms)
        status = answer[9:12].decode()
        self.outcomes[status] += 1
        if latency_ms > self.wanted.slow_ms and len(self.slow) < SLOW_KEPT:
            self.slow.append(((wire.due + self._clock) * 1000, (done + self._clock) * 1000))
        if status == "200" and self.wanted.form == "ratchet":
            self.variants[answer.partition(b'"variant":"')[2].partition(b'"')[0].decode()] += 1

    def open_loop(self) -> None:
        """Send at drawn times; with so many connections, and more where they are all busy."""
        wanted = self.wanted
        draw = np.random.default_rng(7)
        times = np.cumsum(draw.exponential(1 / wanted.rate, int(wanted.rate * wanted.seconds)))
        for _ in range(wanted.connections):
            self.connect()
        texts = self._texts(len(times))
        started = time.perf_counter() + 0.2
        for at, text in zip((times + started).tolist(), texts, strict=True):
            if time.perf_counter() < at:
                self._alarm.at(at)
                while time.perf_counter() < at:
                    self.take(LIMIT_S)
            self.send(text, at)
        self._wait_for_the_rest()

    def closed_loop(self) -> None:
        """Ask on every connection, again and again."""
        wanted = self.wanted
        following = itertools.cycle(self._texts(4_000))
        for _ in range(wanted.connections):
            self.connect()
        began = time.perf_counter()
        until = began + wanted.seconds
        left = wanted.count or sys.maxsize
        while left and (wanted.count or time.perf_counter() < until):
            while left and len(self._busy) < wanted.connections:
                self.send(next(following), time.perf_counter())
                left -= 1
            self.take(LIMIT_S)
        self._wait_for_the_rest()
        self.seconds = time.perf_counter() - began

    def _texts(self, count: int) -> list[bytes]:
        texts = list(requests(self.wanted.form, count, int(time.time())))
        gc.collect()
        gc.freeze()  # a pause of ours would count as theirs
        return texts

    def _wait_for_the_rest(self) -> None:
        until = time.perf_counter() + LIMIT_S
        while self._busy and (left := until - time.perf_counter()) > 0:
            self.take(left)
        self.outcomes["TimeoutError"] += len(self._busy)
        self.outcomes = +self.outcomes

    def document(self, seconds: float) -> dict[str, Any]:
        """Return what happened."""
        marks = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
        at = {k: round(float(np.quantile(self.latencies_ms or [np.inf], q)), 3)
              for k, q in marks.items()}  # fmt: skip
        return {
            "latency_ms": at,
            "sent_late_ms_p99": round(float(np.quantile(self.late_ms or [0], 0.99)), 3),
            "outcomes": dict(self.outcomes),
            "variants": dict(self.variants),
            "requests": sum(self.outcomes.values()),
            "answers_a_second": round(self.outcomes["200"] / seconds, 1),
            "slow": self.slow,
        }


def main() -> None:
    wanted = Wanted(**json.loads(sys.argv[1]))
    assert wanted.form in FORMS, wanted.form
    load = Load(wanted)
    load.open_loop() if wanted.rate else load.closed_loop()
    print(json.dumps(load.document(load.seconds)))


if __name__ == "__main__":
    main()
