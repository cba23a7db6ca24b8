"""Every public call of the official client, over sockets, against the broker's published shapes.

The list of calls is the client's own: a method that no row here drives is a failure, and so is an
operation of shapes.json that no row answers. A shape is walked all the way down; where the sample
holds a list, the answer must hold a row, so that an empty list proves nothing.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator

import pytest
from kiteconnect import KiteConnect
from kiteconnect import exceptions as kite_errors

from tests.agent.paper.lab import Running, Ticker, at, start, until, wander, write_csv
from tests.agent.paper.published import SHAPES, misfits

SYMBOL = "AAA"
KEY = f"NSE:{SYMBOL}"
OF = {"exchange": "NSE", "tradingsymbol": SYMBOL}
SETTERS = {"set_access_token", "set_session_expiry_hook", "login_url"}  # they call nothing


class Told(KiteConnect):
    """The official client; it keeps the body of the last answer."""

    last: object = None

    def _request(self, *args: object, **named: object) -> object:
        original = self.reqsession.request

        def told(*inner: object, **options: object) -> object:
            answer = original(*inner, **options)
            if "json" in answer.headers["content-type"]:
                self.last = answer.json()
            return answer

        self.reqsession.request = told
        try:
            return super()._request(*args, **named)
        finally:
            self.reqsession.request = original


class World:
    """An exchange on its second day: shares held, an order resting, one filled, a GTT waiting."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.kite = Told("paper", access_token="paper", root=running.rest)
        self.ticker = Ticker(running.ticker)
        assert self.ticker.opened.wait(15)
        running.post("join")
        self.filled = self.kite.place_order(
            "regular", **OF, transaction_type="BUY", quantity=50, product="CNC",
            order_type="MARKET", market_protection=-1,
        )  # fmt: skip
        open_ms = at("09:15")
        now = running.post("ack", through=open_ms - 1, wake=open_ms)["now"]
        assert now == open_ms
        self.now = now
        self.token = self.kite.ltp(KEY)[KEY]["instrument_token"]
        self.price = self.kite.ltp(KEY)[KEY]["last_price"]
        self.filled = self.order("MARKET", quantity=20, market_protection=-1, tag="filled")
        self.step()
        self.gtt = self.place_gtt()

    def step(self, ms: int = 50) -> None:
        wake = self.now + ms
        while self.now < wake:
            self.now = self.running.post("ack", through=self.now, wake=wake)["now"]

    def near(self, percent: float) -> float:
        return round(round(self.price * (100 + percent) / 100 / 0.05) * 0.05, 2)

    def order(self, order_type: str = "LIMIT", variety: str = "regular", **fields: object) -> str:
        """Place an order, not more than ten in a virtual second."""
        self.step(200)
        asked = OF | {"transaction_type": "BUY", "quantity": 1, "product": "MIS"} | fields
        if order_type == "LIMIT":
            asked = {"price": self.near(-5)} | asked
        return self.kite.place_order(variety, order_type=order_type, **asked)

    def place_gtt(self) -> int:
        sell = {"transaction_type": "SELL", "quantity": 1, "order_type": "LIMIT",
                "product": "CNC", "price": self.near(-8)}  # fmt: skip
        made = self.kite.place_gtt("single", SYMBOL, "NSE", [self.near(-7)], self.price, [sell])
        return made["trigger_id"]

    def margin_order(self) -> dict[str, object]:
        return OF | {"transaction_type": "BUY", "variety": "regular", "product": "MIS",
                     "order_type": "LIMIT", "quantity": 5, "price": self.price,
                     "trigger_price": 0}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("endpoints")
    candles = write_csv(home / "days.csv", wander(11, 20))
    running = start(home, "--candles", str(candles), "--lockstep", "--first", "2025-11-02",
                    "--ticks-per-day", "1500")  # fmt: skip
    one = World(running)
    yield one
    one.ticker.close()
    assert running.stop() == 0


def modified(w: World) -> None:
    order_id = w.order()
    w.step()
    assert w.kite.modify_order("regular", order_id, price=w.near(-6)) == order_id


def cancelled(w: World) -> None:
    order_id = w.order()
    w.step()
    assert w.kite.cancel_order("regular", order_id) == order_id


def exited(w: World) -> None:
    order_id = w.order(variety="co", trigger_price=w.near(-9))
    w.step()
    assert w.kite.exit_order("co", order_id) == order_id


def modified_gtt(w: World) -> None:
    sell = {"transaction_type": "SELL", "quantity": 1, "order_type": "LIMIT",
            "product": "CNC", "price": w.near(-9)}  # fmt: skip
    made = w.kite.modify_gtt(w.gtt, "single", SYMBOL, "NSE", [w.near(-8)], w.price, [sell])
    assert made == {"trigger_id": w.gtt}


def deleted_gtt(w: World) -> None:
    gtt_id = w.place_gtt()
    assert w.kite.delete_gtt(gtt_id) == {"trigger_id": gtt_id}
    assert w.kite.get_gtt(gtt_id)["status"] == "deleted"


def sliced(w: World) -> None:
    told = w.kite.place_autoslice_order(
        "regular", **OF, transaction_type="BUY", quantity=100_001, product="MIS",
        order_type="LIMIT", price=w.near(-5),
    )  # fmt: skip
    assert [set(child) for child in told["children"]] == [{"order_id"}, {"order_id"}]
    assert told["order_id"] == told["children"][0]["order_id"]


def converted(w: World) -> None:
    assert w.kite.convert_position(
        "NSE", SYMBOL, "BUY", "day", 1, "MIS", "CNC"
    ) is True  # fmt: skip


def logged_in(w: World) -> None:
    kite = Told("paper", root=w.running.rest)
    kite.generate_session("endpoints", "paper")
    w.kite.last = kite.last


def logged_out(w: World) -> None:
    kite = KiteConnect("paper", root=w.running.rest)
    kite.generate_session("endpoints-out", "paper")
    assert kite.invalidate_access_token() is True


def past(w: World) -> None:
    rows = w.kite.historical_data(w.token, "2025-10-01", "2025-11-03", "day")
    assert {type(row["close"]) for row in rows} <= {int, float}


#  the client's method           the shape's name               call
CALLS: list[tuple[str, str, Callable[[World], object]]] = [
    ("profile",                  "GET /user/profile",           lambda w: w.kite.profile()),
    ("margins",                  "GET /user/margins",           lambda w: w.kite.margins()),
    ("margins",                  "GET /user/margins/equity",    lambda w: w.kite.margins("equity")),
    ("place_order",              "POST /orders/regular",        lambda w: w.order()),
    ("modify_order",             "PUT /orders",                 modified),
    ("cancel_order",             "DELETE /orders",              cancelled),
    ("exit_order",               "DELETE /orders",              exited),
    ("place_autoslice_order",    "POST /orders/regular",        sliced),
    ("orders",                   "GET /orders",                 lambda w: w.kite.orders()),
    ("order_history",            "GET /orders/{id}", lambda w: w.kite.order_history(w.filled)),
    ("order_trades",             "GET /orders/{id}/trades",
     lambda w: w.kite.order_trades(w.filled)),
    ("trades",                   "GET /trades",                 lambda w: w.kite.trades()),
    ("positions",                "GET /portfolio/positions",    lambda w: w.kite.positions()),
    ("holdings",                 "GET /portfolio/holdings",     lambda w: w.kite.holdings()),
    ("convert_position",         "",                            converted),
    ("get_auction_instruments",  "", lambda w: w.kite.get_auction_instruments()),
    ("instruments",              "", lambda w: w.kite.instruments("NSE")[0]["tick_size"]),
    ("quote",                    "GET /quote",                  lambda w: w.kite.quote(KEY)),
    ("ohlc",                     "GET /quote/ohlc",             lambda w: w.kite.ohlc(KEY)),
    ("ltp",                      "GET /quote/ltp",              lambda w: w.kite.ltp(KEY)),
    ("trigger_range",            "", lambda w: w.kite.trigger_range("BUY", KEY)[KEY]["lower"]),
    ("historical_data",          "GET /instruments/historical", past),
    ("get_gtts",                 "GET /gtt/triggers",           lambda w: w.kite.get_gtts()),
    ("get_gtt",                  "GET /gtt/triggers/{id}",      lambda w: w.kite.get_gtt(w.gtt)),
    ("place_gtt",                "POST /gtt/triggers",          World.place_gtt),
    ("modify_gtt",               "POST /gtt/triggers",          modified_gtt),
    ("delete_gtt",               "",                            deleted_gtt),
    ("order_margins",            "POST /margins/orders",
     lambda w: w.kite.order_margins([w.margin_order()])),
    ("basket_order_margins",     "POST /margins/basket",
     lambda w: w.kite.basket_order_margins([w.margin_order()] * 2)),
    ("get_virtual_contract_note", "POST /charges/orders",
     lambda w: w.kite.get_virtual_contract_note(
         [w.margin_order() | {"order_id": "x", "average_price": w.price}])),
    ("generate_session",         "POST /session/token",         logged_in),
    ("invalidate_access_token",  "",                            logged_out),
]  # fmt: skip

#  the client's method   class                        code  call
REFUSALS = [
    ("renew_access_token",       kite_errors.TokenException,   403,
     lambda w: Told("paper", root=w.running.rest).renew_access_token("r", "paper")),
    ("mf_orders",                kite_errors.NetworkException, 503, lambda w: w.kite.mf_orders()),
    ("mf_orders",                kite_errors.NetworkException, 503,
     lambda w: w.kite.mf_orders("1")),
    ("place_mf_order",           kite_errors.NetworkException, 503,
     lambda w: w.kite.place_mf_order("INF", "BUY", amount=1000)),
    ("cancel_mf_order",          kite_errors.NetworkException, 503,
     lambda w: w.kite.cancel_mf_order("1")),
    ("mf_sips",                  kite_errors.NetworkException, 503, lambda w: w.kite.mf_sips()),
    ("mf_sips",                  kite_errors.NetworkException, 503, lambda w: w.kite.mf_sips("1")),
    ("place_mf_sip",             kite_errors.NetworkException, 503,
     lambda w: w.kite.place_mf_sip("INF", 1000, 10, "monthly")),
    ("modify_mf_sip",            kite_errors.NetworkException, 503,
     lambda w: w.kite.modify_mf_sip("1", status="paused")),
    ("cancel_mf_sip",            kite_errors.NetworkException, 503,
     lambda w: w.kite.cancel_mf_sip("1")),
    ("mf_holdings",              kite_errors.NetworkException, 503, lambda w: w.kite.mf_holdings()),
    ("mf_instruments",           kite_errors.NetworkException, 503,
     lambda w: w.kite.mf_instruments()),
]  # fmt: skip
BY_ITSELF = {"invalidate_refresh_token": "it is the same call as invalidate_access_token"}


def test_every_public_method_of_the_client_is_driven_here() -> None:
    public = {
        name
        for name, _ in inspect.getmembers(KiteConnect, inspect.isfunction)
        if not name.startswith("_")
    }
    driven = {row[0] for row in CALLS} | {row[0] for row in REFUSALS}
    assert public - driven - SETTERS - set(BY_ITSELF) == set()


def test_every_operation_of_the_published_shapes_is_answered_here() -> None:
    assert set(SHAPES) - {row[1] for row in CALLS} - {"ws order update"} == set()


@pytest.mark.parametrize("row", CALLS, ids=[f"{row[0]}-{n}" for n, row in enumerate(CALLS)])
def test_a_call_answers_with_the_published_shape(world: World, row: tuple) -> None:
    _, name, call = row
    world.kite.last = None
    call(world)
    if name:
        shape = json.loads(json.dumps(SHAPES[name]).replace("NSE:INFY", KEY))
        assert misfits(shape, world.kite.last, name, rows=True) == []
    world.step(1_100)


@pytest.mark.parametrize("row", REFUSALS, ids=[f"{row[0]}-{n}" for n, row in enumerate(REFUSALS)])
def test_a_call_that_is_not_offered_raises_the_clients_own_class(world: World, row: tuple) -> None:
    _, kind, code, call = row
    with pytest.raises(kind) as raised:
        call(world)
    assert raised.value.code == code
    world.step(1_100)


def test_an_order_update_has_the_published_shape(world: World) -> None:
    before = len(world.ticker.updates)
    world.order("MARKET", market_protection=-1)
    world.step()
    assert until(lambda: len(world.ticker.updates) > before)
    assert misfits(SHAPES["ws order update"], world.ticker.updates[-1], "update") == []


def test_contracts_are_refused_in_the_brokers_words(world: World) -> None:
    with pytest.raises(kite_errors.InputException, match="not enabled for trading in the segment"):
        world.order(exchange="NFO", tradingsymbol="NIFTY26NOVFUT")
    with pytest.raises(kite_errors.InputException, match="no auction of this number"):
        world.order(variety="auction", auction_number="22", transaction_type="SELL")
