"""What each fault does to an answer, an order, the account: through the service, no sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from agent.paper.answers import Answer, Request
from agent.paper.opening import Opening, assemble, open_exchange
from agent.paper.service import Service
from agent.paper.store import Store
from tests.agent.paper.lab import DAY, scripted

STEPS = [100.0] * 4 + [97.0] * 4 + [100.0] * 367
MARKET = {"exchange": "NSE", "tradingsymbol": "A", "transaction_type": "BUY", "quantity": "10",
          "product": "MIS", "order_type": "MARKET", "validity": "DAY",
          "market_protection": "-1", "tag": "e1"}  # fmt: skip
LIMIT = MARKET | {"order_type": "LIMIT", "price": "95"}
STOP = MARKET | {"transaction_type": "SELL", "order_type": "SL", "price": "96.5",
                 "trigger_price": "98", "tag": "s1"}  # fmt: skip


class Desk:
    """A service whose time a test moves."""

    def __init__(self, home: Path, *, lockstep: bool = True) -> None:
        self.home, self.lockstep = home, lockstep
        self.open()

    def open(self) -> None:
        market = scripted({"NSE:A": STEPS, "NSE:B": STEPS})
        self.store = Store(self.home / "exchange.db", "x")
        self.exchange, _ = open_exchange(market, self.store, cash_paise=100_000_000)
        opening = Opening(self.home, DAY, lockstep=self.lockstep)
        self.service: Service = assemble(opening, self.exchange, self.store)
        self.service.changed()
        self.updates: list[dict[str, Any]] = []

    def call(self, method: str, path: str, form: dict[str, str] | None = None) -> Answer:
        headers = {"authorization": "token paper:paper",
                   "content-type": "application/x-www-form-urlencoded"}  # fmt: skip
        body = urlencode(form or {}).encode()
        return asyncio.run(self.service.answer(Request(method, path, "", headers, body)))

    def admin(self, method: str, path: str, document: object = None) -> dict[str, Any]:
        headers = {"content-type": "application/json"}
        body = b"" if document is None else json.dumps(document).encode()
        request = Request(method, f"/_paper/{path}", "", headers, body)
        return json.loads(asyncio.run(self.service.answer(request)).body)

    def arm(self, kind: str, **document: object) -> None:
        told = self.admin("POST", "faults", {"kind": kind, **document})
        assert "armed" in told, told

    def place(self, form: dict[str, str]) -> str:
        answer = self.call("POST", "/orders/regular", form)
        assert answer.status == 200, answer.body
        return str(json.loads(answer.body)["data"]["order_id"])

    def pass_ms(self, length: int) -> None:
        """Let virtual time pass."""
        end = self.exchange.now_ms + length
        while (due := self.exchange.next_due()) is not None and due <= end:
            instant = self.exchange.move_to(due)
            self.updates += instant.notes.updates
            self.service.publish(instant)
        self.exchange.now_ms = max(end, self.exchange.now_ms)

    def orders(self) -> list[dict[str, Any]]:
        return json.loads(self.call("GET", "/orders").body)["data"]

    def status(self, order_id: str) -> str:
        return str(self.exchange.desk.records[order_id].status)

    @property
    def net(self) -> int:
        return sum(one.net for one in self.exchange.books.positions.values())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path)
    yield opened
    opened.store.close()


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["error_type"]


#  kind, its parameters, what the client gets, orders that stand there afterwards
LOST = [
    ("timeout_before", {}, "reset", 0),
    ("timeout_after", {}, "reset", 1),
    ("timeout_before", {"answer": "400"}, (400, "OrderException"), 0),
    ("timeout_after", {"answer": "400"}, (400, "OrderException"), 1),
    ("timeout_after", {"answer": "504"}, (504, "NetworkException"), 1),
    ("server_error", {"status": 503}, (503, "NetworkException"), 0),
    ("server_error", {"status": 500, "effect": "after"}, (500, "GeneralException"), 1),
    ("storm_429", {}, (429, "NetworkException"), 0),
    ("writes_refused", {}, (403, "PermissionException"), 0),
    ("token_dead", {}, (403, "TokenException"), 0),
    ("outage", {}, "reset", 0),
    ("outage", {"answer": "502"}, (502, "DataException"), 0),
]


@pytest.mark.parametrize("row", LOST, ids=[f"{row[0]} {row[1]}" for row in LOST])
def test_a_lost_or_refused_answer_and_what_stands_there(desk: Desk, row: tuple) -> None:
    kind, own, want, stands = row
    desk.arm(kind, count=1, **own)
    answer = desk.call("POST", "/orders/regular", LIMIT)
    assert ("reset" if answer.abort else told(answer)) == want
    assert len(desk.orders()) == stands  # struck once: the read is answered


def test_a_hanging_answer_is_held_past_every_time_out(desk: Desk) -> None:
    desk.arm("timeout_after", answer="hang")
    answer = desk.call("POST", "/orders/regular", LIMIT)
    assert answer.abort
    assert answer.hold_s == 60


def test_writes_are_refused_while_reads_work(desk: Desk) -> None:
    desk.arm("writes_refused", words="app suspended")
    assert told(desk.call("POST", "/orders/regular", LIMIT)) == (403, "PermissionException")
    assert b"app suspended" in desk.call("DELETE", "/orders/regular/1").body
    assert desk.orders() == []


@pytest.mark.parametrize("kind", ["malformed_json", "html_answer", "no_content_type"])
def test_an_answer_that_cannot_be_read_may_stand_for_an_order(desk: Desk, kind: str) -> None:
    desk.arm(kind, count=1, operation="place")
    answer = desk.call("POST", "/orders/regular", LIMIT)
    assert answer.status == 200
    if kind == "no_content_type":
        assert answer.content_type == ""
    else:
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            json.loads(answer.body)
    assert len(desk.orders()) == 1
    desk.admin("DELETE", "faults")
    desk.arm(kind, count=1, operation="place", effect="before")
    desk.call("POST", "/orders/regular", LIMIT)
    assert len(desk.orders()) == 1


def test_an_order_appears_late_in_book_and_updates(desk: Desk) -> None:
    desk.arm("late_order", count=1, delay_ms=[8_000, 90_000])
    assert desk.call("POST", "/orders/regular", MARKET).abort
    desk.pass_ms(7_999)
    assert desk.orders() == []
    desk.pass_ms(90_000)
    ((row),) = desk.orders()
    assert (row["tag"], row["status"]) == ("e1", "COMPLETE")
    assert [update["status"] for update in desk.updates] == ["COMPLETE"]
    assert desk.net == 10


def test_an_orders_row_comes_late_although_its_id_was_told(desk: Desk) -> None:
    desk.arm("late_row", count=1, delay_ms=[8_000, 90_000])
    order_id = desk.place(MARKET)
    desk.pass_ms(7_900)
    assert (desk.orders(), desk.net) == ([], 10)  # it has traded all the same
    assert json.loads(desk.call("GET", "/trades").body)["data"] == []
    for method, path in (("GET", f"/orders/{order_id}"), ("GET", f"/orders/{order_id}/trades"),
                         ("DELETE", f"/orders/regular/{order_id}")):  # fmt: skip
        assert told(desk.call(method, path)) == (400, "OrderException")
    assert desk.updates == []
    desk.pass_ms(90_000)
    ((row),) = desk.orders()
    assert (row["order_id"], row["status"]) == (order_id, "COMPLETE")
    assert [update["status"] for update in desk.updates] == ["COMPLETE"]
    assert len(json.loads(desk.call("GET", "/trades").body)["data"]) == 1


def test_a_modification_is_accepted_and_not_applied(desk: Desk) -> None:
    order_id = desk.place(LIMIT)
    desk.pass_ms(50)
    desk.arm("modify_ignored", count=1)
    assert desk.call("PUT", f"/orders/regular/{order_id}", {"price": "96"}).status == 200
    desk.pass_ms(100)
    assert desk.orders()[0]["price"] == 95
    assert desk.call("PUT", f"/orders/regular/{order_id}", {"price": "96"}).status == 200
    desk.pass_ms(100)
    assert desk.orders()[0]["price"] == 96


def test_being_processed_means_that_it_had_executed(desk: Desk) -> None:
    desk.place(MARKET)
    stop = desk.place(STOP)
    desk.pass_ms(50)
    desk.arm("being_processed")
    answer = desk.call("PUT", f"/orders/regular/{stop}", {"trigger_price": "98.5"})
    assert told(answer) == (400, "OrderException")
    assert b"being processed" in answer.body
    assert desk.status(stop) == "COMPLETE"
    assert desk.net == 0
    trade = desk.exchange.desk.trades[-1]
    assert trade.price >= 9_650  # never beyond its limit


def test_a_cancel_is_accepted_and_loses_to_the_fill(desk: Desk) -> None:
    order_id = desk.place(LIMIT)
    desk.pass_ms(50)
    desk.arm("cancel_lost")
    assert desk.call("DELETE", f"/orders/regular/{order_id}").status == 200
    desk.pass_ms(50)
    assert desk.status(order_id) == "COMPLETE"
    assert desk.exchange.desk.trades[-1].price == 9_500  # the market stands at 100
    assert [update["status"] for update in desk.updates] == ["COMPLETE"]


def test_a_stop_is_refused_because_the_price_is_through_it(desk: Desk) -> None:
    desk.arm("stop_refused", count=1)
    assert desk.call("POST", "/orders/regular", MARKET).status == 200  # no stop
    answer = desk.call("POST", "/orders/regular", STOP)
    assert told(answer) == (400, "InputException")
    assert b"rigger" in answer.body


def test_the_exchange_cancels_a_stop_after_its_trigger(desk: Desk) -> None:
    desk.place(MARKET)
    desk.arm("stop_void")
    stop = desk.place(STOP)
    desk.pass_ms(300_000)  # through 97
    record = desk.exchange.desk.records[stop]
    assert (record.status, record.triggered) == ("CANCELLED", True)
    assert desk.net == 10
    assert "OPEN" in [row["status"] for row in record.history]
    assert desk.updates[-1]["status"] == "CANCELLED"


@pytest.mark.parametrize("words", ["freeze", "circuit", "RMS: blocked"])
def test_the_exchange_rejects_an_order_that_it_took(desk: Desk, words: str) -> None:
    desk.arm("rejected", words=words, count=1)
    order_id = desk.place(MARKET)
    desk.pass_ms(50)
    assert desk.status(order_id) == "REJECTED"
    assert words in str(desk.exchange.desk.records[order_id].message)
    assert desk.updates[-1]["status"] == "REJECTED"


def test_thin_depth_fills_in_part_until_it_ends(desk: Desk) -> None:
    desk.arm("thin_depth", percent=0, since="09:16", until="09:17")
    desk.pass_ms(75_000)
    order_id = desk.place(MARKET | {"quantity": "50"})
    desk.pass_ms(50)
    record = desk.exchange.desk.records[order_id]
    assert 0 < record.filled < 50
    assert record.status == "OPEN"
    desk.pass_ms(60_000)
    assert desk.status(order_id) == "COMPLETE"


def test_the_brokers_square_off_comes_early(desk: Desk) -> None:
    desk.place(MARKET)
    stop = desk.place(STOP)
    desk.arm("square_off_early", since="09:16:30")
    desk.pass_ms(89_000)
    assert desk.net == 10
    desk.pass_ms(2_000)
    assert desk.net == 0
    assert desk.status(stop) == "CANCELLED"
    assert desk.orders()[-1]["placed_by"] == "RMS"


def test_a_trade_and_a_cancel_by_hand(desk: Desk) -> None:
    desk.place(MARKET)
    stop = desk.place(STOP)
    desk.arm("hand_cancel", after="fill", after_ms=500)
    desk.pass_ms(600)
    assert desk.status(stop) == "CANCELLED"
    desk.arm("hand_trade", symbol="A", quantity=-4)
    desk.pass_ms(100)
    assert desk.net == 6
    assert desk.orders()[-1]["tag"] is None
    desk.arm("hand_trade")  # whatever is open
    desk.pass_ms(100)
    assert desk.net == 0


def test_armed_faults_and_their_counts_survive_a_restart(desk: Desk) -> None:
    desk.arm("storm_429", operation="place", nth=2)
    desk.arm("square_off_early", since="09:18")
    desk.place(MARKET)
    desk.pass_ms(100)
    desk.store.close()
    desk.open()
    assert told(desk.call("POST", "/orders/regular", MARKET)) == (429, "NetworkException")
    assert desk.net == 10
    desk.pass_ms(180_000)
    assert desk.net == 0
    found = desk.admin("GET", "faults")["faults"]
    assert [(one["kind"], one["struck"]) for one in found] == [
        ("storm_429", 1), ("square_off_early", 1),
    ]  # fmt: skip


def test_arm_list_and_clear(desk: Desk) -> None:
    armed = desk.admin("POST", "faults", [{"kind": "storm_429"}, {"kind": "outage"}])
    assert armed == {"armed": [1, 2]}
    listed = desk.admin("GET", "faults")
    assert [one["number"] for one in listed["faults"]] == [1, 2]
    assert "late_order" in listed["kinds"]
    assert desk.admin("DELETE", "faults/2") == {"cleared": 1}
    assert desk.admin("DELETE", "faults/2")["error_type"] == "GeneralException"
    assert desk.admin("DELETE", "faults") == {"cleared": 1}
    wrong = desk.admin("POST", "faults", [{"kind": "storm_429"}, {"kind": "meteor"}])
    assert "meteor" in wrong["message"]
    assert desk.admin("POST", "faults", "storm")["error_type"] == "InputException"
    assert desk.admin("GET", "faults")["faults"] == []  # all of a list, or none


def test_faults_of_another_machine_need_the_admin_token(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.service.admin_token = "secret"
    assert desk.admin("POST", "faults", {"kind": "outage"})["error_type"] == "PermissionException"
    assert desk.service.faults.armed == {}
    desk.store.close()


def test_a_fault_never_strikes_the_exchanges_own_routes(desk: Desk) -> None:
    desk.arm("outage", operation="any")
    assert desk.call("GET", "/orders").abort
    assert "max_unprotected_ms" in desk.admin("GET", "audit")
    assert desk.admin("DELETE", "faults") == {"cleared": 1}


def test_counts_of_updates_that_were_struck_survive_too(desk: Desk) -> None:
    connection = desk.service.hub.open()
    assert connection is not None
    desk.arm("updates_lost", nth=2)
    desk.place(MARKET)
    desk.pass_ms(15_100)  # the update, and an instant after it
    desk.store.close()
    desk.open()
    assert [one["seen"] for one in desk.admin("GET", "faults")["faults"]] == [1]
