"""Who may ask and who may change traffic: two tokens, compared in constant time, never logged.

On the loopback predictions are open unless a token is set; changing traffic always needs the
admin token. Off the loopback both must have been set by the operator: a worker whose socket is
bound elsewhere refuses to start without them.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import os
import secrets
import socket
from pathlib import Path

from bentos.problems import Problem
from bentos.settings import ServingSettings

TOKEN_CHARACTERS_MIN = 16


class StartRefused(RuntimeError):
    """The service may not start as it is configured; the message says what to do."""


class Access:
    """The tokens of one process."""

    def __init__(self, settings: ServingSettings) -> None:
        predict = settings.predict_token
        self._predict = predict.get_secret_value().encode() if predict else b""
        self._admin = admin_token(settings).encode()

    @property
    def predict_is_open(self) -> bool:
        """Whether predictions need no token."""
        return not self._predict

    def check_predict(self, authorization: str | None) -> None:
        """Refuse a reader or a prediction without a right token, where one is configured.

        Raises
        ------
        bentos.problems.Problem
            `token-missing` or `token-refused`.
        """
        if self._predict:
            self._check(authorization, (self._predict, self._admin), "RATCHET_PREDICT_TOKEN")

    def check_admin(self, authorization: str | None) -> None:
        """Refuse a change of traffic without the admin token.

        Raises
        ------
        bentos.problems.Problem
            `token-missing` or `token-refused`.
        """
        self._check(
            authorization, (self._admin,), "RATCHET_ADMIN_TOKEN or HOME/secrets/admin-token"
        )

    @staticmethod
    def _check(authorization: str | None, allowed: tuple[bytes, ...], where: str) -> None:
        expected = f"`Authorization: Bearer …` with the token of {where}"
        if authorization is None:
            raise Problem("token-missing", expected, field="Authorization", expected=expected)
        scheme, _, given = authorization.partition(" ")
        token = given.strip().encode("utf-8", "surrogateescape")
        # every candidate is compared, so that the time taken tells nothing
        right = [hmac.compare_digest(token, one) for one in allowed]
        if scheme.lower() != "bearer" or not any(right):
            raise Problem("token-refused", expected, field="Authorization", expected=expected)


def admin_token(settings: ServingSettings) -> str:
    """Return the admin token: the configured one, else that of HOME/secrets (made, mode 0600).

    Raises
    ------
    StartRefused
        If the file cannot be made or read, or the token is too short.
    """
    if settings.admin_token is not None:
        token = settings.admin_token.get_secret_value()
    else:
        token = _kept_token((settings.home / "secrets" / "admin-token").resolve())
    if len(token) < TOKEN_CHARACTERS_MIN:
        raise StartRefused(f"the admin token needs at least {TOKEN_CHARACTERS_MIN} characters")
    return token


def _kept_token(path: Path) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            passing = path.with_name(f".{path.name}.{os.getpid()}")
            handle = os.open(passing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_urlsafe(32) + "\n")
            try:
                os.link(passing, path)  # whole or not at all, and the first one wins
            finally:
                passing.unlink()
        return path.read_text(encoding="utf-8").strip()
    except OSError as fault:
        raise StartRefused(f"{path}: {fault.strerror}; set RATCHET_ADMIN_TOKEN instead") from fault


def check_bind(host: str, settings: ServingSettings) -> None:
    """Refuse a bind off the loopback without both tokens, different ones.

    Raises
    ------
    StartRefused
        With what to do.
    """
    if is_loopback(host):
        return
    predict, admin = settings.predict_token, settings.admin_token
    if predict is None or admin is None:
        raise StartRefused(
            f"bound to {host}, which others can reach: set RATCHET_PREDICT_TOKEN and "
            "RATCHET_ADMIN_TOKEN, or bind to 127.0.0.1 (`--host 127.0.0.1`)"
        )
    if predict.get_secret_value() == admin.get_secret_value():
        raise StartRefused("RATCHET_PREDICT_TOKEN and RATCHET_ADMIN_TOKEN must differ")
    if min(len(t.get_secret_value()) for t in (predict, admin)) < TOKEN_CHARACTERS_MIN:
        raise StartRefused(f"both tokens need at least {TOKEN_CHARACTERS_MIN} characters")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bound_hosts() -> list[str]:
    """Return the addresses on which this process listens, from its own open sockets."""
    hosts = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if not str(entry.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(entry.name))) as held:
                listens = held.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                if listens and held.family in {socket.AF_INET, socket.AF_INET6}:
                    hosts.append(str(held.getsockname()[0]))
    return hosts
