"""The journal's trades as the money's rooms take them: deals, and the last price of what is held.

Reads only, so an agent may run on the home, may have ended, or may have been killed.
"""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final

from agent.core.codec import from_plain
from agent.core.trade import Trade
from agent.errors import Broken, EnvironmentRefused
from agent.market.sessions import IST, epoch_ms
from agent.orders.leg import Leg
from agent.portfolio.results import Price
from agent.portfolio.roundtrips import Deal, Order
from agent.shell.history import read_rows

FAR_MS: Final = 2**62
EVENTS_SEEN_MAX: Final = 200_000  # the newest so many are looked through for a last price


def read_deals(home: Path, *, since: date | None = None, until: date | None = None) -> list[Deal]:
    """Return the trades that filled something, oldest first.

    Parameters
    ----------
    since : date, optional
        Trades closed before this day (in India) are left out.
    until : date, optional
        Trades entered after this day are left out.

    Raises
    ------
    EnvironmentRefused
        If there is no journal, or one of its trades cannot be read.
    """
    rows = read_rows(
        home,
        "select number, doc from trades where shares > 0 and (closed_ms = 0 or closed_ms >= ?) "
        "and opened_ms < ? order by number",
        (
            _midnight(since) if since else 0,
            _midnight(until + timedelta(days=1)) if until else 2**62,
        ),
    )
    found = []
    for row in rows:
        try:
            found.append(deal_of(from_plain(json.loads(row["doc"]))))
        except (ValueError, KeyError, TypeError, Broken) as fault:
            raise EnvironmentRefused(
                f"trade {row['number']} of {home / 'agent' / 'journal.db'}",
                given=f"{type(fault).__name__}: {fault}",
                allowed="a trade as this version writes it",
                fix="read it with the version that wrote it",
            ) from fault
    return found


def deal_of(trade: Trade) -> Deal:
    """Return a trade of the core as a deal."""
    entries, exits = [], [_order(leg, trade) for leg in trade.exits if leg.filled]
    if trade.adopted_shares > 0:
        entries.append(
            Order(trade.adopted_shares, trade.adopted_paise, trade.opened_ms, ours=False)
        )
    if trade.entry is not None and trade.entry.filled:
        entries.append(_order(trade.entry, trade))
    if trade.external_shares > 0:
        seen = trade.closed_ms or max([o.at_ms for o in exits], default=trade.opened_ms)
        exits.append(Order(trade.external_shares, trade.external_paise, seen, ours=False))
    return Deal(
        trade.number,
        trade.key,
        trade.product,
        trade.instrument.segment,
        trade.side,
        tuple(entries),
        tuple(sorted(exits, key=lambda order: order.at_ms)),
        "" if trade.reason is None else trade.reason.value,
        trade.pin.agent,
        trade.pin.model,
        trade.pin.version,
        trade.pin.variant,
    )


def last_prices(home: Path, deals: list[Deal]) -> dict[str, Price]:
    """Return the last price that the journal knows of each deal's instrument, if any.

    The newest packet among the events, or the last price at which a level was looked at.
    """
    found: dict[str, Price] = {}
    for deal in deals:
        rows = read_rows(
            home,
            "select p.at_ms, p.price * t.tick_paise as paise from path p join trades t "
            "on t.number = p.trade where p.trade = ? order by p.at_ms desc limit 1",
            (deal.number,),
        ) + read_rows(
            home,
            "select at_ms, json_extract(body, '$.quote.last') * "
            "(select tick_paise from trades where number = ?) as paise from events "
            "where kind = 'TickSeen' and json_extract(body, '$.key') = ? "
            "and seq > (select coalesce(max(seq), 0) from events) - ? order by seq desc limit 1",
            (deal.number, deal.key, EVENTS_SEEN_MAX),
        )
        if rows:
            newest = max(rows, key=lambda row: row["at_ms"])
            found[deal.key] = Price(newest["paise"], newest["at_ms"])
    return found


def _order(leg: Leg, trade: Trade) -> Order:
    """Return what an order filled. Orders live one day, so the day of its sending is its day."""
    entry = leg is trade.entry
    at = (trade.filled_ms if entry else leg.final_ms or leg.triggered_ms) or leg.sent_ms
    return Order(leg.filled, leg.value_paise, at)


def _midnight(on: date) -> int:
    return epoch_ms(datetime.combine(on, time(), tzinfo=IST))
