"""The store: what was committed is what is read, and nothing in between is ever seen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from agent.errors import EnvironmentRefused, Refused, SettingRefused
from flows.data.frame import COLUMNS
from flows.data.store import MANIFEST, CandleStore
from flows.home import Home
from tests.flows.data.candles import day_frame, facts, minute_frame

DAYS = [date(2021, 12, 30), date(2021, 12, 31), date(2022, 1, 3)]


@pytest.fixture
def store(home: Path) -> CandleStore:
    home.mkdir()
    return CandleStore(Home(home))


def ingest(store: CandleStore, frames: list[Any], dataset: str = "d", **changed: Any) -> Any:
    told = facts(**changed)
    with store.writing(dataset) as writer:
        parts = [part for frame in frames for part in writer.put(frame, told.interval)]
        return writer.commit(told, parts, sessions=DAYS, quality={"bad": 0})


def test_what_is_read_is_what_was_written(store: CandleStore) -> None:
    frames = [day_frame("NSE:B&B", DAYS), day_frame("NSE:A", DAYS[1:], volume=float("nan"))]
    manifest = ingest(store, frames)
    read = store.read("d")
    assert list(read.columns) == list(COLUMNS)
    assert str(read["ts"].dtype) == "datetime64[ns, Asia/Kolkata]"
    assert str(read["symbol"].dtype) == "str"
    pd.testing.assert_frame_equal(read, pd.concat([frames[1], frames[0]], ignore_index=True))
    assert manifest == store.manifest("d")
    assert (manifest.symbols, manifest.candles) == (("NSE:A", "NSE:B&B"), 5)
    assert manifest.sessions == tuple(DAYS)
    assert (manifest.first.date(), manifest.last.date()) == (DAYS[0], DAYS[-1])
    assert store.datasets() == ["d"]


@pytest.mark.parametrize(
    ("symbols", "first", "last", "rows"),
    [
        (None, None, None, 12),
        (["NSE:A"], None, None, 6),
        (None, DAYS[1], None, 8),
        (None, None, DAYS[1], 8),
        (["NSE:B"], DAYS[2], DAYS[2], 2),
        (None, date(2030, 1, 1), None, 0),
        ([], None, None, 0),
    ],
)
def test_a_read_is_cut_by_symbol_and_by_date_in_india(
    store: CandleStore, symbols: Any, first: Any, last: Any, rows: int
) -> None:
    ingest(store, [minute_frame(s, DAYS, 2) for s in ("NSE:A", "NSE:B")], interval="minute")
    read = store.read("d", symbols, first, last)
    assert len(read) == rows
    assert str(read["ts"].dtype) == "datetime64[ns, Asia/Kolkata]"


def test_candles_inside_the_day_are_parted_by_year(store: CandleStore) -> None:
    manifest = ingest(store, [minute_frame("NSE:A", DAYS, 2)], interval="minute")
    assert [part.span for part in manifest.partitions] == ["2021", "2022"]
    assert len(store.read("d")) == 6


def test_the_same_candles_give_the_same_fingerprint_and_files(store: CandleStore) -> None:
    frames = [day_frame("NSE:A", DAYS), day_frame("NSE:B", DAYS)]
    one = ingest(store, frames)
    files = {p: p.stat().st_mtime_ns for p in store.folder("d").rglob("*.parquet")}
    two = ingest(store, frames[::-1], notes="other words, another order")
    assert one.fingerprint == two.fingerprint
    assert {p: p.stat().st_mtime_ns for p in store.folder("d").rglob("*.parquet")} == files


@pytest.mark.parametrize(
    "changed",
    [{"close": 100.05}, {"volume": 999.0}, {"adjustment": "divided by ten"}, {"interval": "week"}],
)
def test_another_number_or_adjustment_is_another_fingerprint(
    store: CandleStore, changed: dict[str, Any]
) -> None:
    candles = {k: v for k, v in changed.items() if k in {"close", "volume"}}
    told = {k: v for k, v in changed.items() if k not in candles}
    one = ingest(store, [day_frame("NSE:A", DAYS)])
    assert ingest(store, [day_frame("NSE:A", DAYS, **candles)], **told).fingerprint != (
        one.fingerprint
    )


def test_a_second_ingest_replaces_the_first_and_leaves_no_file_of_it(store: CandleStore) -> None:
    ingest(store, [day_frame("NSE:A", DAYS), day_frame("NSE:B", DAYS)])
    ingest(store, [day_frame("NSE:B", DAYS, close=50.0)])
    assert store.manifest("d").symbols == ("NSE:B",)
    named = {part.file for part in store.manifest("d").partitions} | {MANIFEST}
    folder = store.folder("d")
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == named


DIES = """
import os, signal, sys
from pathlib import Path
from flows.data import durable
from flows.data.store import CandleStore
from flows.home import Home
from tests.flows.data.candles import day_frame, facts
from tests.flows.data.test_store import DAYS
budget = int(sys.argv[2])
real = os.fsync
def fsync(handle):
    global budget
    budget -= 1
    if budget < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(handle)
os.fsync = fsync
with CandleStore(Home(Path(sys.argv[1]))).writing("d") as writer:
    frames = [day_frame(s, DAYS, close=200.0) for s in ("NSE:A", "NSE:B")]
    parts = [part for frame in frames for part in writer.put(frame, "day")]
    writer.commit(facts(), parts, sessions=DAYS, quality={})
"""


def test_an_ingest_killed_at_any_sync_leaves_the_old_state_or_the_new(home: Path) -> None:
    home.mkdir()
    store = CandleStore(Home(home))
    old = ingest(store, [day_frame(s, DAYS) for s in ("NSE:A", "NSE:B")])
    before = store.read("d")
    seen = []
    root = Path(__file__).resolve().parents[3]
    # each file is synced, then its folder; what an earlier run finished is not written again, so
    # these die at: file 1, file 2, the folder of file 2, the manifest, the manifest's folder
    for budget in (0, 2, 1, 0, 1):
        run = subprocess.run(
            [sys.executable, "-c", DIES, str(home), str(budget)],
            cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, check=False,
        )  # fmt: skip
        assert run.returncode == -signal.SIGKILL
        manifest, read = store.manifest("d"), store.read("d")
        is_old = manifest.fingerprint == old.fingerprint
        seen.append(is_old)
        expected = before if is_old else None
        assert read["open"].min() == (100.0 if is_old else 200.0)
        if expected is not None:
            pd.testing.assert_frame_equal(read, expected)
    assert seen == [True, True, True, True, False]
    # the next ingest completes and removes what the dead ones left
    new = ingest(store, [day_frame(s, DAYS, close=200.0) for s in ("NSE:A", "NSE:B")])
    files = {p.name for p in store.folder("d").rglob("*") if p.is_file()}
    assert files == {Path(part.file).name for part in new.partitions} | {MANIFEST}


def test_one_writer_at_a_time(store: CandleStore) -> None:
    ingest(store, [day_frame("NSE:A", DAYS)])
    with store.writing("d"):
        with pytest.raises(Refused, match="dataset d"), store.writing("d"):
            pass
        assert len(store.read("d")) == 3  # a reader waits for nobody


REFUSED = [
    ("unknown dataset", lambda s: s.read("e"), r"dataset: found e; expected d;"),
    ("unknown symbol", lambda s: s.read("d", ["NSE:X"]), r"found NSE:X; expected NSE:A"),
    ("a path as a name", lambda s: s.read("../d"), "letters, digits"),
    ("an empty name", lambda s: s.manifest(""), "letters, digits"),
]


@pytest.mark.parametrize(("case", "call", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_does_not_exist_is_named_with_what_does(
    store: CandleStore, case: str, call: Any, message: str
) -> None:
    ingest(store, [day_frame("NSE:A", DAYS)])
    with pytest.raises(SettingRefused, match=message):
        call(store)


def test_a_damaged_manifest_and_a_lost_file_are_named(store: CandleStore) -> None:
    manifest = ingest(store, [day_frame("NSE:A", DAYS)])
    (store.folder("d") / manifest.partitions[0].file).unlink()
    with pytest.raises(EnvironmentRefused, match="is gone"):
        store.read("d")
    (store.folder("d") / MANIFEST).write_text("{")
    with pytest.raises(SettingRefused, match=r"dataset\.json"):
        store.manifest("d")


def test_no_candle_is_no_dataset(store: CandleStore) -> None:
    with store.writing("d") as writer, pytest.raises(SettingRefused, match="no candle"):
        writer.commit(facts(), [], sessions=[], quality={})
    assert store.datasets() == []
