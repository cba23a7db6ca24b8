"""What a sweep says of one policy on one symbol and side, and what is needed to run it again.

Pure data, no array library: the sweep writes it, the backtest reads it and re-runs the trades
through the agent's own decisions. Money is integer paise, prices are in ticks, times epoch ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from agent.market.instruments import Side
from agent.trailing.candles import Bar
from agent.trailing.policy import Policy


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One policy on one symbol and side: sums over all its trades.

    Parameters
    ----------
    policy_sha256 : str
        Names the policy; its text is in the run's `policies.parquet`.
    symbol : str, an instrument key such as `NSE:INFY`
    side : str, `LONG` or `SHORT`
    entries : int
        Trades entered. `net_paise / entries` is the net result of a trade.
    refused : int
        Entries at whose price the policy does not fit the tick grid (a stop under two ticks, an
        ATR not known yet): no trade.
    gross_paise, charges_paise, slippage_paise, net_paise : int
        Sums over the trades, by the pessimistic member of each trade's possible exits;
        net = gross - charges - slippage.
    stops, targets, square_offs : int
        Exits by reason (pessimistic member); a square-off is the session's last close.
    ambiguous : int
        Trades of which at least one candle left the exit, or its kind, unsure. 0 on ticks.
    low_paise, high_paise : int
        The band: lowest and highest net sum over all possible exits; `low_paise` is `net_paise`.
    """

    policy_sha256: str
    symbol: str
    side: str
    entries: int
    refused: int
    gross_paise: int
    charges_paise: int
    slippage_paise: int
    net_paise: int
    stops: int
    targets: int
    square_offs: int
    ambiguous: int
    low_paise: int
    high_paise: int


@dataclass(frozen=True, slots=True)
class SweepTrade:
    """One trade of a row.

    Parameters
    ----------
    entry_index : int
        The candle (or tick) among the series'; a trade is entered at that candle's OPEN and lives
        from that candle on (a tick: entered at that tick, lives from the next one on).
    entry_ms : int
    side : Side
    entry : int, `1/scale` tick
    quantity : int, shares
    exit_index, exit_ms : int
        The candle of the exit (its open time), or the tick.
    exit : int, `1/scale` tick
    reason : str, `stop`, `target` or `end`
    ambiguous : int
        Candles that left it unsure.
    low, high : int, `1/scale` tick
        The least and most favourable exit price that the candles allow.
    net_paise : int
    """

    entry_index: int
    entry_ms: int
    side: Side
    entry: int
    quantity: int
    exit_index: int
    exit_ms: int
    exit: int
    reason: str
    ambiguous: int
    low: int
    high: int
    net_paise: int


@dataclass(frozen=True, slots=True)
class Rerun:
    """Everything that another engine needs to do a row's trades again.

    Parameters
    ----------
    row : SweepRow
    policy : Policy
    symbol : str
    tick_size : Decimal, rupees
    scale : int
        Prices of `trades` are in `1/scale` tick; 1 where every price lies on the grid.
    interval_ms : int
        A candle's length; 0 for ticks.
    ts_ms : sequence of int, one a bar
    bars : sequence of Bar, ticks (a tick is a bar of four equal prices)
        A candle's `atr` is known at its close, a tick's with that tick.
    last_index : sequence of int, one a bar
        The last bar of that bar's session before the square-off.
    trades : tuple of SweepTrade, by entry
    slippage_bps : float
        Charged on each order's turnover: how far another engine's result may lie off.
    simulated_path : bool
        Whether the data are drawn, not recorded.
    """

    row: SweepRow
    policy: Policy
    symbol: str
    tick_size: Decimal
    scale: int
    interval_ms: int
    ts_ms: Sequence[int]
    bars: Sequence[Bar]
    last_index: Sequence[int]
    trades: tuple[SweepTrade, ...]
    slippage_bps: float
    simulated_path: bool
