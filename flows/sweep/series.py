"""One symbol's prices as the kernels take them: whole paise or whole ticks, days, the ATR.

Candles and ticks become the same object; a tick's four prices are one. Prices are rounded to the
paisa, the smallest step there is; where all of them lie on the tick grid they are whole ticks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agent.errors import SettingRefused
from agent.trailing.bulk.search import Atr, atr_changes
from flows.data.frame import DAY_MS, IST_MS, MINUTE_MS, PRICES, day_numbers, ts_ms
from flows.labels import ATR_CANDLES, wilder_atr

if TYPE_CHECKING:
    import pandas as pd

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
TICKS_PAISE = (500, 100, 50, 10, 5, 1)  # NSE's steps, coarsest first


@dataclass(frozen=True, slots=True)
class Series:
    """One symbol's prices, oldest first.

    Parameters
    ----------
    symbol : str
    interval_ms : int
        A candle's length; 0 for ticks.
    tick_paise, scale : int
        The tick, and how many price parts make one (1 where every price is a whole tick).
    prices : int64 array of shape (4, n), open, high, low, close, `1/scale` tick; of ticks (1, n)
    ts_ms : int64 array of shape (n,), a candle's open time
    day : int64 array of shape (n,), days since 1970-01-01 in India
    atr_at, atr_value : int64 arrays
        As `search.Atr`: Wilder's over the candles (of ticks: over their minutes).
    """

    symbol: str
    interval_ms: int
    tick_paise: int
    scale: int
    prices: Ints
    ts_ms: Ints
    day: Ints
    atr_at: Ints
    atr_value: Ints

    def __len__(self) -> int:
        return len(self.ts_ms)

    @property
    def is_ticks(self) -> bool:
        """Whether these are ticks."""
        return self.interval_ms == 0

    @property
    def tick_size(self) -> Decimal:
        """The tick in rupees."""
        return Decimal(self.tick_paise) / 100

    @property
    def atr(self) -> Atr:
        """When the ATR becomes another."""
        return Atr(self.atr_at, self.atr_value)

    @property
    def minute(self) -> Ints:
        """Minutes since midnight in India, of shape (n,)."""
        return np.asarray((self.ts_ms + IST_MS) % DAY_MS // MINUTE_MS)

    def save(self, path: Path) -> None:
        """Write it to a file that a worker loads."""
        held: dict[str, Any] = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}
        with path.open("wb") as out:
            np.savez(out, **held)

    @classmethod
    def load(cls, path: Path) -> Series:
        """Read what `save` wrote."""
        with np.load(path) as held:
            values: dict[str, Any] = {f.name: held[f.name] for f in fields(cls)}
        plain = {n: v.item() for n, v in values.items() if v.ndim == 0}
        return cls(**(values | plain))


def of_candles(frame: pd.DataFrame, interval_ms: int, tick_size: Decimal | None = None) -> Series:
    """Return the series of one symbol's candle frame (flows/data/frame.py).

    Raises
    ------
    SettingRefused
        If a price is not a positive number, or a high is not the highest.
    """
    symbol = str(frame["symbol"].iloc[0]) if len(frame) else "a symbol"
    rupees = np.stack([frame[name].to_numpy(dtype=np.float64) for name in PRICES])
    opened, high, low, close = rupees
    _positive(symbol, rupees)
    if not bool(((low <= np.minimum(opened, close)) & (high >= np.maximum(opened, close))).all()):
        raise _bad(symbol, "a candle whose low or high is not its lowest or highest price")
    tick, scale, prices = _on_grid(rupees, tick_size)
    values = wilder_atr(high, low, close, ATR_CANDLES)
    atr = atr_changes(values, 100 / tick)
    stamps = ts_ms(frame)
    return Series(
        symbol, interval_ms, tick, scale, prices, stamps, day_numbers(stamps), atr.at, atr.value
    )


def of_ticks(symbol: str, stamps: Ints, rupees: Floats, tick_size: Decimal | None = None) -> Series:
    """Return the series of one symbol's trade prices, sorted by time.

    Raises
    ------
    SettingRefused
        If a price is not a positive number.
    """
    _positive(symbol, rupees)
    tick, scale, prices = _on_grid(rupees[None, :], tick_size)
    slot = (stamps + IST_MS) // MINUTE_MS
    starts = np.flatnonzero(np.diff(slot, prepend=slot[:1] - 1))
    high, low = np.maximum.reduceat(rupees, starts), np.minimum.reduceat(rupees, starts)
    close = rupees[np.append(starts[1:], len(rupees)) - 1]
    known = np.full(len(rupees), np.nan)
    # a minute's ATR is known with the first tick of a later one
    known[starts[1:]] = wilder_atr(high, low, close, ATR_CANDLES)[:-1]
    atr = atr_changes(known, 100 / tick)
    return Series(symbol, 0, tick, scale, prices, stamps, day_numbers(stamps), atr.at, atr.value)


def _on_grid(rupees: Floats, tick_size: Decimal | None) -> tuple[int, int, Ints]:
    """Return the tick in paise, the scale, and the prices: on the coarsest tick that holds all."""
    paise = np.rint(rupees * 100).astype(np.int64)
    if tick_size is None:
        tick = next(step for step in TICKS_PAISE if not (paise % step).any())
        return tick, 1, np.ascontiguousarray(paise // tick)
    exact = tick_size * 100
    if exact != int(exact) or exact < 1:
        raise SettingRefused(
            "--tick-size", given=tick_size, allowed="whole paise, at least 0.01", fix="mend it"
        )
    tick = int(exact)
    if not (paise % tick).any():
        return tick, 1, np.ascontiguousarray(paise // tick)
    return tick, tick, np.ascontiguousarray(paise)


def _positive(symbol: str, rupees: Floats) -> None:
    if not rupees.size:
        raise _bad(symbol, "no rows")
    with np.errstate(invalid="ignore"):
        bad = ~(rupees >= 0.01)
    if bad.any() or not np.isfinite(rupees).all():
        raise _bad(
            symbol, f"{int((bad | ~np.isfinite(rupees)).sum())} prices below a paisa, or none"
        )


def _bad(symbol: str, found: str) -> SettingRefused:
    return SettingRefused(
        f"prices of {symbol}",
        given=found,
        allowed="finite prices above 0, low <= open, close <= high",
        fix="mend the data, or ingest it with --drop-bad and sweep the dataset",
    )
