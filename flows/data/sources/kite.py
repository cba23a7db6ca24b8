"""The `kite` source: the broker's own candles, brought up to date symbol by symbol.

A dataset that exists is continued: only the days after its last one are asked for. Kite adjusts
its whole history when a share is split; stored days that no longer agree make the symbol be read
anew, and the notes count it. What was read is kept until the commit, so that an ingest that was
interrupted goes on where it stopped. In market hours the live key belongs to the agent.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from agent.errors import Refused, SettingRefused
from agent.kite.budget import Budget
from agent.kite.session import load
from agent.market.sessions import IST, NSE
from flows.data import durable
from flows.data.frame import (
    VALUES,
    Floats,
    Ints,
    day_numbers,
    day_start_ms,
    days_of,
    make_frame,
    ts_ms,
)
from flows.data.manifest import Facts
from flows.data.sources.base import Skipped
from flows.data.sources.kite_history import BLOCKED, SPAN_DAYS, Candles, History
from flows.home import Home

if TYPE_CHECKING:
    import pandas as pd

    from flows.data.store import CandleStore

LIVE_HOSTS = ("kite.trade", "zerodha.com")
BUSY_FROM, BUSY_UNTIL = time(9, 0), time(15, 35)
COMPARED_DAYS = 5  # of the stored ones, read again to see whether the broker adjusted them
SAME_SHARE = 5e-4  # closes that agree within this were not adjusted
ADJUSTMENT = "by Kite: splits, bonuses, demergers and large dividends, as of the day of the ingest"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of the broker: dates inclusive, `first` None for what there is."""

    dataset: str
    interval: str
    keys: tuple[str, ...]
    first: date | None
    last: date


class KiteSource:
    """Candles of the instruments asked for, stored ones and new ones together.

    Parameters
    ----------
    asked : Asked
    history : History
    store : CandleStore
        Where the dataset stands, if it does.
    kept : Path
        Folder for what was read before the commit.

    Raises
    ------
    agent.errors.SettingRefused
        If none of the instruments is listed.
    """

    sessions: Sequence[date] | None = None

    def __init__(self, asked: Asked, history: History, store: CandleStore, kept: Path) -> None:
        self._asked = asked
        self._history = history
        self._store = store
        self._kept = kept
        self._anew = 0
        self._tokens = {key: history.token(key) for key in asked.keys}
        if not any(self._tokens.values()):
            raise SettingRefused(
                "--universe",
                given=", ".join(asked.keys),
                allowed="instruments of today's dump",
                fix="write them as in Kite, such as NSE:INFY",
            )

    @property
    def facts(self) -> Facts:
        """What is known of the broker's candles."""
        notes = f"{self._asked.interval} candles from Kite"
        if self._anew:
            notes += f"; {self._anew} symbols read anew, as Kite adjusted their history"
        return Facts("kite", self._asked.interval, ADJUSTMENT, notes)

    @property
    def symbols(self) -> Sequence[str]:
        """Keys that the broker lists."""
        return sorted(key for key, token in self._tokens.items() if token is not None)

    @property
    def skipped(self) -> Sequence[Skipped]:
        """Keys that it does not."""
        return [
            Skipped(key, "not in the broker's dump of today")
            for key, token in sorted(self._tokens.items())
            if token is None
        ]

    def read(self, symbol: str) -> pd.DataFrame:
        """Return a symbol's stored candles, continued to the last day asked for."""
        token = self._tokens[symbol]
        if token is None:
            raise KeyError(symbol)
        stored = self._stored(symbol)
        if stored is not None:
            continued = self._continued(token, symbol, stored)
            if continued is not None:
                return continued
            self._anew += 1
        begun = None if stored is None else days_of(day_numbers(ts_ms(stored)[:1]))[0]
        one_call = self._asked.last - timedelta(days=SPAN_DAYS[self._asked.interval] - 1)
        first = min((on for on in (self._asked.first, begun) if on is not None), default=one_call)
        return make_frame(symbol, *self._read(token, first, self._asked.last))

    def finish(self) -> None:
        """Forget what was kept for an interrupted run: it is committed."""
        shutil.rmtree(self._kept, ignore_errors=True)

    def _stored(self, symbol: str) -> pd.DataFrame | None:
        if self._asked.dataset not in self._store.datasets():
            return None
        manifest = self._store.manifest(self._asked.dataset)
        same = manifest.source == "kite" and manifest.interval == self._asked.interval
        if not same or symbol not in manifest.symbols:
            return None
        return self._store.read(self._asked.dataset, [symbol])

    def _continued(self, token: int, symbol: str, stored: pd.DataFrame) -> pd.DataFrame | None:
        """Return stored and new candles together, None if they no longer fit each other."""
        ms = ts_ms(stored)
        days = days_of(np.unique(day_numbers(ms)))
        if self._asked.first is not None and self._asked.first < days[0]:
            return None
        # the last stored day may have been read before it was over
        first = days[max(0, len(days) - 1 - COMPARED_DAYS)]
        new_ms, new = self._read(token, first, self._asked.last)
        last_ms = day_start_ms(days[-1])
        _, mine, theirs = np.intersect1d(ms, new_ms, return_indices=True)
        before = ms[mine] < last_ms
        old_close = stored["close"].to_numpy()[mine][before]
        new_close = new["close"][theirs][before]
        if len(old_close) and (np.abs(new_close / old_close - 1.0) > SAME_SHARE).any():
            return None
        keep, take = ms < last_ms, new_ms >= last_ms
        values = {
            name: np.concatenate([stored[name].to_numpy()[keep], new[name][take]])
            for name in VALUES
        }
        return make_frame(symbol, np.concatenate([ms[keep], new_ms[take]]), values)

    def _read(self, token: int, first: date, last: date) -> Candles:
        """Return the broker's candles; a span that an interrupted run has read is not asked again.

        Today's candles still grow and are always asked for.
        """
        name = f"{token}-{self._asked.interval}-{first}-{last}.npz"
        path = self._kept / name
        if path.exists():
            with np.load(path) as held:
                return np.asarray(held["ms"]), {n: np.asarray(held[n]) for n in VALUES}
        ms, values = self._history.candles(token, self._asked.interval, first, last)
        if last < datetime.now(IST).date() or datetime.now(IST).time() > BUSY_UNTIL:
            _keep(path, ms, values)
        return ms, values


def _keep(path: Path, ms: Ints, values: dict[str, Floats]) -> None:
    with durable.appearing(path) as temporary, temporary.open("wb") as file:
        columns: dict[str, Any] = {"ms": ms, **values}
        np.savez(file, **columns)


def open_kite(home: Home, asked: Asked) -> KiteSource:
    """Open the broker with the session of today.

    Raises
    ------
    agent.errors.Refused
        `blocked: log in` without a session, `blocked: market hours` with the live key from 09:00
        to 15:35 of a trading day.
    agent.errors.SettingRefused
        If the settings cannot be read or name no instrument.
    """
    from kiteconnect import KiteConnect

    from flows.data.store import CandleStore
    from flows.settings import read_settings

    now = datetime.now(IST)
    try:
        session = load(home.root, dict(os.environ), now)
    except SettingRefused as fault:
        raise Refused(
            f"{BLOCKED}. {fault}. Sources sample, synthetic, parquet:GLOB, csv:GLOB need no login"
        ) from fault
    settings = read_settings(home.root).agent
    root = settings.broker.rest_url
    refuse_in_market_hours(root, now)
    store = CandleStore(home)
    wanted = asked.keys or settings.market.universe
    keys = tuple(key if ":" in key else f"NSE:{key}" for key in wanted)
    if asked.dataset in store.datasets() and store.manifest(asked.dataset).source == "kite":
        keys += store.manifest(asked.dataset).symbols  # a narrower ingest must not drop any
    if not keys:
        raise SettingRefused(
            "--universe",
            given="nothing",
            allowed="instrument keys, here or as agent.market.universe in ratchet.toml",
            fix="name them: --universe NSE:INFY,NSE:SBIN",
        )
    client = KiteConnect(
        session.api_key, session.access_token, root=root, timeout=settings.broker.timeout_s
    )
    folder = home.root / "kite"
    history = History(client, Budget(folder, session.api_key))
    asked = replace(asked, keys=tuple(sorted(set(keys))))
    return KiteSource(asked, history, store, folder / "history" / asked.dataset)


def refuse_in_market_hours(root: str, now: datetime) -> None:
    """Refuse bulk calls with the live key while the agent may need its budget.

    Raises
    ------
    agent.errors.Refused
        From 09:00 to 15:35 of a trading day, at the broker itself.
    """
    host = urlsplit(root).hostname or ""
    live = any(host == name or host.endswith(f".{name}") for name in LIVE_HOSTS)
    if live and NSE.is_open(now.date()) and BUSY_FROM <= now.time() <= BUSY_UNTIL:
        raise Refused(
            f"blocked: market hours. Bulk calls with the live key are refused from "
            f"{BUSY_FROM:%H:%M} to {BUSY_UNTIL:%H:%M} of a trading day; run it after the close"
        )
