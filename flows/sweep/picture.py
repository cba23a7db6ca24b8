"""The heat map of a sweep: two keys of the grid, the net result a trade in each cell, as one page.

Pure. A cell is the mean over all policies that share its two values (the other keys vary), so a
single lucky policy does not paint it; below it stands the band of what candles leave open. One
HTML file with its SVG inside: no script, no font, no request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from agent.errors import SettingRefused
from flows.sweep.judge import Worth
from flows.sweep.results import SIMULATED

CELL_WIDTH, CELL_HEIGHT = 118, 54
LEFT, TOP = 130, 64
STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --paper: #16181c; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
svg { max-width: 100%; height: auto; }
svg text { font: 13px system-ui, sans-serif; fill: var(--ink); }
svg .cell text { fill: #111; } svg .cell .band { font-size: 11px; } svg .axis { font-weight: 600; }
table { border-collapse: collapse; } td, th { padding: .2rem .7rem; text-align: right; }
.warning { border-left: 4px solid #b3261e; padding: .4rem 1rem; }
"""


def axes_of(told: Mapping[str, Any], wanted: Sequence[str]) -> tuple[int, int]:
    """Return which two axes are drawn: those named, else the two with the most values.

    Raises
    ------
    SettingRefused
        If a key named is no axis of the grid.
    """
    keys = [axis["key"] for axis in told["axes"]]
    unknown = [key for key in wanted if key not in keys]
    if unknown or (wanted and len(set(wanted)) != 2):
        raise SettingRefused(
            "--map",
            given=",".join(wanted),
            allowed=f"two of the keys that have a list: {', '.join(keys) or 'none has'}",
            fix="name two of them, apart by a comma",
        )
    if wanted:
        return keys.index(wanted[0]), keys.index(wanted[1])
    sizes = [len(axis["values"]) for axis in told["axes"]]
    order = sorted(range(len(keys)), key=lambda n: -sizes[n])
    return tuple(sorted(order[:2]))  # type: ignore[return-value]  # two axes at least


def page(
    told: Mapping[str, Any], worth: Worth, wanted: Sequence[str], found: Mapping[str, Any]
) -> str:
    """Return the page.

    Parameters
    ----------
    told : dict, `run.json`
    worth : Worth
    wanted : the two keys to draw, or none
    found : dict, `results.document`

    Raises
    ------
    SettingRefused
        See `axes_of`.
    """
    drawn = (
        _map(told, worth, *axes_of(told, wanted))
        if len(told["axes"]) >= 2
        else "<p>The grid has fewer than two keys with a list: there is no map to draw.</p>"
    )
    simulated = (
        f'<p class="warning"><strong>{SIMULATED}</strong></p>' if told["simulated_path"] else ""
    )
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<title>Sweep {escape(found['run'])}</title><style>{STYLE}</style></head><body>"
        f"<h1>Sweep over {escape(str(told['data']))}</h1>{simulated}"
        f'<p class="warning">{escape(worth.warning)}</p>'
        f"<p>{found['policies']:,} policies, {found['symbols']} symbols, {found['interval']}, "
        f"{found['first']} to {found['last']} ({worth.days} days); {worth.trials:,} trials "
        "on these data so far.</p>"
        f"{drawn}{_table(found)}</body></html>\n"
    )


def _map(told: Mapping[str, Any], worth: Worth, down: int, across: int) -> str:
    rows, columns = told["axes"][down], told["axes"][across]
    cells = _cells(told, worth, down, across)
    known = [abs(cell[0]) for cell in cells.values()]
    most = max(known, default=0.0) or 1.0
    width = LEFT + CELL_WIDTH * len(columns["values"]) + 10
    height = TOP + CELL_HEIGHT * len(rows["values"]) + 10
    name = f"net result a trade by {escape(rows['key'])} and {escape(columns['key'])}"
    parts = [
        f"<svg viewBox='0 0 {width} {height}' width='{width}' role='img' aria-label='{name}'>",
        f"<text class='axis' x='{LEFT}' y='22'>{escape(columns['key'])} →</text>",
        f"<text class='axis' x='8' y='{TOP - 14}'>{escape(rows['key'])} ↓</text>",
    ]
    for x, value in enumerate(columns["values"]):
        parts.append(f"<text x='{LEFT + x * CELL_WIDTH + 8}' y='{TOP - 14}'>{escape(value)}</text>")
    for y, value in enumerate(rows["values"]):
        parts.append(f"<text x='8' y='{TOP + y * CELL_HEIGHT + 30}'>{escape(value)}</text>")
        for x, other in enumerate(columns["values"]):
            if (value, other) in cells:
                parts.append(_cell(x, y, cells[value, other], most))
    parts.append("</svg><p>A cell: mean net result in rupees a trade over the policies that share "
                 "both values, after charges and slippage; below it the band of exits that candles "
                 "leave open, and how many policies it is the mean of.</p>")  # fmt: skip
    return "".join(parts)


def _cells(
    told: Mapping[str, Any], worth: Worth, down: int, across: int
) -> dict[tuple[str, str], tuple[float, float, float, int]]:
    """Return (net, low, high, policies) of each pair of values that has a trade."""
    groups: dict[tuple[str, str], list[int]] = {}
    for number, policy in enumerate(told["policies"]):
        groups.setdefault((policy["values"][down], policy["values"][across]), []).append(number)
    cells = {}
    for pair, numbers in groups.items():
        trades = worth.sums["entries"][numbers]
        kept = np.array(numbers)[trades > 0]
        if len(kept):
            a_trade = [
                float((worth.sums[name][kept] / worth.sums["entries"][kept]).mean()) / 100
                for name in ("net_paise", "low_paise", "high_paise")
            ]
            cells[pair] = (a_trade[0], a_trade[1], a_trade[2], len(kept))
    return cells


def _cell(x: int, y: int, cell: tuple[float, float, float, int], most: float) -> str:
    net, low, high, policies = cell
    strength = round(12 + 60 * abs(net) / most)
    colour = f"hsl({145 if net > 0 else 12} 65% {100 - strength // 2}%)"
    left, top = LEFT + x * CELL_WIDTH, TOP + y * CELL_HEIGHT
    return (
        f"<g class='cell'><rect x='{left}' y='{top}' width='{CELL_WIDTH - 4}' "
        f"height='{CELL_HEIGHT - 4}' fill='{colour}'/>"
        f"<text x='{left + 8}' y='{top + 21}'>{net:+.2f}</text>"
        f"<text class='band' x='{left + 8}' y='{top + 40}'>{low:+.2f} … {high:+.2f} ({policies})"
        "</text></g>"
    )


def _table(found: Mapping[str, Any]) -> str:
    keys = list(found["top"][0]["values"]) if found["top"] else []
    heads = [
        "rank", *keys, "trades", "net a trade", "band", "unsure exits", "Sharpe a year",
        "deflated",
    ]  # fmt: skip
    lines = []
    for row in found["top"]:
        cells = [
            str(row["rank"]), *row["values"].values(), f"{row['trades']:,}",
            shown(row["net_a_trade"]), _band(row), f"{row['ambiguous']:,}",
            shown(row["sharpe_a_year"]), shown(row["deflated_sharpe"]),
        ]  # fmt: skip
        lines.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    head = "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in heads) + "</tr>"
    return f"<h2>Best by net result</h2><table>{head}{''.join(lines)}</table>"


def _band(row: Mapping[str, Any]) -> str:
    return f"{shown(row['low_a_trade'])} … {shown(row['high_a_trade'])}"


def shown(value: float | None) -> str:
    """Return a figure with two decimals; a dash where it is not defined."""
    return "-" if value is None else f"{value:.2f}"
