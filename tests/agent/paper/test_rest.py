"""REST over real sockets through the official client: shapes, errors, and what each call answers.

shapes.json holds the shapes of the broker's answers, field by field, as its mocks have them.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from kiteconnect import KiteConnect
from kiteconnect import exceptions as kite_errors

from agent.market.charges import order_charges
from agent.paper.access import REQUEST_TOKEN_MS, Access
from agent.paper.refusals import RequestRefused
from tests.agent.paper.lab import DAY, Running, at, start
from tests.agent.paper.published import SHAPES, misfits

ORDER = {"variety": "regular", "exchange": "NSE", "tradingsymbol": "A", "product": "MIS"}
BUY = ORDER | {"transaction_type": "BUY", "quantity": 10}


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory, minutes: Path) -> Iterator[Running]:
    """Return an exchange, 41 ms after the open, where a market order has been filled."""
    running = start(tmp_path_factory.mktemp("traded"), "--candles", str(minutes), "--lockstep")
    running.kite().place_order(**BUY, order_type="MARKET", market_protection=-1)
    now = running.post("join")["now"]
    running.post("ack", through=now)
    yield running
    assert running.stop() == 0


def raw(running: Running, method: str, path: str, **options: object) -> requests.Response:
    headers = {"Authorization": "token paper:paper"}
    return requests.request(method, running.rest + path, headers=headers, timeout=10, **options)


MARGIN_ORDER = {"exchange": "NSE", "tradingsymbol": "A", "transaction_type": "BUY",
                "variety": "regular", "product": "MIS", "order_type": "LIMIT", "quantity": 10,
                "price": 100, "trigger_price": 0}  # fmt: skip
NOTE = MARGIN_ORDER | {"order_id": "x", "average_price": 100}
#  the shape's name              method  path
CALLS = [
    ("GET /user/profile",        "GET",  "/user/profile",            {}),
    ("GET /user/margins",        "GET",  "/user/margins",            {}),
    ("GET /user/margins/equity", "GET",  "/user/margins/equity",     {}),
    ("GET /orders",              "GET",  "/orders",                  {}),
    ("GET /orders/{id}",         "GET",  "/orders/{order}",          {}),
    ("GET /orders/{id}/trades",  "GET",  "/orders/{order}/trades",   {}),
    ("GET /trades",              "GET",  "/trades",                  {}),
    ("GET /portfolio/positions", "GET",  "/portfolio/positions",     {}),
    ("GET /portfolio/holdings",  "GET",  "/portfolio/holdings",      {}),
    ("GET /quote",               "GET",  "/quote?i=NSE:A",           {}),
    ("GET /quote/ohlc",          "GET",  "/quote/ohlc?i=NSE:A",      {}),
    ("GET /quote/ltp",           "GET",  "/quote/ltp?i=NSE:A",       {}),
    ("POST /margins/orders",     "POST", "/margins/orders",          {"json": [MARGIN_ORDER]}),
    ("POST /margins/basket",     "POST", "/margins/basket?mode=",    {"json": [MARGIN_ORDER] * 2}),
    ("POST /charges/orders",     "POST", "/charges/orders",          {"json": [NOTE]}),
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS, ids=[call[0] for call in CALLS])
def test_an_answer_has_the_brokers_shape(traded: Running, call: tuple) -> None:
    name, method, path, options = call
    order_id = traded.kite().orders()[0]["order_id"]
    answer = raw(traded, method, path.replace("{order}", order_id), **options)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    shape = json.loads(json.dumps(SHAPES[name]).replace("NSE:INFY", "NSE:A"))
    assert misfits(shape, answer.json()) == []
    assert answer.headers["X-Paper-Time"] == str(traded.get("clock")["now"])


def advance(running: Running, ms: int) -> int:
    """Let the clock run so far; return where it stands."""
    through = int(str(running.get("clock")["now"])) + ms
    running.post("ack", through=through - 1, wake=through)
    return int(str(running.get("clock")["now"]))


def test_placing_modifying_and_cancelling_answer_the_order_id(traded: Running) -> None:
    kite = traded.kite()
    order_id = kite.place_order(**BUY, order_type="LIMIT", price=99)
    assert isinstance(order_id, str)
    advance(traded, 40)
    assert kite.modify_order("regular", order_id, price=98.5, quantity=20) == order_id
    advance(traded, 40)
    row = kite.orders()[-1]
    assert (row["price"], row["quantity"], row["status"]) == (98.5, 20, "OPEN")
    assert kite.cancel_order("regular", order_id) == order_id
    advance(traded, 40)
    assert [row["status"] for row in kite.order_history(order_id)] == [
        "PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "OPEN",
        "MODIFY VALIDATION PENDING", "MODIFY PENDING", "MODIFIED", "OPEN",
        "CANCEL PENDING", "CANCELLED",
    ]  # fmt: skip


def nowhere(kite: KiteConnect) -> KiteConnect:
    kite._routes = kite._routes | {"user.profile": "/nowhere"}
    return kite


#  id                       class                            code   call
ERRORS = [
    ("market unprotected",  kite_errors.InputException,      400,
     lambda k: k.place_order(**BUY, order_type="MARKET")),
    ("off the grid",        kite_errors.InputException,      400,
     lambda k: k.place_order(**BUY, order_type="LIMIT", price=99.999)),
    ("unknown symbol",      kite_errors.InputException,      400,
     lambda k: k.place_order(**BUY | {"tradingsymbol": "X"}, order_type="LIMIT", price=1)),
    ("unknown variety",     kite_errors.InputException,      400,
     lambda k: k.place_order(**BUY | {"variety": "bo"}, order_type="LIMIT", price=1)),
    ("unknown order",       kite_errors.OrderException,      400,
     lambda k: k.cancel_order("regular", "1")),
    ("history of none",     kite_errors.OrderException,      400,
     lambda k: k.order_history("1")),
    ("too long a span",     kite_errors.InputException,      400,
     lambda k: k.historical_data(25601, "2025-01-01", "2025-11-01", "minute")),
    ("an unknown token",    kite_errors.InputException,      400,
     lambda k: k.historical_data(1, "2025-10-01", "2025-11-01", "day")),
    ("mutual funds",        kite_errors.NetworkException,    503,
     lambda k: k.mf_instruments()),
    ("no such route",       kite_errors.GeneralException,    404,
     lambda k: nowhere(k).profile()),
]  # fmt: skip


@pytest.mark.parametrize("row", ERRORS, ids=[row[0] for row in ERRORS])
def test_an_error_is_the_clients_own_class(standing: Running, row: tuple) -> None:
    _, kind, code, call = row
    with pytest.raises(kind) as raised:
        call(standing.kite())
    assert raised.value.code == code
    assert type(raised.value) is kind


def test_a_wrong_token_is_a_token_exception_and_fires_the_hook(standing: Running) -> None:
    kite = standing.kite("wrong")
    fired: list[int] = []
    kite.set_session_expiry_hook(lambda: fired.append(1))
    with pytest.raises(kite_errors.TokenException) as raised:
        kite.profile()
    assert (raised.value.code, fired) == (403, [1])


def test_the_wrong_method_and_a_broken_body_are_told_apart(standing: Running) -> None:
    assert raw(standing, "DELETE", "/orders").status_code == 405
    broken = raw(standing, "POST", "/margins/orders", data="{",
                 ).json()  # fmt: skip
    assert broken["error_type"] == "InputException"


def test_a_login_needs_the_right_checksum_and_a_token_serves_once(standing: Running) -> None:
    kite = standing.kite(None)
    session = kite.generate_session("any-request-token", api_secret="paper")
    body = {"status": "success", "data": session | {"login_time": str(session["login_time"])}}
    assert misfits(SHAPES["POST /session/token"], body) == []
    assert kite.profile()["user_id"] == session["user_id"]
    with pytest.raises(kite_errors.TokenException):
        kite.generate_session("any-request-token", api_secret="paper")
    with pytest.raises(kite_errors.TokenException):
        kite.generate_session("another", api_secret="wrong")
    assert kite.invalidate_access_token() is True
    with pytest.raises(kite_errors.TokenException):
        kite.profile()


def request_token(running: Running, **fields: str) -> str:
    """Press the button of the login page, as a browser does."""
    asked = {"v": "3", "api_key": "paper", "redirect_params": "some=X&more=Y"} | fields
    page = requests.get(f"{running.rest}/connect/login", params=asked, timeout=10)
    hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))
    form = {name: html.unescape(value) for name, value in hidden.items()}
    done = requests.post(f"{running.rest}/connect/finish", data=form, timeout=10,
                         allow_redirects=False)  # fmt: skip
    assert done.status_code == 302
    told = urlsplit(done.headers["location"])
    query = dict(parse_qsl(told.query))
    assert (told.netloc, told.path) == ("127.0.0.1:9", "/back")
    assert (query["mine"], query["status"]) == ("1", "success")
    assert (query["some"], query["more"]) == ("X", "Y")
    return query["request_token"]


def test_the_login_page_knows_one_key_and_shows_a_token_without_a_redirect_url(
    standing: Running,
) -> None:
    page = f"{standing.rest}/connect/login?v=3&api_key="
    assert requests.get(f"{page}other", timeout=10).json()["error_type"] == "InputException"
    nasty = requests.get(f"{page}paper&redirect_params=%22%3E%3Cscript%3E", timeout=10)
    assert nasty.headers["content-type"].startswith("text/html")
    assert "<script>" not in nasty.text
    shown = requests.post(f"{standing.rest}/connect/finish", data={"api_key": "paper"}, timeout=10)
    token = re.findall("<code>(.+)</code>", shown.text)[0]
    assert standing.kite(None).generate_session(token, api_secret="paper")["access_token"]


def test_a_request_token_of_the_page_dies_within_minutes() -> None:
    access = Access(strict=False)
    token = access.request_token(1_000)
    told = hashlib.sha256(f"paper{token}paper".encode()).hexdigest()
    with pytest.raises(RequestRefused, match="expired"):
        access.login("paper", token, told, 1_000 + REQUEST_TOKEN_MS)
    assert access.login("paper", token, told, 999 + REQUEST_TOKEN_MS)


def test_strict_login_refuses_the_open_token_and_tokens_die_overnight(
    tmp_path: Path, days: Path
) -> None:
    running = start(tmp_path, "--candles", str(days), "--lockstep", "--strict-login",
                    "--first", "2025-11-02", "--ticks-per-day", "4",
                    "--redirect-url", "http://127.0.0.1:9/back?mine=1")  # fmt: skip
    try:
        with pytest.raises(kite_errors.TokenException):
            running.kite().profile()
        kite = running.kite(None)
        with pytest.raises(kite_errors.TokenException):
            kite.generate_session("r1", api_secret="paper")
        kite.generate_session(request_token(running), api_secret="paper")
        assert kite.profile()
        now = running.post("join")["now"]
        now = running.post("ack", through=at("08:00"))["now"]
        assert now == at("08:55")  # the clock has jumped over the night
        with pytest.raises(kite_errors.TokenException):
            kite.profile()
    finally:
        running.stop()


def test_the_eleventh_order_of_a_second_is_a_429(traded: Running) -> None:
    kite = traded.kite()
    advance(traded, 1_000)
    for n in range(10):
        kite.place_order(**BUY, order_type="LIMIT", price=99 - n)
    with pytest.raises(kite_errors.NetworkException) as raised:
        kite.place_order(**BUY, order_type="LIMIT", price=99)
    assert (raised.value.code, str(raised.value)) == (429, "Too many requests")
    advance(traded, 1_000)
    assert kite.place_order(**BUY, order_type="LIMIT", price=99)


def test_reads_are_counted_and_refused_only_when_asked_for(traded: Running) -> None:
    kite = traded.kite()
    advance(traded, 1_000)
    before = traded.get("audit")["over_budget"].get("quote", 0)
    for _ in range(3):
        kite.ltp("NSE:A")
    assert traded.get("audit")["over_budget"]["quote"] == before + 2
    assert traded.post("limits", reads=True) == {"reads": True}
    with pytest.raises(kite_errors.NetworkException):
        kite.quote("NSE:A")
    traded.post("limits", reads=False)


def test_the_dump_is_read_by_the_client(standing: Running) -> None:
    rows = {row["tradingsymbol"]: row for row in standing.kite().instruments("NSE")}
    assert rows["A"]["instrument_token"] % 256 == 1
    assert rows["A"]["tick_size"] == 0.01
    assert rows["NIFTY 50"]["segment"] == "INDICES"
    assert standing.kite().instruments("BSE") == []


def test_quotes_leave_out_what_is_not_known(standing: Running) -> None:
    quotes = standing.kite().quote(["NSE:A", "NSE:NOBODY", "NSE:NIFTY 50"])
    assert set(quotes) == {"NSE:A", "NSE:NIFTY 50"}
    depth = quotes["NSE:A"]["depth"]
    assert len(depth["buy"]) == len(depth["sell"]) == 5
    assert quotes["NSE:A"]["upper_circuit_limit"] == 120
    assert "depth" not in quotes["NSE:NIFTY 50"]


def test_history_is_what_has_passed(traded: Running) -> None:
    kite = traded.kite()
    token = kite.ltp("NSE:B")["NSE:B"]["instrument_token"]
    span = (f"{DAY} 09:15:00", f"{DAY} 15:30:00")
    traded.post("ack", through=at("09:18:30"))
    rows = kite.historical_data(token, *span, "minute", oi=True)
    assert [row["close"] for row in rows] == [100.0, 100.0, 98.0]
    assert rows[0]["date"].isoformat() == f"{DAY}T09:15:00+05:30"
    assert rows[0]["oi"] == 0
    assert kite.historical_data(token, *span, "day") == []


def test_charges_are_the_schedules_of_the_virtual_day(standing: Running) -> None:
    from decimal import Decimal

    (note,) = standing.kite().get_virtual_contract_note([NOTE | {"transaction_type": "SELL"}])
    want = order_charges(product="MIS", segment="NSE", transaction="SELL", quantity=10,
                         price=Decimal(100), on=DAY)  # fmt: skip
    assert round(note["charges"]["total"] * 100) == want.total
    assert round(note["charges"]["transaction_tax"] * 100) == want.stt


def test_the_checksum_of_the_login_is_the_documented_one(standing: Running) -> None:
    told = hashlib.sha256(b"paper" + b"rt-7" + b"paper").hexdigest()
    fields = {"api_key": "paper", "request_token": "rt-7", "checksum": told}
    assert requests.post(standing.rest + "/session/token", data=fields, timeout=10).ok


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/instruments/XXX", "exchange"),
        ("/instruments/historical/{}/day?from=2025-11-04&to=2025-11-03", "after"),
        ("/instruments/historical/{}/day?from=2025-11-03&to=2025-11-03&continuous=1", "continuous"),
    ],
)
def test_what_the_broker_has_no_answer_to_is_an_input_error(
    traded: Running, path: str, why: str
) -> None:
    token = traded.kite().ltp("NSE:A")["NSE:A"]["instrument_token"]
    told = raw(traded, "GET", path.format(token))
    assert (told.status_code, told.json()["error_type"]) == (400, "InputException")
    assert why in told.json()["message"]
