"""One symbol of a sweep: every policy over its entries, and the file that holds what came out.

The unit of work of a worker, and of resuming: the file appears whole or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.errors import SettingRefused
from agent.market.charges import round_trip_per_share
from agent.trailing.bulk import layout, search
from agent.trailing.bulk.row import SweepRow
from agent.trailing.bulk.scale import Range, refuse_undone, vector_of
from agent.trailing.policy import Policy
from agent.trailing.policy_keys import BREAKEVEN
from flows.data import durable
from flows.data.frame import days_of
from flows.sweep.entries import Entries
from flows.sweep.kernels import Kernels
from flows.sweep.money import Ledger, Terms
from flows.sweep.series import Series

Ints = npt.NDArray[np.int64]
NO_ATR = search.Atr(np.zeros(0, np.int64), np.zeros(0, np.int64))
SIDES = {1: "LONG", -1: "SHORT"}
COLUMNS = tuple(field.name for field in fields(SweepRow))


@dataclass(frozen=True, slots=True)
class Exits:
    """Where a policy's trades ended: arrays of shape (n,), as `search.CandleExits`.

    On ticks nothing is unsure: both members are the exit.
    """

    fits: npt.NDArray[np.bool_]
    index: Ints
    reason: Ints
    move: Ints
    best_move: Ints
    ambiguous: Ints


class Bench:
    """One symbol's prices and entries, ready for one policy after another.

    Parameters
    ----------
    series : Series
    entries : Entries
    terms : Terms
    kernels : Kernels
    """

    def __init__(self, series: Series, entries: Entries, terms: Terms, kernels: Kernels) -> None:
        self.series, self.entries, self._kernels = series, entries, kernels
        # of candles the lows; of ticks the prices themselves
        lows, highs = series.prices[-2 if len(series.prices) > 1 else 0], series.prices[-3:][0]
        search.check_prices(lows)
        self._part_paise = series.tick_paise // series.scale
        starts = np.flatnonzero(np.diff(series.day, prepend=series.day[:1] - 1))
        # a trade ends with its day, so no favourable move is larger than a day's range
        spans = np.maximum.reduceat(highs, starts) - np.minimum.reduceat(lows, starts)
        self._within = Range(
            int(highs.max()), int(spans.max()),
            int(max(series.atr_value.max(initial=0), entries.atr.max(initial=0))),
        )  # fmt: skip
        segment = series.symbol.partition(":")[0]
        self.day = series.day[entries.at]
        self.ledger = Ledger(
            entries.entry * self._part_paise, entries.sign, self.day,
            segment if segment in {"NSE", "BSE"} else "NSE", terms,
        )  # fmt: skip
        self.days, self.day_index = np.unique(self.day, return_inverse=True)
        self._breakeven: list[Fraction] | None = None

    def exits(self, policy: Policy) -> Exits:
        """Run a policy; one whose numbers are too fine for 64 bits here fits no entry.

        Raises
        ------
        SettingRefused
            If the bulk path does not do what the policy asks.
        """
        series, entries = self.series, self.entries
        refuse_undone(policy)
        try:
            told = vector_of(policy, series.tick_size, series.scale, self._within)
        except SettingRefused:  # the others of the grid go on; its entries are told as refused
            none = np.zeros(len(entries), np.int64)
            return Exits(none > 0, entries.at, none, none, none, none)
        vector = np.array(told, np.int64)
        positions = search.Positions(
            entries.sign, entries.entry, entries.first, entries.last, entries.atr,
            self._locked(policy, vector),
        )  # fmt: skip
        atr = series.atr if self._follows_atr(policy, vector) else NO_ATR
        if series.is_ticks:
            found = search.over_ticks(self._kernels, vector, series.prices[0], positions, atr)
            fits = found.fits == layout.FITS
            index = np.minimum(found.index, entries.last - 1)
            move = (series.prices[0][index] - entries.entry) * entries.sign
            move = np.where(fits, move, 0)
            return Exits(fits, index, found.reason, move, move, np.zeros(len(move), np.int64))
        over = search.over_candles(self._kernels, vector, series.prices, positions, atr)
        fits = over.fits == layout.FITS
        return Exits(fits, over.index, over.reason, over.move, over.best_move, over.ambiguous)

    def rows(self, policy: Policy) -> tuple[list[SweepRow], Ints]:
        """Return a policy's rows, one a side, and its net result of each day in paise."""
        exits = self.exits(policy)
        traded = np.flatnonzero(exits.fits)
        worst = self.ledger.settle(exits.move[traded] * self._part_paise, traded)
        best = worst
        if exits.ambiguous.any():
            best = self.ledger.settle(exits.best_move[traded] * self._part_paise, traded)
        net, sign = worst.net, self.entries.sign[traded]
        reason, unsure = exits.reason[traded], exits.ambiguous[traded] > 0
        rows = []
        for side in np.unique(self.entries.sign)[::-1]:
            mine = sign == side

            def total(values: npt.NDArray[Any], mine: Any = mine) -> int:
                return int(values[mine].sum())

            rows.append(
                SweepRow(
                    policy_sha256=policy.sha256,
                    symbol=self.series.symbol,
                    side=SIDES[int(side)],
                    entries=int(mine.sum()),
                    refused=int((self.entries.sign == side).sum() - mine.sum()),
                    gross_paise=total(worst.gross),
                    charges_paise=total(worst.charges),
                    slippage_paise=total(worst.slippage),
                    net_paise=total(net),
                    stops=total(reason == layout.STOP),
                    targets=total(reason == layout.TARGET),
                    square_offs=total(reason == layout.END),
                    ambiguous=total(unsure),
                    low_paise=total(net),
                    high_paise=total(best.net),
                )
            )
        daily = np.bincount(self.day_index[traded], net, len(self.days))
        return rows, np.rint(daily).astype(np.int64)

    def _locked(self, policy: Policy, vector: Ints) -> Ints:
        entries = self.entries
        if policy.lock != BREAKEVEN:
            return np.zeros((len(entries), 2), np.int64)
        if self._breakeven is None:
            tick = Fraction(self.series.tick_paise, 100)
            dates = days_of(self.day)
            self._breakeven = [
                round_trip_per_share(price * tick / self.series.scale, quantity, on) / tick
                for price, quantity, on in zip(
                    entries.entry.tolist(), self.ledger.quantity.tolist(), dates, strict=True
                )
            ]
        return search.breakeven_of(self._breakeven, entries.sign, entries.entry, vector)

    def _follows_atr(self, policy: Policy, vector: Ints) -> bool:
        """Whether an ATR that changes can move a level; else spans need not end at each change."""
        nearest = policy.min_distance
        by_now = policy.mode == "atr" or policy.volatility is not None
        by_now = by_now or (nearest is not None and nearest.needs_atr)
        learns = bool(vector[layout.P_STOP_NEEDS] or vector[layout.P_TARGET_NEEDS])
        return by_now or (learns and not self.entries.atr.all())


def write_part(path: Path, bench: Bench, policies: Sequence[Policy]) -> None:
    """Run all policies and write the symbol's file: rows by policy and side, days beside them.

    Raises
    ------
    SettingRefused
        As `Bench.exits`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    numbers: list[int] = []
    daily: list[Ints] = []
    for number, policy in enumerate(policies):
        rows, days = bench.rows(policy)
        for row in rows:
            numbers.append(number)
            for name in COLUMNS:
                columns[name].append(getattr(row, name))
        daily.append(days)
    table = pa.table({"policy": pa.array(numbers, pa.int32())} | columns)
    by_day = pa.table(
        {"day": pa.array(np.tile(bench.days, len(policies)), pa.int32()),
         "policy": pa.array(np.repeat(np.arange(len(policies)), len(bench.days)), pa.int32()),
         "net_paise": pa.array(np.concatenate(daily) if daily else np.zeros(0, np.int64))}
    )  # fmt: skip
    with durable.appearing(path.with_suffix(".days.parquet")) as temporary:
        pq.write_table(by_day, temporary, compression="zstd")
    # the rows' file counts: it comes last
    with durable.appearing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
