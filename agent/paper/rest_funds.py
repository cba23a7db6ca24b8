"""Mutual funds over REST: the service is not there, and says so as the broker does."""

from __future__ import annotations

from typing import Final

from agent.paper.refusals import RequestRefused
from agent.paper.service import Request, Route, Service

Parts = tuple[str, ...]


def mutual_funds(service: Service, request: Request, parts: Parts) -> None:
    """Answer every call under /mf."""
    del service, request, parts
    raise RequestRefused("The mutual funds service is unavailable.", "NetworkException", 503)


ROUTES: Final = (
    Route("GET", "/mf/orders", mutual_funds),
    Route("POST", "/mf/orders", mutual_funds),
    Route("GET", "/mf/orders/{}", mutual_funds),
    Route("DELETE", "/mf/orders/{}", mutual_funds),
    Route("GET", "/mf/sips", mutual_funds),
    Route("POST", "/mf/sips", mutual_funds),
    Route("GET", "/mf/sips/{}", mutual_funds),
    Route("PUT", "/mf/sips/{}", mutual_funds),
    Route("DELETE", "/mf/sips/{}", mutual_funds),
    Route("GET", "/mf/holdings", mutual_funds),
    Route("GET", "/mf/instruments", mutual_funds),
)
