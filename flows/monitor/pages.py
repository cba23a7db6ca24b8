"""The pages of the monitor: one a run, and an index of all; plain HTML, no script, no network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from flows.data import durable

FIGURES = "figures.json"
RUN_PAGE = "index.html"
PICTURE_PAGE = "evidently.html"
PICTURES_KEPT = 30  # 7 MB each; figures and pages of older runs stay
ROWS_SHOWN = 40

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;
color:#1b1f24;background:#fff}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #d7dce2;vertical-align:top}
th.n,td.n{text-align:right;font-variant-numeric:tabular-nums}
.bad{color:#a40e26;font-weight:600}.good{color:#116329}.quiet{color:#57606a}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}
th,td{border-color:#30363d}.bad{color:#ff8182}.good{color:#7ee787}.quiet{color:#8b949e}a{color:#79c0ff}}
"""


def write_run(folder: Path, figures: Mapping[str, Any]) -> Path:
    """Write a run's figures and page; return the page."""
    durable.write_text(folder / FIGURES, json.dumps(figures, indent=1, allow_nan=False))
    page = folder / RUN_PAGE
    durable.write_text(page, _run_page(figures, with_picture=(folder / PICTURE_PAGE).exists()))
    return page


def write_index(folder: Path) -> Path:
    """Write the index of all runs of all models below a folder; forget the oldest pictures."""
    runs = sorted(folder.glob(f"*/*/{FIGURES}"), key=lambda path: path.parent.name, reverse=True)
    for old in runs[PICTURES_KEPT:]:
        (old.parent / PICTURE_PAGE).unlink(missing_ok=True)
    rows = []
    for path in runs:
        figures = json.loads(path.read_text(encoding="utf-8"))
        where = path.parent.relative_to(folder)
        rows.append(
            [
                _link(f"{where}/{RUN_PAGE}", figures["at"]),
                escape(figures["model"]),
                _count(figures["rows"]),
                _count(figures["joined"]),
                _verdict(figures),
                _link(f"{where}/{PICTURE_PAGE}", "picture")
                if (path.parent / PICTURE_PAGE).exists()
                else "",
            ]
        )
    heads = ["run", "model", "served rows", "with outcome", "drift", "Evidently"]
    index = folder / RUN_PAGE
    body = "<h1>Monitor</h1>" + _table(heads, rows, numbers={2, 3})
    durable.write_text(index, _page("Ratchet monitor", body))
    return index


def _run_page(figures: Mapping[str, Any], *, with_picture: bool) -> str:
    parts = [
        '<p><a href="../../index.html">all runs</a></p>',
        f"<h1>{escape(figures['model'])}, {escape(figures['at'])}</h1>",
        _summary(figures),
    ]
    parts += [f'<p class="bad">{escape(note)}</p>' for note in figures["notes"]]
    if with_picture:
        parts.append(f"<p>{_link(PICTURE_PAGE, 'Evidently report')} (a picture, not the alarm)</p>")
    parts += [_findings(figures), _alarms(figures), _days(figures), _quality(figures)]
    parts += [_paired(figures), _power(figures), _waiting(figures)]
    return _page(f"Monitor {figures['model']}", "".join(parts))


def _summary(figures: Mapping[str, Any]) -> str:
    return (
        f"<p>{_verdict(figures)}. {_count(figures['rows'])} served rows on "
        f"{_count(len(figures['days']))} judged days against version {figures['reference']}; "
        f"{_count(figures['joined'])} predictions with an outcome.</p>"
    )


def _verdict(figures: Mapping[str, Any]) -> str:
    if figures["retrain"]:
        return f'<span class="bad">retrain: {escape(figures["retrain"])}</span>'
    count, of = figures["drifted_features"], figures["features"]
    kind = "bad" if count or figures["integrity"] else "good"
    broken = f", {len(figures['integrity'])} data findings" if figures["integrity"] else ""
    return f'<span class="{kind}">{count} of {of} features alarmed{broken}</span>'


def _findings(figures: Mapping[str, Any]) -> str:
    rows = [
        [escape(f[name]) for name in ("day", "kind", "feature", "why")]
        for f in figures["integrity"][:ROWS_SHOWN]
    ]
    return _section("Data", ["day", "kind", "feature", "what"], rows, "nothing wrong was found")


def _alarms(figures: Mapping[str, Any]) -> str:
    rows = [
        [
            escape(a["day"]),
            escape(a["feature"]),
            escape(a["statistic"]),
            f"{a['value']:.5g}",
            f"{a['usual_low']:.5g} to {a['usual_high']:.5g}",
            f"1 in {a['one_in_days']:,.0f}",
        ]
        for a in figures["alarms"][:ROWS_SHOWN]
    ]
    heads = ["day", "feature", "statistic", "value", "training days", "rarity, days"]
    return _section("Drift alarms", heads, rows, "none", numbers={3, 5})


def _days(figures: Mapping[str, Any]) -> str:
    rows = [
        [
            escape(d["day"]),
            _count(d["rows"]),
            escape(d.get("rarest", "")),
            escape(d.get("statistic", "")),
            f"{d['of_threshold']:.2f}" if "of_threshold" in d else "",
        ]
        for d in figures["days"][-ROWS_SHOWN:]
    ]
    heads = ["day", "rows", "rarest feature", "statistic", "of the threshold"]
    return _section("Days", heads, rows, "no day has enough rows yet", numbers={1, 4})


def _quality(figures: Mapping[str, Any]) -> str:
    rows = [
        [
            str(q["version"]),
            escape(q["variant"]),
            _count(q["rows"]),
            _count(q["days"]),
            f"{q['log_loss']:.4f}",
            f"{q['constant']:.4f}",
            f"{q['brier']:.4f}",
            _count(q["trades"]),
            "" if q["hit"] is None else f"{q['hit']:.1%}",
            "" if q["mean_r"] is None else f"{q['mean_r']:+.3f}",
        ]
        for q in figures["quality"]
    ]
    heads = ["version", "variant", "rows", "days", "log-loss", "constant's", "Brier", "trades"]
    heads += ["hit", "mean R"]
    return _section("Forecast quality", heads, rows, "no outcome yet", numbers=set(range(2, 10)))


def _paired(figures: Mapping[str, Any]) -> str:
    rows = [
        [
            str(p["version"]),
            str(p["champion"]),
            _count(p["rows"]),
            _count(p["days"]),
            f"{p['mean']:+.5f}",
            "too few days" if p["low"] is None else f"{p['low']:+.5f} to {p['high']:+.5f}",
        ]
        for p in figures["paired"]
    ]
    heads = ["version", "champion", "rows", "days", "log-loss difference", "surely between"]
    return _section("Against the champion, same rows", heads, rows, "nothing to compare")


def _power(figures: Mapping[str, Any]) -> str:
    def days(value: float | None) -> str:
        return "never" if value is None else f"{value:,.1f}"

    rows = [
        [escape(name), days(p["0.5_sd"]), days(p["1_sd"])] for name, p in figures["power"].items()
    ]
    heads = ["feature", "days until +0.5 sd is seen", "days until +1 sd is seen"]
    empty = "the training record is too short for an alarm"
    return _section("What the drift alarm can see", heads, rows, empty, numbers={1, 2})


def _waiting(figures: Mapping[str, Any]) -> str:
    rows = [[escape(why), _count(count)] for why, count in figures["waiting"].items()]
    return _section("Without an outcome", ["why", "rows"], rows, "none", numbers={1})


def _section(
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    empty: str,
    *,
    numbers: set[int] | None = None,
) -> str:
    inner = _table(heads, rows, numbers=numbers) if rows else f'<p class="quiet">{empty}</p>'
    return f"<h2>{escape(title)}</h2>{inner}"


def _table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: set[int] | None = None
) -> str:
    right = numbers or set()
    top = "".join(
        f'<th class="n">{escape(head)}</th>' if i in right else f"<th>{escape(head)}</th>"
        for i, head in enumerate(heads)
    )
    lines = "".join(
        "<tr>"
        + "".join(
            f'<td class="n">{cell}</td>' if i in right else f"<td>{cell}</td>"
            for i, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body>{body}</body></html>\n"
    )


def _link(path: str, text: str) -> str:
    return f'<a href="{escape(path, quote=True)}">{escape(text)}</a>'


def _count(value: int) -> str:
    return f"{value:,}"
