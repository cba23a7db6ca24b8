"""What a trade costs: brokerage, taxes and fees, by the day's schedule.

Rule 1: the rates are data with a first day and a source; no rate is written anywhere else.
Rule 2: integers. A rate is parts in a thousand million of the turnover, so that a component is
one multiplication and one rounding (half up, to the paisa); `exact_order_charges` does not round.
Not in here: the depository's charge on a delivery sale (`dp_charge_paise`, once a scrip and day)
and the broker's fee for squaring off (`SQUARE_OFF_FEE_PAISE`); the books add them.

The broker's own figures (`POST /charges/orders`) are the truth to check this table against.
A contract note rounds STT to whole rupees a day and scrip: the paisa here is the estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final, Literal

from agent.errors import SettingRefused
from agent.market.instruments import Side

Kind = Literal["delivery", "intraday", "futures", "options"]

PARTS: Final = 10**9  # a rate of 250_000 is 0.025 %
GST_PERCENT: Final = 18
_HALF: Final = PARTS >> 1
_GST_PARTS: Final = 100 * PARTS  # of a tax that is percents of a charge in `PARTS`
_HALF_OF_GST: Final = 100 * _HALF
SQUARE_OFF_FEE_PAISE: Final = 5_900  # the broker's own square-off: Rs 50 + 18 % GST an order


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates of one kind of trade, in parts of `PARTS` of the turnover.

    `brokerage` is capped at `brokerage_cap_paise` an executed order (a rate of `PARTS` makes the
    cap a flat fee). `stt` is (on a buy, on a sell); `stamp` is on buys only. `exchange`
    includes the exchange's investor protection levy, as the broker's own table does.
    """

    brokerage: int
    brokerage_cap_paise: int
    stt: tuple[int, int]
    exchange: int
    sebi: int
    stamp: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """The rates in force from a day on, and where they are from."""

    since: date
    source: str
    exchange_nse: tuple[int, int, int]  # cash, futures, options on premium
    stt_futures: int
    stt_options: int
    sebi: int = 1_000

    def rates(self, kind: Kind, *, bse: bool) -> Rates:
        """Return the rates of one kind of trade."""
        cash, futures, options = self.exchange_nse
        if bse:
            cash, futures, options = _EXCHANGE_BSE
        match kind:
            case "delivery":
                return Rates(0, 0, (1_000_000, 1_000_000), cash, self.sebi, 150_000)
            case "intraday":
                return Rates(300_000, 2_000, (0, 250_000), cash, self.sebi, 30_000)
            case "futures":
                return Rates(300_000, 2_000, (0, self.stt_futures), futures, self.sebi, 20_000)
            case "options":
                return Rates(PARTS, 2_000, (0, self.stt_options), options, self.sebi, 30_000)


# BSE cash 0.00375 % (its main groups; small groups pay more), futures free, options 0.0325 %.
_EXCHANGE_BSE: Final = (37_500, 0, 325_000)

# Newest last. Brokerage is Zerodha's: intraday and futures min(0.03 %, Rs 20), options Rs 20,
# delivery free; STT on cash (0.1 % both, 0.025 % intraday sell) and GST at 18 % are older than
# the first row; stamp duty is uniform since 1 July 2020, which is why the table starts there.
SCHEDULES: Final = (
    Schedule(
        date(2020, 7, 1),
        "uniform stamp duty (Zerodha bulletin 259741); NSE 0.00325 %; SEBI fee halved Jun 2020 "
        "to Mar 2021 (SEBI circular, The Hindu 27 Apr 2020)",
        (32_500, 19_000, 500_000),
        100_000,
        500_000,
        sebi=500,
    ),
    Schedule(
        date(2021, 1, 1),
        "NSE charges raised by 6 % from 1 Jan 2021 (The Hindu, 24 Mar 2023)",
        (34_500, 20_000, 530_000),
        100_000,
        500_000,
        sebi=500,
    ),
    Schedule(
        date(2021, 4, 1),
        "SEBI turnover fee back to Rs 10 a crore (same SEBI circular)",
        (34_500, 20_000, 530_000),
        100_000,
        500_000,
    ),
    Schedule(
        date(2023, 4, 1),
        "NSE rolls the 6 % back, IPFT Rs 10 a crore (The Hindu, 24 Mar 2023); Finance Act 2023: "
        "STT futures 0.0125 %, options 0.0625 %",
        (33_500, 20_000, 505_000),
        125_000,
        625_000,
    ),
    Schedule(
        date(2024, 4, 1),
        "NSE cuts its charges by 1 %: 0.00322 %, futures 0.00188 %, options 0.0495 %, each and "
        "IPFT (Zerodha's charge list of 2024)",
        (33_200, 19_800, 500_000),
        125_000,
        625_000,
    ),
    Schedule(
        date(2024, 10, 1),
        "NSE flat charges 0.00297 %, 0.00173 %, 0.03503 %, each and IPFT (NSE circular, Good "
        "Returns 27 Sep 2024); Finance Act 2024: STT futures 0.02 %, options 0.1 %",
        (30_700, 18_300, 355_300),
        200_000,
        1_000_000,
    ),
    Schedule(
        date(2026, 4, 1),
        "Finance Act 2026: STT futures 0.05 %, options 0.15 %; checked against the broker's "
        "table as known in Nov 2026",
        (30_700, 18_300, 355_300),
        500_000,
        1_500_000,
    ),
)
EARLIEST: Final = SCHEDULES[0].since
_DP_PAISE: Final = 1_534  # CDSL and broker, GST included; not verified for every year


@dataclass(frozen=True, slots=True)
class Charges:
    """What one executed order costs, in paise, each component rounded once."""

    brokerage: int
    stt: int
    exchange: int
    sebi: int
    stamp: int
    gst: int

    @property
    def total(self) -> int:
        """The sum in paise."""
        return self.brokerage + self.stt + self.exchange + self.sebi + self.stamp + self.gst

    def __add__(self, other: Charges) -> Charges:
        """Return the component-wise sum."""
        return Charges(
            self.brokerage + other.brokerage,
            self.stt + other.stt,
            self.exchange + other.exchange,
            self.sebi + other.sebi,
            self.stamp + other.stamp,
            self.gst + other.gst,
        )

    def __sub__(self, other: Charges) -> Charges:
        """Return the component-wise difference: what a further fill adds to an order."""
        return Charges(
            self.brokerage - other.brokerage,
            self.stt - other.stt,
            self.exchange - other.exchange,
            self.sebi - other.sebi,
            self.stamp - other.stamp,
            self.gst - other.gst,
        )


NO_CHARGES: Final = Charges(0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class ExactCharges:
    """What one executed order costs, in rupees, unrounded."""

    brokerage: Fraction
    stt: Fraction
    exchange: Fraction
    sebi: Fraction
    stamp: Fraction
    gst: Fraction

    @property
    def total(self) -> Fraction:
        """The sum in rupees."""
        return self.brokerage + self.stt + self.exchange + self.sebi + self.stamp + self.gst


def schedule_on(on: date) -> Schedule:
    """Return the schedule in force on a day.

    A day before the earliest known schedule gets the earliest one: it stands in (older stamp
    duty went by state, older brokerage by plan). `stands_in` tells; answers say so.
    """
    return next((s for s in reversed(SCHEDULES) if s.since <= on), SCHEDULES[0])


def stands_in(on: date) -> bool:
    """Tell whether the earliest known schedule is only a stand-in for a day."""
    return on < EARLIEST


def dp_charge_paise(on: date) -> int:
    """Return the depository's charge of a delivery sale, a scrip and day, in paise with GST."""
    del on  # one figure is known; the argument is there for the day that a second one is
    return _DP_PAISE


_CASH_KINDS: Final[dict[str, Kind]] = {
    "CNC": "delivery",
    "MTF": "delivery",
    "MIS": "intraday",
    "CO": "intraday",
}
_DERIVATIVE_KINDS: Final[dict[str, Kind]] = {"FUT": "futures", "OPT": "options"}


@lru_cache(maxsize=256)
def rates_for(product: str, segment: str, on: date) -> Rates:
    """Return the rates of a product in a segment on a day.

    Parameters
    ----------
    product : {"MIS", "CNC", "MTF", "NRML", "CO"}
    segment : {"NSE", "BSE", "NFO-FUT", "NFO-OPT", "BFO-FUT", "BFO-OPT"}
    on : date

    Raises
    ------
    SettingRefused
        If the pair does not exist: NRML on shares, CNC on futures, a currency segment.
    """
    cash = segment in {"NSE", "BSE"}
    kind = _CASH_KINDS.get(product) if cash else None
    if product in {"NRML", "MIS", "CO"} and segment[:4] in {"NFO-", "BFO-"}:
        kind = _DERIVATIVE_KINDS.get(segment[4:])
    if kind is None:
        raise SettingRefused(
            "product, segment",
            given=f"{product}, {segment}",
            allowed="MIS, CNC or MTF in NSE and BSE; NRML or MIS in NFO-FUT, NFO-OPT, BFO-...",
            fix="take product and segment from the order and the instruments dump",
        )
    rates = schedule_on(on).rates(kind, bse=segment.startswith("B"))
    if product == "MTF":  # margin-funded delivery pays brokerage: min(0.3 %, Rs 20)
        return Rates(3_000_000, 2_000, rates.stt, rates.exchange, rates.sebi, rates.stamp)
    return rates


def charges_on(rates: Rates, transaction: str, paise: int, per: int = 1) -> Charges:
    """Return the charges of an executed order of `paise / per` paise turnover.

    The kernel of `order_charges`, for those who hold the rates and an integer value already.

    Parameters
    ----------
    rates : Rates
    transaction : {"BUY", "SELL"}
    paise, per : int
        The turnover as a fraction of paise; `per` > 0.
    """
    unit = PARTS * per
    half = unit >> 1
    buy = transaction == "BUY"
    exact_brokerage = min(paise * rates.brokerage, rates.brokerage_cap_paise * unit)
    exchange, sebi = paise * rates.exchange, paise * rates.sebi
    gst = (exact_brokerage + exchange + sebi) * GST_PERCENT
    return Charges(
        (exact_brokerage + half) // unit,
        (paise * rates.stt[0 if buy else 1] + half) // unit,
        (exchange + half) // unit,
        (sebi + half) // unit,
        (paise * rates.stamp + half) // unit if buy else 0,
        (gst + 100 * half) // (100 * unit),
    )


def total_on(rates: Rates, transaction: str, paise: int | Fraction) -> int:
    """Return `charges_on(...).total` of a turnover in paise, without the components' value.

    A size is decided by a handful of these; the value alone would be half their time.
    """
    fee = min(paise * rates.brokerage, rates.brokerage_cap_paise * PARTS)
    exchange, sebi = paise * rates.exchange, paise * rates.sebi
    if transaction == "BUY":
        stamp, stt = (paise * rates.stamp + _HALF) // PARTS, paise * rates.stt[0]
    else:
        stamp, stt = 0, paise * rates.stt[1]
    return (
        (fee + _HALF) // PARTS
        + (stt + _HALF) // PARTS
        + (exchange + _HALF) // PARTS
        + (sebi + _HALF) // PARTS
        + stamp
        + ((fee + exchange + sebi) * GST_PERCENT + _HALF_OF_GST) // _GST_PARTS
    )


def order_charges(
    *, product: str, segment: str, transaction: str, quantity: int, price: Decimal, on: date
) -> Charges:
    """Return what an executed order costs, to the paisa, each component rounded half up.

    Parameters
    ----------
    product, segment : str
        As in `rates_for`.
    transaction : {"BUY", "SELL"}
    quantity : int, shares, >= 0
        All that the order filled: brokerage is capped once an order, not once a fill.
    price : Decimal, rupees
        The average price of the fills (a premium, for options).
    on : date
        The trading day. Before the earliest known schedule that one stands in (`stands_in`).

    Raises
    ------
    SettingRefused
        If product and segment do not go together, or quantity or price is negative.
    """
    value = _turnover(transaction, quantity, Fraction(price)) * 100
    rates = rates_for(product, segment, on)
    return charges_on(rates, transaction, value.numerator, value.denominator)


def exact_order_charges(
    *,
    product: str,
    segment: str,
    transaction: str,
    quantity: int,
    price: Decimal | Fraction,
    on: date,
) -> ExactCharges:
    """Return what an executed order costs in rupees, unrounded; arguments as `order_charges`.

    Raises
    ------
    SettingRefused
        If product and segment do not go together, or quantity or price is negative.
    """
    value = _turnover(transaction, quantity, Fraction(price))
    rates = rates_for(product, segment, on)
    buy = transaction == "BUY"
    cap = Fraction(rates.brokerage_cap_paise, 100)
    brokerage = min(value * Fraction(rates.brokerage, PARTS), cap)
    exchange, sebi = value * Fraction(rates.exchange, PARTS), value * Fraction(rates.sebi, PARTS)
    return ExactCharges(
        brokerage,
        value * Fraction(rates.stt[0 if buy else 1], PARTS),
        exchange,
        sebi,
        value * Fraction(rates.stamp, PARTS) if buy else Fraction(0),
        (brokerage + exchange + sebi) * GST_PERCENT / 100,
    )


def round_trip_per_share(
    price: Fraction, quantity: int, on: date, *, product: str = "MIS", segment: str = "NSE"
) -> Fraction:
    """Return the charges a share of buying and selling at one price, in rupees, unrounded.

    The trailing lock's "breakeven" is this distance.

    Raises
    ------
    SettingRefused
        If product and segment do not go together, or quantity < 1, or the price is negative.
    """
    _at_least_one(quantity)
    both = sum(
        exact_order_charges(
            product=product,
            segment=segment,
            transaction=transaction,
            quantity=quantity,
            price=price,
            on=on,
        ).total
        for transaction in ("BUY", "SELL")
    )
    return Fraction(both) / quantity


def breakeven_price(
    side: Side,
    entry: Fraction,
    quantity: int,
    on: date,
    *,
    product: str = "MIS",
    segment: str = "NSE",
) -> Fraction:
    """Return the exit price at which a trade earns exactly nothing after both legs' charges.

    Differs from `entry +- round_trip_per_share` by the charges on the difference: here the exit
    leg is charged at the exit price.

    Raises
    ------
    SettingRefused
        If product and segment do not go together, quantity < 1, the entry is negative, or no
        exit price earns the charges back (a SHORT worth less than they are).
    """
    _at_least_one(quantity)
    rates = rates_for(product, segment, on)
    entered = exact_order_charges(
        product=product,
        segment=segment,
        transaction=side.entry_transaction,
        quantity=quantity,
        price=entry,
        on=on,
    ).total
    buying = side.exit_transaction == "BUY"
    gst = Fraction(100 + GST_PERCENT, 100)
    taxed = (rates.exchange + rates.sebi) * gst
    untaxed = rates.stt[0 if buying else 1] + (rates.stamp if buying else 0)
    cap = Fraction(rates.brokerage_cap_paise, 100)
    # s*q*(x - e) = entered + fixed + rate*q*x, with brokerage in `rate` below its cap and in
    # `fixed` at it; the larger brokerage is never due, so the branch that agrees is the answer.
    for rate, fixed in ((taxed + rates.brokerage * gst + untaxed, Fraction(0)),
                        (taxed + untaxed, cap * gst)):  # fmt: skip
        slope = side.sign - rate / PARTS
        exit_price = (side.sign * entry + (entered + fixed) / quantity) / slope
        due = exit_price * quantity * rates.brokerage / PARTS
        if exit_price >= 0 and (due <= cap) is (fixed == 0):
            return exit_price
    raise SettingRefused(
        "entry",
        given=f"{side.value} {quantity} at {entry}",
        allowed="a turnover above its own charges",
        fix="no exit price earns them back: trade a larger quantity or not at all",
    )


def _turnover(transaction: str, quantity: int, price: Fraction) -> Fraction:
    if transaction not in {"BUY", "SELL"} or quantity < 0 or price < 0:
        raise SettingRefused(
            "order",
            given=f"{transaction} {quantity} at {price}",
            allowed="BUY or SELL, quantity and price not negative",
            fix="charge executed quantity at its average price",
        )
    return quantity * price


def _at_least_one(quantity: int) -> None:
    if quantity < 1:
        raise SettingRefused(
            "quantity", given=quantity, allowed="at least 1", fix="name the shares of the trade"
        )
