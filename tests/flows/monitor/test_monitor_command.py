"""`ratchet monitor` from outside: one document, a page that opens offline, an index of all."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.errors import Refused, SettingRefused
from flows.data.sources import Request
from flows.home import Home
from flows.locks import held
from flows.monitor import picture, records, versions, watch
from flows.monitor.usual import Usual
from tests.flows.monitor.served import NAMES, Served, copied, log, serve

ROOT = Path(__file__).resolve().parents[3]
NOTHING = lambda _line: None  # noqa: E731


def ratchet(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows", *arguments], cwd=ROOT, capture_output=True, text=True,
        timeout=200, check=False, env=os.environ | {"PYTHONSAFEPATH": "", "TMPDIR": ""},
    )  # fmt: skip


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Served:
    made = Home(tmp_path_factory.mktemp("made"))
    return serve(made, Request("sample"), keep_days=60, versions=(1, 2))


@pytest.fixture
def served(made_once: Served, home: Path) -> Served:
    """Return a model on the sample, 60 days left to serve."""
    return copied(made_once, home)


def _scaled(x: Any) -> Any:
    x[:, NAMES.index("atr_14")] *= 10.0
    return x


@pytest.mark.slow
def test_a_run_prints_one_document_and_leaves_its_pages(served: Served) -> None:
    days = served.later(60)
    log(served, days[:20])
    log(served, days[20:22], change=_scaled)
    for some, change in ((days[:20], lambda x: x), (days[20:22], _scaled)):
        log(served, some, version=2, variant="shadow", change=change, name="shadow")
    ended = ratchet("monitor", "--home", str(served.home.root), "--json")
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert (document["model"], document["reference"], document["champion"]) == ("m", 1, 1)
    assert (document["predictions"], document["joined"], document["rows"]) == (176, 176, 88)
    assert (document["features"], len(document["days"])) == (44, 22)
    assert document["drifted"] == ["atr_14"]
    assert document["drifted_features"] == 1
    named = {(f["kind"], f["feature"]) for f in document["integrity"]}
    assert ("scale", "atr_14") in named
    assert ("not the official candles", "") in named
    assert {(q["version"], q["variant"]) for q in document["quality"]} == {
        (1, "champion"), (2, "shadow"),
    }  # fmt: skip
    report = Path(document["report"])
    assert report.name == "evidently.html"
    assert 1_000_000 < report.stat().st_size <= picture.PAGE_BYTES_MAX
    assert set(document["evidently"]["left_out"]) == {"minute", "session_candles"}
    assert len(document["evidently"]["distances"]) == 42
    for page in (report, Path(document["page"]), Path(document["index"])):
        text = page.read_text(encoding="utf-8")
        # nothing is loaded from elsewhere; a link that a person may click is none of it
        assert not re.search(r"""<(?:script|link|img|iframe)\s[^>]*?(?:https?:)?//""", text)
    index = Path(document["index"]).read_text()
    for target in re.findall(r'href="([^"]+)"', index):
        assert (Path(document["index"]).parent / target).exists()
    figures = json.loads((report.parent / "figures.json").read_text())
    assert figures["drifted"] == document["drifted"]
    assert not [p for p in (served.home.root / "tmp").iterdir() if p.name != "duckdb"]


def test_a_home_without_a_model_and_a_wrong_name_are_told(home: Path) -> None:
    ended = ratchet("monitor", "--home", str(home), "--json")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "no model is served or logged" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_model_is_named_where_there_are_several(served: Served) -> None:
    assert watch.model_of(served.home, None) == "m"
    (served.home.serving / "n").mkdir()
    (served.home.serving / "n" / "plan.json").write_text("{}")
    assert watch.models_of(served.home) == ["m", "n"]
    assert watch.model_of(served.home, "n") == "n"
    for asked in (None, "o"):
        with pytest.raises(SettingRefused, match="m, n"):
            watch.model_of(served.home, asked)


def test_before_the_first_prediction_there_is_a_page_that_says_so(served: Served) -> None:
    document = watch.watch(served.home, "m", NOTHING)
    assert (document["predictions"], document["rows"], document["joined"]) == (0, 0, 0)
    assert document["evidently"] is None
    assert "no outcome yet" in Path(document["report"]).read_text()


def test_two_runs_for_one_model_do_not_meet(served: Served) -> None:
    with held(served.home.locks / "monitor-m.lock", what="test"), pytest.raises(Refused):
        watch.watch(served.home, "m", NOTHING)


def _drift(served: Served) -> watch.Drift:
    known = versions.known(served.home, "m", 1)
    assert isinstance(known, versions.Known)
    usual = Usual(known.reference)
    with records.connected(served.home) as connection:
        rows = records.rows(connection, served.home, "m", usual.names, "2000-01-01")
    return watch.find_drift(usual, rows, known, watch.CandleStore(served.home))


ASKS = [  # which of the last days are shifted, whether training is asked for
    ("none", [], False),
    ("one day never", [4], False),
    ("two of five", [2, 4], False),
    ("three of five", [0, 2, 4], True),
]


@pytest.mark.parametrize(("case", "shifted", "asks"), ASKS, ids=[row[0] for row in ASKS])
def test_training_is_asked_for_by_three_of_five_days(
    served: Served, case: str, shifted: list[int], asks: bool
) -> None:
    def shift(x: Any) -> Any:
        x[:, NAMES.index("rising_50")] = 0.95  # inside what single rows had, never a whole day
        return x

    for place, day in enumerate(served.later(60)[:5]):
        log(served, [day], change=shift if place in shifted else lambda x: x)
    drift = _drift(served)
    # the shifted rows are not those of the stored candles: without that, they are clean
    drift.findings.clear()
    assert bool(watch.ask_for_training(drift)) is asks
    assert len({alarm.day for alarm in drift.alarms}) == len(shifted)


def test_a_broken_day_says_nothing_about_drift(served: Served) -> None:
    for day in served.later(60)[:5]:
        log(served, [day], change=_scaled)
    drift = _drift(served)
    assert len({finding.day for finding in drift.findings}) == 5
    assert watch.ask_for_training(drift) == ""


USABLE = [
    ("good", np.arange(50.0), np.arange(50.0), None),
    ("empty", np.full(50, np.nan), np.arange(50.0), "0 served values"),
    ("infinite", np.full(50, np.inf), np.arange(50.0), "0 served values"),
    ("few", np.where(np.arange(50) < 19, 1.0, np.nan), np.arange(50.0), "19 served values"),
    ("constant", np.arange(50.0), np.ones(50), "the same value"),
    ("no sample", np.arange(50.0), np.full(50, np.nan), "no training sample"),
]


@pytest.mark.parametrize(("case", "now", "then", "why"), USABLE, ids=[row[0] for row in USABLE])
def test_what_would_lose_the_picture_is_left_out_with_the_reason(
    case: str, now: Any, then: Any, why: str | None
) -> None:
    found = picture.usable(["f"], now[:, None], then[:, None])
    assert (why in found["f"]) if why else found == {}


def test_nothing_to_draw_writes_nothing(tmp_path: Path) -> None:
    empty = np.full((50, 1), np.nan)
    assert picture.draw(["f"], empty, empty, tmp_path / "p.html") is None
    assert list(tmp_path.iterdir()) == []
