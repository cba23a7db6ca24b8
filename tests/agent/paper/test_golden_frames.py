"""Frames byte for byte as the vendor's tables lay them out, and how many may listen.

The hexadecimal was written from the tables by hand: big-endian, prices in paise, length first.
"""

from __future__ import annotations

import http.client

import pytest
from kiteconnect import KiteTicker

from agent.paper.wire import HEARTBEAT, Mode, Tick, frame, packet
from tests.agent.paper.lab import Running

INFY = Tick(
    token=408065, last=156_045, open=155_000, high=157_010, low=154_005, close=154_950,
    last_quantity=77, average=155_812, volume=1_234_567, buy_quantity=5_555, sell_quantity=6_666,
)  # fmt: skip
NIFTY = Tick(
    256265, 2_500_005, 2_490_000, 2_510_000, 2_480_000, 2_495_000, is_index=True,
    exchange_s=1_762_141_501,
)  # fmt: skip

#  id, tick, mode, the frame
GOLDEN = [
    ("ltp", INFY, "ltp", "0001 0008 00063a01 0002618d"),
    ("quote", INFY, "quote",
     ("0001 002c 00063a01 0002618d 0000004d 000260a4 0012d687 000015b3 00001a0a"
      " 00025d78 00026552 00025995 00025d46")),
    ("index quote: high, low, open", NIFTY, "quote",
     "0001 001c 0003e909 002625a5 00264cb0 0025d780 0025fe90 00261218 0000138d"),
    ("index full: and its time", NIFTY, "full",
     "0001 0020 0003e909 002625a5 00264cb0 0025d780 0025fe90 00261218 0000138d 6908253d"),
]  # fmt: skip


@pytest.mark.parametrize("row", GOLDEN, ids=[row[0] for row in GOLDEN])
def test_a_frame_is_the_published_one(row: tuple[str, Tick, Mode, str]) -> None:
    _, tick, mode, golden = row
    made = frame([packet(tick, mode)])
    assert made.hex() == golden.replace(" ", "")
    (read,) = KiteTicker("k", "t")._parse_binary(made)
    assert (read["instrument_token"], read["mode"]) == (tick.token, mode)


def test_several_packets_and_the_heartbeat() -> None:
    made = frame([packet(INFY, "ltp"), packet(NIFTY, "ltp")])
    assert made.hex() == "0002000800063a010002618d00080003e909002625a5"
    assert HEARTBEAT.hex() == "00"


def test_three_may_listen_and_a_fourth_when_one_has_gone(moving: Running) -> None:
    opened = [upgraded(moving) for _ in range(4)]
    assert [status for _, status in opened] == [101, 101, 101, 403]
    opened[0][0].close()
    for _ in range(200):  # until the exchange has noticed
        connection, status = upgraded(moving)
        opened.append((connection, status))
        if status == 101:
            break
    assert status == 101
    for connection, _ in opened:
        connection.close()


def upgraded(running: Running) -> tuple[http.client.HTTPConnection, int]:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "X-Kite-Version": "3"}  # fmt: skip
    connection.request("GET", "/?api_key=paper&access_token=paper", headers=upgrade)
    return connection, connection.getresponse().status
