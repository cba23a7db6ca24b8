"""The `sample` source: real daily candles that any machine may have, without an account.

`bokeh_sampledata` (a dependency; nothing of it is copied) carries five US stocks that Quandl put
into the public domain. Prices are back-adjusted for splits and dividends by the set's own
adjusted close, then rounded to NSE's tick grid. The dates are what they are: real and old.
The trading days are the set's own: 134 of its dates were no session in Mumbai.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.resources
import io
from collections.abc import Sequence
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from agent.errors import EnvironmentRefused
from flows.data.frame import DAY_MS, IST_MS, PRICES, Ints, day_numbers, days_of, make_frame
from flows.data.grid import month_steps, round_to_grid
from flows.data.manifest import Facts
from flows.data.sources.base import Skipped

if TYPE_CHECKING:
    import pandas as pd

SHA256 = "5abadf99b2d394f920120a27de6f0df129859d71d4cfb0bf661bcc99446ab1fd"
NOTES = "US daily candles 2000-2013 (Quandl WIKI, public domain), read as rupees"
ADJUSTMENT = (
    "splits and dividends back-adjusted by the source's adjusted close, relative to each symbol's"
    " last day; volume divided by the same factor; rounded to NSE ticks by price and month"
)
TOO_SHORT = {"FB": "196 days (listed 2012-05-18): too short a history to learn from or to test on"}


class SampleSource:
    """Four symbols, 11,958 daily candles from 2000-03-01 to 2013-03-01.

    Raises
    ------
    agent.errors.EnvironmentRefused
        On first use, if the package is missing or its file is not the one that was checked.
    """

    facts = Facts(source="sample", interval="day", adjustment=ADJUSTMENT, notes=NOTES)

    @property
    def symbols(self) -> Sequence[str]:
        """The keys, as if the shares were listed in Mumbai."""
        return [f"NSE:{ticker}" for ticker in sorted(self._tables)]

    @property
    def skipped(self) -> Sequence[Skipped]:
        """The share that is left out."""
        return [Skipped(f"NSE:{ticker}", why) for ticker, why in TOO_SHORT.items()]

    @cached_property
    def sessions(self) -> Sequence[date]:
        """The New York trading days of the set, all symbols together."""
        days = [day_numbers(_midnights(table)) for table in self._tables.values()]
        return days_of(np.unique(np.concatenate(days)))

    def read(self, symbol: str) -> pd.DataFrame:
        """Return a symbol's candles, adjusted and on the grid."""
        raw = self._tables[symbol.removeprefix("NSE:")]
        factor = (raw["adj_close"] / raw["close"]).to_numpy(dtype=np.float64)
        factor = factor / factor[-1]
        months = raw["date"].to_numpy().astype("datetime64[M]").astype(np.int64)
        # 3 % of the raw prices have more than two decimals: round only after adjusting
        steps = month_steps(months, raw["close"].to_numpy(dtype=np.float64) * factor)
        values = {
            name: round_to_grid(raw[name].to_numpy(dtype=np.float64) * factor, steps)
            for name in PRICES
        }
        values["volume"] = np.rint(raw["volume"].to_numpy(dtype=np.float64) / factor)
        return make_frame(symbol, _midnights(raw), values)

    def finish(self) -> None:
        """Nothing was kept."""

    @cached_property
    def _tables(self) -> dict[str, pd.DataFrame]:
        import pandas as pd

        raw = pd.read_csv(io.BytesIO(gzip.decompress(_checked_bytes())), parse_dates=["Date"])
        raw.columns = [name.lower().replace(" ", "_") for name in raw.columns]
        return {
            str(ticker): table.sort_values("date").reset_index(drop=True)
            for ticker, table in raw.groupby("ticker")
            if ticker not in TOO_SHORT
        }


def _midnights(table: pd.DataFrame) -> Ints:
    """Return 00:00 in India of the table's dates."""
    numbers = table["date"].to_numpy().astype("datetime64[D]").astype(np.int64)
    return np.asarray(numbers * DAY_MS - IST_MS)


def _checked_bytes() -> bytes:
    where = "bokeh_sampledata/_data/stocks.csv.gz"
    try:
        # the file, not the module: importing its module reads 27 MB of maps first
        resource = importlib.resources.files("bokeh_sampledata") / "_data" / "stocks.csv.gz"
        content = resource.read_bytes()
    except (ModuleNotFoundError, FileNotFoundError) as fault:
        raise EnvironmentRefused(
            where,
            given=str(fault),
            allowed="the package bokeh_sampledata 2026.1",
            fix="install the extra `pipeline` (make install)",
        ) from fault
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        raise EnvironmentRefused(
            where,
            given=f"sha256 {digest}",
            allowed=SHA256,
            fix="install bokeh_sampledata==2026.1",
        )
    return content
