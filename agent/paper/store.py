"""The exchange's memory: orders, trades, positions and audit events in one SQLite file.

Written at every instant and request, so that after kill -9 the exchange goes on where it stood:
what was told to anyone is in the file. The market itself is not stored: it is drawn again from
the same source and seed, which `identity` names; another identity begins a new file.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from agent.errors import EnvironmentRefused
from agent.paper.audit import Event
from agent.paper.books import Books, Holding, Position
from agent.paper.desk import Notes
from agent.paper.gtt import Gtt, gtt_document, gtt_from
from agent.paper.matching import Order, State
from agent.paper.records import Record, Trade
from agent.paper.shorts import Owed

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orders (
    day TEXT NOT NULL, order_id TEXT NOT NULL, symbol TEXT NOT NULL, status TEXT NOT NULL,
    document TEXT NOT NULL, PRIMARY KEY (day, order_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trades (
    day TEXT NOT NULL, trade_id TEXT NOT NULL, order_id TEXT NOT NULL, symbol TEXT NOT NULL,
    document TEXT NOT NULL, PRIMARY KEY (day, trade_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (
    symbol TEXT NOT NULL, product TEXT NOT NULL, quantity INTEGER NOT NULL,
    document TEXT NOT NULL, PRIMARY KEY (symbol, product)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gtts (
    id INTEGER PRIMARY KEY, status TEXT NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, document TEXT NOT NULL);
"""
_RECORD_FIELDS: Final = tuple(f.name for f in fields(Record) if f.name != "order")


class Store:
    """One run of the exchange on disk.

    Parameters
    ----------
    path : Path
    identity : str
        The source, seed and span of the market; a file of another one is set aside.
    fresh : bool
        Set an old file aside whatever it holds.

    Raises
    ------
    EnvironmentRefused
        If another exchange has the file, or it cannot be written.
    """

    def __init__(self, path: Path, identity: str, *, fresh: bool = False) -> None:
        self.path = path
        self._lock = _locked(path)
        if path.exists() and (fresh or kept_in(path, "identity") != identity):
            _set_aside(path)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(SCHEMA)
        self._put("identity", identity)

    def instant(self) -> tuple[int, int] | None:
        """Return (day number, epoch ms) where a run stood, or None for a new one."""
        stood = self._get("instant")
        return None if stood is None else (int(stood[0]), int(stood[1]))

    def over(self) -> bool:
        """Tell whether the run in the file had come to its end."""
        return bool(self._get("over"))

    def save(
        self,
        instant: tuple[int, int],
        day: str,
        notes: Notes,
        books: Books,
        *,
        rolled: bool = False,
        marks: Mapping[str, Any] | None = None,
    ) -> None:
        """Write an instant and what happened at it, at once or not at all.

        Parameters
        ----------
        instant : (int, int)
            Day number and epoch ms.
        day : str
        notes : Notes
        books : Books
        rolled : bool
            A day has been closed since the last time: the positions are written anew.
        marks : mapping of str to JSON value, optional
            Small documents to keep with it.
        """
        self._db.execute("BEGIN")
        if rolled:
            self._write_anew(books)
        self._put("instant", list(instant))
        for key, value in (marks or {}).items():
            self._put(key, value)
        if notes.touched or notes.events:
            self._write(day, notes, books)
        self._db.executemany(
            "INSERT OR REPLACE INTO gtts VALUES (?, ?, ?)",
            [(n, g.status, json.dumps(gtt_document(g))) for n, g in notes.gtts.items()],
        )
        self._db.execute("COMMIT")

    def save_holdings(self, books: Books) -> None:
        """Write what is held and open anew."""
        self._db.execute("BEGIN")
        self._write_anew(books)
        self._db.execute("COMMIT")

    def records(self, day: str) -> list[Record]:
        """Return a day's orders in the order of their placing."""
        rows = self._db.execute(
            "SELECT document FROM orders WHERE day = ? ORDER BY order_id", (day,)
        )
        return [_record(json.loads(text)) for (text,) in rows]

    def trades(self, day: str) -> list[Trade]:
        """Return a day's trades in their order."""
        rows = self._db.execute(
            "SELECT document FROM trades WHERE day = ? ORDER BY trade_id", (day,)
        )
        return [Trade(**json.loads(text)) for (text,) in rows]

    def gtts(self) -> list[Gtt]:
        """Return all GTTs in the order of their placing."""
        rows = self._db.execute("SELECT document FROM gtts ORDER BY id")
        return [gtt_from(json.loads(text)) for (text,) in rows]

    def events(self) -> Iterator[Event]:
        """Return all audit events, oldest first."""
        for (text,) in self._db.execute("SELECT document FROM events ORDER BY number"):
            yield json.loads(text)

    def restore_books(self, books: Books) -> None:
        """Fill the account from the file."""
        for (text,) in self._db.execute("SELECT document FROM positions"):
            position = Position(**json.loads(text))
            books.positions[position.key, position.product] = position
            books.touch((position.key, position.product))
        funds = self._get("funds") or {}
        books.realised, books.charges = funds.get("realised", 0), funds.get("charges", 0)
        books.holdings = {k: Holding(**one) for k, one in (self._get("holdings") or {}).items()}
        books.owed = [Owed(**one) for one in funds.get("owed", [])]

    def value(self, key: str) -> Any:
        """Return a small document kept under a name, or None."""
        return self._get(key)

    def keep(self, key: str, document: Any) -> None:
        """Keep a small document under a name."""
        self._put(key, document)

    def close(self) -> None:
        """Close the file and let others have it."""
        self._db.close()
        self._lock.close()

    def _write(self, day: str, notes: Notes, books: Books) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?, ?)",
            [
                (day, one.order_id, one.key, one.status, json.dumps(_document(one)))
                for one in notes.touched.values()
            ],
        )
        self._db.executemany(
            "INSERT OR REPLACE INTO trades VALUES (?, ?, ?, ?, ?)",
            [(day, t.trade_id, t.order_id, t.key, json.dumps(asdict(t))) for t in notes.trades],
        )
        self._db.executemany(
            "INSERT INTO events (document) VALUES (?)", [(json.dumps(e),) for e in notes.events]
        )
        self._write_books(books)

    def _write_anew(self, books: Books) -> None:
        self._db.execute("DELETE FROM positions")
        books.touched.update(books.positions)
        self._write_books(books)
        holdings = {key: asdict(one) for key, one in books.holdings.items()}
        self._put("holdings", holdings)

    def _write_books(self, books: Books) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?)",
            [
                (*at, books.positions[at].net, json.dumps(_flat(books.positions[at])))
                for at in sorted(books.touched)
            ],
        )
        books.touched.clear()
        funds: dict[str, Any] = {"realised": books.realised, "charges": books.charges}
        funds["owed"] = [asdict(one) for one in books.owed]
        self._put("funds", funds)

    def _get(self, key: str) -> Any:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def _put(self, key: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))


def _document(record: Record) -> dict[str, Any]:
    document = {name: getattr(record, name) for name in _RECORD_FIELDS}
    return document | {"order": None if record.order is None else _flat(record.order)}


def _flat(one: Order | Position) -> dict[str, Any]:
    """Return the fields of what holds plain values only; `asdict` would copy each of them."""
    return {name: getattr(one, name) for name in one.__slots__}


def _record(document: dict[str, Any]) -> Record:
    order = document.pop("order")
    record = Record(**document)
    if order is not None:
        record.order = Order(**order | {"state": State(order["state"])})
    return record


def _locked(path: Path) -> IO[str]:
    lock = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        if lock is not None:
            lock.close()
        raise EnvironmentRefused(
            f"exchange file {path}",
            given="in use by another exchange" if isinstance(fault, BlockingIOError) else fault,
            allowed="a file of this exchange's own",
            fix="stop the other one, or choose another file with --db",
        ) from fault
    return lock


def kept_in(path: Path, key: str) -> Any:
    """Return a small document of a file that is not open; None without one, or if it is over."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as db:
            rows = dict(
                db.execute(
                    "SELECT key, value FROM meta WHERE key IN (?, 'over')", (key,)
                ).fetchall()
            )
    except sqlite3.Error:
        return None
    return None if key not in rows or "over" in rows else json.loads(rows[key])


def _set_aside(path: Path) -> None:
    """Rename an old run with its time, so that nothing is lost."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    for suffix in ("", "-wal", "-shm"):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(path.with_name(f"{path.stem}.{stamp}{path.suffix}{suffix}"))
