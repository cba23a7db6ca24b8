"""Numbers to inline SVG: an equity curve, and a trade with the stop and target that followed it.

Pure: values in, text out. No script, no font, no request, so a report opens anywhere. Colours come
from CSS variables of the page (dark mode); every line differs in dash as well as in colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from agent.market.sessions import IST

Point = tuple[float, float]  # (epoch ms or index, rupees)
POINTS_MAX = 360  # beyond this a 680 pixel wide line shows nothing more


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Attributes
    ----------
    points : sequence of (x, y)
        Ascending in x.
    style : str
        CSS class: `price`, `stop`, `target` or `equity`.
    stepped : bool
        True for a level that holds until it moves.
    """

    points: Sequence[Point]
    style: str
    stepped: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A point with a word beside it: an entry or an exit."""

    x: float
    y: float
    word: str
    style: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The rectangle that a chart is drawn in, in pixels."""

    width: int = 680
    height: int = 220
    left: int = 64
    right: int = 14
    top: int = 12
    bottom: int = 26


def chart(
    lines: Sequence[Line],
    marks: Sequence[Mark] = (),
    *,
    title: str,
    frame: Frame = Frame(),
    time_axis: bool = True,
) -> str:
    """Draw lines and marks with axes.

    Parameters
    ----------
    lines, marks : sequences
        What is drawn; x in epoch ms where `time_axis`, else in counts; y in rupees.
    title : str
        The text alternative, read by screen readers.

    Returns
    -------
    str
        One `<svg>` element.

    Raises
    ------
    ValueError
        If there is not a single finite point.
    """
    points = [p for line in lines for p in line.points] + [(m.x, m.y) for m in marks]
    points = [p for p in points if math.isfinite(p[0]) and math.isfinite(p[1])]
    if not points:
        raise ValueError(f"chart {title!r}: no finite point to draw")
    scale = _Scale.around(points, frame)
    body = [*_grid(scale, time_axis=time_axis)]
    body += [f'<path class="{line.style}" d="{_path(line, scale)}"/>' for line in lines]
    body += [_mark(mark, scale) for mark in marks]
    return (
        f'<svg class="chart" viewBox="0 0 {frame.width} {frame.height}" role="img" '
        f'aria-label="{escape(title, quote=True)}">' + "".join(body) + "</svg>"
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    frame: Frame
    x0: float
    x1: float
    y0: float
    y1: float

    @classmethod
    def around(cls, points: Sequence[Point], frame: Frame) -> _Scale:
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        pad = (max(ys) - min(ys)) * 0.06 or max(abs(max(ys)) * 0.01, 1.0)
        return cls(frame, min(xs), max(*xs, min(xs) + 1), min(ys) - pad, max(ys) + pad)

    def x(self, value: float) -> float:
        inner = self.frame.width - self.frame.left - self.frame.right
        return round(self.frame.left + inner * (value - self.x0) / (self.x1 - self.x0), 1)

    def y(self, value: float) -> float:
        inner = self.frame.height - self.frame.top - self.frame.bottom
        return round(self.frame.top + inner * (self.y1 - value) / (self.y1 - self.y0), 1)


def _path(line: Line, scale: _Scale) -> str:
    points = line.points if line.stepped else thin(line.points)
    if not points:
        return ""
    (x, y), *rest = points
    parts = [f"M{scale.x(x)} {scale.y(y)}"]
    for x, y in rest:
        step = f"H{scale.x(x)}V{scale.y(y)}" if line.stepped else f"L{scale.x(x)} {scale.y(y)}"
        parts.append(step)
    return "".join(parts)


def thin(points: Sequence[Point], most: int = POINTS_MAX) -> list[Point]:
    """Keep about `most` points: of each bucket its lowest and highest, so no spike is lost."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) / (most // 2))
    kept: list[Point] = []
    for start in range(0, len(points), size):
        bucket = points[start : start + size]
        extremes = {min(bucket, key=lambda p: p[1]), max(bucket, key=lambda p: p[1])}
        kept += sorted(extremes)
    return [points[0], *kept, points[-1]]


def _grid(scale: _Scale, *, time_axis: bool) -> list[str]:
    frame = scale.frame
    right, bottom = frame.width - frame.right, frame.height - frame.bottom
    drawn = []
    for value in nice_steps(scale.y0, scale.y1, 4):
        y = scale.y(value)
        drawn.append(f'<path class="grid" d="M{frame.left} {y}H{right}"/>')
        where = f'x="{frame.left - 6}" y="{y + 4}" text-anchor="end"'
        drawn.append(f'<text class="axis" {where}>{value:,g}</text>')
    count = 5
    for index in range(count):
        value = scale.x0 + (scale.x1 - scale.x0) * index / (count - 1)
        anchor = "start" if index == 0 else "end" if index == count - 1 else "middle"
        word = _clock(value, scale.x1 - scale.x0) if time_axis else f"{value:.0f}"
        drawn.append(
            f'<text class="axis" x="{scale.x(value)}" y="{bottom + 17}" '
            f'text-anchor="{anchor}">{word}</text>'
        )
    return drawn


def _clock(ms: float, span_ms: float) -> str:
    at = datetime.fromtimestamp(ms / 1000, IST)
    return at.strftime("%H:%M") if span_ms < 86_400_000 else at.strftime("%d %b")


def nice_steps(low: float, high: float, count: int) -> list[float]:
    """Return round values between `low` and `high`, about `count` of them."""
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough)
    first = math.ceil(low / step)
    return [round(index * step, 10) for index in range(first, math.floor(high / step) + 1)]


def _mark(mark: Mark, scale: _Scale) -> str:
    x, y = scale.x(mark.x), scale.y(mark.y)
    anchor, shift = ("end", -8) if x > scale.frame.width * 0.7 else ("start", 8)
    return (
        f'<circle class="mark {mark.style}" cx="{x}" cy="{y}" r="4"/>'
        f'<text class="word {mark.style}" x="{x + shift}" y="{y - 7}" '
        f'text-anchor="{anchor}">{escape(mark.word)}</text>'
    )
