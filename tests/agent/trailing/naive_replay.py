"""The naive engine over whole files: rows of text in, the lines that a replay must print out."""

# ruff: noqa: C901, PLR0912, PLR0917, N806  (the four rules in one place, in their own letters)

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from tests.agent.trailing.naive import Naive

IST = timedelta(hours=5, minutes=30)


def number(text: str | None) -> Fraction | None:
    """A positive finite number, or None."""
    if text is None or text == "":
        return None
    value = Decimal(text)
    return Fraction(value) if value.is_finite() and value > 0 else None


def local(ts_ms: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ts_ms) + IST


class NaiveAtr:
    """Wilder over bars, keeping every bar ever seen."""

    def __init__(self, period: int) -> None:
        self.period, self.bars = period, []

    def close(self, high: Fraction, low: Fraction, close: Fraction) -> Fraction | None:
        self.bars.append((high, low, close))
        ranges = []
        for i, (h, l, _) in enumerate(self.bars):
            before = self.bars[i - 1][2] if i else None
            ranges.append(h - l if before is None else max(h - l, abs(h - before), abs(l - before)))
        if len(ranges) < self.period:
            return None
        value = sum(ranges[: self.period], Fraction(0)) / self.period
        for r in ranges[self.period :]:
            value = (value * (self.period - 1) + r) / self.period
        return value


def replay(rows: list[dict], make, *, bar_min: int = 1, period: int = 14) -> list[dict]:
    """Replay ticks. `make(on, atr)` gives a Naive; rows hold ts_ms, ts, price, [atr], [volume]."""
    has_atr = "atr" in rows[0]
    accepted: list[dict] = []
    places: list[int] = []
    for place, row in enumerate(rows):
        if number(row["price"]) is None or (accepted and row["ts_ms"] < accepted[-1]["ts_ms"]):
            continue
        accepted.append(row)
        places.append(place)
    first_atr = number(accepted[0].get("atr")) if accepted and has_atr else None
    pos: Naive = make(local(rows[0]["ts_ms"]).date(), first_atr)
    lines = [line("open", rows[0]["ts"], pos.entry, pos)]
    atr = NaiveAtr(period)
    bar: list[Fraction] = []
    slot = None
    seen = 0
    last_known = None
    for row in accepted:
        seen += 1
        price, now = number(row["price"]), number(row.get("atr"))
        if not has_atr:
            here = local(row["ts_ms"])
            opens = here.replace(hour=9, minute=15, second=0, microsecond=0)
            begin = opens + (here - opens) // timedelta(minutes=bar_min) * timedelta(
                minutes=bar_min
            )
            if slot is not None and begin != slot:
                now = atr.close(max(bar), min(bar), bar[-1])
                bar = []
            slot = begin
            bar.append(price)
        last_known = now or last_known
        before = line("exit", row["ts"], price, pos)
        volume = number(row.get("volume")) if "volume" in row else None
        event = pos.tick_at(price, row["ts_ms"], volume, last_known)
        if pos.exited:
            lines.append({**before, "reason": pos.exited})
            break
        if event == "trail":
            lines.append(line("trail", row["ts"], price, pos))
    else:
        last = accepted[-1] if accepted else {"ts": rows[0]["ts"]}
        lines.append(line("end", last["ts"], number(last.get("price")) or pos.entry, pos))
    read = places[seen - 1] + 1 if pos.exited else len(rows)
    rejected = read - seen
    if rejected:
        lines.append({"event": "rejected", "count": rejected})
    return lines


def line(event: str, ts: str, price: Fraction, pos: Naive) -> dict:
    best = pos.entry + pos.s * pos.m
    return {
        "ts": ts, "price": price, "event": event, "stop": pos.stop, "target": pos.target,
        "best": best,
    }  # fmt: skip


# ---------------------------------------------------------------------- candles


def replay_candles(rows: list[dict], make, *, path: str, period: int = 14) -> list[dict]:
    """Replay candles by the four rules, looking at every possible exit."""
    pos: Naive = make(local(rows[0]["ts_ms"]).date(), None)
    s, e = pos.s, pos.entry
    out = [line("open", rows[0]["ts"], e, pos)]
    wilder = NaiveAtr(period)
    items = []  # (P&L low, P&L high, candle number, reason, line before)
    trails: list[tuple[int, dict]] = []
    met = None
    ambiguous = rejected = 0
    upper = pos.stop
    certain = False
    accepted: list[dict] = []
    for row in rows:
        o, h, l, c = (number(row[k]) for k in ("open", "high", "low", "close"))
        bad = None in (o, h, l, c) or h < max(o, c) or l > min(o, c)
        if bad or (accepted and row["ts_ms"] < accepted[-1]["ts_ms"]):
            rejected += 1
            continue
        accepted.append(row)
        n = len(accepted)
        here = line("exit", row["ts"], o, pos)
        best, worst = (h, l) if s > 0 else (l, h)
        S, T = pos.stop, pos.target
        if s * (o - S) <= 0 or (T is not None and s * (o - T) >= 0):
            reason = "stop" if s * (o - S) <= 0 else "target"
            items.append((s * (o - e), s * (o - e), n, reason, here))
            met = met or (o, reason, here, n)
            certain = True
            break
        m2 = max(pos.m, s * (best - e))
        S2 = pos.next_stop(m2, best, S)
        T2 = pos.next_target(m2, T)
        S3 = pos.better(upper, S2)
        if "volatility" in pos.p:
            for m in grid_moves(pos, pos.m, m2):
                S3 = pos.better(S3, pos.next_stop(m, best, S))
        found = []
        stop_sure = s * (worst - S) <= 0 or s * (c - S2) <= 0
        if s * (worst - S3) <= 0:
            found.append(("stop", stop_sure, s * (worst - e), s * (S3 - e)))
        if T is not None and s * (best - T) >= 0:
            found.append(("target", s * (best - T2) >= 0, s * (T - e), s * (best - e)))
        for reason, _, low, high in found:
            items.append((low, high, n, reason, here))
        sure = any(f[1] for f in found)
        if found and (not sure or len(found) == 2):
            ambiguous += 1
        if met is None and found:
            met = coloured(pos, o, h, l, c, here, n)
        if sure:
            certain = True
            break
        moved = (S2, T2) != (S, T)
        pos.m, pos.stop, pos.target, upper = m2, S2, T2, S3
        if moved:
            trails.append((n, line("trail", row["ts"], c, pos)))
        atr = number(row.get("atr")) if "atr" in row else wilder.close(h, l, c)
        pos.learn(atr)
    tail: list[dict] = [] if not rejected else [{"event": "rejected", "count": rejected}]
    if not accepted:
        zero = {"event": "band", "ambiguous": 0, "low": Fraction(0), "high": Fraction(0)}
        return [*out, line("end", rows[0]["ts"], e, pos), *tail, zero]
    if not certain:
        close = number(accepted[-1]["close"])
        end = line("end", accepted[-1]["ts"], close, pos)
        items.append((s * (close - e), s * (close - e), len(accepted) + 1, "end", end))
        met = met or (close, "end", end, len(accepted) + 1)
    if path == "pessimistic":
        low = min(i[0] for i in items)
        chosen = next(i for i in items if i[0] == low)
        pnl = low
    elif path == "optimistic":
        high = max(i[1] for i in items)
        chosen = next(i for i in items if i[1] == high)
        pnl = high
    else:
        price, reason, before, n = met
        chosen, pnl = (0, 0, n, reason, before), s * (price - e)
    last = {**chosen[4], "price": e + s * pnl}
    if chosen[3] != "end":
        last["reason"] = chosen[3]
    out += [t for n, t in trails if n < chosen[2]]
    band = {
        "event": "band", "ambiguous": ambiguous, "low": min(i[0] for i in items),
        "high": max(i[1] for i in items),
    }  # fmt: skip
    return [*out, last, *tail, band]


def grid_moves(pos: Naive, start: Fraction, end: Fraction):
    """m, m', and every favourable move between whose best price lies on the grid."""
    yield start
    yield end
    a, b = sorted((pos.entry + pos.s * start, pos.entry + pos.s * end))
    n = -(-a // pos.tick)
    while n * pos.tick <= b:
        yield pos.s * (n * pos.tick - pos.entry)
        n += 1


def coloured(pos: Naive, o: Fraction, h: Fraction, l: Fraction, c: Fraction, here: dict, n: int):
    """The exit that the coloured path meets in this candle, or None; `pos` is left as it was."""
    kept = (pos.m, pos.stop, pos.target, pos.last, pos.believed)
    if pos.s > 0:
        order = (o, l, h, c) if c >= o else (o, h, l, c)
    else:
        order = (o, h, l, c) if c <= o else (o, l, h, c)
    met = None
    for price in order:
        pos.last = None
        reason = pos.tick_at(price, Fraction(0), None, None)
        if pos.exited:
            met = (price, reason, here, n)
            pos.exited = None
            break
    pos.m, pos.stop, pos.target, pos.last, pos.believed = kept
    return met
