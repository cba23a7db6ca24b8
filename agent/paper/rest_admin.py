"""The exchange's own routes under /_paper/: the clock of lock-step, the audit, the limits.

Bare documents, not the broker's envelope. On a bind that is not loopback they need the admin
token.
"""

from __future__ import annotations

from typing import Any, Final

from agent.paper.refusals import bad_input
from agent.paper.service import Answer, Request, Route, Service, document

Parts = tuple[str, ...]


def join(service: Service, request: Request, parts: Parts) -> Answer:
    """POST /_paper/join: the clock waits for this client from now on."""
    del request, parts
    client, now = service.clock.join()
    service.hub.tells_clock = True
    service.hub.claim(client)
    return document({"client": client, "now": now})


async def ack(service: Service, request: Request, parts: Parts) -> Answer:
    """POST /_paper/ack: this client has done with everything up to `through`."""
    del parts
    content = _object(request)
    through = _whole(content, "through")
    wake = None if content.get("wake") is None else _whole(content, "wake")
    now = await service.clock.ack(_client(content), through, wake)
    return document({"now": now})


async def leave(service: Service, request: Request, parts: Parts) -> Answer:
    """POST /_paper/leave: the clock no longer waits for this client."""
    del parts
    return document({"now": await service.clock.leave(_client(_object(request)))})


def audit(service: Service, request: Request, parts: Parts) -> Answer:
    """GET /_paper/audit: what the exchange's own book says."""
    del request, parts
    findings = service.exchange.findings()
    return document(findings | {"now": service.exchange.now_ms, **_counts(service)})


def limits(service: Service, request: Request, parts: Parts) -> Answer:
    """POST /_paper/limits {"reads": bool}: refuse reads past their budgets, or only count them."""
    del parts
    reads = _object(request).get("reads")
    if not isinstance(reads, bool):
        raise bad_input("`reads` is true or false.")
    service.limits.reads = reads
    return document({"reads": reads})


def clock(service: Service, request: Request, parts: Parts) -> Answer:
    """GET /_paper/clock: where virtual time is."""
    del request, parts
    exchange = service.exchange
    return document(
        {
            "now": exchange.now_ms,
            "day": exchange.on.isoformat(),
            "last": exchange.over,
            "lockstep": service.clock.lockstep,
            "next": exchange.next_due(),
            "days": [day.isoformat() for day in exchange.market.days],
        }
    )


ROUTES: Final = (
    Route("POST", "/_paper/join", join),
    Route("POST", "/_paper/ack", ack),
    Route("POST", "/_paper/leave", leave),
    Route("GET", "/_paper/audit", audit),
    Route("POST", "/_paper/limits", limits),
    Route("GET", "/_paper/clock", clock),
)


def _counts(service: Service) -> dict[str, Any]:
    return {"over_budget": dict(service.limits.over_budget)}


def _object(request: Request) -> dict[str, Any]:
    content = request.document()
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise bad_input("A JSON object is expected.")
    return content


def _client(content: dict[str, Any]) -> str | None:
    client = content.get("client")
    return None if client is None else str(client)


def _whole(content: dict[str, Any], name: str) -> int:
    value = content.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise bad_input(f"`{name}` is a whole number of epoch milliseconds.")
    return value
