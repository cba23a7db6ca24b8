"""Candle files: what is read, how the interval is told, what is refused and how."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agent.errors import SettingRefused
from agent.paper.source import read_candles
from tests.agent.paper.lab import at, wander, write_csv

HEAD = "symbol,ts,open,high,low,close,volume\n"
ROW = "NSE:A,2025-11-03 09:15:00,10,12,9,11,100\n"
NEXT = "NSE:A,2025-11-03 09:20:00,10,12,9,11,100\n"


def written(tmp_path: Path, text: str, name: str = "candles.csv") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("stamps", "kind"),
    [
        (["2025-11-03 09:15:00", "2025-11-03 09:20:00"], "text"),
        (["2025-11-03T09:15:00+05:30", "2025-11-03T09:20:00+05:30"], "text with its zone"),
        (["2025-11-03T03:45:00Z", "2025-11-03T03:50:00Z"], "UTC text"),
        ([at("09:15"), at("09:20")], "epoch ms"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_stamps_of_every_kind_mean_the_same_instant(
    tmp_path: Path, stamps: list, kind: str
) -> None:
    del kind
    rows = "".join(f"INFY,{stamp},10,12,9,11,100\n" for stamp in stamps)
    found = read_candles(written(tmp_path, HEAD + rows))
    assert found.interval == "5minute"
    assert found.candles["NSE:INFY"].ts_ms.tolist() == [at("09:15"), at("09:20")]


def test_parquet_with_zoned_stamps_and_without_volume(tmp_path: Path) -> None:
    table = pa.table(
        {
            "Symbol": ["NSE:B", "NSE:A"],
            "timestamp": pa.array([datetime(2025, 11, 2, 18, 30, tzinfo=UTC)] * 2,
                                  pa.timestamp("ns", tz="Asia/Kolkata")),
            **{name: [5.0, 6.0] for name in ("Open", "HIGH", "low", "close")},
        }
    )  # fmt: skip
    pq.write_table(table, tmp_path / "day.parquet")
    found = read_candles(str(tmp_path))
    assert found.interval == "day"
    assert list(found.candles) == ["NSE:A", "NSE:B"]
    assert np.isnan(found.candles["NSE:A"].volume).all()


def test_a_date_column_is_a_day_candle(tmp_path: Path) -> None:
    table = pa.table({"symbol": ["A"], "date": [date(2025, 11, 3)],
                      **{name: [5.0] for name in ("open", "high", "low", "close")}})  # fmt: skip
    pq.write_table(table, tmp_path / "day.parquet")
    found = read_candles(str(tmp_path / "*.parquet"))
    assert found.candles["NSE:A"].ts_ms.tolist() == [at("00:00")]


def test_a_folder_is_read_with_what_lies_below(tmp_path: Path) -> None:
    source = wander(1, 5)
    (tmp_path / "day").mkdir()
    write_csv(tmp_path / "day" / "all.csv", source)
    found = read_candles(str(tmp_path))
    for key, one in source.candles.items():
        assert found.candles[key].close.tolist() == one.close.tolist()
        assert found.candles[key].ts_ms.tolist() == one.ts_ms.tolist()


#  id, text, what the message names
REFUSED = [
    ("no symbol column",   "ts,open,high,low,close\n1,1,1,1,1\n",                  "add symbol"),
    ("no stamp column",    "symbol,open,high,low,close\nA,1,1,1,1\n",              "add ts"),
    ("no rows",            HEAD,                                                   "no row"),
    ("high below close", HEAD + ROW + NEXT.replace(",12,", ",10.5,"), "NSE:A 2025-11-03 09:20"),
    ("a price of zero", HEAD + ROW + NEXT.replace(",9,", ",0,"), "NSE:A 2025-11-03 09:20"),
    ("an empty price", HEAD + ROW + NEXT.replace(",11,", ",,"), "NSE:A 2025-11-03 09:20"),
    ("a row twice", HEAD + ROW + ROW, "one row a candle"),
    ("an odd interval",    HEAD + ROW + ROW.replace("09:15", "09:22"),             "420 s"),
    ("no table at all",    "\x00\x01",                                             "candles.csv"),
]  # fmt: skip


@pytest.mark.parametrize("row", REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_no_candle_is_refused_by_name(tmp_path: Path, row: tuple) -> None:
    _, text, names = row
    with pytest.raises(SettingRefused) as refused:
        read_candles(written(tmp_path, text))
    assert names in str(refused.value)


def test_a_path_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingRefused, match="no such file"):
        read_candles(str(tmp_path / "nothing"))


def test_the_development_candles_can_be_read(shared_data: Path) -> None:
    found = read_candles(str(shared_data / "nse_60min_2024-12_2025-10.parquet"))
    assert found.interval == "60minute"
    assert len(found.candles) == 48
