"""Asks the broker what a trading day needs: session, plan, permissions, clock, outbound address.

Reads only: profile, margins, one historical candle. What cannot be asked (whether this address is
registered for orders, whether selling from holdings is authorised) is said, with where to look.
"""

from __future__ import annotations

import json
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from agent.errors import Retryable, SettingRefused
from agent.kite.session import IST, Session, load
from flows.doctor.finding import Finding, well
from flows.settings import read_settings

LIMIT_S = 7.0
SKEW_WARNING_S, SKEW_FAULT_S = 2.0, 5.0  # as the agent's own watch: warns, stops entries
RELIANCE = 738561  # NSE:RELIANCE's token: any liquid share would do to ask for one candle
CONSOLE = "https://developers.kite.trade"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: status, document, and how far our clock is from the server's `Date`."""

    status: int
    document: dict[str, Any]
    skew_s: float | None

    @property
    def said(self) -> str:
        """The broker's own words."""
        return f"HTTP {self.status}: {self.document.get('message') or 'no message'}"


def broker(root: Path, environ: Mapping[str, str] | None = None) -> list[Finding]:
    """Return what the broker of a home's settings says.

    Parameters
    ----------
    root : Path
        The home.
    environ : mapping, optional
        Instead of this process's environment.
    """
    environ = dict(os.environ if environ is None else environ)
    try:
        settings = read_settings(root, environ=environ)
        secrets = settings.environment("secrets")
        session = load(root, {**environ, **secrets}, datetime.now(IST))
    except SettingRefused as fault:
        found = f"{fault.subject}: found {fault.given}"
        return [Finding("broker session", "fault", found, fault.fix), _address(None)]
    return list(_asked(session, settings.agent.broker.rest_url))


def _asked(session: Session, rest_url: str) -> Iterator[Finding]:
    try:
        profile = _get(session, rest_url, "/user/profile")
    except Retryable as fault:
        yield Finding("broker", "fault", str(fault), "mend the network, then ask again")
        return
    yield from _clock(profile)
    if profile.status != 200:
        fix = "run `ratchet-agent login`: a token dies at 06:00 and at a login elsewhere"
        yield Finding("broker session", "fault", profile.said, fix)
        return
    data = profile.document.get("data", {})
    yield well("broker session", f"user {data.get('user_id')}, exchanges {data.get('exchanges')}")
    yield _products(data)
    yield _margins(session, rest_url)
    yield _plan(session, rest_url)
    yield _address(rest_url)


def _clock(answer: Answer) -> Iterator[Finding]:
    if answer.skew_s is None:
        return
    found = f"{answer.skew_s:+.1f} s from the broker's (its header has whole seconds)"
    fix = "start chrony or systemd-timesyncd: past 5 s the agent opens nothing"
    off = max(0.0, abs(answer.skew_s) - 1.0)  # the header is cut to the second
    if off > SKEW_FAULT_S:
        yield Finding("clock", "fault", found, fix)
    elif off > SKEW_WARNING_S:
        yield Finding("clock", "warning", found, fix)
    else:
        yield well("clock", found)


def _products(data: Mapping[str, Any]) -> Finding:
    lacking = {"MIS", "CNC"} - set(data.get("products") or ())
    if lacking:
        fix = "ask the broker to enable them; intraday shorts need MIS"
        return Finding("permissions", "fault", f"not enabled: {', '.join(sorted(lacking))}", fix)
    if "NSE" not in (data.get("exchanges") or ()):
        fix = "enable NSE equity at the broker"
        return Finding("permissions", "fault", "the NSE segment is not enabled", fix)
    consent = (data.get("meta") or {}).get("demat_consent")
    return well("permissions", f"MIS and CNC on NSE; demat consent: {consent or 'none'}")


def _margins(session: Session, rest_url: str) -> Finding:
    try:
        answer = _get(session, rest_url, "/user/margins")
    except Retryable as fault:
        return Finding("funds", "warning", str(fault), "ask again")
    equity = answer.document.get("data", {}).get("equity", {})
    if answer.status != 200 or not equity:
        return Finding("funds", "warning", answer.said, "look at the broker's page")
    return well("funds", f"{equity.get('net')} rupees available for equity")


def _plan(session: Session, rest_url: str) -> Finding:
    """Ask for one candle: the historical call is what the paid plan has over the free one."""
    today = datetime.now(IST).date()
    span = {"from": str(today - timedelta(days=7)), "to": str(today)}
    path = f"/instruments/historical/{RELIANCE}/day?{urlencode(span)}"
    try:
        answer = _get(session, rest_url, path)
    except Retryable as fault:
        return Finding("plan", "warning", str(fault), "ask again")
    if answer.status == 403:
        fix = f"take the paid Connect plan at {CONSOLE}: the free one has no candles and no ticks"
        return Finding("plan", "fault", answer.said, fix)
    if answer.status != 200:
        return Finding("plan", "warning", answer.said, "ask again outside the broker's maintenance")
    return well("plan", "historical candles are answered")


def _address(rest_url: str | None) -> Finding:
    """Tell from which address we leave, as far as this machine knows it."""
    parts = urlsplit(rest_url or "https://api.kite.trade")
    try:
        with socket.create_connection(
            (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)), LIMIT_S
        ) as connection:
            local = connection.getsockname()[0]
    except OSError as fault:
        return Finding("outbound address", "warning", str(fault), "mend the network")
    if local.startswith("127."):
        return well("outbound address", "the exchange is on this machine")
    found = f"leaves by {local}; behind a router the broker sees the router's"
    fix = (
        f"orders are refused from an address that is not registered: compare what the broker sees "
        f"with the static IP of your app at {CONSOLE}"
    )
    return Finding("outbound address", "warning", found, fix)


def _get(session: Session, rest_url: str, path: str) -> Answer:
    request = urllib.request.Request(  # noqa: S310  (the settings' own address)
        rest_url.rstrip("/") + path,
        headers={
            "X-Kite-Version": "3",
            "Authorization": f"token {session.api_key}:{session.access_token}",
        },
    )
    sent = time.time()
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as reply:  # noqa: S310
            return _answer(reply.status, reply.headers, reply.read(), sent)
    except urllib.error.HTTPError as reply:
        return _answer(reply.code, reply.headers, reply.read(), sent)
    except (OSError, ValueError) as fault:
        raise Retryable(f"{rest_url} does not answer: {fault}") from fault


def _answer(status: int, headers: Any, body: bytes, sent: float) -> Answer:
    skew = None
    if text := headers.get("Date"):
        middle = (sent + time.time()) / 2
        skew = middle - parsedate_to_datetime(text).timestamp()
    try:
        document = json.loads(body)
    except ValueError:
        document = {}
    return Answer(status, document if isinstance(document, dict) else {}, skew)
