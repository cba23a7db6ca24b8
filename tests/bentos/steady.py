"""A steady open-loop load in a process of its own, every answer kept for judging afterwards.

    python -m tests.bentos.steady PORT RATE FILE [MODEL:INTERVAL:WINDOW …]

Requests leave at drawn (Poisson) times whatever the service does, new candles in each, the models
in turn, until standard input closes. A request whose connection is lost is asked once more on a
new connection, as a careful client does; the loss is kept, too. FILE gets one JSON line a request:
when it left and was answered (the machine's monotonic clock, seconds), who answered.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import uvloop

from tests.bentos.candles import DAY, walk
from tests.bentos.wire import Wire, connect

KEYS = 24
WALK = 900
LIMIT_S = 20.0
INTERVALS = {"day": (DAY, 0), "5minute": (300_000, 75)}


@dataclass(frozen=True)
class Asked:
    """A model to ask: its name, the interval of its candles, how many it wants."""

    name: str
    interval: str
    window: int


def questions(asked: Asked, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield keys and whole HTTP requests, endlessly; no two hold the same candles."""
    step_ms, a_day = INTERVALS[asked.interval]
    candles = walk(WALK, seed, step_ms=step_ms, a_day=a_day)
    columns = ("open", "high", "low", "close", "volume")
    for i in itertools.count():
        end = WALK - i * 7 % 150  # a few trading days, each asked again and again
        cut = slice(end - asked.window, end)
        told = {name: getattr(candles, name)[cut].tolist() for name in columns}
        told["volume"][-1] = float(i)
        key = f"NSE:S{i % KEYS}"
        body = orjson.dumps({"key": key, "candles": {"ts": candles.ts_ms[cut].tolist(), **told}})
        head = f"POST /v1/models/{asked.name}/predict HTTP/1.1\r\nHost: x\r\n"
        yield key, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Steady:
    """The load while it runs."""

    def __init__(self, port: int, rate: float, models: list[Asked]) -> None:
        self._port, self._rate = port, rate
        self._models = models
        self._free: deque[Wire] = deque()
        self.rows: list[dict[str, Any]] = []

    async def _wire(self, *, fresh: bool = False) -> Wire:
        while self._free and not fresh:
            if (wire := self._free.popleft()).open:
                return wire
        return await connect(self._port)

    async def _try(self, text: bytes, *, fresh: bool) -> bytes:
        wire = await self._wire(fresh=fresh)
        try:
            answer = await asyncio.wait_for(wire.ask(text), LIMIT_S)
        except BaseException:
            wire.close()
            raise
        self._free.append(wire)
        return answer

    async def one(self, model: str, key: str, text: bytes) -> None:
        """Ask once, and once more where the connection was lost."""
        row: dict[str, Any] = {"model": model, "key": key, "sent": time.monotonic()}
        self.rows.append(row)
        try:
            answer = await self._try(text, fresh=False)
        except OSError as fault:
            row |= {"lost": repr(fault), "lost_at": time.monotonic()}
            answer = await self._again(row, text)
        except TimeoutError:
            row["failed"] = f"no answer within {LIMIT_S:g} s"
            return
        row["done"] = time.monotonic()
        row["status"] = int(answer[9:12] or 0)
        if row["status"] == 200:
            said = json.loads(answer.partition(b"\r\n\r\n")[2])
            row |= {name: said[name] for name in ("unit", "version", "variant", "plan_revision")}

    async def _again(self, row: dict[str, Any], text: bytes) -> bytes:
        try:
            return await self._try(text, fresh=True)
        except (OSError, TimeoutError) as fault:
            row["failed"] = repr(fault)
            return b""

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`, then wait for what is under way."""
        draw = np.random.default_rng(11)
        asking = [(m.name, questions(m, i)) for i, m in enumerate(self._models)]
        running: set[asyncio.Task[None]] = set()
        due = time.monotonic()
        for i in itertools.count():
            due += float(draw.exponential(1 / self._rate))
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            if stop.is_set():
                break
            name, questions_of = asking[i % len(asking)]
            task = asyncio.create_task(self.one(name, *next(questions_of)))
            running.add(task)
            task.add_done_callback(running.discard)
        while running:
            await asyncio.gather(*list(running))


async def load(port: int, rate: float, path: str, models: list[Asked]) -> None:
    """Run until standard input closes; write the rows."""
    stop = asyncio.Event()
    steady = Steady(port, rate, models)
    loop = asyncio.get_running_loop()
    loop.run_in_executor(None, sys.stdin.buffer.read).add_done_callback(lambda _: stop.set())
    await steady.run(stop)
    with open(path, "wb") as file:  # noqa: PTH123  (nothing else runs any more)
        file.writelines(orjson.dumps(row) + b"\n" for row in steady.rows)


def main() -> None:
    port, rate, path = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    models = [Asked(n, i, int(w)) for n, i, w in (m.split(":") for m in sys.argv[4:])]
    uvloop.run(load(port, rate, path, models))


if __name__ == "__main__":
    main()
