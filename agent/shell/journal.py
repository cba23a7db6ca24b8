"""What happened, on disk, in the order in which it happened (docs/journal.md has the schema).

Rule 1: an intent is written and synced before its call is made; events, answers and everything
that follows from them are written in the same transaction as the state that they led to.
Rule 2: SQLite in WAL. A batch without an intent is committed without waiting for the disk: a
killed process loses nothing, a lost machine at most the last moments, never an intent.
Rule 3: one writer. A second agent on the same home is refused at the start.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from agent.core.codec import from_plain, to_plain
from agent.core.commands import Call, Cancel, Command, Modify, Note, Place
from agent.core.events import CallAnswered, CallFailed, Event
from agent.core.restore import Kept
from agent.core.result import result_of
from agent.core.state import Desk
from agent.core.trade import Trade
from agent.core.values import Mode
from agent.errors import EnvironmentRefused
from agent.market.sessions import IST, from_epoch_ms

SCHEMA_VERSION: Final = 1
KEPT_DAYS_MS: Final = 7 * 86_400_000
SCHEMA: Final = """
create table if not exists meta (name text primary key, value text not null);
create table if not exists events (
  seq integer primary key, at_ms integer not null, kind text not null, body text not null);
create table if not exists notes (
  seq integer primary key, at_ms integer not null, kind text not null, key text not null,
  trade integer not null, words text not null, facts text not null);
create index if not exists notes_kind on notes (kind, at_ms);
create index if not exists notes_trade on notes (trade) where trade > 0;
create table if not exists intents (
  call integer primary key, at_ms integer not null, kind text not null, trade integer not null,
  role text not null, key text not null, tag text, order_id text, terms text not null,
  answered_ms integer, answer text);
create table if not exists trades (
  number integer primary key, day text not null, key text not null, side text not null,
  product text not null, shares integer not null, open_shares integer not null,
  entered_paise integer not null, left_paise integer not null, opened_ms integer not null,
  filled_ms integer not null, closed_ms integer not null, reason text not null,
  agent text not null, model text not null, version text not null, variant text not null,
  request_id text not null, words text not null, strength real not null,
  tick_paise integer not null, gross_paise integer not null, charges_paise integer not null,
  net_paise integer not null, stop_moves integer not null, target_moves integer not null,
  unprotected_ms integer not null, doc text not null);
create index if not exists trades_day on trades (day);
create table if not exists path (
  trade integer not null, at_ms integer not null, price integer not null, stop integer,
  target integer, placed integer, primary key (trade, at_ms)) without rowid;
"""

PUT_TRADE: Final = "insert or replace into trades values (?" + ", ?" * 27 + ")"


class Journal:
    """The journal of one home.

    Parameters
    ----------
    home : Path
    record_events : bool
        Whether every event is kept (a day can then be replayed), or intents and trades alone.
    keep_days : int
        How long.

    Raises
    ------
    EnvironmentRefused
        If another agent runs on this home, or the file cannot be opened.
    """

    def __init__(self, home: Path, *, record_events: bool = True, keep_days: int = 30) -> None:
        folder = home / "agent"
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "journal.db"
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            raise EnvironmentRefused(
                str(folder),
                given="another agent that runs on this home",
                allowed="one process, one account, one writer",
                fix="stop it first, or choose another --home",
            ) from fault
        try:
            self._db = sqlite3.connect(self.path, isolation_level=None)
            self._db.execute("pragma journal_mode = wal")
            self._db.executescript(SCHEMA)
            self._db.execute(
                "insert or ignore into meta values ('schema', ?)", (str(SCHEMA_VERSION),)
            )
        except sqlite3.Error as fault:
            raise EnvironmentRefused(
                str(self.path),
                given=str(fault),
                allowed="a journal that can be read and written",
                fix="mend or move the file; without it the broker's books are adopted",
            ) from fault
        self._record = record_events
        self._keep_ms = keep_days * 86_400_000
        self._trades: dict[int, Trade] = {}
        self._synced = True

    def kept(self) -> Kept:
        """Return what the process before left; forget events that nobody replays any more."""
        self._prune()
        meta = dict(self._db.execute("select name, value from meta"))
        newest = self._db.execute("select max(opened_ms) from trades").fetchone()[0] or 0
        rows = self._db.execute(
            "select doc from trades where closed_ms = 0 or opened_ms > ?", (newest - KEPT_DAYS_MS,)
        )
        trades = tuple(from_plain(json.loads(doc)) for (doc,) in rows)
        return Kept(
            calls=int(meta.get("calls", 0)),
            numbers=int(meta.get("numbers", 0)),
            trades=trades,
            decided=json.loads(meta.get("decided", "{}")),
            operator=Mode[meta.get("operator", "NORMAL")],
        )

    def write(
        self, before: Desk, after: Desk, events: Sequence[Event], out: Sequence[Command]
    ) -> None:
        """Write a batch: events, what was said about them, intents, and the trades they changed.

        Raises
        ------
        sqlite3.Error
            If it cannot be written; nothing of the batch is then.
        """
        intents = [c for c in out if isinstance(c, Place | Modify | Cancel)]
        self._sync(bool(intents))
        self._db.execute("begin immediate")
        try:
            self._events(events)
            self._notes(after.now_ms, (c for c in out if isinstance(c, Note)))
            self._intents(after.now_ms, intents)
            self._trades_changed(after)
            self._meta(before, after)
            self._db.execute("commit")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("rollback")
            raise

    def trades_since(self, number: int) -> list[Trade]:
        """Return the trades from a number on, oldest first."""
        rows = self._db.execute(
            "select doc from trades where number >= ? order by number", (number,)
        )
        return [from_plain(json.loads(doc)) for (doc,) in rows]

    def close(self) -> None:
        """Close the file and let others have the home."""
        self._db.close()
        os.close(self._lock)

    def _prune(self) -> None:
        """Drop events older than they are kept; trades, paths and notes stay."""
        newest = self._db.execute("select max(at_ms) from events").fetchone()[0] or 0
        since = newest - self._keep_ms
        self._db.execute("delete from events where at_ms < ?", (since,))

    def _sync(self, wanted: bool) -> None:
        if wanted is not self._synced:
            self._db.execute(f"pragma synchronous = {'full' if wanted else 'normal'}")
            self._synced = wanted

    def _events(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case CallAnswered():
                    self._answer(event.call, event.at_ms, f"order {event.order_id}")
                case CallFailed():
                    self._answer(event.call, event.at_ms, f"{event.fault.value}: {event.words}")
        if self._record:
            self._db.executemany(
                "insert into events (at_ms, kind, body) values (?, ?, ?)",
                [(e.at_ms, type(e).__name__, _text(to_plain(e))) for e in events],
            )

    def _answer(self, call: int, at_ms: int, answer: str) -> None:
        self._db.execute(
            "update intents set answered_ms = ?, answer = ? where call = ?", (at_ms, answer, call)
        )

    def _notes(self, at_ms: int, notes: Iterable[Note]) -> None:
        self._db.executemany(
            "insert into notes (at_ms, kind, key, trade, words, facts) values (?, ?, ?, ?, ?, ?)",
            [(at_ms, n.kind, n.key, n.trade, n.words, _text(dict(n.facts))) for n in notes],
        )

    def _intents(self, at_ms: int, intents: Iterable[Call]) -> None:
        rows = []
        for call in intents:
            if isinstance(call, Place | Modify | Cancel):
                tag = call.tag if isinstance(call, Place) else None
                order_id = None if isinstance(call, Place) else call.order_id
                terms = {} if isinstance(call, Cancel) else to_plain(call.terms)
                kind = type(call).__name__.lower()
                rows.append(
                    (
                        call.call,
                        at_ms,
                        kind,
                        call.trade,
                        call.role.name,
                        call.key,
                        tag,
                        order_id,
                        _text(terms),
                    )
                )
        self._db.executemany(
            "insert or replace into intents (call, at_ms, kind, trade, role, key, tag, order_id, "
            "terms) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def _trades_changed(self, desk: Desk) -> None:
        for number, trade in desk.trades.items():
            old = self._trades.get(number)
            if old is trade:
                continue
            self._db.execute(PUT_TRADE, _trade_row(trade))
            self._path(desk, trade)
            self._trades[number] = trade
        for number in [n for n in self._trades if n not in desk.trades]:
            del self._trades[number]

    def _path(self, desk: Desk, trade: Trade) -> None:
        sight = desk.sights.get(trade.key)
        if trade.levels is None or sight is None or trade.open <= 0:
            return
        leg = trade.exit
        placed = None if leg is None else leg.terms.trigger_ticks
        self._db.execute(
            "insert or replace into path values (?, ?, ?, ?, ?, ?)",
            (
                trade.number,
                desk.now_ms,
                sight.quote.last,
                trade.levels.stop,
                trade.levels.target,
                placed,
            ),
        )

    def _meta(self, before: Desk, after: Desk) -> None:
        rows = [("calls", str(after.calls)), ("numbers", str(after.numbers))]
        if before.decided is not after.decided:
            rows.append(("decided", _text(dict(after.decided))))
        if before.operator is not after.operator:
            rows.append(("operator", after.operator.name))
        if before.calls != after.calls or len(rows) > 2:
            self._db.executemany("insert or replace into meta values (?, ?)", rows)


def _trade_row(trade: Trade) -> tuple[Any, ...]:
    result, pin = result_of(trade), trade.pin
    day = from_epoch_ms(trade.opened_ms).astimezone(IST).date()
    moves = (0, 0) if trade.levels is None else (trade.levels.stop_moves, trade.levels.target_moves)
    return (
        trade.number,
        day.isoformat(),
        trade.key,
        trade.side.value,
        trade.product,
        trade.entered,
        trade.open,
        trade.entered_paise,
        trade.left_paise,
        trade.opened_ms,
        trade.filled_ms,
        trade.closed_ms,
        "" if trade.reason is None else trade.reason.value,
        pin.agent,
        pin.model,
        pin.version,
        pin.variant,
        pin.request_id,
        pin.words,
        pin.strength,
        trade.instrument.tick_paise,
        result.gross,
        result.charges,
        result.net,
        *moves,
        trade.naked_ms_max,
        _text(to_plain(trade)),
    )


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), default=str)
