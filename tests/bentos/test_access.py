"""Who may ask, who may change traffic, and where the service may listen."""

from __future__ import annotations

import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bentos.access import (
    Access,
    StartRefused,
    admin_token,
    bound_hosts,
    check_bind,
    is_loopback,
)
from bentos.problems import Problem
from bentos.settings import ServingSettings

PREDICT, ADMIN = "predict-token-1234567890", "admin-token-1234567890"


def settings(home: Path, **more: Any) -> ServingSettings:
    tokens = {k: SecretStr(v) for k, v in more.items()}
    return ServingSettings(home=home, **tokens)  # type: ignore[arg-type]


#  predict token set, what is sent, may predict, may change traffic
CALLS = [
    (False, None, None, "token-missing"),
    (False, f"Bearer {ADMIN}", None, None),
    (False, "Bearer wrong", None, "token-refused"),
    (False, ADMIN, None, "token-refused"),
    (False, f"Basic {ADMIN}", None, "token-refused"),
    (False, "Bearer ", None, "token-refused"),
    (False, f"bearer {ADMIN}", None, None),
    (False, "Bearer ä\udcff", None, "token-refused"),
    (True, None, "token-missing", "token-missing"),
    (True, f"Bearer {PREDICT}", None, "token-refused"),
    (True, f"Bearer {ADMIN}", None, None),
    (True, f"Bearer {PREDICT}x", "token-refused", "token-refused"),
    (True, f"Bearer {PREDICT[:-1]}", "token-refused", "token-refused"),
    (True, "", "token-refused", "token-refused"),
]


@pytest.mark.parametrize("row", CALLS)
def test_tokens(tmp_path: Path, row: tuple[bool, str | None, str | None, str | None]) -> None:
    guarded, sent, predict, change = row
    tokens = {"admin_token": ADMIN} | ({"predict_token": PREDICT} if guarded else {})
    access = Access(settings(tmp_path, **tokens))
    for check, kind in ((access.check_predict, predict), (access.check_admin, change)):
        if kind is None:
            check(sent)
            continue
        with pytest.raises(Problem) as refused:
            check(sent)
        assert refused.value.kind == kind
        told = str(refused.value.document()) + str(refused.value.headers())
        assert ADMIN not in told
        assert PREDICT not in told


def test_without_an_admin_token_one_is_made_and_kept(tmp_path: Path) -> None:
    token = admin_token(settings(tmp_path))
    path = tmp_path / "secrets" / "admin-token"
    assert len(token) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert admin_token(settings(tmp_path)) == token
    path.write_text("short\n")
    with pytest.raises(StartRefused, match="at least 16"):
        admin_token(settings(tmp_path))


def test_a_home_that_cannot_hold_a_token_says_so(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("a file, where the folder should be")
    with pytest.raises(StartRefused, match="RATCHET_ADMIN_TOKEN"):
        admin_token(settings(tmp_path))


@pytest.mark.parametrize(
    ("host", "tokens", "told"),
    [
        ("127.0.0.1", {}, None),
        ("127.9.9.9", {}, None),
        ("::1", {}, None),
        ("localhost", {}, None),
        ("0.0.0.0", {}, "RATCHET_PREDICT_TOKEN and"),
        ("::", {}, "RATCHET_PREDICT_TOKEN and"),
        ("192.168.1.5", {"admin_token": ADMIN}, "RATCHET_PREDICT_TOKEN and"),
        ("192.168.1.5", {"predict_token": PREDICT}, "RATCHET_PREDICT_TOKEN and"),
        ("example.org", {}, "RATCHET_PREDICT_TOKEN and"),
        ("0.0.0.0", {"predict_token": ADMIN, "admin_token": ADMIN}, "must differ"),
        ("0.0.0.0", {"predict_token": "short", "admin_token": ADMIN}, "at least 16"),
        ("0.0.0.0", {"predict_token": PREDICT, "admin_token": ADMIN}, None),
    ],
)
def test_where_it_may_listen(
    tmp_path: Path, host: str, tokens: dict[str, str], told: str | None
) -> None:
    if told is None:
        check_bind(host, settings(tmp_path, **tokens))
    else:
        with pytest.raises(StartRefused, match=told):
            check_bind(host, settings(tmp_path, **tokens))


def test_the_sockets_of_this_process_are_seen() -> None:
    with socket.socket() as one, socket.socket() as silent:
        one.bind(("127.0.0.1", 0))
        silent.bind(("127.0.0.2", 0))
        one.listen()
        assert "127.0.0.1" in bound_hosts()
        assert "127.0.0.2" not in bound_hosts()
    assert is_loopback("127.0.0.1")
