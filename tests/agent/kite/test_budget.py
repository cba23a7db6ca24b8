"""The broker's budgets: never more in any window, exits served from what is kept for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kite.budget import KINDS, WINDOWS, Budget, Kind

START = 1_762_141_500_000


@pytest.fixture
def budget(home: Path) -> Budget:
    return Budget(home / "kite", "key")


@pytest.mark.parametrize("kind", KINDS)
def test_a_burst_ends_at_the_budget_and_says_when_to_ask_again(budget: Budget, kind: Kind) -> None:
    most = WINDOWS[kind][0].calls
    answers = [budget.take(kind, START, hurried=True) for _ in range(most + 2)]
    assert answers[:most] == [0] * most
    again = answers[most]
    assert again == START + WINDOWS[kind][0].length_ms
    assert budget.take(kind, again - 1, hurried=True) > 0
    assert budget.take(kind, again, hurried=True) == 0


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 900), st.sampled_from(KINDS), st.booleans()), max_size=120
    )
)
def test_no_window_ever_holds_more_than_the_broker_allows(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, Kind, bool]]
) -> None:
    budget = Budget(tmp_path_factory.mktemp("budget"), "key")
    now, sent = START, dict.fromkeys(KINDS, ())
    for wait, kind, hurried in steps:
        now += wait
        if budget.take(kind, now, hurried=hurried) == 0:
            sent[kind] = (*sent[kind], now)
    for kind, times in sent.items():
        for window in WINDOWS[kind]:
            for first in times:
                inside = sum(first <= at < first + window.length_ms for at in times)
                assert inside <= window.calls
    budget.close()


def test_t21_entries_wait_while_exits_are_served_from_what_is_kept(budget: Budget) -> None:
    now, entries = START, 0
    while budget.take("order", now) == 0 or now < START + 40_000:
        entries += 1
        now += 150
    assert budget.take("order", now) > 0
    exits = 0
    while exits < 90 and budget.take("order", now + exits * 130, hurried=True) == 0:
        exits += 1
    assert exits >= 90


def test_requests_that_belong_together_leave_together_or_not_at_all(budget: Budget) -> None:
    assert [budget.take("other", START, calls=2) for _ in range(4)] == [0] * 4
    again = budget.take("other", START + 10, calls=2)  # one is left of nine
    assert again == START + 1_100
    assert budget.take("other", START + 20) == 0
    assert budget.take("other", again, calls=2) == 0


def test_two_processes_with_one_key_count_in_the_same_place(home: Path) -> None:
    ours, theirs = Budget(home / "kite", "key"), Budget(home / "kite", "key")
    other = Budget(home / "kite", "another key")
    for n in range(9):
        assert (ours, theirs)[n % 2].take("other", START + n) == 0
    assert ours.take("other", START + 10) > 0
    assert theirs.take("other", START + 10) > 0
    assert other.take("other", START + 10) == 0


def test_a_new_process_remembers_what_the_old_one_sent(home: Path) -> None:
    first = Budget(home / "kite", "key")
    for n in range(9):
        first.take("order", START + n, hurried=True)
    first.close()
    assert Budget(home / "kite", "key").take("order", START + 100, hurried=True) > 0


def test_a_log_of_another_clock_is_put_away(home: Path) -> None:
    ahead = Budget(home / "kite", "key")
    ahead.take("quote", START + 10**9)
    assert Budget(home / "kite", "key").take("quote", START) == 0


def test_a_torn_record_at_the_end_does_no_harm(home: Path) -> None:
    budget = Budget(home / "kite", "key")
    budget.take("order", START)
    with budget.path.open("ab") as log:
        log.write(b"\x01\x02\x03")
    assert Budget(home / "kite", "key").take("order", START + 1) == 0


def test_the_key_is_not_in_the_files_name(home: Path) -> None:
    assert "secretkey" not in Budget(home / "kite", "secretkey").path.name
