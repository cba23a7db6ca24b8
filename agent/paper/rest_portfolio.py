"""Positions and holdings over REST: listed, converted, authorised."""

from __future__ import annotations

import hashlib
from typing import Any, Final
from urllib.parse import parse_qsl

from agent.paper.auctions import auction_of
from agent.paper.books import position_row
from agent.paper.conversion import convert
from agent.paper.records import in_rupees
from agent.paper.refusals import bad_input
from agent.paper.service import Request, Route, Service

Parts = tuple[str, ...]


def positions(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """GET /portfolio/positions."""
    del request, parts
    exchange = service.exchange
    net, day = [], []
    for position in exchange.books.positions.values():
        board = exchange.boards.get(position.key)
        last = board.last if board else 0
        row = position_row(position, last, board.previous_close if board else 0)
        net.append(row)
        if position.bought or position.sold:
            day.append(row)
    return {"net": net, "day": day}


def convert_position(service: Service, request: Request, parts: Parts) -> bool:
    """PUT /portfolio/positions."""
    del parts
    convert(service.exchange.desk, request.params, service.exchange.now_ms)
    service.changed()
    return True


def holdings(service: Service, request: Request, parts: Parts) -> list[dict[str, Any]]:
    """GET /portfolio/holdings: what was bought as CNC on earlier days."""
    del request, parts
    rows = []
    for key, holding in service.exchange.books.holdings.items():
        board = service.exchange.boards.get(key)
        last, close = (board.last, board.previous_close) if board else (0, 0)
        position = service.exchange.books.positions.get((key, "CNC"))
        authorised = holding.authorised_on == service.exchange.on.isoformat()
        average = round(holding.cost / holding.quantity / 100, 4)
        rows.append(
            {
                "tradingsymbol": key.partition(":")[2],
                "exchange": key.partition(":")[0],
                "instrument_token": holding.token,
                "isin": isin_of(key),
                "product": "CNC",
                "price": 0,
                "quantity": holding.quantity - holding.t1,
                "used_quantity": max(-position.net, 0) if position else 0,
                "t1_quantity": holding.t1,
                "realised_quantity": holding.quantity - holding.t1,
                "authorised_quantity": holding.quantity if authorised else 0,
                "authorised_date": f"{holding.authorised_on or service.exchange.on} 00:00:00",
                "authorisation": {},
                "opening_quantity": holding.quantity - holding.t1,
                "short_quantity": 0,
                "collateral_quantity": 0,
                "collateral_type": "",
                "discrepancy": False,
                "average_price": average,
                "last_price": in_rupees(last),
                "close_price": in_rupees(close),
                "pnl": in_rupees(holding.quantity * last - holding.cost),
                "day_change": in_rupees(last - close),
                "day_change_percentage": round((last - close) / close * 100, 4) if close else 0,
                "mtf": {
                    "quantity": 0,
                    "used_quantity": 0,
                    "average_price": 0,
                    "value": 0,
                    "initial_margin": 0,
                },
            }
        )
    return rows


def authorise(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """POST /portfolio/holdings/authorise: nobody has to type a TPIN, so it is done at once."""
    del parts
    held = service.exchange.books.holdings
    fields = parse_qsl(request.body.decode("utf-8", "replace"))
    isins = [value for name, value in fields if name == "isin"]
    counts = [value for name, value in fields if name == "quantity"]
    by_isin = {isin_of(key): key for key in held}
    wanted = {by_isin.get(isin, "") for isin in isins} if isins else set(held)
    if "" in wanted or (counts and len(counts) != len(isins)):
        raise bad_input("Invalid `isin` or `quantity`.")
    for key in wanted:
        held[key].authorised_on = service.exchange.on.isoformat()
    service.store.save_holdings(service.exchange.books)
    told = f"{service.exchange.now_ms}{sorted(wanted)}"
    return {"request_id": hashlib.sha256(told.encode()).hexdigest()[:32]}


def auctions(service: Service, request: Request, parts: Parts) -> list[dict[str, Any]]:
    """GET /portfolio/holdings/auctions: the holdings that somebody must have today."""
    boards = service.exchange.boards
    rows = []
    for row in holdings(service, request, parts):
        board = boards.get(f"{row['exchange']}:{row['tradingsymbol']}")
        auction = auction_of(board) if board else None
        if auction is not None:
            rows.append(row | {"auction_number": auction.number})
    return rows


ROUTES: Final = (
    Route("GET", "/portfolio/positions", positions),
    Route("PUT", "/portfolio/positions", convert_position),
    Route("GET", "/portfolio/holdings", holdings),
    Route("POST", "/portfolio/holdings/authorise", authorise),
    Route("GET", "/portfolio/holdings/auctions", auctions),
)


def isin_of(key: str) -> str:
    """Return an ISIN in form only: no market here knows the real ones."""
    digest = hashlib.sha256(key.encode()).hexdigest().upper()
    return f"INE{digest[:6]}01{digest[6:7]}"
