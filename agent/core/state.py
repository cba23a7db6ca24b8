"""All that the core knows: one frozen value, `Desk`.

Mappings are never changed in place; a new event makes a new desk that shares what did not change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.core.events import OfficialCandle, VersionInfo
from agent.core.rules import Rules
from agent.core.trade import Trade
from agent.core.values import Band, Mode, Quote
from agent.market.instruments import Instrument
from agent.market.sessions import Session
from agent.risk.book import Book
from agent.signals.signal import Candidate

if TYPE_CHECKING:
    from agent.core.idle import Bare, Idle, Lull


@dataclass(frozen=True, slots=True)
class Guard:
    """Why the agent does less than it might: the mode it sets, in words, and what lifts it."""

    mode: Mode
    words: str
    lifts: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Sight:
    """The last packet of an instrument and when it came to us."""

    quote: Quote
    at_ms: int


@dataclass(frozen=True, slots=True)
class AtrState:
    """Wilder's average true range of an instrument's candles, in ticks."""

    close: int
    ranges: tuple[int, ...] = ()
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Positions of the broker that the fills do not explain, seen at least once."""

    quantity: int
    seen: int
    since_ms: int


@dataclass(frozen=True, slots=True)
class Desk:
    """The state of the agent.

    Parameters
    ----------
    calls : int
        The last call number given out.
    trades : mapping of number to Trade
        All of the day, closed ones too: a late row may bring one back.
    windows : mapping of key to candles of the model's interval, oldest first
    decided : mapping of key to epoch ms
        The last candle that each symbol was decided on.
    candidates : tuple of Candidate
        Signals taken that wait for a quote that lets them enter.
    asking : mapping of call to what it is for
    polls : int
        Books read without a reason, for every n-th to read the positions.
    lulls : mapping of key to Lull
        Proofs that ticks are idle (idle.py): follow from the rest, and are no part of the value.
    bare : tuple or None
        On a desk that is not written down yet: what its idle ticks add up to, the parts of `idle`
        without their names (one tuple a tick instead of two).
    """

    rules: Rules
    now_ms: int = 0
    calls: int = 0
    numbers: int = 0
    guards: Mapping[str, Guard] = field(default_factory=dict)
    operator: Mode = Mode.NORMAL
    session: Session | None = None
    instruments: Mapping[str, Instrument] = field(default_factory=dict)
    sights: Mapping[str, Sight] = field(default_factory=dict)
    bands: Mapping[str, Band] = field(default_factory=dict)
    atrs: Mapping[tuple[str, str], AtrState] = field(default_factory=dict)
    windows: Mapping[str, tuple[OfficialCandle, ...]] = field(default_factory=dict)
    trades: Mapping[int, Trade] = field(default_factory=dict)
    money: Book | None = None
    model: str = ""
    interval: str = "day"
    window: int = 0
    universe: tuple[str, ...] = ()
    versions: Mapping[str, VersionInfo] = field(default_factory=dict)
    decided: Mapping[str, int] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    asking: Mapping[int, str] = field(default_factory=dict)
    wanted_book: bool = False
    polls: int = 0
    polling: bool = False
    feed_up: bool = False
    squaring: bool = False
    flattening: bool = False
    mismatches: Mapping[tuple[str, str], Mismatch] = field(default_factory=dict)
    margins_per_share: Mapping[tuple[str, str], int] = field(default_factory=dict)
    lulls: Mapping[str, Lull] = field(default_factory=dict, compare=False, repr=False)
    # not copied by `replace`: what is changed has been written down
    bare: Bare | None = field(default=None, init=False, compare=False, repr=False)

    if not TYPE_CHECKING:  # for a checker every field is there, and no other

        def __getattr__(self, name: str) -> Any:
            """Write down what is not written yet: called for a slot that holds nothing."""
            if name not in Desk.__dataclass_fields__:
                raise AttributeError(f"a desk has no {name}")
            if name == "now_ms":  # asked for alone, and known without the rest
                return self.idle.now_ms
            written = self.idle.written()
            for field_name in Desk.__dataclass_fields__:
                if field_name != "bare":
                    object.__setattr__(self, field_name, getattr(written, field_name))
            return getattr(self, name)

    @property
    def idle(self) -> Idle | None:
        """What the idle ticks add up to on a desk that is not written down yet, else None."""
        return None if self.bare is None else self.bare[0].idle(self.bare)

    @property
    def mode(self) -> Mode:
        """The strictest of what the operator and the guards set."""
        if not self.guards:
            return self.operator
        return max([self.operator, *(guard.mode for guard in self.guards.values())])

    @property
    def open_trades(self) -> tuple[Trade, ...]:
        """Trades that are not over, oldest first."""
        return tuple(trade for trade in self.trades.values() if not trade.done)

    def trade_of(self, key: str, product: str) -> Trade | None:
        """Return the trade that holds or enters an instrument."""
        for trade in self.trades.values():
            if not trade.done and trade.slot == (key, product):
                return trade
        return None


blank_desk: Callable[[type[Desk]], Desk] = object.__new__
put_bare: Callable[[Desk, Bare], None] = vars(Desk)["bare"].__set__


def unwritten(bare: Bare) -> Desk:
    """Return the desk after idle ticks; its other fields are written when one is read."""
    desk = blank_desk(Desk)
    put_bare(desk, bare)
    return desk
