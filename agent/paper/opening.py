"""From settings to a running exchange: market, store, resume after a restart, server.

Order: the port is taken first (it is the cheapest thing to be wrong), then the market is drawn,
then the store says whether a run is to be gone on with, then serving begins.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from agent.console import tell
from agent.market.sessions import AUCTION_SINCE, NSE, from_epoch_ms
from agent.paper import (
    rest_admin,
    rest_faults,
    rest_funds,
    rest_gtt,
    rest_login,
    rest_margins,
    rest_market,
    rest_orders,
    rest_portfolio,
)
from agent.paper.access import Access
from agent.paper.answers import Route
from agent.paper.clock import LockStep, Paced, Wall, epoch_now, monotonic
from agent.paper.edge import operations_of
from agent.paper.exchange import BEFORE_OPEN_MS, Exchange
from agent.paper.faults import Faults
from agent.paper.hub import Hub
from agent.paper.laid import DAYS_AHEAD, DAYS_MAX, Laid, anchor_for
from agent.paper.limits import Limits
from agent.paper.listings import read_dump
from agent.paper.market import Market
from agent.paper.scenario import Scenario
from agent.paper.server import Served, listen, serve
from agent.paper.service import Service
from agent.paper.source import read_candles
from agent.paper.store import Store, kept_in
from agent.paper.synthetic import draw_market

ROUTES: Final[tuple[Route, ...]] = (
    rest_orders.ROUTES
    + rest_portfolio.ROUTES
    + rest_margins.ROUTES
    + rest_funds.ROUTES
    + rest_gtt.ROUTES
    + rest_login.ROUTES
    + rest_market.ROUTES
    + rest_admin.ROUTES
    + rest_faults.ROUTES
)
OPERATIONS: Final = operations_of(ROUTES)


@dataclass(frozen=True, slots=True)
class Opening:
    """What an exchange is opened with.

    Parameters
    ----------
    home : Path
        Must exist.
    candles : str, optional
        File, folder or glob; the synthetic market without it.
    today : date
        The wall's day: the synthetic market begins on the next trading day after it.
    speed : float
        Virtual seconds a second of the wall; not used in lock-step nor with `wall_clock`.
    speed_max : float, optional
        The bound of a lock-step.
    latest : bool
        Without `first`: the last half of the days is replayed, at most 250.
    wall_clock : bool
        The market's days are laid on real ones, and time is the time of day.
    scenario : Scenario, optional
        Its market instead of candles or the synthetic one, and its faults.
    read_limits : bool, optional
        Whether reads past their budgets are refused; by default if the clock runs freely.
    epoch : callable
        The time of day, epoch ms.
    cash_paise : int
    redirect_url : str
        Where the login page sends a browser with its request token; empty: it shows the token.
    """

    home: Path
    today: date
    candles: str | None = None
    instruments: Path | None = None
    seed: int = 1
    ticks_per_day: int = 1_500
    first: date | None = None
    last: date | None = None
    cash_paise: int = 100_000_000
    host: str = "127.0.0.1"
    port: int = 13030
    speed: float = 1.0
    lockstep: bool = False
    strict_login: bool = False
    redirect_url: str = ""
    ready: Path | None = None
    db: Path | None = None
    fresh: bool = False
    speed_max: float | None = None
    latest: bool = False
    wall_clock: bool = False
    scenario: Scenario | None = None
    read_limits: bool | None = None
    epoch: Callable[[], int] = epoch_now


def run(opening: Opening) -> None:
    """Serve an exchange until it is told to stop.

    Raises
    ------
    SettingRefused, EnvironmentRefused
        Before anything is served: port, candles, days, store.
    """
    taken = listen(opening.host, opening.port)
    served = Served(opening.host, taken.getsockname()[1])
    market = open_market(opening)
    path = opening.db or opening.home / "paper" / f"exchange-{opening.port}.db"
    store = open_store(opening, market, path)
    try:
        asyncio.run(_run(opening, market, store, served, taken))
    finally:
        store.close()
        taken.close()


def open_market(opening: Opening) -> Market:
    """Read or draw the market."""
    if opening.scenario is not None:
        return _scene(opening, opening.scenario)
    dump = read_dump(opening.instruments) if opening.instruments else None
    first = opening.first
    if opening.candles is not None:
        source = read_candles(opening.candles)
    elif opening.wall_clock:  # the same days whenever it is started
        source, first = draw_market(opening.seed, first=AUCTION_SINCE), AUCTION_SINCE
    else:
        following = NSE.next_session(opening.today)
        begins = opening.first or (following.on if following else opening.today)
        source, first = draw_market(opening.seed, first=begins), begins
    market = Market(
        source,
        seed=opening.seed,
        ticks_per_day=opening.ticks_per_day,
        first=first,
        last=opening.last,
        dump=dump,
    )
    if (opening.wall_clock or opening.latest) and first is None:
        market.days = _latest(market.days)
    return market


def _scene(opening: Opening, scenario: Scenario) -> Market:
    market = Market(
        scenario.candle_set(opening.seed),
        seed=opening.seed,
        ticks_per_day=opening.ticks_per_day,
        first=scenario.days[0] if scenario.days else None,
        last=scenario.days[-1] if scenario.days else None,
    )
    scenario.shape_market(market)
    return market


def _latest(days: tuple[date, ...]) -> tuple[date, ...]:
    """Return the second half of the days, at most `DAYS_MAX`: the others fill models' windows."""
    return days[max(len(days) // 2, len(days) - DAYS_MAX) :]


def open_store(opening: Opening, market: Market, path: Path) -> Store:
    """Open the file; a run by the wall's clock goes on with its days though more were stored since.

    Raises
    ------
    EnvironmentRefused
        If the file cannot be had.
    """
    if opening.wall_clock and (kept := kept_in(path, "played")):
        latest = market.days
        span = [date.fromisoformat(day) for day in kept]
        market.days = tuple(day for day in market.candle_days() if span[0] <= day <= span[1])
        if not market.days or kept_in(path, "identity") != identity(opening, market):
            market.days = latest
    store = Store(path, identity(opening, market), fresh=opening.fresh)
    if opening.wall_clock:
        store.keep("played", [market.days[n].isoformat() for n in (0, -1)])
    return store


def lay(opening: Opening, market: Market, store: Store) -> Laid:
    """Lay a market on real days: from the day on which the run in the store began."""
    now_ms = opening.epoch()
    kept = store.value("anchor")
    anchor = date.fromisoformat(kept) if kept else anchor_for(now_ms, BEFORE_OPEN_MS)
    store.keep("anchor", anchor.isoformat())
    until = from_epoch_ms(now_ms).date() + timedelta(days=DAYS_AHEAD)
    return Laid(market, anchor, until)


def identity(opening: Opening, market: Market) -> str:
    """Return what makes two runs the same market: a stored run of another one is not resumed."""
    facts = (
        opening.candles and str(Path(opening.candles).absolute()),
        market.seed,
        market.ticks_per_day,
        market.keys,
        market.days,
        market.fingerprint(market.days[-1]) if opening.wall_clock else market.fingerprint(),
        opening.cash_paise,
        opening.lockstep,
        *(("wall clock",) if opening.wall_clock else ()),
        *((opening.scenario.text,) if opening.scenario else ()),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def open_exchange(
    market: Market | Laid, store: Store, *, cash_paise: int, now_ms: int | None = None
) -> tuple[Exchange, bool]:
    """Return an exchange at its beginning or where its file stood, and whether it was resumed.

    Its beginning is the first day's open, or `now_ms`, an instant since twenty minutes before it.
    """
    exchange = Exchange(market, cash=cash_paise)
    stood = store.instant()
    if stood is None:
        if now_ms is None:
            exchange.start()
        else:
            exchange.resume(0, now_ms)
        return exchange, False
    day, now_ms = stood
    exchange.resume(day, now_ms)
    store.restore_books(exchange.books)
    for event in store.events():
        exchange.audit.apply(event)
    on = market.days[day].isoformat()
    exchange.desk.gtts.restore(store.gtts())
    exchange.desk.restore(store.records(on), store.trades(on), now_ms)
    return exchange, True


def assemble(opening: Opening, exchange: Exchange, store: Store) -> Service:
    """Put the rooms around an exchange together."""
    access = Access(strict=opening.strict_login)
    access.tokens.update(store.value("tokens") or {})
    hub = Hub(exchange, tells_clock=opening.lockstep)
    limited = opening.read_limits
    limits = Limits(reads=not opening.lockstep if limited is None else limited)
    if spent := store.value("spent"):
        limits.day_spent = (int(spent[0]), int(spent[1]))
    service = Service(
        exchange,
        access,
        limits,
        hub,
        store,
        ROUTES,
        _admin_token(opening),
        _faults(opening, store),
        opening.redirect_url,
        1.0 if opening.lockstep else opening.speed,
    )
    if opening.wall_clock:
        service.clock = Wall(exchange, service.publish, opening.epoch)
    elif opening.lockstep:
        service.clock = LockStep(
            exchange, service.publish, monotonic, hub.release, opening.speed_max
        )
    else:
        service.clock = Paced(exchange, service.publish, opening.speed, monotonic)
    return service


async def _run(
    opening: Opening, market: Market, store: Store, served: Served, taken: socket.socket
) -> None:
    exchange, resumed = _open(opening, market, store)
    service = assemble(opening, exchange, store)
    service.changed()
    _tell_how(opening, service, served, resumed=resumed)
    await serve(service, taken, served, opening.ready)


def _open(opening: Opening, market: Market, store: Store) -> tuple[Exchange, bool]:
    if not opening.wall_clock:
        return open_exchange(market, store, cash_paise=opening.cash_paise)
    laid, now_ms = lay(opening, market, store), opening.epoch()
    return open_exchange(laid, store, cash_paise=opening.cash_paise, now_ms=now_ms)


def _faults(opening: Opening, store: Store) -> Faults:
    """Return what was armed before a restart, else the scenario's."""
    kept = store.value("faults")
    if kept:
        return Faults.restored(kept)
    faults = Faults(opening.seed)
    for fault in opening.scenario.faults if opening.scenario else ():
        faults.arm(fault)
    return faults


def _admin_token(opening: Opening) -> str | None:
    """Return the token that /_paper/ needs where others than this machine can call, else None."""
    try:
        local = ipaddress.ip_address(opening.host).is_loopback
    except ValueError:
        local = opening.host == "localhost"
    if local:
        return None
    path = opening.home / "paper" / "admin-token"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(16), encoding="utf-8")
    tell(f"paper exchange: /_paper/ needs the admin token in {path}")
    return path.read_text(encoding="utf-8").strip()


def _tell_how(opening: Opening, service: Service, served: Served, *, resumed: bool) -> None:
    exchange = service.exchange
    market = "synthetic prices under real names" if opening.candles is None else opening.candles
    if opening.scenario is not None:
        market = f"scenario {opening.scenario.name}"
        tell(f"paper exchange: it teaches: {opening.scenario.teaches}")
        tell(f"paper exchange: a safe client: {opening.scenario.safe}")
    pace = "in lock-step" if opening.lockstep else f"at {opening.speed:g} times the wall clock"
    if opening.wall_clock:
        pace = "by the clock on the wall"
    days = exchange.market.days
    tell(f"paper exchange: {market}; {len(exchange.boards)} instruments, {days[0]} to {days[-1]}")
    begins = "goes on where it stood, at" if resumed else "begins at"
    tell(f"paper exchange: {begins} {from_epoch_ms(exchange.now_ms):%Y-%m-%d %H:%M:%S}, {pace}")
    if resumed:
        tell(f"paper exchange: --fresh starts over; the run is kept in {service.store.path}")
    tell("paper exchange: prices move inside candles by simulation; they prove nothing")
    tell(f'  KiteConnect("paper", access_token="paper", root="{served.rest}")')
    tell(f'  KiteTicker("paper", "paper", root="{served.ticker}")')
