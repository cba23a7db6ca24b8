"""The agent's calls, carried to the exchange's core and answered on a virtual clock.

What the live shell does with threads, sockets and a broker's client is values here: a call waits
for its budget (the live one's windows, exits first), is on its way for `out_ms`, takes effect in
the exchange's own desk, and its answer is an event after `back_ms`. Nothing is lost: faults are
another test's business. Same calls at the same instants, same answers.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable

from agent.backtest.market import BacktestMarket
from agent.backtest.settings import Settings
from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.queue import Queue, Waiting, kind_of, requests_of
from agent.core.values import Band, Fault, HeldRow, OrderRow, Quote
from agent.kite.budget import KINDS, Kind, wait_until
from agent.market.instruments import Instrument
from agent.paper.board import FAR, Board
from agent.paper.books import MARGIN_PERCENT, position_row
from agent.paper.exchange import Exchange
from agent.paper.market import Candle
from agent.paper.matching import BUY, SELL
from agent.paper.records import Record, row_of
from agent.paper.refusals import RequestRefused
from agent.shell.rows import held_row, order_row

Write = cmd.Place | cmd.Modify | cmd.Cancel
Maker = Callable[[int], ev.Event | None]


class Link:
    """Between one agent and one exchange, for one day.

    Parameters
    ----------
    exchange : Exchange
    market : BacktestMarket, of one day
    settings : Settings
    of_model : callable
        Gives the answer to a question for the model, as what is heard later.
    """

    def __init__(
        self,
        exchange: Exchange,
        market: BacktestMarket,
        settings: Settings,
        of_model: Callable[[cmd.Call], Maker],
    ) -> None:
        self._exchange = exchange
        self._market = market
        self._settings = settings
        self._of_model = of_model
        self._coming: list[tuple[int, int, Maker]] = []
        self._number = 0
        self._queue = Queue()
        self._sent: dict[Kind, deque[int]] = {kind: deque() for kind in KINDS}
        self._retry_ms: int | None = None
        self._final: dict[str, OrderRow] = {}
        self.instruments: dict[str, Instrument] = {
            key: board.instrument for key, board in exchange.boards.items()
        }

    @property
    def next_ms(self) -> int:
        """When something arrives somewhere, or a call may leave, epoch ms; else `FAR`."""
        retry = FAR if self._retry_ms is None else self._retry_ms
        return min(retry, self._coming[0][0]) if self._coming else retry

    def add(self, call: cmd.Call, now_ms: int) -> None:
        """Take a call; it leaves with `dispatch`."""
        self._queue.add(call, now_ms)

    def dispatch(self, now_ms: int) -> None:
        """Let leave what the budget allows, the most urgent first."""
        self._retry_ms = self._queue.dispatch(lambda waiting: self._leave(waiting, now_ms))

    def arrivals(self, now_ms: int) -> Iterable[ev.Event]:
        """Let happen what arrives by now; yield what the agent hears of it, in order."""
        while self._coming and self._coming[0][0] <= now_ms:
            due, _, what = heapq.heappop(self._coming)
            event = what(due)
            if event is not None:
                yield event

    def tell(self, delay_ms: int, make: Maker) -> None:
        """Let the agent hear something after a while."""
        self._number += 1
        due = self._exchange.now_ms + delay_ms
        heapq.heappush(self._coming, (due, self._number, make))

    def update(self, document: dict[str, object]) -> None:
        """Push an order update on its way to the agent, as it stands now."""
        row = order_row(document, self.instruments)
        self.tell(self._settings.latency.back_ms, lambda at: ev.OrderSeen(at, row))

    def _leave(self, waiting: Waiting, now_ms: int) -> int:
        call = waiting.call
        kind = kind_of(call)
        if kind is not None:
            if words := waiting.too_late(now_ms):
                self.tell(0, _failed(call.call, Fault.RETRYABLE, words))
                return 0
            requests, sent = requests_of(call), self._sent[kind]
            due = wait_until(kind, sent, now_ms, hurried=waiting.hurried, calls=requests)
            if due:
                return due
            sent.extend([now_ms] * requests)
        self._send(call)
        return 0

    def _send(self, call: cmd.Call) -> None:
        latency = self._settings.latency
        if isinstance(call, cmd.AskModel | cmd.Describe):
            self.tell(latency.model_ms, self._of_model(call))
            return

        def there(at_ms: int) -> None:
            del at_ms
            self.tell(latency.back_ms, self._made(call))

        self.tell(latency.out_ms, there)

    def _made(self, call: cmd.Call) -> Maker:
        """Let a call take effect now; return its answer."""
        number, exchange = call.call, self._exchange
        match call:
            case cmd.Place() | cmd.Modify() | cmd.Cancel():
                found = effect(exchange, call)
                if isinstance(found, RequestRefused):
                    return _failed(number, Fault.REFUSED, str(found))
                return lambda at: ev.CallAnswered(at, number, found)
            case cmd.ReadBook():
                rows, held = self._book(call)
                return lambda at: ev.BookRead(at, number, rows, held)
            case cmd.ReadQuotes():
                boards = [exchange.boards[key] for key in call.keys if key in exchange.boards]
                quotes = {b.instrument.key: quote_of(b, exchange.now_ms) for b in boards}
                bands = {b.instrument.key: Band(*b.band) for b in boards}
                return lambda at: ev.QuotesRead(at, number, quotes, bands)
            case cmd.ReadMargins():
                blocked = exchange.books.blocked(exchange.desk.pending())
                available = exchange.books.funds() - blocked
                return lambda at: ev.MarginsRead(at, number, available, blocked)
            case cmd.ReadOrderMargins():
                percent = MARGIN_PERCENT[call.product]
                per_share: dict[tuple[str, str], int] = {
                    (key, transaction): -(-self.instruments[key].paise(ticks) * percent // 100)
                    for key, transaction, ticks in call.items
                }
                return lambda at: ev.OrderMarginsRead(at, number, per_share)
            case cmd.ReadHistory():
                span = (call.from_ms, call.to_ms)
                candles = self.history(call.key, call.interval, span)
                return lambda at: ev.HistoryRead(at, number, call.key, call.interval, candles)
            case cmd.OpenDay():
                return self._day(call)
            case _:
                return _failed(number, Fault.REFUSED, f"no such call: {type(call).__name__}")

    def history(
        self, key: str, interval: str, span_ms: tuple[int, int]
    ) -> tuple[ev.OfficialCandle, ...]:
        """Return the official candles of a span that have ended by now, oldest first."""
        found = self._market.candles(key, interval, span_ms, self._exchange.now_ms)
        return tuple(_official(one) for one in found)

    def _book(self, call: cmd.ReadBook) -> tuple[tuple[OrderRow, ...], tuple[HeldRow, ...] | None]:
        exchange = self._exchange
        rows = tuple(self._row(record) for record in exchange.desk.records.values())
        if not call.positions:
            return rows, None
        positions = exchange.books.positions.values()
        return rows, tuple(held_row(position_row(one, 0, 0)) for one in positions)

    def _row(self, record: Record) -> OrderRow:
        """Return an order's row; that of a final one is made once."""
        row = self._final.get(record.order_id)
        if row is None:
            row = order_row(row_of(record), self.instruments)
            if record.final:
                self._final[record.order_id] = row
        return row

    def _day(self, call: cmd.OpenDay) -> Maker:
        """Return the day's session: the earliest end among the instruments."""
        boards = self._exchange.boards
        session = min((b.session for b in boards.values()), key=lambda s: s.closes_ms)
        found = {key: one for key, one in self.instruments.items() if key in call.keys}
        missing = tuple(key for key in call.keys if key not in found)
        return lambda at: ev.DayOpened(at, call.call, session, found, missing)


def effect(exchange: Exchange, call: Write) -> str | RequestRefused:
    """Let an order call take effect at the exchange now; return the order's id, or its no."""
    desk, now = exchange.desk, exchange.now_ms
    try:
        if isinstance(call, cmd.Cancel):
            return desk.cancel(call.order_id, now).order_id
        params = form_of(call, exchange.boards[call.key].instrument)
        if isinstance(call, cmd.Modify):
            return desk.modify(call.order_id, params, now).order_id
        return desk.place(call.key, params, now).order_id
    except RequestRefused as fault:
        return fault


def form_of(call: cmd.Place | cmd.Modify, instrument: Instrument) -> dict[str, str]:
    """Return an order call as the form that the broker's client would send."""
    terms = call.terms
    params = {"order_type": str(terms.order_type), "validity": "DAY"}
    if terms.price_ticks:
        params["price"] = f"{instrument.price(terms.price_ticks):f}"
    if terms.trigger_ticks:
        params["trigger_price"] = f"{instrument.price(terms.trigger_ticks):f}"
    if call.market_protection is not None:
        params["market_protection"] = str(call.market_protection)
    if isinstance(call, cmd.Modify):
        if call.quantity_changes:
            params["quantity"] = str(terms.quantity)
        return params
    return params | {
        "quantity": str(terms.quantity),
        "transaction_type": call.transaction,
        "product": call.product,
        "tag": call.tag,
    }


def quote_of(board: Board, now_ms: int) -> Quote:
    """Return the full packet that the ticker would send of an instrument at an instant."""
    tick, index = board.instrument.tick_paise, board.is_index
    if not index:
        board.look()
    return Quote(
        last=board.last // tick,
        volume=0 if index else board.volume,
        bids=() if index else board.book.remaining(BUY),
        asks=() if index else board.book.remaining(SELL),
        traded_ms=board.last_trade_ms // 1000 * 1000,
        exchange_ms=now_ms // 1000 * 1000,
        close=board.previous_close // tick,
    )


def _official(one: Candle) -> ev.OfficialCandle:
    return ev.OfficialCandle(
        one.start_ms, one.open / 100, one.high / 100, one.low / 100, one.close / 100,
        float(one.volume),
    )  # fmt: skip


def _failed(number: int, fault: Fault, words: str) -> Maker:
    return lambda at: ev.CallFailed(at, number, fault, words)
