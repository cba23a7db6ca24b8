"""The clock that the process goes by: the system's, or a paper exchange's in lock-step.

`system`: epoch milliseconds of this machine; what is due is waited for.
`exchange`: the paper exchange stands at an instant until we acknowledge it; we do so when the
queue is empty and no call is in flight, and say when we want to be woken. It goes on to the next
instant and sends a clock frame after everything that happens there. Refused with `--live`.
"""

from __future__ import annotations

import http.client
import json
import time
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from agent.errors import EnvironmentRefused, Retryable

REPLY_S_MAX = 120.0


class SystemClock:
    """The clock of the machine."""

    lockstep = False

    def now_ms(self) -> int:
        """Return the time, epoch ms."""
        return time.time_ns() // 1_000_000


class ExchangeClock:
    """A paper exchange's clock.

    Parameters
    ----------
    rest_url : str
        The exchange's REST root.

    Raises
    ------
    EnvironmentRefused
        If it is not on this machine.
    """

    lockstep = True

    def __init__(self, rest_url: str) -> None:
        parts = urlsplit(rest_url)
        if parts.hostname is None or not is_loopback(rest_url):
            raise EnvironmentRefused(
                "--clock exchange",
                given=rest_url,
                allowed="a paper exchange on this machine",
                fix="use --clock system with a broker",
            )
        self._host, self._port = parts.hostname, parts.port or 80
        self._http = http.client.HTTPConnection(self._host, self._port, timeout=REPLY_S_MAX)
        self._client: str | None = None
        self._now = 0

    def now_ms(self) -> int:
        """Return the instant at which the exchange stands, epoch ms."""
        return self._now

    def stand_at(self, now_ms: int) -> None:
        """Go on to an instant that a clock frame has announced."""
        self._now = max(self._now, now_ms)

    def probe(self) -> None:
        """Look where the exchange stands, without joining.

        Raises
        ------
        EnvironmentRefused
            If nobody answers there.
        """
        try:
            document = self._ask("GET", "/_paper/clock", None)
        except Retryable as fault:
            raise EnvironmentRefused(
                f"http://{self._host}:{self._port}",
                given=str(fault),
                allowed="a paper exchange",
                fix="start it: ratchet-agent paper --lockstep",
            ) from fault
        self.stand_at(int(document["now"]))

    def join(self) -> int:
        """Let the exchange wait for us from now on; return its instant.

        Raises
        ------
        Retryable
            If it does not answer, or does not run in lock-step.
        """
        document = self._post("/_paper/join", {})
        self._client = str(document["client"])
        self.stand_at(int(document["now"]))
        return self._now

    def ack(self, through_ms: int, wake_ms: int | None) -> int:
        """Say that everything up to an instant has been dealt with; return where it stands.

        Raises
        ------
        Retryable
            If it does not answer; `join` again.
        """
        body = {"client": self._client, "through": through_ms, "wake": wake_ms}
        return int(self._post("/_paper/ack", body)["now"])

    def leave(self) -> None:
        """Let the exchange go on without us."""
        if self._client is not None:
            with suppress(Retryable):
                self._post("/_paper/leave", {"client": self._client})
        self._client = None
        self._http.close()

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        for attempt in (1, 2):
            try:
                text = None if body is None else json.dumps(body)
                self._http.request(method, path, text, {"Content-Type": "application/json"})
                response = self._http.getresponse()
                data = response.read()
                break
            except (OSError, http.client.HTTPException) as fault:
                self._http.close()
                if attempt == 2:  # a kept-alive connection may have been closed meanwhile
                    raise Retryable(f"paper exchange: {path}: {fault}") from fault
        try:
            document = json.loads(data)
        except ValueError as fault:
            raise Retryable(f"paper exchange: {path}: {data[:200]!r}") from fault
        if response.status >= 400:
            raise Retryable(f"paper exchange: {path}: {response.status}: {document}")
        return dict(document)


def is_loopback(url: str) -> bool:
    """Tell whether a URL is of this machine.

    >>> is_loopback("ws://127.0.0.1:13030"), is_loopback("https://api.kite.trade")
    (True, False)
    """
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False  # a name, whatever it looks like
