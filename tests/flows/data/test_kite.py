"""The broker's candles: spans, budget, faults, continuation; then over real sockets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from kiteconnect import exceptions

from agent.errors import Refused, Retryable, SettingRefused
from agent.kite.budget import Budget
from agent.market.sessions import IST
from flows.data.frame import ts_ms
from flows.data.intake import ingest
from flows.data.manifest import Facts
from flows.data.sources import Request
from flows.data.sources.kite import Asked, KiteSource, refuse_in_market_hours
from flows.data.sources.kite_history import ATTEMPTS_MAX, SPAN_DAYS, History, Wait
from flows.data.store import CandleStore
from flows.home import Home

FIRST, LAST = date(2025, 1, 1), date(2025, 12, 31)


class Broker:
    """A stand-in for the broker's client: day candles of weekdays, and faults in a row."""

    def __init__(self, factor: float = 1.0, faults: list[Exception] | None = None) -> None:
        self.factor = factor
        self.faults = faults or []
        self.asked: list[tuple[int, str, str]] = []

    def instruments(self, exchange: str) -> list[Mapping[str, Any]]:
        assert exchange == "NSE"
        return [
            {"tradingsymbol": name, "instrument_token": token}
            for name, token in (("A", 1), ("B", 2))
        ]

    def historical_data(
        self, instrument_token: int, from_date: str, to_date: str, interval: str
    ) -> list[Mapping[str, Any]]:
        if self.faults:
            raise self.faults.pop(0)
        self.asked.append((instrument_token, from_date[:10], to_date[:10]))
        start, stop = date.fromisoformat(from_date[:10]), date.fromisoformat(to_date[:10])
        days = [start + timedelta(n) for n in range((stop - start).days + 1)]
        assert len(days) <= SPAN_DAYS[interval]
        return [
            {
                "date": datetime(on.year, on.month, on.day, tzinfo=IST),
                "open": 100.0 * self.factor, "high": 102.0 * self.factor,
                "low": 99.0 * self.factor, "close": (100 + on.day / 100) * self.factor,
                "volume": 1000 + on.day,
            }
            for on in days if on.weekday() < 5
        ]  # fmt: skip


class Clock:
    """Virtual time: sleeping moves it."""

    def __init__(self) -> None:
        self.ms = 1_764_000_000_000
        self.calls_ms: list[int] = []

    def sleep(self, seconds: float) -> None:
        self.ms += max(1, int(seconds * 1000))

    @property
    def wait(self) -> Wait:
        return Wait(lambda: self.ms, self.sleep)


@pytest.fixture
def budget(tmp_path: Path) -> Iterator[Budget]:
    made = Budget(tmp_path / "kite", "key")
    yield made
    made.close()


def test_long_histories_are_asked_for_in_spans_that_the_broker_allows(budget: Budget) -> None:
    broker, clock = Broker(), Clock()
    history = History(broker, budget, clock.wait)
    ms, values = history.candles(1, "60minute", date(2023, 1, 1), LAST)
    assert [(a, b) for _, a, b in broker.asked] == [
        ("2023-01-01", "2024-02-04"),
        ("2024-02-05", "2025-03-10"),
        ("2025-03-11", "2025-12-31"),
    ]
    assert len(np.unique(ms)) == len(ms) == len(values["close"])
    assert (np.diff(ms) > 0).all()


def test_never_more_than_three_calls_in_a_second(budget: Budget) -> None:
    broker, clock = Broker(), Clock()
    sent = []
    real = broker.historical_data

    def noted(*arguments: Any) -> Any:
        sent.append(clock.ms)
        return real(*arguments)

    broker.historical_data = noted  # type: ignore[method-assign]
    history = History(broker, budget, clock.wait)
    for _ in range(12):
        history.candles(1, "day", FIRST, LAST)
    assert all(sent[i + 3] - sent[i] > 1000 for i in range(len(sent) - 3))


NETWORK = exceptions.NetworkException("Too many requests", code=429)
LOGIN = "blocked: log in"
FAULTS = [
    ("busy, then well", [NETWORK, NETWORK],                           None,              ""),
    ("a time-out",      [requests.Timeout("slow")],                   None,              ""),
    ("an odd reply",    [KeyError("data")],                           None,              ""),
    ("never well",      [NETWORK] * ATTEMPTS_MAX,                     Retryable,         "again"),
    ("a dead token",    [exceptions.TokenException("expired")],       Refused,           LOGIN),
    ("no data plan",    [exceptions.PermissionException("no")],       Refused,           LOGIN),
    ("a wrong request", [exceptions.InputException("invalid token")], SettingRefused,    "token"),
    ("a bug of ours",   [ZeroDivisionError("bug")],                   ZeroDivisionError, "bug"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "faults", "ends", "told"), FAULTS, ids=[row[0] for row in FAULTS])
def test_faults_are_retried_or_named(
    budget: Budget, case: str, faults: list[Exception], ends: Any, told: str
) -> None:
    history = History(Broker(faults=list(faults)), budget, Clock().wait)
    if ends is None:
        ms, _ = history.candles(1, "day", FIRST, LAST)
        assert len(ms) == 261
        assert history.calls == len(faults) + 1
    else:
        with pytest.raises(ends, match=told):
            history.candles(1, "day", FIRST, LAST)


def source(
    broker: Broker, budget: Budget, store: CandleStore, last: date, first: date | None = FIRST
) -> KiteSource:
    history = History(broker, budget, Clock().wait)
    kept = store.folder("kite").parent / "kept"
    return KiteSource(Asked("kite", "day", ("NSE:A", "NSE:Z"), first, last), history, store, kept)


def commit(store: CandleStore, taken: KiteSource) -> Any:
    with store.writing("kite") as writer:
        frame = taken.read("NSE:A")
        writer.commit(taken.facts, writer.put(frame, "day"), sessions=[], quality={})
    return frame


@pytest.fixture
def store(tmp_path: Path) -> CandleStore:
    home = Home(tmp_path / "home")
    home.candles.mkdir(parents=True)
    return CandleStore(home)


def test_a_stored_dataset_is_continued_not_read_again(store: CandleStore, budget: Budget) -> None:
    broker = Broker()
    commit(store, source(broker, budget, store, date(2025, 6, 30)))
    broker.asked.clear()
    longer = source(broker, budget, store, LAST, first=None)
    assert [skip.name for skip in longer.skipped] == ["NSE:Z"]
    frame = commit(store, longer)
    assert broker.asked == [(1, "2025-06-23", "2025-12-31")]
    assert len(frame) == 261
    assert "anew" not in longer.facts.notes


def test_a_history_that_the_broker_adjusted_is_read_anew_and_said(
    store: CandleStore, budget: Budget
) -> None:
    commit(store, source(Broker(), budget, store, date(2025, 6, 30)))
    longer = source(Broker(factor=0.5), budget, store, LAST, first=None)
    frame = commit(store, longer)
    assert len(frame) == 261
    assert frame["open"].max() == 50.0  # no old price stands beside a new one
    assert "1 symbols read anew" in longer.facts.notes


def test_an_interrupted_run_goes_on_with_what_it_had_read(
    store: CandleStore, budget: Budget
) -> None:
    broker = Broker()
    source(broker, budget, store, LAST).read("NSE:A")  # and dies before the commit
    broker.asked.clear()
    second = source(broker, budget, store, LAST)
    frame = commit(store, second)
    assert broker.asked == []
    assert len(frame) == 261
    second.finish()
    source(broker, budget, store, date(2025, 12, 30), first=date(2024, 1, 1)).read("NSE:A")
    assert broker.asked != []


def test_an_earlier_first_day_reads_the_whole(store: CandleStore, budget: Budget) -> None:
    broker = Broker()
    commit(store, source(broker, budget, store, date(2025, 6, 30)))
    frame = commit(store, source(broker, budget, store, LAST, first=date(2024, 12, 2)))
    assert str(frame["ts"].iloc[0].date()) == "2024-12-02"
    assert frame["ts"].is_unique


def test_nothing_listed_is_refused(store: CandleStore, budget: Budget) -> None:
    history = History(Broker(), budget, Clock().wait)
    with pytest.raises(SettingRefused, match="NSE:Q"):
        KiteSource(Asked("kite", "day", ("NSE:Q",), None, LAST), history, store, Path())


LIVE, PAPER = "https://api.kite.trade", "http://127.0.0.1:13030"
HOURS = [
    ("before nine",     LIVE,  datetime(2025, 11, 24, 8, 59, tzinfo=IST), False),
    ("at nine",         LIVE,  datetime(2025, 11, 24, 9, 0, tzinfo=IST), True),
    ("at noon",         LIVE,  datetime(2025, 11, 24, 12, 0, tzinfo=IST), True),
    ("after the close", LIVE,  datetime(2025, 11, 24, 15, 36, tzinfo=IST), False),
    ("on a Sunday",     LIVE,  datetime(2025, 11, 23, 12, 0, tzinfo=IST), False),
    ("on a holiday",    LIVE,  datetime(2025, 12, 25, 12, 0, tzinfo=IST), False),
    ("on paper",        PAPER, datetime(2025, 11, 24, 12, 0, tzinfo=IST), False),
]  # fmt: skip


@pytest.mark.parametrize(("case", "root", "at", "refused"), HOURS, ids=[row[0] for row in HOURS])
def test_the_live_key_is_the_agents_in_market_hours(
    case: str, root: str, at: datetime, refused: bool
) -> None:
    if refused:
        with pytest.raises(Refused, match="blocked: market hours"):
            refuse_in_market_hours(root, at)
    else:
        refuse_in_market_hours(root, at)


def test_candles_come_over_the_wire_with_the_brokers_own_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agent.paper.source import read_candles
    from tests.agent.paper.lab import DAY, start, wander, write_csv

    candles = write_csv(tmp_path / "days.csv", wander(11, 20))
    running = start(tmp_path / "exchange", "--candles", str(candles), "--first", str(DAY))
    try:
        home = Home(tmp_path / "home")
        home.root.mkdir()
        monkeypatch.setenv("KITE_API_KEY", "paper")
        monkeypatch.setenv("KITE_ACCESS_TOKEN", "paper")
        monkeypatch.setenv("RATCHET_AGENT__BROKER__REST_URL", running.rest)
        keys = tuple(sorted(read_candles(str(candles)).candles))
        request = Request("kite", universe=(*keys, "NSE:NOBODY"), first=date(2015, 1, 1))
        document = ingest(home, request, lambda _line: None)
        # fewer are asked for: the others are continued, too, and none is dropped
        fewer = Request("kite", universe=keys[:1], first=date(2015, 1, 1))
        again = ingest(home, fewer, lambda _line: None)
    finally:
        running.kill()
    assert document["symbols"] == list(keys)
    assert document["source"] == "kite"
    assert [skip["name"] for skip in document["skipped"]] == ["NSE:NOBODY"]
    assert document["candles"] > 10 * len(keys)
    assert again["unchanged"]
    manifest = CandleStore(home).manifest("kite")
    assert manifest.adjustment.startswith("by Kite")
    assert Facts("kite", "day", manifest.adjustment, "").interval == manifest.interval
    frame = CandleStore(home).read("kite", [keys[0]])
    assert (np.diff(ts_ms(frame)) > 0).all()
