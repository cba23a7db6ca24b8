"""What a frame of candles is: columns, types, order; one symbol's candles as plain arrays.

Knows no file and no source. Times: a candle is labelled by its open, Asia/Kolkata at this edge,
epoch milliseconds in `ts_ms`. Prices are float64 rupees as the source gave them.
"""

from __future__ import annotations

import hashlib
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from agent.market.sessions import IST

if TYPE_CHECKING:
    import pandas as pd

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]

ZONE = "Asia/Kolkata"
IST_MS = 19_800_000  # India has had no daylight saving since 1945: a constant offset is exact
DAY_MS = 86_400_000
MINUTE_MS = 60_000
PRICES = ("open", "high", "low", "close")
VALUES = (*PRICES, "volume")
COLUMNS = ("symbol", "ts", *VALUES)

INTERVAL_MS = {
    "minute": MINUTE_MS,
    "3minute": 3 * MINUTE_MS,
    "5minute": 5 * MINUTE_MS,
    "10minute": 10 * MINUTE_MS,
    "15minute": 15 * MINUTE_MS,
    "30minute": 30 * MINUTE_MS,
    "60minute": 60 * MINUTE_MS,
    "day": DAY_MS,
}
EPOCH = date(1970, 1, 1)


def ts_ms(frame: pd.DataFrame) -> Ints:
    """Return the candles' open times in epoch milliseconds, int64 of shape (n_candles,)."""
    column = frame["ts"].dt.tz_convert("UTC").dt.tz_localize(None)
    return np.asarray(column.to_numpy(dtype="datetime64[ms]").astype(np.int64))


def times(ms: Ints) -> pd.Series[Any]:
    """Return epoch milliseconds as `datetime64[ns, Asia/Kolkata]`."""
    import pandas as pd

    naive = pd.Series(ms.astype("datetime64[ms]").astype("datetime64[ns]"))
    return naive.dt.tz_localize("UTC").dt.tz_convert(ZONE)


def make_frame(symbol: str, ms: Ints, values: dict[str, Floats]) -> pd.DataFrame:
    """Return a candle frame of one symbol, sorted by time (a stable sort: ties keep their order).

    Parameters
    ----------
    symbol : str, an instrument key such as `NSE:INFY`
    ms : int64 array of shape (n_candles,), epoch milliseconds of each candle's open
    values : open, high, low, close (rupees), volume (shares, NaN where unknown), each (n_candles,)

    Returns
    -------
    pandas.DataFrame with `COLUMNS`, a range index
    """
    import pandas as pd

    order = np.argsort(ms, kind="stable")
    data: dict[str, Any] = {"ts": times(ms[order])}
    data |= {name: np.asarray(values[name], dtype=np.float64)[order] for name in VALUES}
    frame = pd.DataFrame(data)
    frame.insert(0, "symbol", pd.Series([symbol] * len(frame), dtype="str"))
    return frame


def empty_frame() -> pd.DataFrame:
    """Return a candle frame without rows, of the right types."""
    nothing = np.empty(0)
    return make_frame("", nothing.astype(np.int64), dict.fromkeys(VALUES, nothing))


def day_numbers(ms: Ints) -> Ints:
    """Return each time's calendar day in India, counted from 1970-01-01."""
    return (ms + IST_MS) // DAY_MS


def days_of(numbers: Ints) -> list[date]:
    """Return day numbers as dates, in the same order."""
    return [EPOCH + timedelta(days=int(n)) for n in numbers]


def day_start_ms(on: date) -> int:
    """Return 00:00 in India of a date, in epoch milliseconds."""
    return (on - EPOCH).days * DAY_MS - IST_MS


def at(ms: int) -> datetime:
    """Return an instant in India's time zone."""
    return datetime.fromtimestamp(ms / 1000, tz=IST)


def content_sha256(ms: Ints, values: dict[str, Floats]) -> str:
    """Return the fingerprint of candles: of their numbers, not of a file's bytes.

    Every NaN counts as one and the same, and -0.0 as 0.0.
    """
    digest = hashlib.sha256(ms.astype("<i8").tobytes())
    for name in VALUES:
        column = values[name].astype("<f8") + 0.0
        column[np.isnan(column)] = np.nan
        digest.update(column.tobytes())
    return digest.hexdigest()
