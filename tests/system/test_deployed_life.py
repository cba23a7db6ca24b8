"""A version's whole life: shadow, A/B, champion, on the log of what a worker really predicted.

The days are those of the candles; registry, release and prediction log are the real ones. With the
system's tests for its cost: four releases, each proved in a process of its own.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import Refused
from agent.home import open_home
from bentos.contract import ask, read_instance
from bentos.settings import ServingSettings
from bentos.worker import Worker
from flows.advance import Asked, advance
from flows.home import Home, process_environment
from flows.registry import Registry
from tests.bentos.bundles import request, write_version
from tests.bentos.candles import DAY, walk

pytestmark = pytest.mark.system
KEYS = 24


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    opened = Home(open_home(tmp_path / "home"))
    opened.tmp.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for name, value in process_environment(opened).items():
            patch.setenv(name, value)
        for number in (1, 2):
            folder = write_version(tmp_path / str(number), seed=number, allowed="paper")
            Registry(opened).register("tiny", folder, {}, {}, {})
        yield opened


def trade(home: Home, first_day: int, days: int) -> None:
    """Ask the plan in force about every key on each day, as a worker does, and write its log."""
    settings = ServingSettings(home=home.root, serving_dir=home.serving)
    worker = Worker(settings, 1)
    worker.pool.refresh()
    worker.log.start()
    worker.shadows.start()
    _, active = worker.served("tiny")
    for day in range(first_day, first_day + days):
        for key in range(KEYS):
            candles = walk(60, key)
            candles = dataclasses.replace(candles, ts_ms=candles.ts_ms + day * DAY)
            body = json.dumps(request(candles, f"NSE:K{key}")).encode()
            question = ask(read_instance(body), active.shape, f"{day}.{key}")
            asked = worker.ask(active, question, None, time.perf_counter())
            worker.answer(active, asked)
    worker.shadows.stop()
    worker.log.stop()


def test_a_version_goes_from_nothing_to_champion_by_what_it_has_shown(home: Home) -> None:
    def step(version: int) -> str:
        document = advance(home, Asked("tiny", version, weight=0.5), lambda _: None)
        return str(document["step"])

    assert step(1) == "champion"  # nobody else could answer
    assert step(2) == "shadow"
    trade(home, 0, 2)
    with pytest.raises(Refused, match="2 trading days in the step before; 3 are needed"):
        step(2)
    trade(home, 2, 1)
    assert step(2) == "a/b"
    with pytest.raises(Refused, match="0 trading days in the step before; 5 are needed"):
        step(2)  # what it did as a shadow counts no more
    trade(home, 3, 5)
    assert step(2) == "champion"
    plan = Registry(home).plan("tiny")
    assert plan is not None
    assert (plan["champion"], plan["challengers"], plan["shadows"]) == (2, {}, [1])
    steps = [(e["champion"], e["challengers"], e["shadows"]) for e in plan["history"]]
    assert steps == [(1, {}, []), (1, {}, [2]), (1, {"2": 0.5}, []), (2, {}, [1])]
    assert {entry["who"] for entry in plan["history"]} == {"deploy"}
