"""Predictions joined with what happened: once, the same as in training, only when it is over."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows.data import durable
from flows.data.frame import day_numbers, days_of, ts_ms
from flows.data.intake import ingest
from flows.data.sources import Request
from flows.data.store import CandleStore
from flows.home import Home
from flows.labels import LabelSettings, label_symbol
from flows.monitor import outcomes, quality, records, versions
from flows.training import packaged_policy
from tests.flows.monitor.served import Served, copied, log, serve


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Served:
    request = Request("synthetic", interval="day", symbols=2, days=200)
    made = Home(tmp_path_factory.mktemp("made"))
    return serve(made, request, keep_days=30, versions=(1, 2))


@pytest.fixture
def daily(made_once: Served, home: Path) -> Served:
    """Return a model on two fictional shares' day candles, with 30 days left to serve."""
    return copied(made_once, home)


def join(served: Served, dataset: str | None = None) -> outcomes.Joined:
    with records.connected(served.home) as connection:
        records.take(connection, served.home, served.model)
        return outcomes.join(connection, served.home, served.model, known(served), dataset)


def known(served: Served) -> Any:
    return lambda number: versions.known(served.home, served.model, number)


def kept(served: Served) -> Any:
    folder = outcomes.folder(served.home, served.model)
    frames = [pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))]
    return pd.concat(frames, ignore_index=True)


def test_outcomes_are_the_labels_of_training_bit_for_bit(daily: Served) -> None:
    written = log(daily, daily.later(30)[:20])
    joined = join(daily)
    assert (joined.new, joined.total, joined.results) == (written, written, written)
    assert joined.waiting == {}
    rows = kept(daily)
    frame = CandleStore(daily.home).read(daily.dataset, ["NSE:SYN002"])
    labels = label_symbol(frame, "day", packaged_policy("day"), LabelSettings())
    expected = pd.DataFrame(
        {"candle_ms": ts_ms(frame)[labels.candle], "r_long": labels.r_long, "y": labels.y}
    )
    mine = rows[rows["key"] == "NSE:SYN002"].merge(expected, on="candle_ms")
    assert len(mine) == 20
    assert np.array_equal(mine["r_long_x"], mine["r_long_y"])
    assert np.array_equal(mine["y_x"], mine["y_y"])
    assert set(rows["dataset"]) == {"synthetic"}


def test_again_joins_nothing_and_changes_no_file(daily: Served) -> None:
    days = daily.later(30)
    log(daily, days[:5])
    join(daily)
    folder = outcomes.folder(daily.home, daily.model)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = join(daily)
    assert (again.new, again.total) == (0, 10)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    log(daily, days[5:6])
    more = join(daily)
    assert (more.new, more.total) == (2, 12)
    assert {p: p.stat().st_mtime_ns for p in before} == before  # an old day is not written again


def test_a_shadow_that_comes_later_joins_the_same_day(daily: Served) -> None:
    days = daily.later(30)[:5]
    log(daily, days)
    join(daily)
    log(daily, days, version=2, variant="shadow", name="late")
    joined = join(daily)
    assert (joined.new, joined.total) == (10, 20)
    assert len(kept(daily).drop_duplicates(["request_id", "version"])) == 20


def test_the_last_candle_waits_until_the_next_is_there(home: Path) -> None:
    home.mkdir()
    request = Request("synthetic", interval="day", symbols=1, days=200)
    served = serve(Home(home), request, keep_days=10)
    log(served, served.later(2))
    last = days_of(served.later(1))[0]
    shorter = Request(
        "synthetic", interval="day", symbols=1, days=200, last=last - timedelta(days=1)
    )
    ingest(served.home, shorter, lambda _line: None)
    joined = join(served)
    assert (joined.new, list(joined.waiting.values())) == (0, [2])
    ingest(served.home, request, lambda _line: None)
    joined = join(served)
    assert (joined.new, joined.waiting) == (1, {"the trade is not over in the candles yet": 1})


def test_inside_the_day_a_trade_is_over_with_the_day_and_late_candles_have_none(
    home: Path,
) -> None:
    home.mkdir()
    request = Request("synthetic", interval="60minute", symbols=1, days=30)
    served = serve(Home(home), request, keep_days=5)
    days = served.later(3)
    log(served, days)
    half = CandleStore(served.home).read(served.dataset)
    numbers = day_numbers(ts_ms(half))
    cut = half[: np.flatnonzero(numbers == days[-1])[3]]  # three candles of the last day
    path = home / "half.csv"
    cut.to_csv(path, index=False)
    ingest(served.home, Request(f"csv:{path}", dataset="half"), lambda _line: None)
    joined = join(served, dataset="half")
    assert joined.total == 14  # two whole days of seven candles
    assert sum(joined.waiting.values()) == 7
    rows = kept(served)
    minutes = (rows["candle_ms"] + 19_800_000) // 60_000 % 1440
    assert rows.loc[minutes >= 14 * 60, "y"].isna().all()  # entered after 14:45: no trade
    assert rows.loc[minutes <= 12 * 60 + 15, "y"].notna().all()
    joined = join(served)
    assert (joined.total, joined.waiting) == (21, {})
    assert joined.results == len(kept(served)["y"].dropna())


def test_what_cannot_be_judged_waits_with_its_reason(daily: Served) -> None:
    days = daily.later(30)[:2]
    log(daily, days, version=7)
    daily.key = ["NSE:NOBODY"] * len(daily.key)
    log(daily, days, name="strange")
    joined = join(daily)
    assert joined.total == 0
    reasons = " ".join(joined.waiting)
    assert "version 7 cannot be read" in reasons
    assert "no dataset has the day candles of NSE:NOBODY" in reasons


def test_candles_that_a_simulator_drew_say_nothing(daily: Served) -> None:
    log(daily, daily.later(30)[:2])
    manifest = daily.home.candles / daily.dataset / "dataset.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"simulated_path": false', '"simulated_path": true'))
    assert join(daily).total == 0
    manifest.write_text(text)
    assert join(daily).total == 4


def test_a_join_that_dies_between_two_days_is_finished_by_the_next(
    daily: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(daily, daily.later(30)[:6])
    real, calls = os.fsync, []

    def dies(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 5:  # in the middle of the third day
            raise KeyboardInterrupt
        real(handle)

    monkeypatch.setattr(durable.os, "fsync", dies)
    with pytest.raises(KeyboardInterrupt):
        join(daily)
    monkeypatch.setattr(durable.os, "fsync", real)
    assert len(kept(daily)) == 4
    joined = join(daily)
    assert (joined.new, joined.total) == (8, 12)
    assert not list(outcomes.folder(daily.home, daily.model).glob(".*"))


def test_quality_by_hand_and_the_better_version_wins_by_day(daily: Served) -> None:
    days = daily.later(30)[:25]
    log(daily, days, p=lambda _i: (0.5, 0.25, 0.25))
    log(daily, days, version=2, variant="shadow", p=lambda _i: (0.1, 0.8, 0.1), name="shadow")
    with records.connected(daily.home) as connection:
        records.take(connection, daily.home, daily.model)
        outcomes.join(connection, daily.home, daily.model, known(daily))
        lines = quality.by_version(connection)
        paired = quality.against(connection, 1, [1, 2])
        losses = [quality.loss(connection, number) for number in (1, 2, 3)]
    y = kept(daily).query("version == 1")["y"].to_numpy()
    p = np.where(y == 0, 0.5, 0.25)
    first = lines[0]
    assert (first["version"], first["variant"], first["rows"], first["days"]) == (
        1, "champion", 50, 25,
    )  # fmt: skip
    assert first["log_loss"] == pytest.approx(-np.log(p).mean(), abs=1e-6)
    brier = np.where(y == 0, 0.375, 0.875)
    assert first["brier"] == pytest.approx(brier.mean(), abs=1e-6)
    assert (first["trades"], first["hit"], first["mean_r"]) == (0, None, None)
    r = kept(daily).query("version == 2")["r_long"]
    assert lines[1]["trades"] == 50
    assert lines[1]["hit"] == pytest.approx((r > 0).mean(), abs=1e-6)
    assert lines[1]["mean_r"] == pytest.approx(r.mean(), abs=1e-6)
    other = np.where(y == 1, 0.8, 0.1)
    assert paired[0]["mean"] == pytest.approx((np.log(p) - np.log(other)).mean(), abs=1e-6)
    assert (paired[0]["version"], paired[0]["days"]) == (2, 25)
    assert paired[0]["low"] < paired[0]["mean"] < paired[0]["high"]
    shares = np.bincount(y) / len(y)
    assert losses[1] is not None
    assert losses[1]["mean"] == pytest.approx((np.log(shares[y]) - np.log(other)).mean(), abs=1e-6)
    assert losses[1]["asks"] is (losses[1]["low"] > 0)
    assert losses[2] is None


def test_a_confidence_sequence_errs_rarely_however_often_it_is_looked_at() -> None:
    draw = np.random.default_rng(3)
    wrong = 0
    for _ in range(400):
        low, high = quality.sequence(draw.standard_t(5, size=250))
        wrong += bool(((low > 0) | (high < 0)).any())
    assert wrong / 400 < quality.ERROR
    low, _ = quality.sequence(draw.standard_normal(250) + 0.4)
    assert (low[:20] == -np.inf).all()
    assert low[-1] > 0
