"""What counts to the day's 5,000 orders, and that the count outlives a restart."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from agent.paper.limits import BUDGETS, DAY_MS, ORDERS
from tests.agent.paper.test_fault_edges import LIMIT, MARKET, STOP, Desk, told

DAY_MOST = dict(BUDGETS[ORDERS])[DAY_MS]
ICEBERG = LIMIT | {"quantity": "50", "iceberg_legs": "5"}
CONDITION = {"exchange": "NSE", "tradingsymbol": "A", "trigger_values": [98.0], "last_price": 100}
LEG = {"exchange": "NSE", "tradingsymbol": "A", "transaction_type": "BUY", "quantity": 1,
       "order_type": "LIMIT", "product": "CNC", "price": 98.0}  # fmt: skip
GTT = {"type": "single", "condition": json.dumps(CONDITION), "orders": json.dumps([LEG])}

#  id                        path                form                        status  counts as
COUNTED = [
    ("an order",             "/orders/regular",  LIMIT,                      200,    1),
    ("one that is refused",  "/orders/regular",  LIMIT | {"quantity": "0"},  400,    1),
    ("an iceberg's legs",    "/orders/iceberg",  ICEBERG,                    200,    5),
    ("an iceberg refused",   "/orders/iceberg",  ICEBERG | {"price": ""},    400,    1),
    ("a GTT that waits",     "/gtt/triggers",    GTT,                        200,    0),
]  # fmt: skip


@pytest.mark.parametrize("row", COUNTED, ids=[row[0] for row in COUNTED])
def test_what_counts_to_the_day(tmp_path: Path, row: tuple) -> None:
    _, path, form, status, counts = row
    desk = Desk(tmp_path)
    assert desk.call("POST", path, form).status == status
    assert desk.service.limits.day_spent[1] == counts
    desk.store.close()


def test_a_modification_and_a_cancel_do_not_count(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    order = desk.place(LIMIT)
    desk.pass_ms(50)
    assert desk.call("PUT", f"/orders/regular/{order}", {"price": "96"}).status == 200
    desk.pass_ms(50)
    assert desk.call("DELETE", f"/orders/regular/{order}").status == 200
    assert desk.service.limits.day_spent[1] == 1
    desk.store.close()


def test_a_gtt_counts_when_it_fires_and_a_restart_forgets_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert desk.call("POST", "/gtt/triggers", GTT).status == 200
    desk.place(MARKET)
    desk.pass_ms(300_000)  # through 98
    assert desk.orders()[-1]["product"] == "CNC"
    assert desk.service.limits.day_spent[1] == 2
    desk.store.close()
    desk.open()
    assert desk.service.limits.day_spent[1] == 2
    desk.service.limits.count_by_day(DAY_MOST - 2, desk.exchange.now_ms)
    assert told(desk.call("POST", "/orders/regular", STOP)) == (429, "NetworkException")
    desk.store.close()


def test_a_days_roll_and_its_instant_are_one_transaction(tmp_path: Path) -> None:
    """A crash between the two would leave yesterday's instant over today's positions."""
    desk = Desk(tmp_path)
    desk.place(MARKET)
    desk.pass_ms(100)
    before = _kept(tmp_path)
    desk.store._db.execute(
        "CREATE TEMP TRIGGER torn BEFORE INSERT ON meta WHEN NEW.key = 'instant' "
        "BEGIN SELECT RAISE(ABORT, 'killed here'); END"
    )
    desk.service._day = -1  # as after a night
    desk.exchange.books.positions.clear()
    with pytest.raises(sqlite3.Error, match="killed here"):
        desk.service.publish(desk.exchange.instant())
    desk.store._db.execute("ROLLBACK")  # what the file's next opening does after a kill
    assert _kept(tmp_path) == before
    desk.store.close()


def _kept(home: Path) -> list[tuple]:
    with sqlite3.connect(home / "exchange.db") as db:
        return db.execute("SELECT symbol, quantity FROM positions").fetchall()
