"""The report of a run as one HTML page: no script, no font, no request.

Pure: a Story in, text out. Everything that came from outside is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from itertools import accumulate
from typing import Any

from agent.market.sessions import IST
from flows.demo.charts import Frame, Line, Mark, chart
from flows.demo.page import CSS
from flows.demo.story import Story, Trade

FOLD_COLUMNS = (
    "fold",
    "from",
    "to",
    "log_loss",
    "log_loss_prior",
    "skill",
    "auc_long",
    "auc_short",
    "direction_auc",
    "brier",
    "rank_ic",
)
OPEN_CARDS = 6  # those whose levels moved most are unfolded, the rest are one click away


def render(story: Story) -> str:
    """Return the report.

    Parameters
    ----------
    story : Story
        What the run has to tell.

    Returns
    -------
    str
        A complete HTML document.
    """
    sections = [
        _tiles(story),
        _equity(story.trades),
        _trades(story.trades),
        _models(story.trainings),
        _served(story.models),
        _traffic(story.serving),
        _drift(story.drift, story.report_links),
        _safety(story.agent),
        _refusals(story.refusals),
        _seconds(story.seconds),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Ratchet: what happened</title><style>{CSS}</style></head><body><main>"
        f'<header><h1>Ratchet</h1><p class="banner">{escape(story.banner)}</p></header>'
        + "".join(sections)
        + "</main></body></html>\n"
    )


def rupees(paise: int) -> str:
    """Write paise as rupees with the sign before, grouped, two decimals: -1,234.50."""
    sign = "-" if paise < 0 else ""
    return f"{sign}{abs(paise) // 100:,}.{abs(paise) % 100:02d}"


def _section(title: str, body: str, note: str = "") -> str:
    told = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{told}{body}</section>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an HTML table; numbers are set right, everything is escaped."""
    top = "".join(f"<th>{escape(word)}</th>" for word in head)
    body = "".join(
        "<tr>" + "".join(f"<td{_align(cell)}>{escape(_cell(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _align(cell: object) -> str:
    return ' class="number"' if isinstance(cell, int | float) else ""


def _cell(cell: object) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:,.4g}" if isinstance(cell, float) else str(cell)


def _tiles(story: Story) -> str:
    agent = story.agent
    tiles = [
        ("net of charges", f"{agent['net_pnl']:,.2f}"),
        ("gross", f"{agent['gross_pnl']:,.2f}"),
        ("charges", f"{agent['charges']:,.2f}"),
        ("LONG trades", agent["long_trades"]),
        ("SHORT trades", agent["short_trades"]),
        ("stop moves", agent["stop_moves"]),
        ("target moves", agent["target_moves"]),
        ("requests served", story.serving["requests"]),
        ("p99 of an answer", f"{story.serving['p99_ms']:.1f} ms"),
    ]
    body = "".join(
        f'<div class="tile"><b>{escape(str(value))}</b><span>{escape(name)}</span></div>'
        for name, value in tiles
    )
    return f'<div class="tiles">{body}</div>'


def _equity(trades: Sequence[Trade]) -> str:
    if not trades:
        return _section("Equity", "<p>No trade was closed.</p>")
    closed = sorted(trades, key=lambda trade: trade.closed_ms)
    total = list(accumulate(trade.net_paise for trade in closed))
    points = [(closed[0].opened_ms, 0.0)]
    points += [(t.closed_ms, paise / 100) for t, paise in zip(closed, total, strict=True)]
    drawn = chart([Line(points, "equity", stepped=True)], title="Equity net of all charges")
    return _section("Equity, net of all charges", drawn, "Rupees; a step at each exit.")


def _trades(trades: Sequence[Trade]) -> str:
    liveliest = sorted(trades, key=lambda t: -len(t.stops) - len(t.targets))[:OPEN_CARDS]
    cards = "".join(_card(trade, unfolded=trade in liveliest) for trade in trades)
    return _section(
        f"Trades ({len(trades)})",
        f'<p class="legend"><i class="price"></i>price <i class="stop"></i>stop '
        f'<i class="target"></i>target</p>{cards}',
        "Stop and target follow the price and never move against the trade. A stop that stands "
        "still is waiting for a better price.",
    )


def _card(trade: Trade, *, unfolded: bool) -> str:
    won = "gain" if trade.net_paise > 0 else "loss"
    opened = datetime.fromtimestamp(trade.opened_ms / 1000, IST)
    head = (
        f"<b>{escape(trade.side)}</b> {escape(trade.symbol)} x {trade.quantity:,} "
        f"<span>{opened:%d %b %Y %H:%M}</span> <span>{escape(trade.reason)}</span> "
        f'<span class="{won}">{rupees(trade.net_paise)}</span> '
        f"<span>version {trade.version}, {escape(trade.variant)}</span>"
    )
    until = float(trade.closed_ms)
    lines = [Line(trade.prices, "price")]
    lines += [
        Line([*points, (until, points[-1][1])], style, stepped=True)
        for points, style in ((trade.stops, "stop"), (trade.targets, "target"))
        if points
    ]
    marks = [
        Mark(float(trade.opened_ms), trade.entry, f"entry {trade.entry:,.2f}", "entry"),
        Mark(until, trade.exit, f"exit {trade.exit:,.2f}", "exit"),
    ]
    title = f"{trade.side} {trade.symbol}: price with stop and target"
    drawn = chart(lines, marks, title=title, frame=Frame(height=250))
    figures = (
        f"gross {rupees(trade.gross_paise)}, charges {rupees(trade.charges_paise)}, "
        f"net {rupees(trade.net_paise)}; the exchange's stop moved {trade.stop_moves} times, "
        f"the target {trade.target_moves} times"
    )
    state = " open" if unfolded else ""
    return f"<details{state}><summary>{head}</summary>{drawn}<p>{figures}</p></details>"


def _models(trainings: Sequence[Mapping[str, Any]]) -> str:
    parts = []
    for training in trainings:
        gates = training["gates"]
        words = "".join(
            f"<li><b>{escape(name)}: {'passed' if gate['passed'] else 'not passed'}.</b> "
            f"{escape(str(gate['why']))}</li>"
            for name, gate in gates.items()
        )
        folds = training["folds"]
        columns = [key for key in FOLD_COLUMNS if folds and key in folds[0]]
        rows = [[fold[key] for key in columns] for fold in folds]
        parts.append(
            f"<h3>Version {escape(str(training['version']))} of {escape(training['model'])}</h3>"
            f"<p>{escape(training['data']['notes'])}</p>"
            f"<ul>{words}</ul>{table([c.replace('_', ' ') for c in columns], rows)}"
        )
    return _section(
        "The models and their gates",
        "".join(parts),
        "Purged walk-forward folds; each figure is out of sample. A version without an edge may "
        "trade here for the plumbing, never with money.",
    )


def _served(models: Sequence[Mapping[str, Any]]) -> str:
    columns = [
        {
            "a question": f"{model['window']} candles of {model['interval']}",
            "learned from": model["notes"],
            "versions": ", ".join(f"{one['version']} {one['alias']}" for one in model["versions"]),
            "traffic": _split(model["traffic"]),
            "requests": model["requests"],
            "p50 of an answer, ms": model["p50_ms"],
            "p99 of an answer, ms": model["p99_ms"],
            "gates passed": _passed(model["versions"]),
        }
        for model in models
    ]
    rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
    return _section(
        f"{len(models)} models at once, one server",
        table(["", *(model["name"] for model in models)], rows),
        "Each with candles, versions and a traffic plan of its own. The agent trades the first; "
        "the other is asked beside it, about days that it never saw.",
    )


def _split(traffic: Mapping[str, Any]) -> str:
    weights = "".join(f", {v} takes {w:.0%}" for v, w in traffic["challengers"].items())
    return f"revision {traffic['revision']}: champion {traffic['champion']}{weights}"


def _passed(versions: Sequence[Mapping[str, Any]]) -> str:
    gates = [gate for one in versions for gate in one["gates"].values()]
    return f"{sum(gate['passed'] for gate in gates)} of {len(gates)}"


def _traffic(serving: Mapping[str, Any]) -> str:
    rows = [(name, count) for name, count in serving["variants"].items()]
    rows += [
        ("shadow, beside the answer", serving["shadow_requests"]),
        ("errors", serving["errors"]),
    ]
    most = max([count for _, count in rows] + [1])
    bars = "".join(
        f'<div class="bar"><span>{escape(str(name))}</span>'
        f'<i style="width:{60 * count / most:.1f}%"></i><b>{count:,}</b></div>'
        for name, count in rows
    )
    return _section(
        "Requests by variant",
        bars,
        f"Of the model that the agent trades. Bento {serving['bento']}; the unit of the split is "
        "(symbol, day).",
    )


def _drift(drift: Mapping[str, Any], links: Mapping[str, str]) -> str:
    listed = "".join(
        f'<li><a href="{escape(path, quote=True)}">{escape(title)}</a></li>'
        for title, path in links.items()
    )
    return _section(
        "Drift",
        f"<p>{drift['drifted_features']} of {drift['features']} features look different from the "
        f"training sample.</p><ul>{listed}</ul>",
        "A few days against years of training: read it as a picture, not as an alarm.",
    )


def _safety(agent: Mapping[str, Any]) -> str:
    rows = [
        (
            "longest time without a protective order, ms of exchange time",
            agent["max_unprotected_ms"],
        ),
        ("exit quantity above the open quantity", agent["surplus_exits"]),
        ("stops moved against their trade", agent["stops_moved_back"]),
        ("entries sent twice", agent["duplicate_entries"]),
        ("open quantity at the end", agent["final_position"]),
    ]
    return _section(
        "Safety, by the exchange's own book", table(["figure", "counted"], rows), "Not the agent's."
    )


def _refusals(refusals: Mapping[str, int]) -> str:
    rows = sorted(refusals.items(), key=lambda item: -item[1])
    body = table(["why", "times"], rows) if rows else "<p>No entry was refused.</p>"
    return _section("Entries not taken, and why", body)


def _seconds(seconds: Mapping[str, float]) -> str:
    rows = [(name, round(value, 1)) for name, value in seconds.items()]
    return _section("Seconds by step", table(["step", "seconds"], rows))
