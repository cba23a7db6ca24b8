"""The broker's REST API through the official client: commands to calls, answers to values.

The only file that knows the client's exceptions. They are renamed here, with `from`, by what they
prove: `Retryable` (nothing happened there), `Unknown` (look it up before sending again), `Refused`
(the broker's own words), `TokenDead`, `WritesRefused`. A write's time-out, reset, 5xx, odd reply,
and the 400 that says "timed out" are all `Unknown`; a read changes nothing, so it is `Retryable`.
Prices cross this border as decimal text made from integer ticks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Final

from agent.core.commands import Cancel, Modify, Place, ReadHistory, ReadOrderMargins
from agent.core.events import OfficialCandle
from agent.core.values import Band, HeldRow, OrderRow, Quote
from agent.errors import Refused, Retryable, Unknown
from agent.market.instruments import Instrument
from agent.market.sessions import epoch_ms, from_epoch_ms
from agent.shell.rows import band_of, held_row, order_row, quote_of

BUSY: Final = "too many requests"
DAY_SPENT: Final = "maximum allowed order"
TIMED_OUT: Final = ("timed out", "timeout", "confirm before placing")


class TokenDead(Refused):
    """The access token is not accepted any more: a login is needed."""


class WritesRefused(Refused):
    """Orders are refused while reads work: unregistered IP, suspended app, a risk block."""


class Broker:
    """One session with the broker (or the paper exchange: there is no difference here).

    Parameters
    ----------
    api_key, access_token, root : str
    timeout_s : float
        The client's own default is 7 s.
    seen_date : callable, optional
        Told the server's `Date` of each answer, epoch ms.
    """

    def __init__(
        self,
        api_key: str,
        access_token: str,
        root: str,
        *,
        timeout_s: float = 5.0,
        seen_date: Callable[[int], None] | None = None,
    ) -> None:
        import kiteconnect

        self._kite = kiteconnect.KiteConnect(
            api_key=api_key, access_token=access_token, root=root, timeout=timeout_s
        )
        self._instruments: dict[str, Instrument] = {}
        if seen_date is not None:
            self._kite.reqsession.hooks["response"].append(_date_hook(seen_date))

    def know(self, instruments: Mapping[str, Instrument]) -> None:
        """Remember the instruments whose prices are to be read and written."""
        self._instruments = {**self._instruments, **instruments}

    def place(self, order: Place) -> str:
        """Send an order; return its id.

        Raises
        ------
        Retryable, Unknown, Refused
        """
        instrument = self._instruments[order.key]
        with renamed(write=True):
            return str(
                self._kite.place_order(
                    variety="regular",
                    exchange=instrument.exchange,
                    tradingsymbol=instrument.tradingsymbol,
                    transaction_type=order.transaction,
                    quantity=order.terms.quantity,
                    product=order.product,
                    order_type=order.terms.order_type,
                    price=_price(instrument, order.terms.price_ticks),
                    trigger_price=_price(instrument, order.terms.trigger_ticks),
                    validity="DAY",
                    tag=order.tag,
                    market_protection=order.market_protection,
                )
            )

    def modify(self, change: Modify) -> str:
        """Change an order; return its id. Taken is not applied.

        Raises
        ------
        Retryable, Unknown, Refused
        """
        instrument, terms = self._instruments[change.key], change.terms
        with renamed(write=True):
            return str(
                self._kite.modify_order(
                    variety="regular",
                    order_id=change.order_id,
                    quantity=terms.quantity if change.quantity_changes else None,
                    price=_price(instrument, terms.price_ticks),
                    order_type=terms.order_type,
                    trigger_price=_price(instrument, terms.trigger_ticks),
                    validity="DAY",
                    market_protection=change.market_protection,
                )
            )

    def cancel(self, order: Cancel) -> str:
        """Withdraw an order; return its id. Only a final row says that it is gone.

        Raises
        ------
        Retryable, Unknown, Refused
        """
        with renamed(write=True):
            return str(self._kite.cancel_order(variety="regular", order_id=order.order_id))

    def orders(self) -> tuple[OrderRow, ...]:
        """Return today's orders.

        Raises
        ------
        Retryable, Refused
        """
        with renamed(write=False):
            return tuple(order_row(row, self._instruments) for row in self._kite.orders())

    def positions(self) -> tuple[HeldRow, ...]:
        """Return the net positions; a failure is a failure, never "flat".

        Raises
        ------
        Retryable, Refused
        """
        with renamed(write=False):
            return tuple(held_row(row) for row in self._kite.positions()["net"])

    def quotes(self, keys: tuple[str, ...]) -> tuple[dict[str, Quote], dict[str, Band]]:
        """Return quotes and circuit bands; keys that the broker leaves out are left out.

        Raises
        ------
        Retryable, Refused
        """
        with renamed(write=False):
            quotes, bands = {}, {}
            for key, row in self._kite.quote(list(keys)).items():
                instrument = self._instruments.get(key)
                if instrument is not None:
                    quotes[key] = quote_of(row, instrument)
                    bands[key] = band_of(row, instrument)
            return quotes, bands

    def margins(self) -> tuple[int, int]:
        """Return (available, utilised) of the equity segment, paise.

        Raises
        ------
        Retryable, Refused
        """
        with renamed(write=False):
            row = self._kite.margins("equity")
            return _paise(row["net"]), _paise(row["utilised"]["debits"])

    def order_margins(self, asked: ReadOrderMargins) -> dict[tuple[str, str], int]:
        """Return what one share of each order blocks, paise; refused ones are left out.

        Raises
        ------
        Retryable, Refused
        """
        items = []
        for key, transaction, ticks in asked.items:
            instrument = self._instruments[key]
            items.append(
                {
                    "exchange": instrument.exchange,
                    "tradingsymbol": instrument.tradingsymbol,
                    "transaction_type": transaction,
                    "variety": "regular",
                    "product": asked.product,
                    "order_type": "LIMIT",
                    "quantity": instrument.lot_size,
                    "price": float(instrument.price(ticks)),
                }
            )
        with renamed(write=False):
            rows = self._kite.order_margins(items)
            found: dict[tuple[str, str], int] = {}
            for (key, transaction, _), row in zip(asked.items, rows, strict=True):
                total = _paise(row["total"])
                if total > 0:
                    lot = self._instruments[key].lot_size
                    found[key, transaction] = -(-total // lot)
            return found

    def history(self, asked: ReadHistory) -> tuple[OfficialCandle, ...]:
        """Return official candles, oldest first.

        Raises
        ------
        Retryable, Refused
        """
        span = [from_epoch_ms(ms).replace(tzinfo=None) for ms in (asked.from_ms, asked.to_ms)]
        with renamed(write=False):
            rows = self._kite.historical_data(asked.token, span[0], span[1], asked.interval)
            return tuple(
                OfficialCandle(
                    epoch_ms(row["date"]),
                    float(row["open"]),
                    float(row["high"]),
                    float(row["low"]),
                    float(row["close"]),
                    None if row["volume"] is None else float(row["volume"]),
                )
                for row in rows
            )

    def instruments(self, exchange: str) -> list[dict[str, Any]]:
        """Return the day's instruments dump of an exchange.

        Raises
        ------
        Retryable, Refused
        """
        with renamed(write=False):
            rows = self._kite.instruments(exchange)
            return list(rows)

    def profile(self) -> dict[str, Any]:
        """Return who the token belongs to: the cheapest proof that it is alive.

        Raises
        ------
        Retryable, Refused
        """
        with renamed(write=False):
            return dict(self._kite.profile())


def exchange_token(api_key: str, secret: str, request_token: str, root: str) -> dict[str, Any]:
    """Exchange a request token for the day's access token.

    Raises
    ------
    Retryable, Refused
        With the broker's words.
    """
    import kiteconnect

    kite = kiteconnect.KiteConnect(api_key=api_key, root=root)
    with renamed(write=False):
        return dict(kite.generate_session(request_token, api_secret=secret))


@contextmanager
def renamed(*, write: bool) -> Iterator[None]:
    """Let the client's errors out under the names of agent/errors.py.

    Raises
    ------
    Retryable, Unknown, Refused, TokenDead, WritesRefused
    """
    import requests
    from kiteconnect import exceptions as kite

    lost = Unknown if write else Retryable
    try:
        yield
    except kite.KiteException as fault:
        raise _named(fault, write=write) from fault
    except requests.exceptions.ConnectTimeout as fault:
        raise Retryable(f"no connection: {fault}") from fault
    except requests.exceptions.ConnectionError as fault:
        never_left = "NewConnectionError" in repr(fault) or "Name or service" in repr(fault)
        raise (Retryable if never_left else lost)(f"connection: {fault}") from fault
    except requests.exceptions.RequestException as fault:
        raise lost(f"{type(fault).__name__}: {fault}") from fault
    # The client's own bugs on odd replies: no Content-Type, no `data`, `data: null`, no error_type.
    except (KeyError, TypeError, UnboundLocalError, ValueError, AttributeError) as fault:
        raise lost(f"a reply that cannot be read: {type(fault).__name__}: {fault}") from fault


def _named(fault: Any, *, write: bool) -> Exception:
    words, code, kind = str(fault), int(getattr(fault, "code", 0) or 0), type(fault).__name__
    low = words.lower()
    if kind == "TokenException":
        return TokenDead(words)
    if DAY_SPENT in low:
        return Refused(words)
    if code == 429 or BUSY in low:
        return Retryable(words)
    if any(word in low for word in TIMED_OUT):
        return Unknown(words) if write else Retryable(words)
    if kind == "PermissionException" or (write and code == 403):
        return WritesRefused(words) if write else Refused(words)
    if code >= 500 or kind in {"NetworkException", "DataException"}:
        return Unknown(f"{code}: {words}") if write else Retryable(f"{code}: {words}")
    return Refused(words)


def _price(instrument: Instrument, ticks: int | None) -> str | None:
    """Return a price as the text that goes into the form: exact, with the tick's decimals."""
    return None if not ticks else f"{instrument.price(ticks):f}"


def _paise(rupees: Any) -> int:
    return int((Decimal(str(rupees)) * 100).to_integral_value())


def _date_hook(seen: Callable[[int], None]) -> Callable[..., None]:
    def hook(response: Any, *args: Any, **kwargs: Any) -> None:
        del args, kwargs
        told = response.headers.get("Date")
        if told:
            seen(epoch_ms(parsedate_to_datetime(told).astimezone(UTC)))

    return hook
