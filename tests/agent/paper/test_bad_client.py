"""Two small clients at the exchange, by the official client over sockets: what the audit counts.

One does everything wrong that it looks for, each thing apart and in a symbol of its own, so that
every count is seen to bite; the other does the same trade as it should be done, and has zeros.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kiteconnect.exceptions import NetworkException

from agent.paper.source import CandleSet
from tests.agent.paper.conftest import FLAT
from tests.agent.paper.lab import Running, minute_columns, start, write_csv
from tests.agent.paper.test_rest import BUY

MARKET = {"order_type": "MARKET", "market_protection": -1}
ZEROS = {"surplus_exits": 0, "stops_moved_back": 0, "duplicate_tags": 0, "over_budget": {}}


class Client:
    """A client in lock-step: it trades at an instant, then lets time pass."""

    def __init__(self, running: Running, symbol: str) -> None:
        self.running, self.kite, self.symbol = running, running.kite(), symbol
        joined = running.post("join")
        self.name, self.now = joined["client"], int(str(joined["now"]))
        self.pass_ms(61_000)  # nobody's calls are counted in this minute yet

    def enter(self, tag: str = "in") -> str:
        return self.place(**MARKET, tag=tag)

    def stop(self, trigger: float = 98, tag: str = "out", quantity: int = 10) -> str:
        return self.place(
            "SELL", quantity=quantity, order_type="SL", trigger_price=trigger, price=trigger - 1,
            tag=tag,
        )  # fmt: skip

    def place(self, side: str = "BUY", *, tag: str, **order: object) -> str:
        order = BUY | {"tradingsymbol": self.symbol, "transaction_type": side} | order
        return str(self.kite.place_order(**order, tag=f"{self.symbol}{tag}"))

    def pass_ms(self, length: int) -> None:
        until = self.now + length
        while self.now < until:
            moved = self.running.post("ack", client=self.name, through=self.now, wake=until)
            self.now = int(str(moved["now"]))

    def leave(self) -> None:
        """Wait for what is on its way, and let others trade."""
        self.pass_ms(100)
        self.running.post("leave", client=self.name)


def naked_for_ten_seconds(client: Client) -> None:
    client.enter()
    client.pass_ms(10_040)
    client.stop()


def two_exits(client: Client) -> None:
    client.enter()
    client.stop()
    client.pass_ms(100)
    client.place("SELL", order_type="LIMIT", price=105, tag="target")


def an_exit_too_large(client: Client) -> None:
    client.enter()
    client.stop(quantity=25)


def a_stop_moved_back(client: Client) -> None:
    client.enter()
    stop = client.stop()
    client.pass_ms(100)
    client.kite.modify_order("regular", stop, trigger_price=97, price=96)


def a_stop_replaced_by_a_worse_one(client: Client) -> None:
    client.enter()
    stop = client.stop()
    client.pass_ms(100)
    client.kite.cancel_order("regular", stop)
    client.pass_ms(41)
    client.stop(trigger=96, tag="out2")


def a_doubled_entry(client: Client) -> None:
    client.enter()
    client.enter()
    client.stop(quantity=20)


def reads_in_a_loop(client: Client) -> None:
    for _ in range(4):
        client.kite.ltp(f"NSE:{client.symbol}")
    for _ in range(12):
        client.kite.positions()


def orders_in_a_loop(client: Client) -> None:
    for n in range(10):
        client.place(order_type="LIMIT", price=95, tag=f"n{n}")
    with pytest.raises(NetworkException) as refused:
        client.enter()
    assert refused.value.code == 429


#  what it does, the counts that are not zero
DEEDS = [
    (naked_for_ten_seconds, {"max_unprotected_ms": 10_040}),
    (two_exits, {"surplus_exits": 1}),
    (an_exit_too_large, {"surplus_exits": 1}),
    (a_stop_moved_back, {"stops_moved_back": 1}),
    (a_stop_replaced_by_a_worse_one, {"stops_moved_back": 1, "max_unprotected_ms": 41}),
    (a_doubled_entry, {"duplicate_tags": 1}),
    (reads_in_a_loop, {"over_budget": {"quote": 3, "other": 2}}),
    (orders_in_a_loop, {"over_budget": {"orders": 1}}),
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return an exchange with a flat symbol for each deed."""
    home = tmp_path_factory.mktemp("clients")
    symbols = {f"NSE:S{n}": minute_columns(FLAT) for n in range(len(DEEDS) + 1)}
    candles = write_csv(home / "minutes.csv", CandleSet("minute", symbols))
    started = start(home / "home", "--candles", str(candles), "--lockstep")
    yield started
    assert started.stop() == 0


def counts(running: Running, symbol: str) -> dict:
    found = running.get("audit")
    trips = [trip for trip in found["positions"] if trip["symbol"] == f"NSE:{symbol}"]
    longest = max((trip["max_unprotected_ms"] for trip in trips), default=0)
    return {key: found[key] for key in ZEROS} | {"max_unprotected_ms": longest, "trips": trips}


def more(after: dict, before: dict) -> dict:
    """Return what was counted between two audits."""
    told = {key: after[key] - before[key] for key in ZEROS if key != "over_budget"}
    spent = {
        kind: count - before["over_budget"].get(kind, 0)
        for kind, count in after["over_budget"].items()
    }
    return told | {"over_budget": {kind: count for kind, count in spent.items() if count}}


@pytest.mark.parametrize("n", range(len(DEEDS)), ids=[row[0].__name__ for row in DEEDS])
def test_each_count_bites_and_no_other(running: Running, n: int) -> None:
    deed, want = DEEDS[n]
    client = Client(running, f"S{n}")
    before = counts(running, client.symbol)
    deed(client)
    client.leave()
    after = counts(running, client.symbol)
    expected = ZEROS | {key: value for key, value in want.items() if key in ZEROS}
    assert more(after, before) == expected
    longest = after["max_unprotected_ms"]
    assert longest == want.get("max_unprotected_ms", longest)
    assert "max_unprotected_ms" in want or longest <= 40


def test_a_client_that_does_it_right_has_zeros(running: Running) -> None:
    client = Client(running, f"S{len(DEEDS)}")
    before = counts(running, client.symbol)
    client.enter("e1")
    stop = client.stop(tag="x1")  # at the exchange in the same instant as the fill
    client.pass_ms(2_000)
    client.kite.ltp(f"NSE:{client.symbol}")
    client.kite.modify_order("regular", stop, trigger_price=98.5, price=97.5)
    client.pass_ms(2_000)
    assert client.kite.order_history(stop)[-1]["status"] == "TRIGGER PENDING"
    client.kite.modify_order("regular", stop, order_type="MARKET", market_protection=-1)
    client.leave()
    after = counts(running, client.symbol)
    assert more(after, before) == ZEROS
    (trip,) = after["trips"]
    assert (trip["side"], trip["quantity_max"], trip["unprotected"]) == ("LONG", 10, [])
    assert trip["closed_ms"] is not None
