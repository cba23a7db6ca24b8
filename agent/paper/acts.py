"""What a fault does at a moment: to the market, to the account, to the ticker's connections.

An act falls due at its time of the day, some time after an event of an order, or at once when it
is armed without either. It is an instant of the exchange like any other, so a run repeats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.errors import RatchetError
from agent.market.sessions import IST, epoch_ms, from_epoch_ms
from agent.paper.faults import KINDS, Fault, of_day_ms

if TYPE_CHECKING:
    from agent.paper.service import Service

USUAL_DEPTH: Final = 100  # percent


def schedule_day(service: Service) -> None:
    """Put the day's acts on the exchange's own timer."""
    now = service.exchange.now_ms
    for number, one in list(service.faults.armed.items()):
        if one.fault.since is not None:
            _schedule(service, number, one.fault)
        elif _is_act(one.fault) and one.opened_ms is not None and one.opened_ms > now:
            due(service, number, one.opened_ms - now)  # set off before a restart


def schedule(service: Service, number: int) -> None:
    """Put an act that was just armed on the timer; one without a time happens at once."""
    fault = service.faults.armed[number].fault
    if not _is_act(fault):
        return
    if fault.since is not None:
        _schedule(service, number, fault)
    elif not fault.after:
        due(service, number, 1)


def due(service: Service, number: int, in_ms: int) -> None:
    """Let an act happen after some virtual time."""
    service.exchange.call_in(max(in_ms, 1), lambda at: carry_out(service, number, at))
    service.clock.scheduled()


def carry_out(service: Service, number: int, now_ms: int) -> None:
    """Do what an act does, unless it was disarmed meanwhile or has struck often enough."""
    one = service.faults.armed.get(number)
    if one is None or (one.fault.count and one.struck >= one.fault.count):
        return
    fault = one.fault
    service.faults.act(number)
    match fault.kind:
        case "ticker_drop" | "outage":
            service.hub.drop_all()
        case "thin_depth":
            _thin(service, fault, fault.own("percent"))
            if fault.for_ms:
                service.exchange.call_in(fault.for_ms, lambda _: _thin(service, fault, USUAL_DEPTH))
        case "square_off_early":
            for key in _keys(service, fault):
                service.exchange.desk.square_off(key, now_ms)
        case "hand_trade":
            for key in _keys(service, fault):
                _trade(service, key, fault.own("quantity"), now_ms)
        case _:
            _cancel_stops(service, _keys(service, fault), now_ms)


def _is_act(fault: Fault) -> bool:
    return KINDS[fault.kind].stage == "act" or fault.kind == "outage"


def _schedule(service: Service, number: int, fault: Fault) -> None:
    exchange = service.exchange
    if not _is_act(fault) or fault.since is None or fault.day not in (0, exchange.day + 1):
        return
    now = from_epoch_ms(exchange.now_ms)
    midnight = epoch_ms(now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=IST))
    at_ms = midnight + of_day_ms(fault.since)
    if at_ms > exchange.now_ms:
        exchange.call_at(at_ms, lambda at: carry_out(service, number, at))
        service.clock.scheduled()


def _until_ms(fault: Fault) -> int:
    """Return how long it lasts from its `since` to its `until`; 0: to the end of the day."""
    if fault.since is None or fault.until is None:
        return 0
    return of_day_ms(fault.until) - of_day_ms(fault.since)


def _keys(service: Service, fault: Fault) -> list[str]:
    """Return whom an act strikes: the symbol told, else whatever is open."""
    if fault.symbol:
        return [
            key for key in service.exchange.boards if fault.symbol in (key, key.partition(":")[2])
        ]
    return sorted({key for (key, _), one in service.exchange.books.positions.items() if one.net})


def _thin(service: Service, fault: Fault, percent: int) -> None:
    for key, board in service.exchange.boards.items():
        if not fault.symbol or fault.symbol in (key, key.partition(":")[2]):
            board.depth_percent = percent


def _trade(service: Service, key: str, quantity: int, now_ms: int) -> None:
    """Trade at the market as a person at the broker's own page would: no tag."""
    position = service.exchange.books.positions.get((key, "MIS"))
    quantity = quantity or (-position.net if position else 0)
    if not quantity:
        return
    params = {
        "exchange": key.partition(":")[0],
        "tradingsymbol": key.partition(":")[2],
        "transaction_type": "BUY" if quantity > 0 else "SELL",
        "quantity": str(abs(quantity)),
        "product": "MIS",
        "order_type": "MARKET",
        "validity": "DAY",
        "market_protection": "-1",
    }
    try:
        service.exchange.desk.place(key, params, now_ms)
    except RatchetError:
        return  # closed, or no funds: nothing happens by hand either


def _cancel_stops(service: Service, keys: list[str], now_ms: int) -> None:
    desk = service.exchange.desk
    for record in desk.pending():
        if record.key in keys and record.trigger and not record.triggered and record.live:
            try:
                desk.cancel(record.order_id, now_ms)
            except RatchetError:
                continue
