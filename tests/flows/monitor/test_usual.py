"""Served days against training days: units, findings, alarms; then the same on real NSE days."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bentos.features import FEATURES
from flows.data.frame import VALUES, day_numbers, make_frame, ts_ms
from flows.data.sources.files import FileSource
from flows.monitor import integrity, tails
from flows.monitor.usual import STATISTICS, Usual
from flows.reference import reference
from tests.flows.monitor.served import NAMES, features_of

ROWS, DAYS = 20, 200
PLAIN = ["level", "size", "constant", "share"]


def made(seed: int, days: int, first_day: int = 0) -> tuple[Any, Any]:
    """Return rows of four made-up features and their days."""
    draw = np.random.default_rng(seed)
    n = days * ROWS
    day = np.repeat(np.arange(days), ROWS) + first_day
    common = draw.standard_normal(days)[day - first_day]
    x = np.stack(
        [
            0.5 * common + draw.standard_normal(n),
            np.exp(0.5 * draw.standard_normal(n)),
            np.full(n, 3.0),
            draw.random(n),
        ],
        axis=1,
    )
    x[draw.random(n) < 0.02, 3] = np.nan
    return x, day


@pytest.fixture(scope="module")
def usual() -> Usual:
    return Usual(reference(*made(1, DAYS), PLAIN))


def test_a_quiet_day_has_neither_findings_nor_alarms(usual: Usual) -> None:
    units, few = usual.units(*made(2, 40, DAYS))
    assert (len(units), few) == (40, None)
    assert [f for unit in units for f in integrity.findings(unit, usual)] == []
    assert sum(bool(usual.alarms(unit)) for unit in units) <= 2 * 40 / tails.MONTH_DAYS


def _set(column: int, change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def changed(x: Any) -> Any:
        x[:, column] = change(x[:, column])
        return x

    return changed


#  id                     what happens to one day                        kind       feature
BROKEN = [
    ("column gone",       _set(1, lambda v: v * np.nan),                 "missing", "size"),
    ("half gone",         _set(3, lambda v: np.where(v < 0.5, np.nan, v)), "missing", "share"),
    ("stuck",             _set(0, lambda v: v * 0 + 0.1),                "stuck",   "level"),
    ("a constant moved",  _set(2, lambda v: v * 10),                     "scale",   "constant"),
    ("ten times",         _set(1, lambda v: v * 10),                     "scale",   "size"),
    ("another unit",      _set(3, lambda v: v * 100),                    "range",   "share"),
    ("one wild row",      lambda x: np.where(np.arange(x.size).reshape(x.shape) == 4, 99.0, x),
                                                                         "range",   "level"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "harm", "kind", "feature"), BROKEN, ids=[row[0] for row in BROKEN]
)
def test_broken_data_is_found_on_its_first_day(
    usual: Usual, case: str, harm: Callable[[Any], Any], kind: str, feature: str
) -> None:
    x, day = made(3, 1, DAYS)
    units, _ = usual.units(harm(x), day)
    found = integrity.findings(units[0], usual)
    assert (kind, feature) in {(f.kind, f.feature) for f in found}
    assert {f.feature for f in found} == {feature}
    assert all(f.day == units[0].day and f.why for f in found)


def test_a_shift_of_one_feature_alarms_that_feature_and_says_what_was_usual(usual: Usual) -> None:
    x, day = made(3, 1, DAYS)
    x[:, 0] += 4.0
    unit = usual.units(x, day)[0][0]
    alarms = usual.alarms(unit)
    assert {alarm.feature for alarm in alarms} == {"level"}
    mean = next(alarm for alarm in alarms if alarm.statistic == "mean")
    assert mean.usual_high < mean.value
    assert mean.one_in_days > DAYS / 2
    assert usual.power()["level"]["1_sd"] is None or usual.power()["level"]["1_sd"] >= 1.0


def test_days_with_few_rows_are_put_together(usual: Usual) -> None:
    assert usual.rows_needed == 10
    x, _ = made(4, 2, DAYS)
    day = np.repeat(np.arange(10), [4, 4, 4, 10, 1, 1, 1, 1, 1, 1])
    units, few = usual.units(x[: len(day)], day)
    assert [(u.since[-2:], u.day[-2:], u.days, u.rows) for u in units] == [
        ("01", "03", 3, 12),
        ("04", "04", 1, 10),
    ]
    assert few is not None
    assert (few.days, few.rows) == (6, 6)
    few.x[0, 0] = 1e6
    assert [f.kind for f in integrity.findings(few, usual, whole=False)] == ["range"]


def test_a_short_record_claims_nothing() -> None:
    short = Usual(reference(*made(1, tails.DAYS_MIN - 1), PLAIN))
    unit = short.units(*made(2, 1, DAYS))[0][0]
    unit.statistics[:, 0] = 1e9
    assert not short.judged
    assert short.alarms(unit) == []
    assert short.power() == {}
    assert integrity.findings(unit, short) != []


@pytest.mark.parametrize("document", [{}, {"features": {"a": {}}, "days": [], "rows": []}, []])
def test_what_is_no_reference_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="no reference for drift"):
        Usual(document)


def test_the_drawn_sample_has_the_training_quantiles(usual: Usual) -> None:
    x, _ = made(1, DAYS)
    drawn = usual.drawn(1000)
    for share in (0.1, 0.5, 0.9):
        assert np.allclose(
            np.quantile(drawn, share, axis=0), np.nanquantile(x, share, axis=0), atol=0.05
        )


def test_rows_that_repeat_and_instruments_nobody_knows() -> None:
    x = np.arange(12.0).reshape(6, 2)
    keys = ["A", "B"] * 3
    ms = np.repeat([1, 2, 3], 2)
    assert integrity.stale_rows("d", keys, ms, x) == []
    x[2], x[4] = x[0], x[0]
    assert "2 of 4 rows repeat" in integrity.stale_rows("d", keys, ms, x)[0].why
    assert integrity.unknown_keys("d", keys, ["A", "B"]) == []
    assert "B (3)" in integrity.unknown_keys("d", keys, ["A"])[0].why


def test_features_are_compared_with_those_of_the_official_candles(usual: Usual) -> None:
    x, _ = made(5, 1)
    same = {i: x[i].copy() for i in range(len(x))}
    assert integrity.not_official("d", x, same, usual) == []
    assert integrity.not_official("d", x, {}, usual) == []
    swapped = {i: x[-1 - i] for i in range(len(x))}  # another instrument's rows
    assert "20 of 20 rows" in integrity.not_official("d", x, swapped, usual)[0].why


# -- real days ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Return the features of 48 NSE shares on 1,300 days, and the days."""
    source = FileSource(
        "parquet",
        str(shared_data / "nse_day_2020-07_2026-01.parquet"),
        interval=None,
        work=tmp_path_factory.mktemp("spill"),
    )
    parts, days = [], []
    for symbol in source.symbols:
        frame = source.read(symbol)
        x = features_of(frame)
        parts.append(x[59:])
        days.append(day_numbers(ts_ms(frame))[59:])
    return np.concatenate(parts), np.concatenate(days)


@pytest.mark.shared
def test_block_resampled_real_days_alarm_at_most_once_a_month(real: tuple[Any, Any]) -> None:
    """Thresholds from every other block of real days, judged on the blocks in between."""
    x, day = real
    numbers = np.unique(day)
    block = np.arange(len(numbers)) // tails.BLOCK_DAYS % 2
    rates = []
    for mine in (0, 1):
        teach, quiet = (np.isin(day, numbers[block == b]) for b in (mine, 1 - mine))
        usual = Usual(reference(x[teach], day[teach], NAMES))
        served = np.isin(day, numbers[block == 1 - mine][-300:])
        units, _ = usual.units(x[quiet & served], day[quiet & served])
        rates.append(np.mean([bool(usual.alarms(unit)) for unit in units]) * tails.MONTH_DAYS)
    assert np.mean(rates) <= 1.0


@pytest.mark.shared
def test_ten_times_too_large_is_caught_on_its_first_real_day(real: tuple[Any, Any]) -> None:
    """Each feature alone, on each of ten days; what is zero anyway cannot be ten times that."""
    x, day = real
    numbers = np.unique(day)
    teach = day < numbers[-200]
    usual = Usual(reference(x[teach], day[teach], NAMES))
    tried, caught = 0, 0
    for number in numbers[-200::20]:
        rows = x[day == number]
        for i, name in enumerate(NAMES):
            if not rows[:, i].any() or name == "weekday":
                continue
            scaled = rows.copy()
            scaled[:, i] *= 10.0
            unit = usual.units(scaled, np.zeros(len(rows), dtype=np.int64))[0][0]
            tried += 1
            caught += any(a.feature == name for a in usual.alarms(unit)) or any(
                f.feature == name for f in integrity.findings(unit, usual)
            )
    assert tried > 400
    assert caught / tried > 0.98


@pytest.mark.shared
@pytest.mark.parametrize("column", ["prices", "volume"])
def test_a_candle_in_another_unit_is_caught_on_its_first_real_day(
    shared_data: Path, real: tuple[Any, Any], tmp_path: Path, column: str
) -> None:
    """The day's candle comes ten times too large: prices of ONE share, volumes of all."""
    x, day = real
    teach = day < np.unique(day)[-200]
    usual = Usual(reference(x[teach], day[teach], NAMES))
    source = FileSource(
        "parquet",
        str(shared_data / "nse_day_2020-07_2026-01.parquet"),
        interval=None,
        work=tmp_path,
    )
    rows = []
    for place, symbol in enumerate(source.symbols):
        frame = source.read(symbol).iloc[-100:].reset_index(drop=True)
        values = {name: frame[name].to_numpy(dtype=np.float64).copy() for name in VALUES}
        for name in VALUES:
            if (column == "volume") == (name == "volume") and (column == "volume" or place == 0):
                values[name][-1] *= 10.0
        rows.append(features_of(make_frame(symbol, ts_ms(frame), values))[-1])
    unit = usual.units(np.array(rows), np.zeros(len(rows), dtype=np.int64))[0][0]
    found = {f.feature for f in integrity.findings(unit, usual)}
    found |= {alarm.feature for alarm in usual.alarms(unit)}
    assert "move_1" in found if column == "prices" else "volume_now" in found


def test_every_feature_of_the_model_has_its_statistics() -> None:
    assert len(FEATURES) == len(NAMES)
    assert STATISTICS == ("mean", "sd", "psi")
