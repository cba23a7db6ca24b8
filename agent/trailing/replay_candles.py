"""A policy over recorded candles: one member of the set of possible exits, and the band.

Pure generators. The ATR of a candle is known when it has closed. The member that is printed can
change until the set is complete, so the lines after the member picked so far are held back; they
are bounded by the number of level moves, not by the number of candles.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from agent.trailing.atr import Wilder
from agent.trailing.candles import Bar, BarExit, Choice, Walk, examine, for_candles, open_walk
from agent.trailing.ratchet import Ticks
from agent.trailing.replay import KEEPS_PACE, Line, PlanAt, Watch, day_of, levels, no_rows
from agent.trailing.rows import CandleRow
from agent.trailing.rules import keeps_pace


class CandleReplay:
    """One position over a file of candles.

    Parameters
    ----------
    plan_at : callable
        As for TickReplay; the ATR at entry is never known from the file at the open.
    rows : iterator of CandleRow
    wilder : Wilder or None
        What the ATR is made of where the file has no `atr` column.
    path : str
        `pessimistic`, `optimistic` or `colour`.
    source : str
        What messages call the file.
    watch : callable, optional
        Told of every candle survived: a picture is drawn from it.

    Raises
    ------
    SettingRefused
        If there is no row, or the plan is refused.
    """

    def __init__(
        self,
        plan_at: PlanAt,
        rows: Iterator[CandleRow],
        *,
        wilder: Wilder | None,
        path: str,
        source: str = "candles",
        watch: Watch | None = None,
    ) -> None:
        self._watch = watch
        first = next(rows, None)
        if first is None:
            raise no_rows(source)
        self._first, self._rows, self._wilder = first, rows, wilder
        self.plan = for_candles(plan_at(day_of(first.ts_ms), None))
        self._choice = Choice(self.plan, path)
        self._tick = Fraction(self.plan.tick_size)
        self._rejected = 0

    def lines(self) -> Iterator[Line]:
        """Yield `open`, a `trail` a candle at most, `exit` or `end`, `rejected` if any, `band`.

        Raises
        ------
        SettingRefused
            At a row that cannot be read.
        """
        walk, held = open_walk(self.plan), list[tuple[int, Line]]()
        entry, noted = self.plan.entry, False
        yield Line("open", levels("open", self._first.ts, entry, walk.state, entry))
        stamps: dict[int, str] = {}
        last: tuple[CandleRow, Bar] | None = None
        certain = False
        for row, bar in self._accepted():
            last = (row, bar)
            before, candle = walk, examine(self.plan, walk, bar)
            self._choice.see(before, bar, candle)
            picked = self._choice.picked_index
            if picked == before.index:
                stamps = {picked: row.ts}
                yield from (line for index, line in held if index < picked)
                held = []
            if candle.certain:
                certain = True
                break
            walk = candle.after
            if self._watch is not None:
                self._watch(row.ts_ms, bar.low, bar.high, walk.state)
            moved = (walk.state.stop, walk.state.target) != (before.state.stop, before.state.target)
            if moved:
                held.append((before.index, self._trail(row, bar, walk)))
            if not noted and walk.state.rules.target_ready and walk.state.activated:
                noted = True
                if keeps_pace(walk.state.rules):
                    yield Line("note", {"note": KEEPS_PACE})
        if last is None:
            yield Line("end", levels("end", self._first.ts, entry, walk.state, entry))
        else:
            if not certain:
                self._choice.end(walk, last[1])
            result = self._choice.result()
            yield from (line for index, line in held if index < result.index)
            if result.reason == "end":
                yield from (line for index, line in held if index == result.index)
            yield self._exit(result, stamps.get(result.index, last[0].ts))
        if self._rejected:
            yield Line("rejected", {"event": "rejected", "count": self._rejected})
        yield self._band(last is None)

    def _accepted(self) -> Iterator[tuple[CandleRow, Bar]]:
        row: CandleRow | None = self._first
        last_ms: Ticks | None = None
        while row is not None:
            if row.prices is None or (last_ms is not None and row.ts_ms < last_ms):
                self._rejected += 1
            else:
                last_ms = row.ts_ms
                opened, high, low, close = row.prices
                atr = row.atr if self._wilder is None else self._wilder.add(high, low, close)
                yield row, Bar(opened, high, low, close, atr)
            row = next(self._rows, None)

    def _trail(self, row: CandleRow, bar: Bar, walk: Walk) -> Line:
        best = walk.state.best * self._tick
        return Line("trail", levels("trail", row.ts, bar.close * self._tick, walk.state, best))

    def _exit(self, result: BarExit, ts: str) -> Line:
        event = "end" if result.reason == "end" else "exit"
        fields: dict[str, object] = {
            "ts": ts,
            "price": result.price,
            "event": event,
            "stop": result.stop,
            "target": result.target,
            "best": result.best * self._tick,
        }
        if event == "exit":
            fields["reason"] = result.reason
        return Line(event, fields)

    def _band(self, empty: bool) -> Line:
        result = None if empty else self._choice.result()
        return Line(
            "band",
            {
                "event": "band",
                "ambiguous": 0 if result is None else result.ambiguous_candles,
                "low": Fraction(0) if result is None else result.low,
                "high": Fraction(0) if result is None else result.high,
            },
        )
