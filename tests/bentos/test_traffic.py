"""The traffic plan: a sticky split that moves as few units as it can, and its history."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.traffic import (
    PLAN_CHARACTERS_MAX,
    SLOTS,
    Note,
    Plan,
    PlanRefused,
    Split,
    encoded,
    next_plan,
    parse_plan,
    parse_split,
    promoted,
    rolled_back,
    slot_of,
)

NOTE = Note("ann", "because", "2026-01-05T10:00:00+05:30")


def plan(champion: int = 1, challengers: dict[int, float] | None = None, **more: object) -> Plan:
    document = {
        "model": "m", "revision": 1, "champion": champion,
        "challengers": {str(v): w for v, w in (challengers or {}).items()},
    } | more  # fmt: skip
    return parse_plan(document, model="m")


def step(current: Plan | None, split: Split) -> Plan:
    return next_plan(current, split, model="m", note=NOTE)


def owners(current: Plan) -> list[int]:
    """The version of every 500th slot and of the edges of every piece."""
    slots = set(range(0, SLOTS, 500))
    for pieces in current.slots.values():
        slots |= {edge for piece in pieces for edge in (piece[0], piece[1] - 1)}
    return [current.choose(slot)[0] for slot in sorted(slots)]


weights = st.dictionaries(st.integers(2, 6), st.integers(0, 25).map(lambda w: w / 100), max_size=4)


@settings(max_examples=50)
@given(st.lists(weights, min_size=1, max_size=6))
def test_units_move_only_between_champion_and_the_changed_challenger(
    steps: list[dict[int, float]],
) -> None:
    current = step(None, Split(1))
    probes = range(0, SLOTS, 1999)
    for wanted in steps:
        after = step(current, Split(1, wanted))
        for version, weight in wanted.items():
            owned = sum(stop - start for start, stop in after.slots[version])
            assert owned == round(weight * SLOTS), "the share is exact"
        for slot in probes:
            was, now = current.choose(slot)[0], after.choose(slot)[0]
            if was == now:
                continue
            before = current.split.challengers
            raised = sum(max(0, round((w - before.get(v, 0)) * 100)) for v, w in wanted.items())
            if raised > 100 - round(sum(before.values()) * 100):
                continue  # the champion has not that many: some must come from who gives up
            assert 1 in {was, now}, f"slot {slot} went from challenger {was} to {now}"
            if now != 1:
                assert wanted[now] > before.get(now, 0.0)
            else:
                assert wanted.get(was, 0.0) < before[was]
        current = after


@given(st.integers(0, 100), st.integers(0, 100))
def test_two_challengers_are_laid_out_by_their_weights_alone(a: int, b: int) -> None:
    """A plan written by hand without slots splits alike, and raising one spares the other."""
    a, b = min(a, b) // 2, max(a, b) // 2
    low = plan(1, {2: a / 100, 3: b / 100})
    more = plan(1, {2: (100 - b) / 100, 3: b / 100})
    assert low.slots[3] == more.slots[3]


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_a_unit_has_one_slot(salt: str, key: str, day: str) -> None:
    slot = slot_of("m", salt, key, day)
    assert slot == slot_of("m", salt, key, day)
    assert 0 <= slot < SLOTS


def test_slots_are_even_and_drawn_anew_each_day_model_and_salt() -> None:
    keys = [f"NSE:S{i}" for i in range(4000)]
    share = sum(slot_of("m", "s", k, "2026-01-05") < 0.2 * SLOTS for k in keys) / len(keys)
    assert abs(share - 0.2) < 0.025  # 4 standard deviations of a share of 4,000
    for other in (("m", "s", "2026-01-06"), ("n", "s", "2026-01-05"), ("m", "t", "2026-01-05")):
        model, salt, day = other
        same = sum(
            (slot_of("m", "s", k, "2026-01-05") < 0.2 * SLOTS)
            == (slot_of(model, salt, k, day) < 0.2 * SLOTS)
            for k in keys
        )
        assert abs(same / len(keys) - (0.2**2 + 0.8**2)) < 0.035


def test_the_split_is_pinned() -> None:
    """Other numbers would move every open unit of everybody at an upgrade."""
    assert slot_of("sample", "salt", "NSE:INFY", "2026-01-05") == PINNED


PINNED = 80520


def test_a_weight_of_zero_takes_nothing_and_of_one_everything() -> None:
    assert set(owners(plan(1, {2: 0.0}))) == {1}
    assert set(owners(plan(1, {2: 1.0}))) == {2}
    assert plan(1, {2: 0.0, 3: 0.1}).split.takers == (1, 3)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (None, "plan"),
        ([], "plan"),
        ({}, "champion"),
        ({"champion": 0}, "champion"),
        ({"champion": "1"}, "champion"),
        ({"champion": True}, "champion"),
        ({"champion": 1.0}, "champion"),
        ({"champion": 1, "challengers": [2]}, "challengers"),
        ({"champion": 1, "challengers": {"x": 0.1}}, "challengers"),
        ({"champion": 1, "challengers": {"2": -0.1}}, "challengers.2"),
        ({"champion": 1, "challengers": {"2": 1.1}}, "challengers.2"),
        ({"champion": 1, "challengers": {"2": float("nan")}}, "challengers.2"),
        ({"champion": 1, "challengers": {"2": "0.1"}}, "challengers.2"),
        ({"champion": 1, "challengers": {"2": True}}, "challengers.2"),
        ({"champion": 1, "challengers": {"2": 0.6, "3": 0.6}}, "challengers"),
        ({"champion": 1, "challengers": {"1": 0.1}}, "challengers.1"),
        ({"champion": 1, "challengers": {"2": 0.1, "02": 0.2}}, "challengers"),
        ({"champion": 1, "challengers": {"0": 0.1}}, "challengers"),
        ({"champion": 1, "challengers": {"2": 0.5, "3": 0.500001}}, "challengers"),
        ({"champion": 1, "shadows": [1]}, "shadows[0]"),
        ({"champion": 1, "challengers": {"2": 0.1}, "shadows": [2]}, "shadows[0]"),
        ({"champion": 1, "shadows": "23"}, "shadows"),
        ({"champion": 1, "shadows": [2, 2]}, "shadows[1]"),
        ({"champion": 1, "shadows": list(range(2, 30))}, "shadows"),
    ],
)
def test_a_bad_split_is_refused_by_field(document: object, field: str) -> None:
    with pytest.raises(PlanRefused) as refused:
        parse_split(document)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model": "other"}, "model"),
        ({"revision": 0}, "revision"),
        ({"revision": "1"}, "revision"),
        ({"salt": 7}, "salt"),
        ({"salt": "x" * 65}, "salt"),
        ({"history": {}}, "history"),
        ({"history": [1]}, "history"),
        ({"history": [{"champion": 1}]}, "history.revision"),
        ({"history": [{"champion": "1", "revision": 1}]}, "champion"),
    ],
)
def test_a_bad_plan_is_refused_by_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(PlanRefused) as refused:
        plan(**{"champion": 1, **change})  # type: ignore[arg-type]
    assert refused.value.field == field


@pytest.mark.parametrize(
    "slots",
    [None, 7, "x", {"2": "x"}, {"2": [[0]]}, {"2": [[5, 1]]}, {"2": [[0, 10]], "3": [[5, 15]]},
     {"2": [[0, 2 * SLOTS]]}],
)  # fmt: skip
def test_slots_that_make_no_sense_are_laid_out_again(slots: object) -> None:
    assert plan(1, {2: 0.2}, slots=slots).slots == {2: [(0, 200_000)]}


def test_a_plan_survives_its_own_document() -> None:
    current = step(step(None, Split(1)), Split(1, {2: 0.2, 3: 0.1}, (4,)))
    assert parse_plan(json.loads(encoded(current)), model="m") == current


def test_a_change_that_changes_nothing_is_no_new_revision() -> None:
    current = step(None, Split(1, {2: 0.1}))
    assert step(current, Split(1, {2: 0.1})) is current
    other = next_plan(current, current.split, model="m", note=NOTE, salt="new")
    assert (other.revision, other.salt) == (2, "new")


@pytest.mark.parametrize("n", [3, 6, 7, 11, 12, 13])
def test_equal_shares_of_the_whole_are_a_plan(n: int) -> None:
    """A sixth rounds up: six of them are two slots over a million."""
    split = parse_split({"champion": 1, "challengers": {str(v): 1 / n for v in range(2, n + 2)}})
    current = step(None, split)
    assert sum(b - a for pieces in current.slots.values() for a, b in pieces) >= SLOTS - n
    assert parse_plan(json.loads(encoded(current)), model="m") == current


def test_unknown_versions_are_refused() -> None:
    with pytest.raises(PlanRefused, match=r"challengers\.9: found 9"):
        next_plan(None, Split(1, {9: 0.1}), model="m", note=NOTE, known=[1, 2])


def test_history_is_kept_as_far_as_the_registry_holds_it() -> None:
    current = None
    for i in range(120):
        current = step(current, Split(1, {2: (i % 90 + 1) / 100}))
        assert len(encoded(current)) <= PLAN_CHARACTERS_MAX
    assert current is not None
    assert current.revision == 120
    assert [e["revision"] for e in current.history][-2:] == [119, 120]


def test_promotion_takes_the_version_out_of_its_part() -> None:
    current = step(None, Split(1, {2: 0.2, 3: 0.1}, (4,)))
    assert promoted(current, 2) == Split(2, {3: 0.1}, (4,))
    assert promoted(current, 4) == Split(4, {2: 0.2, 3: 0.1}, ())


def test_each_roll_back_goes_one_further_back() -> None:
    history = [Split(1), Split(1, {2: 0.2}), Split(2), Split(2, {3: 0.1})]
    current: Plan | None = None
    for split in history:
        current = step(current, split)
    assert current is not None
    for expected in reversed(history[:-1]):
        found = rolled_back(current)
        assert found is not None
        assert found.split == expected
        note = Note("ann", "", NOTE.at, found.revision)
        current = next_plan(current, found.split, model="m", note=note)
    assert rolled_back(current) is None
    assert rolled_back(step(current, Split(5))) is not None, "a new change can be undone again"


def test_a_long_row_of_roll_backs_loses_no_step_that_is_left() -> None:
    current = None
    for version in range(1, 61):
        current = step(current, Split(version))
    assert current is not None
    for back in range(1, 25):
        found = rolled_back(current)
        assert found is not None, back
        assert found.split.champion == 60 - back
        note = Note("test", "", "2026-11-26T10:00:00+05:30", found.revision)
        current = next_plan(current, found.split, model="tiny", note=note)
        assert len(encoded(current)) <= PLAN_CHARACTERS_MAX
        assert [e["revision"] for e in current.history][-2:] == [
            current.revision - 1, current.revision,
        ]  # fmt: skip
