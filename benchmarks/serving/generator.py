"""The load, a process of its own: `python -m benchmarks.serving.generator PORT RATE SECONDS`.

Open loop: requests leave at drawn (Poisson) times whatever the service does, and a latency counts
from the time a request should have left, not from when it did; a service that stalls cannot slow
its own load down. Prints one JSON document.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter, deque

import numpy as np
import uvloop

from benchmarks.serving.bodies import bodies

PATH = "/v1/models/tiny/predict"
CONNECTIONS = 16
LIMIT_S = 10.0


class Wire(asyncio.Protocol):
    """One kept-alive connection with at most one request under way."""

    def __init__(self) -> None:
        self.done: asyncio.Future[bytes] | None = None
        self._got = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def ask(self, text: bytes) -> asyncio.Future[bytes]:
        assert self.transport is not None
        self.done = asyncio.get_running_loop().create_future()
        self.transport.write(text)
        return self.done

    def data_received(self, data: bytes) -> None:
        self._got += data
        top, found, body = self._got.partition(b"\r\n\r\n")
        if not found:
            return
        at = top.lower().index(b"content-length:") + 15
        if len(body) >= int(top[at:].split(b"\r\n", 1)[0]) and self.done is not None:
            got, self._got = self._got, b""
            if not self.done.done():
                self.done.set_result(got)

    def connection_lost(self, fault: Exception | None) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_exception(fault or ConnectionResetError("closed"))


class Load:
    """One run."""

    def __init__(self, port: int, rate: float, seconds: float) -> None:
        self._port = port
        draw = np.random.default_rng(7)
        gaps = draw.exponential(1 / rate, int(rate * seconds))
        self._times = np.cumsum(gaps)
        self._free: deque[Wire] = deque()
        self.latencies_ms: list[float] = []
        self.late_ms: list[float] = []
        self.outcomes: Counter[str] = Counter()
        self.variants: Counter[str] = Counter()

    async def _wire(self) -> Wire:
        if self._free:
            return self._free.popleft()
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Wire, "127.0.0.1", self._port))[1]

    async def _one(self, text: bytes, due: float) -> None:
        try:
            wire = await self._wire()
            self.late_ms.append((time.perf_counter() - due) * 1000)
            answer = await asyncio.wait_for(wire.ask(text), LIMIT_S)
        except (OSError, TimeoutError) as fault:
            self.outcomes[type(fault).__name__] += 1
            return
        self.latencies_ms.append((time.perf_counter() - due) * 1000)
        self._free.append(wire)
        status = answer[9:12].decode()
        self.outcomes[status] += 1
        if status == "200":
            said = json.loads(answer.partition(b"\r\n\r\n")[2])
            self.variants[said["variant"]] += 1

    async def run(self) -> None:
        self._free.extend([await self._wire() for _ in range(CONNECTIONS)])
        texts = []
        for _, body in bodies(len(self._times), int(time.time())):
            head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            texts.append(head.encode() + body)
        running: set[asyncio.Task[None]] = set()
        started = time.perf_counter() + 0.2
        for at, text in zip(self._times, texts, strict=True):
            due = started + float(at)
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(self._one(text, due))
            running.add(task)
            task.add_done_callback(running.discard)
        while running:
            await asyncio.gather(*list(running))

    def document(self) -> dict[str, object]:
        ordered = np.sort(self.latencies_ms)
        marks = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
        at = {k: round(float(np.quantile(ordered, q)), 3) for k, q in marks.items()}
        return {
            "latency_ms": at,
            "sent_late_ms_p99": round(float(np.quantile(self.late_ms, 0.99)), 3),
            "outcomes": dict(self.outcomes),
            "variants": dict(self.variants),
            "requests": len(self._times),
        }


def main() -> None:
    port, rate, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    load = Load(port, rate, seconds)
    uvloop.run(load.run())
    print(json.dumps(load.document()))


if __name__ == "__main__":
    main()
