"""Candles of all instruments of a session: minutes always, the model's interval beside them."""

from __future__ import annotations

import pytest

from agent.core.values import Quote
from agent.market.sessions import Calendar
from agent.signals.feed import CandleFeed
from tests.agent.paper.lab import DAY, at

SESSION = Calendar.of_days([DAY]).session(DAY)


def quote(ms: int, last: int, volume: int) -> Quote:
    return Quote(last, volume, (), (), ms, ms)


@pytest.mark.parametrize(
    ("interval", "built"), [("5minute", {"minute", "5minute"}), ("day", {"minute"})]
)
def test_a_candle_closes_a_second_after_its_boundary_by_the_timer(
    interval: str, built: set[str]
) -> None:
    assert SESSION is not None
    feed = CandleFeed(SESSION, interval, at("09:10"))
    assert feed.next_ms is None
    for second in range(0, 300, 10):
        ms = at("09:15") + second * 1000
        early = feed.tick("NSE:A", quote(ms, 2_000 + second, second), ms)
        assert {c.interval for c in early} <= {"minute"}  # five minutes are not over yet
    assert feed.next_ms == at("09:20:01")
    assert feed.timer(at("09:20:00")) == []
    closed = feed.timer(at("09:20:01"))
    assert {c.interval for c in closed} == built
    five = [c.candle for c in closed if c.interval == interval]
    for candle in five:
        assert (candle.open, candle.high, candle.low, candle.close) == (2_000, 2_290, 2_000, 2_290)
        assert candle.volume == 290
        assert not candle.gap


def test_symbols_close_together_in_the_order_of_their_names() -> None:
    assert SESSION is not None
    feed = CandleFeed(SESSION, "minute", at("09:10"))
    for key in ("NSE:B", "NSE:A"):
        feed.tick(key, quote(at("09:15:30"), 2_000, 10), at("09:15:30"))
    closed = feed.timer(at("09:16:01"))
    assert [c.key for c in closed] == ["NSE:A", "NSE:B"]
    assert {c.at_ms for c in closed} == {at("09:16:01")}


def test_a_candle_across_a_drop_of_the_feed_carries_the_gap() -> None:
    assert SESSION is not None
    feed = CandleFeed(SESSION, "minute", at("09:10"))
    feed.tick("NSE:A", quote(at("09:15:10"), 2_000, 10), at("09:15:10"))
    feed.gap(at("09:15:20"), at("09:15:50"))
    (closed,) = feed.timer(at("09:16:01"))
    assert closed.candle.gap
