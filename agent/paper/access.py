"""Who may call: API key, checksums, access tokens and their death at 06:00.

The key and secret are `paper`. The access token `paper` needs no login, unless logins are strict;
a token from a login dies at 06:00 the next morning of the virtual clock, as the broker's does. A
request token serves once; the login page's lives for five minutes, and unless logins are strict
any other text is one, too.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, time, timedelta
from typing import Final

from agent.market.sessions import IST, epoch_ms, from_epoch_ms
from agent.paper.refusals import RequestRefused, bad_input, bad_token

API_KEY: Final = "paper"
API_SECRET: Final = "paper"  # noqa: S105  (public: there is nothing to protect)
OPEN_TOKEN: Final = "paper"  # noqa: S105
TOKENS_DIE: Final = time(6, 0)
USED_MAX: Final = 10_000  # request tokens remembered
REQUEST_TOKEN_MS: Final = 5 * 60_000  # the broker says "a few minutes"
TOKENS_MAX: Final = 1_000  # sessions of a day: the oldest ends


class Access:
    """The sessions of the one user.

    Parameters
    ----------
    strict : bool
        Whether the token `paper` is refused, so that a login is needed, and with it a request
        token from the login page.
    """

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.tokens: dict[str, int] = {}
        self._used: dict[str, None] = {}
        self._asked: dict[str, int] = {}  # request tokens from the page: until when they live

    def request_token(self, now_ms: int) -> str:
        """Return a new request token, as the login page does."""
        token = secrets.token_urlsafe(24)
        if len(self._asked) >= USED_MAX:
            self._asked.pop(next(iter(self._asked)))
        self._asked[token] = now_ms + REQUEST_TOKEN_MS
        return token

    def login(self, api_key: str, request_token: str, checksum: str, now_ms: int) -> str:
        """Exchange a request token for an access token, once.

        Raises
        ------
        RequestRefused
            `TokenException`: the key or checksum is wrong, or the token was used, is too old or,
            where logins are strict, not from the login page.
        """
        if not request_token:
            raise bad_input("Missing or empty field `request_token`")
        told = f"{api_key}{request_token}{API_SECRET}".encode()
        right = hmac.compare_digest(hashlib.sha256(told).hexdigest(), checksum)
        if api_key != API_KEY or not right:
            raise RequestRefused("Invalid `checksum`.", "TokenException", 403)
        dies_ms = self._asked.get(request_token, 0 if self.strict else now_ms + 1)
        if request_token in self._used or now_ms >= dies_ms:
            raise RequestRefused("Token is invalid or has expired.", "TokenException", 403)
        if len(self._used) >= USED_MAX:
            self._used.pop(next(iter(self._used)))
        self._used[request_token] = None
        token = secrets.token_hex(16)
        self.tokens = {one: dies for one, dies in self.tokens.items() if dies > now_ms}
        if len(self.tokens) >= TOKENS_MAX:
            self.tokens.pop(next(iter(self.tokens)))
        self.tokens[token] = _next_morning(now_ms)
        return token

    def logout(self, token: str) -> None:
        """Kill a token; one that does not live is no error."""
        self.tokens.pop(token, None)

    def allows(self, api_key: str, token: str, now_ms: int) -> bool:
        """Tell whether a key and token may call now."""
        if api_key != API_KEY or not token:
            return False
        if token == OPEN_TOKEN and not self.strict:
            return True
        return now_ms < self.tokens.get(token, 0)

    def check_header(self, header: str, now_ms: int) -> None:
        """Check `Authorization: token api_key:access_token`.

        Raises
        ------
        RequestRefused
            `TokenException`, 403.
        """
        kind, _, pair = header.partition(" ")
        api_key, _, token = pair.strip().partition(":")
        if kind.lower() != "token" or not self.allows(api_key, token, now_ms):
            raise bad_token()


def _next_morning(now_ms: int) -> int:
    now = from_epoch_ms(now_ms)
    morning = datetime.combine(now.date(), TOKENS_DIE, tzinfo=IST)
    return epoch_ms(morning if now < morning else morning + timedelta(days=1))
