"""What answers a request: routing, sessions, limits, faults. No sockets here.

A route is a line of data; handlers return the `data` of the broker's envelope or a finished
`Answer`. Refusals become the broker's error documents at this one place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.errors import Broken, RatchetError
from agent.paper import acts, edge
from agent.paper.access import Access
from agent.paper.answers import ADMIN_PREFIX, Answer, Request, Route, document, envelope, refusal
from agent.paper.clock import Clock
from agent.paper.exchange import Exchange, Instant
from agent.paper.faults import Asked, Faults
from agent.paper.gtt import Status as Fate
from agent.paper.hub import Hub
from agent.paper.limits import Limits
from agent.paper.refusals import RequestRefused, bad_input, no_permission, not_found
from agent.paper.store import Store

__all__ = ["Answer", "Request", "Route", "Service", "document", "envelope", "refusal"]


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
    faults: Faults = field(default_factory=Faults)
    redirect_url: str = ""  # of the API key; without one the login page shows its request token
    speed: float = 1.0  # virtual seconds a second of the wall, as far as answers are slow
    clock: Clock = field(init=False)  # it publishes through the service
    _day: int = field(init=False, default=-1)
    _asked: int = field(init=False, default=0)  # of the faults, when they were last kept

    def __post_init__(self) -> None:
        self._table: dict[tuple[str, int], list[tuple[tuple[str, ...], Route]]] = {}
        self._paths: set[tuple[int, str]] = set()
        for route in self.routes:
            parts = tuple(route.path.strip("/").split("/"))
            self._table.setdefault((route.method, len(parts)), []).append((parts, route))
            self._paths.add((len(parts), parts[0]))
        self.hub.faults = self.faults

    async def answer(self, request: Request) -> Answer:
        """Answer a request; whatever is refused is answered, too."""
        try:
            route, parts = self._find(request)
            now = self.clock.now_ms()
            if request.path.startswith(f"/{ADMIN_PREFIX}/"):
                self._check_admin(request)
                return await edge.carried_out(self, route, request, parts)
            if not route.open:
                self.access.check_header(request.headers.get("authorization", ""), now)
            self.limits.count(route.limit, now)
            return await edge.answered(self, route, request, parts)
        except RequestRefused as refused:
            return refusal(refused)
        except Broken:
            raise
        except RatchetError as fault:
            return refusal(bad_input(str(fault)))

    @property
    def operations(self) -> tuple[str, ...]:
        """What a fault may name: the operations of the broker's own routes."""
        return edge.operations_of(self.routes)

    def keep_faults(self) -> None:
        """Keep what is armed and how often it has struck, so that a restart changes nothing."""
        self.store.keep("faults", self.faults.kept())

    def changed(self) -> None:
        """Keep what a request has done, and let the clock look at its timers."""
        instant = self.exchange.instant()
        self._keep(instant)
        self.hub.tell(instant.notes.updates)
        self.clock.scheduled()

    def publish(self, instant: Instant) -> None:
        """Keep an instant, then tell it to every ticker."""
        self._keep(instant)
        self.hub.publish(instant)

    def _keep(self, instant: Instant) -> None:
        exchange = self.exchange
        rolled = exchange.day != self._day
        fired = sum(one.status is Fate.TRIGGERED for one in instant.notes.gtts.values())
        if fired:
            self.limits.count_by_day(fired, instant.now_ms)
        self.store.save(
            (exchange.day, instant.now_ms),
            exchange.on.isoformat(),
            instant.notes,
            exchange.books,
            rolled=rolled,
            marks=self._marks(instant),
        )
        if rolled:
            self._day = exchange.day
            acts.schedule_day(self)
        if self.faults.armed:
            self._heed(instant)
            self._keep_faults_if_asked()

    def _marks(self, instant: Instant) -> dict[str, object]:
        """Return what else is kept with an instant."""
        spent = {"spent": self.limits.day_spent} if instant.notes.touched else {}
        return spent | ({"over": True} if instant.last else {})

    def _keep_faults_if_asked(self) -> None:
        """Keep the counts of what struck updates and frames since the last time."""
        asked = sum(
            one.seen + one.struck + one.events + one.felt for one in self.faults.armed.values()
        )
        if asked != self._asked:
            self._asked = asked
            self.keep_faults()

    def _heed(self, instant: Instant) -> None:
        """Let the events of an instant open the windows of the faults that wait for them."""
        records = self.exchange.desk.records
        for event in instant.notes.events:
            record = records.get(event["order_id"])
            tag = (record.tag if record else None) or ""
            asked = Asked(symbol=event["symbol"], tag=tag)
            for strike in self.faults.saw(event["kind"], asked, instant.now_ms):
                acts.due(self, strike.number, strike.fault.after_ms)

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
