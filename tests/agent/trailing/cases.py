"""Random legal and illegal policies, entries and paths, drawn from one `Random`.

Small numbers on purpose: exact ties (a price on a level, a move of exactly one step) are the cases
that go wrong, and a coarse grid with short distances makes every second path hit one.
"""

# ruff: noqa: C901, PLR0912  (one policy from top to bottom)

from __future__ import annotations

from dataclasses import dataclass
from random import Random

TICKS = ("0.01", "0.05", "0.10", "0.25", "1")
NINE_FIFTEEN = 1620618300000  # 2021-05-10 09:15 Asia/Kolkata


@dataclass(frozen=True)
class Case:
    """One command line: the policy's text, the position, the rows of its file."""

    policy: str
    side: str
    entry: str
    tick: str
    qty: int | None
    atr: str | None
    rows: tuple[dict[str, str | int], ...]
    bar_min: int = 1
    period: int = 14
    candles: bool = False

    @property
    def csv(self) -> str:
        names = [name for name in self.rows[0] if name != "ts_ms"]
        lines = [",".join(names)] + [",".join(str(r[n]) for n in names) for r in self.rows]
        return "\n".join(lines) + "\n"

    @property
    def arguments(self) -> list[str]:
        given = [
            "--side", self.side, "--entry", self.entry, "--tick-size", self.tick,
            "--bar", f"{self.bar_min}min", "--atr-period", str(self.period),
        ]  # fmt: skip
        given += ["--qty", str(self.qty)] if self.qty is not None else []
        return given + (["--atr", self.atr] if self.atr is not None else [])


def distance(draw: Random, tick: float, low: int, high: int, *, entry: float, atr: bool) -> str:
    """A distance of about low to high ticks in one of its forms, as TOML."""
    ticks = draw.randint(low, high) + draw.choice([0, 0, 0, 0.5, 0.25, 0.003])
    form = draw.choice(["text", "number", "%", "%", "atr"] if atr else ["text", "number", "%"])
    size = ticks * tick
    if form == "%":
        return f'"{round(100 * size / entry, draw.choice([1, 2, 4]))}%"'
    if form == "atr":
        return f'"{draw.choice([0.5, 1, 1.5, 2, 3, 0.1])}atr"'
    return f'"{size:.6g}"' if form == "text" else f"{size:.6g}"


def policy(draw: Random, *, tick: float, entry: float, wild: bool = False) -> str:
    """A policy's text; a wild one breaks a rule more often than not."""
    atr = draw.random() < 0.5

    def d(low: int, high: int) -> str:
        return distance(draw, tick, low, high, entry=entry, atr=atr)

    mode = draw.choice(["fixed", "percent", "atr", "hybrid"])
    top = {"mode": f'"{mode}"', "stop": d(2, 20)}
    if mode == "fixed":
        top["step"], top["move"] = d(2, 8), d(1, 4)
        if draw.random() < 0.4:
            top["continuous"] = "true"
    if mode in ("percent", "hybrid"):
        top["share"] = draw.choice(["0", "0.5", "1", "0.333", "0.25", "0.9"])
    if mode == "hybrid":
        top["min_distance"] = d(1, 6)
    if mode == "atr":
        top["multiple"] = draw.choice(["1", "2", "0.5", "3", "1.7"])
    for key, chance, low, high in (
        ("target", 0.75, 2, 25), ("activation", 0.35, 0, 8), ("lock", 0.35, 0, 4),
        ("max_distance", 0.35, 4, 20), ("min_gap", 0.3, 1, 4),
    ):  # fmt: skip
        if draw.random() < chance:
            top[key] = d(low, high)
    if "lock" in top and draw.random() < 0.2:
        top["lock"] = '"breakeven"'
    if "target" in top and draw.random() < 0.7:
        top["follow"] = draw.choice(["0", "0.5", "1", "0.75", "2"])
        if draw.random() < 0.4:
            top["max_extension"] = d(1, 12)
    tables: dict[str, dict[str, str]] = {}
    if draw.random() < (0.6 if mode == "fixed" else 0.3):
        tables["volatility"] = {
            "floor": draw.choice(["0.5", "1", "0.25", "0.8"]),
            "cap": draw.choice(["1", "2", "1.5", "3"]),
        }
    if draw.random() < 0.3:
        tables["whipsaw"] = whipsaw(draw, d)
    if wild:
        spoil(draw, top, tables)
    text = [f"{key} = {value}" for key, value in top.items()]
    for name, keys in tables.items():
        text += [f"[{name}]", *(f"{key} = {value}" for key, value in keys.items())]
    return "\n".join(text) + "\n"


def whipsaw(draw: Random, d) -> dict[str, str]:
    table = {}
    if draw.random() < 0.7:
        table["soft_band"] = d(0, 4)
        kind = draw.choice(["trades", "ms", "both"])
        if kind != "ms":
            table["confirm_trades"] = str(draw.randint(1, 3))
        if kind != "trades":
            table["confirm_ms"] = draw.choice(["0", "500", "1000", "2500"])
    if draw.random() < 0.6 or not table:
        table["outlier"] = d(2, 10)
    return table


def spoil(draw: Random, top: dict[str, str], tables: dict[str, dict[str, str]]) -> None:
    """Break one rule."""
    key = draw.choice(sorted(set(top) - {"mode", "continuous"}))
    match draw.randint(0, 7):
        case 0:
            top[key] = "-1"
        case 1:
            del top[key]
        case 2:
            top[draw.choice(["step", "share", "multiple", "min_distance", "move"])] = "1"
        case 3:
            tables["volatility"] = draw.choice(
                [
                    {"floor": "0.5"},
                    {"cap": "2"},
                    {"floor": "2", "cap": "1"},
                    {"floor": "0", "cap": "1"},
                ]
            )
        case 4:
            tables["whipsaw"] = draw.choice(
                [{"soft_band": "1"}, {"confirm_trades": "2"}, {"confirm_ms": "500"}]
            )
        case 5:
            if key not in ("share", "multiple", "follow"):
                top[key] = draw.choice(['"100%"', '"0.001"', "0", '"99atr"'])
        case 6:
            top["lock"], top["activation"] = '"2%"', '"1%"'
        case _:
            top.pop("target", None)
            top["follow"] = "0"


def opening(draw: Random) -> tuple[str, str]:
    """A tick size and an entry, now and then off its grid."""
    tick = draw.choice(TICKS)
    ticks = draw.choice([60, 200, 400, 1000])
    entry = float(tick) * ticks + (draw.choice([0, 0, 0, 0.37, 0.5]) * float(tick))
    return tick, f"{entry:.6f}".rstrip("0").rstrip(".")


def walk(draw: Random, tick: str, entry: str, count: int) -> list[str]:
    """Prices around an entry, mostly on the grid, with jumps and unusable cells."""
    here, prices = round(float(entry) / float(tick)), []
    trend = draw.choice([0, 0, 1, -1])
    for _ in range(count):
        jump = 12 if draw.random() < 0.06 else 2
        here = max(2, here + draw.randint(-jump, jump) + (trend if draw.random() < 0.4 else 0))
        value = here * float(tick)
        if draw.random() < 0.03:
            value += draw.choice([0.3, 0.5]) * float(tick)
        text = f"{value:.6f}".rstrip("0").rstrip(".")
        if draw.random() < 0.02:
            text = draw.choice(["nan", "inf", "-1", "0", "-inf"])
        prices.append(text)
    return prices


def tick_rows(draw: Random, tick: str, entry: str, count: int) -> list[dict[str, str | int]]:
    ms, volume, rows = NINE_FIFTEEN + draw.choice([0, 0, 59_000, -500]), 100, []
    with_atr, with_volume = draw.random() < 0.5, draw.random() < 0.4
    atr = float(tick) * draw.randint(2, 8)
    dense = draw.random() < 0.5
    for price in walk(draw, tick, entry, count):
        repeat = bool(rows) and with_volume and draw.random() < 0.2
        if repeat:
            rows.append(dict(rows[-1]))
            continue
        ms += draw.choice([0, 250, 1000] if dense else [1000, 20_000, 3000, 60_000])
        stamp = ms - 5000 if draw.random() < 0.03 else ms
        volume += draw.choice([0, 10])
        row: dict[str, str | int] = {"ts_ms": stamp, "ts": stamp_text(draw, stamp), "price": price}
        if with_atr:
            atr = max(float(tick), atr + draw.choice([-1, 0, 0, 1]) * float(tick) * 0.7)
            row["atr"] = (
                f"{atr:.5g}" if draw.random() < 0.8 else draw.choice(["", "nan", "0", "-1"])
            )
        if with_volume:
            row["volume"] = volume
        rows.append(row)
    return rows


def candle_rows(draw: Random, tick: str, entry: str, count: int) -> list[dict[str, str | int]]:
    ms, rows, with_atr = NINE_FIFTEEN, [], draw.random() < 0.5
    atr = float(tick) * draw.randint(2, 8)
    prices = [p for p in walk(draw, tick, entry, 6 * count) if p[0].isdigit() and p != "0"]
    for n in range(len(prices) // 4):
        four = prices[4 * n : 4 * n + 4]
        order = sorted(four, key=float)
        row: dict[str, str | int] = {
            "ts_ms": ms, "ts": stamp_text(draw, ms), "open": four[0], "high": order[-1],
            "low": order[0], "close": four[3],
        }  # fmt: skip
        if draw.random() < 0.02:
            row["low"] = draw.choice(["nan", "0", "-3"])
        if with_atr:
            atr = max(float(tick), atr + draw.choice([-1, 0, 1]) * float(tick) * 0.7)
            row["atr"] = f"{atr:.5g}" if draw.random() < 0.8 else ""
        rows.append(row)
        ms += 60_000
    return rows


def stamp_text(draw: Random, ms: int) -> str:
    """Epoch milliseconds, or ISO-8601 with or without an offset."""
    from datetime import UTC, datetime, timedelta

    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    match draw.randint(0, 2):
        case 0:
            return str(ms)
        case 1:
            return moment.isoformat()
        case _:
            return (moment + timedelta(hours=5, minutes=30)).replace(tzinfo=None).isoformat()


def case(draw: Random, *, candles: bool = False, wild: bool = False) -> Case:
    tick, entry = opening(draw)
    text = policy(draw, tick=float(tick), entry=float(entry), wild=wild)
    count = draw.randint(1, 60)
    make = candle_rows if candles else tick_rows
    rows = make(draw, tick, entry, count)
    while not rows:
        rows = make(draw, tick, entry, count)
    qty = None if draw.random() < 0.3 and "breakeven" not in text else draw.randint(1, 500)
    atr = f"{float(tick) * draw.randint(2, 9):.6g}" if draw.random() < 0.3 else None
    return Case(
        policy=text, side=draw.choice(["long", "short"]), entry=entry, tick=tick, qty=qty,
        atr=atr, rows=tuple(rows), bar_min=draw.choice([1, 1, 5]),
        period=draw.choice([1, 2, 3, 14]),
        candles=candles,
    )  # fmt: skip
