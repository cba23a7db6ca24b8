"""Session, profile, funds, instruments, quotes and historical candles over REST."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import Any, Final

from agent.market.candles import INTERVALS_MS
from agent.market.sessions import IST, epoch_ms, from_epoch_ms
from agent.paper.access import API_KEY
from agent.paper.board import Board
from agent.paper.records import USER_ID, in_rupees, stamp
from agent.paper.refusals import bad_input, bad_token
from agent.paper.service import Answer, Request, Route, Service
from agent.paper.tickets import ORDER_TYPES, PRODUCTS

Parts = tuple[str, ...]
EXCHANGES: Final = ("NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX")  # the client's constants
QUOTES_MAX: Final = 500
PRICES_MAX: Final = 1_000
# interval: days that one request may span
SPANS_MAX: Final = {
    "minute": 60, "3minute": 100, "5minute": 100, "10minute": 100, "15minute": 200,
    "30minute": 200, "60minute": 400, "day": 2_000,
}  # fmt: skip
DUMP_COLUMNS: Final = (
    "instrument_token", "exchange_token", "tradingsymbol", "name", "last_price", "expiry",
    "strike", "tick_size", "lot_size", "instrument_type", "segment", "exchange",
)  # fmt: skip


def login(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """POST /session/token."""
    del parts
    params = request.params
    now = service.exchange.now_ms
    token = service.access.login(
        params.get("api_key", ""),
        params.get("request_token", ""),
        params.get("checksum", ""),
        now,
    )
    service.store.keep("tokens", service.access.tokens)
    return _user() | {
        "api_key": API_KEY,
        "access_token": token,
        "public_token": token[::-1],
        "enctoken": "",
        "refresh_token": "",
        "silo": "",
        "login_time": stamp(now),
        "avatar_url": "",
    }


def logout(service: Service, request: Request, parts: Parts) -> bool:
    """DELETE /session/token."""
    del parts
    service.access.logout(request.params.get("access_token", ""))
    service.store.keep("tokens", service.access.tokens)
    return True


def renew(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """POST /session/refresh_token: individuals get no refresh token, so none is right."""
    del service, request, parts
    raise bad_token()


def profile(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """GET /user/profile."""
    del service, request, parts
    return _user()


def margins(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """GET /user/margins."""
    del request, parts
    return {"equity": _equity(service), "commodity": _commodity()}


def segment_margins(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """GET /user/margins/{segment}."""
    del request
    if parts[0] == "equity":
        return _equity(service)
    if parts[0] == "commodity":
        return _commodity()
    raise bad_input("Invalid `segment`: equity or commodity.")


def instruments(service: Service, request: Request, parts: Parts) -> Answer:
    """GET /instruments and /instruments/{exchange}: the dump as CSV."""
    del request
    if parts and parts[0] not in EXCHANGES:
        raise bad_input(f"Invalid `exchange`: {parts[0]}. Allowed: {', '.join(EXCHANGES)}.")
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(DUMP_COLUMNS)
    for board in service.exchange.boards.values():
        one = board.instrument
        if parts and one.exchange != parts[0]:
            continue
        rows.writerow(
            (
                one.token, one.token // 256, one.tradingsymbol, one.name,
                in_rupees(board.previous_close), "", 0, one.tick_size, one.lot_size,
                one.instrument_type, one.segment, one.exchange,
            )
        )  # fmt: skip
    return Answer(text.getvalue().encode(), content_type="text/csv")


def quote(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """GET /quote."""
    del parts
    now = service.exchange.now_ms
    return {key: _quote(board, now) for key, board in _asked(service, request, QUOTES_MAX).items()}


def ohlc(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """GET /quote/ohlc."""
    del parts
    return {
        key: _price(board) | {"ohlc": _ohlc(board)}
        for key, board in _asked(service, request, PRICES_MAX).items()
    }


def ltp(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """GET /quote/ltp."""
    del parts
    return {key: _price(b) for key, b in _asked(service, request, PRICES_MAX).items()}


def trigger_range(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """GET /instruments/trigger_range/{buy,sell}: where the stop of a cover order may stand."""
    if parts[0] not in {"buy", "sell"}:
        raise bad_input("Invalid `transaction_type`: buy or sell.")
    ranges = {}
    for key, board in _asked(service, request, PRICES_MAX).items():
        tick = board.instrument.tick_paise
        lower, upper = board.band[0] * tick, board.band[1] * tick
        below = (lower, board.last) if parts[0] == "buy" else (board.last, upper)
        ranges[key] = {
            "instrument_token": board.instrument.token,
            "lower": in_rupees(below[0]),
            "upper": in_rupees(below[1]),
        }
    return ranges


def historical(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """GET /instruments/historical/{token}/{interval}."""
    token, interval = parts
    if interval not in INTERVALS_MS:
        raise bad_input(f"Invalid `interval`: {interval}. {', '.join(INTERVALS_MS)}.")
    board = service.exchange.by_token.get(int(token) if token.isdecimal() else -1)
    if board is None:
        raise bad_input("invalid token")
    since, until = _instant(request, "from"), _instant(request, "to")
    if since > until:
        raise bad_input("`from` date cannot be after the `to` date")
    if request.params.get("continuous") == "1":  # of futures' day candles alone
        raise bad_input("invalid token: no continuous candles of this instrument")
    days = SPANS_MAX[interval]
    if until - since > days * 86_400_000:
        raise bad_input(f"interval exceeds max limit: {days} days")
    found = service.exchange.candles(board.instrument.key, interval, (since, until))
    interest = [0] if request.params.get("oi") == "1" else []
    return {
        "candles": [
            [
                from_epoch_ms(c.start_ms).strftime("%Y-%m-%dT%H:%M:%S%z"),
                *map(in_rupees, (c.open, c.high, c.low, c.close)),
                c.volume,
                *interest,
            ]
            for c in found
        ]
    }


ROUTES: Final = (
    Route("POST", "/session/token", login, open=True),
    Route("DELETE", "/session/token", logout, open=True),
    Route("POST", "/session/refresh_token", renew, open=True),
    Route("GET", "/user/profile", profile),
    Route("GET", "/user/margins", margins),
    Route("GET", "/user/margins/{}", segment_margins),
    Route("GET", "/instruments", instruments, open=True),
    Route("GET", "/instruments/{}", instruments, open=True),
    Route("GET", "/instruments/trigger_range/{}", trigger_range),
    Route("GET", "/instruments/historical/{}/{}", historical, limit="historical"),
    Route("GET", "/quote", quote, limit="quote"),
    Route("GET", "/quote/ohlc", ohlc, limit="quote"),
    Route("GET", "/quote/ltp", ltp, limit="quote"),
)


def _user() -> dict[str, Any]:
    return {
        "user_id": USER_ID,
        "user_type": "individual",
        "email": "paper@example.invalid",
        "user_name": "Paper Trader",
        "user_shortname": "Paper",
        "broker": "PAPER",
        "exchanges": ["NSE"],
        "products": list(PRODUCTS),
        "order_types": list(ORDER_TYPES),
        "avatar_url": None,
        "meta": {"demat_consent": "consent"},
    }


def _equity(service: Service) -> dict[str, Any]:
    books = service.exchange.books
    blocked = books.blocked(service.exchange.desk.pending())
    funds = books.funds()
    unrealised = 0
    for position in books.positions.values():
        board = service.exchange.boards.get(position.key)
        if board is not None:
            sign = 1 if position.net > 0 else -1
            unrealised += position.net * board.last - sign * position.cost
    document = _segment()
    document["net"] = in_rupees(funds - blocked)
    document["available"] |= {
        "cash": in_rupees(books.opening),
        "opening_balance": in_rupees(books.opening),
        "live_balance": in_rupees(funds - blocked),
    }
    document["utilised"] |= {
        "debits": in_rupees(blocked),
        "m2m_realised": in_rupees(books.realised),
        "m2m_unrealised": in_rupees(unrealised),
    }
    return document


def _commodity() -> dict[str, Any]:
    return _segment() | {"enabled": False}


def _segment() -> dict[str, Any]:
    available = (
        "adhoc_margin", "cash", "opening_balance", "live_balance", "collateral", "intraday_payin",
    )  # fmt: skip
    utilised = (
        "debits", "exposure", "m2m_realised", "m2m_unrealised", "option_premium", "payout",
        "span", "holding_sales", "turnover", "liquid_collateral", "stock_collateral", "delivery",
    )  # fmt: skip
    return {
        "enabled": True,
        "net": 0,
        "available": dict.fromkeys(available, 0),
        "utilised": dict.fromkeys(utilised, 0),
    }


def _asked(service: Service, request: Request, most: int) -> dict[str, Board]:
    """Return the boards asked for; what is not known is left out, as the broker does."""
    keys = request.many("i")
    if not keys:
        raise bad_input("Missing or empty field `i`")
    if len(keys) > most:
        raise bad_input(f"At most {most} instruments may be asked for.")
    boards, by_token = service.exchange.boards, service.exchange.by_token
    found: dict[str, Board] = {}
    for key in keys:
        board = boards.get(key) or (by_token.get(int(key)) if key.isdecimal() else None)
        if board is not None:
            found[key] = board
    return found


def _price(board: Board) -> dict[str, Any]:
    return {"instrument_token": board.instrument.token, "last_price": in_rupees(board.last)}


def _ohlc(board: Board) -> dict[str, Any]:
    return {
        "open": in_rupees(board.open),
        "high": in_rupees(board.high),
        "low": in_rupees(board.low),
        "close": in_rupees(board.previous_close),
    }


def _quote(board: Board, now_ms: int) -> dict[str, Any]:
    tick = board.seen(now_ms)
    price = _price(board)
    if board.is_index:
        change = in_rupees(tick.last - tick.close)
        return price | {"timestamp": stamp(now_ms), "net_change": change, "ohlc": _ohlc(board)}
    paise = board.instrument.tick_paise
    return price | {
        "timestamp": stamp(now_ms),
        "last_trade_time": stamp(board.last_trade_ms) if board.last_trade_ms else None,
        "last_quantity": tick.last_quantity,
        "buy_quantity": tick.buy_quantity,
        "sell_quantity": tick.sell_quantity,
        "volume": tick.volume,
        "average_price": in_rupees(tick.average),
        "oi": 0,
        "oi_day_high": 0,
        "oi_day_low": 0,
        "net_change": in_rupees(tick.last - tick.close),
        "lower_circuit_limit": in_rupees(board.band[0] * paise),
        "upper_circuit_limit": in_rupees(board.band[1] * paise),
        "ohlc": _ohlc(board),
        "depth": {"buy": _levels(tick.bids), "sell": _levels(tick.asks)},
    }


def _levels(side: tuple[tuple[int, int, int], ...]) -> list[dict[str, Any]]:
    shown = [
        {"price": in_rupees(paise), "quantity": shares, "orders": orders}
        for paise, shares, orders in side
    ]
    empty = {"price": 0, "quantity": 0, "orders": 0}
    return shown + [empty] * (5 - len(shown))


def _instant(request: Request, name: str) -> int:
    text = request.params.get(name, "")
    for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d"):
        try:
            return epoch_ms(datetime.strptime(text, form).replace(tzinfo=IST))
        except ValueError:
            continue
    raise bad_input(f"Invalid `{name}` date: yyyy-mm-dd hh:mm:ss")
