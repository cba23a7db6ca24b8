"""A policy over recorded ticks: what `ratchet-agent replay` prints, line by line.

Pure generators: rows in, lines out, one row in memory. Every tick goes through ratchet.step, the
same that trades. Nothing is read past an exit, but for the one fill that `--budget` looks for.
Candles: replay_candles.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fractions import Fraction

from agent.errors import SettingRefused
from agent.trailing.atr import TickBars
from agent.trailing.plan import Plan
from agent.trailing.planner import SEND, answered, budget_for, decide, place
from agent.trailing.ratchet import (
    EXIT,
    IGNORED,
    TRAIL,
    Move,
    Ticks,
    TrailState,
    open_position,
    step,
    with_atr,
)
from agent.trailing.rows import IST, TickRow
from agent.trailing.rules import keeps_pace

PlanAt = Callable[[date, Fraction | int | None], Plan]  # day of the first row; ATR at entry, ticks
Watch = Callable[[Ticks, Ticks, Ticks, TrailState], None]  # time, low, high, the state after
KEEPS_PACE = (
    "the target keeps pace with the price (follow is at least 1): only a jump past it reaches it, "
    "most trades will end at their stop; docs/trailing.md has the figures"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a replay.

    Parameters
    ----------
    event : str
        As in the JSON line; or `note`, which is for stderr.
    fields : dict
        In the order of printing. Prices and P&L are Fractions in rupees, levels ints in ticks.
    move : Move or None
        Why, on `trail`.
    """

    event: str
    fields: dict[str, object]
    move: Move | None = None


def levels(
    event: str, ts: str, price: Fraction, state: TrailState, best: Fraction
) -> dict[str, object]:
    """Return the fields that `open`, `trail`, `exit` and `end` have in common."""
    return {
        "ts": ts,
        "price": price,
        "event": event,
        "stop": state.stop,
        "target": state.target,
        "best": best,
    }


def day_of(ts_ms: Ticks) -> date:
    """Return the day of an instant in Asia/Kolkata."""
    return datetime.fromtimestamp(int(ts_ms // 1000), UTC).astimezone(IST).date()


class TickReplay:
    """One position over a file of ticks.

    Parameters
    ----------
    plan_at : callable
        Makes the plan from the first row's date and the ATR at entry in ticks; may refuse.
    rows : iterator of TickRow
    bars : TickBars or None
        What the ATR is made of where the file has no `atr` column.
    modifications : int, optional
        Run the planner too, with this budget an order.
    source : str
        What messages call the file.
    watch : callable, optional
        Told of every accepted tick: a picture is drawn from it.

    Raises
    ------
    SettingRefused
        If there is no row.
    """

    def __init__(
        self,
        plan_at: PlanAt,
        rows: Iterator[TickRow],
        *,
        bars: TickBars | None,
        modifications: int | None = None,
        source: str = "ticks",
        watch: Watch | None = None,
    ) -> None:
        self._watch = watch
        self._rows, self._bars, self._rejected = rows, bars, 0
        first = next(rows, None)
        if first is None:
            raise no_rows(source)
        accepted: TickRow | None = first
        while accepted is not None and accepted.price is None:
            self._rejected += 1
            accepted = next(rows, None)
        self._first, self._accepted = first, accepted
        known = accepted.atr if accepted is not None and bars is None else None
        self.plan = plan_at(day_of(first.ts_ms), known)
        self._state = open_position(self.plan)
        self._trial = None if modifications is None else BudgetTrial(self.plan, modifications)
        self._tick = Fraction(self.plan.tick_size)

    def lines(self) -> Iterator[Line]:
        """Yield `open`, then `trail`s, `exit` or `end`, and `budget` and `rejected` if any.

        Raises
        ------
        SettingRefused
            At a row that cannot be read.
        """
        entry = self.plan.entry
        last_ts, last_price = self._first.ts, entry
        yield Line("open", levels("open", last_ts, entry, self._state, entry))
        noted = self._noted()
        if noted and keeps_pace(self._state.rules):
            yield Line("note", {"note": KEEPS_PACE})
        row = self._accepted
        ended = None
        while row is not None and ended is None:
            line = self._run(row)
            if self._state.exited is not None:
                ended = line
            elif line is not None:
                yield line
            if row.price is not None and self._state.screen.last_ms == row.ts_ms:
                last_ts, last_price = row.ts, row.price * self._tick
            if not noted and self._noted():
                noted = True
                if keeps_pace(self._state.rules):
                    yield Line("note", {"note": KEEPS_PACE})
            if ended is None:
                row = next(self._rows, None)
        best = self._state.best * self._tick
        yield ended or Line("end", levels("end", last_ts, last_price, self._state, best))
        if self._trial is not None:
            yield self._trial.line(last_price)
        if self._rejected:
            yield Line("rejected", {"event": "rejected", "count": self._rejected})

    def _run(self, row: TickRow) -> Line | None:
        before = self._state
        if row.price is None or self._older(row):
            self._rejected += 1
            return None
        if self._trial is not None:
            self._trial.before(row.ts_ms)
        known = row.atr if self._bars is None else self._bars.add(row.ts_ms, row.price)
        self._state, result = step(
            self.plan, before, row.price, known, ts_ms=row.ts_ms, volume=row.volume
        )
        if result.event == IGNORED:  # a suspect runs no step, but it was accepted
            self._state = with_atr(self.plan, self._state, known)
        if self._watch is not None:
            self._watch(row.ts_ms, row.price, row.price, self._state)
        price, best = row.price * self._tick, self._state.best * self._tick
        fields = levels(result.event, row.ts, price, self._state, best)
        if result.event == EXIT:
            fields["reason"] = result.reason
            if self._trial is not None:
                self._trial.exit(row.price, result.reason == "stop", self._next_price(row.ts_ms))
            return Line(EXIT, fields)
        if self._trial is not None:
            self._trial.follow(self._state.stop, row.ts_ms)
        return Line(TRAIL, fields, result.move) if result.event == TRAIL else None

    def _next_price(self, ts_ms: Ticks) -> Iterator[Ticks]:
        """Yield the price of the next row that would be accepted, if one can be read."""
        with suppress(SettingRefused):  # an unreadable row after the exit is nobody's error
            for row in self._rows:
                if row.price is not None and row.ts_ms >= ts_ms:
                    yield row.price
                    return

    def _older(self, row: TickRow) -> bool:
        last = self._state.screen.last_ms
        return last is not None and row.ts_ms < last

    def _noted(self) -> bool:
        return self._state.rules.target_ready and self._state.activated


def no_rows(source: str) -> SettingRefused:
    """Return the error for a file that has a header at most."""
    return SettingRefused(source, given="no rows", allowed="at least one row", fix="choose another")


class BudgetTrial:
    """The same position with a budget: what the order at the exchange would have done.

    A move is confirmed before the next tick. A stop that the placed order holds is filled at the
    tick that crosses it; where it lags, the agent modifies the order and is filled at the next.
    """

    def __init__(self, plan: Plan, modifications: int) -> None:
        self._budget = budget_for(plan, modifications=modifications)
        self._order = place(self._budget, plan.stop)
        self._desired, self._sign, self._tick = plan.stop, plan.rules.sign, Fraction(plan.tick_size)
        self._entry = plan.entry
        self._wake: Ticks | None = None
        self._unlimited = 0
        self._fill: Fraction | None = None

    def before(self, now_ms: Ticks) -> None:
        """Do what was due before a tick."""
        if self._wake is not None and self._wake <= now_ms:
            self._decide(self._wake)

    def follow(self, desired: int, now_ms: Ticks) -> None:
        """Take in the stop after a tick."""
        if desired != self._desired:
            self._desired = desired
            self._unlimited += 1
            self._decide(now_ms)

    def exit(self, price: Ticks, by_stop: bool, following: Iterator[Ticks]) -> None:
        """Take in the exit; a lagging stop is filled at the next price that follows."""
        if by_stop and self._sign * (price - self._order.placed) > 0:
            price = next(following, price)
        self._fill = price * self._tick

    def line(self, last_price: Fraction) -> Line:
        """Return the `budget` line; without an exit both positions are worth the last price.

        Parameters
        ----------
        last_price : Fraction, rupees
            Of the exit's tick, or of the last one.
        """
        fill = last_price if self._fill is None else self._fill
        return Line(
            "budget",
            {
                "event": "budget",
                "calls": self._order.used,
                "unlimited_calls": self._unlimited,
                "pnl": self._sign * (fill - self._entry),
                "unlimited_pnl": self._sign * (last_price - self._entry),
            },
        )

    def _decide(self, now_ms: Ticks) -> None:
        self._order, decision = decide(self._budget, self._order, self._desired, now_ms)
        self._wake = decision.wake_ms
        if decision.action == SEND:
            self._order = answered(self._order, applied=True)
