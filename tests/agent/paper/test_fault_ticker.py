"""What faults do to the ticker: frames and updates in the hub, sockets through the client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import requests
from kiteconnect import KiteTicker

from agent.paper.hub import HEARTBEAT_S, Connection
from tests.agent.paper.lab import Running, Ticker, at, until
from tests.agent.paper.test_fault_edges import MARKET, Desk
from tests.agent.paper.test_rest import BUY
from tests.agent.paper.test_ticker import tokens


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path)
    yield opened
    opened.store.close()


def listening(desk: Desk, mode: str = "full") -> Connection:
    connection = desk.service.hub.open()
    assert connection is not None
    chosen = [board.instrument.token for board in desk.exchange.boards.values()]
    desk.service.hub.receive(connection, json.dumps({"a": "subscribe", "v": chosen}))
    desk.service.hub.receive(connection, json.dumps({"a": "mode", "v": [mode, chosen]}))
    connection.queue.clear()
    return connection


def heard(connection: Connection) -> list[str]:
    """Return what waits to be sent, in short."""
    found = []
    for piece in connection.queue:
        if isinstance(piece, bytes):
            ticks = KiteTicker("k", "t")._parse_binary(piece)
            found.append(f"ticks {ticks[0]['exchange_timestamp'].timestamp():.0f}")
        else:
            document = json.loads(piece)
            kind = document["type"]
            found.append(f"order {document['data']['status']}" if kind == "order" else kind)
    connection.queue.clear()
    return found


def counted(desk: Desk) -> int:
    """Return how often the one fault that is armed made a difference."""
    (one,) = desk.admin("GET", "faults")["faults"]
    return int(one["struck"])


#  kind, what arrives of three instants (ticks 1 2 3, clock frames left out)
FRAMES = [
    ("frames_doubled", {}, [1, 1, 2, 2, 3, 3]),
    ("frames_doubled", {"nth": 2}, [1, 2, 2, 3]),
    ("frames_reordered", {"nth": 1}, [2, 1, 3]),
    ("frames_reordered", {}, [2, 1]),  # the third waits for a fourth
    ("ticker_silent", {}, []),
]


@pytest.mark.parametrize("row", FRAMES, ids=[f"{row[0]} {row[1]}" for row in FRAMES])
def test_frames_of_ticks(desk: Desk, row: tuple) -> None:
    kind, own, want = row
    connection = listening(desk)
    desk.arm(kind, **own)
    start = desk.exchange.now_ms // 1000
    desk.pass_ms(45_000)
    found = heard(connection)
    assert [one for one in found if one.startswith("ticks")] == [
        f"ticks {start + 15 * n}" for n in want
    ]
    assert found.count("paper_clock") == 3  # lock-step's own frames always come
    if kind == "ticker_silent":
        assert counted(desk) == 3


def test_a_corrupt_frame_is_one_that_the_client_cannot_read(desk: Desk) -> None:
    connection = listening(desk)
    desk.arm("frames_corrupt", count=1)
    desk.pass_ms(15_000)
    piece = connection.queue[0]
    assert isinstance(piece, bytes)
    count = int.from_bytes(piece[:2], "big")
    assert len(piece) < count * 186


#  kind, its parameters, the updates of a market order and a cancel 100 ms later
UPDATES = [
    ("updates_lost", {}, []),
    ("updates_lost", {"nth": 1}, ["order CANCELLED"]),
    ("updates_doubled", {"nth": 1}, ["order COMPLETE", "order COMPLETE", "order CANCELLED"]),
    ("updates_reordered", {"nth": 1, "delay_ms": 200}, ["order CANCELLED", "order COMPLETE"]),
    ("updates_lost", {"tag": "other"}, ["order COMPLETE", "order CANCELLED"]),
]


@pytest.mark.parametrize("row", UPDATES, ids=[f"{row[0]} {row[1]}" for row in UPDATES])
def test_order_updates(desk: Desk, row: tuple) -> None:
    kind, own, want = row
    connection = listening(desk)
    desk.arm(kind, **own)
    desk.place(MARKET)
    desk.pass_ms(100)
    other = desk.place(MARKET | {"order_type": "LIMIT", "price": "90", "tag": "e2"})
    desk.pass_ms(50)
    desk.call("DELETE", f"/orders/regular/{other}")
    desk.pass_ms(15_000)
    assert [one for one in heard(connection) if one.startswith("order")] == want


def test_yesterdays_price_comes_first_after_a_subscription(desk: Desk) -> None:
    desk.pass_ms(120_000)
    desk.arm("stale_first_tick")
    connection = desk.service.hub.open()
    assert connection is not None
    board = desk.exchange.boards["NSE:A"]
    board.previous_close = 9_000
    desk.service.hub.receive(
        connection, json.dumps({"a": "mode", "v": ["full", [board.instrument.token]]})
    )
    (piece,) = connection.queue
    assert isinstance(piece, bytes)
    (tick,) = KiteTicker("k", "t")._parse_binary(piece)
    assert tick["last_price"] == 90.0
    assert counted(desk) == 1


def test_the_brokers_clock_is_off(desk: Desk) -> None:
    connection = listening(desk)
    desk.arm("clock_skew", skew_ms=-30_000)
    desk.pass_ms(15_000)
    assert heard(connection)[0] == f"ticks {at('09:15:15') // 1000 - 30}"
    assert counted(desk) >= 1


def test_a_lost_answer_is_a_broken_connection_and_the_date_is_off(moving: Running) -> None:
    kite = moving.kite()
    moving.post("faults", kind="timeout_after", count=1)
    with pytest.raises(requests.ConnectionError):
        kite.place_order(**BUY, order_type="LIMIT", price=95)
    assert [row["status"] for row in kite.orders()] == ["OPEN PENDING"]
    moving.post("faults", kind="no_content_type", count=1, operation="profile")
    with pytest.raises(KeyError):
        kite.profile()
    moving.post("faults", kind="clock_skew", skew_ms=-3_600_000)
    answer = requests.get(moving.rest + "/instruments/NSE", timeout=10)
    off = datetime.now(UTC) - parsedate_to_datetime(answer.headers["Date"])
    assert 3_500 < off.total_seconds() < 3_700


def test_the_ticker_breaks_and_the_client_comes_back(moving: Running) -> None:
    ticker = Ticker(moving.ticker)
    ticker.subscribe([tokens(moving)["A"]], "ltp")
    assert until(lambda: ticker.ticks)
    ticker.opened.clear()
    moving.post("join")
    moving.post("faults", kind="ticker_drop")
    moving.post("ack", through=moving.get("clock")["now"])
    assert until(ticker.opened.is_set, deadline_s=30)
    ticker.close()


def test_a_silent_ticker_keeps_its_socket_open(standing: Running) -> None:
    ticker = Ticker(standing.ticker)
    assert ticker.opened.wait(15)
    standing.post("faults", kind="ticker_silent")
    assert until(lambda: ticker.heartbeats >= 0)
    before = ticker.heartbeats
    other = Ticker(standing.ticker)  # opened under the fault: it hears nothing at all
    assert other.opened.wait(15)
    assert not until(lambda: other.heartbeats or other.texts, deadline_s=2.5 * HEARTBEAT_S)
    assert ticker.heartbeats <= before + 1
    requests.delete(standing.rest + "/_paper/faults", timeout=10)
    assert until(lambda: ticker.heartbeats > before + 1, deadline_s=10 * HEARTBEAT_S)
    ticker.close()
    other.close()


def test_a_dead_token_refuses_calls_while_the_ticker_streams_on(moving: Running) -> None:
    from kiteconnect.exceptions import TokenException

    ticker = Ticker(moving.ticker)
    ticker.subscribe([tokens(moving)["A"]], "ltp")
    now = moving.post("join")["now"]
    moving.post("faults", kind="token_dead")
    with pytest.raises(TokenException):
        moving.kite().orders()
    ticker.ticks.clear()
    moving.post("ack", through=now)
    assert until(lambda: ticker.ticks)
    ticker.close()
