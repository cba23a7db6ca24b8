"""What many trades brought, in whole paise: gross, charges by the day's schedule, slippage.

Pure. The charges are agent/market/charges.py's, component by component and rounded half up to the
paisa, over arrays; a test holds the two against each other. Slippage is a share of each order's
turnover, charged on top: half a spread, paid twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from agent.errors import SettingRefused
from agent.market.charges import GST_PERCENT, PARTS, Rates, rates_for
from flows.data.frame import EPOCH

Ints = npt.NDArray[np.int64]
TURNOVER_MAX = 10**10  # paise (Rs 10 crore): with it no product below leaves 64 bits


@dataclass(frozen=True, slots=True)
class Terms:
    """How trades are sized and what an order costs beside the charges.

    Parameters
    ----------
    notional_rupees : int
        The value of a trade at its entry; at least one share is traded.
    slippage_bps : float
        Of each order's turnover.
    product : str
        `MIS`, or `CNC` to be charged as delivery.
    """

    notional_rupees: int = 100_000
    slippage_bps: float = 1.5
    product: str = "MIS"


@dataclass(frozen=True, slots=True)
class Money:
    """Paise of each trade: int64 arrays of shape (n,)."""

    gross: Ints
    charges: Ints
    slippage: Ints

    @property
    def net(self) -> Ints:
        """What is left."""
        return self.gross - self.charges - self.slippage


class Ledger:
    """The trades of one symbol, before any policy: what each entry costs, worked out once.

    Parameters
    ----------
    entry : int64 array of shape (n,), paise a share
    sign, day : int64 arrays of shape (n,)
    segment : str, `NSE` or `BSE`
    terms : Terms

    Raises
    ------
    SettingRefused
        If a trade's value is beyond `TURNOVER_MAX`.
    """

    def __init__(self, entry: Ints, sign: Ints, day: Ints, segment: str, terms: Terms) -> None:
        self._entry, self._sign = entry, sign
        self.quantity = np.maximum(1, terms.notional_rupees * 100 // entry)
        self._slippage = round(terms.slippage_bps * PARTS / 10_000)
        value = entry * self.quantity
        if len(value) and int(value.max()) > TURNOVER_MAX:
            raise SettingRefused(
                "--notional",
                given=f"a trade of Rs {int(value.max()) // 100:,}",
                allowed=f"at most Rs {TURNOVER_MAX // 100:,} a trade",
                fix="lower it",
            )
        days, self._schedule = np.unique(day, return_inverse=True)
        rates = [rates_for(terms.product, segment, EPOCH + timedelta(days=int(d))) for d in days]
        self._rates = _table(rates)
        self._entered = self._order(sign > 0, entry)

    def settle(self, move: Ints, rows: Ints | slice = slice(None)) -> Money:
        """Return what trades brought.

        Parameters
        ----------
        move : int64 array of shape (m,), paise a share
            The favourable move from the entry to the exit.
        rows : which of the trades those are
        """
        sign, quantity = self._sign[rows], self.quantity[rows]
        exit_ = np.maximum(self._entry[rows] + sign * move, 1)
        left = self._order(sign < 0, exit_, rows)
        charged, slipped = self._entered
        return Money(move * quantity, charged[rows] + left[0], slipped[rows] + left[1])

    def _order(
        self, buy: npt.NDArray[np.bool_], price: Ints, rows: Ints | slice = slice(None)
    ) -> tuple[Ints, Ints]:
        """Return charges and slippage of one order each (charges.charges_on, over arrays)."""
        rate = self._rates[:, self._schedule[rows]]
        brokerage, cap, stt_buy, stt_sell, exchange_rate, sebi_rate, stamp_rate = rate
        turnover = price * self.quantity[rows]
        unit, half = PARTS, PARTS // 2
        fee = np.minimum(turnover * brokerage, cap * unit)
        exchange, sebi = turnover * exchange_rate, turnover * sebi_rate
        gst = (fee + exchange + sebi) * GST_PERCENT
        stt = turnover * np.where(buy, stt_buy, stt_sell)
        stamp = np.where(buy, turnover * stamp_rate, 0)
        charges = (gst + 100 * half) // (100 * unit)
        for part in (fee, stt, exchange, sebi, stamp):
            charges = charges + (part + half) // unit
        return charges, (turnover * self._slippage + half) // unit


def _table(rates: list[Rates]) -> Ints:
    """Return rates as an array of shape (7, n_days)."""
    rows = [
        (r.brokerage, r.brokerage_cap_paise, *r.stt, r.exchange, r.sebi, r.stamp) for r in rates
    ]
    return np.array(rows, np.int64).reshape(len(rows), 7).T
