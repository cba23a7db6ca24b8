"""Faults over the exchange's own routes: arm, list, clear."""

from __future__ import annotations

from typing import Any, Final

from agent.paper import acts
from agent.paper.answers import Answer, Request, Route, document
from agent.paper.faults import KINDS, read_fault
from agent.paper.refusals import bad_input, not_found
from agent.paper.service import Service

Parts = tuple[str, ...]


def arm(service: Service, request: Request, parts: Parts) -> Answer:
    """POST /_paper/faults: arm one fault (an object) or several (a list of them)."""
    del parts
    content = request.document()
    several = content if isinstance(content, list) else [content]
    if not all(isinstance(one, dict) for one in several):
        raise bad_input("A JSON object, or a list of them, is expected.")
    faults = [read_fault(one, service.operations) for one in several]  # all of them, or none
    numbers = [service.faults.arm(fault) for fault in faults]
    for number in numbers:
        acts.schedule(service, number)
    service.keep_faults()
    return document({"armed": numbers})


def listed(service: Service, request: Request, parts: Parts) -> Answer:
    """GET /_paper/faults: what is armed and what has come of it, and the kinds there are."""
    del request, parts
    kinds: dict[str, Any] = {name: kind.what for name, kind in KINDS.items()}
    return document({"faults": service.faults.documents(), "kinds": kinds})


def clear_all(service: Service, request: Request, parts: Parts) -> Answer:
    """DELETE /_paper/faults: disarm all."""
    del request, parts
    cleared = service.faults.clear()
    service.keep_faults()
    return document({"cleared": cleared})


def clear(service: Service, request: Request, parts: Parts) -> Answer:
    """DELETE /_paper/faults/{number}: disarm one."""
    del request
    if not (parts[0].isdecimal() and service.faults.clear(int(parts[0]))):
        raise not_found(f"No fault {parts[0]} is armed.")
    service.keep_faults()
    return document({"cleared": 1})


ROUTES: Final = (
    Route("POST", "/_paper/faults", arm),
    Route("GET", "/_paper/faults", listed),
    Route("DELETE", "/_paper/faults", clear_all),
    Route("DELETE", "/_paper/faults/{}", clear),
)
