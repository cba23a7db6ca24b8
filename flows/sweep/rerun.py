"""A sweep's row, trade by trade: what another engine needs to do the same trades again."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from agent.errors import check
from agent.market.instruments import Side
from agent.trailing.bulk.layout import REASONS
from agent.trailing.bulk.row import Rerun, SweepRow, SweepTrade
from agent.trailing.bulk.scale import ATR_PARTS
from agent.trailing.candles import Bar
from agent.trailing.policy import Policy
from flows.sweep.entries import session_ends
from flows.sweep.results import Outcome, describe, rows_of
from flows.sweep.run import Rules, bench_of
from flows.sweep.series import Series
from flows.sweep.source import Data
from flows.sweep.symbol import SIDES, Bench


def best_rows(outcome: Outcome, policies: int) -> list[SweepRow]:
    """Return the rows of the best policies by net result, one a symbol and side."""
    shas = [outcome.described["policies"][n]["sha256"] for n in outcome.worth.order[:policies]]
    return [row for sha in shas for row in rows_of(outcome.folder, sha)]


def rerun_of(folder: Path, data: Data, rules: Rules, row: SweepRow) -> Rerun:
    """Return a row with its policy, prices and trades.

    Parameters
    ----------
    folder : Path
        The run's.
    data, rules : what the run was made from
    row : SweepRow

    Raises
    ------
    Broken
        If the trades do not add up to the row: data or rules are not the run's.
    """
    described = describe(folder)
    text = next(p["text"] for p in described["policies"] if p["sha256"] == row.policy_sha256)
    policy = Policy.parse(text, source=f"policy {row.policy_sha256[:8]}")
    bench = bench_of(data.read(row.symbol), rules)
    trades = _trades(bench, policy, row.side)
    check(
        len(trades) == row.entries and sum(t.net_paise for t in trades) == row.net_paise,
        "the trades are not those of the row",
        row=row,
        trades=len(trades),
    )
    series = bench.series
    return Rerun(
        row=row,
        policy=policy,
        symbol=row.symbol,
        tick_size=series.tick_size,
        scale=series.scale,
        interval_ms=series.interval_ms,
        ts_ms=series.ts_ms.tolist(),
        bars=_bars(series),
        last_index=(session_ends(series, rules.entries) - 1).tolist(),
        trades=trades,
        slippage_bps=rules.terms.slippage_bps,
        simulated_path=data.simulated_path,
    )


def _trades(bench: Bench, policy: Policy, side: str) -> tuple[SweepTrade, ...]:
    exits, entries, series = bench.exits(policy), bench.entries, bench.series
    sign = next(s for s, name in SIDES.items() if name == side)
    rows = np.flatnonzero(exits.fits & (entries.sign == sign))
    part_paise = series.tick_paise // series.scale
    net = bench.ledger.settle(exits.move[rows] * part_paise, rows).net
    made = []
    for n, paise in zip(rows.tolist(), net.tolist(), strict=True):
        entry, move, best = int(entries.entry[n]), int(exits.move[n]), int(exits.best_move[n])
        at, out = int(entries.at[n]), int(exits.index[n])
        made.append(
            SweepTrade(
                entry_index=at,
                entry_ms=int(series.ts_ms[at]),
                side=Side.LONG if sign > 0 else Side.SHORT,
                entry=entry,
                quantity=int(bench.ledger.quantity[n]),
                exit_index=out,
                exit_ms=int(series.ts_ms[out]),
                exit=entry + sign * move,
                reason=REASONS[int(exits.reason[n])],
                ambiguous=int(exits.ambiguous[n]),
                low=entry + sign * move,
                high=entry + sign * best,
                net_paise=paise,
            )
        )
    return tuple(sorted(made, key=lambda trade: trade.entry_index))


def _bars(series: Series) -> list[Bar]:
    """Return the prices as the step function takes them, each ATR known at its candle's close."""
    atr: list[Fraction | None] = [None] * len(series)
    for at, value in zip(series.atr_at.tolist(), series.atr_value.tolist(), strict=True):
        atr[at] = Fraction(value, ATR_PARTS)
    columns = series.prices if len(series.prices) == 4 else np.repeat(series.prices, 4, axis=0)
    scale = series.scale

    def ticks(price: int) -> int | Fraction:
        exact = Fraction(price, scale)
        return exact.numerator if exact.denominator == 1 else exact

    opened, high, low, close = (
        column.tolist() if scale == 1 else [ticks(price) for price in column.tolist()]
        for column in columns
    )
    return [Bar(*one) for one in zip(opened, high, low, close, atr, strict=True)]
