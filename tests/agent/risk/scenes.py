"""Shared words of the risk tests: instruments, settings, a proposal, a fill."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from agent.market.instruments import Instrument, Side
from agent.portfolio.lots import Fill
from agent.risk import (
    Book,
    CapitalSettings,
    MarginSettings,
    MoneySettings,
    Proposal,
    RiskSettings,
    Sized,
    SizingSettings,
    decide_entry,
    on_fill,
    release,
    reserve,
)

ON = date(2026, 11, 25)
CASH = [
    Instrument(f"NSE:{name}", n, Decimal("0.05"), freeze_quantity=100_000)
    for n, name in enumerate("ABCDEF")
]
FUTURE = Instrument(
    "NFO:A26DECFUT", 90, Decimal("0.05"), lot_size=50, segment="NFO-FUT", instrument_type="FUT",
    freeze_quantity=10_000,
)  # fmt: skip
SECTORS = {"NSE:A": "banks", "NSE:B": "banks", "NSE:C": "it"}


def settings(**given: Any) -> MoneySettings:
    """Settings by the names of their keys, wherever they live; the rest are the defaults."""
    rooms = {"capital": CapitalSettings, "sizing": SizingSettings, "risk": RiskSettings,
             "margin": MarginSettings}  # fmt: skip
    own = {"mode": "capital", "how": "sizing"}
    parts: dict[str, dict[str, Any]] = {room: {} for room in rooms}
    for key, value in given.items():
        room = own.get(key) or next(r for r, model in rooms.items() if key in model.model_fields)
        parts[room]["mode" if key == "how" else key] = value
    return MoneySettings(**{room: model(**parts[room]) for room, model in rooms.items()})


def wide(**given: Any) -> MoneySettings:
    """Settings in which nothing binds but what a test names."""
    open_ = {
        "max_open_positions": 99, "max_gross": "1000%", "max_net": "1000%", "max_long": "1000%",
        "max_short": "1000%", "max_symbol": "1000%", "max_trades": 999, "max_round_trips": 99,
        "max_daily_loss": "90%", "max_drawdown": None, "min_price": 0, "fallback_mis": 0,
        "fallback_carry": 0, "how": "fixed_quantity", "quantity": 100,
    }  # fmt: skip
    return settings(**(open_ | given))


def proposal(
    side: Side = Side.LONG, at: str = "1000", stop: str | None = None, *, n: int = 0, **more: Any
) -> Proposal:
    """An entry at a price in rupees; the stop's limit is 1 % behind unless it is named."""
    instrument = more.pop("instrument", CASH[n])
    behind = Decimal(at) * (100 - side.sign) / 100 if stop is None else Decimal(stop)
    return Proposal(
        instrument,
        more.pop("product", "MIS"),
        side,
        instrument.ticks(at),
        instrument.round_ticks(behind, "nearest"),
        more.pop("on", ON),
        **more,
    )


def fill_of(proposal: Proposal, signed: int, at: str | None = None, *, n: int = 1,
            order: str | None = None) -> Fill:  # fmt: skip
    """A trade in the proposal's instrument; a positive quantity buys."""
    instrument = proposal.instrument
    ticks = proposal.limit if at is None else instrument.ticks(at)
    return Fill(
        f"t{n}", order or f"o{n}", instrument.key, proposal.product, instrument.segment,
        "BUY" if signed > 0 else "SELL", abs(signed), instrument.paise(ticks), proposal.on, n,
        "model", "1",
    )  # fmt: skip


def entered(book: Book, wish: Proposal, rules: MoneySettings, *, n: int = 1) -> Book:
    """Decide, reserve, fill all of it at its limit."""
    answer = decide_entry(book, wish, rules)
    assert isinstance(answer, Sized), answer
    book = reserve(book, answer.reserve(f"i{n}"))
    signed = wish.side.sign * answer.quantity
    book, _ = on_fill(book, fill_of(wish, signed, n=n), f"i{n}")
    return release(book, f"i{n}")
