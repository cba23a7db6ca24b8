"""One request in, one answer out: routing, sessions, limits, envelopes. No sockets here.

A route is a line of data; handlers return the `data` of the broker's envelope or a finished
`Answer`. Refusals become the broker's error documents at this one place.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qsl

from agent.errors import Broken, RatchetError
from agent.paper.access import Access
from agent.paper.clock import Clock
from agent.paper.exchange import Exchange, Instant
from agent.paper.hub import Hub
from agent.paper.limits import Limits
from agent.paper.refusals import RequestRefused, bad_input, no_permission, not_found
from agent.paper.store import Store

JSON: Final = "application/json"
ADMIN_PREFIX: Final = "_paper"


@dataclass(frozen=True)
class Request:
    """What came in; header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def params(self) -> dict[str, str]:
        """Query and form fields; the last of a repeated one counts."""
        text = self.query
        if self.body and not self.is_json:
            text = f"{text}&{self.body.decode('utf-8', 'replace')}"
        return dict(parse_qsl(text, keep_blank_values=True))

    @property
    def is_json(self) -> bool:
        """Whether the body says that it is JSON."""
        return JSON in self.headers.get("content-type", "")

    def many(self, name: str) -> list[str]:
        """Return every value of a repeated query field."""
        return [value for key, value in parse_qsl(self.query) if key == name]

    def document(self) -> Any:
        """Return the JSON body; None for an empty one.

        Raises
        ------
        RequestRefused
            If it is no JSON.
        """
        if not self.body:
            return None
        try:
            return json.loads(self.body)
        except ValueError:
            raise bad_input("Could not parse the JSON body.") from None


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    location: str = ""


Handler = Callable[["Service", Request, tuple[str, ...]], Any]


@dataclass(frozen=True, slots=True)
class Route:
    """A path and who answers it; `{}` stands for one part, handed to the handler.

    `limit` names the budget that a call counts against; `open` routes need no session.
    """

    method: str
    path: str
    handler: Handler
    limit: str = "other"
    open: bool = False


@dataclass
class Service:
    """Everything that answers: the exchange and the rooms around it."""

    exchange: Exchange
    access: Access
    limits: Limits
    hub: Hub
    store: Store
    routes: tuple[Route, ...]
    admin_token: str | None = None
    clock: Clock = field(init=False)  # it publishes through the service
    _day: int = field(init=False, default=-1)

    def __post_init__(self) -> None:
        self._table: dict[tuple[str, int], list[tuple[tuple[str, ...], Route]]] = {}
        self._paths: set[tuple[int, str]] = set()
        for route in self.routes:
            parts = tuple(route.path.strip("/").split("/"))
            self._table.setdefault((route.method, len(parts)), []).append((parts, route))
            self._paths.add((len(parts), parts[0]))

    async def answer(self, request: Request) -> Answer:
        """Answer a request; whatever is refused is answered, too."""
        try:
            route, parts = self._find(request)
            now = self.clock.now_ms()
            if request.path.startswith(f"/{ADMIN_PREFIX}/"):
                self._check_admin(request)
            else:
                if not route.open:
                    self.access.check_header(request.headers.get("authorization", ""), now)
                self.limits.count(route.limit, now)
            result = route.handler(self, request, parts)
            if isinstance(result, Awaitable):
                result = await result
        except RequestRefused as refused:
            return refusal(refused)
        except Broken:
            raise
        except RatchetError as fault:
            return refusal(bad_input(str(fault)))
        return result if isinstance(result, Answer) else envelope(result)

    def changed(self) -> None:
        """Keep what a request has done, and let the clock look at its timers."""
        self._keep(self.exchange.instant())
        self.clock.scheduled()

    def publish(self, instant: Instant) -> None:
        """Keep an instant, then tell it to every ticker."""
        self._keep(instant)
        self.hub.publish(instant)

    def _keep(self, instant: Instant) -> None:
        exchange = self.exchange
        if exchange.day != self._day:
            self.store.forget_positions(exchange.books)
            self._day = exchange.day
        self.store.save(
            (exchange.day, instant.now_ms), exchange.on.isoformat(), instant.notes, exchange.books
        )
        if instant.last:
            self.store.finish()

    def _find(self, request: Request) -> tuple[Route, tuple[str, ...]]:
        parts = tuple(request.path.strip("/").split("/"))
        for pattern, route in self._table.get((request.method, len(parts)), ()):
            if all(want in ("{}", have) for want, have in zip(pattern, parts, strict=True)):
                free = tuple(
                    have for want, have in zip(pattern, parts, strict=True) if want == "{}"
                )
                return route, free
        if (len(parts), parts[0]) in self._paths:
            raise RequestRefused("Method not allowed", "GeneralException", 405)
        raise not_found()

    def _check_admin(self, request: Request) -> None:
        """Let in who has the token; on loopback anyone but a web page in the user's browser.

        Raises
        ------
        RequestRefused
            `PermissionException`, 403.
        """
        if "origin" in request.headers:
            raise no_permission("not from a web page")
        if self.admin_token is None:
            return
        given = request.headers.get("authorization", "")
        if given != f"Bearer {self.admin_token}":
            raise no_permission("Authorization: Bearer ADMIN_TOKEN is needed")


def envelope(data: Any) -> Answer:
    """Return the broker's envelope of a success."""
    return document({"status": "success", "data": data})


def document(content: Any) -> Answer:
    """Return a bare JSON document."""
    return Answer(json.dumps(content, separators=(",", ":"), allow_nan=False).encode())


def refusal(refused: RequestRefused) -> Answer:
    """Return the broker's error document."""
    content = {
        "status": "error",
        "message": refused.message,
        "data": None,
        "error_type": refused.error_type,
    }
    return Answer(json.dumps(content).encode(), refused.status)
