"""The broker's session: key and secret from the environment, the day's token from a 0600 file.

A token dies at 06:00 IST the next morning, on logout, or on a login elsewhere; the reply has no
expiry field, so the rule is written here. There is no API path for the login itself: a person
opens the login page, and the redirect brings a request token that works once.

A leaf: imports nothing of the agent but its errors. Secrets are never printed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from agent.errors import SettingRefused
from agent.private_file import write_private

IST: Final = ZoneInfo("Asia/Kolkata")
TOKEN_DIES: Final = time(6, 0)
LOGIN_PAGE: Final = "https://kite.zerodha.com/connect/login"
KEY, SECRET, TOKEN = "KITE_API_KEY", "KITE_API_SECRET", "KITE_ACCESS_TOKEN"


@dataclass(frozen=True, slots=True)
class Session:
    """A key and the token that it may call with; the repr shows neither secret nor token."""

    api_key: str
    access_token: str = field(repr=False)
    user_id: str = ""
    dies_at: datetime | None = None

    def alive(self, at: datetime) -> bool:
        """Tell whether the token can still be alive at an aware instant."""
        return self.dies_at is None or at < self.dies_at


def token_file(home: Path) -> Path:
    """Return where the day's token lies."""
    return home / "kite" / "session.json"


def dies_at(login: datetime) -> datetime:
    """Return when a token from a login dies: the next 06:00 in India.

    >>> dies_at(datetime(2026, 11, 24, 8, 0, tzinfo=IST)).isoformat()
    '2026-11-25T06:00:00+05:30'
    """
    local = login.astimezone(IST)
    morning = datetime.combine(local.date(), TOKEN_DIES, tzinfo=IST)
    return morning if local < morning else morning + timedelta(days=1)


def login_url(api_key: str) -> str:
    """Return the page on which a person logs in."""
    return f"{LOGIN_PAGE}?{urlencode({'v': 3, 'api_key': api_key})}"


def save(home: Path, session: Session) -> Path:
    """Write the token file, readable by its owner alone; an old one is replaced at once."""
    path = token_file(home)
    dies = None if session.dies_at is None else session.dies_at.isoformat()
    text = json.dumps(
        {
            "api_key": session.api_key,
            "access_token": session.access_token,
            "user_id": session.user_id,
            "dies_at": dies,
        }
    )
    write_private(path, text)
    return path


def load(home: Path, environment: dict[str, str], at: datetime) -> Session:
    """Return the session to call with.

    Parameters
    ----------
    home : Path
    environment : mapping
        `KITE_API_KEY`, and `KITE_ACCESS_TOKEN` if it is to be used instead of the file's.
    at : datetime, aware
        Now.

    Raises
    ------
    SettingRefused
        If there is no key, no token, or the file's token has died.
    """
    key, token = environment.get(KEY, ""), environment.get(TOKEN, "")
    if key and token:
        return Session(key, token)
    path = token_file(home)
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        dies = kept["dies_at"] and datetime.fromisoformat(kept["dies_at"])
        session = Session(kept["api_key"], kept["access_token"], kept.get("user_id", ""), dies)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise SettingRefused(
            f"{KEY}, {TOKEN}" if not key else TOKEN,
            given="nothing",
            allowed=f"both in the environment, or a login in {path}",
            fix="run `ratchet-agent login`, or export them",
        ) from fault
    if key and session.api_key != key:
        raise SettingRefused(
            KEY,
            given=f"another key than {path} was made with",
            allowed="the same",
            fix="run `ratchet-agent login`",
        )
    if not session.alive(at):
        raise SettingRefused(
            f"token in {path}",
            given=f"one that died at {session.dies_at}",
            allowed="a token of today",
            fix="run `ratchet-agent login`",
        )
    return session
