"""What the agent shows of itself: status, positions, and the summary at the end of a run.

Documents made from the desk alone; money in paise where the key says so, prices in rupees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from agent.core.commands import Command, Note
from agent.core.result import result_of
from agent.core.state import Desk
from agent.core.trade import Trade
from agent.market.instruments import Side
from agent.market.sessions import IST, from_epoch_ms
from agent.orders.fills import legs_of
from agent.portfolio.pnl import rounded


def status_of(desk: Desk) -> dict[str, Any]:
    """Return what the agent does and why it does not do more."""
    money, session = desk.money, desk.session
    return {
        "at": iso(desk.now_ms),
        "mode": desk.mode.name,
        "operator": desk.operator.name,
        "guards": {
            name: {
                "mode": g.mode.name,
                "words": g.words,
                "lifted_by": g.lifts,
                "since": iso(g.since_ms),
            }
            for name, g in sorted(desk.guards.items())
        },
        "session": None if session is None else session.on.isoformat(),
        "model": desk.model,
        "interval": desk.interval,
        "universe": len(desk.universe),
        "feed": "up" if desk.feed_up else "down",
        "open_trades": len(desk.open_trades),
        "waiting": [
            {"key": c.key, "side": c.side.value, "waits": c.waits} for c in desk.candidates
        ],
        "day_net_paise": 0 if money is None else rounded(money.portfolio.day_net),
        "realised_net_paise": 0 if money is None else rounded(money.portfolio.total.net),
    }


def positions_of(desk: Desk) -> dict[str, Any]:
    """Return the open trades with their levels and orders."""
    return {"at": iso(desk.now_ms), "positions": [_position(desk, t) for t in desk.open_trades]}


def iso(ms: int) -> str | None:
    """Return an instant as text in India's time, None for 0."""
    return None if not ms else from_epoch_ms(ms).astimezone(IST).isoformat(timespec="milliseconds")


class Tally:
    """Counts what a run did; the summary is made of it and of the journal's trades."""

    def __init__(self) -> None:
        self.refusals: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()

    def count(self, commands: Iterable[Command]) -> None:
        """Take in the notes of a batch."""
        for command in commands:
            if isinstance(command, Note):
                if command.kind == "refused":
                    self.refusals[str(command.facts.get("reason", ""))] += 1
                elif command.kind == "answer":
                    self.answers[str(command.facts.get("variant") or "unnamed")] += 1
                elif command.kind == "call failed":
                    self.faults[str(command.facts.get("fault", ""))] += 1


def summary_of(desk: Desk, trades: Iterable[Trade], tally: Tally, stopped: str) -> dict[str, Any]:
    """Return what a run came to.

    Parameters
    ----------
    trades : iterable of Trade
        All trades of the run, from the journal.
    """
    all_trades = list(trades)
    entered = [t for t in all_trades if t.entered]
    results = {t.number: result_of(t) for t in all_trades}
    legs = [leg for t in all_trades for leg in legs_of(t)]
    sides = {side.value: _side(entered, side, results) for side in Side}
    levels = [t.levels for t in all_trades if t.levels is not None]
    gross = sum(r.gross for r in results.values())
    charges = sum(r.charges for r in results.values())
    return {
        "stopped": stopped,
        "at": iso(desk.now_ms),
        "orders": len(legs),
        "fills": sum(1 for leg in legs if leg.filled),
        "modifications": sum(leg.modifications for leg in legs),
        "stop_moves": sum(found.stop_moves for found in levels),
        "target_moves": sum(found.target_moves for found in levels),
        "trades": sides,
        "reasons": dict(Counter(t.reason.value for t in entered if t.done and t.reason)),
        "open": [t.number for t in all_trades if t.open],
        "gross_paise": gross,
        "charges_paise": charges,
        "net_paise": gross - charges,
        "unprotected_ms_max": max((t.naked_ms_max for t in all_trades), default=0),
        "refusals": dict(sorted(tally.refusals.items())),
        "answers": dict(sorted(tally.answers.items())),
        "call_failures": dict(sorted(tally.faults.items())),
        "mode": desk.mode.name,
    }


def _side(entered: list[Trade], side: Side, results: dict[int, Any]) -> dict[str, int]:
    mine = [t for t in entered if t.side is side]
    return {
        "trades": len(mine),
        "shares": sum(t.entered for t in mine),
        "net_paise": sum(results[t.number].net for t in mine),
    }


def _position(desk: Desk, trade: Trade) -> dict[str, Any]:
    instrument, levels, leg = trade.instrument, trade.levels, trade.exit
    sight = desk.sights.get(trade.key)

    def rupees(ticks: int | None) -> float | None:
        return None if ticks is None else float(instrument.price(ticks))

    return {
        "trade": trade.number,
        "key": trade.key,
        "side": trade.side.value,
        "open": trade.open,
        "entry": float(trade.average) if trade.entered else None,
        "last": None if sight is None else rupees(sight.quote.last),
        "stop": None if levels is None else rupees(levels.stop),
        "target": None if levels is None else rupees(levels.target),
        "placed_stop": None if leg is None else rupees(leg.terms.trigger_ticks),
        "exit_order": None if leg is None else {"tag": leg.tag, "state": leg.state.value},
        "closing": None if trade.closing is None else trade.closing.reason.value,
        "frozen": trade.frozen,
        "agent": trade.pin.agent,
        "version": trade.pin.version,
        "variant": trade.pin.variant,
        "opened": iso(trade.opened_ms),
    }
