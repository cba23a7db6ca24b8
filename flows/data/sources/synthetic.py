"""The `synthetic` source: an NSE-like market of fictional shares with a known answer.

For honesty tests, benchmarks and load; never for a claim about money. One market factor and each
share's own moves; volatility that clusters; shocks with heavy tails; days that jump; the U-shape
of a session; gaps over night. Seeded: the same options give the same candles, and the first
symbols do not change when more are asked for.

The dial `edge`: a hidden pressure (one a share, unrelated to the others) leans the candles' wicks,
which the model's features see, and drifts what comes next. With perfect sight of the pressure the
side of the next 15 minutes (of the next candle where candles are longer) is ranked with an AUC of
0.5 + edge; what a model reaches is a little less, as it sees the wicks only (measured at 0.08:
0.57-0.58 on 15minute candles, 0.55-0.56 on day candles). 0 is a market without any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from agent.errors import SettingRefused
from agent.market.holidays import FIRST_YEAR
from agent.market.sessions import NSE
from flows.data.frame import INTERVAL_MS, MINUTE_MS, Floats, Ints, day_start_ms, make_frame
from flows.data.grid import month_steps, round_to_grid
from flows.data.manifest import Facts
from flows.data.sources.base import Skipped

if TYPE_CHECKING:
    import pandas as pd

LAST_DAY = date(2025, 12, 31)  # fixed: the candles do not depend on the day they are made
OPEN_MINUTE, SESSION_MINUTES = 9 * 60 + 15, 375
# measured on 48 NSE shares, daily: volatility .017, overnight share of the variance .20, mean
# correlation .26, autocorrelation of |return| .12, kurtosis 4.1
DAILY_VOLATILITY = (0.013, 0.020)
OVERNIGHT_SHARE = 0.20
MARKET_SHARE = 0.28  # of a share's variance; jumps and own volatility dilute it to .26
CLUSTER_MEMORY, CLUSTER_SPREAD = 0.96, 0.25  # of a day's log volatility
JUMP_DAYS, JUMP_SIZES = 0.012, 3.0  # share of days, in daily standard deviations
TAIL_DEGREES = 6.0
WICK_LEAN = 1.5  # a wick is lengthened by e^(1.5 pressure); measured: a model sees nearly all of it
EDGE_MAX = 0.2


@dataclass(frozen=True, slots=True)
class Market:
    """What a synthetic market is made from; every number of it is in the source's name.

    Parameters
    ----------
    interval : str, in Kite's words
    symbols, days : int
    edge : float in [0, 0.2]
    seed : int
    """

    interval: str = "15minute"
    symbols: int = 12
    days: int = 250
    edge: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("--symbols", self.symbols, 1, 5_000),
            ("--days", self.days, 2, 6_000),
            ("--edge", self.edge, 0.0, EDGE_MAX),
            ("--seed", self.seed, 0, 2**32 - 1),
        ):
            if not low <= value <= high:
                raise SettingRefused(
                    name, given=value, allowed=f"{low} to {high}", fix="choose a number in between"
                )
        if self.interval not in INTERVAL_MS:
            raise SettingRefused(
                "--interval",
                given=repr(self.interval),
                allowed=", ".join(INTERVAL_MS),
                fix="use the broker's word",
            )


class SyntheticSource:
    """A made-up market, one symbol at a time."""

    skipped: Sequence[Skipped] = ()

    def __init__(self, market: Market) -> None:
        self._market = market
        self._clock = _Clock.of(market.interval)

    @property
    def facts(self) -> Facts:
        """What is told of a market that nobody traded."""
        m = self._market
        return Facts(
            source="synthetic",
            interval=m.interval,
            adjustment="none: generated",
            notes=(
                f"synthetic market of fictional shares, not real prices: {m.symbols} symbols, "
                f"{m.days} days, edge {m.edge:g}, seed {m.seed}"
            ),
        )

    @property
    def symbols(self) -> Sequence[str]:
        """Fictional keys: no share of NSE is called so."""
        return [f"NSE:SYN{number:03d}" for number in range(1, self._market.symbols + 1)]

    @cached_property
    def sessions(self) -> Sequence[date]:
        """The last regular NSE sessions up to `LAST_DAY`."""
        days: list[date] = []
        on = LAST_DAY
        while len(days) < self._market.days and on.year >= FIRST_YEAR:
            session = NSE.session(on)
            if session is not None and session.kind == "regular" and not session.assumed:
                days.append(on)
            on -= timedelta(days=1)
        return days[::-1]

    def read(self, symbol: str) -> pd.DataFrame:
        """Return the candles of one share."""
        number = int(symbol.removeprefix("NSE:SYN"))
        draw = np.random.default_rng([self._market.seed, 1, number])
        days = len(self.sessions)
        volatility = draw.uniform(*DAILY_VOLATILITY) * _clusters(draw, days)
        night, inside, variance = self._moves(draw, volatility)
        pressure = _pressure(draw, inside.size, self._clock.memory).reshape(inside.shape)
        inside += self._drift(pressure, variance)
        values = _candles(draw, night, inside, variance, pressure)
        values["volume"] = self._volume(draw, values["open"], inside / np.sqrt(variance))
        ms = self._times()
        months = ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
        steps = month_steps(months, values["close"])
        for name in ("open", "high", "low", "close"):
            values[name] = round_to_grid(values[name], steps)
        return make_frame(symbol, ms, values)

    def finish(self) -> None:
        """Nothing was kept."""

    @cached_property
    def _factor(self) -> tuple[Floats, Floats, Floats]:
        """Return the market's shocks: over night (days,), inside (days, candles), days' volatility.

        Shocks have variance 1; a jump day of the market is everybody's.
        """
        draw = np.random.default_rng([self._market.seed, 0])
        days = len(self.sessions)
        clusters = _clusters(draw, days)
        return draw.standard_normal(days), _shocks(draw, (days, self._clock.candles)), clusters

    def _moves(
        self, draw: np.random.Generator, volatility: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Return log moves over night (days,), in each candle (days, candles), its variance."""
        market_night, market_inside, market_clusters = self._factor
        shared, own = np.sqrt(MARKET_SHARE), np.sqrt(1.0 - MARKET_SHARE)
        daily = volatility * np.sqrt(market_clusters)
        jumps = draw.random(len(daily)) < JUMP_DAYS
        size = draw.standard_normal(len(daily)) * JUMP_SIZES * jumps
        usual = shared * market_night + own * draw.standard_normal(len(daily))
        night = (usual * np.sqrt(OVERNIGHT_SHARE) + size) * daily
        shocks = shared * market_inside + own * _shocks(draw, market_inside.shape)
        scale = daily[:, None] * np.sqrt((1.0 - OVERNIGHT_SHARE) * self._clock.shares)[None, :]
        variance = scale**2
        return night, shocks * scale, variance

    def _drift(self, pressure: Floats, variance: Floats) -> Floats:
        """Return what the pressure shown by the candle before adds to a candle's log move."""
        before = np.concatenate([[0.0], pressure.ravel()[:-1]]).reshape(pressure.shape)
        return np.asarray(self._clock.correlation(self._market.edge) * before * np.sqrt(variance))

    def _volume(self, draw: np.random.Generator, prices: Floats, sizes: Floats) -> Floats:
        turnover = draw.uniform(2e8, 2e9)  # rupees a day
        noise = draw.standard_normal(sizes.shape) * 0.35 + 0.25 * np.minimum(np.abs(sizes), 4.0)
        days = draw.standard_normal(len(sizes))[:, None] * 0.3
        shares = turnover / prices[0] * self._clock.shares[None, :] * np.exp(noise + days)
        return np.asarray(np.maximum(np.rint(shares.ravel()), 1.0))

    def _times(self) -> Ints:
        starts = np.array([day_start_ms(day) for day in self.sessions], dtype=np.int64)
        return (starts[:, None] + self._clock.offsets_ms[None, :]).ravel()


@dataclass(frozen=True, slots=True)
class _Clock:
    """A session cut into candles: when each starts, and its share of the day's variance."""

    offsets_ms: Ints
    shares: Floats
    memory: float
    ahead: int

    @property
    def candles(self) -> int:
        return len(self.offsets_ms)

    @classmethod
    def of(cls, interval: str) -> _Clock:
        minutes = SESSION_MINUTES if interval == "day" else INTERVAL_MS[interval] // MINUTE_MS
        starts = np.arange(0, SESSION_MINUTES, minutes)
        middle = (np.arange(SESSION_MINUTES) + 0.5) / SESSION_MINUTES
        u_shape = 0.55 + 3.6 * (middle - 0.5) ** 2 + 1.2 * np.exp(-middle * 25.0)
        shares = np.add.reduceat(u_shape, starts) / u_shape.sum()
        offsets = np.zeros(1) if interval == "day" else starts + OPEN_MINUTE
        ahead = max(1, 15 // minutes)
        # pressure lasts about 15 minutes, and two candles where candles are longer
        memory = float(np.exp(-1.0 / max(2.0, 15.0 / minutes)))
        return cls((offsets * MINUTE_MS).astype(np.int64), shares, memory, ahead)

    def correlation(self, edge: float) -> float:
        """Return the correlation of pressure and next candle that gives AUC 0.5 + edge `ahead`."""
        reached = NormalDist().inv_cdf(0.5 + edge) * np.sqrt(2.0) / (2.0 * np.sqrt(2.0 / np.pi))
        if (
            self.candles == 1
        ):  # the night's move, which the pressure does not drive, dilutes a day's
            reached /= np.sqrt(1.0 - OVERNIGHT_SHARE)
        together = sum(self.memory**k for k in range(self.ahead)) / np.sqrt(self.ahead)
        return float(reached / together)


def _clusters(draw: np.random.Generator, days: int) -> Floats:
    """Return each day's volatility over its usual level: a slow log autoregression, mean 1."""
    steps = draw.standard_normal(days) * CLUSTER_SPREAD * np.sqrt(1.0 - CLUSTER_MEMORY**2)
    level = np.empty(days)
    now = draw.standard_normal() * CLUSTER_SPREAD
    for day in range(days):
        now = CLUSTER_MEMORY * now + steps[day]
        level[day] = now
    return np.asarray(np.exp(level - CLUSTER_SPREAD**2 / 2.0))


def _shocks(draw: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return heavy-tailed shocks of variance 1."""
    shocks = draw.standard_t(TAIL_DEGREES, size=shape)
    return np.asarray(shocks * np.sqrt((TAIL_DEGREES - 2.0) / TAIL_DEGREES))


def _pressure(draw: np.random.Generator, candles: int, memory: float) -> Floats:
    """Return an autoregression of variance 1, computed as a sum of doubling lags (no loop)."""
    level = draw.standard_normal(candles) * np.sqrt(1.0 - memory**2)
    lag, weight = 1, memory
    while lag < candles and weight > 1e-9:
        level[lag:] = level[lag:] + weight * level[:-lag]
        lag, weight = lag * 2, weight**2
    return np.asarray(level)


def _candles(
    draw: np.random.Generator, night: Floats, inside: Floats, variance: Floats, pressure: Floats
) -> dict[str, Floats]:
    """Return open, high, low, close, each (days * candles,), from log moves.

    Wicks follow the law of a Brownian bridge's extremes; pressure lengthens the lower one (sold
    down, bought back) and shortens the upper one, or the other way round.
    """
    start = np.log(draw.uniform(120.0, 2_500.0))
    moves = np.concatenate([night[:, None], inside], axis=1)
    path = start + np.cumsum(moves.ravel()).reshape(moves.shape)
    log_open, log_close = path[:, :-1], path[:, 1:]
    body = np.abs(inside)

    def wick() -> Floats:
        uniform = 1.0 - draw.random(inside.shape)
        return np.asarray((np.sqrt(body**2 - 2.0 * variance * np.log(uniform)) - body) / 2.0)

    lean = np.exp(WICK_LEAN * np.clip(pressure, -3.0, 3.0))
    usual = np.exp(-(WICK_LEAN**2) / 4.0)  # else leaning would stretch the ranges
    high = np.maximum(log_open, log_close) + usual * wick() / lean
    low = np.minimum(log_open, log_close) - usual * wick() * lean
    logs = {"open": log_open, "high": high, "low": low, "close": log_close}
    return {name: np.exp(values).ravel() for name, values in logs.items()}
