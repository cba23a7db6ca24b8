"""What comes in: everything the core ever learns, time included.

Every event carries `at_ms`, the instant at which the shell received it on the clock that the
whole process goes by. The core asks no other clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.core.values import Band, Fault, HeldRow, OrderRow, Quote
from agent.market.candles import Candle
from agent.market.instruments import Instrument
from agent.market.sessions import Session


@dataclass(frozen=True, slots=True)
class Event:
    """The base: an instant, epoch ms."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Started(Event):
    """The process runs and nothing has been read yet."""


@dataclass(frozen=True, slots=True)
class DayOpened(Event):
    """The session of the day, and what can be traded in it.

    Parameters
    ----------
    session : Session
        Its end is the earliest of the instruments' ends.
    instruments : mapping of key to Instrument, from the day's dump
    missing : tuple of str
        Keys of the universe that the dump does not list.
    next_opens_ms : int, epoch ms
        When the session after it opens; 0 where the calendar ends.
    """

    call: int
    session: Session
    instruments: Mapping[str, Instrument]
    missing: tuple[str, ...] = ()
    next_opens_ms: int = 0


@dataclass(frozen=True, slots=True)
class TimerFired(Event):
    """A timer that the core set is due."""

    name: str


@dataclass(frozen=True, slots=True)
class TickSeen(Event):
    """A full packet. `cached`: the first one after a subscription, which moves no level."""

    key: str
    quote: Quote
    cached: bool = False


@dataclass(frozen=True, slots=True)
class CandleClosed(Event):
    """A candle built from ticks has closed."""

    key: str
    interval: str
    candle: Candle


@dataclass(frozen=True, slots=True)
class OrderSeen(Event):
    """An order update of the ticker: a hint, in any order, perhaps twice, perhaps never."""

    row: OrderRow


@dataclass(frozen=True, slots=True)
class CallAnswered(Event):
    """The broker took an order call. For a change or a cancellation that is not yet applied."""

    call: int
    order_id: str


@dataclass(frozen=True, slots=True)
class CallFailed(Event):
    """A call failed; `fault` says what that proves, `words` is what the broker said."""

    call: int
    fault: Fault
    words: str


@dataclass(frozen=True, slots=True)
class BookRead(Event):
    """Order book and, read after it, the positions (None: that read failed; never "flat")."""

    call: int
    orders: tuple[OrderRow, ...]
    positions: tuple[HeldRow, ...] | None
    words: str = ""


@dataclass(frozen=True, slots=True)
class QuotesRead(Event):
    """Quotes asked over REST, with the day's circuit bands."""

    call: int
    quotes: Mapping[str, Quote]
    bands: Mapping[str, Band]


@dataclass(frozen=True, slots=True)
class MarginsRead(Event):
    """The account's margin figures, paise."""

    call: int
    available_paise: int
    utilised_paise: int


@dataclass(frozen=True, slots=True)
class OrderMarginsRead(Event):
    """What the broker wants for one share of each (key, transaction), paise, rounded up."""

    call: int
    per_share_paise: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class HistoryRead(Event):
    """Official closed candles, oldest first."""

    call: int
    key: str
    interval: str
    candles: tuple[OfficialCandle, ...]


@dataclass(frozen=True, slots=True)
class OfficialCandle:
    """A closed candle as the model takes it: rupees, the broker's own floats.

    `source` is `kite` (the broker's history) or `ticks` (built here).
    """

    ts_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float | None
    source: str = "kite"


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """What the served model says of one of its versions."""

    version: str
    policy_toml: str
    allowed: str
    alias: str = ""


@dataclass(frozen=True, slots=True)
class ModelDescribed(Event):
    """`GET /v1/models/NAME`: what to send, and the versions with their policies."""

    call: int
    name: str
    interval: str
    window: int
    universe: tuple[str, ...]
    versions: tuple[VersionInfo, ...]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The model's answer for one symbol; `error` set: it could not be scored."""

    key: str
    side: str = "HOLD"
    version: str = ""
    variant: str = ""
    request_id: str = ""
    er_long: float = 0.0
    er_short: float = 0.0
    valid_until_ms: int = 0
    warnings: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class ModelAnswered(Event):
    """The answers to one batch, and every version among them that may be new to us."""

    call: int
    predictions: tuple[Prediction, ...]
    versions: tuple[VersionInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class FeedChanged(Event):
    """The ticker connected, dropped, or has been silent with its socket open."""

    connected: bool
    words: str = ""


@dataclass(frozen=True, slots=True)
class GuardRaised(Event):
    """The shell cannot keep something that the core relies on (journal, clock, disk)."""

    guard: str
    words: str


@dataclass(frozen=True, slots=True)
class GuardLifted(Event):
    """What `GuardRaised` said holds no longer."""

    guard: str


@dataclass(frozen=True, slots=True)
class Ordered(Event):
    """The operator's word: `halt`, `resume`, `flatten`, `no_new`, `reduce_only`."""

    verb: str
    who: str = "operator"


@dataclass(frozen=True, slots=True)
class TickRefused(Event):
    """A packet whose price cannot be one: not positive, off the grid."""

    key: str
    words: str
