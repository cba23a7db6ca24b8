"""The draw of faults: aimed, windowed, counted, seeded; the same questions get the same answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import SettingRefused
from agent.paper.faults import FAULTS_MAX, KINDS, Asked, Fault, Faults, read_fault
from tests.agent.paper.lab import at

OPERATIONS = ("place", "modify", "cancel", "orders", "positions", "quote")
PLACE = Asked("place", write=True, symbol="NSE:INFY", tag="e1")
STOP = Asked("place", write=True, symbol="NSE:INFY", tag="s1", stop=True)
READ = Asked("orders")
TEN = at("10:00")


def fault(**document: object) -> Fault:
    return read_fault({"kind": "timeout_after"} | document, OPERATIONS)


def struck(document: dict, asked: list[Asked], now: int = TEN, day: int = 0) -> list[int]:
    """Return which of the calls a fault strikes, from 1."""
    faults = Faults()
    faults.arm(read_fault({"kind": "storm_429"} | document, OPERATIONS))
    return [n for n, one in enumerate(asked, 1) if faults.strike("call", one, now, day)]


#  id, the fault, what is asked, which are struck
AIMS = [
    ("everything", {}, [PLACE, READ], [1, 2]),
    ("writes", {"operation": "write"}, [PLACE, READ], [1]),
    ("reads", {"operation": "read"}, [PLACE, READ], [2]),
    ("one operation", {"operation": "positions"}, [PLACE, READ, Asked("positions")], [3]),
    ("a symbol", {"symbol": "INFY"}, [PLACE, Asked("place", symbol="NSE:TCS")], [1]),
    ("a key", {"symbol": "NSE:INFY"}, [PLACE, Asked("place", symbol="BSE:INFY")], [1]),
    ("no symbol, no strike", {"symbol": "INFY"}, [READ], []),
    ("a tag's beginning", {"tag": "s"}, [PLACE, STOP], [2]),
    ("the second", {"nth": 2}, [PLACE] * 4, [2]),
    ("the second of its aim", {"nth": 2, "operation": "write"}, [PLACE, READ, PLACE], [3]),
    ("at most two", {"count": 2}, [PLACE] * 4, [1, 2]),
    ("only a stop", {"kind": "stop_refused"}, [PLACE, STOP], [2]),
    ("the kind's own aim", {"kind": "late_order"}, [READ, Asked("modify", write=True), PLACE], [3]),
]  # fmt: skip


@pytest.mark.parametrize("row", AIMS, ids=[row[0] for row in AIMS])
def test_a_fault_strikes_what_it_is_aimed_at(row: tuple) -> None:
    _, document, asked, want = row
    assert struck(document, asked) == want


#  id, the window, times at which a call is struck of 09:59:59, 10:00, 10:29:59, 10:30
WINDOWS = [
    ("since", {"since": "10:00:00"}, [2, 3, 4]),
    ("until", {"until": "10:30"}, [1, 2, 3]),
    ("both, the end outside", {"since": "10:00", "until": "10:30"}, [2, 3]),
    ("another day", {"day": 2}, []),
    ("this day", {"day": 1}, [1, 2, 3, 4]),
]


@pytest.mark.parametrize("row", WINDOWS, ids=[row[0] for row in WINDOWS])
def test_a_window_of_the_day(row: tuple) -> None:
    _, window, want = row
    faults = Faults()
    faults.arm(fault(**window))
    times = [at("09:59:59"), TEN, at("10:29:59"), at("10:30")]
    assert [n for n, ms in enumerate(times, 1) if faults.strike("call", PLACE, ms, 0)] == want


def test_a_window_that_an_event_opens_and_that_closes_again() -> None:
    faults = Faults()
    faults.arm(fault(after="fill", nth=2, symbol="INFY", after_ms=500, for_ms=1_000))
    infy, tcs = Asked(symbol="NSE:INFY"), Asked(symbol="NSE:TCS")
    for kind, asked in (("fill", tcs), ("placed", infy), ("fill", infy)):
        faults.saw(kind, asked, TEN)
    assert faults.strike("call", PLACE, TEN + 10_000, 0) is None
    faults.saw("fill", infy, TEN)
    open_at = [
        ms for ms in (0, 499, 500, 1_499, 1_500) if faults.strike("call", PLACE, TEN + ms, 0)
    ]
    assert open_at == [500, 1_499]
    faults.saw("fill", infy, TEN + 60_000)  # it opens once
    assert faults.strike("call", PLACE, TEN + 60_600, 0) is None


def test_a_probability_is_a_share_and_another_seed_another_draw() -> None:
    def draws(**document: object) -> list[int]:
        return struck({"probability": 0.3} | document, [PLACE] * 1_000)

    assert 240 < len(draws(seed=1)) < 360
    assert draws(seed=1) == draws(seed=1)
    assert draws(seed=1) != draws(seed=2)


DOCUMENTS = st.fixed_dictionaries(
    {"kind": st.sampled_from(["storm_429", "timeout_after", "late_order", "server_error"])},
    optional={
        "probability": st.floats(0.05, 1), "count": st.integers(0, 5), "nth": st.integers(0, 5),
        "tag": st.sampled_from(["", "s", "e"]), "seed": st.integers(0, 9),
        "operation": st.sampled_from(["any", "read", "write", "place"]),
    },
)  # fmt: skip
CALLS = st.lists(st.sampled_from([PLACE, STOP, READ]), max_size=40)


@settings(max_examples=60, deadline=None)
@given(st.lists(DOCUMENTS, max_size=4), CALLS, st.integers(0, 40))
def test_the_same_calls_get_the_same_faults_over_a_restart_too(
    documents: list, calls: list, cut: int
) -> None:
    faults = [read_fault(one, OPERATIONS) for one in documents]
    whole, other = Faults(3), Faults(3)
    for one in faults:
        whole.arm(one)
        other.arm(one)
    seen = []
    for n, call in enumerate(calls):
        if n == cut:
            other = Faults.restored(json.loads(json.dumps(other.kept())))
        strikes = [every.strike("call", call, TEN + n, 0) for every in (whole, other)]
        told = [one and (one.number, one.chance) for one in strikes]
        assert told[0] == told[1]
        seen.append(told[0])
    assert whole.documents() == other.documents()
    for number, one in whole.armed.items():
        assert not one.fault.count or one.struck <= one.fault.count
        assert one.struck == sum(1 for strike in seen if strike and strike[0] == number)


def test_a_span_is_drawn_inside_its_ends() -> None:
    faults = Faults()
    faults.arm(read_fault({"kind": "late_order"}, OPERATIONS))
    delays = [s.within("delay_ms") for _ in range(400)
              if (s := faults.strike("call", PLACE, TEN, 0))]  # fmt: skip
    assert min(delays) >= 8_000
    assert max(delays) <= 90_000
    assert min(delays) < 12_000
    assert max(delays) > 80_000


#  id, document, the key that is named, words of the refusal
WRONG = [
    ("no kind", {"kind": ""}, "kind", "timeout_before"),
    ("unknown kind", {"kind": "meteor"}, "kind", "meteor"),
    ("unknown key", {"colour": 1}, "colour", "probability"),
    ("a probability above 1", {"probability": 1.2}, "probability", "less than or equal to 1"),
    ("a probability of nothing", {"probability": 0}, "probability", "greater than 0"),
    ("a negative count", {"count": -1}, "count", "greater than or equal to 0"),
    ("an unknown operation", {"operation": "buy"}, "operation", "place"),
    ("another kind's parameter", {"skew_ms": 3}, "skew_ms", "answer"),
    ("an answer there is not", {"answer": "418"}, "answer", "504"),
    ("a time there is not", {"since": "25:00"}, "since", "time"),
    ("an end before its beginning", {"since": "11:00", "until": "10:00"}, "until", "11:00"),
    ("a length from nowhere", {"for_ms": 5}, "for_ms", "after"),
    ("an event there is not", {"after": "lunch"}, "after", "fill"),
    ("a delay the wrong way", {"kind": "late_order", "delay_ms": [9, 8]}, "delay_ms", "smaller"),
]


@pytest.mark.parametrize("row", WRONG, ids=[row[0] for row in WRONG])
def test_a_wrong_fault_is_refused_by_its_key(row: tuple) -> None:
    _, document, key, words = row
    with pytest.raises(SettingRefused) as refused:
        fault(**document)
    assert refused.value.subject == key
    assert words in str(refused.value)


def test_as_many_as_may_be_armed_and_no_more() -> None:
    faults = Faults()
    for _ in range(FAULTS_MAX):
        faults.arm(fault())
    with pytest.raises(SettingRefused, match=str(FAULTS_MAX)):
        faults.arm(fault())
    assert faults.clear(5) == 1
    assert faults.clear(5) == 0
    assert faults.clear() == FAULTS_MAX - 1


def test_every_kind_can_be_armed_with_its_defaults() -> None:
    for kind, facts in KINDS.items():
        one = read_fault({"kind": kind}, OPERATIONS)
        assert [one.own(name) for name in facts.own] == list(facts.own.values())
        again = Fault.model_validate_json(one.model_dump_json())
        assert again == one
