"""A price path inside a candle that visits its open, high, low and close and betrays none of them.

Why: a naive path inside a real candle mean-reverts by construction, because it is forced into a
range that it "knows" (fading the first third of such a day earned +33 to +57 bp a trade). Here a
free random walk is chosen whose shape is the candle's, with a prior on its volatility that
undoes what the choice by shape leaks. It moves prices for the plumbing; it proves nothing about
a model or a policy.

Steps: a library of free walks; a candle's shape x = ln(C/O)/R, y = ln(H/O)/R with R = ln(H/L);
the K nearest walks; one of them by Gumbel-max, weighted by how likely its implied volatility R/R_i
is given the trailing one; scaled, tilted to the close, stretched outside [min(O,C), max(O,C)] to
the high and the low; then the tick grid. Draws come from the generator that is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from agent.paper.extra import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

NEAREST: Final = 60
DAY_WALKS: Final = 20_000
DAY_STEPS: Final = 1_500
CANDLE_WALKS: Final = 4_000
CANDLE_STEPS: Final = 256
KEPT_VALUES_MAX: Final = 2_000_000  # 16 MB; the day library would be 240
CHUNK: Final = 20  # walks that are drawn together; one is drawn again with its chunk
TRAILING_SPAN: Final = 14  # candles of the trailing range
TAU_MIN: Final = 0.15  # the prior never gets sharper than this (measured on real days: 0.28)


@dataclass(frozen=True, slots=True)
class Library:
    """Free random walks and their shapes; a walk itself is drawn again when it is chosen.

    Parameters
    ----------
    seed : int
    clock : float64 (n_steps,)
        Share of the variance in each step; sums to 1.
    x, y, log_range : float64 (n_walks,)
        Shape of each walk and ln of its range.
    kept : float64 (n_walks, n_steps + 1), optional
        The walks themselves, where they are small enough to hold.
    """

    seed: int
    clock: Floats
    x: Floats
    y: Floats
    log_range: Floats
    kept: Floats | None = None

    def walk(self, number: int) -> Floats:
        """Return one walk, float64 (n_steps + 1,), log price relative to its start."""
        if self.kept is not None:
            walk: Floats = self.kept[number]
            return walk
        chunk, row = divmod(number, CHUNK)
        walk = _walks(self.seed, chunk, self.clock)[row]
        return walk  # noqa: RET504  (typed above)


def u_shaped_clock(steps: int) -> Floats:
    """Return the share of a day's variance in each of its steps: high at both ends."""
    t = (np.arange(steps) + 0.5) / steps
    weight = 0.55 + 1.6 * np.exp(-t / 0.08) + 0.7 * np.exp(-(1 - t) / 0.10)
    share: Floats = weight / weight.sum()
    return share


def flat_clock(steps: int) -> Floats:
    """Return equal shares: inside one short candle no time of day is known."""
    return np.full(steps, 1.0 / steps)


def draw_library(seed: int, *, walks: int, clock: Floats) -> Library:
    """Draw the walks and keep their shapes.

    Parameters
    ----------
    seed : int
    walks : int
        A multiple of `CHUNK`.
    clock : float64 (n_steps,)
    """
    keep = walks * clock.size <= KEPT_VALUES_MAX
    shapes, kept = [], []
    for chunk in range(walks // CHUNK):
        drawn = _walks(seed, chunk, clock)
        shapes.append(_shapes(drawn))
        if keep:
            kept.append(drawn)
    x, y, log_range = (np.concatenate(column) for column in zip(*shapes, strict=True))
    return Library(seed, clock, x, y, log_range, np.concatenate(kept) if keep else None)


@lru_cache(maxsize=2)
def day_library(seed: int) -> Library:
    """Return the walks for day candles: 1,500 steps on a U-shaped clock."""
    return draw_library(seed, walks=DAY_WALKS, clock=u_shaped_clock(DAY_STEPS))


@lru_cache(maxsize=2)
def candle_library(seed: int) -> Library:
    """Return the walks for shorter candles: 256 steps of equal weight."""
    return draw_library(seed, walks=CANDLE_WALKS, clock=flat_clock(CANDLE_STEPS))


def trailing_log_ranges(log_ranges: Floats) -> Floats:
    """Return the EWMA of the candles before each one; the first has only itself.

    Parameters
    ----------
    log_ranges : float64 (n_candles,), ln of ln(H/L), oldest first; NaN for a flat candle

    Returns
    -------
    float64 (n_candles,)
    """
    alpha = 2 / (TRAILING_SPAN + 1)
    trailing = np.empty_like(log_ranges)
    level = float("nan")
    for n, now in enumerate(log_ranges.tolist()):
        trailing[n] = now if level != level else level  # noqa: PLR0124  (NaN: nothing before)
        if now == now:  # noqa: PLR0124
            level = now if level != level else level + alpha * (now - level)  # noqa: PLR0124
    return trailing


def prior_width(log_ranges: Floats, trailing: Floats, library: Library) -> float:
    """Return tau: how far a candle's volatility strays from the trailing one, in ln.

    What the ranges vary around their trailing value, less what a free walk's range varies
    at constant volatility.
    """
    strays = (log_ranges - trailing)[1:]
    strays = strays[np.isfinite(strays)]
    if strays.size < 2:
        return TAU_MIN
    excess = float(np.var(strays) - np.var(library.log_range))
    return float(np.sqrt(max(excess, TAU_MIN**2)))


@dataclass(frozen=True, slots=True)
class Prior:
    """What the candles before tell about a candle's volatility: its usual range and tau, in ln."""

    trailing_log_range: float
    tau: float


def choose_walk(
    library: Library,
    candle: tuple[float, float, float, float],
    prior: Prior,
    rng: np.random.Generator,
) -> int:
    """Return the number of the walk that a candle is given.

    Parameters
    ----------
    library : Library
    candle : (open, high, low, close), high > low > 0
    prior : Prior
    rng : numpy.random.Generator
    """
    open_, high, low, close = candle
    log_range = np.log(high / low)
    x = np.log(close / open_) / log_range
    y = np.log(high / open_) / log_range
    apart = (library.x - x) ** 2 + (library.y - y) ** 2
    near = np.argpartition(apart, NEAREST)[:NEAREST]
    near = near[np.lexsort((near, apart[near]))]  # argpartition promises no order
    log_sigma = np.log(log_range) - library.log_range[near]
    expected = prior.trailing_log_range - library.log_range.mean()
    weight = -0.5 * ((log_sigma - expected) / prior.tau) ** 2
    return int(near[np.argmax(weight + rng.gumbel(size=NEAREST))])


def draw_path(
    library: Library,
    candle: tuple[float, float, float, float],
    prior: Prior,
    points: int,
    rng: np.random.Generator,
) -> Floats:
    """Return a path through a candle: its first point is the open, its last the close.

    Parameters
    ----------
    library : Library
    candle : (open, high, low, close), rupees or ticks, low > 0
    prior : Prior
    points : int, at least 4
    rng : numpy.random.Generator

    Returns
    -------
    float64 (points,), inside [low, high], both visited
    """
    open_, high, low, close = candle
    if high <= low:
        return np.full(points, float(open_))
    walk = library.walk(choose_walk(library, candle, prior, rng))
    sampled = _at_points(walk, library.clock, points, rng)
    log_range = np.log(high / low)
    scaled = sampled * (log_range / (walk.max() - walk.min()))
    t = np.linspace(0.0, 1.0, points)
    scaled = scaled + t * (np.log(close / open_) - scaled[-1])
    path = _stretched(scaled, np.log(np.array(candle) / open_))
    prices: Floats = open_ * np.exp(path)
    prices[0], prices[-1] = open_, close
    return prices


def on_grid(path: Floats, candle: tuple[int, int, int, int]) -> Ints:
    """Return a path of tick prices in whole ticks that visits all four prices of its candle.

    Parameters
    ----------
    path : float64 (points,), ticks
    candle : (open, high, low, close), ticks
    """
    open_, high, low, close = candle
    grid = np.clip(np.rint(path), low, high).astype(np.int64)
    grid[0], grid[-1] = open_, close
    inner = path[1:-1]
    top, bottom = int(np.argmax(inner)) + 1, int(np.argmin(inner)) + 1
    if top == bottom:  # a flat inside: any two points will do
        top, bottom = 1, 2
    if high not in (open_, close):
        grid[top] = high
    if low not in (open_, close):
        grid[bottom] = low
    return grid


def _walks(seed: int, chunk: int, clock: Floats) -> Floats:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, chunk])))
    steps = rng.standard_normal((CHUNK, clock.size)) * np.sqrt(clock)
    walks = np.zeros((CHUNK, clock.size + 1))
    np.cumsum(steps, axis=1, out=walks[:, 1:])
    return walks


def _shapes(walks: Floats) -> tuple[Floats, Floats, Floats]:
    high, low = walks.max(axis=1), walks.min(axis=1)
    reach = high - low
    return walks[:, -1] / reach, high / reach, np.log(reach)


def _at_points(walk: Floats, clock: Floats, points: int, rng: np.random.Generator) -> Floats:
    """Return the walk at so many instants, its extremes among them; finer ones are bridged."""
    steps = walk.size - 1
    if points - 1 > steps:
        return _refined(walk, clock, points, rng)
    index = np.rint(np.linspace(0, steps, points)).astype(np.int64)
    extremes = [n for n in sorted((int(walk.argmax()), int(walk.argmin()))) if 0 < n < steps]
    at = [min(max(int(np.searchsorted(index, n)), 1), points - 2) for n in extremes]
    if len(at) == 2 and at[0] == at[1]:  # both on one point: in their order on two
        at = [at[0] - 1, at[0]] if at[0] > 1 else [at[0], at[0] + 1]
    index[at] = extremes
    sampled: Floats = walk[np.sort(index)]
    return sampled


def _refined(walk: Floats, clock: Floats, points: int, rng: np.random.Generator) -> Floats:
    """Return the walk at more instants than it has steps: Brownian bridges between the steps."""
    steps = walk.size - 1
    at = np.linspace(0.0, steps, points)
    step = np.minimum(at.astype(np.int64), steps - 1)
    spacing = np.diff(at, prepend=0.0)
    noise = rng.standard_normal(points) * np.sqrt(spacing * clock[step])
    free = np.concatenate(([0.0], np.cumsum(noise[1:])))
    knots = np.interp(np.arange(steps + 1), at, free)
    bridge = free - np.interp(at, np.arange(steps + 1), knots)
    refined: Floats = np.interp(at, np.arange(steps + 1), walk) + bridge
    return refined


def _stretched(path: Floats, marks: Floats) -> Floats:
    """Return the path with its parts outside [min(O,C), max(O,C)] stretched to high and low.

    Parameters
    ----------
    path : float64 (points,), log price relative to the open
    marks : float64 (4,), open, high, low, close on the same scale
    """
    _, high, low, close = marks
    top, bottom = max(0.0, close), min(0.0, close)
    stretched = path.copy()
    reach = path.max() - top
    above = path > top
    if reach > 0:
        stretched[above] = top + (path[above] - top) * ((high - top) / reach)
    drop = bottom - path.min()
    below = path < bottom
    if drop > 0:
        stretched[below] = bottom - (bottom - path[below]) * ((bottom - low) / drop)
    return stretched
