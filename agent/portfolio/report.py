"""The day in figures: one value, one document, one page of words.

Net is after every component of the charges schedule; the schedule and whether it only stands in
for an older day are part of the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date

from agent.market.charges import Charges, dp_charge_paise, schedule_on, stands_in
from agent.market.instruments import Side
from agent.portfolio.lots import Closed
from agent.portfolio.pnl import Line, Portfolio, rupees, statement, whole


@dataclass(frozen=True, slots=True)
class DailyReport:
    """What a trading day brought.

    `dp_charges` is the depository's charge of delivery sales, once a scrip (not a part of any
    order, so on top of `total`). `still_open` is the number of positions held at the time.
    """

    on: date
    total: Line
    charges: Charges
    dp_charges: int
    sides: dict[str, Line]
    symbols: dict[str, Line]
    agents: dict[str, Line]
    versions: dict[str, Line]
    still_open: int
    best: tuple[str, int] | None
    worst: tuple[str, int] | None
    schedule: str
    schedule_stands_in: bool

    @property
    def net(self) -> int:
        """The day's result after all charges, paise."""
        return self.total.net - self.dp_charges

    def document(self) -> dict[str, object]:
        """Return the report as a JSON document; amounts in paise, keys stable."""
        shown = asdict(self)
        shown["on"] = self.on.isoformat()
        shown["net"] = self.net
        for part in ("sides", "symbols", "agents", "versions"):
            shown[part] = {
                name: {**asdict(line), "gross": line.gross, "net": line.net}
                for name, line in getattr(self, part).items()
            }
        shown["total"] = {**asdict(self.total), "gross": self.total.gross, "net": self.total.net}
        shown["charges"]["total"] = self.charges.total
        return shown

    def lines(self) -> list[str]:
        """Return the report as a person reads it, one line each."""
        charges = rupees(self.total.charges + self.dp_charges)
        first = (
            f"{self.on.isoformat()}: net {rupees(self.net)} = realised "
            f"{rupees(self.total.realised)} + unrealised {rupees(self.total.unrealised)} "
            f"- charges {charges}; {self.total.round_trips} round trips, "
            f"{self.still_open} still open"
        )
        said = [first]
        for name, line in self.sides.items():
            said.append(f"{name}: net {rupees(line.net)}, {line.round_trips} round trips")
        if self.best is not None and self.worst is not None:
            said.append(
                f"best {self.best[0]} {rupees(self.best[1])}, worst {self.worst[0]} "
                f"{rupees(self.worst[1])}"
            )
        if self.schedule_stands_in:
            said.append("charges: the earliest schedule known stands in for this older day")
        return said


def daily_report(portfolio: Portfolio, closed: Sequence[Closed] = ()) -> DailyReport:
    """Return the report of a portfolio's day.

    Parameters
    ----------
    portfolio : Portfolio
    closed : sequence of Closed
        What the day's fills closed; delivery sales among them pay the depository's charge.
    """
    symbols = statement(portfolio, "symbol")
    ranked = sorted((line.net, name) for name, line in symbols.items())
    schedule = schedule_on(portfolio.on)
    sold = {c.key for c in closed if c.product in {"CNC", "MTF"} and _delivered(c, portfolio.on)}
    return DailyReport(
        portfolio.on,
        whole(portfolio),
        portfolio.total.charges,
        dp_charge_paise(portfolio.on) * len(sold),
        statement(portfolio, "side"),
        symbols,
        statement(portfolio, "agent"),
        statement(portfolio, "version"),
        len(portfolio.positions),
        (ranked[-1][1], ranked[-1][0]) if ranked else None,
        (ranked[0][1], ranked[0][0]) if ranked else None,
        f"since {schedule.since.isoformat()}: {schedule.source}",
        stands_in(portfolio.on),
    )


def _delivered(closed: Closed, on: date) -> bool:
    """Tell whether the shares left the depository: a LONG of an earlier day."""
    return closed.side is Side.LONG and closed.opened_on < on
