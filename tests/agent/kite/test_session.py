"""The day's token: where it lies, when it dies, what is said when there is none."""

from __future__ import annotations

import stat
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agent.errors import SettingRefused
from agent.kite.session import IST, Session, dies_at, load, login_url, save, token_file

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=IST)


@pytest.mark.parametrize(
    ("login", "dies"),
    [
        ("2026-11-24T08:30+05:30", "2026-11-25T06:00+05:30"),
        ("2026-11-24T05:59+05:30", "2026-11-24T06:00+05:30"),
        ("2026-11-24T06:00+05:30", "2026-11-25T06:00+05:30"),
        ("2026-11-24T01:00+00:00", "2026-11-25T06:00+05:30"),
    ],
)
def test_a_token_dies_at_the_next_six_in_the_morning_of_india(login: str, dies: str) -> None:
    assert dies_at(datetime.fromisoformat(login)) == datetime.fromisoformat(dies)


def test_a_saved_session_comes_back_and_only_its_owner_can_read_it(home: Path) -> None:
    session = Session("key", "token", "AB1234", dies_at(NOON))
    path = save(home, session)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load(home, {}, NOON) == session
    assert load(home, {"KITE_API_KEY": "key"}, NOON) == session


def test_a_saved_session_replaces_the_old_one(home: Path) -> None:
    save(home, Session("key", "old"))
    save(home, Session("key", "new"))
    assert load(home, {}, NOON).access_token == "new"
    assert [p.name for p in token_file(home).parent.iterdir()] == ["session.json"]


def test_the_environment_wins(home: Path) -> None:
    save(home, Session("key", "token"))
    environment = {"KITE_API_KEY": "other", "KITE_ACCESS_TOKEN": "given"}
    assert load(home, environment, NOON) == Session("other", "given")


@pytest.mark.parametrize(
    ("session", "environment", "at", "words"),
    [
        (None, {}, NOON, "KITE_API_KEY"),
        (None, {"KITE_API_KEY": "key"}, NOON, "login"),
        (Session("key", "token", "", NOON), {}, NOON + timedelta(seconds=1), "died"),
        (Session("key", "token"), {"KITE_API_KEY": "other"}, NOON, "another key"),
    ],
    ids=["nothing", "no token", "dead", "another key"],
)
def test_what_cannot_be_used_is_refused_with_what_to_do(
    home: Path, session: Session | None, environment: dict[str, str], at: datetime, words: str
) -> None:
    if session is not None:
        save(home, session)
    with pytest.raises(SettingRefused, match=words) as refused:
        load(home, environment, at)
    assert "login" in str(refused.value)


def test_a_damaged_file_is_refused_and_not_a_bug(home: Path) -> None:
    save(home, Session("key", "token"))
    token_file(home).write_text('{"api_key": 3')
    with pytest.raises(SettingRefused):
        load(home, {}, NOON)


def test_neither_token_nor_secret_is_shown() -> None:
    assert "token-text" not in repr(Session("key", "token-text"))
    assert login_url("key") == "https://kite.zerodha.com/connect/login?v=3&api_key=key"
