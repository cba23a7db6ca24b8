"""What `ratchet up` runs: which parts, with what, and what is left out; the page says the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.errors import SettingRefused
from flows.home import Home
from flows.pipeline_settings import schedule
from flows.settings import Settings, read_settings
from flows.stack.deployments import with_times
from flows.stack.parts import Stack, deployments_file, stack
from flows.stack.settings import PARTS
from flows.stack.states import State
from flows.stack.status import _not_made_good

ROOT = Path(__file__).resolve().parents[3]
PAPER = {"RATCHET_AGENT__BROKER__REST_URL", "RATCHET_AGENT__BROKER__TICKER_URL"}


@pytest.fixture(autouse=True)
def no_other_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "RATCHET_HOME"):
        monkeypatch.delenv(name, raising=False)


def made(home: Path, options: dict[str, Any] | None = None) -> Stack:
    environ = {"KITE_API_KEY": "k", "KITE_API_SECRET": "s", "RATCHET_ADMIN_TOKEN": "t"}
    return stack(Home(home), read_settings(home, options, environ))


def names(of: Stack) -> list[str]:
    return [part.name for part in of.parts if part.name != "warden"]


def extra(of: Stack, name: str) -> dict[str, str]:
    return dict(next(part for part in of.parts if part.name == name).extra)


def test_everything_by_default_each_after_what_it_needs(home: Path) -> None:
    whole = made(home)
    assert set(names(whole)) == set(PARTS)
    seen: set[str] = set()
    for part in whole.parts:
        assert set(part.needs) <= seen
        seen.add(part.name)
    assert sorted(whole.ports) == [13000, 13010, 13030, 13042, 13050]


#  case, options, parts that are missing
LEFT_OUT = [
    ("named", {"stack.without": ["agent", "paper"]}, {"agent", "paper"}),
    ("real money", {"stack.live": True}, {"paper"}),
    ("no Prefect, no worker", {"stack.without": ["prefect"]}, {"prefect", "worker", "deployments"}),
    ("no registry server", {"stack.without": ["mlflow"]}, {"mlflow"}),
]


@pytest.mark.parametrize(
    ("options", "missing"), [row[1:] for row in LEFT_OUT], ids=[row[0] for row in LEFT_OUT]
)
def test_what_is_left_out_is_not_waited_for(
    home: Path, options: dict[str, Any], missing: set[str]
) -> None:
    of = made(home, options)
    assert set(PARTS) - set(names(of)) == missing
    assert not [part for part in of.parts if set(part.needs) & missing]
    assert not set(of.ports.values()) & missing


def command(of: Stack, name: str) -> tuple[str, ...]:
    return next(part for part in of.parts if part.name == name).command


def test_the_exchange_and_the_agent_go_by_one_clock(home: Path) -> None:
    wall = made(home)
    assert "--wall-clock" in command(wall, "paper")
    assert "--clock" not in command(wall, "agent")
    own = made(home, {"stack.paper_clock": "exchange", "stack.paper_speed": 30})
    assert command(own, "paper")[-6:-2] == ("--lockstep", "--latest", "--speed-max", "30")
    assert command(own, "agent")[-2:] == ("--clock", "exchange")
    live = made(home, {"stack.paper_clock": "exchange", "stack.live": True})
    assert command(live, "agent")[-1] == "--live"


#  id, datasets stored, settings, what the exchange replays
REPLAYED = [
    ("nothing stored", [], {}, None),
    ("the only one", ["sample"], {}, "sample"),
    ("the pipeline's", ["kite", "sample"], {}, "kite"),
    ("neither", ["one", "two"], {}, None),
    ("chosen", ["sample"], {"stack.paper_candles": "own.csv"}, "own.csv"),
    ("synthetic", ["sample"], {"stack.paper_candles": "synthetic"}, None),
]


@pytest.mark.parametrize(
    ("stored", "options", "replayed"), [r[1:] for r in REPLAYED], ids=[r[0] for r in REPLAYED]
)
def test_the_exchange_replays_what_the_model_knows(
    home: Path, stored: list[str], options: dict[str, Any], replayed: str | None
) -> None:
    for name in stored:
        (home / "candles" / name).mkdir(parents=True)
        (home / "candles" / name / "dataset.json").write_text("{}")
    given = command(made(home, options), "paper")
    found = given[given.index("--candles") + 1] if "--candles" in given else None
    assert (found and Path(found).name) == replayed


def test_servers_that_others_run_are_used_and_told(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example:4200/api")
    of = made(home)
    assert of.elsewhere == {
        "mlflow": "http://mlflow.example:5000",
        "prefect": "http://prefect.example:4200/api",
    }
    assert not set(of.elsewhere) & set(names(of))
    assert of.environment["MLFLOW_TRACKING_URI"] == "http://mlflow.example:5000"
    # another machine's runs are not ours to set to CRASHED
    assert next(part for part in of.parts if part.name == "worker").command[-1] == "shared"


def test_on_paper_the_agent_gets_no_key_of_yours_and_secrets_go_where_they_are_used(
    home: Path,
) -> None:
    paper, live = made(home), made(home, {"stack.live": True})
    assert extra(paper, "agent")["KITE_API_KEY"] == "paper"
    assert extra(paper, "agent").keys() >= PAPER
    assert extra(live, "agent")["KITE_API_KEY"] == "k"
    assert not extra(live, "agent").keys() & PAPER
    assert "--live" in next(part for part in live.parts if part.name == "agent").command
    assert extra(paper, "serve") == {"RATCHET_ADMIN_TOKEN": "t"}
    assert extra(paper, "worker") == {"KITE_API_KEY": "k", "KITE_API_SECRET": "s"}
    for name in ("mlflow", "prefect", "paper", "warden"):
        assert extra(paper, name) == {}
    assert not [key for key in paper.environment if key.startswith("KITE_")]


def test_the_schedules_are_those_of_the_table() -> None:
    document = yaml.safe_load(Path(deployments_file()).read_text(encoding="utf-8"))
    found = {
        d["entrypoint"]: [(s["cron"], s["timezone"]) for s in d.get("schedules", [])]
        for d in document["deployments"]
    }
    assert found == {
        "flows.ingest.ingest": [("15 16 * * 1-5", "Asia/Kolkata")],
        "flows.train.train": [("0 10 * * 6", "Asia/Kolkata")],
        "flows.release_flow.release": [],
        "flows.monitor.flow.monitor": [("0 17 * * 1-5", "Asia/Kolkata")],
    }
    assert all(d["work_pool"] == {"name": "ratchet"} for d in document["deployments"])
    skip = {
        d["entrypoint"]
        for d in document["deployments"]
        if d.get("parameters", {}).get("sessions_only")
    }
    assert skip == {entry for entry, times in found.items() if times and "1-5" in times[0][0]}


def test_further_times_stand_beside_those_of_the_table(home: Path) -> None:
    text = Path(deployments_file()).read_text(encoding="utf-8")
    assert with_times(text, {}) == text
    also = {"ingest": "every 20 s", "release": "30 18 * * 1-5"}
    found = yaml.safe_load(with_times(text, also))["deployments"]
    before = yaml.safe_load(text)["deployments"]
    for old, new in zip(before, found, strict=True):
        flow = new["entrypoint"].rpartition(".")[2]
        more = [schedule(also[flow])] if flow in also else []
        assert new.get("schedules", []) == old.get("schedules", []) + more
        assert {**new, "schedules": 0} == {**old, "schedules": 0}
    given = read_settings(home, {"pipeline.also": also}, {})
    assert json.loads(extra_of_deployments(home, given)) == also


def extra_of_deployments(home: Path, given: Settings) -> str:
    return dict(next(p for p in stack(Home(home), given).parts if p.name == "deployments").extra)[
        "RATCHET_PIPELINE__ALSO"
    ]


#  id, what is set, what the message names
WRONG_TIMES = [
    ("no such flow", {"trian": "* * * * *"}, "one of ingest, train"),
    ("four fields", {"train": "* * * *"}, "five fields"),
    ("never", {"train": "every 0 s"}, "every N s"),
    ("words", {"train": "soon"}, "'soon'"),
]


@pytest.mark.parametrize(
    ("also", "named"), [row[1:] for row in WRONG_TIMES], ids=[row[0] for row in WRONG_TIMES]
)
def test_a_time_that_cannot_be_read_is_refused(
    home: Path, also: dict[str, str], named: str
) -> None:
    with pytest.raises(SettingRefused, match=named):
        read_settings(home, {"pipeline.also": also}, {})


def test_the_operator_s_page_names_every_part_port_and_state(home: Path) -> None:
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    wanted = [*(f"`{name}`" for name in (*PARTS, "warden", *State)), *map(str, made(home).ports)]
    assert [name for name in wanted if name not in page] == []


def run(flow: str, kind: str, end: str) -> dict[str, Any]:
    return {"flow_id": flow, "state": {"type": kind}, "end_time": f"2026-11-02T10:{end}:00Z"}


def test_a_failed_run_is_wrong_until_its_flow_completes_again() -> None:
    early, late = run("train", "CRASHED", "00"), run("train", "FAILED", "30")
    other = run("ingest", "FAILED", "05")
    between = run("train", "COMPLETED", "10")
    assert _not_made_good([late, between, other, early]) == [late, other]
