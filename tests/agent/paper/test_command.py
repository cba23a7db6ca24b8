"""`ratchet-agent paper`: its exits, its ready file, the pace without lock-step."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.agent.paper.lab import DAY, Running, Ticker, at, start, until

ROOT = Path(__file__).parents[3]


def paper(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent", "paper", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


#  id                     arguments                                       exit, what the line names
REFUSED = [
    ("no such candles",   ["--candles", "/nonexistent"],                  2, "/nonexistent"),
    ("no such day",       ["--first", "3 November"],                      2, "--first"),
    ("no speed",          ["--speed", "0"],                               2, "--speed"),
    ("a port beyond all", ["--port", "70000"],                            2, "--port"),
    ("an odd option",     ["--sped", "60"],                               2, "--sped"),
    ("a foreign address", ["--host", "192.0.2.1", "--port", "0"],         2, "192.0.2.1"),
]  # fmt: skip


@pytest.mark.parametrize("row", REFUSED, ids=[row[0] for row in REFUSED])
def test_a_wrong_setting_ends_with_one_line_that_names_it(row: tuple, tmp_path: Path) -> None:
    _, arguments, status, names = row
    ended = paper(*arguments, *(["--port", "0"] if "--port" not in arguments else []),
                  "--home", str(tmp_path))  # fmt: skip
    assert ended.returncode == status, ended.stderr
    assert names in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_named_before_anything_slow_is_done(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        ended = paper("--port", str(port), "--home", str(tmp_path))
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert f"port {port}" in line
    assert "--port" in line


@pytest.mark.parametrize("package", ["numpy", "pyarrow"])
def test_a_missing_package_names_the_extra(package: str) -> None:
    code = f"import sys; sys.modules['{package}'] = None; sys.argv = ['a', 'paper']; import agent.__main__"  # noqa: E501
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert package in ended.stderr
    assert "ratchet[paper]" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_matching_core_needs_neither() -> None:
    code = "import sys; sys.modules['numpy'] = sys.modules['pyarrow'] = None; import agent.paper.matching, agent.paper.depth"  # noqa: E501
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_the_ready_file_and_the_first_lines_say_how_to_connect(standing: Running) -> None:
    told = json.loads((standing.home / "ready.json").read_text())
    assert told == {"pid": standing.process.pid, "port": standing.port, "rest": standing.rest,
                    "ticker": standing.ticker}  # fmt: skip
    assert f'root="{standing.rest}"' in standing.log
    assert "they prove nothing" in standing.log


def test_all_state_lies_under_the_home(standing: Running) -> None:
    names = {path.name.split("-")[0] for path in (standing.home / "paper").iterdir()}
    assert names == {"exchange"}


def test_without_lockstep_time_runs_by_its_factor_and_jumps_over_the_night(
    days: Path, tmp_path: Path
) -> None:
    running = start(tmp_path, "--candles", str(days), "--speed", "20000", "--first", "2025-11-02",
                    "--ticks-per-day", "50")  # fmt: skip
    try:
        kite = running.kite()
        ticker = Ticker(running.ticker)
        ticker.subscribe([kite.instruments("NSE")[0]["instrument_token"]], "full")
        before = time.monotonic(), running.get("clock")["now"]
        assert until(lambda: running.get("clock")["now"] >= at("09:16"))  # the second day
        passed = time.monotonic() - before[0]
        night = at("08:55") - at("15:35", DAY.replace(day=2))
        ran = running.get("clock")["now"] - before[1] - night
        assert ran <= passed * 1000 * 20_000 + 1  # never faster than the factor
        assert ticker.ticks
        assert all(text["type"] != "paper_clock" for text in ticker.texts)  # as the broker
        assert until(lambda: running.get("clock")["last"])
        ticker.close()
    finally:
        assert running.stop() == 0


def test_an_order_is_filled_by_the_pace_alone(minutes: Path, tmp_path: Path) -> None:
    running = start(tmp_path, "--candles", str(minutes), "--speed", "100")
    try:
        kite = running.kite()
        order_id = kite.place_order("regular", "NSE", "A", "BUY", 10, "MIS", "MARKET",
                                    market_protection=-1)  # fmt: skip
        assert until(lambda: kite.order_history(order_id)[-1]["status"] == "COMPLETE")
    finally:
        running.stop()
