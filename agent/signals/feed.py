"""Ticks to candles for all instruments of a session: the model's interval, and minutes for the gap.

The builders (agent/market/candles.py) keep what they have seen, so this stands beside the core,
not in it: a closed candle is an observation that comes in as an event, as a tick does. The live
loop and the backtest both drive it. Pure apart from its own memory.
"""

from __future__ import annotations

from agent.core.events import CandleClosed
from agent.core.values import Quote
from agent.market.candles import Candle, CandleBuilder
from agent.market.sessions import Session

MINUTE = "minute"


class CandleFeed:
    """The builders of one session.

    Parameters
    ----------
    session : Session
    interval : str
        The model's; day candles are not built, the official ones are read.
    since_ms : int, epoch ms
        From when on the feed is watched.
    """

    def __init__(self, session: Session, interval: str, since_ms: int) -> None:
        self._session = session
        self._since_ms = since_ms
        self._intervals = tuple(sorted({MINUTE, interval} - {"day"}))
        self._builders: dict[tuple[str, str], CandleBuilder] = {}
        self._next_ms: int | None = None

    @property
    def next_ms(self) -> int | None:
        """When the next candle can close, epoch ms; None while there is none to come."""
        return self._next_ms

    def tick(self, key: str, quote: Quote, at_ms: int) -> list[CandleClosed]:
        """Take in a packet; return what its time closes."""
        closed: list[CandleClosed] = []
        new = False
        for interval in self._intervals:
            builder = self._builders.get((key, interval))
            if builder is None:
                builder = CandleBuilder(interval, self._session, since_ms=self._since_ms)
                self._builders[key, interval] = builder
                new = True
            due = builder.next_timer_ms
            candles = builder.tick(
                quote.exchange_ms, quote.last, volume=quote.volume, trade_ms=quote.traded_ms
            )
            closed += _events(key, interval, candles, at_ms)
            new = new or builder.next_timer_ms != due
        if new:
            self._reckon()
        return closed

    def timer(self, now_ms: int) -> list[CandleClosed]:
        """Return the candles whose boundary is a second ago, in the order of their keys."""
        if self._next_ms is None or now_ms < self._next_ms:
            return []
        closed: list[CandleClosed] = []
        for (key, interval), builder in sorted(self._builders.items()):
            closed += _events(key, interval, builder.timer(now_ms), now_ms)
        self._reckon()
        return closed

    def gap(self, since_ms: int, until_ms: int) -> None:
        """Note that the feed was away."""
        for builder in self._builders.values():
            builder.gap(since_ms, until_ms)

    def _reckon(self) -> None:
        dues = [b.next_timer_ms for b in self._builders.values() if b.next_timer_ms is not None]
        self._next_ms = min(dues, default=None)


def _events(key: str, interval: str, candles: tuple[Candle, ...], at_ms: int) -> list[CandleClosed]:
    return [CandleClosed(at_ms, key, interval, candle) for candle in candles]
