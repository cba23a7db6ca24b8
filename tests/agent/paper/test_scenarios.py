"""Scenarios: the library reads and plays, shapes are what they say, a wrong file names its line."""

from __future__ import annotations

from datetime import date, time
from pathlib import Path

import numpy as np
import pytest

from agent.errors import SettingRefused
from agent.market.sessions import NSE
from agent.paper.exchange import Exchange
from agent.paper.opening import OPERATIONS, Opening, open_market
from agent.paper.scenario import find_scenario, library, line_of, read_scenario
from agent.paper.shapes import Shape, draw_shapes
from tests.agent.paper.lab import at, wander, write_csv
from tests.agent.paper.test_command import paper

DAY = date(2026, 11, 27)
NAMES = [
    "broker_outage", "calm_day", "circuit_lock", "closing_auction", "flash_crash",
    "gap_through_stop", "silent_ticker", "split_overnight", "storm_429",
]  # fmt: skip
GOOD = """\
teaches = "Something that is worth it."
safe = "It does what is right."
days = [2026-11-27]

[[symbols]]
symbol = "INFY"
close = 100.0
paths = [[["09:15", 0.0], ["15:15", 1.0]]]

[[faults]]
kind = "storm_429"
probability = 0.5

[[faults]]
kind = "ticker_silent"
since = "10:00"
"""


def read(text: str) -> object:
    return read_scenario(text, "mine.toml", OPERATIONS)


def test_the_library_is_what_it_is_said_to_be() -> None:
    assert library() == NAMES


def market(name: str, tmp_path: Path) -> object:
    scenario = find_scenario(name, OPERATIONS)
    opening = Opening(tmp_path, DAY, scenario=scenario, seed=scenario.seed, ticks_per_day=1_500)
    return open_market(opening)


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_of_the_library_plays_its_days(name: str, tmp_path: Path) -> None:
    scenario = find_scenario(name, OPERATIONS)
    played = market(name, tmp_path)
    assert played.days == scenario.days
    for key in played.keys:
        for on in played.days:
            tape = played.tape(key, on)
            lower, upper = played.band(key, on)
            assert len(tape.times) >= 1_400
            assert lower <= min(tape.prices) <= max(tape.prices) <= upper
        window = played.candles(key, "day", (0, at("09:00", DAY)), at("09:00", DAY))
        assert len(window) >= 20


def tape_of(name: str, key: str, tmp_path: Path) -> tuple[list[int], list[int], object]:
    played = market(name, tmp_path)
    tape = played.tape(key, DAY)
    return tape.times, tape.prices, played


def test_the_gap_is_between_two_ticks(tmp_path: Path) -> None:
    times, prices, _ = tape_of("gap_through_stop", "NSE:INFY", tmp_path)
    steps = np.diff(np.log(prices))
    n = int(np.argmin(steps))
    assert steps[n] < -0.03
    assert times[n + 1] == at("10:00", DAY)


def test_the_crash_recovers(tmp_path: Path) -> None:
    times, prices, _ = tape_of("flash_crash", "NSE:INFY", tmp_path)
    close = 154_000
    low = min(prices)
    assert low < 0.92 * close
    assert at("11:00", DAY) <= times[prices.index(low)] <= at("11:04", DAY)
    after = [p for t, p in zip(times, prices, strict=True) if t >= at("11:10", DAY)]
    assert min(after) > 0.98 * close


def test_at_the_circuit_one_side_of_the_book_is_empty(tmp_path: Path) -> None:
    exchange = Exchange(market("circuit_lock", tmp_path), cash=1)
    exchange.start()
    while exchange.now_ms < at("11:30", DAY):
        exchange.move_to(exchange.next_due() or 0)
    for key, empty, full in (("NSE:TCS", "asks", "bids"), ("NSE:INFY", "bids", "asks")):
        shown = exchange.boards[key].look()
        assert getattr(shown, empty) == ()
        assert getattr(shown, full) != ()
    assert exchange.boards["NSE:TCS"].last == pytest.approx(331_000 * 1.05, rel=0.001)


def test_stocks_with_derivatives_close_by_auction(tmp_path: Path) -> None:
    played = market("closing_auction", tmp_path)
    ends = {key: played.session(key, DAY).closes.time() for key in played.keys}
    assert ends == {"NSE:INFY": time(15, 15), "NSE:TCS": time(15, 15), "NSE:SBIN": time(15, 30)}


def test_a_split_halves_the_close_and_the_history_but_not_yesterdays_ticks(tmp_path: Path) -> None:
    played = market("split_overnight", tmp_path)
    first, second = played.days
    last = played.tape("NSE:INFY", first).prices[-1]
    assert played.previous_close("NSE:INFY", second) == pytest.approx(last / 2, abs=1)
    opens = played.tape("NSE:INFY", second).prices[0]
    assert 0.45 < opens / last < 0.55
    span = (at("09:15", first), at("15:15", first))
    before = played.candles("NSE:INFY", "minute", span, at("15:30", first))
    after = played.candles("NSE:INFY", "minute", span, at("10:00", second))
    assert [c.close for c in after] == [round(c.close / 2) for c in before]
    assert after[0].volume == 2 * before[0].volume
    assert played.previous_close("NSE:TCS", second) == played.tape("NSE:TCS", first).prices[-1]


def test_a_shape_goes_through_its_waypoints_and_repeats() -> None:
    path = ((time(9, 15), 0.0), (time(10, 0), 2.0), (time(15, 30), -1.0))
    shape = Shape("NSE:A", 100.0, (path,), derivatives=False)
    drawn = [draw_shapes([shape], [DAY], seed=5, history_days=3) for _ in range(2)]
    one, two = (each.candles["NSE:A"] for each in drawn)
    assert (one.close == two.close).all()
    assert one.close.size == 4 * 375
    day = one.close[-375:]
    assert day[44] == pytest.approx(102.0, abs=0.02)
    assert day[-1] == pytest.approx(99.0, abs=0.02)
    assert one.close[-376] == pytest.approx(100.0, abs=0.02)
    other = draw_shapes([shape], [DAY], seed=6, history_days=3).candles["NSE:A"]
    assert (other.close != one.close).any()
    assert NSE.session(DAY) is not None


#  id, what is changed in GOOD, the line that is named, words
WRONG = [
    ("no TOML", ("close = 100.0", "close = = 1"), 7, "Invalid value"),
    ("no lesson", ('teaches = "Something that is worth it."\n', ""), 1, "teaches"),
    ("unknown key", ("safe =", "save ="), 2, "save"),
    ("a price of nothing", ("100.0", "0.0"), 7, "symbols[0].close"),
    ("a time there is not", ('"15:15"', '"25:15"'), 8, "paths"),
    ("times that fall", ('"15:15"', '"09:10"'), 8, "times that rise"),
    ("a holiday", ("2026-11-27", "2026-11-24"), 3, "NSE trades"),
    ("an unknown fault", ('"storm_429"', '"storm"'), 11, "faults[0].kind"),
    ("a wrong share", ("0.5", "5"), 12, "faults[0].probability"),
    ("the second fault", ('"10:00"', '"late"'), 16, "faults[1].since"),
    ("a key of another kind", ('"ticker_silent"', '"ticker_silent"\nskew_ms = 4'), 16, "skew_ms"),
    ("nothing to trade", (GOOD[GOOD.index("[[symbols"):GOOD.index("[[faults")], ""), 1, "candles"),
]  # fmt: skip


@pytest.mark.parametrize("row", WRONG, ids=[row[0] for row in WRONG])
def test_a_wrong_scenario_names_line_and_key(row: tuple) -> None:
    _, (old, new), line, words = row
    assert old in GOOD
    with pytest.raises(SettingRefused) as refused:
        read(GOOD.replace(old, new, 1))
    told = str(refused.value)
    assert f"line {line}" in told, told
    assert words in told, told
    assert "mine.toml" in told


def test_a_good_one_reads() -> None:
    scenario = read(GOOD)
    assert [fault.kind for fault in scenario.faults] == ["storm_429", "ticker_silent"]
    assert line_of(GOOD, ("faults", 1, "since")) == 16


@pytest.mark.parametrize("days", ["", "days = [2025-11-03]\n"])
def test_real_candles_instead_of_a_shape(tmp_path: Path, days: str) -> None:
    write_csv(tmp_path / "days.csv", wander(11, 6))
    path = tmp_path / "real.toml"
    head = GOOD[: GOOD.index("days =")] + days + 'candles = "days.csv"\n'
    path.write_text(head + GOOD[GOOD.index("[[faults") :])
    scenario = find_scenario(str(path), OPERATIONS)
    played = open_market(Opening(tmp_path, DAY, scenario=scenario, ticks_per_day=60))
    assert played.keys == ("NSE:AAA", "NSE:BBB", "NSE:CCC")
    assert played.days == scenario.days if days else len(played.days) > 1


def test_the_command_lists_them_and_refuses_a_wrong_one(tmp_path: Path) -> None:
    listed = paper("--list-scenarios")
    assert listed.returncode == 0
    assert [line for line in listed.stdout.splitlines() if not line.startswith(" ")] == NAMES
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace("0.5", "5"))
    wrong = paper("--scenario", str(path), "--home", str(tmp_path))
    assert wrong.returncode == 2
    assert "mine.toml, line 12: faults[0].probability" in wrong.stderr.replace("\n", " ")
    assert paper("--scenario", "no_such_day").returncode == 2
    both = paper("--scenario", "calm_day", "--candles", "x", "--home", str(tmp_path))
    assert both.returncode == 2
