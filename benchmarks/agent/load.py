"""What clients do to the exchange: tickers in full mode, orders at a rate, a lock-step day.

Open loop: an order leaves at its time whatever the exchange does, and its latency counts from the
time it should have left. The clients run on the last core; the exchange has the first.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect

KEY = "api_key=paper&access_token=paper"
HEADERS = "Host: 127.0.0.1\r\nAuthorization: token paper:paper\r\n"
FORM = "Content-Type: application/x-www-form-urlencoded\r\n"


@dataclass(slots=True)
class Wire:
    """One kept-alive connection with one request at a time."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, port: int) -> Wire:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, method: str, path: str, body: str = "", kind: str = FORM) -> bytes:
        """Send a request; return the answer's body.

        Raises
        ------
        RuntimeError
            If it is not answered with 200.
        """
        head = f"{method} {path} HTTP/1.1\r\n{HEADERS}{kind}Content-Length: {len(body)}\r\n\r\n"
        self.writer.write((head + body).encode())
        top = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(top.partition("content-length:")[2].split()[0])
        answer = await self.reader.readexactly(length)
        if " 200 " not in top.partition("\r\n")[0] + " ":
            raise RuntimeError(f"{path}: {answer[:200]!r}")
        return answer


@dataclass(slots=True)
class Heard:
    """What the tickers have received."""

    frames: int = 0
    packets: int = 0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def listen(self, ticker: ClientConnection) -> None:
        """Count what comes, as cheaply as possible."""
        async for message in ticker:
            if isinstance(message, bytes) and len(message) > 2:
                self.frames += 1
                self.packets += int.from_bytes(message[:2], "big")


async def subscribed(port: int, tokens: list[int], heard: Heard) -> ClientConnection:
    """Return a ticker that gets full packets of these instruments."""
    ticker = await connect(f"ws://127.0.0.1:{port}/?{KEY}", compression=None, max_size=None)
    await ticker.send(json.dumps({"a": "subscribe", "v": tokens}))
    await ticker.send(json.dumps({"a": "mode", "v": ["full", tokens]}))
    heard.tasks.append(asyncio.create_task(heard.listen(ticker)))
    return ticker


async def tokens_of(wire: Wire) -> dict[str, int]:
    """Return the token of each symbol of the instruments dump."""
    lines = (await wire.ask("GET", "/instruments")).decode().splitlines()
    names = lines[0].split(",")
    token, symbol = names.index("instrument_token"), names.index("tradingsymbol")
    rows = [line.split(",") for line in lines[1:]]
    return {row[symbol]: int(row[token]) for row in rows}


async def orders(
    port: int, *, tickers: int, rate: float, seconds: float
) -> tuple[list[float], Heard, float]:
    """Place market orders at a rate beside full tickers of every instrument.

    Returns
    -------
    list of float, ms, one a placed order; what the tickers heard; seconds that it took
    """
    first = await Wire.open(port)
    tokens = await tokens_of(first)
    heard, symbols = Heard(), sorted(tokens)
    open_tickers = [await subscribed(port, [*tokens.values()], heard) for _ in range(tickers)]
    await asyncio.sleep(1.0)  # the cached packets of the subscription are no load
    heard.frames = heard.packets = 0
    free, took = [first], []
    began = time.perf_counter()

    async def one(number: int, due: float) -> None:
        side = "BUY" if number % 2 else "SELL"
        symbol = symbols[number * 7 % len(symbols)]
        wire = free.pop() if free else await Wire.open(port)
        await wire.ask(
            "POST",
            "/orders/regular",
            f"exchange=NSE&tradingsymbol={symbol}&transaction_type={side}&quantity=1&product=MIS"
            "&order_type=MARKET&market_protection=-1&validity=DAY",
        )
        took.append((time.perf_counter() - due) * 1000)
        free.append(wire)

    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(number, due))
    spent = time.perf_counter() - began
    for ticker in open_tickers:
        await ticker.close()
    return took, heard, spent


async def lockstep_day(port: int) -> tuple[int, Heard, float]:
    """Go through a whole day as one client with a ticker; return instants, what came, seconds."""
    wire = await Wire.open(port)
    heard = Heard()
    ticker = await subscribed(port, [*(await tokens_of(wire)).values()], heard)
    kind = "Content-Type: application/json\r\n"
    joined = json.loads(await wire.ask("POST", "/_paper/join", "{}", kind))
    now, instants = int(joined["now"]), 0
    began = time.perf_counter()
    while True:
        body = json.dumps({"client": joined["client"], "through": now})
        after = int(json.loads(await wire.ask("POST", "/_paper/ack", body, kind))["now"])
        if after == now:
            break  # the market is over
        now, instants = after, instants + 1
    spent = time.perf_counter() - began
    await ticker.close()
    return instants, heard, spent
