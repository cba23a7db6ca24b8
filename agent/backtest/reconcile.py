"""Would the agent have done what a sweep says? The sweep's trades, run again one by one.

Each trade is a day of its own: one signal at its entry's instant, the sweep's quantity, limits
out of the way; sweeps enter trades that overlap, and one account could not hold them. Then both
are laid side by side: the same candle (or tick) and reason, and a net that lies within the
slippage that the sweep charged. What differs gets the class of its cause, by evidence:

    refused: WORD       the agent would not have entered, and this is its word for it
    not filled          the entry found nobody at its limit
    fewer shares        the book, or the agent, gave the entry fewer
    ambiguous candle    the candle itself leaves the exit unsure, and the sweep says so
    square-off          one of the two was still open at the end of the day
    planner buffer      the placed stop lagged behind the wanted one
    entry slippage      another entry price, so other levels
    latency             the same levels, reached while a call was on its way
    spread              the same exit; the prices paid differ by more than was charged
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, time
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from agent.backtest.day import DayRun
from agent.backtest.market import BacktestMarket, Ticks, market_of_ticks
from agent.backtest.results import PESSIMISTIC, RoundTrip
from agent.backtest.settings import Latency, Settings
from agent.backtest.signals import SignalRow
from agent.core.rules import EntryRules, Rules
from agent.market.candles import INTERVALS_MS
from agent.market.instruments import Instrument
from agent.market.sessions import IST, from_epoch_ms
from agent.paper.desk import LATENCY_MS
from agent.paper.extra import numpy as np
from agent.paper.source import DAY_MS, IST_OFFSET_MS, CandleSet, Columns
from agent.risk.settings import CapitalSettings, MoneySettings, RiskSettings, SizingSettings
from agent.trailing.bulk.row import Rerun, SweepTrade

SAME: Final = "same"
REASONS: Final = {"stop": "STOP", "target": "TARGET", "end": "SQUARE_OFF"}
TRADES_MAX: Final = 200
TOKEN: Final = 257
SHARES_A_TICK: Final = 1_000
CANDLE_TICKS_PER_DAY: Final = 12_000
ALL_DAY: Final = EntryRules(
    spread_bp_max=1_000,
    since=time(9, 15),
    until=time(15, 30),
    shorts_until=time(15, 30),
    circuit_stop_distances=0,
)


@dataclass(frozen=True, slots=True)
class Pair:
    """One trade, both ways.

    Parameters
    ----------
    cause : str
        `same`, or the class of the difference.
    difference_paise : int
        The agent's net less the sweep's (which has the charged slippage taken off), or less the
        nearest net that the sweep's candles allow.
    slippage_paise : int
        What the sweep charged.
    """

    swept: SweepTrade
    traded: RoundTrip | None
    cause: str
    difference_paise: int
    slippage_paise: int

    @property
    def within(self) -> bool:
        """Whether both nets lie within the charged slippage of each other."""
        return self.traded is not None and abs(self.difference_paise) <= self.slippage_paise


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What came of running a row's trades again.

    Parameters
    ----------
    of : int
        Trades of the row; `pairs` has those that were run, evenly chosen.
    """

    policy_sha256: str
    symbol: str
    side: str
    of: int
    pairs: tuple[Pair, ...]
    simulated_path: bool

    @property
    def causes(self) -> Mapping[str, int]:
        """How many pairs have each cause, `same` among them."""
        return dict(sorted(Counter(pair.cause for pair in self.pairs).items()))

    def document(self) -> dict[str, Any]:
        """Return the figures for `--json`; money in rupees."""
        run = len(self.pairs)
        turnover = sum(pair.traded.entry_paise + pair.traded.exit_paise for pair in self._both())
        difference = sum(pair.difference_paise for pair in self._both())
        return {
            "policy_sha256": self.policy_sha256,
            "symbol": self.symbol,
            "side": self.side,
            "trades": self.of,
            "run_again": run,
            "same_exit": sum(pair.cause == SAME for pair in self.pairs),
            "within_slippage": sum(pair.within for pair in self.pairs),
            "causes": dict(self.causes),
            "swept_net": sum(pair.swept.net_paise for pair in self._both()) / 100,
            "traded_net": sum(pair.traded.net_paise for pair in self._both()) / 100,
            "difference_bp": None if not turnover else round(difference / turnover * 1e4, 3),
            "simulated_path": self.simulated_path,
        }

    def told(self) -> str:
        """Return one line for a person."""
        run, document = len(self.pairs), self.document()
        others = {cause: n for cause, n in self.causes.items() if cause != SAME}
        why = ", ".join(f"{n} {cause}" for cause, n in sorted(others.items())) or "no difference"
        return (
            f"{self.symbol} {self.side}: {document['same_exit']} of {run} trades end in the same "
            f"place for the same reason, {document['within_slippage']} within the charged "
            f"slippage; {why}"
        )

    def _both(self) -> list[Any]:
        return [pair for pair in self.pairs if pair.traded is not None]


def reconcile(
    rerun: Rerun,
    *,
    latency: Latency | None = None,
    trades_max: int = TRADES_MAX,
    progress: Callable[[int, int], None] | None = None,
) -> Reconciliation:
    """Run a sweep row's trades again through the agent's own decisions.

    Parameters
    ----------
    rerun : Rerun
    latency : Latency, optional
    trades_max : int
        Of more, so many evenly chosen ones are run.
    progress : callable (done, of how many), optional

    Returns
    -------
    Reconciliation
    """
    stage = _Stage(rerun, latency or Latency())
    count = len(rerun.trades)
    step = max(1, -(-count // max(trades_max, 1)))
    chosen = rerun.trades[::step]
    pairs = []
    for number, trade in enumerate(chosen, start=1):
        pairs.append(stage.pair(trade))
        if progress is not None:
            progress(number, len(chosen))
    row = rerun.row
    return Reconciliation(
        row.policy_sha256, rerun.symbol, row.side, count, tuple(pairs), rerun.simulated_path
    )


@dataclass
class _Stage:
    """The market of a row, and what each of its trades is run by."""

    rerun: Rerun
    latency: Latency
    market: BacktestMarket = field(init=False)

    def __post_init__(self) -> None:
        rerun = self.rerun
        tick = Instrument(rerun.symbol, TOKEN, rerun.tick_size)
        if rerun.interval_ms:
            source = CandleSet(_interval(rerun.interval_ms), {rerun.symbol: _columns(rerun)})
            self.market = BacktestMarket(
                source,
                path=PESSIMISTIC,
                instruments={rerun.symbol: tick},
                ticks_per_day=CANDLE_TICKS_PER_DAY,
            )
        else:
            self.market = market_of_ticks(_recorded(rerun), instruments={rerun.symbol: tick})

    def pair(self, trade: SweepTrade) -> Pair:
        rerun = self.rerun
        on = _day(trade.entry_ms)
        signal = SignalRow(
            trade.entry_ms,
            rerun.symbol,
            trade.side,
            valid_until_ms=trade.entry_ms + 60_000,
            heard_ms=trade.entry_ms,
        )
        run = DayRun(self.market.on_day(on, {rerun.symbol}), (signal,), self._settings(trade))
        day = run.run()
        traded = day.trips[0] if day.trips else None
        slippage = self._slippage(trade)
        if traded is None:
            refused = next(iter(day.refused), "")
            cause = f"refused: {refused}" if refused else "not filled"
            return Pair(trade, None, cause, 0, slippage)
        difference = self._difference(trade, traded)
        pair = Pair(trade, traded, SAME, difference, slippage)
        return replace(pair, cause=self._cause(pair, traded))

    def _settings(self, trade: SweepTrade) -> Settings:
        rerun = self.rerun
        interval = _interval(rerun.interval_ms) if rerun.interval_ms else "minute"
        base = Settings().rules
        leaves = base.exit
        if interval != "day":
            ends = self._ends_ms(rerun.last_index[trade.entry_index])
            flat_by = from_epoch_ms(ends).astimezone(IST).time()
            leaves = replace(leaves, flat_by=flat_by, lead_ms=0)
        value = Decimal(trade.quantity * trade.entry * rerun.tick_size) / rerun.scale
        money = MoneySettings(
            CapitalSettings(total=value * 10),
            SizingSettings(mode="fixed_quantity", quantity=trade.quantity),
            RiskSettings.model_validate(
                {
                    "max_symbol": "100%",
                    "max_daily_loss": "100%",
                    "max_drawdown": None,
                    "min_price": 0,
                }
            ),
        )
        rules: Rules = replace(base, entry=ALL_DAY, exit=leaves, money=money)
        return Settings(rules, rerun.policy.text, interval, latency=self.latency, signal_delay_ms=0)

    def _ends_ms(self, index: int) -> int:
        """Return when a bar is over: its own end, or the next tick."""
        rerun = self.rerun
        if rerun.interval_ms:
            return rerun.ts_ms[index] + rerun.interval_ms
        return rerun.ts_ms[min(index + 1, len(rerun.ts_ms) - 1)]

    def _slippage(self, trade: SweepTrade) -> int:
        rerun = self.rerun
        share = Decimal(repr(rerun.slippage_bps)) / 10_000
        a_tick = rerun.tick_size * 100 * trade.quantity / rerun.scale
        # each order's is rounded up to the paisa, as the sweep's ledger does at most
        return sum(math.ceil(price * a_tick * share) for price in (trade.entry, trade.exit))

    def _difference(self, swept: SweepTrade, traded: RoundTrip) -> int:
        """Return by how much a net lies off the sweep's, or off the nearest that it allows.

        A candle does not say where between its low and the stop an exit was: the sweep's net is
        the worst of a band, and on ticks the band is one price.
        """
        rerun = self.rerun
        a_price = rerun.tick_size * 100 * swept.quantity / rerun.scale
        worse, better = (
            swept.net_paise + int(swept.side.sign * (price - swept.exit) * a_price)
            for price in (swept.low, swept.high)
        )
        worst, best = min(worse, better), max(worse, better)
        return traded.net_paise - min(max(traded.net_paise, worst), best)

    def _cause(self, pair: Pair, traded: RoundTrip) -> str:
        """Return the class of a pair's difference: the first that its evidence bears out."""
        swept = pair.swept
        if traded.quantity != swept.quantity:
            return "fewer shares"
        one_reason = traded.reason == REASONS[swept.reason]
        arrives = self.latency.out_ms + self.latency.back_ms + LATENCY_MS
        in_time = swept.exit_ms <= traded.exit_ms < self._ends_ms(swept.exit_index) + arrives
        if one_reason and (in_time or swept.reason == "end"):
            return SAME if pair.within else self._price(pair, traded)
        if swept.ambiguous:
            return "ambiguous candle"
        if "SQUARE_OFF" in {traded.reason, REASONS[swept.reason]}:
            return "square-off"
        if self._entry_off(swept, traded):
            return "entry slippage"
        if one_reason and traded.reason == "STOP" and traded.exit_ms >= swept.exit_ms:
            return "planner buffer"
        return "latency"

    def _price(self, pair: Pair, traded: RoundTrip) -> str:
        if pair.swept.ambiguous:
            return "ambiguous candle"
        return "entry slippage" if self._entry_off(pair.swept, traded) else "spread"

    def _entry_off(self, swept: SweepTrade, traded: RoundTrip) -> bool:
        rerun = self.rerun
        wanted = Decimal(swept.entry) * rerun.tick_size * 100 / rerun.scale
        return traded.entry_paise != wanted * traded.quantity


def _columns(rerun: Rerun) -> Columns:
    tick = float(rerun.tick_size)
    ts = np.array(rerun.ts_ms, dtype=np.int64)
    open_, high, low, close = (
        np.array([float(getattr(bar, name)) for bar in rerun.bars]) * tick
        for name in ("open", "high", "low", "close")
    )
    return Columns(ts, open_, high, low, close, np.full(ts.size, np.nan))


def _recorded(rerun: Rerun) -> dict[tuple[str, date], Ticks]:
    ts = np.array(rerun.ts_ms, dtype=np.int64)
    tick = float(rerun.tick_size * 100)
    paise = np.array([round(float(bar.close) * tick) for bar in rerun.bars])
    days = (ts + IST_OFFSET_MS) // DAY_MS
    starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1)) if ts.size else ts
    found: dict[tuple[str, date], Ticks] = {}
    for start, end in pairwise([*starts.tolist(), ts.size]):
        volume = SHARES_A_TICK * np.arange(1, end - start + 1, dtype=np.int64)
        found[rerun.symbol, _day(int(ts[start]))] = Ticks(
            ts[start:end], paise[start:end].astype(np.int64), volume
        )
    return found


def _interval(length_ms: int) -> str:
    return next(name for name, ms in INTERVALS_MS.items() if ms == length_ms)


def _day(ms: int) -> date:
    return from_epoch_ms(ms).astimezone(IST).date()
