"""One training from candles to the registry: gates where the answer is known, and errors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from agent.errors import EnvironmentRefused, Refused, SettingRefused
from bentos.models import load_version
from flows import locks, trials
from flows.bundle import read_bundle
from flows.data.intake import ingest
from flows.data.sources import Request
from flows.data.store import MANIFEST, CandleStore
from flows.gates import statistical
from flows.home import Home
from flows.labels import LabelSettings
from flows.model import Recipe, preset
from flows.registry import Registry
from flows.training import TrainSettings, packaged_policy, train_model
from flows.validation.walk import Entries

ROOT = Path(__file__).resolve().parents[2]
# Few trees and two folds: what is tested is the way, not the skill.
QUICK = Recipe({**preset("champion").params, "min_data_in_leaf": 20}, 5, 20, 5)


def quiet(_line: str) -> None:
    """Tell nobody."""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """One home for the module, with its own registry; names of models keep tests apart."""
    home = Home(tmp_path_factory.mktemp("training"))
    home.tmp.mkdir()
    make(home, "small", symbols=2, days=300)
    return home


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def make(home: Home, dataset: str, *, symbols: int, days: int, edge: float = 0.0) -> None:
    request = Request(
        "synthetic", dataset=dataset, interval="day", symbols=symbols, days=days, edge=edge, seed=3
    )
    ingest(home, request, quiet)


def train(home: Home, model: str, **changed: Any) -> dict[str, Any]:
    settings = {"dataset": "small", "recipe": QUICK, "folds": 2} | changed
    return train_model(home, TrainSettings(model=model, **settings), quiet)


def test_a_planted_edge_passes_the_statistical_gate_and_becomes_challenger(opened: Home) -> None:
    make(opened, "edged", symbols=8, days=1500, edge=0.08)
    document = train(opened, "edged", dataset="edged", recipe=preset("champion"), folds=5)
    gate = document["gates"]["statistical"]
    assert gate["passed"], gate["why"]
    assert (document["alias"], document["refused"]) == ("challenger", None)
    # at 0.08 spread and charges eat it: paper, not money
    assert document["allowed"] == "paper"
    assert Registry(opened).version("edged", 1).aliases == ("challenger",)


def test_a_market_without_an_edge_does_not(opened: Home) -> None:
    make(opened, "blank", symbols=4, days=1200, edge=0.0)
    document = train(opened, "blank", dataset="blank", recipe=preset("champion"), folds=5)
    assert not document["gates"]["statistical"]["passed"]
    assert document["refused"].startswith("statistical: ")
    assert (document["alias"], document["allowed"]) == (None, "none")
    assert Registry(opened).version("blank", 1).aliases == ()


@pytest.fixture(scope="module")
def trained(opened: Home) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return train(opened, "tiny", entries=Entries("top_share", 0.2))


def test_the_document_says_all(trained: dict[str, Any]) -> None:
    json.dumps(trained, allow_nan=False)
    assert set(trained) == {
        "model", "version", "model_sha256", "data", "folds", "metrics", "gates", "alias",
        "allowed", "exercise", "refused", "champion", "seconds",
    }  # fmt: skip
    assert (trained["model"], trained["version"]) == ("tiny", 1)
    assert trained["data"]["symbols"] == ["NSE:SYN001", "NSE:SYN002"]
    assert [fold["fold"] for fold in trained["folds"]] == [1, 2]
    assert trained["folds"][0]["to"] < trained["folds"][1]["from"]
    assert set(trained["metrics"]["labels"]["share"]) == {"FLAT", "LONG", "SHORT"}
    for gate in trained["gates"].values():
        assert gate["why"]
    assert trained["allowed"] == "paper"
    assert "plumbing" in trained["exercise"]


def test_the_version_carries_its_policy_rule_and_golden_answer(
    opened: Home, trained: dict[str, Any], tmp_path: Path
) -> None:
    registry = Registry(opened)
    version = registry.version("tiny", 1)
    assert version.model_sha256 == trained["model_sha256"]
    assert version.gates["statistical"]["why"] == trained["gates"]["statistical"]["why"]
    assert version.allowed == "paper"
    folder = registry.fetch("tiny", 1, tmp_path / "tiny")
    held = read_bundle(folder)
    assert (folder / "policy.toml").read_text() == packaged_policy("day").text
    said = held.version
    assert said["policy_sha256"] == packaged_policy("day").sha256
    assert said["rule"]["kind"] == "top_share"
    assert said["universe"] == trained["data"]["symbols"]
    assert said["data"]["fingerprint"] == CandleStore(opened).manifest("small").fingerprint
    loaded = load_version(folder, 1)  # as the served model does: golden answer and all
    assert loaded.manifest.features == tuple(feature["name"] for feature in said["features"])
    reference = json.loads((folder / "reference.json").read_text())
    assert set(reference["features"]) == set(loaded.manifest.features)
    some = reference["features"]["move_1"]
    assert len(reference["days"]) == len(some["daily"]["mean"]) == len(some["daily"]["psi"])


def test_the_same_training_is_the_same_version_and_another_is_another(opened: Home) -> None:
    first = train(opened, "again")
    again = train(opened, "again")
    assert (first["version"], again["version"]) == (1, 1)
    assert first["model_sha256"] == again["model_sha256"]
    other = train(opened, "again", seed=2)
    assert other["version"] == 2
    assert other["model_sha256"] != first["model_sha256"]
    ledger = trials.read(Registry(opened).tag("again", trials.TAG), "small/day")
    assert ledger.count == 2, "a repetition is no new trial"
    assert other["metrics"]["economic"]["trials"] == 2


def test_the_champion_is_a_rival_on_the_same_days(opened: Home) -> None:
    train(opened, "rival", last=date(2025, 11, 14))
    registry = Registry(opened)
    registry.write_plan("rival", {"champion": 1}, who="t", why="t", expected_revision=0)
    same = train(opened, "rival")["champion"]
    assert same["version"] == 1
    assert "the same" in same["recipe"]
    # its bytes are scored only on days after its own last training day
    assert 20 <= same["bytes"]["days"] < 40
    registry.write_plan("rival", {"champion": 2}, who="t", why="t", expected_revision=1)
    other = Recipe({**QUICK.params, "num_leaves": 3}, 5, 20, 5)
    compared = train(opened, "rival", recipe=other)["champion"]
    assert compared["recipe"]["days"] > 100
    assert compared["recipe"]["error"] > 0
    assert "0 tested days" in compared["bytes"]


#  what is wrong, settings, the error, its exit status, its words
ERRORS: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("unknown dataset", {"dataset": "nosuch"}, SettingRefused, "found nosuch; expected .*small"),
    ("unknown symbol", {"symbols": ("NSE:NO",)}, SettingRefused, "NSE:NO; expected NSE:SYN001"),
    ("nothing left", {"first": date(2030, 1, 1)}, SettingRefused, "too short: found 0 days"),
    ("too short", {"first": date(2025, 3, 1)}, SettingRefused,
     r"NSE:SYN001: history too short: found \d+ days.*at least 260"),
    ("too many folds", {"folds": 40}, SettingRefused, "lower --folds"),
    ("bad name", {"model": "a/b"}, SettingRefused, "model name"),
    ("a way out", {"model": "../../up"}, SettingRefused, "model name"),
]  # fmt: skip
ERROR_IDS = [row[0] for row in ERRORS]


@pytest.mark.parametrize(("name", "changed", "kind", "says"), ERRORS, ids=ERROR_IDS)
def test_what_cannot_be_trained_is_one_clear_error(
    opened: Home, name: str, changed: dict[str, Any], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says) as told:
        train(opened, **({"model": "broken"} | changed))
    assert told.value.exit_status == 2  # type: ignore[attr-defined]
    assert Registry(opened).versions("broken") == []
    assert not list(opened.tmp.glob("train-*"))
    assert all(path.is_file() for path in opened.locks.iterdir())


def test_a_simulated_path_is_refused(opened: Home) -> None:
    make(opened, "drawn", symbols=1, days=300)
    manifest = opened.candles / "drawn" / MANIFEST
    document = json.loads(manifest.read_text()) | {"simulated_path": True}
    manifest.write_text(json.dumps(document))
    with pytest.raises(Refused, match="refused: simulated path") as told:
        train(opened, "drawn", dataset="drawn")
    assert told.value.exit_status == 1
    with _command_environment():
        arguments = ["train", "--dataset", "drawn", "--home", str(opened.root), "--json"]
        result = CliRunner().invoke(_app(), arguments)
    assert isinstance(result.exception, Refused)
    assert "simulated path" in json.loads(result.stdout)["refused"]


@pytest.mark.parametrize("damage", ["cut off", "column gone", "file gone"])
def test_damaged_candles_are_named(opened: Home, damage: str) -> None:
    import pyarrow.parquet as pq

    make(opened, "damaged", symbols=1, days=300)
    part = next((opened.candles / "damaged").rglob("*.parquet"))
    if damage == "cut off":
        part.write_bytes(part.read_bytes()[:200])
    elif damage == "column gone":
        pq.write_table(pq.read_table(part).drop_columns(["close"]), part)
    else:
        part.unlink()
    with pytest.raises(SettingRefused, match="damaged") as told:
        train(opened, "damaged", dataset="damaged")
    assert told.value.exit_status == 2
    shutil.rmtree(opened.candles / "damaged")


def test_two_trainings_of_one_model_are_refused(opened: Home) -> None:
    with (
        locks.held(opened.locks / "train-twice.lock", what="test"),
        pytest.raises(Refused, match=f"cannot train model twice: process {os.getpid()}") as told,
    ):
        train(opened, "twice")
    assert told.value.exit_status == 1


def test_a_registry_that_is_gone_is_told_before_the_work(
    opened: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    said: list[str] = []
    settings = TrainSettings(dataset="small", model="gone")
    with pytest.raises(EnvironmentRefused, match=r"registry http://127\.0\.0\.1:1"):
        train_model(opened, settings, said.append)
    assert said == []


def test_a_policy_that_never_fits_has_no_labels(opened: Home) -> None:
    from agent.trailing.policy import Policy

    tight = Policy.parse('mode = "percent"\nstop = "0.01"\nshare = 0\n')
    with pytest.raises(SettingRefused, match=r"NSE:SYN001: .*stop"):
        train(opened, "tight", policy=tight)


def test_another_policy_or_other_labels_are_another_version(opened: Home) -> None:
    wide = train(opened, "labels")
    dear = train(opened, "labels", labels=LabelSettings(spread_bps=30.0))
    assert (wide["version"], dear["version"]) == (1, 2)
    means = [doc["metrics"]["labels"]["r_long_mean"] for doc in (wide, dear)]
    assert means[1] < means[0]


def ratchet(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    return subprocess.run(
        [sys.executable, "-m", "flows", *arguments], cwd=ROOT, capture_output=True, text=True,
        timeout=200, check=False, env=environment | {"PYTHONSAFEPATH": "", "TMPDIR": ""},
    )  # fmt: skip


def test_the_sample_fails_honestly(opened: Home) -> None:
    ingest(opened, Request("sample"), quiet)
    document = train(opened, "sample", dataset="sample", recipe=preset("champion"), folds=5)
    assert document["data"]["samples"] > 11_000
    assert not document["gates"]["economic"]["passed"]
    assert document["allowed"] != "live"


def test_the_program_trains_and_prints_one_document(opened: Home) -> None:
    ended = ratchet(
        "train", "--dataset", "small", "--model", "typed", "--folds", "2", "--json",
        "--home", str(opened.root),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert (document["model"], document["version"]) == ("typed", 1)
    assert "fold 2/2" in ended.stderr
    assert document["gates"]["statistical"]["why"] in ended.stderr
    registry = Registry(opened)
    assert registry.version("typed", 1).gates == document["gates"]


def test_models_are_listed_shown_and_compared(
    opened: Home, trained: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> Any:
        with _command_environment():
            models(["models", *arguments, "--home", str(opened.root)], standalone_mode=False)
        return capsys.readouterr().out

    train(opened, "tiny", seed=2)
    models = typer.main.get_command(_app())
    listed = {one["name"]: one for one in json.loads(said("list", "--json"))["models"]}
    assert [v["version"] for v in listed["tiny"]["versions"]] == [1, 2]
    shown = json.loads(said("show", "tiny", "1", "--json"))
    assert shown["gates"] == trained["gates"]
    assert shown["metrics"]["labels.rows"] == trained["metrics"]["labels"]["rows"]
    compared = json.loads(said("compare", "tiny", "1", "2", "--json"))
    assert compared["made"]["seed"] == ["1", "2"]
    assert compared["params"]["entries"] == ["top-share=0.2", "edge=0.05"]
    assert compared["figures"]["labels.rows"][0] == compared["figures"]["labels.rows"][1]
    for words in (("list",), ("show", "tiny"), ("compare", "tiny", "1", "2")):
        assert "tiny" in said(*words)
    with pytest.raises(SettingRefused, match=r"found nosuch; expected .*tiny"):
        said("show", "nosuch")


def _app() -> typer.Typer:
    from flows.commands import models, train

    app = typer.Typer()
    models.register(app)
    train.register(app)
    return app


@contextmanager
def _command_environment() -> Iterator[None]:
    """Undo what opening a home puts into this process's environment."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


#  arguments, words on stderr
USAGE = [
    (["--dataset", "small", "--entries", "all"], "--entries: found all"),
    (["--dataset", "small", "--preset", "best"], "--preset: found best"),
    (["--dataset", "small", "--policy", "/nosuch.toml"], "--policy: found /nosuch.toml"),
    (["--dataset", "small", "--last", "soon"], "--last: found 'soon'"),
    (["--dataset", "small", "--folds", "1"], "folds"),
]


@pytest.mark.parametrize(("arguments", "says"), USAGE, ids=[row[0][2] for row in USAGE])
def test_usage_errors_end_with_two_and_one_message(
    opened: Home, arguments: list[str], says: str
) -> None:
    with _command_environment():
        result = CliRunner().invoke(_app(), ["train", "--home", str(opened.root), *arguments])
    assert says in f"{result.output} {result.exception}"
    assert getattr(result.exception, "exit_status", result.exit_code) == 2


def test_entries_say_what_they_mean() -> None:
    assert Entries.parse("edge") == Entries("edge", 0.05)
    assert Entries.parse("edge=0.2") == Entries("edge", 0.2)
    assert Entries.parse("top-share=0.2") == Entries("top_share", 0.2)
    for text in ("top-share", "top-share=0.6", "top-share=0", "edge=x", "", "share=0.2"):
        with pytest.raises(SettingRefused, match="--entries"):
            Entries.parse(text)
    assert Entries.parse(Entries("top_share", 0.25).told()) == Entries("top_share", 0.25)


def test_an_unseen_gate_figure_is_no_pass() -> None:
    from flows.gates import Evidence

    blind = Evidence({}, [], 0.0, 0.0, 0, True, 500, 5000)
    assert not statistical(blind).passed
