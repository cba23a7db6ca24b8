"""One instrument's day: its ticks as they come, what it shows, the orders that meet it.

Depth is drawn only when somebody looks or an order stands there: most instants of most
instruments are a cursor that moves.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from agent.market.instruments import Instrument
from agent.market.sessions import Session
from agent.paper.depth import shown_around, with_orders
from agent.paper.market import Tape
from agent.paper.matching import BUY, SELL, Book, Event, Levels, Shown
from agent.paper.wire import Tick

FAR: int = 2**62


@dataclass(slots=True)
class Board:
    """An instrument on one day; prices in ticks unless a name says paise.

    Parameters
    ----------
    instrument : Instrument
    session : Session
    tape : Tape
    band : (lower, upper) circuit limits, ticks
    previous_close : int, paise
    seed : int
    """

    instrument: Instrument
    session: Session
    tape: Tape
    band: tuple[int, int]
    previous_close: int
    seed: int
    is_index: bool = False
    depth_percent: int = 100  # of the usual depth: less while a fault thins it
    book: Book = field(default_factory=Book)
    sale: Book = field(default_factory=Book)  # of the settlement auction: offers are collected
    cursor: int = -1
    next_ms: int = FAR
    ticked_ms: int = -1  # when the last tick of the tape came
    last: int = 0  # paise
    open: int = 0
    high: int = 0
    low: int = 0
    volume: int = 0
    value: int = 0  # paise of everything traded today
    last_shares: int = 0
    last_trade_ms: int = 0
    rising: bool = True
    _shown_at: int = -2

    def __post_init__(self) -> None:
        self.sale.collecting = True
        self.last = self.previous_close
        self.next_ms = self.tape.times[0] if self.tape.times else FAR

    @property
    def last_ticks(self) -> int:
        """The last price in ticks; a close of another grid is rounded down to this one."""
        return self.last // self.instrument.tick_paise

    def tick(self) -> list[Event]:
        """Move to the next tick of the tape and let the orders meet it."""
        self.cursor += 1
        n, tape = self.cursor, self.tape
        price = tape.prices[n]
        shares = tape.volumes[n] - self.volume
        if n == 0:
            self.open = self.high = self.low = price
        else:
            self.high, self.low = max(self.high, price), min(self.low, price)
        self.rising = price > self.last or (price == self.last and self.rising)
        self.last = price
        if shares > 0:
            self.volume += shares
            self.value += shares * price
            self.last_shares = shares
            self.last_trade_ms = tape.times[n]
        self.ticked_ms = tape.times[n]
        self.next_ms = tape.times[n + 1] if n + 1 < len(tape.times) else FAR
        if not self.book.orders:
            return []
        return self._show(shares)

    def print(self, price: int, shares: int, now_ms: int) -> None:
        """Take an auction's trades: its one price in paise, and how many shares of others."""
        self.rising = price >= self.last
        self.last = price
        self.high, self.low = max(self.high, price), min(self.low or price, price)
        self.volume += shares
        self.value += shares * price
        self.last_shares, self.last_trade_ms = shares, now_ms

    def look(self) -> Shown:
        """Return what the book shows now, before own orders took from it."""
        if self._shown_at != self.cursor:
            self._show(0)
        shown = self.book.shown
        return shown if shown is not None else Shown(self.last_ticks, 0, (), ())

    def skip_to(self, now_ms: int) -> None:
        """Play the ticks before an instant without any order: after a restart."""
        while self.next_ms <= now_ms:
            self.tick()

    def seen(self, now_ms: int) -> Tick:
        """Return what the ticker sends of this instrument."""
        index = self.is_index
        if not index:
            self.look()
        bids, asks = (self._levels(side) for side in (BUY, SELL)) if not index else ((), ())
        last, untraded = self.last, self.cursor < 0
        return Tick(
            token=self.instrument.token,
            last=last,
            open=0 if untraded else self.open,
            high=0 if untraded else self.high,
            low=0 if untraded else self.low,
            close=self.previous_close,
            is_index=index,
            last_quantity=min(self.last_shares, 10_000),
            average=self.value // self.volume if self.volume else last,
            volume=0 if index else self.volume,
            buy_quantity=_total(bids),
            sell_quantity=_total(asks),
            last_trade_s=self.last_trade_ms // 1000,
            exchange_s=now_ms // 1000,
            bids=bids,
            asks=asks,
        )

    def _levels(self, side: int) -> tuple[tuple[int, int, int], ...]:
        return with_orders(self.book.remaining(side), self.instrument.tick_paise)

    def _show(self, shares: int) -> list[Event]:
        self._shown_at = self.cursor
        if self.cursor < 0:  # before the first trade nothing stands in the book
            return self.book.show(Shown(self.last_ticks, 0, (), ()))
        key = (self.seed, self.instrument.token, self.tape.times[self.cursor])
        shown = shown_around(self.last_ticks, self.rising, band=self.band, traded=shares, key=key)
        if self.depth_percent != 100:
            shown = replace(shown, bids=self._thinned(shown.bids), asks=self._thinned(shown.asks))
        return self.book.show(shown)

    def _thinned(self, levels: Levels) -> Levels:
        return tuple(
            (price, max(shares * self.depth_percent // 100, 1)) for price, shares in levels
        )


def _total(levels: tuple[tuple[int, int, int], ...]) -> int:
    """Return the shares of a whole side: some twenty levels stand behind the five shown."""
    return 5 * sum([shares for _, shares, _ in levels])
