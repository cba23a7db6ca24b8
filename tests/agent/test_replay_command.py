"""`ratchet-agent replay` from outside: what it prints, what it refuses, how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.errors import SettingRefused

USER = 'mode = "fixed"\nstop = "1.00"\ntarget = "2.00"\nstep = "1"\nmove = "1"\nfollow = 1\n'
P = 'mode = "percent"\nstop = "1"\nshare = 0.5\n'
TICKS = "ts,price\n2021-05-10T09:15:00,10\n2021-05-10T09:15:01+05:30,11\n1620618302000,9.95\n"
BASE = ("--side", "long", "--entry", "10", "--tick-size", "0.05", "--json")


@pytest.fixture
def replay(tmp_path: Path):
    def run(policy: str, rows: str, *more: str, kind: str = "--ticks", base=BASE):
        (tmp_path / "p.toml").write_text(policy)
        (tmp_path / "rows.csv").write_bytes(rows.encode("utf-8", "surrogateescape"))
        given = ["replay", "--policy", str(tmp_path / "p.toml"), kind, str(tmp_path / "rows.csv")]
        return CliRunner().invoke(app, [*given, *base, *more])

    return run


def lines(result) -> list[dict]:
    assert result.exception is None, result.exception
    return [json.loads(line, parse_float=Decimal) for line in result.stdout.splitlines()]


def test_the_users_example_line_by_line(replay) -> None:
    result = replay(USER, TICKS)
    assert result.stdout == (
        '{"ts":"2021-05-10T09:15:00","price":10,"event":"open","stop":9.00,"target":12.00,"best":10}\n'
        '{"ts":"2021-05-10T09:15:01+05:30","price":11,"event":"trail","stop":10.00,"target":13.00,"best":11}\n'
        '{"ts":"1620618302000","price":9.95,"event":"exit","stop":10.00,"target":13.00,"best":11,"reason":"stop"}\n'
    )
    assert "note: the target keeps pace" in result.stderr


@pytest.mark.parametrize(
    ("policy", "noted"),
    [
        (USER, True),
        (USER.replace("follow = 1", "follow = 0.99"), False),
        (USER.replace('move = "1"', 'move = "0.5"').replace("follow = 1", "follow = 2"), True),
        (USER.replace('target = "2.00"', 'target = "1.05"'), False),
        (USER.replace('target = "2.00"', 'target = "1.10"'), True),
        (USER.replace('target = "2.00"', 'target = "0.10"') + "continuous = true\n", True),
        (USER + 'max_extension = "5"\n', False),
        (USER + 'activation = "1"\n', True),
        (USER + 'activation = "1.05"\n', False),
        (P + 'target = "0.1"\nfollow = 1\n', True),
        (P + 'target = "0.05"\nfollow = 1\n', False),
        (P + 'target = "0.1"\n', False),
    ],
)
def test_a_target_that_keeps_pace_is_noted_on_stderr(replay, policy, noted) -> None:
    rows = TICKS.replace("11\n", "11.05\n") if "activation" not in policy else TICKS
    result = replay(policy, rows)
    assert result.exception is None
    assert ("keeps pace" in result.stderr) == noted
    assert "note" not in result.stdout


def test_end_of_the_data_and_rejected_rows(replay) -> None:
    rows = "ts,price\n5000,nan\n5000,10.2\n4000,11\n6000,inf\n6000,-1\n7000,10.4\n8000,0\n"
    result = lines(replay(P, rows))
    assert [line["event"] for line in result] == ["open", "trail", "trail", "end", "rejected"]
    assert (result[0]["ts"], result[3]["ts"], result[3]["price"]) == (
        "5000",
        "7000",
        Decimal("10.4"),
    )
    assert result[3]["target"] is None
    assert result[4] == {"event": "rejected", "count": 5}


def test_a_file_without_an_accepted_row_ends_at_the_entry(replay) -> None:
    result = lines(replay(P, "ts,price\n5000,nan\n6000,0\n"))
    assert [line["event"] for line in result] == ["open", "end", "rejected"]
    assert (result[1]["ts"], result[1]["price"]) == ("5000", 10)


def test_rows_after_an_exit_are_not_read(replay) -> None:
    result = lines(replay(P, "ts,price\n1000,8\n2000,what is this\n"))
    assert [line["event"] for line in result] == ["open", "exit"]
    result = lines(replay(P, "ts,price\n1000,8\n2000,what is this\n", "--budget", "25"))
    assert [line["event"] for line in result] == ["open", "exit", "budget"]


#  file, words of the message
UNREADABLE = [
    ("", "rows.csv line 1: found no column 'ts'"),
    ("ts,price\n", "rows.csv: found no rows"),
    ("ts,prices\n1000,10\n", "rows.csv line 1: found no column 'price'"),
    ("ts,price\n1000,10\n1000,ten\n", "rows.csv line 3: found 'ten' for a number"),
    ("ts,price\n1000,10\n1000\n", "rows.csv line 3: found no price"),
    ("ts,price\n1000,10\n1000,\n", "rows.csv line 3: found no price"),
    ("ts,price\n1000,10\nyesterday,11\n", "rows.csv line 3: found ts 'yesterday'"),
    ("ts,price,atr\n1000,10,x\n", "rows.csv line 2: found 'x' for a number"),
    ("ts,price,volume\n1000,10,1\n1000,10,x\n", "rows.csv line 3: found 'x' for a number"),
    ("ts,price,volume\n1000,10\n", "rows.csv line 2: found no volume"),
    ("ts,price\n1000,1_0\n", "rows.csv line 2"),
    ("ts,price\n1000,1e999999999\n", "rows.csv line 2"),
    ("ts,price\n1000,10\n\udcff\udcfe,10\n", "rows.csv line 3"),
    ('ts,price\n1000,"10\n', "rows.csv line"),
    ("ts,price\n999999999999999999,10\n", "rows.csv line 2: found ts '999999999999999999'"),
    ("ts,price\n-999999999999999,10\n", "rows.csv line 2: found ts '-999999999999999'"),
    ("ts,price\n1000,10\n0001-01-01T00:00:00,10\n", "rows.csv line 3: found ts '0001-01-01"),
    ("ts,price\n9999-12-31T23:59:59-12:00,10\n", "rows.csv line 2: found ts '9999-12-31"),
]


@pytest.mark.parametrize(("rows", "words"), UNREADABLE, ids=[w for _, w in UNREADABLE])
def test_an_unreadable_file_is_refused_by_line(replay, rows: str, words: str) -> None:
    result = replay(P, rows)
    assert isinstance(result.exception, SettingRefused)
    assert words in str(result.exception)


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ("ts,open,high,low,close\n1000,10,11,9.5\n", 2),
        ("ts,open,high,low,close\n1000,10,11,9.5,x\n", 2),
        ("ts,open,high,close\n1000,10,11,9.5\n", 1),
    ],
)
def test_an_unreadable_candle_file_is_refused_by_line(replay, rows: str, line: int) -> None:
    result = replay(P, rows, kind="--candles")
    assert isinstance(result.exception, SettingRefused)
    assert f"rows.csv line {line}" in str(result.exception)


#  more options, words of the message
WRONG = [
    (("--atr", "0"), "--atr: found '0'"),
    (("--entry", "nan"), "--entry: found 'nan'"),
    (("--tick-size", "-0.05"), "--tick-size: found '-0.05'"),
    (("--bar", "fortnight"), "--bar: found 'fortnight'"),
    (("--path", "colour"), "--path beside --ticks"),
    (("--plot", "x.gif"), "--plot: found x.gif"),
]


@pytest.mark.parametrize(("more", "words"), WRONG, ids=[w for _, w in WRONG])
def test_a_wrong_option_is_refused(replay, more: tuple[str, ...], words: str) -> None:
    result = replay(P, TICKS, *more)
    assert isinstance(result.exception, SettingRefused)
    assert words in str(result.exception)
    assert result.stdout == ""


def test_breakeven_covers_the_round_trip(replay) -> None:
    policy = P + 'lock = "breakeven"\n'
    refused = replay(policy, TICKS)
    assert isinstance(refused.exception, SettingRefused)
    assert "lock" in str(refused.exception)
    assert "--qty" in str(refused.exception)
    rows = "ts,price\n2021-05-10T09:15:00,10.2\n"
    (_, trail, _) = lines(replay(policy, rows, "--qty", "100"))
    assert trail["stop"] == Decimal("10.05")
    # 100 shares at 1,000 on 10 May 2021, by hand: brokerage 2 x 20, STT 25.00 on the sale, exchange
    # 2 x 3.45, SEBI 2 x 0.10, stamp 3.00 on the purchase, GST 18 % of 47.10 = 8.478; 83.578 in all.
    # So the lock, 0.83578 a share, acts from a profit of 0.88578 on: 1000.83578, up to 1000.85.
    base = ("--side", "long", "--entry", "1000", "--tick-size", "0.05", "--json", "--qty", "100")
    wide = 'mode = "percent"\nstop = "1%"\nshare = 0\nlock = "breakeven"\n'
    early = "ts,price\n2021-05-10T09:15:00,1000.85\n"
    assert [line["event"] for line in lines(replay(wide, early, base=base))] == ["open", "end"]
    (_, trail, _) = lines(replay(wide, early.replace("0.85", "0.90"), base=base))
    assert trail["stop"] == Decimal("1000.85")


def test_the_budget_line(replay) -> None:
    rows = "ts,price\n" + "".join(f"{1000 * n},{10 + n * 0.05:.2f}\n" for n in range(1, 60))
    steep = P.replace("0.5", "1")
    result = lines(replay(steep, rows + "70000,9\n", "--budget", "25"))
    assert result[-1]["event"] == "budget"
    assert result[-1]["unlimited_calls"] == sum(line["event"] == "trail" for line in result)
    assert 0 < result[-1]["calls"] <= 22
    assert result[-1]["unlimited_pnl"] == result[-1]["pnl"] == Decimal(-1)
    none = lines(replay(steep, rows + "70000,11.9\n71000,11.5\n", "--budget", "3"))
    assert (none[-1]["calls"], none[-1]["unlimited_pnl"]) == (0, Decimal("1.9"))
    assert none[-1]["pnl"] == Decimal("1.5"), "the lagging stop is filled at the next tick"


def test_atr_from_bars_is_known_with_the_first_tick_of_a_later_bar(replay) -> None:
    policy = 'mode = "atr"\nstop = "1"\nmultiple = 1\n'
    rows = "ts,price\n2021-05-10T09:15:00,10\n2021-05-10T09:15:30,10.3\n2021-05-10T09:16:00,10.3\n"
    result = lines(replay(policy, rows, "--atr-period", "1"))
    assert [line["event"] for line in result] == ["open", "trail", "end"]
    assert result[1]["stop"] == Decimal("10.00")


#  id, columns, rows, stop after the last: the ATR at entry is 0.30, so max_distance is 0.60
UNRUN_ATR = [
    ("a suspect's", "", ["10,", "12,0.30", "12,0.20"], "11.40"),
    ("a repeated row's", ",volume", ["10,,5", "10,0.30,5", "10.5,0.20,6"], "9.90"),
    ("a rejected row's does not count", "", ["10,", "nan,0.70", "10.5,0.30"], "9.90"),
]


@pytest.mark.parametrize("row", UNRUN_ATR, ids=[row[0] for row in UNRUN_ATR])
def test_the_atr_at_entry_is_the_first_of_an_accepted_row(replay, row: tuple) -> None:
    _, column, cells, stop = row
    policy = P.replace("0.5", "0") + 'max_distance = "2atr"\n[whipsaw]\noutlier = "0.6"\n'
    stamps = (1000, 1000, 2000) if column else (1000, 2000, 3000)
    body = "".join(f"{ts},{cell}\n" for ts, cell in zip(stamps, cells, strict=True))
    result = lines(replay(policy, f"ts,price,atr{column}\n{body}"))
    (trail,) = (line for line in result if line["event"] == "trail")
    assert trail["stop"] == Decimal(stop)


def test_candles_print_a_member_and_the_band(replay) -> None:
    rows = (
        "ts,open,high,low,close\n"
        "2021-05-10T09:15:00,10,10.8,9.3,9.5\n"
        "2021-05-10T09:16:00,9.5,10,9.45,9.9\n"
    )
    result = lines(replay(P, rows, kind="--candles"))
    assert [line["event"] for line in result] == ["open", "exit", "band"]
    assert (result[1]["price"], result[1]["best"]) == (Decimal("9.3"), 10)
    assert result[2] == {
        "event": "band", "ambiguous": 1, "low": Decimal("-0.7"), "high": Decimal("-0.1")
    }  # fmt: skip
    best = lines(replay(P, rows, "--path", "optimistic", kind="--candles"))
    assert [line["event"] for line in best] == ["open", "trail", "end", "band"]
    refused = replay(P, rows, "--budget", "25", kind="--candles")
    assert "--budget beside --candles" in str(refused.exception)


def test_a_byte_order_mark_is_no_part_of_the_header(replay) -> None:
    wanted = lines(replay(P, TICKS))
    assert lines(replay(P, "\ufeff" + TICKS)) == wanted
    given = ["replay", "--policy", "half_giveback", "--ticks", "-", *BASE]
    piped = [CliRunner().invoke(app, given, input=mark + TICKS) for mark in ("", "\ufeff")]
    assert lines(piped[0]) == lines(piped[1]) != []


def test_a_preset_is_taken_by_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(TICKS)
    given = ["replay", "--policy", "user_example", "--ticks", str(tmp_path / "t.csv"), *BASE]
    result = CliRunner().invoke(app, given)
    assert [line["event"] for line in lines(result)] == ["open", "trail", "exit"]
    missing = CliRunner().invoke(app, [*given[:2], "no_such_file.toml", *given[3:]])
    assert "user_example" in str(missing.exception)


def test_a_table_for_people_and_reasons_on_stderr(replay) -> None:
    result = replay(P, TICKS, "--explain", base=BASE[:-1])
    assert result.stdout.splitlines()[0].split() == [
        "event",
        "ts",
        "price",
        "stop",
        "target",
        "best",
    ]
    assert "stop 9 -> 9.5 (percent gives 9.5, rounded toward the market)" in result.stderr


@pytest.mark.parametrize("side", ["long", "short"])
def test_a_picture_needs_no_network(replay, tmp_path: Path, side: str) -> None:
    base = ("--side", side, *BASE[2:])
    for name in ("x.html", "x.svg"):
        result = replay(P + 'target = "3"\n', TICKS, "--plot", str(tmp_path / name), base=base)
        assert result.exception is None
        text = (tmp_path / name).read_text()
        assert "<svg" in text
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "<script" not in text
    nowhere = replay(P, TICKS, "--plot", str(tmp_path / "no" / "x.html"), base=base)
    assert "--plot" in str(nowhere.exception)


def test_a_png_is_drawn_or_the_extra_is_named(replay, tmp_path: Path) -> None:
    import importlib.util

    result = replay(P, TICKS, "--plot", str(tmp_path / "x.png"))
    if importlib.util.find_spec("matplotlib") is None:
        assert "--extra pipeline" in str(result.exception)
    else:
        assert result.exception is None
        assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"


def _program(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).parent / "ratchet-agent"), "replay", *arguments]


def test_the_programs_exit_statuses(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(P)
    (tmp_path / "bad.toml").write_text(P.replace("0.5", "2"))
    (tmp_path / "t.csv").write_text(TICKS)
    ticks = ["--ticks", str(tmp_path / "t.csv"), *BASE]
    for policy, wanted, told in (
        ("p.toml", 0, ""),
        ("bad.toml", 2, "share: found 2"),
        ("no.toml", 2, "--policy"),
    ):
        run = subprocess.run(
            _program("--policy", str(tmp_path / policy), *ticks),
            capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
        )  # fmt: skip
        assert (run.returncode, told in run.stderr) == (wanted, True), run.stderr
        assert "Traceback" not in run.stderr
        assert bool(run.stdout) == (wanted == 0)


def test_memory_stays_flat_however_long_the_stream(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(P)
    run = subprocess.Popen(
        _program("--policy", str(tmp_path / "p.toml"), "--ticks", "-", *BASE, "--budget", "25"),
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=tmp_path, text=True,
    )  # fmt: skip
    assert run.stdin is not None
    run.stdin.write("ts,price\n")
    seen = []
    for chunk in range(4):
        rows = (f"{(chunk * 15000 + n) * 1000},{10 + n % 7 / 20}\n" for n in range(15000))
        run.stdin.write("".join(rows))
        run.stdin.flush()
        seen.append(psutil.Process(run.pid).memory_info().rss)
    run.stdin.close()
    assert run.wait(timeout=120) == 0
    assert seen[-1] - seen[1] < 2_000_000, seen
