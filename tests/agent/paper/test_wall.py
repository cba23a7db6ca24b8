"""The exchange by the clock on the wall: today's hours, closed nights, restarts. No real clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from agent.paper.clock import LockStep, Wall
from agent.paper.exchange import Exchange
from agent.paper.opening import Opening, assemble, lay, open_exchange, open_market, open_store
from agent.paper.refusals import RequestRefused
from agent.paper.service import Service
from tests.agent.paper.lab import at, opened, wander, write_csv
from tests.agent.paper.test_command import paper

TODAY, FRIDAY = date(2026, 11, 26), date(2026, 11, 27)
SATURDAY, MONDAY = date(2026, 11, 28), date(2026, 11, 30)
MARKET = {"transaction_type": "BUY", "quantity": "10", "product": "MIS", "order_type": "MARKET",
          "market_protection": "-1"}  # fmt: skip


class Wrist:
    """A clock that a test sets."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    def __call__(self) -> int:
        return self.ms


class Run:
    """An exchange by a clock of the test's, and its file."""

    def __init__(self, tmp_path: Path, ms: int) -> None:
        candles = tmp_path / "days.csv"
        if not candles.exists():
            write_csv(candles, wander(11, 20))
        self.wrist = Wrist(ms)
        self.opening = Opening(
            tmp_path, TODAY, candles=str(candles), ticks_per_day=60, wall_clock=True,
            epoch=self.wrist,
        )  # fmt: skip
        self.path = tmp_path / "exchange.db"
        self.start()

    def start(self) -> None:
        market = open_market(self.opening)
        self.store = open_store(self.opening, market, self.path)
        laid = lay(self.opening, market, self.store)
        self.exchange, self.resumed = open_exchange(
            laid, self.store, cash_paise=100_000_000, now_ms=self.wrist()
        )
        self.service: Service = assemble(self.opening, self.exchange, self.store)
        self.service.changed()

    def again(self) -> None:
        self.store.close()
        self.start()

    def now(self, ms: int) -> int:
        self.wrist.ms = ms
        return self.service.clock.now_ms()

    def buy(self) -> str:
        placed = self.exchange.desk.place("NSE:AAA", MARKET, self.exchange.now_ms)
        self.service.changed()
        return str(placed.order_id)


Begin = Callable[[int], Run]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Return what starts an exchange at an instant; its file is closed at the end."""
    runs: list[Run] = []

    def starting(ms: int) -> Run:
        runs.append(Run(tmp_path, ms))
        return runs[-1]

    yield starting
    for run in runs:
        run.store.close()


def test_it_begins_in_the_middle_of_today_s_session(begin: Begin) -> None:
    run = begin(at("11:00", TODAY))
    assert isinstance(run.service.clock, Wall)
    assert (run.exchange.on, run.exchange.now_ms) == (TODAY, at("11:00", TODAY))
    board = run.exchange.boards["NSE:AAA"]
    assert board.open > 0
    assert board.volume > 0
    assert at("10:50", TODAY) < board.last_trade_ms <= at("11:00", TODAY)
    order = run.buy()
    run.now(at("11:00:01", TODAY))
    assert [t.order_id for t in run.exchange.desk.trades] == [order]


#  id, the instant, whether orders are taken
OPEN = [
    ("in the session", at("14:59", TODAY), True),
    ("in the pre-open", at("09:05", TODAY), True),
    ("in the early morning", at("07:00", TODAY), False),
    ("at the close", at("15:30", TODAY), False),
    ("in the evening", at("21:00", TODAY), False),
    ("on a Saturday", at("11:00", SATURDAY), False),
    ("on a holiday", at("11:00", date(2026, 11, 24)), False),
]


@pytest.mark.parametrize("started", ["then", "the day before"])
@pytest.mark.parametrize(("ms", "taken"), [row[1:] for row in OPEN], ids=[row[0] for row in OPEN])
def test_when_the_market_is_closed_it_says_so(
    begin: Begin, ms: int, taken: bool, started: str
) -> None:
    run = begin(ms if started == "then" else ms - 86_400_000)
    assert run.now(ms) == ms == run.exchange.now_ms
    if taken:
        assert run.buy()
        return
    with pytest.raises(RequestRefused, match="Markets are closed right now"):
        run.buy()


def test_the_night_and_the_weekend_last_as_long_as_they_do(begin: Begin) -> None:
    run = begin(at("15:00", FRIDAY))
    run.buy()
    run.now(at("15:01", FRIDAY))
    assert run.exchange.books.positions["NSE:AAA", "MIS"].net == 10
    run.now(at("15:31", FRIDAY))  # the broker's square-off was at 15:25
    assert run.exchange.books.positions["NSE:AAA", "MIS"].net == 0
    for ms in (at("15:35", FRIDAY), at("12:00", SATURDAY), at("08:54:59", MONDAY)):
        assert run.now(ms) == ms
        assert run.exchange.on == FRIDAY
        assert run.exchange.next_due() in {at("15:35", FRIDAY), at("08:55", MONDAY)}
    run.now(at("08:55", MONDAY))
    assert run.exchange.on == MONDAY
    assert run.exchange.boards["NSE:AAA"].volume == 0
    assert run.exchange.boards["NSE:AAA"].next_ms == at("09:15", MONDAY)
    assert not run.exchange.books.positions


@pytest.mark.parametrize("killed", ["11:30", "15:35", "23:00"])
@pytest.mark.parametrize("back", [at("12:00", TODAY), at("10:00", MONDAY)])
def test_after_a_restart_it_goes_on_at_the_time_of_day(
    begin: Begin, killed: str, back: int
) -> None:
    run = begin(at("11:00", TODAY))
    order = run.buy()
    run.now(at(killed, TODAY))
    run.service.changed()
    back = max(back, run.exchange.now_ms)
    run.wrist.ms = back
    run.again()
    assert run.resumed
    assert run.now(back) == back
    assert run.exchange.on == (TODAY if back < at("08:55", FRIDAY) else MONDAY)
    if run.exchange.on == TODAY:
        assert run.exchange.desk.trades[0].order_id == order
    assert run.exchange.next_due() is not None


def test_days_stored_since_do_not_move_the_market_under_a_run(begin: Begin, tmp_path: Path) -> None:
    run = begin(at("11:00", TODAY))
    run.buy()
    run.now(at("11:01", TODAY))
    stood = run.exchange.boards["NSE:AAA"].last
    candles = (tmp_path / "days.csv").read_text()
    (tmp_path / "days.csv").write_text(
        candles
        + "".join(
            f"NSE:{name},2025-11-04 00:00:00,{price},{price},{price},{price},900\n"
            for name, price in (("AAA", 180), ("BBB", 360), ("CCC", 540))
        )
    )
    run.again()
    assert run.resumed
    assert run.exchange.boards["NSE:AAA"].last == stood
    assert run.exchange.books.positions["NSE:AAA", "MIS"].net == 10

    (tmp_path / "days.csv").write_text(candles.replace(",900000.0", ",900001.0"))
    run.again()
    assert not run.resumed  # other candles: another market


def test_a_clock_that_is_set_back_stands_until_it_is_made_up_for(begin: Begin) -> None:
    run = begin(at("11:00", TODAY))
    assert run.now(at("10:59", TODAY)) == at("11:00", TODAY)
    assert run.now(at("11:00:01", TODAY)) == at("11:00:01", TODAY)


def test_the_synthetic_market_is_the_same_whenever_it_is_started(tmp_path: Path) -> None:
    markets = [open_market(Opening(tmp_path, day, wall_clock=True)) for day in (TODAY, MONDAY)]
    prints = {market.fingerprint() for market in markets}
    assert len(prints) == 1
    history = [day for day in markets[0].candle_days() if day < markets[0].days[0]]
    assert len(history) == 60


def test_without_a_first_day_half_of_the_days_are_history(tmp_path: Path) -> None:
    candles = str(write_csv(tmp_path / "days.csv", wander(11, 20)))
    whole = open_market(Opening(tmp_path, TODAY, candles=candles))
    halved = open_market(Opening(tmp_path, TODAY, candles=candles, wall_clock=True))
    chosen = open_market(
        Opening(tmp_path, TODAY, candles=candles, wall_clock=True, first=whole.days[15])
    )
    latest = open_market(Opening(tmp_path, TODAY, candles=candles, latest=True))
    assert halved.days == latest.days == whole.days[10:]
    assert chosen.days == whole.days[15:]


#  id, options, what the line names
REFUSED = [
    ("two clocks", ["--wall-clock", "--lockstep"], "--wall-clock"),
    ("wall at a speed", ["--wall-clock", "--speed", "60"], "--wall-clock"),
    ("a bound without lock-step", ["--speed-max", "60"], "--speed-max"),
    ("a bound of nothing", ["--lockstep", "--speed-max", "0"], "--speed-max"),
]


@pytest.mark.parametrize(
    ("options", "named"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_clocks_that_exclude_each_other(tmp_path: Path, options: list[str], named: str) -> None:
    ended = paper(*options, "--port", "0", "--home", str(tmp_path))
    assert ended.returncode == 2
    assert named in ended.stderr
    assert "Traceback" not in ended.stderr


def test_lock_step_with_a_bound_is_never_faster_and_passes_the_night_at_once() -> None:
    exchange = opened({"NSE:A": [100.0] * 375})
    wall = [0.0]
    seen: list[int] = []
    clock = LockStep(
        exchange, lambda instant: seen.append(instant.now_ms), lambda: wall[0], lambda _: None,
        speed_max=60.0,
    )  # fmt: skip

    async def drive() -> None:
        name, opens = clock.join()
        await clock.ack(name, opens + 3_600_000, None)
        assert seen == []  # 15 s of its time are a quarter of a second
        wall[0] += 0.2
        await clock.move()
        assert seen == []
        wall[0] += 0.05
        await clock.move()
        assert seen == [opens + 15_000]
        wall[0] += 1000.0  # slow clients are not made up for
        await clock.move()
        assert seen == [opens + 15_000, opens + 30_000]

    asyncio.run(drive())


def test_the_calendar_is_known_for_a_year(begin: Begin) -> None:
    run = begin(at("11:00", TODAY))
    assert isinstance(run.exchange, Exchange)
    assert run.exchange.market.days[-1] >= TODAY + timedelta(days=390)
