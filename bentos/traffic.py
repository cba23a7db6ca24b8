"""Who answers a request: the traffic plan, its sticky split, and what may be done to it.

Pure. A unit is (key, trading day). `slot_of` hashes it to one of a million slots; a challenger
owns as many slots as its weight says, the champion the rest. Which slots a challenger owns is
kept in the plan (`slots`), because no rule on weights alone can promise, for three challengers
or more, that raising one moves units only from the champion to it (docs/serving.md, Split).

    {"model": "sample", "revision": 3, "champion": 1, "challengers": {"2": 0.2}, "shadows": [3],
     "salt": "…", "slots": {"2": [[0, 200000]]},
     "history": [{"revision", "champion", "challengers", "shadows", "who", "why", "at"}]}
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SLOTS = 1_000_000
WEIGHTS_TOLERANCE = 1e-9
# MLflow's PostgreSQL schema holds a tag in VARCHAR(5000), whatever its own validation says.
PLAN_CHARACTERS_MAX = 4_800
WHY_CHARACTERS_MAX = 300
CHALLENGERS_MAX = 16
SHADOWS_MAX = 16

Pieces = list[tuple[int, int]]  # [start, stop) of slots


class PlanRefused(ValueError):
    """A plan that is not one; carries the field and what was expected of it."""

    def __init__(self, field_: str, expected: str, found: object) -> None:
        super().__init__(f"{field_}: found {found!r}; expected {expected}")
        self.field = field_
        self.expected = expected
        self.found = found


@dataclass(frozen=True, slots=True)
class Split:
    """Who takes how much: the part of a plan that a history entry keeps, too."""

    champion: int
    challengers: Mapping[int, float] = field(default_factory=dict)
    shadows: tuple[int, ...] = ()

    @property
    def takers(self) -> tuple[int, ...]:
        """Versions that take traffic, the champion first."""
        return (self.champion, *(v for v, weight in self.challengers.items() if weight > 0))

    @property
    def versions(self) -> tuple[int, ...]:
        """Every version that the plan names; champion and challengers shadow each other."""
        return (self.champion, *self.challengers, *self.shadows)

    def document(self) -> dict[str, Any]:
        """Return the three keys as JSON holds them."""
        return {
            "champion": self.champion,
            "challengers": {str(v): w for v, w in sorted(self.challengers.items())},
            "shadows": list(self.shadows),
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """A traffic plan in force."""

    model: str
    revision: int
    split: Split
    salt: str
    slots: Mapping[int, Pieces]
    history: tuple[Mapping[str, Any], ...] = ()

    def choose(self, slot: int) -> tuple[int, str]:
        """Return the version that answers a slot, and its variant."""
        for version, pieces in self.slots.items():
            for start, stop in pieces:
                if start <= slot < stop:
                    return version, "challenger"
        return self.split.champion, "champion"

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON holds it."""
        return {
            "model": self.model,
            "revision": self.revision,
            **self.split.document(),
            "salt": self.salt,
            "slots": {str(v): [list(p) for p in pieces] for v, pieces in self.slots.items()},
            "history": [dict(entry) for entry in self.history],
        }

    def earlier(self) -> list[tuple[int, Split]]:
        """Return what the history holds besides this plan, newest first, with its revision."""
        kept = [entry for entry in self.history if entry.get("revision") != self.revision]
        return [(int(e["revision"]), parse_split(e)) for e in reversed(kept)]


@dataclass(frozen=True, slots=True)
class Note:
    """Who changed a plan, why, when (ISO 8601 with offset), and what revision it brings back."""

    who: str
    why: str
    at: str
    restores: int | None = None


def slot_of(model: str, salt: str, key: str, day: str) -> int:
    """Return the slot of a unit, 0 to `SLOTS` - 1; the same on every machine.

    Parameters
    ----------
    day : ISO date in Asia/Kolkata of the last candle
    """
    said = "\x1f".join((model, salt, key, day)).encode()
    return int.from_bytes(hashlib.sha256(said).digest()[:8]) * SLOTS >> 64


def parse_split(document: object) -> Split:
    """Return champion, challengers and shadows of a document, strictly.

    Raises
    ------
    PlanRefused
        If a version is no whole number of 1 or more or is named twice, or the weights are not
        shares of one whole.
    """
    if not isinstance(document, Mapping):
        raise PlanRefused("plan", "an object", document)
    champion = _version(document.get("champion"), "champion")
    tried = document.get("challengers", {})
    if not isinstance(tried, Mapping) or len(tried) > CHALLENGERS_MAX:
        raise PlanRefused(
            "challengers", f"an object of version: weight, at most {CHALLENGERS_MAX}", tried
        )
    challengers = {_version_text(v): _weight(v, weight) for v, weight in tried.items()}
    # a thirds' and sixths' sum may be over by an ulp, and by a slot or two when each is rounded
    if sum(challengers.values()) > 1 + WEIGHTS_TOLERANCE:
        raise PlanRefused("challengers", "weights that sum to at most 1", dict(tried))
    listed = document.get("shadows", [])
    if not isinstance(listed, Sequence) or isinstance(listed, str) or len(listed) > SHADOWS_MAX:
        raise PlanRefused("shadows", f"a list of versions, at most {SHADOWS_MAX}", listed)
    shadows = tuple(_version(v, f"shadows[{i}]") for i, v in enumerate(listed))
    split = Split(champion, dict(sorted(challengers.items())), shadows)
    seen: set[int] = set()
    for name, version in _named(split):
        if version in seen:
            raise PlanRefused(name, "a version that no other part names", version)
        seen.add(version)
    return split


def _named(split: Split) -> list[tuple[str, int]]:
    """Return every version of a split with the name of its field."""
    return [
        ("champion", split.champion),
        *((f"challengers.{v}", v) for v in split.challengers),
        *((f"shadows[{i}]", v) for i, v in enumerate(split.shadows)),
    ]


def _version(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 10**9:
        raise PlanRefused(name, "a version number, 1 or more", value)
    return value


def _version_text(value: object) -> int:
    # a version has one text: with "02" beside "2" one of two weights would be lost
    if not (isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,8}", value)):
        raise PlanRefused("challengers", 'versions as texts, like {"13": 0.1}', value)
    return _version(int(value), "challengers")


def _weight(version: object, value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)  # NaN fails both comparisons
    raise PlanRefused(f"challengers.{version}", "a weight from 0 to 1", value)


def parse_plan(document: object, *, model: str) -> Plan:
    """Return the plan that a document holds; slots are laid out where it has none.

    Raises
    ------
    PlanRefused
        If it is not a plan of this model.
    """
    if not isinstance(document, Mapping):
        raise PlanRefused("plan", "an object", document)
    split = parse_split(document)
    if document.get("model", model) != model:
        raise PlanRefused("model", model, document.get("model"))
    revision = document.get("revision")
    if not isinstance(revision, int) or isinstance(revision, bool) or revision < 1:
        raise PlanRefused("revision", "a whole number, 1 or more", revision)
    salt = document.get("salt", default_salt(model))
    if not isinstance(salt, str) or len(salt) > 64:
        raise PlanRefused("salt", "a text of at most 64 characters", salt)
    history = document.get("history", [])
    if not isinstance(history, list) or not all(isinstance(e, Mapping) for e in history):
        raise PlanRefused("history", "a list of earlier plans", type(history).__name__)
    for entry in history:
        parse_split(entry)
        if not isinstance(entry.get("revision"), int):
            raise PlanRefused("history.revision", "a whole number", entry.get("revision"))
    slots = laid_out(_pieces(document.get("slots")), split.challengers)
    return Plan(model, revision, split, salt, slots, tuple(history))


def _pieces(document: object) -> dict[int, Pieces]:
    """Return the slots that a document holds; nothing where they do not make sense."""
    try:
        held = {
            int(v): [(int(a), int(b)) for a, b in pieces]
            for v, pieces in dict(document or {}).items()  # type: ignore[call-overload]
        }
    except (TypeError, ValueError):
        return {}
    taken = sorted(piece for pieces in held.values() for piece in pieces)
    whole = all(0 <= a < b <= SLOTS for a, b in taken)
    apart = all(one[1] <= other[0] for one, other in itertools.pairwise(taken))
    return held if whole and apart else {}


def laid_out(held: Mapping[int, Pieces], weights: Mapping[int, float]) -> dict[int, Pieces]:
    """Return who owns which slots, moving as few as the new weights allow.

    Raising a weight takes the champion's slots, lowering one frees some; what one challenger
    gives up in the same change goes to another only where the champion's do not suffice. The
    versions of even rank grow from the bottom up, the others from the top down, so that for two
    challengers the weights alone decide.
    """
    kept = {v: _shrunk(held.get(v, []), round(w * SLOTS)) for v, w in weights.items()}
    for rank, version in enumerate(sorted(weights)):
        upward = rank % 2 == 0
        for others in ([*held.values(), *kept.values()], list(kept.values())):
            missing = round(weights[version] * SLOTS) - _size(kept[version])
            free = _free(others)
            for a, b in free if upward else reversed(free):
                part = min(missing, b - a)
                if part > 0:
                    kept[version].append((a, a + part) if upward else (b - part, b))
                    missing -= part
        kept[version] = _joined(kept[version])
    return kept


def _free(owned: Sequence[Pieces]) -> Pieces:
    """Return the slots that none of the pieces, which may overlap, covers."""
    free: Pieces = []
    at = 0
    for start, stop in sorted(piece for pieces in owned for piece in pieces):
        if start > at:
            free.append((at, start))
        at = max(at, stop)
    return [*free, (at, SLOTS)] if at < SLOTS else free


def _size(pieces: Pieces) -> int:
    return sum(stop - start for start, stop in pieces)


def _shrunk(pieces: Pieces, size: int) -> Pieces:
    left, kept = size, []
    for start, stop in pieces:
        part = min(left, stop - start)
        if part > 0:
            kept.append((start, start + part))
            left -= part
    return kept


def _joined(pieces: Pieces) -> Pieces:
    joined: Pieces = []
    for start, stop in sorted(pieces):
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined


def next_plan(
    current: Plan | None,
    wanted: Split,
    *,
    model: str,
    note: Note,
    known: Collection[int] | None = None,
    salt: str | None = None,
) -> Plan:
    """Return the plan after a change; the current one if nothing would change.

    Parameters
    ----------
    known : versions that exist; None where that is not checked here
    salt : None keeps the current one; another draws every unit anew

    Raises
    ------
    PlanRefused
        If it names an unknown version or does not fit into the registry's tag.
    """
    for name, version in _named(wanted):
        if known is not None and version not in known:
            raise PlanRefused(name, f"one of the versions {sorted(known)}", version)
    salt = salt or (current.salt if current else default_salt(model))
    if current and current.split == wanted and current.salt == salt:
        return current
    revision = current.revision + 1 if current else 1
    entry: dict[str, Any] = {
        "revision": revision,
        **wanted.document(),
        "who": note.who[:WHY_CHARACTERS_MAX],
        "why": note.why[:WHY_CHARACTERS_MAX],
        "at": note.at,
    }
    if note.restores is not None:
        entry["restores"] = note.restores
    if current and salt != current.salt:
        entry["salt_before"] = current.salt
    slots = laid_out(current.slots if current else {}, wanted.challengers)
    history = [*(_with_itself(current) if current else ()), entry]
    while True:
        plan = Plan(model, revision, wanted, salt, slots, tuple(history))
        size = len(encoded(plan))
        if size <= PLAN_CHARACTERS_MAX:
            return plan
        if len(history) <= 2:
            allowed = f"a plan of at most {PLAN_CHARACTERS_MAX} characters"
            raise PlanRefused("plan", allowed, f"{size} characters")
        history.pop(_dispensable(history))


def _with_itself(plan: Plan) -> list[Mapping[str, Any]]:
    """Return a plan's history with its own entry, which a document written by hand may lack."""
    kept = list(plan.history)
    if any(int(entry["revision"]) == plan.revision for entry in kept):
        return kept
    return [*kept, {"revision": plan.revision, **plan.split.document()}]


def _dispensable(history: Sequence[Mapping[str, Any]]) -> int:
    """Return which entry of a history too long goes first.

    What a roll-back has undone is no step of the next one: it goes before the oldest, so that a
    row of roll-backs does not eat the steps that are left. The last two are always needed: the
    plan itself and the one that a repeated call is compared with.
    """
    restored = history[-1].get("restores")
    if restored is not None:
        for place, entry in enumerate(history[:-2]):
            if int(entry["revision"]) > int(restored):
                return place
    return 0


def encoded(plan: Plan) -> str:
    """Return the text that the registry's tag and `plan.json` hold."""
    return json.dumps(plan.document(), sort_keys=True, separators=(",", ":"), allow_nan=False)


def promoted(current: Plan, version: int) -> Split:
    """Return the split with `version` as champion; the others keep their weights."""
    split = current.split
    return Split(
        version,
        {v: w for v, w in split.challengers.items() if v != version},
        tuple(v for v in split.shadows if v != version),
    )


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a roll-back brings back: the split of a revision, and the salt of that time."""

    split: Split
    revision: int
    salt: str


def rolled_back(current: Plan) -> Earlier | None:
    """Return the plan before the last change; None where there is none.

    A second roll-back goes one further back: what a roll-back restored is where the next starts.
    """
    by_revision = {int(e["revision"]): e for e in current.history}
    here = by_revision.get(current.revision, {})
    start = int(here.get("restores", current.revision))
    earlier = [revision for revision in by_revision if revision < start]
    if not earlier:
        return None
    before = max(earlier)
    salt = by_revision.get(start, {}).get("salt_before", current.salt)
    return Earlier(parse_split(by_revision[before]), before, str(salt))


def default_salt(model: str) -> str:
    """Return the salt of a model's first plan: a demo repeated from nothing splits the same."""
    return hashlib.sha256(f"ratchet:{model}".encode()).hexdigest()[:16]
