"""A replay as a picture: the price, both levels, where it began and where it ended.

Pure: what it returns is text (one SVG, alone or inside an HTML page that needs no network). Holds
at most a few thousand points whatever the length of the path.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from html import escape

from agent.trailing.plan import Plan
from agent.trailing.ratchet import Ticks, TrailState
from agent.trailing.replay import Line
from agent.trailing.rows import IST, epoch_ms

POINTS_MAX = 600
WIDTH, HEIGHT = 960, 440
_DAY_MS, _IST_MS = 86_400_000, 19_800_000
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 22, 46, 40
# Told apart by dash and position as well as by colour; both readable on paper.
PRICE, STOP, TARGET, ENTRY = "#5b6470", "#b4381f", "#1f7a45", "#8a94a3"


@dataclass(frozen=True, slots=True)
class Point:
    """A stretch of the path: its time, its lowest and highest price, the levels after it."""

    ts_ms: Ticks
    low: Ticks
    high: Ticks
    stop: int
    target: int | None


class Trace:
    """Collects a path; merges neighbours when there are too many."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self._stretch, self._in_stretch = 1, 0

    def add(self, ts_ms: Ticks, low: Ticks, high: Ticks, state: TrailState) -> None:
        """Take in one tick, or one candle, and the state after it."""
        point = Point(ts_ms, low, high, state.stop, state.target)
        if self._in_stretch and self._in_stretch < self._stretch:
            self.points[-1] = _merged(self.points[-1], point)
        else:
            self.points.append(point)
            self._in_stretch = 0
        self._in_stretch += 1
        if len(self.points) > POINTS_MAX:
            pairs = zip(self.points[::2], self.points[1::2], strict=False)
            odd = self.points[-1:] if len(self.points) % 2 else []
            self.points = [_merged(one, other) for one, other in pairs] + odd
            self._stretch *= 2
            self._in_stretch = self._stretch

    def cut_after(self, ts_ms: Ticks) -> None:
        """Forget what came after an exit (candles are examined past an ambiguous one)."""
        self.points = [point for point in self.points if point.ts_ms <= ts_ms]


@dataclass(frozen=True, slots=True)
class Ending:
    """Where the line ends: `what` is `stop`, `target` or `end`."""

    ts_ms: Ticks
    price: Ticks
    what: str


@dataclass(frozen=True, slots=True)
class Series:
    """One line: (time, price in ticks) corners, and how it is drawn."""

    name: str
    colour: str
    dash: str
    width: float
    places: Sequence[tuple[Ticks, Ticks]]

    @property
    def style(self) -> str:
        """The line style in matplotlib's words."""
        return {"": "-", "7 3": "--"}.get(self.dash, ":")

    def hours_and_rupees(self, tick: Fraction) -> tuple[list[float], list[float]]:
        """Return the corners as hours after midnight and rupees."""
        return (
            [hour_of(ts_ms) for ts_ms, _ in self.places],
            [float(price * tick) for _, price in self.places],
        )


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn, whatever draws it."""

    title: str
    tick: Fraction
    series: Sequence[Series]
    ending: Ending | None


def hour_of(ts_ms: Ticks) -> float:
    """Return an instant as hours after its midnight in Asia/Kolkata."""
    return float((ts_ms + _IST_MS) % _DAY_MS) / 3_600_000


def drawing_of(plan: Plan, trace: Trace, opened: Line | None, ended: Line | None) -> Drawing:
    """Return the picture of a replay from its trace, its `open` and its last line."""
    tick = Fraction(plan.tick_size)
    entry = plan.entry / tick
    ending = None
    if ended is not None:
        at = epoch_ms(str(ended.fields["ts"]))
        what = str(ended.fields.get("reason", "end"))
        ending = Ending(at, Fraction(str(ended.fields["price"])) / tick, what)
        trace.cut_after(at)
    start = epoch_ms(str(opened.fields["ts"])) if opened is not None else 0
    points = [Point(start, entry, entry, plan.stop, plan.target), *trace.points]
    prices: list[tuple[Ticks, Ticks]] = []
    for point in points[1:]:
        prices += [(point.ts_ms, point.low), (point.ts_ms, point.high)]
    series = [
        Series("entry", ENTRY, "2 4", 1.0, [(start, entry), (points[-1].ts_ms, entry)]),
        Series("price", PRICE, "", 1.1, prices or [(start, entry)]),
        Series("stop", STOP, "", 2.0, _steps([(p.ts_ms, p.stop) for p in points])),
    ]
    targets = [(p.ts_ms, p.target) for p in points if p.target is not None]
    if targets:
        series.append(Series("target", TARGET, "7 3", 2.0, _steps(targets)))
    entry_text = f"{float(plan.entry):g}"
    title = f"{plan.side.value} from {entry_text}, {plan.policy.mode} ({plan.policy.source})"
    return Drawing(title, tick, series, ending)


def svg(drawing: Drawing) -> str:
    """Return the drawing as one `<svg>` element."""
    frame = _Frame(drawing)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{escape(drawing.title)}" font-size="13" '
            'font-family="system-ui, sans-serif">'
        ),
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="22" font-size="15" fill="#1d2530">{escape(drawing.title)}</text>',
        *frame.grid(),
        *(frame.line(series) for series in drawing.series),
    ]
    ending = drawing.ending
    if ending is not None:
        colour = {"stop": STOP, "target": TARGET}.get(ending.what, PRICE)
        x, y = frame.at(ending.ts_ms, ending.price)
        parts.append(
            f'<circle cx="{x}" cy="{y}" r="5" fill="{colour}"/>'
            f'<text x="{float(x) - 9:.1f}" y="{float(y) - 9:.1f}" text-anchor="end" '
            'paint-order="stroke" stroke="#ffffff" stroke-width="4" '
            f'fill="{colour}">{ending.what} {float(ending.price * drawing.tick):.2f}</text>'
        )
    for place, series in enumerate(reversed(drawing.series)):
        parts.append(
            f'<text x="{WIDTH - _RIGHT - 62 * place}" y="22" text-anchor="end" '
            f'fill="{series.colour}">{series.name}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def html(drawing: str, *, title: str) -> str:
    """Return a page that holds one drawing and needs nothing else."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        "</title><style>body{margin:2rem auto;max-width:60rem;padding:0 1rem}svg{width:100%;"
        f"height:auto}}</style></head><body>\n{drawing}\n</body></html>\n"
    )


class _Frame:
    """Times and prices to places on the sheet."""

    def __init__(self, drawing: Drawing) -> None:
        places = [place for series in drawing.series for place in series.places]
        if drawing.ending is not None:
            places.append((drawing.ending.ts_ms, drawing.ending.price))
        low, high = min(float(p) for _, p in places), max(float(p) for _, p in places)
        pad = 0.04 * (high - low) or 1.0
        self._low, self._high = low - pad, high + pad
        self._first = min(t for t, _ in places)
        self._span = float(max(t for t, _ in places) - self._first) or 1.0
        self._tick = float(drawing.tick)

    def at(self, ts_ms: Ticks, price: Ticks) -> tuple[str, str]:
        x = _LEFT + float(ts_ms - self._first) / self._span * (WIDTH - _LEFT - _RIGHT)
        up = (float(price) - self._low) / (self._high - self._low)
        return f"{x:.1f}", f"{HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM):.1f}"

    def line(self, series: Series) -> str:
        path = " ".join(dict.fromkeys(",".join(self.at(*place)) for place in series.places))
        dashed = f' stroke-dasharray="{series.dash}"' if series.dash else ""
        return (
            f'<polyline points="{path}" fill="none" stroke="{series.colour}" '
            f'stroke-width="{series.width}"{dashed}/>'
        )

    def grid(self) -> list[str]:
        parts = []
        for fifth in range(6):
            price = self._low + fifth / 5 * (self._high - self._low)
            y = HEIGHT - _BOTTOM - fifth / 5 * (HEIGHT - _TOP - _BOTTOM)
            x = _LEFT + fifth / 5 * (WIDTH - _LEFT - _RIGHT)
            ms = float(self._first) + fifth / 5 * self._span
            moment = datetime.fromtimestamp(ms / 1000, UTC).astimezone(IST)
            label = moment.strftime("%H:%M" if self._span < _DAY_MS else "%d %b %H:%M")
            parts += [
                (
                    f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
                    'stroke="#e6e9ee"/>'
                ),
                (
                    f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#5b6470">'
                    f"{price * self._tick:.2f}</text>"
                ),
                (
                    f'<text x="{x:.1f}" y="{HEIGHT - 14}" text-anchor="middle" fill="#5b6470">'
                    f"{label}</text>"
                ),
            ]
        return parts


def _steps(places: Sequence[tuple[Ticks, int]]) -> list[tuple[Ticks, Ticks]]:
    """Return the corners of a line that jumps when a level moves."""
    corners: list[tuple[Ticks, Ticks]] = [places[0]]
    for (_, level), (later, next_level) in itertools.pairwise(places):
        if next_level != level:
            corners += [(later, level), (later, next_level)]
    return [*corners, places[-1]]


def _merged(one: Point, other: Point) -> Point:
    return replace(
        other, ts_ms=one.ts_ms, low=min(one.low, other.low), high=max(one.high, other.high)
    )
