"""Charts are well-formed, self-contained SVG that loses no extreme and refuses to draw nothing."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.demo.charts import POINTS_MAX, Line, Mark, chart, nice_steps, thin

finite = st.floats(-1e7, 1e7, allow_nan=False)
paths = st.lists(finite, min_size=1, max_size=2000).map(
    lambda ys: [(float(i), y) for i, y in enumerate(ys)]
)


@given(paths)
def test_any_path_gives_well_formed_svg_inside_its_frame(points: list[tuple[float, float]]) -> None:
    svg = ElementTree.fromstring(chart([Line(points, "price")], title='a "quoted" <title>'))
    numbers = [
        float(token)
        for path in svg.iter("path")
        for token in path.get("d", "").translate(str.maketrans("MLHV", "    ")).split()
    ]
    assert numbers
    assert all(-1 <= number <= 681 for number in numbers)


@given(paths)
def test_thinning_keeps_ends_and_extremes(points: list[tuple[float, float]]) -> None:
    kept = thin(points)
    ys = [y for _, y in points]
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert min(y for _, y in kept) == min(ys)
    assert max(y for _, y in kept) == max(ys)
    assert len(kept) <= POINTS_MAX + 4
    assert [x for x, _ in kept] == sorted(x for x, _ in kept)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_axis_values_lie_inside_and_are_few(low: float, span: float) -> None:
    steps = nice_steps(low, low + span, 4)
    assert len(steps) <= 6
    assert all(low - span * 1e-6 <= value <= low + span * (1 + 1e-6) for value in steps)


def test_a_stepped_level_holds_until_it_moves() -> None:
    svg = chart([Line([(0, 9), (50, 10), (100, 10)], "stop", stepped=True)], title="stop")
    path = next(p for p in ElementTree.fromstring(svg).iter("path") if p.get("class") == "stop")
    assert path.get("d", "").count("H") == 2
    assert "L" not in path.get("d", "")


def test_a_mark_carries_its_word_escaped() -> None:
    assert "a &lt; b" in chart([], [Mark(1, 2, "a < b", "exit")], title="t")


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="no finite point"):
        chart([Line([(0, math.nan)], "price")], title="empty")
