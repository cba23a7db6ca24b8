"""Kite's historical candles, as its own client gives them: spans, budget, retries, errors.

The only file of this room that knows `kiteconnect`; what it raises is renamed here, once. The
budget of calls is the one that the agent counts in (a file per key under the home folder).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Protocol

import numpy as np

from agent.errors import Refused, Retryable, SettingRefused
from agent.kite.budget import Budget
from flows.data.frame import VALUES, Floats, Ints

# the broker's limits: days that one request may span ("interval exceeds max limit")
SPAN_DAYS = {
    "minute": 60,
    "3minute": 100,
    "5minute": 100,
    "10minute": 100,
    "15minute": 200,
    "30minute": 200,
    "60minute": 400,
    "day": 2_000,
}
ATTEMPTS_MAX = 5
BACK_OFF_S = (1.0, 2.0, 4.0, 8.0)
BLOCKED = "blocked: log in"

Candles = tuple[Ints, dict[str, Floats]]


class Client(Protocol):
    """What is used of `kiteconnect.KiteConnect`."""

    def instruments(self, exchange: str) -> list[Mapping[str, Any]]:
        """Return an exchange's dump."""

    def historical_data(
        self, instrument_token: int, from_date: str, to_date: str, interval: str
    ) -> list[Mapping[str, Any]]:
        """Return candles of a span, both ends included."""


@dataclass(frozen=True, slots=True)
class Wait:
    """How time passes while calls wait: the wall's, or a test's."""

    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    sleep: Callable[[float], None] = time.sleep


class History:
    """Candles by instrument key.

    Parameters
    ----------
    client : Client
    budget : Budget
    wait : Wait
    """

    def __init__(self, client: Client, budget: Budget, wait: Wait | None = None) -> None:
        self._client = client
        self._budget = budget
        self._wait = wait or Wait()
        self._one = threading.Lock()  # the client and the budget are one caller's at a time
        self._tokens: dict[str, dict[str, int]] = {}
        self.calls = 0

    def token(self, key: str) -> int | None:
        """Return the broker's token of an instrument, None if it does not list it."""
        exchange, _, symbol = key.partition(":")
        with self._one:
            if exchange not in self._tokens:
                dump = self._call("other", lambda: self._client.instruments(exchange))
                self._tokens[exchange] = {
                    str(row["tradingsymbol"]): int(row["instrument_token"]) for row in dump
                }
        return self._tokens[exchange].get(symbol)

    def candles(self, token: int, interval: str, first: date, last: date) -> Candles:
        """Return an instrument's candles from one date to another, both included.

        Raises
        ------
        agent.errors.Refused
            If the session is dead: `blocked: log in`.
        agent.errors.SettingRefused
            If the broker will not have the request.
        agent.errors.Retryable
            If it did not answer in `ATTEMPTS_MAX` attempts.
        """
        rows: list[Mapping[str, Any]] = []
        start = first
        while start <= last:
            stop = min(last, start + timedelta(days=SPAN_DAYS[interval] - 1))
            ask = partial(
                self._client.historical_data,
                token,
                f"{start} 00:00:00",
                f"{stop} 23:59:59",
                interval,
            )
            with self._one:
                rows += self._call("historical", ask)
            start = stop + timedelta(days=1)
        ms = np.array([_ms(row["date"]) for row in rows], dtype=np.int64)
        values = {name: np.array([row[name] for row in rows], dtype=np.float64) for name in VALUES}
        return ms, values

    def _call(self, kind: Any, call: Callable[[], Any]) -> Any:
        fault: Exception | None = None
        for attempt in range(ATTEMPTS_MAX):
            while until := self._budget.take(kind, self._wait.now_ms()):
                self._wait.sleep(max(0.001, (until - self._wait.now_ms()) / 1000))
            self.calls += 1
            try:
                return call()
            except Exception as raised:  # noqa: BLE001  (renamed; what is no call's is raised)
                fault = raised
                _raise_if_final(raised)
            if attempt < len(BACK_OFF_S):
                self._wait.sleep(BACK_OFF_S[attempt])
        raise Retryable(
            f"Kite did not answer in {ATTEMPTS_MAX} attempts ({type(fault).__name__}: {fault}); "
            "run the ingest again: what was read is kept"
        ) from fault


def _raise_if_final(fault: Exception) -> None:
    """Raise what another attempt will not change, by our own names."""
    import requests
    from kiteconnect import exceptions

    if isinstance(fault, exceptions.TokenException | exceptions.PermissionException):
        raise Refused(f"{BLOCKED} ({fault}): ratchet-agent login") from fault
    if isinstance(fault, exceptions.InputException):
        raise SettingRefused(
            "request to Kite",
            given=str(fault),
            allowed="an instrument and an interval that it has",
            fix="check --universe and --interval",
        ) from fault
    # its client raises KeyError or TypeError where a reply lacks a field or a header
    network = (exceptions.KiteException, requests.RequestException, KeyError, TypeError, ValueError)
    if not isinstance(fault, network):
        raise fault


def _ms(at: datetime) -> int:
    return int(at.timestamp()) * 1000
