"""What may go wrong, and the draw that answers "what happens to this call?".

Rule 1: pure. No clock, no I/O; chance is a hash of (seed, fault, how often it was asked), so the
same faults asked the same questions in the same order give the same answers.
Rule 2: it only says what happens. What that does to an answer is edge.py's business, to a frame
hub.py's, to an order or the market acts.py's.
A fault strikes what it is aimed at (operation, symbol, tag) inside its window (a time of the day,
or from an event on), the nth time or with a probability, and at most `count` times. Its last
parameters are its kind's own; KINDS says which kinds there are and which parameters each takes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import time
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.errors import SettingRefused
from agent.paper.source import DAY_MS, IST_OFFSET_MS

FAULTS_MAX: Final = 200
GROUPS: Final = ("any", "read", "write")
WORDS_IP: Final = "Request blocked: this IP address is not registered for order placement."

Stage = Literal["call", "update", "frame", "ticker", "act"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of fault is.

    Parameters
    ----------
    stage : str
        Who asks for it: a REST call, an order update, a frame of ticks, the ticker, a moment.
    operation : str
        What it strikes unless it is told: a REST operation or `any`, `read`, `write`.
    own : mapping of str to its default
    what : str
        One sentence.
    """

    stage: Stage
    operation: str
    own: Mapping[str, Any]
    what: str


ANSWER: Final = {"answer": "reset"}
KINDS: Final[dict[str, Kind]] = {
    "timeout_before": Kind("call", "write", ANSWER, "No answer, and nothing has happened."),
    "timeout_after": Kind("call", "write", ANSWER, "No answer, but it has happened."),
    "late_order": Kind(
        "call",
        "place",
        ANSWER | {"delay_ms": (8_000, 90_000)},
        "No answer; the order appears that much later, in book and updates.",
    ),
    "late_row": Kind(
        "call",
        "place",
        {"delay_ms": (8_000, 90_000)},
        "200 and an id; the order's row, trades and updates come that much later.",
    ),
    "storm_429": Kind("call", "any", {}, "429 Too many requests; nothing has happened."),
    "server_error": Kind(
        "call", "any", {"status": 502, "effect": "before"}, "500, 502, 503 or 504."
    ),
    "malformed_json": Kind("call", "any", {"effect": "after"}, "200 with half a JSON document."),
    "html_answer": Kind("call", "any", {"effect": "after"}, "200 with a web page."),
    "no_content_type": Kind("call", "any", {"effect": "after"}, "No Content-Type header."),
    "slow_answer": Kind("call", "any", {"delay_ms": (1_000, 1_000)}, "The answer takes its time."),
    "writes_refused": Kind(
        "call", "write", {"words": WORDS_IP}, "403 PermissionException while reads work."
    ),
    "token_dead": Kind(
        "call", "any", {}, "403 TokenException, while the ticker's socket streams on."
    ),
    "outage": Kind("call", "any", ANSWER, "REST and ticker are gone."),
    "modify_ignored": Kind("call", "modify", {}, "200, but the order stays as it was."),
    "being_processed": Kind(
        "call", "modify", {}, "Refused as being processed: the order has executed."
    ),
    "cancel_lost": Kind("call", "cancel", {}, "200, but the order fills first."),
    "stop_refused": Kind(
        "call", "place", {}, "A stop is refused: the price is through its trigger."
    ),
    "rejected": Kind(
        "call", "place", {"words": "freeze"}, "200, then REJECTED: freeze quantity or circuit."
    ),
    "stop_void": Kind("call", "place", {}, "The exchange cancels the stop after its trigger."),
    "updates_lost": Kind("update", "any", {}, "An order update never comes."),
    "updates_doubled": Kind("update", "any", {}, "An order update comes twice."),
    "updates_reordered": Kind(
        "update", "any", {"delay_ms": (1_500, 1_500)}, "An update comes later than the next ones."
    ),
    "frames_doubled": Kind("frame", "any", {}, "A frame of ticks comes twice."),
    "frames_reordered": Kind("frame", "any", {}, "A frame of ticks comes after the next one."),
    "frames_corrupt": Kind("frame", "any", {}, "A frame of ticks is cut in the middle."),
    "ticker_silent": Kind("ticker", "any", {}, "Nothing comes, heartbeats neither; socket open."),
    "stale_first_tick": Kind(
        "ticker", "any", {}, "After a subscription comes yesterday's last price."
    ),
    "clock_skew": Kind(
        "ticker", "any", {"skew_ms": 3_000}, "The broker's clock (Date, exchange time) is off."
    ),
    "ticker_drop": Kind("act", "any", {}, "The ticker's connections break."),
    "thin_depth": Kind("act", "any", {"percent": 1}, "So little depth that orders fill in part."),
    "square_off_early": Kind("act", "any", {}, "The broker squares off before its time."),
    "hand_trade": Kind(
        "act", "any", {"quantity": 0}, "A trade by hand; quantity 0 closes what is open."
    ),
    "hand_cancel": Kind("act", "any", {}, "Live stops are cancelled by hand."),
}
OWN: Final = ("answer", "delay_ms", "status", "effect", "words", "skew_ms", "percent", "quantity")
Milliseconds = Annotated[int, Field(ge=0, le=DAY_MS)]


class Fault(BaseModel):
    """One fault as it is armed; a field that is None takes its kind's default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    operation: str = ""
    symbol: str = Field("", description="A key or trading symbol; empty: all.")
    tag: str = Field("", description="The beginning of an order's tag.")
    nth: int = Field(0, ge=0, description="Only the nth that it is aimed at; 0: each.")
    probability: float = Field(1.0, gt=0, le=1)
    count: int = Field(0, ge=0, description="At most so many strikes; 0: no bound.")
    seed: int | None = Field(None, ge=0)
    day: int = Field(0, ge=0, description="Only on this day of the run, from 1; 0: every day.")
    since: time | None = Field(None, description="From this time of the day, India.")
    until: time | None = Field(None, description="Before this time of the day, India.")
    after: Literal["", "placed", "stands", "fill", "gone"] = Field(
        "", description="From the first such event of an order (the nth, if told) on."
    )
    after_ms: Milliseconds = 0
    for_ms: Milliseconds = Field(0, description="How long from then; 0: without an end.")
    answer: Literal["reset", "hang", "400", "502", "503", "504"] | None = None
    delay_ms: Milliseconds | tuple[Milliseconds, Milliseconds] | None = None
    status: Literal[500, 502, 503, 504] | None = None
    effect: Literal["before", "after"] | None = None
    words: str | None = Field(None, max_length=200)
    skew_ms: int | None = Field(None, ge=-DAY_MS, le=DAY_MS)
    percent: int | None = Field(None, ge=0, le=100)
    quantity: int | None = Field(None, ge=-100_000, le=100_000)

    def own(self, name: str) -> Any:
        """Return one of the kind's own parameters."""
        told = getattr(self, name)
        return KINDS[self.kind].own[name] if told is None else told

    @property
    def aim(self) -> str:
        """Which operation or group it strikes."""
        return self.operation or KINDS[self.kind].operation


def read_fault(document: Mapping[str, Any], operations: Collection[str]) -> Fault:
    """Return a fault from a document.

    Parameters
    ----------
    document : mapping
    operations : collection of str
        What a REST call may be named.

    Raises
    ------
    SettingRefused
        Its subject is the key that is wrong.
    """
    try:
        fault = Fault.model_validate(dict(document))
    except ValidationError as refused:
        where, given, allowed = first_error(refused)
        raise SettingRefused(
            str(where[0]) if where else "kind",
            given=given,
            allowed=allowed,
            fix=f"keys: {', '.join(Fault.model_fields)}",
        ) from None
    kind = KINDS.get(fault.kind)
    if kind is None:
        raise SettingRefused(
            "kind", given=repr(fault.kind), allowed=", ".join(KINDS), fix="choose one of them"
        )
    for name in OWN:
        if getattr(fault, name) is not None and name not in kind.own:
            raise SettingRefused(
                name,
                given=f"a parameter of {fault.kind}",
                allowed=", ".join(kind.own) or "none beside the target and the window",
                fix="remove it",
            )
    if fault.operation and fault.operation not in {*GROUPS, *operations}:
        raise SettingRefused(
            "operation",
            given=repr(fault.operation),
            allowed=", ".join([*GROUPS, *sorted(operations)]),
            fix="choose one of them",
        )
    _check_window(fault)
    return fault


def first_error(refused: ValidationError) -> tuple[tuple[int | str, ...], str, str]:
    """Return (where, what was found, what is expected); a key too many tells more than one less."""
    errors = sorted(refused.errors(), key=lambda one: one["type"] != "extra_forbidden")
    first = errors[0]
    given = "nothing" if first["type"] == "missing" else repr(first.get("input"))[:80]
    return tuple(first["loc"]), given, first["msg"]


def _check_window(fault: Fault) -> None:
    if fault.since is not None and fault.until is not None and fault.since >= fault.until:
        raise SettingRefused(
            "until", given=fault.until, allowed=f"later than since ({fault.since})", fix="mend it"
        )
    if not fault.after and (fault.after_ms or fault.for_ms):
        raise SettingRefused(
            "after_ms" if fault.after_ms else "for_ms",
            given="without `after`",
            allowed="an event to count from: placed, stands, fill, gone",
            fix="add `after`, or use since and until",
        )
    if isinstance(fault.delay_ms, tuple) and fault.delay_ms[0] > fault.delay_ms[1]:
        raise SettingRefused(
            "delay_ms", given=fault.delay_ms, allowed="the smaller one first", fix="swap them"
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """What is about to happen: a call, an update, a frame."""

    operation: str = ""
    write: bool = False
    symbol: str = ""
    tag: str = ""
    stop: bool = False


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that strikes; `chance` in [0, 1) is there for what it still has to draw."""

    fault: Fault
    number: int
    chance: float

    def within(self, name: str) -> int:
        """Draw one of its own parameters that may be a span, ends included."""
        told = self.fault.own(name)
        low, high = (told, told) if isinstance(told, int) else told
        return int(low + self.chance * (high - low + 1) * (1 - 1e-12)) if high > low else int(low)


@dataclass(slots=True)
class Armed:
    """A fault and what has come of it so far."""

    fault: Fault
    seen: int = 0
    struck: int = 0
    events: int = 0
    opened_ms: int | None = None
    felt: int = 0  # how often a fault that stands for a while made a difference


@dataclass
class Faults:
    """All that is armed, by number.

    Parameters
    ----------
    seed : int
        Of the faults that bring none of their own.
    """

    seed: int = 1
    armed: dict[int, Armed] = field(default_factory=dict)
    _numbers: int = 0

    def arm(self, fault: Fault) -> int:
        """Arm a fault; return its number.

        Raises
        ------
        SettingRefused
            If too many are armed.
        """
        if len(self.armed) >= FAULTS_MAX:
            raise SettingRefused(
                "faults", given=f"one more than {FAULTS_MAX}", allowed=f"{FAULTS_MAX} armed",
                fix="clear some: DELETE /_paper/faults",
            )  # fmt: skip
        self._numbers += 1
        self.armed[self._numbers] = Armed(fault)
        return self._numbers

    def clear(self, number: int | None = None) -> int:
        """Disarm one or all; return how many."""
        if number is None:
            count = len(self.armed)
            self.armed.clear()
            return count
        return 0 if self.armed.pop(number, None) is None else 1

    def strike(self, stage: Stage, asked: Asked, now_ms: int, day: int) -> Strike | None:
        """Say what happens to this; the first fault that strikes does.

        Parameters
        ----------
        stage : str
        asked : Asked
        now_ms : int, epoch ms
        day : int, of the run, from 0
        """
        for number, one in self.armed.items():
            kind = KINDS[one.fault.kind]
            if kind.stage != stage or not _aimed(one.fault, asked):
                continue
            if _in_window(one, now_ms, day) and self._falls(number, one):
                return Strike(one.fault, number, self._chance(number, one, "own"))
        return None

    def standing(self, kind: str, asked: Asked, now_ms: int, day: int) -> Fault | None:
        """Return a fault of a kind whose window is open, without counting that it was asked."""
        for one in self.armed.values():
            spent = one.fault.count and one.struck >= one.fault.count
            if one.fault.kind != kind or spent or not _aimed(one.fault, asked):
                continue
            if _in_window(one, now_ms, day):
                return one.fault
        return None

    def felt(self, kind: str, asked: Asked, now_ms: int, day: int) -> None:
        """Count that a fault which stands for a while made a difference; `count` is not spent."""
        for one in self.armed.values():
            if one.fault.kind == kind and _aimed(one.fault, asked) and _in_window(one, now_ms, day):
                one.felt += 1
                return

    def saw(self, kind: str, asked: Asked, now_ms: int) -> list[Strike]:
        """Take note of an event of an order; return the acts that it sets off, due at once.

        The window of a fault that waits for it opens `after_ms` later.
        """
        due: list[Strike] = []
        for number, one in self.armed.items():
            fault = one.fault
            if fault.after != kind or one.opened_ms is not None or not _targets(fault, asked):
                continue
            one.events += 1
            if one.events >= max(fault.nth, 1):
                one.opened_ms = now_ms + fault.after_ms
                if KINDS[fault.kind].stage == "act" or fault.kind == "outage":
                    due.append(Strike(fault, number, self._chance(number, one, "own")))
        return due

    def act(self, number: int) -> None:
        """Count an act that was carried out."""
        one = self.armed.get(number)
        if one is not None:
            one.struck += 1

    def documents(self) -> list[dict[str, Any]]:
        """Return what is armed, and what has come of it."""
        return [
            one.fault.model_dump(mode="json", exclude_defaults=True)
            | {"number": number, "seen": one.seen, "struck": one.struck + one.felt}
            for number, one in self.armed.items()
        ]

    def kept(self) -> dict[str, Any]:
        """Return everything, to be kept over a restart."""
        rows = {
            str(number): [
                one.fault.model_dump(mode="json"), one.seen, one.struck, one.events, one.opened_ms,
                one.felt,
            ]
            for number, one in self.armed.items()
        }  # fmt: skip
        return {"seed": self.seed, "numbers": self._numbers, "armed": rows}

    @classmethod
    def restored(cls, kept: Mapping[str, Any]) -> Faults:
        """Return what was kept."""
        armed = {
            int(number): Armed(Fault.model_validate(row[0]), *row[1:])
            for number, row in kept["armed"].items()
        }
        return cls(kept["seed"], armed, kept["numbers"])

    def _falls(self, number: int, one: Armed) -> bool:
        """Count that a fault was asked, and draw whether it strikes."""
        fault = one.fault
        one.seen += 1
        if fault.count and one.struck >= fault.count:
            return False
        if fault.nth and not fault.after and one.seen != fault.nth:
            return False
        if fault.probability < 1 and self._chance(number, one, "falls") >= fault.probability:
            return False
        one.struck += 1
        return True

    def _chance(self, number: int, one: Armed, what: str) -> float:
        seed = self.seed if one.fault.seed is None else one.fault.seed
        told = f"{seed}/{number}/{one.seen}/{what}".encode()
        return int.from_bytes(hashlib.blake2b(told, digest_size=6).digest(), "big") / 2**48


def of_day_ms(at: time) -> int:
    """Return a time of the day as milliseconds since midnight."""
    return ((at.hour * 60 + at.minute) * 60 + at.second) * 1_000 + at.microsecond // 1_000


def _in_window(one: Armed, now_ms: int, day: int) -> bool:
    fault = one.fault
    if fault.day and fault.day != day + 1:
        return False
    of_day = (now_ms + IST_OFFSET_MS) % DAY_MS
    if fault.since is not None and of_day < of_day_ms(fault.since):
        return False
    if fault.until is not None and of_day >= of_day_ms(fault.until):
        return False
    if not fault.after:
        return True
    if one.opened_ms is None or now_ms < one.opened_ms:
        return False
    return not fault.for_ms or now_ms < one.opened_ms + fault.for_ms


def _aimed(fault: Fault, asked: Asked) -> bool:
    aim = fault.aim
    if KINDS[fault.kind].stage == "call":
        group = "write" if asked.write else "read"
        if aim not in ("any", group, asked.operation):
            return False
        if fault.kind in {"stop_refused", "stop_void"} and not asked.stop:
            return False
    if fault.after and not asked.symbol:  # a read of the whole book after an event of one symbol
        return True
    return _targets(fault, asked)


def _targets(fault: Fault, asked: Asked) -> bool:
    symbol = fault.symbol
    if symbol and symbol not in (asked.symbol, asked.symbol.partition(":")[2]):
        return False
    return asked.tag.startswith(fault.tag)
