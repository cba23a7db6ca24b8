"""The second model: of the other kind, learned from made-up candles, asked about unseen days."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.market.sessions import IST
from bentos.contract import Shape, ask, read_instance
from bentos.features import WINDOW
from flows.cli import app
from flows.demo.second import DAILY, INTRADAY, SHARES, Second, beside, prepare, questions
from flows.home import Home


class Commands:
    """The pipeline of a home: ingests truly; what costs half a minute is noted and answered."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.asked: dict[str, list[str]] = {}

    def __call__(self, verb: str, *arguments: str) -> dict[str, Any]:
        self.asked[verb] = list(arguments)
        if verb == "ingest":
            words = [verb, *arguments, "--home", str(self.home.root), "--json"]
            done = CliRunner().invoke(app, words)
            assert done.exit_code == 0, done.output
            document: dict[str, Any] = json.loads(done.stdout)
            return document
        return {"version": 3, "bento": "ratchet:1"}

    def option(self, verb: str, name: str) -> str:
        return self.asked[verb][self.asked[verb].index(name) + 1]


@pytest.mark.parametrize(
    ("interval", "second"),
    [("day", INTRADAY), ("15minute", DAILY), ("minute", DAILY), ("60minute", DAILY)],
)
def test_it_is_of_the_other_kind(interval: str, second: Second) -> None:
    assert beside(interval) is second
    assert (second.interval == "day") != (interval == "day")


@pytest.fixture(scope="module", params=[INTRADAY, DAILY], ids=["intraday", "daily"])
def prepared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Second, Commands, dict[str, Any]]:
    commands = Commands(Home.open(tmp_path_factory.mktemp("second")))
    made = prepare(commands.home, request.param, commands, top_share=0.2)
    assert made.training["version"] == 3
    return request.param, commands, dict(made.data)


Prepared = tuple[Second, Commands, dict[str, Any]]


def test_its_candles_say_that_nobody_traded_them(prepared: Prepared) -> None:
    second, _, data = prepared
    assert (data["source"], data["interval"], data["dataset"]) == (
        "synthetic", second.interval, second.model,
    )  # fmt: skip
    assert "not real prices" in data["notes"]
    assert "edge 0," in data["notes"], "nothing is planted: the gates have one right answer"
    assert not data["simulated_path"], "no real day is drawn into: those are refused for training"


def test_its_traffic_plan_is_its_own(prepared: Prepared) -> None:
    second, commands, _ = prepared
    assert commands.option("release", "--model") == second.model
    assert commands.option("release", "--champion") == "3"
    assert "--challenger" not in commands.asked["release"]


def test_questions_are_about_days_that_training_never_saw(prepared: Prepared) -> None:
    second, commands, _ = prepared
    through = date.fromisoformat(commands.option("train", "--last"))
    asked = [json.loads(body) for body in questions(commands.home, second, WINDOW)]
    last = [body["candles"]["ts"][-1] for body in asked]
    days = {datetime.fromtimestamp(ms / 1000, IST).date() for ms in last}
    assert min(days) > through
    assert len(days) == second.asked
    assert last == sorted(last), "oldest first, as a market would"
    assert len({body["key"] for body in asked}) == SHARES
    a_day = 1 if second.interval == "day" else 25
    assert len(asked) == SHARES * second.asked * a_day


def test_questions_are_whole_windows_that_the_service_reads(prepared: Prepared) -> None:
    second, commands, _ = prepared
    shape = Shape(second.interval, WINDOW, ())
    for body in questions(commands.home, second, WINDOW)[::50]:
        read = ask(read_instance(body), shape, "id")
        assert read.candles is not None
        assert len(read.candles) == WINDOW
        assert read.as_of_ms is not None
        assert read.as_of_ms > int(read.candles.ts_ms[-1])


def test_a_candle_without_a_whole_window_before_it_is_not_asked(prepared: Prepared) -> None:
    second, commands, _ = prepared
    everything = second.sessions * (1 if second.interval == "day" else 25)
    assert questions(commands.home, second, everything + 1) == []
    assert len(questions(commands.home, second, everything)) == SHARES


def test_the_same_again(prepared: Prepared, tmp_path: Path) -> None:
    second, commands, data = prepared
    again = Commands(Home.open(tmp_path / "again"))
    made = prepare(again.home, second, again, top_share=0.2)
    assert made.data["fingerprint"] == data["fingerprint"]
    assert questions(again.home, second, WINDOW) == questions(commands.home, second, WINDOW)
