"""The broker's rate limits, in virtual time: calendar seconds and minutes of the exchange's clock.

Order placing is always limited (10 a second, 400 a minute, 5,000 a day; a place request that is
refused counts too). To the day also counts what the broker places by itself for the account: each
further leg of an iceberg order and a fired GTT. Reads are counted against their budgets, and
refused past them where the clock runs freely: in lock-step it stands while a client reads, and one
second of it may last for minutes of a warm-up that at the broker would have been spread; there it
has to be asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from agent.paper.refusals import RequestRefused, too_many_requests
from agent.paper.source import DAY_MS, IST_OFFSET_MS

ORDERS: Final = "orders"
SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
# class of call: (window in ms, calls) pairs
BUDGETS: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    ORDERS: ((SECOND_MS, 10), (MINUTE_MS, 400), (DAY_MS, 5_000)),
    "quote": ((SECOND_MS, 1),),
    "historical": ((SECOND_MS, 3),),
    "other": ((SECOND_MS, 10),),
}
DAY_SPENT: Final = "Maximum allowed order requests exceeded."


@dataclass(slots=True)
class Limits:
    """Counts calls by calendar window.

    Parameters
    ----------
    reads : bool
        Whether reads past their budget are refused, too.
    """

    reads: bool = False
    over_budget: dict[str, int] = field(default_factory=dict)
    _windows: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)

    def count(self, kind: str, now_ms: int) -> None:
        """Count a call.

        Raises
        ------
        RequestRefused
            429 past a limit; of reads only if they are limited.
        """
        spent_ms = self._count(kind, now_ms)
        if not spent_ms:
            return
        self.over_budget[kind] = self.over_budget.get(kind, 0) + 1
        if kind == ORDERS and spent_ms == DAY_MS:
            raise RequestRefused(DAY_SPENT, "NetworkException", 429)
        if kind == ORDERS or self.reads:
            raise too_many_requests()

    def count_by_day(self, orders: int, now_ms: int) -> None:
        """Count orders that no request asked for one by one; the day is what they count to."""
        window = (now_ms + IST_OFFSET_MS) // DAY_MS
        seen, calls = self._windows.get((ORDERS, DAY_MS), (window, 0))
        self._windows[ORDERS, DAY_MS] = (window, (calls if seen == window else 0) + orders)

    @property
    def day_spent(self) -> tuple[int, int]:
        """The day's number and the orders counted to it: what outlives a restart."""
        return self._windows.get((ORDERS, DAY_MS), (0, 0))

    @day_spent.setter
    def day_spent(self, spent: tuple[int, int]) -> None:
        self._windows[ORDERS, DAY_MS] = spent

    def _count(self, kind: str, now_ms: int) -> int:
        """Count a call in its windows; return the length of the longest that is spent, or 0."""
        spent_ms = 0
        for length, allowed in BUDGETS[kind]:
            window = (now_ms + IST_OFFSET_MS) // length
            seen, calls = self._windows.get((kind, length), (window, 0))
            calls = calls + 1 if seen == window else 1
            self._windows[kind, length] = (window, calls)
            if calls > allowed:
                spent_ms = length
        return spent_ms
