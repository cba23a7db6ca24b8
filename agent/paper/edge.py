"""What a fault does to a REST call: before its handler, instead of it, after it.

The draw is faults.py's. An answer that is lost leaves as a reset connection, as a time-out of the
client's own (`hang`: nothing is ever sent), as the 400 that says "timed out", or as a 502 to 504.
In lock-step the virtual clock stands while a client waits, so a slow answer is slow in wall time.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from agent.errors import RatchetError
from agent.paper.answers import ADMIN_PREFIX, Answer, Request, Route, envelope, refusal
from agent.paper.desk import BEING_PROCESSED
from agent.paper.faults import Asked, Fault, Strike
from agent.paper.refusals import (
    RequestRefused,
    bad_input,
    bad_order,
    bad_token,
    no_permission,
    too_many_requests,
)

if TYPE_CHECKING:
    from agent.paper.service import Service

HANG_S: Final = 60.0  # past every client's time-out; then the connection is reset
RACE_MS: Final = 20  # half of the way to the exchange: the fill comes before the cancel
TIMED_OUT: Final = (
    "Order request timed out. Please check the order book and confirm before placing again."
)
STOP_THROUGH: Final = "Trigger price for stoploss order is beyond the last traded price."
WORDS: Final = {
    "freeze": "17070 : The Price is out of the LPP range or the quantity above the freeze quantity",
    "circuit": "17070 : The price is out of the current execution range (circuit limit)",
}
GATEWAY: Final = {
    500: ("Something unexpected happened.", "GeneralException"),
    502: ("Could not reach the order management system.", "DataException"),
    503: ("The service is unavailable.", "NetworkException"),
    504: ("Gateway timed out", "NetworkException"),
}
PAGE: Final = b"<html><head><title>Just a moment</title></head><body>cloud</body></html>"
WRITES: Final = ("orders", "gtt", "portfolio")


def asked_of(service: Service, route: Route, request: Request, parts: tuple[str, ...]) -> Asked:
    """Return what a call is, for a fault to be aimed at."""
    first = request.path.strip("/").partition("/")[0]
    write = request.method != "GET" and first in WRITES
    params = request.params if write and not request.is_json else {}
    symbol = params.get("tradingsymbol", "")
    key = f"{params.get('exchange', '')}:{symbol}" if symbol else ""
    tag, trigger = params.get("tag", ""), params.get("trigger_price", "0")
    if not symbol and len(parts) > 1:
        record = service.exchange.desk.records.get(parts[1])
        if record is not None:
            key, tag = record.key, record.tag or ""
    return Asked(operation_of(route), write, key, tag, stop=trigger not in ("", "0"))


def operation_of(route: Route) -> str:
    """Return the name of a route's operation: its handler's."""
    return route.handler.__name__


def operations_of(routes: Iterable[Route]) -> tuple[str, ...]:
    """Return what a fault may name: the operations of the broker's own routes, not of ours."""
    own = (route for route in routes if not route.path.startswith(f"/{ADMIN_PREFIX}/"))
    return tuple(dict.fromkeys(operation_of(route) for route in own))


async def answered(
    service: Service, route: Route, request: Request, parts: tuple[str, ...]
) -> Answer:
    """Answer a call, with whatever fault strikes it.

    Raises
    ------
    RequestRefused
        As without faults, and what a fault refuses.
    """
    exchange = service.exchange
    if not service.faults.armed:
        return await carried_out(service, route, request, parts)
    asked = asked_of(service, route, request, parts)
    strike = service.faults.strike("call", asked, exchange.now_ms, exchange.day)
    service.keep_faults()
    if strike is None:
        return await carried_out(service, route, request, parts)
    return await _Struck(service, strike, route, request, parts).answer()


async def carried_out(
    service: Service, route: Route, request: Request, parts: tuple[str, ...]
) -> Answer:
    """Answer a call as it should be."""
    result = route.handler(service, request, parts)
    if inspect.isawaitable(result):
        result = await result
    return result if isinstance(result, Answer) else envelope(result)


def lost(fault: Fault, lockstep: bool) -> Answer:
    """Return what a client gets instead of an answer.

    Raises
    ------
    RequestRefused
        If the answer is a status.
    """
    del lockstep
    told = fault.own("answer")
    if told == "400":
        raise bad_order(TIMED_OUT)
    if told in {"502", "503", "504"}:
        raise _gateway(int(told))
    return Answer(b"", abort=True, hold_s=HANG_S if told == "hang" else 0.0)


class _Struck:
    """One call and the fault that strikes it."""

    def __init__(
        self,
        service: Service,
        strike: Strike,
        route: Route,
        request: Request,
        parts: tuple[str, ...],
    ) -> None:
        self.service = service
        self.strike = strike
        self.call = (route, request, parts)

    async def answer(self) -> Answer:
        """Return what the client gets."""
        fault = self.strike.fault
        match fault.kind:
            case "timeout_before" | "outage":
                return lost(fault, self.service.clock.lockstep)
            case "timeout_after":
                await self._quietly()
                return lost(fault, self.service.clock.lockstep)
            case "late_order":
                return self._late()
            case "slow_answer":
                return replace(await self._done(), hold_s=self._hold_s())
            case "malformed_json" | "html_answer" | "no_content_type":
                return await self._spoilt()
            case "server_error":
                if fault.own("effect") == "after":
                    await self._quietly()
                raise _gateway(fault.own("status"))
            case "late_row":
                return await self._hidden()
            case "being_processed" | "modify_ignored" | "cancel_lost" | "stop_void" | "rejected":
                return await self._in_the_book()
        raise _refused(fault)

    async def _done(self) -> Answer:
        return await carried_out(self.service, *self.call)

    async def _quietly(self) -> None:
        """Carry the call out although nobody will hear how that went."""
        try:
            await self._done()
        except RatchetError:
            return

    async def _spoilt(self) -> Answer:
        fault = self.strike.fault
        whole = envelope(None)
        if fault.own("effect") == "after":
            try:
                whole = await self._done()
            except RequestRefused as refused:
                whole = refusal(refused)
        if fault.kind == "malformed_json":
            return replace(whole, body=whole.body[: len(whole.body) // 2])
        if fault.kind == "html_answer":
            return Answer(PAGE, content_type="text/html")
        return replace(whole, content_type="")

    def _late(self) -> Answer:
        """Let the order be placed later; what the exchange then says of it nobody hears."""
        route, request, parts = self.call
        service = self.service

        def arrive(_: int) -> None:
            try:
                route.handler(service, request, parts)
            except RatchetError:
                return

        service.exchange.call_in(max(self.strike.within("delay_ms"), 1), arrive)
        service.clock.scheduled()
        return lost(self.strike.fault, service.clock.lockstep)

    async def _hidden(self) -> Answer:
        """Let an order trade unseen: nothing that a client may read names it until later."""
        desk = self.service.exchange.desk
        done = await self._done()
        order_id = next(reversed(desk.records))
        desk.hide(order_id)
        delay_ms = max(self.strike.within("delay_ms"), 1)
        self.service.exchange.call_in(delay_ms, lambda _: desk.reveal(order_id))
        self.service.clock.scheduled()
        return done

    def _hold_s(self) -> float:
        """Return the wait in wall time: virtual milliseconds at the pace of the clock."""
        return self.strike.within("delay_ms") / 1000 / self.service.speed

    async def _in_the_book(self) -> Answer:
        """Let the order itself meet something: the answer says less than what happens."""
        service, kind, parts = self.service, self.strike.fault.kind, self.call[2]
        exchange, now = service.exchange, service.exchange.now_ms
        if kind == "being_processed":
            exchange.desk.force(parts[1], now)
            service.changed()
            raise bad_order(BEING_PROCESSED)
        if kind == "modify_ignored":
            if parts[1] not in exchange.desk.records:
                raise bad_order("Couldn't find that `order_id`.")
            return envelope({"order_id": parts[1]})
        done = await self._done()
        if kind == "cancel_lost":
            exchange.call_in(RACE_MS, lambda at: exchange.desk.force(parts[1], at))
            service.clock.scheduled()
            return done
        order_id = next(reversed(exchange.desk.records))
        if kind == "stop_void":
            exchange.desk.void(order_id)
        else:
            words = self.strike.fault.own("words")
            exchange.desk.doom(order_id, WORDS.get(words, words))
        service.changed()
        return done


def _refused(fault: Fault) -> RequestRefused:
    """Return the broker's no."""
    match fault.kind:
        case "storm_429":
            return too_many_requests()
        case "writes_refused":
            return no_permission(fault.own("words"))
        case "token_dead":
            return bad_token()
        case _:
            return bad_input(STOP_THROUGH)


def _gateway(status: int) -> RequestRefused:
    words, kind = GATEWAY[status]
    return RequestRefused(words, kind, status)
