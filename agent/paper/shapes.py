"""A market with a shape: candles along waypoints, for a day that is to teach something.

Between two waypoints the price wanders: a random walk pinned to both, so that nothing in it is
known before. Two waypoints at one time are a jump between two ticks. Days before the first are
history, a plain walk that ends at the close told. Same seed, same candles; all of it is fiction.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import TYPE_CHECKING, Final

from agent.market.sessions import NSE, Session
from agent.paper.extra import numpy as np
from agent.paper.source import CandleSet, Columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

MINUTE_MS: Final = 60_000
DAILY: Final = 0.01  # standard deviation of a day of history
Waypoint = tuple[time, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """How one symbol moves.

    Parameters
    ----------
    key : str
    close : float, rupees
        Of the day before the first.
    paths : one a day: waypoints (time, percent of the day's previous close), in order
    noise_bp : float
        Standard deviation of a minute, basis points.
    volume : int, shares a minute
    derivatives : bool
        It closes by auction at 15:15, as stocks with derivatives do.
    circuit_percent : float
        The limit of the day's prices around the previous close.
    split : (day number from 1, ratio), optional
        The prices of that day are those of shares that were divided.
    """

    key: str
    close: float
    paths: tuple[tuple[Waypoint, ...], ...]
    noise_bp: float = 3.0
    volume: int = 6_000
    derivatives: bool = True
    circuit_percent: float = 20.0
    split: tuple[int, int] | None = None


def draw_shapes(
    shapes: Sequence[Shape],
    days: Sequence[date],
    *,
    seed: int,
    history_days: int,
    minutes: int = 1,
) -> CandleSet:
    """Draw candles of the history and the days.

    Parameters
    ----------
    shapes : sequence of Shape
    days : sequence of date, sessions
    seed : int
    history_days : int
    minutes : int
        A candle's length; a day of longer ones has fewer ticks.

    Returns
    -------
    CandleSet
    """
    drawn = {shape.key: _columns(shape, days, seed, history_days) for shape in shapes}
    if minutes == 1:
        return CandleSet("minute", drawn)
    longer = {key: _grouped(columns, minutes) for key, columns in drawn.items()}
    return CandleSet(f"{minutes}minute", longer)


def _grouped(one: Columns, minutes: int) -> Columns:
    """Return longer candles: sessions are whole multiples of them."""
    by = [column.reshape(-1, minutes) for column in (one.open, one.high, one.low, one.close)]
    first, high, low, last = by
    shares = one.volume.reshape(-1, minutes).sum(axis=1)
    stamps = one.ts_ms[::minutes]
    return Columns(
        stamps, first[:, 0], high.max(axis=1), low.min(axis=1), last[:, -1], shares
    )  # fmt: skip


def _columns(shape: Shape, days: Sequence[date], seed: int, history_days: int) -> Columns:
    entropy = [seed, zlib.crc32(shape.key.encode())]
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
    before = _before(days[0], history_days, derivatives=shape.derivatives)
    steps = DAILY * rng.standard_normal(len(before))
    closes = shape.close * np.exp(-np.concatenate((np.cumsum(steps[::-1])[::-1], [0.0])))
    parts = []
    for n, session in enumerate(before):
        move = 100 * (closes[n + 1] / closes[n] - 1)
        ends = ((session.opens.time(), 0.0), (session.closes.time(), float(move)))
        parts.append(_day(float(closes[n]), ends, session, shape, rng))
    close = shape.close
    for n, on in enumerate(days):
        if shape.split is not None and shape.split[0] == n + 1:
            close /= shape.split[1]
        session = _session(on, derivatives=shape.derivatives)
        part = _day(close, shape.paths[min(n, len(shape.paths) - 1)], session, shape, rng)
        close = float(part[3][-1])
        parts.append(part)
    stamps, *prices = (np.concatenate(column) for column in zip(*parts, strict=True))
    shares = np.rint(shape.volume * np.exp(0.3 * rng.standard_normal(stamps.size)))
    first, high, low, last = prices
    return Columns(stamps.astype(np.int64), first, high, low, last, shares)


def _day(
    close: float, path: Sequence[Waypoint], session: Session, shape: Shape, rng: np.random.Generator
) -> tuple[Ints, Floats, Floats, Floats, Floats]:
    """Return (open stamps, open, high, low, close) of a day's minutes."""
    minutes = int((session.closes_ms - session.opens_ms) // MINUTE_MS)
    opens_at = session.opens.hour * 60 + session.opens.minute
    at = [(one.hour * 60 + one.minute - opens_at + one.second / 60, p) for one, p in path]
    noise = _pinned([t for t, _ in at], minutes, rng) * shape.noise_bp / 10_000
    edges = [_edge(at, k) for k in range(minutes + 1)]
    right = np.array([edge[1] for edge in edges[:-1]]) / 100 + noise[:-1]
    left = np.array([edge[0] for edge in edges[1:]]) / 100 + noise[1:]
    reach = np.abs(rng.standard_normal((2, minutes))) * shape.noise_bp / 20_000
    limit = shape.circuit_percent / 100
    levels = (right, np.maximum(right, left) + reach[0], np.minimum(right, left) - reach[1], left)
    first, high, low, last = (np.round(close * (1 + np.clip(x, -limit, limit)), 2) for x in levels)
    stamps = session.opens_ms + MINUTE_MS * np.arange(minutes, dtype=np.int64)
    return stamps, first, high, low, last


def _edge(path: Sequence[tuple[float, float]], minute: int) -> tuple[float, float]:
    """Return what the path comes from and goes on with at the edge of a minute."""
    before = [point for point in path if point[0] < minute]
    here = [value for at, value in path if at == minute]
    after = [point for point in path if point[0] > minute]
    if here:
        return (here[0] if before else here[-1]), here[-1]
    if not before or not after:
        value = (before or after)[-1 if before else 0][1]
        return value, value
    (t0, v0), (t1, v1) = before[-1], after[0]
    value = v0 + (v1 - v0) * (minute - t0) / (t1 - t0)
    return value, value


def _pinned(at: Sequence[float], minutes: int, rng: np.random.Generator) -> Floats:
    """Return a random walk of unit steps that is 0 at every waypoint."""
    walk = np.concatenate(([0.0], np.cumsum(rng.standard_normal(minutes))))
    pins = np.unique(np.clip(np.rint([0, *at, minutes]), 0, minutes)).astype(np.int64)
    pinned: Floats = walk - np.interp(np.arange(minutes + 1), pins, walk[pins])
    return pinned


def _before(first: date, count: int, *, derivatives: bool) -> list[Session]:
    found: list[Session] = []
    at = first
    for _ in range(count):
        session = NSE.previous_session(at, derivatives=derivatives)
        if session is None:
            break
        found.insert(0, session)
        at = session.on
    return found


def _session(on: date, *, derivatives: bool) -> Session:
    session = NSE.session(on, derivatives=derivatives)
    if session is None:
        raise ValueError(f"{on} is no session")
    return session
