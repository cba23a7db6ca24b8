"""A user's own files: what is taken, what is skipped with a reason, what is refused by name."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agent.errors import SettingRefused
from flows.data.frame import VALUES, ts_ms
from flows.data.sources import spill, tables
from flows.data.sources.files import FileSource
from tests.flows.data.candles import day_frame, minute_frame

DAYS = [date(2021, 5, 10), date(2021, 5, 11), date(2021, 5, 12)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "work").mkdir()
    return tmp_path / "in"


def read(folder: Path, pattern: str = "*", kind: Any = "csv", interval: str | None = None) -> Any:
    """Open what a pattern matches in the folder."""
    work = folder.parent / "work"
    for heap in work.iterdir():
        heap.unlink()
    return FileSource(kind, str(folder / pattern), interval=interval, work=work)


def text(frame: Any, form: Callable[[Any], Any] = lambda ts: ts.astype(str), **names: str) -> str:
    """Return a frame as CSV with its times written by `form`."""
    told: str = frame.assign(ts=form(frame["ts"])).rename(columns=names).to_csv(index=False)
    return told


FORMS: list[tuple[str, Callable[[Any], Any]]] = [
    ("offset with a colon", lambda ts: ts.dt.strftime("%Y-%m-%dT%H:%M:%S%z").str[:-2] + ":30"),
    ("Kite's own", lambda ts: ts.dt.strftime("%Y-%m-%dT%H:%M:%S%z")),
    ("no offset: India's", lambda ts: ts.dt.tz_localize(None).astype(str)),
    ("no seconds", lambda ts: ts.dt.strftime("%Y-%m-%d %H:%M")),
    ("UTC", lambda ts: ts.dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%M:%SZ")),
    ("another zone", lambda ts: ts.dt.tz_convert("America/New_York").astype(str)),
    ("fractions", lambda ts: ts.dt.strftime("%Y-%m-%d %H:%M:%S.000")),
    ("epoch ms", lambda ts: ts.astype("int64") // 10**6),
    ("epoch s", lambda ts: ts.astype("int64") // 10**9),
]


@pytest.mark.parametrize(("case", "form"), FORMS, ids=[form[0] for form in FORMS])
@pytest.mark.parametrize("name", ["ts", "timestamp", "Timestamp"])
def test_times_are_read_in_every_usual_form(
    folder: Path, case: str, form: Callable[[Any], Any], name: str
) -> None:
    frame = minute_frame("INFY", DAYS, 4, "5minute")
    (folder / "a.csv").write_text(text(frame, form, ts=name))
    source = read(folder)
    assert (source.facts.interval, source.symbols) == ("5minute", ["NSE:INFY"])
    pd.testing.assert_frame_equal(source.read("NSE:INFY"), frame.assign(symbol="NSE:INFY"))


PARQUET: list[tuple[str, Callable[[Any], Any]]] = [
    ("India", lambda ts: ts),
    ("UTC", lambda ts: ts.dt.tz_convert("UTC")),
    ("no zone: India's", lambda ts: ts.dt.tz_localize(None)),
    ("seconds", lambda ts: ts.astype("datetime64[s, Asia/Kolkata]")),
    ("text", lambda ts: ts.astype(str)),
    ("epoch ms", lambda ts: ts.astype("int64") // 10**6),
]


@pytest.mark.parametrize(("case", "form"), PARQUET, ids=[form[0] for form in PARQUET])
@pytest.mark.parametrize("interval", ["minute", "day"])
def test_parquet_times_too(
    folder: Path, case: str, form: Callable[[Any], Any], interval: str
) -> None:
    frame = day_frame("X", DAYS) if interval == "day" else minute_frame("X", DAYS, 3)
    frame.assign(ts=form(frame["ts"])).to_parquet(folder / "a.parquet")
    source = read(folder, kind="parquet")
    assert source.facts.interval == interval
    assert list(ts_ms(source.read("NSE:X"))) == list(ts_ms(frame))


def test_dates_alone_are_days_and_a_days_clock_time_is_set_to_midnight(folder: Path) -> None:
    frame = day_frame("X", DAYS)
    (folder / "a.csv").write_text(text(frame, lambda ts: ts.dt.strftime("%Y-%m-%d")))
    frame.assign(ts=frame["ts"].dt.tz_localize(None).dt.date).to_parquet(folder / "a.parquet")
    for kind in ("csv", "parquet"):
        source = read(folder, kind=kind)
        assert source.facts.interval == "day"
        assert list(ts_ms(source.read("NSE:X"))) == list(ts_ms(frame))
        assert "00:00" not in source.facts.notes
    (folder / "a.csv").write_text(text(frame, lambda ts: ts.dt.strftime("%Y-%m-%d 09:15")))
    source = read(folder)
    assert list(ts_ms(source.read("NSE:X"))) == list(ts_ms(frame))
    assert "3 day candles with a clock time" in source.facts.notes


def test_without_a_symbol_column_the_files_name_is_the_symbol(folder: Path) -> None:
    for name, close in (("INFY", 100.0), ("M&M", 200.0)):
        frame = day_frame("ignored", DAYS, close=close).drop(columns=["symbol", "volume"])
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(text(frame).encode()))
    source = read(folder)
    assert source.symbols == ["NSE:INFY", "NSE:M&M"]
    frame = source.read("NSE:M&M")
    assert frame["open"].iloc[0] == 200.0
    assert frame["volume"].isna().all()


def test_several_files_and_shuffled_rows_make_one_series_a_symbol(folder: Path) -> None:
    whole = pd.concat([minute_frame(s, DAYS, 30) for s in ("A", "BSE:B")], ignore_index=True)
    shuffled = whole.sample(frac=1.0, random_state=1)
    (folder / "a.csv").write_text(text(shuffled.iloc[:70]))
    (folder / "b.csv").write_text(text(shuffled.iloc[70:], ts="timestamp"))
    source = read(folder)
    assert source.symbols == ["BSE:B", "NSE:A"]
    for key, symbol in (("NSE:A", "A"), ("BSE:B", "BSE:B")):
        expected = whole[whole["symbol"] == symbol].reset_index(drop=True)
        got = source.read(key)
        assert list(ts_ms(got)) == list(ts_ms(expected))
        for name in VALUES:
            assert np.array_equal(got[name], expected[name])


def test_rows_beyond_the_buffer_and_the_batch_are_all_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "BUFFER_ROWS_MAX", 50)
    monkeypatch.setattr(tables, "BATCH_ROWS", 16)
    whole = pd.concat([minute_frame(s, DAYS, 40) for s in ("A", "B")], ignore_index=True)
    whole.to_parquet(folder / "a.parquet")
    source = read(folder, kind="parquet")
    assert [len(source.read(symbol)) for symbol in source.symbols] == [120, 120]


def test_one_interval_a_run_and_the_others_are_named(folder: Path) -> None:
    (folder / "long.csv").write_text(text(minute_frame("A", DAYS, 200)))
    (folder / "short.csv").write_text(text(day_frame("A", DAYS)))
    source = read(folder)
    assert source.facts.interval == "minute"
    assert [Path(s.name).name for s in source.skipped] == ["short.csv"]
    assert "day candles; this run takes minute" in source.skipped[0].reason
    assert read(folder, interval="day").facts.interval == "day"
    with pytest.raises(SettingRefused, match="found day, minute"):
        read(folder, interval="60minute")


OTHERS = [
    ("ticks", "t.csv", "symbol,ts,ltp_paise\nA,2021-05-10 09:15:01,100\n", "ticks, not candles"),
    ("dump", "i.csv", "instrument_token,tradingsymbol\n1,A\n", "an instrument dump"),
    ("notes", "n.csv", "who,what\nme,that\n", "no candles: none of open"),
    ("a text", "README.md", "# candles\n", "not a csv file"),
    ("no row", "e.csv", "ts,open,high,low,close\n", "no rows"),
    ("2 minutes", "2.csv", text(minute_frame("A", DAYS, 4, "5minute").iloc[::2]), "600 s apart"),
    ("weeks", "w.csv", text(day_frame("A", [date(2021, 5, d) for d in (3, 10, 17)])), "7 days"),
]


@pytest.mark.parametrize(
    ("case", "name", "content", "reason"), OTHERS, ids=[row[0] for row in OTHERS]
)
def test_files_of_another_kind_are_skipped_with_the_reason(
    folder: Path, case: str, name: str, content: str, reason: str
) -> None:
    if case == "2 minutes":
        content, reason = content.replace(":25:", ":17:").replace(":20:", ":16:"), "s apart"
    (folder / name).write_text(content)
    with pytest.raises(SettingRefused, match="no file of candles"):
        read(folder)
    (folder / "good.csv").write_text(text(day_frame("A", DAYS)))
    (folder / "sub.csv").mkdir()
    source = read(folder)
    told = {Path(skip.name).name: skip.reason for skip in source.skipped}
    assert reason in told[name]
    assert told["sub.csv"] == "a folder"
    assert source.symbols == ["NSE:A"]


GOOD = text(day_frame("A", DAYS))
BROKEN = [
    ("empty", b"", "is empty|Empty CSV"),
    ("no close", GOOD.replace("close", "clos").encode(), "no column close"),
    ("no time", GOOD.replace("ts", "when").encode(), "no column ts or timestamp"),
    ("a word as a price", GOOD.replace("101.05", "dear").encode(), "dear"),
    ("a word as a time", GOOD.replace("2021-05-11 00:00:00+05:30", "noon").encode(), "noon"),
    ("no time in a row", GOOD.replace("2021-05-11 00:00:00+05:30", "").encode(), "without a time"),
    ("no symbol in a row", GOOD.replace("\nA,2021-05-11", "\n,2021-05-11").encode(), "symbol"),
    ("a short row", (GOOD + "A,2021-05-13\n").encode(), "Expected 7 columns"),
    ("bytes", bytes(range(256)) * 20, "broken.csv"),
]


@pytest.mark.parametrize(("case", "content", "why"), BROKEN, ids=[row[0] for row in BROKEN])
def test_a_broken_csv_is_an_error_that_names_it(
    folder: Path, case: str, content: bytes, why: str
) -> None:
    (folder / "good.csv").write_text(GOOD)
    (folder / "broken.csv").write_bytes(content)
    with pytest.raises(SettingRefused, match=why) as caught:
        read(folder)
    assert "broken.csv" in str(caught.value)
    assert caught.value.exit_status == 2


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[40:400] = bytes(360)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("harm", [_truncate, _flip, lambda path: path.write_bytes(b"")])
def test_a_broken_parquet_is_an_error_that_names_it(
    folder: Path, harm: Callable[[Path], None]
) -> None:
    for name in ("good", "broken"):
        day_frame("A", DAYS).to_parquet(folder / f"{name}.parquet")
    harm(folder / "broken.parquet")
    with pytest.raises(SettingRefused, match=r"broken\.parquet"):
        read(folder, kind="parquet")


def test_nothing_that_matches_is_said(folder: Path) -> None:
    with pytest.raises(SettingRefused, match="no file matches"):
        read(folder, "*.feather")


@pytest.mark.parametrize(
    ("given", "key"), [("INFY", "NSE:INFY"), ("BSE:INFY", "BSE:INFY"), (" M&M ", "NSE:M&M")]
)
def test_a_symbol_becomes_an_instrument_key(folder: Path, given: str, key: str) -> None:
    (folder / "a.csv").write_text(text(day_frame(given, DAYS)))
    assert read(folder).symbols == [key]


def test_the_dataset_is_named_after_the_file_or_its_folder(folder: Path) -> None:
    (folder / "my candles.csv").write_text(GOOD)
    assert read(folder).suggested_dataset == "my-candles"
    (folder / "b.csv").write_text(text(day_frame("B", DAYS)))
    assert read(folder).suggested_dataset == "in"
