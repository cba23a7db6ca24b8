"""A market without a source: minute candles of ten well-known NSE symbols with invented prices.

The names are real so that tokens and grids look like the broker's; the paths are fiction, and
every page that shows them says so. A market factor and each stock's own noise, volatility that
clusters by day, U-shaped inside the day, with jumps and overnight gaps. Same seed, same candles.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from agent.market.sessions import NSE, Session
from agent.paper import paths
from agent.paper.extra import numpy as np
from agent.paper.source import CandleSet, Columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

HISTORY_DAYS: Final = 60
REPLAY_DAYS: Final = 60
MINUTE_MS: Final = 60_000
STEPS_A_MINUTE: Final = 8
CORRELATED: Final = 0.5  # the market's share of a stock's standard deviation, mean corr. 0.25
OVERNIGHT_SHARE: Final = 0.22  # of a day's variance
VOLATILITY_MEMORY: Final = 0.92
VOLATILITY_STIR: Final = 0.16
JUMPS_A_DAY: Final = 0.08
JUMP_DAYS: Final = 1.3  # the size of a jump in daily standard deviations


@dataclass(frozen=True, slots=True)
class Fiction:
    """A symbol's start: price in rupees, daily standard deviation, shares a day."""

    symbol: str
    price: float
    daily: float
    shares: float


TEN: Final = (
    Fiction("RELIANCE", 1_420.0, 0.014, 9e6),
    Fiction("TCS", 3_310.0, 0.013, 2.2e6),
    Fiction("HDFCBANK", 985.0, 0.012, 1.6e7),
    Fiction("INFY", 1_540.0, 0.015, 7e6),
    Fiction("ICICIBANK", 1_365.0, 0.013, 1.1e7),
    Fiction("SBIN", 915.0, 0.015, 1.2e7),
    Fiction("ITC", 412.0, 0.011, 1.3e7),
    Fiction("LT", 3_880.0, 0.014, 1.9e6),
    Fiction("AXISBANK", 1_195.0, 0.016, 8e6),
    Fiction("TATASTEEL", 171.5, 0.019, 3.5e7),
)


def draw_market(seed: int, *, first: date, days: int = REPLAY_DAYS) -> CandleSet:
    """Draw minute candles: `HISTORY_DAYS` sessions before `first`, `days` from it on.

    Parameters
    ----------
    seed : int
    first : date
        The first replayed day, a session.
    days : int

    Returns
    -------
    CandleSet, interval `minute`
    """
    sessions = _sessions(first, days)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 0x5EED])))
    count = len(TEN)
    level = np.log([one.price for one in TEN])
    daily = np.array([one.daily for one in TEN])
    heat = np.zeros(count + 1)  # ln of today's volatility relative to the usual one
    rows: list[list[tuple[Any, ...]]] = [[] for _ in TEN]
    for session in sessions:
        minutes = (session.closes_ms - session.opens_ms) // MINUTE_MS
        stir = rng.standard_normal(count + 1) * VOLATILITY_STIR
        heat = VOLATILITY_MEMORY * heat + stir
        today = daily * np.exp(0.5 * (heat[0] + heat[1:]))
        path = _day(level, today, int(minutes), rng)
        level = path[-1]
        shares = _volumes(today / daily, int(minutes), rng)
        stamps = session.opens_ms + MINUTE_MS * np.arange(minutes)
        candles = np.exp(path[1:]).reshape(int(minutes), STEPS_A_MINUTE, count)
        for n in range(count):
            one = candles[:, :, n]
            extremes = (one[:, 0], one.max(axis=1), one.min(axis=1), one[:, -1])
            rows[n].append((stamps, *extremes, shares[:, n]))
    return CandleSet("minute", {f"NSE:{f.symbol}": _joined(rows[n]) for n, f in enumerate(TEN)})


def _day(level: Floats, today: Floats, minutes: int, rng: np.random.Generator) -> Floats:
    """Return log prices (1 + minutes * steps, n_symbols): yesterday's close, then the day."""
    steps, count = minutes * STEPS_A_MINUTE, level.size
    gap = today * OVERNIGHT_SHARE**0.5
    clock = np.sqrt(paths.u_shaped_clock(steps) * (1 - OVERNIGHT_SHARE))
    own = (1 - CORRELATED**2) ** 0.5
    noise = own * rng.standard_normal((steps, count))
    noise += CORRELATED * rng.standard_normal((steps, 1))
    moves = noise * clock[:, None] * today
    jumping = np.flatnonzero(rng.random(count) < JUMPS_A_DAY)
    for n in jumping.tolist():
        at = int(rng.integers(steps))
        moves[at, n] += today[n] * JUMP_DAYS * float(np.clip(rng.standard_t(4), -4, 4))
    opening = CORRELATED * rng.standard_normal() + own * rng.standard_normal(count)
    moves[0] += gap * opening
    path: Floats = np.concatenate((level[None], level + np.cumsum(moves, axis=0)))
    return path


def _volumes(heat: Floats, minutes: int, rng: np.random.Generator) -> Floats:
    """Return shares (minutes, n_symbols), U-shaped, more on a hot day."""
    usual = np.array([one.shares for one in TEN]) * heat
    noise = np.exp(0.5 * rng.standard_normal((minutes, len(TEN))) - 0.125)
    shares: Floats = np.rint(paths.u_shaped_clock(minutes)[:, None] * usual * noise) + 1
    return shares


def _sessions(first: date, days: int) -> list[Session]:
    """Return the sessions; all ten have derivatives, so they close by auction since Aug 2026."""
    found: list[Session] = []
    at = first
    for _ in range(HISTORY_DAYS):
        before = NSE.previous_session(at, derivatives=True)
        if before is None:
            break
        found.insert(0, before)
        at = before.on
    session = NSE.session(first, derivatives=True) or NSE.next_session(first, derivatives=True)
    for _ in range(days):
        if session is None:
            break
        found.append(session)
        session = NSE.next_session(session.on, derivatives=True)
    return found


def _joined(rows: list[tuple[Any, ...]]) -> Columns:
    stamps, *columns = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    return Columns(stamps.astype(np.int64), *columns)
