"""The parts around the loop: calls and budget, control API, notices, model client, clock."""

from __future__ import annotations

import json
import stat
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.client import HTTPConnection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.values import Fault, Priority, Role, Terms
from agent.errors import EnvironmentRefused, Retryable
from agent.kite.budget import Budget
from agent.market.instruments import Instrument
from agent.market.sessions import Calendar
from agent.shell.broker import Broker
from agent.shell.calls import Calls
from agent.shell.clock import ExchangeClock, is_loopback
from agent.shell.control import Control, ask, control_file
from agent.shell.inbox import Answer, Item, Word
from agent.shell.model import ModelClient, prediction_of
from agent.shell.notices import Notices
from tests.agent.paper.lab import DAY, at
from tests.agent.shell.served import Served
from tests.agent.shell.test_broker import Scripted

STOCK = Instrument("NSE:AAA", 257, Decimal("0.05"))
NOW = at("10:00")


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def server() -> Iterator[Scripted]:
    scripted = Scripted()
    threading.Thread(target=scripted.server.serve_forever, daemon=True).start()
    yield scripted
    scripted.server.shutdown()
    scripted.server.server_close()


@pytest.fixture
def calls(server: Scripted, home: Path) -> Iterator[tuple[Calls, SimpleQueue[Item]]]:
    broker = Broker("paper", "paper", server.url, timeout_s=2)
    broker.know({"NSE:AAA": STOCK})
    inbox: SimpleQueue[Item] = SimpleQueue()
    made = Calls(
        broker, None, Budget(home / "kite", "paper"), Calendar.of_days([DAY]), inbox, one_lane=True
    )
    yield made, inbox
    made.stop()


def place(call: int, role: Role) -> cmd.Place:
    priority = Priority.EXIT if role is Role.EXIT else Priority.ENTRY
    terms = Terms("LIMIT", 1, 2_000)
    return cmd.Place(call, priority, call, role, "NSE:AAA", "MIS", "SELL", terms, f"t{call}")


def answers(inbox: SimpleQueue[Item], count: int) -> list[ev.Event]:
    found = [inbox.get(timeout=20) for _ in range(count)]
    return [item.make(NOW) for item in found if isinstance(item, Answer)]


def tags(server: Scripted) -> list[str]:
    return [dict(p.split("=") for p in body.split("&"))["tag"] for _, _, body in server.asked]


def test_protection_goes_ahead_and_entries_are_the_first_to_wait(
    calls: tuple[Calls, SimpleQueue[Item]], server: Scripted
) -> None:
    made, inbox = calls
    server.say({"status": "success", "data": {"order_id": "7"}})
    for n in range(1, 9):
        made.add(place(n, Role.ENTRY), NOW)
    for n in range(20, 24):
        made.add(place(n, Role.EXIT), NOW)
    retry = made.dispatch(NOW)
    assert retry is not None
    assert NOW < retry <= NOW + 1_100
    answers(inbox, 7)
    assert tags(server) == ["t20", "t21", "t22", "t23", "t1", "t2", "t3"]  # 7 of 9: two are kept
    made.add(place(24, Role.EXIT), NOW)
    made.dispatch(NOW)
    answers(inbox, 1)
    assert tags(server)[-1] == "t24"


def test_an_entry_that_waited_too_long_is_answered_as_not_sent(
    calls: tuple[Calls, SimpleQueue[Item]], server: Scripted
) -> None:
    made, inbox = calls
    server.say({"status": "success", "data": {"order_id": "7"}})
    for n in range(20, 29):
        made.add(place(n, Role.EXIT), NOW)
    made.dispatch(NOW)
    answers(inbox, 9)
    made.add(place(1, Role.ENTRY), NOW)
    assert made.dispatch(NOW + 500) is not None
    made.dispatch(NOW + 6_000)
    (answer,) = answers(inbox, 1)
    assert isinstance(answer, ev.CallFailed)
    assert answer.fault is Fault.RETRYABLE
    assert "t1" not in tags(server)


@pytest.mark.parametrize(
    ("kind", "status", "fault"),
    [
        ("TokenException", 403, Fault.TOKEN),
        ("NetworkException", 429, Fault.RETRYABLE),
        ("NetworkException", 503, Fault.UNKNOWN),
        ("OrderException", 400, Fault.REFUSED),
    ],
)
def test_every_call_gets_one_answer_whatever_happens_to_it(
    calls: tuple[Calls, SimpleQueue[Item]], server: Scripted, kind: str, status: int, fault: Fault
) -> None:
    made, inbox = calls
    server.fail(kind, "the broker's words", status)
    made.add(place(1, Role.EXIT), NOW)
    made.dispatch(NOW)
    (answer,) = answers(inbox, 1)
    assert answer == ev.CallFailed(NOW, 1, fault, answer.words)  # type: ignore[attr-defined]
    assert "the broker's words" in answer.words  # type: ignore[attr-defined]
    assert inbox.empty()


def test_a_book_whose_positions_fail_still_brings_its_orders(
    calls: tuple[Calls, SimpleQueue[Item]], server: Scripted
) -> None:
    made, inbox = calls
    server.say({"status": "success", "data": []})  # no `net`: the second read cannot be read
    made.add(cmd.ReadBook(5, Priority.BOOK), NOW)
    made.dispatch(NOW)
    (answer,) = answers(inbox, 1)
    assert isinstance(answer, ev.BookRead)
    assert answer.orders == ()
    assert answer.positions is None


# control


def test_the_control_api_needs_its_token_and_its_file_is_private(home: Path) -> None:
    inbox: SimpleQueue[Item] = SimpleQueue()
    control = Control(home, 0, inbox, {"status": lambda: {"mode": "NORMAL"}})
    try:
        assert stat.S_IMODE(control_file(home).stat().st_mode) == 0o600
        assert ask(home, "GET", "/status") == {"mode": "NORMAL"}
        assert ask(home, "POST", "/halt") == {"asked": "halt"}
        assert inbox.get(timeout=5) == Word("halt", "operator")
        http = HTTPConnection("127.0.0.1", control.port, timeout=5)
        for method, path in (("GET", "/status"), ("POST", "/halt")):
            http.request(method, path, headers={"Authorization": "Bearer wrong"})
            response = http.getresponse()
            assert response.status == 401
            assert "token" in json.loads(response.read())["error"]
        http.close()
        for method, path in (("GET", "/nothing"), ("POST", "/buy")):
            with pytest.raises(EnvironmentRefused, match="404"):
                ask(home, method, path)
        assert inbox.empty()
    finally:
        control.stop()
    assert not control_file(home).exists()
    with pytest.raises(EnvironmentRefused, match="ratchet-agent run"):
        ask(home, "GET", "/status")


def test_a_port_that_is_taken_is_refused_with_what_to_do(home: Path) -> None:
    inbox: SimpleQueue[Item] = SimpleQueue()
    control = Control(home, 0, inbox, {})
    try:
        with pytest.raises(EnvironmentRefused, match="RATCHET_AGENT__CONTROL__PORT"):
            Control(home, control.port, inbox, {})
    finally:
        control.stop()


# notices


def test_notices_reach_their_target_and_the_same_words_go_once(server: Scripted) -> None:
    server.say({})
    notices = Notices((server.url.replace("http", "json") + "/hook",), shown="alarm")
    for _ in range(3):
        notices.tell("warning", "reject", "NSE:AAA: rejected")
    notices.tell("info", "entry", "NSE:AAA: 30 at 100.00")
    until(lambda: len(server.asked) >= 2)
    notices.stop()
    assert [json.loads(body)["message"] for _, _, body in server.asked] == [
        "NSE:AAA: rejected",
        "NSE:AAA: 30 at 100.00",
    ]


def test_notices_never_delay_and_drop_the_mildest_first(server: Scripted) -> None:
    hold = threading.Event()
    server.say({})
    notices = Notices((server.url.replace("http", "json") + "/hook",), shown="alarm")
    notices._pace = lambda grave: (hold.wait(20), None)[1]  # type: ignore[method-assign]
    started = time.monotonic()
    for n in range(400):
        notices.tell("alarm" if n == 7 else "info", "x", f"notice {n}")
    assert time.monotonic() - started < 5
    assert notices.dropped > 100
    assert any(words == "notice 7" for _, _, words in notices._queue)
    hold.set()
    notices._urls = ()
    notices.stop()


# the served model


WINDOW = cmd.Window("NSE:AAA", (1, 2), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (1.0, None),
                    ("kite", "ticks"))  # fmt: skip


def test_the_model_is_described_and_answers_with_its_policy() -> None:
    with Served({"NSE:AAA": "BUY"}) as served:
        client = ModelClient(served.url)
        told = client.describe(3, 7)
        assert (told.name, told.interval, told.window) == ("tiny", "day", 5)
        assert told.universe == ("NSE:AAA",)
        assert [v.alias for v in told.versions] == ["champion"]
        found = client.ask(cmd.AskModel(4, Priority.READ, (WINDOW,), NOW), 8)
        assert isinstance(found, ev.ModelAnswered)
        (answer,) = found.predictions
        assert (answer.side, answer.version, answer.variant) == ("BUY", "3", "champion")
        (sent,) = served.questions[0]["instances"]
        assert sent["source"] == ["kite", "ticks"]
        assert sent["candles"]["volume"] == [1.0, None]
        assert sent["as_of"] == NOW
        client.close()


def test_an_answer_of_an_unknown_version_brings_that_versions_policy() -> None:
    with Served({"NSE:AAA": "BUY"}) as served:
        client = ModelClient(served.url, "tiny")
        found = client.ask(cmd.AskModel(4, Priority.READ, (WINDOW,), NOW), 8)
        assert isinstance(found, ev.ModelAnswered)
        assert [v.version for v in found.versions] == ["3"]
        assert 'mode = "percent"' in found.versions[0].policy_toml
        client.close()


def test_a_model_that_is_down_or_gone_is_worth_another_try() -> None:
    with Served({"NSE:AAA": "BUY"}) as served:
        client = ModelClient(served.url)
        served.down = True
        with pytest.raises(Retryable, match="503"):
            client.describe(1, 0)
        client.close()
    gone = ModelClient("http://127.0.0.1:9", timeout_s=0.5)
    with pytest.raises(Retryable):
        gone.describe(1, 0)
    gone.close()


GOOD = {
    "version": 3, "variant": "champion", "request_id": "r",
    "prediction": {
        "side": "BUY", "er_long": 0.1, "er_short": -0.1, "valid_until": "2025-11-03T15:30:00+05:30",
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (GOOD, ""),
        ({"title": "field-invalid", "detail": "candles.ts: too short"}, "too short"),
        (GOOD | {"prediction": {"side": "LONG"}}, "side 'LONG'"),
        (GOOD | {"prediction": GOOD["prediction"] | {"valid_until": "soon"}}, "cannot be read"),
        (GOOD | {"prediction": {"side": "BUY"}}, "cannot be read"),
        ({"prediction": None}, "cannot be read"),
        ("nonsense", "cannot be read"),
        (None, "cannot be read"),
        ([], "cannot be read"),
    ],
)
def test_t40_an_answer_that_is_none_is_an_error_for_its_symbol(row: Any, error: str) -> None:
    found = prediction_of("NSE:AAA", row)
    assert found.key == "NSE:AAA"
    assert (error in found.error) if error else found.error == ""
    assert found.side == ("HOLD" if error else "BUY")


# the clock


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:13030", True),
        ("ws://localhost:1", True),
        ("http://127.9.9.9", True),
        ("https://api.kite.trade", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://10.0.0.1", False),
        ("", False),
    ],
)
def test_what_is_on_this_machine(url: str, here: bool) -> None:
    assert is_loopback(url) is here


def test_the_exchanges_clock_is_refused_elsewhere_and_says_when_nobody_is_there() -> None:
    with pytest.raises(EnvironmentRefused, match="--clock"):
        ExchangeClock("https://api.kite.trade")
    with pytest.raises(Retryable):
        ExchangeClock("http://127.0.0.1:9").join()


DUMP = """\
instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,\
instrument_type,segment,exchange{more}
257,1,AAA,AAA LTD,0,,0,0.05,1,EQ,NSE,NSE{freeze}
"""


#  in the dump, in the list, what an order may carry
@pytest.mark.parametrize(
    ("told", "listed", "freeze"),
    [(None, {}, None), (None, {"NSE:AAA": 120}, 120), ("900", {}, 900),
     ("900", {"NSE:AAA": 120}, 120), ("", {"NSE:BBB": 1}, None)],
)  # fmt: skip
def test_a_freeze_quantity_is_the_list_s_or_the_dump_s(
    calls: tuple[Calls, SimpleQueue[Item]], server: Scripted,
    told: str | None, listed: dict[str, int], freeze: int | None,
) -> None:  # fmt: skip
    made, inbox = calls
    more, cell = ("", "") if told is None else (",freeze_quantity", f",{told}")
    server.body, server.kind = DUMP.format(more=more, freeze=cell).encode(), "text/csv"
    made.know({}, listed)
    made.add(cmd.OpenDay(1, Priority.READ, ("NSE:AAA",), NOW), NOW)
    made.dispatch(NOW)
    (opened,) = answers(inbox, 1)
    assert isinstance(opened, ev.DayOpened)
    assert opened.instruments["NSE:AAA"].freeze_quantity == freeze


def test_a_row_of_the_dump_that_cannot_be_read_is_an_instrument_that_is_missing(
    calls: tuple[Calls, SimpleQueue[Item]], server: Scripted
) -> None:
    made, inbox = calls
    text = DUMP.format(more=",freeze_quantity", freeze=",many")
    server.body, server.kind = text.encode(), "text/csv"
    made.add(cmd.OpenDay(1, Priority.READ, ("NSE:AAA",), NOW), NOW)
    made.dispatch(NOW)
    (opened,) = answers(inbox, 1)
    assert isinstance(opened, ev.DayOpened)
    assert opened.missing == ("NSE:AAA",)
