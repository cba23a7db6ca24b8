"""The audit: what is found in the exchange's own events, row by row."""

from __future__ import annotations

import pytest

from agent.paper.audit import Audit

S, B = "SELL", "BUY"


def events(text: str) -> list[dict]:
    """Read one event a line: `ms order kind transaction fields`."""
    found = []
    for line in text.strip().splitlines():
        ms, order_id, kind, transaction, *rest = line.split()
        event = {"kind": kind, "ms": int(ms), "order_id": order_id, "symbol": "NSE:A",
                 "product": "MIS", "transaction": transaction}  # fmt: skip
        numbers = [int(n) for n in rest if n.isdigit()]
        if kind == "placed":
            event["tag"] = rest[0] if rest else None
        elif kind == "stands":
            event["pending"], event["trigger"] = numbers
        elif kind == "fill":
            event["quantity"], event["price"], event["pending"] = numbers
        elif kind == "charge":
            event["paise"] = numbers[0]
        found.append(event)
    return found


def audit(text: str, now: int = 1_000) -> dict:
    fold = Audit()
    for event in events(text):
        fold.apply(event)
    return fold.document(now, {"NSE:A": 100})


GREW = """0 e fill BUY 5 100 5
9 s stands SELL 5 95
20 e fill BUY 5 100 0
30 s stands SELL 10 95"""
SECOND = "60 e2 fill BUY 10 80 0\n70 t stands SELL 10 76"
ENTRY = "0 e fill BUY 10 100 0\n"
#  id, events, spans without protection
SPANS = [
    ("a stop at once", ENTRY + "40 s stands SELL 10 95", [[0, 40]]),
    ("a stop that stood before", "0 s stands SELL 10 95\n5 e fill BUY 10 100 0", []),
    ("never a stop", ENTRY, [[0, 1000]]),
    ("a stop for too little", ENTRY + "40 s stands SELL 6 95", [[0, 1000]]),
    ("two stops for all of it", ENTRY + "40 s stands SELL 6 95\n50 t stands SELL 4 95", [[0, 50]]),
    ("a stop cancelled",
     ENTRY + "40 s stands SELL 10 95\n70 s gone SELL\n90 t stands SELL 10 95", [[0, 40], [70, 90]]),
    ("flat without one", ENTRY + "60 x fill SELL 10 101 0", [[0, 60]]),
    ("the entry grew",
     GREW, [[0, 9], [20, 30]]),
    ("a limit exit protects", ENTRY + "40 x stands SELL 10 0", [[0, 40]]),
    ("a short, mirrored", "0 e fill SELL 10 100 0\n40 s stands BUY 10 105", [[0, 40]]),
    ("a buy is no exit of a long", ENTRY + "40 x stands BUY 10 0", [[0, 1000]]),
]  # fmt: skip


@pytest.mark.parametrize("row", SPANS, ids=[row[0] for row in SPANS])
def test_an_interval_without_protection(row: tuple) -> None:
    _, text, want = row
    found = audit(text)
    assert found["positions"][0]["unprotected"] == want
    assert found["max_unprotected_ms"] == max((b - a for a, b in want), default=0)


STOPPED = ENTRY + "40 s stands SELL 10 95\n"
#  id, events, (surplus exits, stops moved back)
FINDINGS = [
    ("as it should be",
     STOPPED + "50 s stands SELL 10 96\n60 s fill SELL 10 96 0\n60 s gone SELL", (0, 0)),
    ("two exits live",      STOPPED + "50 x stands SELL 10 0",                        (1, 0)),
    ("two exits, twice",
     STOPPED + "50 x stands SELL 10 0\n60 x gone SELL\n70 y stands SELL 1 0", (2, 0)),
    ("exit too large",      ENTRY + "40 s stands SELL 11 95",                         (1, 0)),
    ("a part fill shrinks both", STOPPED + "50 s fill SELL 4 95 6",                   (0, 0)),
    ("a stop lowered",      STOPPED + "50 s stands SELL 10 94",                       (0, 1)),
    ("lowered and raised",  STOPPED + "50 s stands SELL 10 94\n60 s stands SELL 10 99", (0, 1)),
    ("replaced by a worse", STOPPED + "50 s gone SELL\n60 t stands SELL 10 94",       (0, 1)),
    ("a part fill is no move", STOPPED + "50 s stands SELL 6 95",                     (0, 0)),
    ("turned into a limit", STOPPED + "50 s stands SELL 10 0",                        (0, 0)),
    ("a short's stop raised",
     "0 e fill SELL 10 100 0\n5 s stands BUY 10 105\n9 s stands BUY 10 106", (0, 1)),
    ("a short's stop lowered",
     "0 e fill SELL 10 100 0\n5 s stands BUY 10 105\n9 s stands BUY 10 104", (0, 0)),
    ("the next position begins anew",
     STOPPED + "50 s fill SELL 10 95 0\n50 s gone SELL\n" + SECOND, (0, 0)),
]  # fmt: skip


@pytest.mark.parametrize("row", FINDINGS, ids=[row[0] for row in FINDINGS])
def test_surplus_exits_and_stops_moved_back(row: tuple) -> None:
    _, text, want = row
    found = audit(text)
    assert (found["surplus_exits"], found["stops_moved_back"]) == want


def test_a_tag_used_twice_is_found() -> None:
    text = "0 a placed BUY x\n1 b placed BUY y\n2 c placed SELL x\n3 d placed BUY\n4 e placed BUY"
    assert audit(text)["duplicate_tags"] == 1
    assert audit(text)["orders"] == 5


def test_a_fill_through_zero_closes_one_position_and_opens_the_other() -> None:
    found = audit(ENTRY + "0 e charge BUY 3\n50 x fill SELL 15 110 0\n50 x charge SELL 4")
    first, second = found["positions"]
    assert (first["side"], first["closed_ms"], first["gross_pnl_paise"]) == ("LONG", 50, 100)
    assert (second["side"], second["opened_ms"], second["closed_ms"]) == ("SHORT", 50, None)
    assert found["final_position"] == {"NSE:A": -5}
    assert found["gross_pnl_paise"] == 15 * 110 - 10 * 100 - 5 * 100
    assert (found["charges_paise"], found["net_pnl_paise"]) == (7, 150 - 7)


def test_the_same_events_give_the_same_audit() -> None:
    text = STOPPED + "50 s fill SELL 4 95 6\n60 s stands SELL 6 97"
    assert audit(text) == audit(text)


def test_beyond_what_is_listed_the_oldest_closed_trips_leave_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "\n".join(
        f"{100 * n} e{n} fill BUY 1 100 0\n{100 * n + n} x{n} fill SELL 1 101 0"
        for n in range(9, 0, -1)  # the longest without protection first: it is let go of
    )
    whole = audit(text)
    monkeypatch.setattr("agent.paper.audit.TRIPS_MAX", 4)
    told = audit(text)
    assert (len(whole["positions"]), whole["positions_before"]) == (9, 0)
    assert (told["positions"], told["positions_before"]) == (whole["positions"][-4:], 5)
    assert told["max_unprotected_ms"] == 9
    same = {"positions", "positions_before"}
    assert {k: v for k, v in told.items() if k not in same} == {
        k: v for k, v in whole.items() if k not in same
    }


def test_a_trip_that_is_open_is_never_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.paper.audit.TRIPS_MAX", 1)
    fold = Audit()
    for key in "AB":
        for event in events("0 e fill BUY 1 100 0"):
            fold.apply(event | {"symbol": f"NSE:{key}"})
    assert [trip.symbol for trip in fold.trips] == ["NSE:A", "NSE:B"]
