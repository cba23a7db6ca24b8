"""Good-till-triggered orders: what waits for a price, for up to a year, at the broker.

A GTT is no order: the broker watches the last traded price in market hours and, once it is reached
or crossed, places a LIMIT order for the day. It fires once, on one leg. `triggered` says that an
order was asked for; what became of it is in `orders[].result.order_result`.

Rule 1: the life of a GTT is the table NEXT; no status is written anywhere else.
Rule 2: pure. Prices in paise, instants in epoch ms; who places the order is desk.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from agent.errors import check
from agent.paper.records import USER_ID, in_rupees, stamp
from agent.paper.refusals import bad_input

DAY_MS: Final = 86_400_000
LIFE_MS: Final = 365 * DAY_MS
LISTED_MS: Final = 7 * DAY_MS  # how long the list shows what is not active any more
ACTIVE_MAX: Final = 500
KEPT_MAX: Final = 5_000
FIRST_ID: Final = 100_001
# An event that moves the price by more than this share ends the GTTs of its instrument.
CORPORATE_ACTION_PERCENT: Final = 5


class Status(StrEnum):
    """Where a GTT stands, in the broker's words."""

    ACTIVE = "active"
    TRIGGERED = "triggered"
    DISABLED = "disabled"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    DELETED = "deleted"


class Happening(StrEnum):
    """What happens to a GTT."""

    FIRED = "an order was asked for"
    UNFIT = "the broker's check at the trigger failed"
    AGED = "a year has passed"
    SUSPENDED = "the instrument is not traded today"
    ADJUSTED = "a corporate action moved the price"
    CHANGED = "modified by the user"
    DROPPED = "deleted by the user"


NEXT: Final[dict[tuple[Status, Happening], Status]] = {
    (Status.ACTIVE, Happening.FIRED): Status.TRIGGERED,
    (Status.ACTIVE, Happening.UNFIT): Status.REJECTED,  # holdings are looked at only now
    (Status.ACTIVE, Happening.AGED): Status.EXPIRED,
    (Status.ACTIVE, Happening.SUSPENDED): Status.DISABLED,
    (Status.ACTIVE, Happening.ADJUSTED): Status.CANCELLED,
    (Status.ACTIVE, Happening.CHANGED): Status.ACTIVE,
    (Status.ACTIVE, Happening.DROPPED): Status.DELETED,
    (Status.DISABLED, Happening.CHANGED): Status.ACTIVE,
    (Status.DISABLED, Happening.DROPPED): Status.DELETED,
    (Status.DISABLED, Happening.AGED): Status.EXPIRED,
    (Status.DISABLED, Happening.ADJUSTED): Status.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Leg:
    """The order that a leg places: a LIMIT for the day; price in paise."""

    transaction: str
    product: str
    quantity: int
    price: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A GTT as it was asked for; prices in paise, one leg a trigger, the lower one first.

    `last` is the price that the caller saw: it decides from which side a single trigger is
    reached.
    """

    kind: str
    key: str
    token: int
    last: int
    triggers: tuple[int, ...]
    legs: tuple[Leg, ...]


@dataclass(slots=True)
class Gtt:
    """One GTT; `results` holds what its legs have come to, None where nothing has."""

    id: int
    wanted: Wanted
    created_ms: int
    updated_ms: int
    expires_ms: int
    status: Status = Status.ACTIVE
    results: list[dict[str, Any] | None] = field(default_factory=list)

    def move(self, happening: Happening, now_ms: int) -> None:
        """Move in NEXT.

        Raises
        ------
        Broken
            If the table has no such step; nothing is changed.
        """
        status = NEXT.get((self.status, happening))
        check(status is not None, "no such step in a GTT's life", gtt=self, happening=happening)
        self.status, self.updated_ms = status or self.status, now_ms

    def reached(self, last: int) -> int | None:
        """Return the leg whose trigger a last price reaches or has crossed, None if none."""
        wanted = self.wanted
        lower, upper = wanted.triggers[0], wanted.triggers[-1]
        if len(wanted.triggers) == 1:
            rises = lower > wanted.last
            return 0 if (last >= lower if rises else last <= lower) else None
        if last <= lower:
            return 0
        return 1 if last >= upper else None


class Triggers:
    """All GTTs of the account.

    Parameters
    ----------
    kept_max : int
        How many are kept; the oldest that are over go first, active ones never.
    """

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._kept_max = kept_max
        self.all: dict[int, Gtt] = {}
        self.watched: dict[str, list[Gtt]] = {}  # active ones by instrument
        self.touched: dict[int, Gtt] = {}  # since they were last kept
        self._closes: dict[str, int] = {}  # paise, of the day before

    def restore(self, gtts: Iterable[Gtt]) -> None:
        """Take up GTTs again after a restart."""
        self.all = {gtt.id: gtt for gtt in gtts}
        self._watch()

    def place(self, wanted: Wanted, now_ms: int) -> Gtt:
        """Add a GTT.

        Raises
        ------
        RequestRefused
            `InputException`: as many as an account may have are active.
        """
        if sum(map(len, self.watched.values())) >= ACTIVE_MAX:
            raise bad_input(f"At most {ACTIVE_MAX} GTTs may be active.")
        gtt = Gtt(max(self.all, default=FIRST_ID - 1) + 1, wanted, now_ms, now_ms, now_ms + LIFE_MS)
        gtt.results = [None] * len(wanted.legs)
        self.all[gtt.id] = gtt
        self._forget()
        self._touch(gtt)
        return gtt

    def modify(self, gtt_id: int, wanted: Wanted, now_ms: int) -> Gtt:
        """Change what a GTT waits for and places.

        Raises
        ------
        RequestRefused
            `InputException`: there is none of this id, its life is over, or it is another
            instrument's.
        """
        gtt = self._open(gtt_id, Happening.CHANGED)
        if wanted.key != gtt.wanted.key:
            raise bad_input("The instrument of a GTT cannot be changed.")
        gtt.wanted, gtt.results = wanted, [None] * len(wanted.legs)
        gtt.move(Happening.CHANGED, now_ms)
        self._touch(gtt)
        return gtt

    def delete(self, gtt_id: int, now_ms: int) -> Gtt:
        """Delete a GTT.

        Raises
        ------
        RequestRefused
            `InputException`: there is none of this id, or its life is over.
        """
        gtt = self._open(gtt_id, Happening.DROPPED)
        self.move(gtt, Happening.DROPPED, now_ms)
        return gtt

    def found(self, gtt_id: int) -> Gtt:
        """Return a GTT of any age.

        Raises
        ------
        RequestRefused
            `InputException`: there is none of this id.
        """
        gtt = self.all.get(gtt_id)
        if gtt is None:
            raise bad_input("Trigger not found.")
        return gtt

    def listed(self, now_ms: int) -> list[Gtt]:
        """Return what is active, and what else changed in the last seven days; newest first."""
        since = now_ms - LISTED_MS
        shown = [
            one
            for one in self.all.values()
            if one.status is Status.ACTIVE or one.updated_ms >= since
        ]
        return shown[::-1]

    def move(self, gtt: Gtt, happening: Happening, now_ms: int) -> None:
        """Let something happen to a GTT."""
        gtt.move(happening, now_ms)
        self._touch(gtt)

    def open_day(self, closes: Mapping[str, int], now_ms: int) -> None:
        """Begin a day: expire, suspend, and end what a corporate action has overtaken.

        Parameters
        ----------
        closes : mapping of str to int
            The previous close in paise of what is traded today. One that is not yesterday's last
            price has been adjusted for a split, a bonus or the like.
        now_ms : int
        """
        for gtt in self.all.values():
            key = gtt.wanted.key
            close, seen = closes.get(key), self._closes.get(key)
            moved = close and seen and abs(close - seen) * 100 > CORPORATE_ACTION_PERCENT * seen
            if (gtt.status, Happening.AGED) not in NEXT:
                continue
            if now_ms >= gtt.expires_ms:
                self.move(gtt, Happening.AGED, now_ms)
            elif moved:
                self.move(gtt, Happening.ADJUSTED, now_ms)
            elif close is None and gtt.status is Status.ACTIVE:
                self.move(gtt, Happening.SUSPENDED, now_ms)

    def close_day(self, lasts: Mapping[str, int]) -> None:
        """Remember the last prices of a day, in paise."""
        self._closes = dict(lasts)

    def take_touched(self) -> dict[int, Gtt]:
        """Return what was touched since the last call."""
        touched, self.touched = self.touched, {}
        return touched

    def _forget(self) -> None:
        """Let go of the oldest that are over, beyond what is kept."""
        over = [one for one in self.all.values() if one.status is not Status.ACTIVE]
        for gtt in over[: max(len(self.all) - self._kept_max, 0)]:
            del self.all[gtt.id]

    def _open(self, gtt_id: int, happening: Happening) -> Gtt:
        gtt = self.found(gtt_id)
        if (gtt.status, happening) not in NEXT:
            raise bad_input(f"Trigger is {gtt.status.value} and cannot be changed.")
        return gtt

    def _touch(self, gtt: Gtt) -> None:
        self.touched[gtt.id] = gtt
        self._watch()

    def _watch(self) -> None:
        self.watched = {}
        for gtt in self.all.values():
            if gtt.status is Status.ACTIVE:
                self.watched.setdefault(gtt.wanted.key, []).append(gtt)


def gtt_row(gtt: Gtt) -> dict[str, Any]:
    """Return a GTT as the broker lists it."""
    wanted = gtt.wanted
    exchange, _, symbol = wanted.key.partition(":")
    return {
        "id": gtt.id,
        "user_id": USER_ID,
        "parent_trigger": None,
        "type": wanted.kind,
        "created_at": stamp(gtt.created_ms),
        "updated_at": stamp(gtt.updated_ms),
        "expires_at": stamp(gtt.expires_ms),
        "status": gtt.status.value,
        "condition": {
            "exchange": exchange,
            "last_price": in_rupees(wanted.last),
            "tradingsymbol": symbol,
            "trigger_values": [in_rupees(one) for one in wanted.triggers],
            "instrument_token": wanted.token,
        },
        "orders": [
            _leg_row(wanted.key, leg) | {"result": result}
            for leg, result in zip(wanted.legs, gtt.results, strict=True)
        ],
        "meta": {},
    }


def result_of(
    gtt: Gtt, leg: Leg, last: int, now_ms: int, order_id: str, why: str
) -> dict[str, Any]:
    """Return what the trigger came to: an order's id, or why there is none."""
    return _leg_row(gtt.wanted.key, leg) | {
        "account_id": USER_ID,
        "validity": "DAY",
        "meta": f'{{"gtt": {gtt.id}}}',
        "timestamp": stamp(now_ms),
        "triggered_at": in_rupees(last),
        "order_result": {
            "status": "failed" if why else "success",
            "order_id": order_id,
            "rejection_reason": why,
        },
    }


def _leg_row(key: str, leg: Leg) -> dict[str, Any]:
    exchange, _, symbol = key.partition(":")
    return {
        "exchange": exchange,
        "tradingsymbol": symbol,
        "product": leg.product,
        "order_type": "LIMIT",
        "transaction_type": leg.transaction,
        "quantity": leg.quantity,
        "price": in_rupees(leg.price),
    }


def gtt_document(gtt: Gtt) -> dict[str, Any]:
    """Return all of a GTT for the store."""
    wanted = gtt.wanted
    legs = [[leg.transaction, leg.product, leg.quantity, leg.price] for leg in wanted.legs]
    return {
        "id": gtt.id,
        "wanted": [wanted.kind, wanted.key, wanted.token, wanted.last, list(wanted.triggers), legs],
        "at": [gtt.created_ms, gtt.updated_ms, gtt.expires_ms],
        "status": gtt.status.value,
        "results": gtt.results,
    }


def gtt_from(document: Mapping[str, Any]) -> Gtt:
    """Return a GTT from the store's document."""
    kind, key, token, last, triggers, legs = document["wanted"]
    wanted = Wanted(kind, key, token, last, tuple(triggers), tuple(Leg(*leg) for leg in legs))
    status = Status(document["status"])
    created_ms, updated_ms, expires_ms = document["at"]
    return Gtt(
        document["id"], wanted, created_ms, updated_ms, expires_ms, status, document["results"]
    )
