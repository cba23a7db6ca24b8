"""The official client's errors under our names: what each odd reply proves, read and write.

A small HTTP server answers as the broker does on its bad days; the client is the real one.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from agent.core.commands import Cancel, Modify, Place
from agent.core.values import Priority, Role, Terms
from agent.errors import RatchetError, Refused, Retryable, Unknown
from agent.market.instruments import Instrument
from agent.shell.broker import Broker, TokenDead, WritesRefused

STOCK = Instrument("NSE:AAA", 257, Decimal("0.05"))
PLACE = Place(
    1, Priority.EXIT, 1, Role.EXIT, "NSE:AAA", "MIS", "SELL", Terms("SL", 30, 1_980, 2_000),
    "RTtest000001X00",
)  # fmt: skip


class Scripted:
    """A server with one reply for everything; keeps what it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.kind = 200, b"{}", "application/json"
        self.close = False
        self.asked: list[tuple[str, str, str]] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode()
                scripted.asked.append((self.command, self.path, body))
                if scripted.close:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(scripted.status)
                if scripted.kind:
                    self.send_header("Content-Type", scripted.kind)
                self.send_header("Content-Length", str(len(scripted.body)))
                self.end_headers()
                self.wfile.write(scripted.body)

            do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815

            def log_message(self, *args: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def say(self, document: Any, status: int = 200) -> None:
        self.status, self.body = status, json.dumps(document).encode()

    def fail(self, kind: str, words: str, status: int) -> None:
        self.say({"status": "error", "message": words, "error_type": kind, "data": None}, status)


@pytest.fixture
def server() -> Iterator[Scripted]:
    scripted = Scripted()
    threading.Thread(target=scripted.server.serve_forever, daemon=True).start()
    yield scripted
    scripted.server.shutdown()
    scripted.server.server_close()


@pytest.fixture
def broker(server: Scripted) -> Broker:
    made = Broker("paper", "paper", server.url, timeout_s=0.5)
    made.know({"NSE:AAA": STOCK})
    return made


#  error_type             words                                       status  write          read
FAULTS = [
    ("TokenException", "Incorrect `api_key` or `access_token`.", 403, TokenDead, TokenDead),
    ("PermissionException", "Insufficient permission for that call.", 403, WritesRefused, Refused),
    ("InputException", "Invalid `price`.", 400, Refused, Refused),
    ("OrderException", "Order is being processed.", 400, Refused, Refused),
    ("InputException", "Order request timed out. Please check the order book.", 400, Unknown,
     Retryable),
    ("NetworkException", "Too many requests", 429, Retryable, Retryable),
    ("NetworkException", "Maximum allowed order requests exceeded.", 429, Refused, Refused),
    ("NetworkException", "Maximum allowed order modifications exceeded.", 400, Refused, Refused),
    ("NetworkException", "Gateway timed out", 504, Unknown, Retryable),
    ("NetworkException", "Service unavailable", 503, Unknown, Retryable),
    ("DataException", "OMS is down", 502, Unknown, Retryable),
    ("GeneralException", "Something went wrong", 500, Unknown, Retryable),
    ("MarginException", "Insufficient funds.", 400, Refused, Refused),
    ("UserException", "The user is not enabled.", 403, WritesRefused, Refused),
]  # fmt: skip


@pytest.mark.parametrize("row", FAULTS, ids=[f"{f[0]} {f[2]}" for f in FAULTS])
def test_what_an_error_proves(server: Scripted, broker: Broker, row: tuple[Any, ...]) -> None:
    kind, words, status, write, read = row
    server.fail(kind, words, status)
    with pytest.raises(RatchetError) as wrote:
        broker.place(PLACE)
    with pytest.raises(RatchetError) as looked:
        broker.orders()
    assert type(wrote.value) is write
    assert type(looked.value) is read
    assert words.split(".", maxsplit=1)[0] in str(wrote.value)  # the broker's own words
    assert wrote.value.__cause__ is not None


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"<html>502 Bad Gateway</html>", "text/html", 502),
        (b"{not json", "application/json", 200),
        (b'{"status": "success"}', "application/json", 200),
        (b'{"status": "success", "data": null}', "application/json", 200),
        (b'{"status": "error", "message": "x"}', "application/json", 500),
        (b"{}", "", 200),
        (b'{"status": "success", "data": {"id": 1}}', "application/json", 200),
    ],
    ids=["html", "no json", "no data", "null", "no error_type", "no content type", "no order_id"],
)
def test_a_reply_that_cannot_be_read_proves_nothing(
    server: Scripted, broker: Broker, body: bytes, kind: str, status: int
) -> None:
    server.body, server.kind, server.status = body, kind, status
    with pytest.raises(Unknown):
        broker.place(PLACE)


def test_a_reset_proves_nothing_and_a_refused_connection_that_nothing_left(
    server: Scripted, broker: Broker
) -> None:
    server.close = True
    with pytest.raises(Unknown):
        broker.place(PLACE)
    with pytest.raises(Retryable):
        broker.orders()
    nobody = Broker("paper", "paper", "http://127.0.0.1:9", timeout_s=0.5)
    nobody.know({"NSE:AAA": STOCK})
    with pytest.raises(Retryable):
        nobody.place(PLACE)


def test_a_stop_goes_out_with_exact_prices_and_its_tag(server: Scripted, broker: Broker) -> None:
    server.say({"status": "success", "data": {"order_id": "261124000000007"}})
    assert broker.place(PLACE) == "261124000000007"
    method, path, body = server.asked[0]
    assert (method, path) == ("POST", "/orders/regular")
    sent = dict(part.split("=") for part in body.split("&"))
    assert sent["price"] == "99.00"
    assert sent["trigger_price"] == "100.00"
    assert (sent["order_type"], sent["quantity"], sent["tag"]) == ("SL", "30", PLACE.tag)
    assert "market_protection" not in sent


def test_a_market_exit_always_carries_its_protection(server: Scripted, broker: Broker) -> None:
    server.say({"status": "success", "data": {"order_id": "7"}})
    change = Modify(
        2, Priority.EXIT, 1, Role.EXIT, "NSE:AAA", "7", Terms("MARKET", 30), market_protection=-1
    )
    assert broker.modify(change) == "7"
    method, path, body = server.asked[0]
    assert (method, path) == ("PUT", "/orders/regular/7")
    sent = dict(part.split("=") for part in body.split("&"))
    assert sent["market_protection"] == "-1"
    assert "quantity" not in sent  # whether it means total or rest is unknown: only when it changes


def test_a_cancel_goes_to_its_order(server: Scripted, broker: Broker) -> None:
    server.say({"status": "success", "data": {"order_id": "7"}})
    assert broker.cancel(Cancel(3, Priority.EXIT, 1, Role.EXIT, "NSE:AAA", "7")) == "7"
    assert server.asked[0][:2] == ("DELETE", "/orders/regular/7")


def test_the_clocks_difference_is_told(server: Scripted) -> None:
    seen: list[int] = []
    broker = Broker("paper", "paper", server.url, timeout_s=0.5, seen_date=seen.append)
    server.say({"status": "success", "data": {"net": []}})
    assert broker.positions() == ()
    assert len(seen) == 1
