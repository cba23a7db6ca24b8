"""Trades and refusals out of a journal, for the command line and the report. Reads only."""

from __future__ import annotations

import sqlite3
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.errors import EnvironmentRefused, SettingRefused
from agent.market.sessions import IST, epoch_ms
from agent.risk.entry import FREEZE
from agent.shell.views import iso


def read_trades(home: Path, day: str | None, limit: int) -> list[dict[str, Any]]:
    """Return the newest trades, oldest first; money in paise, prices in rupees.

    Raises
    ------
    EnvironmentRefused, SettingRefused
        If there is no journal, or the day is none.
    """
    on = _day(day).isoformat() if day else None
    rows = read_rows(
        home,
        "select number, day, key, side, shares, open_shares, entered_paise, left_paise, "
        "opened_ms, closed_ms, reason, agent, version, variant, gross_paise, charges_paise, "
        "net_paise, stop_moves, target_moves from trades where ? is null or day = ? "
        "order by number desc limit ?",
        (on, on, limit),
    )
    return [_trade(row) for row in reversed(rows)]


def read_refusals(home: Path, day: str | None, limit: int) -> list[dict[str, Any]]:
    """Return the newest refused signals, oldest first, each with its reason in words.

    Raises
    ------
    EnvironmentRefused, SettingRefused
        If there is no journal, or the day is none.
    """
    since, until = _bounds(day) if day else (0, 2**62)
    rows = read_rows(
        home,
        "select at_ms, key, words from notes where kind = 'refused' and at_ms >= ? and at_ms < ? "
        "order by seq desc limit ?",
        (since, until, limit),
    )
    return [_told(row) for row in reversed(rows)]


def read_freeze_cuts(home: Path, day: str, limit: int) -> list[dict[str, Any]]:
    """Return a day's newest signals that the freeze quantity made smaller or refused.

    Oldest first, each with its words. The decision's own note is where they are.

    Raises
    ------
    EnvironmentRefused, SettingRefused
        If there is no journal, or the day is none.
    """
    since, until = _bounds(day)
    rows = read_rows(
        home,
        "select at_ms, key, words from notes where kind in ('taken', 'refused') and at_ms >= ? "
        "and at_ms < ? and ? in (json_extract(facts, '$.bound'), json_extract(facts, '$.reason')) "
        "order by seq desc limit ?",
        (since, until, FREEZE, limit),
    )
    return [_told(row) for row in reversed(rows)]


def _told(row: sqlite3.Row) -> dict[str, Any]:
    return {"at": iso(row["at_ms"]), "key": row["key"], "words": row["words"]}


def _bounds(day: str) -> tuple[int, int]:
    on = datetime.combine(_day(day), datetime.min.time(), tzinfo=IST)
    return epoch_ms(on), epoch_ms(on + timedelta(days=1))


def _trade(row: sqlite3.Row) -> dict[str, Any]:
    left = row["shares"] - row["open_shares"]
    return {
        "trade": row["number"],
        "day": row["day"],
        "key": row["key"],
        "side": row["side"],
        "shares": row["shares"],
        "open": row["open_shares"],
        "entry": _price(row["entered_paise"], row["shares"]),
        "exit": _price(row["left_paise"], left),
        "opened": iso(row["opened_ms"]),
        "closed": iso(row["closed_ms"]),
        "reason": row["reason"],
        "agent": row["agent"],
        "version": row["version"],
        "variant": row["variant"],
        "gross_paise": row["gross_paise"],
        "charges_paise": row["charges_paise"],
        "net_paise": row["net_paise"],
        "stop_moves": row["stop_moves"],
        "target_moves": row["target_moves"],
    }


def _price(paise: int, shares: int) -> float | None:
    return round(paise / shares / 100, 4) if shares else None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SettingRefused(
            "--day", given=repr(text), allowed="a day as YYYY-MM-DD", fix="as in 2025-11-03"
        ) from None


def read_rows(home: Path, query: str, values: tuple[Any, ...]) -> list[sqlite3.Row]:
    """Return the rows of a query over a home's journal, which is opened for reading alone.

    Raises
    ------
    EnvironmentRefused
        If there is no journal, or it cannot be read.
    """
    path = home / "agent" / "journal.db"
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        db.row_factory = sqlite3.Row
        try:
            return list(db.execute(query, values))
        finally:
            db.close()
    except sqlite3.Error as fault:
        raise EnvironmentRefused(
            str(path),
            given=str(fault),
            allowed="the journal of an agent that has run on this home",
            fix="choose its home with --home DIR",
        ) from fault
