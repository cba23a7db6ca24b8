"""The ticker over real sockets through the official KiteTicker."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator

import pytest

from agent.paper.hub import HEARTBEAT_S
from tests.agent.paper.lab import Running, Ticker, at, until
from tests.agent.paper.published import SHAPES, misfits
from tests.agent.paper.test_rest import BUY


@pytest.fixture
def ticker(moving: Running) -> Iterator[Ticker]:
    opened = Ticker(moving.ticker)
    yield opened
    opened.close()


def tokens(running: Running) -> dict[str, int]:
    rows = running.kite().instruments("NSE")
    return {row["tradingsymbol"]: row["instrument_token"] for row in rows}


def test_modes_cached_packets_and_the_ticks_of_an_instant(moving: Running, ticker: Ticker) -> None:
    token = tokens(moving)
    ticker.subscribe([token["B"], token["NIFTY 50"]], "full")
    assert until(lambda: len(ticker.ticks) >= 2)  # the last packets, at once
    cached = {tick["instrument_token"]: tick for tick in ticker.ticks[-1]}
    assert cached[token["B"]]["mode"] == cached[token["NIFTY 50"]]["mode"] == "full"
    assert cached[token["NIFTY 50"]]["tradable"] is False
    ticker.ticks.clear()
    now = moving.post("join")["now"]
    moving.post("ack", through=now)
    assert until(lambda: ticker.now() == now + 15_000)
    (batch,) = ticker.ticks
    assert [tick["instrument_token"] for tick in batch] == [token["B"], token["NIFTY 50"]]
    assert batch[0]["last_price"] == 100.0
    assert batch[0]["exchange_timestamp"].timestamp() * 1000 == now + 15_000
    assert batch[0]["depth"]["buy"][0]["quantity"] >= 300
    assert batch[0]["volume_traded"] == 2_000  # two of the minute's four ticks
    ticker.subscribe([token["B"]], "ltp")
    assert until(lambda: ticker.ticks[-1][0]["mode"] == "ltp")
    ticker.unsubscribe([token["NIFTY 50"]])
    ticker.ticks.clear()
    moving.post("ack", through=now + 15_000)
    assert until(lambda: ticker.now() == now + 30_000)
    # a last packet of before may still have been on its way; of the other there is none any more
    assert {tick["instrument_token"] for batch in ticker.ticks for tick in batch} == {token["B"]}
    (only,) = ticker.ticks[-1]
    assert only == {"tradable": True, "mode": "ltp", "instrument_token": token["B"],
                    "last_price": 100.0}  # fmt: skip


def test_order_updates_have_the_postbacks_fields_and_the_end_comes_in_two_seconds(
    moving: Running, ticker: Ticker
) -> None:
    assert ticker.opened.wait(15)
    kite = moving.kite()
    order_id = kite.place_order(**BUY, order_type="MARKET", market_protection=-1, tag="tag1")
    now = moving.post("join")["now"]
    moving.post("ack", through=now)
    assert until(lambda: ticker.updates)
    (update,) = ticker.updates
    assert misfits(SHAPES["ws order update"], update) == []
    assert (update["order_id"], update["status"], update["tag"]) == (order_id, "COMPLETE", "tag1")
    assert isinstance(update["order_timestamp"], str)
    began = time.monotonic()
    assert moving.stop() == 0
    assert time.monotonic() - began < 2.0


def test_heartbeats_come_in_a_silence_and_errors_as_text(standing: Running) -> None:
    ticker = Ticker(standing.ticker)
    assert ticker.opened.wait(15)
    assert until(lambda: ticker.heartbeats >= 2, deadline_s=10 * HEARTBEAT_S)
    ticker.send('{"a": "mode", "v": ["everything", [1]]}')
    ticker.send("no json")
    assert until(lambda: len(ticker.errors) >= 2)
    assert [code for code, _ in ticker.errors] == [0, 0]
    ticker.close()


@pytest.mark.parametrize("query", ["api_key=paper&access_token=no", "api_key=x&access_token=paper",
                                   ""])  # fmt: skip
def test_a_wrong_token_is_a_403_on_the_upgrade(standing: Running, query: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", standing.port, timeout=10)
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "X-Kite-Version": "3"}  # fmt: skip
    connection.request("GET", f"/?{query}", headers=upgrade)
    assert connection.getresponse().status == 403
    connection.close()


def test_a_client_whose_ticker_closes_no_longer_holds_the_clock(moving: Running) -> None:
    first, second = Ticker(moving.ticker), Ticker(moving.ticker)
    assert first.opened.wait(15)
    assert second.opened.wait(15)
    clients = [moving.post("join")["client"] for _ in range(2)]
    now = moving.get("clock")["now"]
    moving.post("ack", client=clients[1], through=at("09:20"))
    assert moving.get("clock")["now"] == now  # the other one holds it
    first.close()
    assert until(lambda: moving.get("clock")["now"] > at("09:20"))
    assert f"client {clients[0]} dropped" in moving.log
    assert moving.post("ack", client=clients[0], through=now)["error_type"] == "InputException"
    second.close()
