"""A second trailing engine, deliberately naive: rupees in Fractions, one sentence after the other.

Written from the rules in docs/trailing.md, not from agent/trailing: no ticks but where a level is
rounded, no common denominators, no signed prices, nothing remembered but what the rules name.
Tests compare it with the real one over random policies and paths. It imports nothing of ours but
the charges (another room's promise).
"""

# ruff: noqa: C901  (one rule after the other, on purpose)

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

from agent.market.charges import round_trip_per_share

NEAR = Fraction(1, 10**9)


class IllegalPolicy(Exception):
    """The policy must be refused; a message has to name all keys of one of the `faults`."""

    def __init__(self, faults: list[tuple[str, ...]]) -> None:
        super().__init__(str(faults))
        self.faults = faults


def grid_up(value: Fraction, tick: Fraction) -> Fraction:
    steps = value / tick
    nearest = floor(steps + Fraction(1, 2))
    return tick * (nearest if abs(steps - nearest) <= NEAR else ceil(steps))


def grid_down(value: Fraction, tick: Fraction) -> Fraction:
    return -grid_up(-value, tick)


@dataclass
class Dist:
    amount: Fraction
    unit: str

    @classmethod
    def of(cls, value) -> Dist:
        text = str(value)
        for unit in ("%", "atr"):
            if text.endswith(unit):
                return cls(Fraction(text.removesuffix(unit)), unit)
        return cls(Fraction(text), "")

    def size(self, entry: Fraction, atr: Fraction | None) -> Fraction | None:
        if self.unit == "%":
            return self.amount * entry / 100
        if self.unit == "atr":
            return None if atr is None else self.amount * atr
        return self.amount


DISTANCES = (
    "stop", "target", "step", "move", "min_distance", "activation", "lock", "max_distance",
    "min_gap", "max_extension",
)  # fmt: skip
OWN = {
    "fixed": {"step", "move", "continuous"},
    "percent": {"share"},
    "atr": {"multiple"},
    "hybrid": {"share", "min_distance"},
}


@dataclass
class Naive:
    """One position."""

    text: str
    side: str
    entry: Fraction
    tick: Fraction
    qty: int | None
    on: date | None
    atr: Fraction | None  # ATR at entry
    s: int = 0
    now: Fraction | None = None  # current ATR
    m: Fraction = Fraction(0)
    stop: Fraction = Fraction(0)
    target: Fraction | None = None
    exited: str | None = None
    p: dict = field(default_factory=dict)
    d: dict = field(default_factory=dict)
    # whipsaw
    believed: Fraction = Fraction(0)
    suspect: tuple[Fraction, Fraction] | None = None
    row: list[Fraction] = field(default_factory=list)  # times of the unbroken row of shallow trades
    last: tuple | None = None  # (ts, volume, price) of the last accepted row

    def __post_init__(self) -> None:
        self.s = 1 if self.side == "long" else -1
        self.now = self.atr
        self.p = tomllib.loads(self.text, parse_float=Decimal)
        self.d = {
            k: Dist.of(self.p[k]) for k in DISTANCES if k in self.p and self.p[k] != "breakeven"
        }
        faults = list(self.faults()) or list(self.faults_at_entry())
        if faults:
            raise IllegalPolicy(faults)
        self.stop = self.grid(self.entry - self.s * self.size("stop"), toward_market=True)
        if "target" in self.p:
            self.target = self.grid(self.entry + self.s * self.size("target"), toward_market=False)
        self.believed = self.entry

    def size(self, key: str, current: bool = False) -> Fraction | None:
        if key == "lock" and self.p.get("lock") == "breakeven":
            return round_trip_per_share(self.entry, self.qty, self.on)
        return self.d[key].size(self.entry, self.now if current else self.atr)

    def grid(self, value: Fraction, *, toward_market: bool) -> Fraction:
        up = (self.s > 0) == toward_market
        return grid_up(value, self.tick) if up else grid_down(value, self.tick)

    # ------------------------------------------------------------------ refusals
    def faults(self):
        """Every rule that the policy breaks: the keys that its message must name."""
        p = self.p
        others = set().union(*OWN.values()) - OWN[p["mode"]] if p.get("mode") in OWN else set()
        yield from ((key,) for key in p if key in others)
        for key in ({"mode", "stop"} | OWN.get(p.get("mode"), set())) - {"continuous"}:
            if key not in p:
                yield (key,)
        yield from ((key,) for key, dist in self.d.items() if dist.amount < 0)
        plain = {"follow": Fraction(0), "share": Fraction(0), "multiple": Fraction(1)}
        low = {k: Fraction(str(p.get(k, v))) for k, v in plain.items()}
        if low["follow"] < 0:
            yield ("follow",)
        if not 0 <= low["share"] <= 1:
            yield ("share",)
        if low["multiple"] <= 0:
            yield ("multiple",)
        if "step" in p and self.d["step"].amount <= 0:
            yield ("step",)
        vol = {k: Fraction(str(v)) for k, v in p.get("volatility", {"floor": 1, "cap": 1}).items()}
        if set(vol) != {"floor", "cap"}:
            yield ("floor",) if "floor" not in vol else ("cap",)
        elif vol["floor"] <= 0:
            yield ("floor",)
        elif vol["floor"] > vol["cap"]:
            yield ("floor", "cap")
        whip = p.get("whipsaw", {})
        if ("confirm_trades" in whip or "confirm_ms" in whip) != ("soft_band" in whip):
            yield ("soft_band",)
        if "target" not in p:
            yield from ((key,) for key in ("follow", "max_extension") if key in p)
        if p.get("lock") == "breakeven" and self.qty is None:
            yield ("lock",)

    def faults_at_entry(self):
        """The same for the rules that need the entry and the grid."""
        p = self.p
        for key in ("stop", "target"):
            if key in p and self.size(key) is None:
                yield (key,)
        pairs = (("move", "step"), ("lock", "activation"), ("min_distance", "max_distance"))
        for low, high in pairs:
            if low in p and high in p:
                a, b = self.size(low), self.size(high)
                if a is not None and b is not None and a > b:
                    yield (low, high)
        for key, ticks in (("min_gap", 1), ("stop", 2), ("target", 1)):
            size = self.size(key) if key in p else None
            if size is not None and size < ticks * self.tick:
                yield (key,)
        stop, target = (self.size(k) if k in p else None for k in ("stop", "target"))
        if self.s > 0 and stop is not None and grid_up(self.entry - stop, self.tick) <= 0:
            yield ("stop",)
        if self.s < 0 and target is not None and grid_up(self.entry - target, self.tick) <= 0:
            yield ("target",)

    # ------------------------------------------------------------------ one tick
    def tick_at(self, price: Fraction, ts: Fraction, volume, atr: Fraction | None) -> str | None:
        """Run one accepted row; return 'stop', 'target', 'trail' or None."""
        whip = self.p.get("whipsaw", {})
        trade = self.last is None or volume is None or (ts, volume) != self.last[:2]
        if not trade and price == self.last[2]:
            self.learn(atr)
            return None
        self.last = (ts, volume, price)
        if "outlier" in whip:
            far = Dist.of(whip["outlier"]).size(self.entry, self.atr)
            if far is not None and not self.is_believed(price, ts, trade, far):
                self.learn(atr)
                return None
        self.believed = price
        # 1. exit check against the levels in force before this tick
        if self.s * (price - self.stop) <= 0:
            if self.stop_exits(price, ts, trade, whip):
                self.exited = "stop"
                return "stop"
        elif trade:
            self.row = []
        if self.target is not None and self.s * (price - self.target) >= 0:
            self.exited = "target"
            return "target"
        # 2. the best move, then the ATR
        self.m = max(self.m, self.s * (price - self.entry))
        self.learn(atr)
        # 3. and 4.
        before = (self.stop, self.target)
        self.stop, self.target = (
            self.next_stop(self.m, price, self.stop),
            self.next_target(self.m, self.target),
        )
        return None if before == (self.stop, self.target) else "trail"

    def learn(self, atr: Fraction | None) -> None:
        if atr is not None and atr > 0:
            self.now = atr
            if self.atr is None:
                self.atr = atr

    def is_believed(self, price: Fraction, ts: Fraction, trade: bool, far: Fraction) -> bool:
        if self.suspect is not None and trade:
            at, since = self.suspect
            self.suspect = None
            if abs(price - at) <= abs(at - self.believed) / 4 or ts - since >= 3000:
                return True
        if abs(price - self.believed) > far:
            if trade:
                self.suspect = (price, ts)
            return False
        return True

    def stop_exits(self, price: Fraction, ts: Fraction, trade: bool, whip: dict) -> bool:
        if "soft_band" not in whip:
            return True
        band = Dist.of(whip["soft_band"]).size(self.entry, self.atr)
        if band is None or self.s * (self.stop - price) > band:
            return True
        if not trade:
            return False
        self.row.append(ts)
        return len(self.row) >= whip.get("confirm_trades", 1) and ts - self.row[0] >= whip.get(
            "confirm_ms", 0
        )

    # ------------------------------------------------------------------ the levels
    def unknown(self, *keys: str) -> bool:
        return self.atr is None and any(k in self.d and self.d[k].unit == "atr" for k in keys)

    def next_stop(self, m: Fraction, price: Fraction, stop: Fraction) -> Fraction:
        p, e, s = self.p, self.entry, self.s
        needs = ("step", "move", "min_distance", "activation", "lock", "max_distance", "min_gap")
        if self.unknown(*needs):
            return stop
        if self.atr is None and (p["mode"] == "atr" or "volatility" in p):
            return stop
        if "activation" in p and m < self.size("activation"):
            return stop
        b = e + s * m
        candidate = self.candidate(m, b)
        if "volatility" in p:
            ratio = self.now / self.atr
            ratio = max(
                Fraction(str(p["volatility"]["floor"])),
                min(Fraction(str(p["volatility"]["cap"])), ratio),
            )
            candidate = b - s * (s * (b - candidate)) * ratio
        gap = self.tick
        if "min_gap" in p:
            gap = max(self.tick, grid_up(self.size("min_gap"), self.tick))
        if "lock" in p and m >= self.size("lock") + gap:
            candidate = self.better(candidate, e + s * self.size("lock"))
        if "max_distance" in p:
            candidate = self.better(candidate, b - s * self.size("max_distance"))
        candidate = self.worse(candidate, price - s * gap)
        return self.better(stop, self.grid(candidate, toward_market=True))

    def candidate(self, m: Fraction, b: Fraction) -> Fraction:
        p, s = self.p, self.s
        stop0 = self.entry - s * self.size("stop")
        if p["mode"] == "fixed":
            steps = m / self.size("step")
            return stop0 + s * self.size("move") * (steps if p.get("continuous") else floor(steps))
        if p["mode"] == "atr":
            return b - s * Fraction(str(p["multiple"])) * self.now
        percent = stop0 + s * Fraction(str(p["share"])) * m
        if p["mode"] == "percent":
            return percent
        return self.worse(percent, b - s * self.size("min_distance", current=True))

    def next_target(self, m: Fraction, target: Fraction | None) -> Fraction | None:
        p = self.p
        if target is None:
            return None
        if self.unknown("activation", "step", "move", "max_extension"):
            return target
        if "activation" in p and m < self.size("activation"):
            return target
        driver = m
        if p["mode"] == "fixed":
            steps = m / self.size("step")
            driver = self.size("move") * (steps if p.get("continuous") else floor(steps))
        extension = Fraction(str(p.get("follow", 0))) * driver
        if "max_extension" in p:
            extension = min(extension, self.size("max_extension"))
        value = self.entry + self.s * self.size("target") + self.s * extension
        rounded = self.grid(value, toward_market=False)
        if self.s < 0 and extension > 0:
            rounded = max(rounded, self.tick)
        return self.better(target, rounded)

    def better(self, one: Fraction, other: Fraction) -> Fraction:
        return max(one, other) if self.s > 0 else min(one, other)

    def worse(self, one: Fraction, other: Fraction) -> Fraction:
        return min(one, other) if self.s > 0 else max(one, other)
