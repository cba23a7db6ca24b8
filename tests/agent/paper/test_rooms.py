"""The small rooms of the exchange: sessions, limits, the clock's patience, the admin door."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.paper.access import Access
from agent.paper.clock import SILENCE_S, LockStep
from agent.paper.exchange import Exchange
from agent.paper.hub import INSTRUMENTS_MAX, QUEUED_FRAMES_MAX, Connection, Hub
from agent.paper.limits import BUDGETS, Limits
from agent.paper.opening import Opening, assemble, open_exchange
from agent.paper.refusals import RequestRefused
from agent.paper.service import Request
from agent.paper.store import Store
from tests.agent.paper.lab import DAY, at, scripted


def login(access: Access, request_token: str, now: int) -> str:
    told = hashlib.sha256(f"paper{request_token}paper".encode()).hexdigest()
    return access.login("paper", request_token, told, now)


#  logged in at, asked at (day 4 is the next), alive
LIVES = [
    ("09:15", "15:30", 0, True),
    ("09:15", "05:59", 1, True),
    ("09:15", "06:00", 1, False),
    ("05:00", "06:00", 0, False),
]


@pytest.mark.parametrize(("since", "asked", "later", "alive"), LIVES)
def test_a_token_dies_at_six_in_the_morning(
    since: str, asked: str, later: int, alive: bool
) -> None:
    access = Access(strict=True)
    token = login(access, access.request_token(at(since)), at(since))
    when = at(asked, DAY.replace(day=DAY.day + later))
    assert access.allows("paper", token, when) is alive
    assert not access.allows("paper", "paper", when)
    assert Access(strict=False).allows("paper", "paper", when)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 130_000), min_size=1, max_size=900).map(sorted))
def test_no_calendar_window_ever_lets_more_orders_through_than_allowed(offsets: list) -> None:
    limits, start = Limits(), at("10:00")
    let: list[int] = []
    refusals: set[int] = set()
    for offset in offsets:
        try:
            limits.count("orders", start + offset)
        except RequestRefused as refused:
            refusals.add(refused.status)
        else:
            let.append(start + offset)
    assert refusals <= {429}
    for length, most in BUDGETS["orders"]:
        windows: dict[int, int] = {}
        for instant in let:
            window = (instant + 19_800_000) // length
            windows[window] = windows.get(window, 0) + 1
        assert max(windows.values(), default=0) <= most
    if max(offsets) < 1_000 and len(offsets) > 10:
        assert len(let) == 10


def test_the_days_budget_is_told_in_other_words() -> None:
    limits, refused = Limits(), []
    for n in range(5_001):
        try:
            limits.count("orders", at("09:15") + n * 151)
        except RequestRefused as fault:
            refused.append((n, fault.message))
    assert refused == [(5_000, "Maximum allowed order requests exceeded.")]


class Wall:
    """A wall clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def lockstep() -> tuple[LockStep, Exchange, Wall, list[str]]:
    exchange, wall, gone = Exchange(scripted({"NSE:A": [100.0] * 5}), cash=1), Wall(), []
    exchange.start()
    return LockStep(exchange, lambda _: None, wall, gone.append), exchange, wall, gone


def test_a_silent_client_is_dropped_after_a_minute_of_the_wall() -> None:
    async def script() -> None:
        clock, exchange, wall, gone = lockstep()
        quiet, busy = clock.join()[0], clock.join()[0]
        await clock.ack(busy, at("09:16"), None)
        assert exchange.now_ms == at("09:15")
        wall.seconds = SILENCE_S
        await clock.drop_silent()
        assert gone == []
        wall.seconds = SILENCE_S + 1
        await clock.drop_silent()
        await clock.drop_silent()  # the other one's minute begins when the clock has moved
        assert gone == [quiet]
        assert exchange.now_ms == at("09:16:15")

    asyncio.run(script())


def test_the_end_is_an_instant_after_which_only_wakes_come() -> None:
    async def script() -> None:
        clock, exchange, _, _ = lockstep()
        client = clock.join()[0]
        assert await clock.ack(client, at("23:00"), None) == at("15:35")
        assert exchange.over
        assert await clock.ack(client, at("15:35"), at("15:36")) == at("15:36")

    asyncio.run(script())


def test_a_slow_connection_loses_its_oldest_ticks_and_never_a_text() -> None:
    connection = Connection(1)
    connection.put("first")
    for n in range(QUEUED_FRAMES_MAX + 10):
        connection.put(b"%d" % n)
    connection.put("last")
    assert len(connection.queue) == QUEUED_FRAMES_MAX
    assert (connection.queue[0], connection.queue[-1]) == ("first", "last")
    assert connection.queue[1] == b"12"
    assert connection.dropped == 12


def test_a_connection_holds_at_most_three_thousand_instruments() -> None:
    exchange = Exchange(scripted({"NSE:A": [100.0] * 5}), cash=1)
    exchange.start()
    hub = Hub(exchange, tells_clock=False)
    connection = hub.open()
    assert connection is not None
    hub.receive(connection, f'{{"a": "subscribe", "v": {list(range(INSTRUMENTS_MAX + 5))}}}')
    assert len(connection.modes) == INSTRUMENTS_MAX
    assert '"error"' in connection.queue[0]


@pytest.mark.parametrize(
    ("host", "authorization", "status"),
    [("127.0.0.1", "", 200), ("0.0.0.0", "", 403), ("0.0.0.0", "Bearer no", 403),
     ("0.0.0.0", "Bearer {token}", 200)],
)  # fmt: skip
def test_the_admin_routes_need_the_token_where_others_can_call(
    tmp_path: Path, host: str, authorization: str, status: int
) -> None:
    opening = Opening(tmp_path, DAY, host=host, lockstep=True)
    store = Store(tmp_path / "exchange.db", "x")
    exchange, _ = open_exchange(scripted({"NSE:A": [100.0] * 5}), store, cash_paise=1)
    service = assemble(opening, exchange, store)
    token = tmp_path / "paper" / "admin-token"
    if token.exists():
        assert token.stat().st_mode & 0o777 == 0o600
        authorization = authorization.replace("{token}", token.read_text())
    request = Request("GET", "/_paper/audit", "", {"authorization": authorization}, b"")
    assert asyncio.run(service.answer(request)).status == status
    store.close()
