"""`ratchet-agent replay`: a trailing policy over recorded ticks or candles.

Opens the files, prints the lines. What they say is decided in agent/trailing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.console import tell
from agent.errors import EnvironmentRefused, SettingRefused

if TYPE_CHECKING:
    from agent.trailing.picture import Drawing
    from agent.trailing.plan import Plan
    from agent.trailing.policy import Policy
    from agent.trailing.replay import Line, PlanAt

Opened = tuple[str, Iterator[str]]  # a file's header line, and all its lines, lazily


class SideName(StrEnum):
    """The side as the command line spells it."""

    LONG = "long"
    SHORT = "short"


class PathName(StrEnum):
    """Which of the possible exits over candles is printed."""

    PESSIMISTIC = "pessimistic"
    OPTIMISTIC = "optimistic"
    COLOUR = "colour"


@dataclass(frozen=True, slots=True)
class Request:
    """What one replay was asked for."""

    policy: Path
    side: SideName
    entry: str
    tick_size: str
    qty: int | None
    atr: str | None
    atr_period: int
    bar: str
    budget: int | None


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("replay")(replay)


def replay(  # noqa: PLR0913, PLR0917  (one parameter an option: this is the command line)
    policy: Annotated[Path, typer.Option(help="Policy file, TOML, or a preset's name.")],
    side: Annotated[SideName, typer.Option(help="Side of the position.", case_sensitive=False)],
    entry: Annotated[str, typer.Option(help="Average entry price, rupees.")],
    tick_size: Annotated[str, typer.Option(help="Price grid of the instrument, rupees: 0.05.")],
    ticks: Annotated[
        Path | None, typer.Option(help="CSV ts,price[,atr][,volume]; - reads stdin.")
    ] = None,
    candles: Annotated[
        Path | None, typer.Option(help="CSV ts,open,high,low,close[,volume][,atr] instead.")
    ] = None,
    path: Annotated[
        PathName | None, typer.Option(help="Candles: which possible exit [default: pessimistic].")
    ] = None,
    qty: Annotated[
        int | None, typer.Option(min=1, help='Shares; lock = "breakeven" needs it.')
    ] = None,
    atr: Annotated[str | None, typer.Option(help="ATR at entry, rupees.")] = None,
    atr_period: Annotated[int, typer.Option(min=1, help="Wilder's period, bars.")] = 14,
    bar: Annotated[
        str, typer.Option(help="Bars of the ATR built from ticks: 30s, 1min, 1h.")
    ] = "1min",
    budget: Annotated[
        int | None, typer.Option(min=0, help="Replay the planner too: modifications an order.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the path and both levels: FILE.html or FILE.png.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say on stderr why each level moved.")
    ] = False,
    home: Annotated[Path, typer.Option(help="State folder; only a bug's log goes there.")] = Path(
        "var"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Replay a trailing policy over a recorded path and print every move of stop and target.

    Example: ratchet-agent replay --policy user_example.toml --ticks day.csv --side long
    --entry 10 --tick-size 0.05 --json
    """
    request = Request(policy, side, entry, tick_size, qty, atr, atr_period, bar, budget)
    os.environ["RATCHET_HOME"] = str(home)  # nothing is written but the log of a bug of ours
    picture = None if plot is None else Picture(plot)
    with contextlib.ExitStack() as files:
        if ticks is not None and candles is None:
            _refuse_beside("--ticks", {"--path": path})
            lines, plan = _tick_lines(request, _open_lines(ticks, files), ticks.name, picture)
        elif candles is not None and ticks is None:
            _refuse_beside("--candles", {"--budget": budget})
            wanted = (path or PathName.PESSIMISTIC).value
            opened = _open_lines(candles, files)
            lines, plan = _candle_lines(request, opened, candles.name, wanted, picture)
        else:
            raise SettingRefused(
                "--ticks, --candles",
                given="both" if ticks is not None else "neither",
                allowed="exactly one of them",
                fix="give --ticks FILE or --candles FILE",
            )
        _write(lines, plan, picture, as_json=as_json, explain=explain)


def _write(
    lines: Iterator[Line], plan: Plan, picture: Picture | None, *, as_json: bool, explain: bool
) -> None:
    write = _print_json if as_json else _print_row
    for line in lines:
        if line.event == "note":
            tell(f"note: {line.fields['note']}")
            continue
        write(line, plan)
        if explain and line.move is not None:
            tell(line.move.told(plan))
        if picture is not None:
            picture.see(line)
    if picture is not None:
        sys.stdout.flush()
        picture.draw(plan)


def _tick_lines(
    request: Request, opened: Opened, name: str, picture: Picture | None
) -> tuple[Iterator[Line], Plan]:
    from agent.trailing.atr import TickBars, bar_length_ms
    from agent.trailing.replay import TickReplay
    from agent.trailing.rows import Grid, has_column, tick_rows

    plan_at, tick = _plan_at(request)
    bars = TickBars(bar_length_ms(request.bar), request.atr_period)
    header, lines = opened
    run = TickReplay(
        plan_at,
        tick_rows(lines, Grid(tick), source=name),
        bars=None if has_column(header, "atr") else bars,
        modifications=request.budget,
        source=name,
        watch=None if picture is None else picture.trace.add,
    )
    return run.lines(), run.plan


def _candle_lines(
    request: Request, opened: Opened, name: str, path: str, picture: Picture | None
) -> tuple[Iterator[Line], Plan]:
    from agent.trailing.atr import Wilder
    from agent.trailing.replay_candles import CandleReplay
    from agent.trailing.rows import Grid, candle_rows, has_column

    plan_at, tick = _plan_at(request)
    wilder = Wilder(request.atr_period)
    header, lines = opened
    run = CandleReplay(
        plan_at,
        candle_rows(lines, Grid(tick), source=name),
        wilder=None if has_column(header, "atr") else wilder,
        path=path,
        source=name,
        watch=None if picture is None else picture.trace.add,
    )
    return run.lines(), run.plan


def _plan_at(request: Request) -> tuple[PlanAt, Decimal]:
    """Return what makes the plan once the file's first rows are known, and the tick size."""
    from agent.market.instruments import Side
    from agent.trailing.policy import plan_for

    policy = _policy(request.policy)
    entry, tick = _price("--entry", request.entry), _price("--tick-size", request.tick_size)
    given = None if request.atr is None else _price("--atr", request.atr)
    side = Side.LONG if request.side is SideName.LONG else Side.SHORT

    def plan_at(on: date, atr_ticks: Fraction | int | None) -> Plan:
        known = None if atr_ticks is None else Fraction(atr_ticks) * Fraction(tick)
        return plan_for(
            policy,
            side=side,
            entry=entry,
            tick_size=tick,
            quantity=request.qty,
            on=on,
            atr=known if given is None else given,
        )

    return plan_at, tick


def _policy(path: Path) -> Policy:
    """Read a policy file, or one of the presets by its name."""
    from agent.trailing.policy import Policy
    from agent.trailing.presets import PRESETS

    if str(path) in PRESETS and not path.exists():
        packaged = resources.files("agent.trailing.presets") / f"{path}.toml"
        return Policy.parse(packaged.read_text(encoding="utf-8"), source=f"{path}.toml")
    try:
        return Policy.parse(path.read_text(encoding="utf-8"), source=path.name)
    except (OSError, UnicodeDecodeError) as fault:
        raise SettingRefused(
            f"--policy {path}",
            given=getattr(fault, "strerror", None) or str(fault),
            allowed=f"a TOML file, or one of {', '.join(PRESETS)}",
            fix="check the name",
        ) from fault


def _open_lines(path: Path, files: contextlib.ExitStack) -> Opened:
    """Open a file (`-`: stdin) and return its header line, and all its lines, lazily."""
    try:
        # Bytes that are no UTF-8 become characters that no number has: their line is refused.
        source = (
            sys.stdin
            if str(path) == "-"
            else files.enter_context(path.open(encoding="utf-8-sig", errors="replace", newline=""))
        )
        header = source.readline().removeprefix("\ufeff")  # stdin's mark; a file's is gone
    except OSError as fault:
        raise SettingRefused(
            f"--ticks or --candles {path}",
            given=fault.strerror or str(fault),
            allowed="a file that can be read",
            fix="check the name",
        ) from fault
    return header, itertools.chain([header], source)


def _price(option: str, text: str) -> Decimal:
    from agent.trailing.rows import number

    try:
        value = number(text)
    except ValueError:
        value = None
    if value is None or value <= 0:
        raise SettingRefused(
            option, given=repr(text), allowed="a number above 0, in rupees", fix="give one"
        )
    return value


def _refuse_beside(option: str, others: Mapping[str, object]) -> None:
    for name, value in others.items():
        if value is not None:
            raise SettingRefused(
                name, given=f"{name} beside {option}", allowed="not both", fix=f"remove {name}"
            )


def _text(name: str, value: object, plan: Plan) -> str:
    """Return a field as JSON writes it."""
    from agent.trailing.rows import decimal_text

    if isinstance(value, Fraction):
        return decimal_text(value)
    if name in ("stop", "target") and isinstance(value, int):
        return format(plan.price(value), "f")
    return json.dumps(value)


def _print_json(line: Line, plan: Plan) -> None:
    fields = (f'"{name}":{_text(name, value, plan)}' for name, value in line.fields.items())
    print("{" + ",".join(fields) + "}")


def _print_row(line: Line, plan: Plan) -> None:
    if line.event in ("budget", "rejected", "band"):
        pairs = (f"{k} {_text(k, v, plan)}" for k, v in line.fields.items() if k != "event")
        print(f"{line.event:8} {', '.join(pairs)}")
        return
    if line.event == "open":
        print(f"{'event':8} {'ts':32} {'price':>12} {'stop':>12} {'target':>12} {'best':>12}")
    shown = [_text(name, line.fields[name], plan) for name in ("price", "stop", "target", "best")]
    shown = ["-" if text == "null" else text for text in shown]
    reason = f"  {line.fields['reason']}" if "reason" in line.fields else ""
    print(f"{line.event:8} {line.fields['ts']!s:32} {' '.join(f'{t:>12}' for t in shown)}{reason}")


class Picture:
    """What `--plot` collects, and the file that it becomes."""

    def __init__(self, path: Path) -> None:
        from agent.trailing.picture import Trace

        if path.suffix.lower() not in (".html", ".svg", ".png"):
            raise SettingRefused(
                "--plot", given=path.name, allowed="FILE.html, .svg or .png", fix="name it so"
            )
        if path.suffix.lower() == ".png" and importlib.util.find_spec("matplotlib") is None:
            raise SettingRefused(
                "--plot",
                given=f"{path.name} without matplotlib",
                allowed="FILE.html or .svg in the base install",
                fix="write .html, or install the extra: uv sync --extra pipeline",
            )
        self.path, self.trace = path, Trace()
        self._opened: Line | None = None
        self._ended: Line | None = None

    def see(self, line: Line) -> None:
        """Take in a line of the replay."""
        if line.event == "open":
            self._opened = line
        elif line.event in ("exit", "end"):
            self._ended = line

    def draw(self, plan: Plan) -> None:
        """Write the file.

        Raises
        ------
        EnvironmentRefused
            If it cannot be written.
        """
        from agent.trailing.picture import drawing_of, html, svg

        drawing = drawing_of(plan, self.trace, self._opened, self._ended)
        try:
            if self.path.suffix.lower() == ".png":
                _write_png(self.path, drawing)
            else:
                text = svg(drawing)
                whole = html(text, title=drawing.title) if self.path.suffix == ".html" else text
                self.path.write_text(whole, encoding="utf-8")
        except OSError as fault:
            raise EnvironmentRefused(
                f"--plot {self.path}",
                given=fault.strerror or str(fault),
                allowed="a file that can be written",
                fix="choose another folder",
            ) from fault
        tell(f"picture: {self.path}")


def _write_png(path: Path, drawing: Drawing) -> None:
    """Draw with matplotlib, which only the pipeline extra brings."""
    from agent.trailing import picture

    figures: Any = importlib.import_module("matplotlib.figure")
    figure = figures.Figure(figsize=(9.6, 4.4), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for series in drawing.series:
        hours, rupees = series.hours_and_rupees(drawing.tick)
        axes.plot(hours, rupees, color=series.colour, ls=series.style, lw=1.4, label=series.name)
    if drawing.ending is not None:
        hour, price = (
            picture.hour_of(drawing.ending.ts_ms),
            float(drawing.ending.price * drawing.tick),
        )
        axes.plot([hour], [price], "o", color=picture.PRICE)
        axes.annotate(
            f"{drawing.ending.what} {price:.2f}",
            (hour, price),
            (-8, 8),
            textcoords="offset points",
            ha="right",
        )
    axes.set(title=drawing.title, xlabel="hour of the day, Asia/Kolkata", ylabel="rupees")
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    figure.savefig(path)
