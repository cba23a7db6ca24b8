"""What a packet of the live feed is to the levels: a trade, or a change of depth."""

from __future__ import annotations

from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.values import Band, Quote
from agent.trailing.screen import Screen
from tests.agent.orders.bench import KEY, Bench

STILL = 'mode = "percent"\nstop = "1%"\nshare = 0\n[whipsaw]\n'
CONFIRMED = STILL + 'soft_band = "0.5%"\nconfirm_trades = 2\n'
OUTLIER = STILL + 'outlier = "2%"\n'


def depth(bench: Bench, last: int, bid: int) -> None:
    """Let a second pass and the book change, without a trade."""
    bench.now += 1_000
    traded_ms = bench.desk.sights[KEY].quote.traded_ms
    book = tuple((bid - n, 500) for n in range(5)), tuple((bid + 1 + n, 500) for n in range(5))
    quote = Quote(last, bench.volume, *book, traded_ms, bench.now // 1000 * 1000)
    bench.take(ev.TickSeen(bench.now, KEY, quote))


def screen(bench: Bench) -> Screen:
    assert bench.trade.levels is not None
    return bench.trade.levels.trail.screen


def exited(bench: Bench) -> str | None:
    assert bench.trade.levels is not None
    return bench.trade.levels.trail.exited


def test_a_change_of_depth_confirms_no_breach() -> None:
    bench = Bench(policy=CONFIRMED)
    bench.opened()  # at 2000, so the stop is at 1980
    bench.tick(1_979)
    assert (screen(bench).shallow, exited(bench)) == (1, None)
    for _ in range(3):
        depth(bench, 1_979, 1_978)
        assert (screen(bench).shallow, exited(bench)) == (1, None)
    bench.tick(1_979)
    assert exited(bench) == "stop"


def test_a_change_of_depth_settles_a_suspect_only_where_its_book_agrees() -> None:
    bench = Bench(policy=OUTLIER)
    bench.opened()
    bench.tick(1_900)
    assert screen(bench).suspect == 1_900
    for _ in range(4):  # after 3,000 ms a trade would be believed, whatever it says
        depth(bench, 1_900, 1_999)
    assert (screen(bench).suspect, exited(bench)) == (1_900, None)
    depth(bench, 1_900, 1_901)
    assert exited(bench) == "stop"


def test_the_next_trade_settles_a_suspect_through_any_number_of_packets() -> None:
    bench = Bench(policy=OUTLIER)
    bench.opened()
    bench.tick(1_900)
    depth(bench, 1_900, 1_999)
    bench.tick(1_998)
    assert (screen(bench).suspect, screen(bench).believed, exited(bench)) == (None, 1_998, None)


def test_a_price_outside_the_days_circuit_moves_nothing_until_the_band_is_wider() -> None:
    bench = Bench(policy=STILL)  # its band is 1000 to 3000
    bench.opened()
    bench.tick(2_000)
    said = bench.tick(3_001)
    assert (screen(bench).rejected, screen(bench).believed) == (1, 2_000)
    assert bench.timers()["quotes"] == bench.now
    assert [one for one in said if isinstance(one, cmd.SetTimer) and one.name == "quotes"]
    (asked,) = [one for one in bench.later(0) if isinstance(one, cmd.ReadQuotes)]
    bench.take(ev.QuotesRead(bench.now, asked.call, {}, {KEY: Band(1_000, 3_200)}))
    bench.tick(3_001)
    assert (screen(bench).rejected, screen(bench).believed) == (1, 3_001)


def test_a_stop_is_not_hit_by_a_price_that_the_exchange_could_not_have_made() -> None:
    bench = Bench(policy=STILL)
    bench.opened()
    bench.tick(2_000)
    bench.tick(999)
    assert exited(bench) is None
    bench.tick(1_000)
    assert exited(bench) == "stop"
