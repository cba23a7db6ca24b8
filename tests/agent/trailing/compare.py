"""Runs one case through the command line and through the naive engine, and says where they part."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from typer.testing import CliRunner

from agent.cli import app
from agent.errors import SettingRefused
from tests.agent.trailing import naive_replay
from tests.agent.trailing.cases import Case
from tests.agent.trailing.naive import IllegalPolicy, Naive


def printed(case: Case, folder: Path, *extra: str) -> list[dict] | str:
    """The lines of `ratchet-agent replay`, or the refusal's message."""
    (folder / "policy.toml").write_text(case.policy)
    (folder / "rows.csv").write_text(case.csv)
    kind = "--candles" if case.candles else "--ticks"
    arguments = [
        "replay", "--policy", str(folder / "policy.toml"), kind, str(folder / "rows.csv"),
        *case.arguments, "--json", *extra,
    ]  # fmt: skip
    run = CliRunner().invoke(app, arguments)
    if isinstance(run.exception, SettingRefused):
        assert run.stdout == "", "a refusal comes before the first line"
        assert run.exception.exit_status == 2
        return str(run.exception)
    if run.exception is not None:
        raise run.exception
    return [
        {k: Fraction(v) if isinstance(v, Decimal) else v for k, v in line.items()}
        for line in (
            json.loads(text, parse_float=Decimal, parse_int=Decimal)
            for text in run.stdout.splitlines()
        )
    ]


def expected(case: Case, path: str = "pessimistic") -> list[dict] | IllegalPolicy:
    """What the naive engine says to the same case."""

    def make(on, first_atr):
        given = Fraction(case.atr) if case.atr is not None else first_atr
        position = Naive(
            case.policy, case.side, Fraction(case.entry), Fraction(case.tick), case.qty, on, given
        )
        if case.candles:
            position.p.pop("whipsaw", None)
        return position

    rows = list(case.rows)
    try:
        if case.candles:
            return naive_replay.replay_candles(rows, make, path=path, period=case.period)
        return naive_replay.replay(rows, make, bar_min=case.bar_min, period=case.period)
    except IllegalPolicy as refusal:
        return refusal


def differences(case: Case, folder: Path, path: str = "pessimistic") -> str:
    """Empty if both agree; else the case and the first line that differs."""
    extra = ["--path", path] if case.candles else []
    ours, theirs = printed(case, folder, *extra), expected(case, path)
    if isinstance(theirs, IllegalPolicy):
        named = isinstance(ours, str) and any(
            all(key in ours for key in keys) for keys in theirs.faults
        )
        return "" if named else f"should be refused for {theirs}: {ours}\n{case}"
    if isinstance(ours, str):
        return f"refused, but legal: {ours}\n{case}"
    for number, (got, wanted) in enumerate(zip(ours, theirs, strict=False)):
        if got != wanted:
            return f"line {number}\n got    {got}\n wanted {wanted}\n{case.csv}\n{case}"
    if len(ours) != len(theirs):
        return f"{len(ours)} lines, wanted {len(theirs)}: {ours[-1]} / {theirs[-1]}\n{case}"
    return ""
