"""The load, a process of its own: `python -m benchmarks.serving.generator '{"port": …}'`.

Open loop (`rate`): requests leave at drawn (Poisson) times whatever the service does, and a latency
counts from the time a request should have left, not from when it did; a service that stalls cannot
slow its own load down. Closed loop (`rate` 0): each connection asks again as soon as it is
answered; that gives the saturation and nothing else. New candles in every request.

Prints one JSON document. The form of a request is its target's: bodies.py.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import uvloop

from benchmarks.serving.bodies import FORMS, requests
from tests.bentos.wire import Wire, connect

LIMIT_S = 10.0
SLOW_KEPT = 2_000


@dataclass(frozen=True)
class Wanted:
    """One run.

    Attributes
    ----------
    form : a key of `bodies.FORMS`
    rate : requests a second; 0: closed loop
    slow_ms : answers slower than this are told one by one, with when they were under way
    """

    port: int
    seconds: float
    rate: float = 0
    connections: int = 16
    form: str = "ratchet"
    slow_ms: float = 1e9


class Load:
    """The run."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self._free: deque[Wire] = deque()
        self.latencies_ms: list[float] = []
        self.late_ms: list[float] = []
        self.outcomes: Counter[str] = Counter()
        self.variants: Counter[str] = Counter()
        self.slow: list[tuple[float, float]] = []
        self._clock = time.time() - time.perf_counter()

    async def _wire(self) -> Wire:
        while self._free:
            if (wire := self._free.popleft()).open:
                return wire
        return await connect(self.wanted.port)

    async def one(self, text: bytes, due: float) -> None:
        """Ask once; the latency counts from `due`."""
        try:
            wire = await self._wire()
            self.late_ms.append((time.perf_counter() - due) * 1000)
            answer = await asyncio.wait_for(wire.ask(text), LIMIT_S)
        except (OSError, TimeoutError) as fault:
            self.outcomes[type(fault).__name__] += 1
            return
        done = time.perf_counter()
        self.latencies_ms.append((done - due) * 1000)
        self._free.append(wire)
        status = answer[9:12].decode()
        self.outcomes[status] += 1
        if self.latencies_ms[-1] > self.wanted.slow_ms and len(self.slow) < SLOW_KEPT:
            self.slow.append(((due + self._clock) * 1000, (done + self._clock) * 1000))
        if status == "200" and self.wanted.form == "ratchet":
            self.variants[answer.partition(b'"variant":"')[2].partition(b'"')[0].decode()] += 1

    async def open_loop(self) -> None:
        """Send at drawn times; with so many connections, and more where they are all busy."""
        wanted = self.wanted
        draw = np.random.default_rng(7)
        times = np.cumsum(draw.exponential(1 / wanted.rate, int(wanted.rate * wanted.seconds)))
        self._free.extend([await connect(wanted.port) for _ in range(wanted.connections)])
        texts = list(requests(wanted.form, len(times), int(time.time())))
        gc.collect()
        gc.freeze()  # a pause of ours would count as theirs
        running: set[asyncio.Task[None]] = set()
        started = time.perf_counter() + 0.2
        for at, text in zip(times, texts, strict=True):
            due = started + float(at)
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(self.one(text, due))
            running.add(task)
            task.add_done_callback(running.discard)
        while running:
            await asyncio.gather(*list(running))

    async def closed_loop(self) -> None:
        """Ask on every connection, again and again."""
        wanted = self.wanted
        texts = list(requests(wanted.form, 4_000, int(time.time())))
        until = time.perf_counter() + wanted.seconds
        following = iter(texts * 1_000)

        async def ask() -> None:
            while time.perf_counter() < until:
                await self.one(next(following), time.perf_counter())

        await asyncio.gather(*(ask() for _ in range(wanted.connections)))

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
    began = time.perf_counter()
    uvloop.run(load.open_loop() if wanted.rate else load.closed_loop())
    seconds = wanted.seconds if not wanted.rate else time.perf_counter() - began
    print(json.dumps(load.document(seconds)))


if __name__ == "__main__":
    main()
