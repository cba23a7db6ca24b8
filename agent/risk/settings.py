"""What a person may set about capital, size, limits and margin; the defaults live here alone.

Frozen values; a wrong one fails when it is read, with its key and both numbers. Amounts are
rupees (`5000`) or a share of the capital (`"1%"`). Every one may be changed while the agent runs:
the settings are an argument of each decision, never a part of its state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import cached_property
from math import ceil
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)


@dataclass(frozen=True, slots=True)
class Amount:
    """A sum of money, fixed or as a share of the capital."""

    text: str
    fixed_paise: int | None
    share: Fraction | None

    def paise(self, capital_paise: int) -> int:
        """Return the amount in whole paise, rounded down."""
        if self.fixed_paise is not None:
            return self.fixed_paise
        share = self.share or Fraction(0)
        return capital_paise * share.numerator // share.denominator

    def __str__(self) -> str:
        return self.text


def parse_amount(given: object) -> Amount:
    """Read rupees (5000, "5000") or a share of the capital ("1%").

    Raises
    ------
    ValueError
        If it is neither, or negative (pydantic adds the key).
    """
    if isinstance(given, Amount):
        return given
    text = str(given).strip()
    number, percent = (text[:-1], True) if text.endswith("%") else (text, False)
    try:
        value = Decimal(number)
    except InvalidOperation:
        value = Decimal("NaN")
    if isinstance(given, bool) or not value.is_finite() or value < 0:
        raise ValueError(f'found {given!r}; expected rupees (5000) or a share of capital ("1%")')
    if percent:
        return Amount(text, None, Fraction(value) / 100)
    return Amount(text, int(value * 100), None)


AmountField = Annotated[
    Amount,
    BeforeValidator(parse_amount),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": ["string", "number"]}),
]
Percent = Annotated[Decimal, Field(ge=0, le=100)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CapitalSettings(_Settings):
    """The money that the agent works with and how the two sides share it."""

    total: Annotated[Decimal, Field(gt=0)] = Field(
        Decimal(100_000), description="Capital of the agent, rupees; every percentage is of it."
    )
    mode: Literal["separate", "pooled"] = Field(
        "pooled",
        description="separate: each side has its share of the gross limit; pooled: one pool.",
    )
    long_share: Percent = Field(
        Decimal(50), description="separate: the long book's share of the gross limit, percent."
    )
    short_share: Percent = Field(
        Decimal(50), description="separate: the short book's share of the gross limit, percent."
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.long_share + self.short_share > 100:
            raise ValueError(
                f"long_share {self.long_share} and short_share {self.short_share} "
                "exceed 100 together"
            )
        return self

    @cached_property
    def paise(self) -> int:
        """The capital in paise."""
        return int(self.total * 100)


class SizingSettings(_Settings):
    """How many shares a signal is worth before any limit."""

    mode: Literal["fixed_quantity", "fixed_notional", "risk_per_trade", "volatility_target"] = (
        Field("risk_per_trade", description="Which of the four rules sets the size.")
    )
    quantity: Annotated[int, Field(gt=0)] = Field(
        1, description="fixed_quantity: shares of each trade."
    )
    notional: AmountField = Field(
        parse_amount("25%"), description="fixed_notional: value of each trade."
    )
    risk: AmountField = Field(
        parse_amount("0.25%"),
        description="risk_per_trade: loss if the stop fills at its limit, charges included.",
    )
    volatility: AmountField = Field(
        parse_amount("0.25%"),
        description="volatility_target: one standard deviation of a position's value in a day.",
    )
    slices: Annotated[int, Field(ge=1, le=10)] = Field(
        1, description="Freeze quantities that a size may be; the agent sends one and no more."
    )


class RiskSettings(_Settings):
    """The limits; each holds with orders in flight counted."""

    max_open_positions: Annotated[int, Field(ge=0)] = Field(
        3, description="Positions and entries in flight at one time."
    )
    max_gross: AmountField = Field(
        parse_amount("100%"), description="Long and short exposure together (100%: leverage 1)."
    )
    max_net: AmountField = Field(
        parse_amount("100%"), description="Long less short exposure, either way."
    )
    max_long: AmountField = Field(parse_amount("100%"), description="Exposure of the long side.")
    max_short: AmountField = Field(parse_amount("100%"), description="Exposure of the short side.")
    max_symbol: AmountField = Field(
        parse_amount("40%"), description="Exposure in one instrument, all products."
    )
    max_sector: AmountField | None = Field(
        None, description="Exposure in one sector; works only with a sector file."
    )
    max_trades: Annotated[int, Field(ge=0)] = Field(30, description="Entries a day.")
    max_round_trips: Annotated[int, Field(ge=0)] = Field(
        6, description="Round trips a day in one instrument, the open one counted."
    )
    max_daily_loss: AmountField = Field(
        parse_amount("1%"), description="Loss of the day, charges included: then FLATTEN."
    )
    max_drawdown: AmountField | None = Field(
        parse_amount("1.5%"), description="Fall from the day's best result: then FLATTEN."
    )
    min_price: Annotated[Decimal, Field(ge=0)] = Field(
        Decimal(50), description="Least price of an instrument to enter, rupees."
    )
    allow_long: bool = Field(True, description="Whether long positions may be opened.")
    allow_short: bool = Field(True, description="Whether short positions may be opened.")


class MarginSettings(_Settings):
    """What share of the margin in use brings a notice, ends entries, reduces."""

    warn_at: Percent = Field(Decimal(80), description="Notice at this use of margin, percent.")
    no_entry_at: Percent = Field(Decimal(90), description="No entries from here on, percent.")
    reduce_at: Percent = Field(
        Decimal(95), description="The worst position is closed from here on, percent."
    )
    fallback_mis: Percent = Field(
        Decimal(50),
        description="Margin of an intraday position where the broker was not asked, percent.",
    )
    fallback_carry: Percent = Field(
        Decimal(100), description="The same for CNC and NRML, percent of the value."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.warn_at <= self.no_entry_at <= self.reduce_at:
            raise ValueError(
                f"expected warn_at <= no_entry_at <= reduce_at, found {self.warn_at}, "
                f"{self.no_entry_at}, {self.reduce_at}"
            )
        return self

    @cached_property
    def mis_parts(self) -> tuple[int, int]:
        """`fallback_mis` as a whole number of parts, and how many parts the value has."""
        numerator, denominator = self.fallback_mis.as_integer_ratio()
        return numerator, 100 * denominator

    @cached_property
    def carry_parts(self) -> tuple[int, int]:
        """`fallback_carry` likewise."""
        numerator, denominator = self.fallback_carry.as_integer_ratio()
        return numerator, 100 * denominator


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the amounts of the settings come to, paise; None where a limit is off.

    `least_price` is `min_price` in whole paise, rounded up: a price below it is below both.
    """

    capital: int
    gross: int
    net: int
    long: int
    short: int
    symbol: int
    sector: int | None
    daily_loss: int
    drawdown: int | None
    least_price: int
    notional: int
    risk: int
    volatility: int


@dataclass(frozen=True, slots=True)
class MoneySettings:
    """The four of them, as a decision takes them.

    `bounds` are their amounts in paise: worked out once for settings, not for every question.
    """

    capital: CapitalSettings = field(default_factory=CapitalSettings)
    sizing: SizingSettings = field(default_factory=SizingSettings)
    risk: RiskSettings = field(default_factory=RiskSettings)
    margin: MarginSettings = field(default_factory=MarginSettings)
    bounds: Bounds = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        capital, risk, sizing = self.capital.paise, self.risk, self.sizing
        bounds = Bounds(
            capital,
            gross=risk.max_gross.paise(capital),
            net=risk.max_net.paise(capital),
            long=risk.max_long.paise(capital),
            short=risk.max_short.paise(capital),
            symbol=risk.max_symbol.paise(capital),
            sector=None if risk.max_sector is None else risk.max_sector.paise(capital),
            daily_loss=risk.max_daily_loss.paise(capital),
            drawdown=None if risk.max_drawdown is None else risk.max_drawdown.paise(capital),
            least_price=ceil(risk.min_price * 100),
            notional=sizing.notional.paise(capital),
            risk=sizing.risk.paise(capital),
            volatility=sizing.volatility.paise(capital),
        )
        object.__setattr__(self, "bounds", bounds)


DEFAULTS: Final = MoneySettings()
