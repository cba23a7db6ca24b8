"""The broker's rows and packets to values of the core. The one place where their shapes are known.

Money: floats of the wire become integer ticks or paise here, once. Time: REST and order updates
speak India's clock without a zone, the ticker's client makes naive times of the HOST's zone; both
become epoch milliseconds here, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from agent.core.values import Band, HeldRow, OrderRow, Quote
from agent.market.instruments import Instrument
from agent.market.sessions import IST, epoch_ms

DEPTH = 5
RISK_DESK = frozenset({"RMS", "ADMIN"})  # who places the broker's own square-offs
NEAR_PAISE = 1e-6  # what is left of a binary division


def order_row(row: Mapping[str, Any], instruments: Mapping[str, Instrument]) -> OrderRow:
    """Return a row of the order book, or an order update, as a value.

    Raises
    ------
    KeyError, ValueError
        If it is not one.
    """
    key = f"{row['exchange']}:{row['tradingsymbol']}"
    instrument = instruments.get(key)
    filled = int(row.get("filled_quantity") or 0)
    average = Decimal(str(row.get("average_price") or 0))
    when = row.get("exchange_update_timestamp") or row.get("exchange_timestamp")
    when = when or row.get("order_timestamp")
    return OrderRow(
        order_id=str(row["order_id"]),
        tag=row.get("tag") or next(iter(row.get("tags") or ()), None),
        key=key,
        product=str(row["product"]),
        transaction="BUY" if row["transaction_type"] == "BUY" else "SELL",
        order_type=str(row["order_type"]),
        status=str(row["status"]),
        quantity=int(row["quantity"]),
        filled=filled,
        # every trade is on the grid, so the value is whole paise; the average is a rounded float
        value_paise=int((average * 100 * filled).to_integral_value()),
        price_ticks=_ticks(instrument, row.get("price")),
        trigger_ticks=_ticks(instrument, row.get("trigger_price")),
        message=str(row.get("status_message") or ""),
        filled_ms=0 if not when else _india_ms(when),
        placed_by_broker=str(row.get("placed_by") or "") in RISK_DESK,
    )


def held_row(row: Mapping[str, Any]) -> HeldRow:
    """Return a net position as a value.

    Raises
    ------
    KeyError, ValueError
        If it is not one.
    """
    return HeldRow(
        key=f"{row['exchange']}:{row['tradingsymbol']}",
        product=str(row["product"]),
        quantity=int(row["quantity"]),
        average_paise=round(float(row.get("average_price") or 0) * 100),
        overnight=int(row.get("overnight_quantity") or 0),
    )


def quote_of(row: Mapping[str, Any], instrument: Instrument) -> Quote:
    """Return a REST quote as the packet it stands for."""
    traded, at = row.get("last_trade_time"), row.get("timestamp")
    return Quote(
        last=_ticks(instrument, row["last_price"]),
        volume=int(row.get("volume") or 0),
        bids=_levels(instrument, row["depth"]["buy"]),
        asks=_levels(instrument, row["depth"]["sell"]),
        traded_ms=_india_ms(traded) if traded else 0,
        exchange_ms=_india_ms(at) if at else 0,
        close=_ticks(instrument, row["ohlc"]["close"]),
    )


def band_of(row: Mapping[str, Any], instrument: Instrument) -> Band:
    """Return the day's circuit limits of a REST quote."""
    return Band(
        _ticks(instrument, row["lower_circuit_limit"]),
        _ticks(instrument, row["upper_circuit_limit"]),
    )


def tick_quote(tick: Mapping[str, Any], instrument: Instrument) -> Quote:
    """Return a full packet as the ticker's client gives it.

    Raises
    ------
    SettingRefused
        If the last price is off the grid.
    ValueError
        If it is not positive.
    """
    price = tick["last_price"]
    if not price > 0:
        raise ValueError(f"last price {price}")
    depth = tick.get("depth") or {"buy": (), "sell": ()}
    traded, at = tick.get("last_trade_time"), tick.get("exchange_timestamp")
    return Quote(
        last=instrument.ticks(price),
        volume=int(tick.get("volume_traded") or 0),
        bids=_levels(instrument, depth["buy"]),
        asks=_levels(instrument, depth["sell"]),
        traded_ms=0 if traded is None else _host_ms(traded),
        exchange_ms=0 if at is None else _host_ms(at),
        close=_ticks(instrument, tick.get("ohlc", {}).get("close")),
    )


def instrument_of(row: Mapping[str, Any]) -> Instrument:
    """Return a row of the instruments dump as an instrument; its freeze quantity, if it has one.

    Raises
    ------
    SettingRefused
        If its tick or lot cannot be used.
    """
    return Instrument(
        key=f"{row['exchange']}:{row['tradingsymbol']}",
        token=int(row["instrument_token"]),
        tick_size=Decimal(repr(float(row["tick_size"]))).quantize(Decimal("0.01")),
        lot_size=int(row["lot_size"]) or 1,
        segment=str(row["segment"]),
        instrument_type=str(row["instrument_type"]),
        freeze_quantity=int(float(row.get("freeze_quantity") or 0)) or None,
        name=str(row.get("name") or ""),
    )


def _ticks(instrument: Instrument | None, price: Any) -> int:
    if instrument is None or not price:
        return 0
    paise = float(price) * 100
    whole = round(paise)
    ticks, off = divmod(whole, instrument.tick_paise)
    if off == 0 and abs(paise - whole) <= NEAR_PAISE:  # nearly every price: no rational arithmetic
        return ticks
    return instrument.round_ticks(float(price), "nearest")


def _levels(instrument: Instrument, rows: Any) -> tuple[tuple[int, int], ...]:
    return tuple(
        (_ticks(instrument, row["price"]), int(row["quantity"]))
        for row in tuple(rows)[:DEPTH]
        if row["price"] > 0 and row["quantity"] > 0
    )


def _host_ms(naive: datetime) -> int:
    return round(naive.timestamp() * 1000)


def _india_ms(when: Any) -> int:
    naive = datetime.fromisoformat(when) if isinstance(when, str) else when
    return epoch_ms(naive.replace(tzinfo=IST) if naive.tzinfo is None else naive)
