"""nautilus_trader: its TRAILING_STOP_MARKET order in its backtest engine, over quotes of one price.

Offset by price, so the rule's whole-tick distance is given as it is; an entry is a market order
at the tick that follows an exit.
"""

import time
from decimal import Decimal

import nautilus_trader
from contract import finish, start
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import (
    AccountType,
    OmsType,
    OrderSide,
    TrailingOffsetType,
    TriggerType,
)
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

prices, tick = start()
VENUE = Venue("SIM")
SHARE = Equity(
    instrument_id=InstrumentId(Symbol("SHARE"), VENUE), raw_symbol=Symbol("SHARE"), currency=USD,
    price_precision=2, price_increment=Price.from_str("0.05"), lot_size=Quantity.from_int(1),
    ts_event=0, ts_init=0,
)  # fmt: skip
SECOND = 1_000_000_000  # times start at 1 s: a tick at time 0 ends the process (double free)


def ticks():
    one = Quantity.from_int(1)
    rows = []
    for n, price in enumerate(prices.tolist(), start=1):
        at = Price(price, 2)
        rows.append(QuoteTick(SHARE.id, at, at, one, one, n * SECOND, n * SECOND))
    return rows


class Trail(Strategy):
    def __init__(self):
        super().__init__(StrategyConfig())
        self.flat, self.entry, self.trades = True, 0, []

    def on_start(self):
        self.subscribe_quote_ticks(SHARE.id)

    def on_quote_tick(self, seen):
        index = seen.ts_event // SECOND - 1
        # an order that the same tick filled ended a trade: the next tick enters
        if self.flat and not (self.trades and self.trades[-1][1] == index):
            self.flat = False
            self.submit_order(
                self.order_factory.market(SHARE.id, OrderSide.BUY, Quantity.from_int(1))
            )

    def on_order_filled(self, event):
        index = event.ts_event // SECOND - 1
        if event.order_side == OrderSide.BUY:
            self.entry = index
            entry_ticks = round(event.last_px.as_double() / tick)
            away = Decimal(entry_ticks // 100) * Decimal("0.05")
            self.submit_order(
                self.order_factory.trailing_stop_market(
                    SHARE.id, OrderSide.SELL, Quantity.from_int(1), trailing_offset=away,
                    trailing_offset_type=TrailingOffsetType.PRICE,
                    trigger_type=TriggerType.BID_ASK,
                )
            )  # fmt: skip
        else:
            self.trades.append((self.entry, index))
            self.flat = True


def run():
    engine = BacktestEngine(
        BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False)
    )
    engine.add_venue(VENUE, OmsType.NETTING, AccountType.MARGIN, [Money(1e9, USD)])
    engine.add_instrument(SHARE)
    engine.add_data(ticks())
    strategy = Trail()
    engine.add_strategy(strategy)
    began = time.process_time()
    engine.run()
    took = time.process_time() - began

    return strategy.trades, took


rates = []
for _ in range(3):
    trades, took = run()
    rates.append(len(prices) / took)
finish(nautilus_trader.__version__, trades, rates)
