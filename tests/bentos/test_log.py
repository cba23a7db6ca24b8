"""The prediction log: whole lines, all of them, while it grows and after it stops."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bentos.log import LogLimits, PredictionLog
from tests.bentos.waiting import until

ROOT = Path(__file__).resolve().parents[2]


def lines(folder: Path) -> list[dict]:
    paths = sorted(folder.glob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def record(i: int) -> dict:
    return {"kind": "prediction", "i": i, "features": (("a", "b"), np.array([i, math.nan]))}


def test_a_graceful_stop_loses_nothing(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, 1, LogLimits(flush_s=10))
    log.start()
    for i in range(1_000):
        log.put(record(i))
    log.stop()
    told = lines(tmp_path)
    assert [one["i"] for one in told] == list(range(1_000))
    assert told[3]["features"] == {"a": 3.0, "b": None}, "NaN is null: JSON has no other word"
    assert log.written == 1_000


def test_it_is_readable_while_it_grows(tmp_path: Path) -> None:
    import duckdb

    log = PredictionLog(tmp_path, 1, LogLimits(flush_s=0.01))
    log.start()
    for i in range(500):
        log.put(record(i))
    query = (
        f"select count(*), max(i), max(features.a) from read_json('{tmp_path}/*.jsonl', "
        "format='newline_delimited', union_by_name=true, ignore_errors=true) "
        "where kind is not null"
    )

    def read() -> bool:
        return bool(list(tmp_path.glob("*"))) and duckdb.sql(query).fetchall() == [
            (500, 499, 499.0)
        ]

    until(read)
    log.stop()


def test_files_are_rotated_by_size(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, 1, LogLimits(flush_s=0.01, file_bytes_max=65_536))
    log.start()
    for i in range(3_000):
        log.put({"i": i, "text": "x" * 50})
    log.stop()
    files = list(tmp_path.glob("*.jsonl"))
    assert len(files) > 2
    assert all(path.stat().st_size <= 65_536 for path in files)
    assert sorted(one["i"] for one in lines(tmp_path)) == list(range(3_000))


def test_old_files_are_deleted(tmp_path: Path) -> None:
    old, other = tmp_path / "predictions-20200101-w1-1-0000.jsonl", tmp_path / "notes.jsonl"
    for path in (old, other):
        path.write_text("{}\n")
        os.utime(path, (time.time() - 400 * 86_400,) * 2)
    log = PredictionLog(tmp_path, 1, LogLimits(flush_s=0.01, keep_days=365))
    log.start()
    log.put({"i": 1})
    log.stop()
    assert not old.exists()
    assert other.exists(), "what is not ours is left alone"


def test_a_folder_that_cannot_be_written_costs_the_oldest_records(tmp_path: Path) -> None:
    said: list[str] = []
    blocked = tmp_path / "predictions"
    blocked.write_text("a file, where the folder should be")
    log = PredictionLog(blocked, 1, LogLimits(flush_s=0.01, waiting_max=100), said.append)
    log.start()
    for i in range(250):
        log.put({"i": i})
    until(lambda: said)
    for i in range(250, 300):
        log.put({"i": i})
    assert log.waiting <= 100
    blocked.unlink()
    until(lambda: log.waiting == 0)
    log.stop()
    told = [one["i"] for one in lines(blocked)]
    assert told == list(range(200, 300))
    assert log.dropped == 200
    assert [line.split(":")[-1].strip() for line in said][-1] == "writes again"
    assert len(said) == 2, "once for each change, not once a try"


def test_kill_9_loses_no_more_than_the_flush_interval(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from bentos.log import *\n"
        "log = PredictionLog(Path(sys.argv[1]), 1, LogLimits(flush_s=0.05)); log.start()\n"
        "for i in range(300): log.put({'i': i})\n"
        "while log.written < 300: time.sleep(0.01)\n"
        "print('written', flush=True)\n"
        "while True: log.put({'i': -1}); time.sleep(0.001)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.kill()
    text = b"".join(path.read_bytes() for path in tmp_path.glob("*.jsonl"))
    whole = [json.loads(line)["i"] for line in text.splitlines(keepends=True) if line[-1:] == b"\n"]
    assert [i for i in whole if i >= 0] == list(range(300))


@pytest.mark.parametrize("worker", [1, 2])
def test_each_worker_and_process_has_its_own_file(tmp_path: Path, worker: int) -> None:
    log = PredictionLog(tmp_path, worker, LogLimits())
    log.start()
    log.put({"i": 1})
    log.stop()
    (file,) = tmp_path.glob("*.jsonl")
    assert f"-w{worker}-{os.getpid()}-0000" in file.name
