"""Random days of money: no limit is exceeded at any instant, and the sums are the sums.

A plain ledger (`Ledger`) is kept beside the book: every intent, fill and mark in lists, every
figure added up anew after each event. Settings change on the way. Invariants, after EACH event:

1. the book's running sums equal the ledger's;
2. no event raises a figure above its limit, so an entry leaves every figure that it moves within
   the limits in force;
3. a limit that was lowered below what is open lets nothing of it grow (the net limit is asked at
   entries only, as an exit is never refused);
4. what all stops together may lose stays inside the day's loss at every entry.

And the mirror: the same day with the sides exchanged gives the same decisions with the sides
exchanged.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.market.instruments import Side
from agent.portfolio.lots import Fill
from agent.risk import (
    Book,
    MoneySettings,
    Proposal,
    Refusal,
    Sized,
    decide_entry,
    on_fill,
    on_mark,
    open_book,
    release,
    reserve,
)
from tests.agent.risk.scenes import CASH, ON, SECTORS, wide

AMOUNTS = ("max_gross", "max_long", "max_short", "max_symbol", "max_sector", "max_net")


@dataclass
class Entry:
    wish: Proposal
    left: int
    unit: int
    filled: int = 0


@dataclass
class Ledger:
    """Everything that happened; every figure is added up from it."""

    flying: dict[str, Entry] = field(default_factory=dict)
    # key, sign, unit of every share held, oldest first
    shares: list[tuple[str, int, int]] = field(default_factory=list)
    entries: int = 0

    def open_value(self, sign: int, key: str | None = None, sector: str | None = None) -> int:
        held = sum(
            unit
            for name, side, unit in self.shares
            if side == sign and key in (None, name) and sector in (None, sector_of(name))
        )
        return held + self.in_flight(sign, key, sector)

    def in_flight(self, sign: int, key: str | None = None, sector: str | None = None) -> int:
        return sum(
            e.left * e.unit
            for e in self.flying.values()
            if e.wish.side.sign == sign
            and key in (None, e.wish.instrument.key)
            and sector in (None, sector_of(e.wish.instrument.key))
        )

    def figures(self) -> dict[str, int]:
        long, short = self.open_value(1), self.open_value(-1)
        keys = {i.key for i in CASH}
        held_long, held_short = long - self.in_flight(1), short - self.in_flight(-1)
        slots = {name for name, _, _ in self.shares}
        slots |= {e.wish.instrument.key for e in self.flying.values()}
        return {
            "max_gross": long + short,
            "max_long": long,
            "max_short": short,
            "max_net": max(long - held_short, short - held_long),
            "max_open_positions": len(slots),
        } | {
            f"max_symbol {k}": self.open_value(1, k) + self.open_value(-1, k) for k in keys
        } | {
            f"max_sector {s}": self.open_value(1, sector=s) + self.open_value(-1, sector=s)
            for s in ("banks", "it", "unknown")
        }  # fmt: skip


def sector_of(key: str) -> str:
    return SECTORS.get(key, "unknown")


def limits(rules: MoneySettings) -> dict[str, int]:
    capital = rules.capital.paise
    found = {name: getattr(rules.risk, name).paise(capital) for name in AMOUNTS}
    if rules.capital.mode == "separate":
        for side, share in (
            ("long", rules.capital.long_share),
            ("short", rules.capital.short_share),
        ):
            own = int(found["max_gross"] * share / 100)
            found[f"max_{side}"] = min(found[f"max_{side}"], own)
    return found | {"max_open_positions": rules.risk.max_open_positions}


CHOICES: dict[str, list[Any]] = {
    "max_gross": ["60%", "100%", "300%"],
    "max_long": ["30%", "100%", "200%"],
    "max_short": ["30%", "100%", "200%"],
    "max_net": ["20%", "60%", "200%"],
    "max_symbol": ["15%", "40%"],
    "max_sector": ["25%", "80%"],
    "max_open_positions": [1, 3, 5],
    "max_trades": [5, 40, 999],
    "max_daily_loss": ["1%", "3%", "50%"],
    "mode": ["pooled", "separate"],
    "how": ["fixed_notional", "risk_per_trade", "fixed_quantity"],
}
RULES = st.fixed_dictionaries({name: st.sampled_from(of) for name, of in CHOICES.items()})
WISH = st.tuples(
    st.just("wish"), st.integers(0, 4), st.sampled_from(Side), st.integers(1_000, 40_000),
    st.integers(5, 300), st.booleans(),
)  # fmt: skip
EVENTS = st.lists(
    st.one_of(
        WISH,
        WISH,
        st.tuples(st.just("fill"), st.integers(0, 9), st.integers(1, 100), st.integers(0, 8)),
        st.tuples(st.just("fill"), st.integers(0, 9), st.integers(1, 100), st.integers(0, 8)),
        st.tuples(st.just("dead"), st.integers(0, 9)),
        st.tuples(st.just("exit"), st.integers(0, 9), st.integers(1, 100), st.integers(-30, 30)),
        st.tuples(st.just("mark"), st.integers(0, 4), st.integers(900, 44_000)),
        st.tuples(st.just("rules"), RULES),
    ),
    max_size=40,
)


class Day:
    """A book and its ledger, driven by the drawn events; `flip` exchanges the sides."""

    def __init__(self, rules: dict[str, Any], *, flip: bool = False) -> None:
        self.flip = flip
        self.rules = self._rules(rules)
        self.book: Book = open_book(ON, SECTORS)
        self.ledger = Ledger()
        self.serial = 0
        self.told: list[tuple[object, ...]] = []

    def _rules(self, given: dict[str, Any]) -> MoneySettings:
        if self.flip:
            given = given | {"max_long": given["max_short"], "max_short": given["max_long"]}
        return wide(**given)

    def event(self, event: tuple[Any, ...]) -> bool:
        """Apply one event; True where it reserved an entry."""
        kind, *rest = event
        return bool(getattr(self, f"_{kind}")(*rest))

    def change(self, given: dict[str, Any]) -> None:
        self.rules = self._rules(given)

    def _wish(self, n: int, side: Side, limit: int, distance: int, may_add: bool) -> bool:
        side = side.opposite if self.flip else side
        wish = Proposal(
            CASH[n], "MIS", side, limit, max(limit - side.sign * distance, 1), ON, may_add=may_add
        )
        answer = decide_entry(self.book, wish, self.rules)
        if isinstance(answer, Refusal):
            self.told.append(("refused", answer.limit))
            return False
        assert isinstance(answer, Sized)
        self.serial += 1
        name = f"i{self.serial}"
        self.told.append(("sized", answer.quantity, answer.bound))
        self.book = reserve(self.book, answer.reserve(name))
        self.ledger.flying[name] = Entry(wish, answer.quantity, answer.unit)
        self.ledger.entries += 1
        return True

    def _fill(self, n: int, quantity: int, better: int) -> None:
        flying = self.ledger.flying
        if not flying:
            return
        name = sorted(flying)[n % len(flying)]
        entry = flying[name]
        quantity = min(quantity, entry.left)
        sign = entry.wish.side.sign
        ticks = max(entry.wish.limit - sign * better, 1)  # never worse than its limit
        self._trade(entry.wish.instrument.key, sign * quantity, ticks, name)
        entry.left -= quantity
        entry.filled += quantity
        key = entry.wish.instrument.key
        self.ledger.shares += [(key, sign, entry.unit)] * quantity
        if not entry.left:
            del flying[name]

    def _dead(self, n: int) -> None:
        flying = self.ledger.flying
        if flying:
            name = sorted(flying)[n % len(flying)]
            self.ledger.entries -= not flying.pop(name).filled
            self.book = release(self.book, name)

    def _exit(self, n: int, quantity: int, away: int) -> None:
        held = sorted({key for key, _, _ in self.ledger.shares})
        if not held:
            return
        key = held[n % len(held)]
        mine = [share for share in self.ledger.shares if share[0] == key]
        quantity, sign = min(quantity, len(mine)), mine[0][1]
        position = self.book.portfolio.positions[key, "MIS"]
        at = max(int(position.average) // 5 + away, 1)
        self._trade(key, -sign * quantity, at, None)
        for share in mine[:quantity]:
            self.ledger.shares.remove(share)

    def _mark(self, n: int, ticks: int) -> None:
        self.book = on_mark(self.book, CASH[n].key, ticks * 5)

    def _trade(self, key: str, signed: int, ticks: int, intent: str | None) -> None:
        self.serial += 1
        fill = Fill(
            f"t{self.serial}", intent or f"x{self.serial}", key, "MIS", "NSE",
            "BUY" if signed > 0 else "SELL", abs(signed), ticks * 5, ON, self.serial,
        )  # fmt: skip
        self.book, _ = on_fill(self.book, fill, intent)


def check_sums(day: Day) -> None:
    """Every running sum of the book against the ledger's lists."""
    exposure, ledger, book = day.book.exposure, day.ledger, day.book
    assert exposure.long_reserved == ledger.in_flight(1)
    assert exposure.short_reserved == ledger.in_flight(-1)
    assert exposure.long_decided + exposure.long_reserved == ledger.open_value(1)
    assert exposure.short_decided + exposure.short_reserved == ledger.open_value(-1)
    positions = book.portfolio.positions.values()
    for side in Side:
        marked = sum(p.value for p in positions if p.side is side)
        assert exposure.side(side) == marked + ledger.in_flight(side.sign)
    for instrument in CASH:
        key = instrument.key
        marked = sum(p.value for p in positions if p.key == key)
        flying = ledger.in_flight(1, key) + ledger.in_flight(-1, key)
        assert exposure.symbols.get(key, 0) == marked + flying
    assert sum(exposure.sectors.values()) == exposure.gross == sum(exposure.symbols.values())
    assert len(exposure.slots) == ledger.figures()["max_open_positions"]
    assert book.entries == ledger.entries
    assert book.planned_risk_total == sum(book.planned_risk.values())
    assert book.reserved_risk == sum(e.quantity * e.risk for e in book.reserves.values())
    assert set(book.reserves) == set(ledger.flying)
    assert set(book.planned_risk) == set(book.portfolio.positions)


def long_day(seed: int, events: int = 150) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    """One seed, one bad day: its settings and its events, busier than what Hypothesis draws."""
    draw = random.Random(seed)
    rules = {name: draw.choice(of) for name, of in CHOICES.items()}
    day: list[tuple[Any, ...]] = []
    kinds = draw.choices(["wish", "fill", "dead", "exit", "mark", "rules"], [8, 8, 1, 3, 6, 0.3],
                         k=events)  # fmt: skip
    for kind in kinds:
        match kind:
            case "wish":
                day.append(
                    (kind, draw.randrange(6), draw.choice(list(Side)), draw.randint(1000, 20_000),
                     draw.randint(5, 60), draw.random() < 0.5)
                )  # fmt: skip
            case "fill":
                day.append((kind, draw.randrange(10), draw.randint(1, 60), draw.randint(0, 8)))
            case "dead":
                day.append((kind, draw.randrange(10)))
            case "exit":
                day.append((kind, draw.randrange(10), draw.randint(1, 60), draw.randint(-9, 30)))
            case "mark":
                day.append((kind, draw.randrange(6), draw.randint(900, 22_000)))
            case "rules":
                day.append((kind, {name: draw.choice(of) for name, of in CHOICES.items()}))
    return rules, day


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_no_limit_is_exceeded_on_a_long_day(seed: int) -> None:
    hold(*long_day(seed))


@given(rules=RULES, events=EVENTS)
def test_no_limit_is_exceeded_at_any_instant(
    rules: dict[str, Any], events: list[tuple[Any, ...]]
) -> None:
    hold(rules, events)


def test_the_long_days_are_busy() -> None:
    """A property that nothing reaches proves nothing: entries, refusals, positions, both sides."""
    entries, held, refused = 0, 0, set()
    for seed in range(20):
        rules, events = long_day(seed)
        day = Day(rules)
        for event in events:
            if event[0] == "rules":
                day.change(event[1])
            else:
                day.event(event)
                held = max(held, len(day.book.portfolio.positions))
        entries += sum(line[0] == "sized" for line in day.told)
        refused |= {line[1] for line in day.told if line[0] == "refused"}
    assert entries > 150
    assert held == 5
    assert refused >= {"one_position", "max_open_positions", "max_daily_loss", "max_trades"}


def hold(rules: dict[str, Any], events: list[tuple[Any, ...]]) -> None:
    """Drive a day and check the four invariants after each event."""
    day = Day(rules)
    before = day.ledger.figures()
    for event in events:
        if event[0] == "rules":
            day.change(event[1])
            continue
        reserved = day.event(event)
        check_sums(day)
        figures, bounds = day.ledger.figures(), limits(day.rules)
        for name, figure in figures.items():
            bound = bounds[name.partition(" ")[0]]
            if reserved or name != "max_net":
                assert figure <= max(bound, before[name]), (name, event)
        if reserved:
            total = day.book.portfolio.total
            worst = day.book.planned_risk_total + day.book.reserved_risk
            lost = total.charges.total - total.day_gross
            loss = day.rules.risk.max_daily_loss.paise(day.rules.capital.paise)
            assert lost + worst <= loss
            assert day.ledger.entries <= day.rules.risk.max_trades
        before = figures


@given(rules=RULES, events=EVENTS)
def test_exchanged_sides_give_the_same_decisions(
    rules: dict[str, Any], events: list[tuple[Any, ...]]
) -> None:
    mirrored(rules, events)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_exchanged_sides_on_a_long_day(seed: int) -> None:
    mirrored(*long_day(seed))


def mirrored(rules: dict[str, Any], events: list[tuple[Any, ...]]) -> None:
    # the tax falls on the sale, so what depends on charges is not the mirror image to the paisa:
    # no loss limit, and sizes by notional or number
    rules = _without_charges(rules)
    one, other = Day(rules), Day(rules, flip=True)
    for event in events:
        if event[0] == "rules":
            one.change(_without_charges(event[1]))
            other.change(_without_charges(event[1]))
        elif event[0] == "fill":
            for day in (one, other):
                day.event((*event[:3], 0))  # at the limit: a better price lies the other way
        elif event[0] == "exit":
            for day in (one, other):
                day.event((*event[:3], 0))
        else:
            one.event(event)
            other.event(event)
        a, b = one.book.exposure, other.book.exposure
        assert (a.long, a.short, a.long_reserved) == (b.short, b.long, b.short_reserved)
        assert a.symbols == b.symbols
        exchange = {"max_long": "max_short", "max_short": "max_long"}
        assert one.told == [
            tuple(exchange.get(word, word) if isinstance(word, str) else word for word in line)
            for line in other.told
        ]
        gross = [
            Fraction(day.book.portfolio.total.gross + day.book.portfolio.unrealised)
            for day in (one, other)
        ]
        assert gross[0] == -gross[1]


def _without_charges(rules: dict[str, Any]) -> dict[str, Any]:
    how = "fixed_notional" if rules["how"] == "risk_per_trade" else rules["how"]
    return rules | {"how": how, "max_daily_loss": "10000%"}
