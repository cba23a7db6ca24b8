"""What the registry promises: idempotent, whole or nothing, one writer, one sentence when gone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.errors import EnvironmentRefused, Refused, SettingRefused
from flows import locks, reach
from flows.bundle import read_bundle
from flows.home import Home
from flows.logged import addressed
from flows.plan import PlanMoved
from flows.registry import Registry
from tests.flows.bundles import booster_text, make_bundle

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """One home for the module: making MLflow's tables costs two seconds; names keep tests apart."""
    home = Home(tmp_path_factory.mktemp("registry"))
    home.tmp.mkdir()
    return home


@pytest.fixture(scope="module")
def registry(opened: Home) -> Registry:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return Registry(opened)


def test_a_version_carries_everything_and_comes_back_byte_for_byte(
    registry: Registry, tmp_path: Path
) -> None:
    held = make_bundle(tmp_path / "b")
    made = registry.register("whole", held.folder, {"skill": 0.1}, {"ratchet.note": "x"}, {"a": 1})
    assert (made.version, made.allowed, made.aliases) == (1, "none", ())
    assert made.tags["ratchet.note"] == "x"
    assert made.gates == {"statistical": {"passed": False, "why": "no skill"}}
    assert registry.metrics("whole", 1) == {"skill": 0.1}
    assert registry.params("whole", 1) == {"a": "1"}
    fetched = registry.fetch("whole", 1, tmp_path / "fetched")
    assert read_bundle(fetched).fingerprint == held.fingerprint == made.fingerprint
    assert (fetched / "model.txt").read_text(encoding="utf-8") == booster_text(1)
    assert registry.fetch("whole", 1, fetched) == fetched
    assert not list(registry._home.tmp.glob("fetch-*"))


def test_mlflow_itself_can_load_the_version(registry: Registry, tmp_path: Path) -> None:
    import mlflow
    import pandas as pd

    registry.register("loadable", make_bundle(tmp_path / "b").folder, {}, {}, {})
    with addressed(registry._uri):
        model = mlflow.pyfunc.load_model("models:/loadable/1")
    answer = model.predict(pd.DataFrame([[0.1, 0.2, 0.3]], columns=["f0", "f1", "f2"]))
    assert answer.shape == (1, 3)
    assert model.metadata.signature.inputs.input_names() == ["f0", "f1", "f2"]


def test_the_same_bundle_is_the_same_version(registry: Registry, tmp_path: Path) -> None:
    first = make_bundle(tmp_path / "a")
    other = make_bundle(tmp_path / "c", seed=2)
    versions = [
        registry.register("twice", folder, {}, {}, {}).version
        for folder in (first.folder, make_bundle(tmp_path / "b").folder, other.folder)
    ]
    assert versions == [1, 1, 2]
    assert "twice" in registry.names()


def test_what_does_not_exist_is_named_with_what_does(registry: Registry, tmp_path: Path) -> None:
    registry.register("one", make_bundle(tmp_path / "b").folder, {}, {}, {})
    assert registry.versions("nobody") == []
    assert registry.plan("nobody") is None
    with pytest.raises(SettingRefused, match="version of model one: found 7; expected 1"):
        registry.version("one", 7)
    with pytest.raises(SettingRefused, match="none is registered yet"):
        registry.fetch("nobody", 1, tmp_path / "x")
    for bad in ("a/b", "", "..", "a:b", "x" * 65):
        with pytest.raises(SettingRefused, match="model name"):
            registry.versions(bad)


@pytest.mark.parametrize("alias", ["latest", "Latest", "v1", "V22", "", "a b"])
def test_reserved_aliases_are_refused(registry: Registry, tmp_path: Path, alias: str) -> None:
    with pytest.raises(SettingRefused, match="alias"):
        registry.set_alias("one", alias, 1)


@pytest.mark.parametrize("name", ["model.txt", "policy.toml"])
def test_a_damaged_bundle_is_refused_before_anything_is_written(
    registry: Registry, tmp_path: Path, name: str
) -> None:
    held = make_bundle(tmp_path / "b")
    (held.folder / name).write_text("tree\n", encoding="utf-8")
    with pytest.raises(SettingRefused, match=f"{name}: found SHA-256"):
        registry.register("damaged", held.folder, {}, {}, {})
    assert registry.versions("damaged") == []


def test_artifacts_changed_behind_the_registry_are_refused(
    registry: Registry, opened: Home, tmp_path: Path
) -> None:
    registry.register("changed", make_bundle(tmp_path / "b", seed=5).folder, {}, {}, {})
    stored = max(opened.mlflow.rglob("bundle/model.txt"), key=lambda path: path.stat().st_mtime_ns)
    stored.write_text("tree\n", encoding="utf-8")
    with pytest.raises(SettingRefused, match=r"model\.txt"):
        registry.fetch("changed", 1, tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_the_plan_is_one_tag_with_history_and_aliases_follow(
    registry: Registry, tmp_path: Path
) -> None:
    for seed in (1, 2, 3):
        registry.register(
            "planned", make_bundle(tmp_path / str(seed), seed=seed).folder, {}, {}, {}
        )
    registry.set_alias("planned", "challenger", 2)
    plan = registry.write_plan(
        "planned", {"champion": 1}, who="ann", why="first", expected_revision=0
    )
    assert (plan["revision"], plan["champion"], plan["challengers"]) == (1, 1, {})
    aliases = {v.version: v.aliases for v in registry.versions("planned")}
    assert aliases == {1: ("champion",), 2: ("challenger",), 3: ()}  # a candidate keeps its name

    wanted = {"champion": 1, "challengers": {"2": 0.2}, "shadows": [3]}
    plan = registry.write_plan("planned", wanted, who="ann", why="try", expected_revision=1)
    assert registry.plan("planned") == plan
    again = registry.write_plan("planned", wanted, who="bob", why="same", expected_revision=2)
    assert again == plan, "the same plan is no new revision"
    with pytest.raises(PlanMoved, match="at revision 2, not 1"):
        registry.write_plan("planned", {"champion": 3}, who="b", why="", expected_revision=1)

    plan = registry.write_plan("planned", {"champion": 2}, who="a", why="won", expected_revision=2)
    assert [entry["champion"] for entry in plan["history"]] == [1, 1, 2]
    assert [entry["who"] for entry in plan["history"]] == ["ann", "ann", "a"]
    aliases = {v.version: v.aliases for v in registry.versions("planned")}
    assert aliases == {1: (), 2: ("champion",), 3: ()}


def test_a_registration_that_fails_leaves_no_version_and_no_run(
    registry: Registry, opened: Home, tmp_path: Path
) -> None:
    held = make_bundle(tmp_path / "b")
    with pytest.raises(SettingRefused):  # MLflow refuses the metric's name, after the run began
        registry.register("failing", held.folder, {"bad\nname": 1.0}, {}, {})
    assert registry.versions("failing") == []
    assert "failing" not in registry.names()
    assert _open_runs(registry, "failing") == []


KILLED = """
import os, signal, sys
from pathlib import Path
from flows.home import Home
from flows import logged
from flows.registry import Registry
setattr(logged, sys.argv[3], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
Registry(Home.open(Path(sys.argv[1]))).register("killed", Path(sys.argv[2]), {}, {}, {})
"""


@pytest.mark.parametrize(("step", "left"), [("_log_booster", 0), ("_finish", 1)])
def test_kill_in_the_middle_leaves_nothing_half_registered(
    registry: Registry, opened: Home, tmp_path: Path, step: str, left: int
) -> None:
    held = make_bundle(tmp_path / "b", note=step)
    before = len(registry.versions("killed"))
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    run = subprocess.run(
        [sys.executable, "-c", KILLED, opened.root, held.folder, step],
        cwd=ROOT, env=environment | {"PYTHONPATH": str(ROOT)}, check=False, timeout=120,
    )  # fmt: skip
    assert run.returncode == -signal.SIGKILL
    assert len(registry.versions("killed")) == before + left
    assert len(_open_runs(registry, "killed")) == 1
    again = registry.register("killed", held.folder, {}, {}, {})
    assert again.version == before + 1
    other = make_bundle(tmp_path / "c", seed=4, note=step)
    registry.register("killed", other.folder, {}, {}, {})
    assert _open_runs(registry, "killed") == [], "the next registration tidies up"


def _open_runs(registry: Registry, name: str) -> list[str]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(registry._uri)
    experiment = client.get_experiment_by_name(f"ratchet/{name}")
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    return [run.info.run_id for run in runs if "ratchet.writer" in run.data.tags]


def test_one_writer_at_a_time(registry: Registry, opened: Home, tmp_path: Path) -> None:
    from flows import registry as module

    held = make_bundle(tmp_path / "b")
    with (
        pytest.MonkeyPatch.context() as patch,
        locks.held(opened.locks / "registry.lock", what="test"),
    ):
        patch.setattr(module, "LOCK_WAIT_S", 0.2)
        with pytest.raises(Refused, match=f"process {os.getpid()} is doing so"):
            registry.register("locked", held.folder, {}, {}, {})
    assert registry.register("locked", held.folder, {}, {}, {}).version == 1


def test_a_server_that_is_gone_is_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound, not listening: nothing answers
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        registry = Registry(Home(home))
        with pytest.raises(EnvironmentRefused, match=f"registry {uri}: found .*refused") as told:
            registry.names()
    assert told.value.exit_status == 2


@pytest.mark.parametrize("kind", ["folder in the way", "not a database"])
def test_a_database_that_cannot_be_opened_is_one_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    path = Home(home).mlflow / "mlflow.db"
    if kind == "folder in the way":
        path.mkdir(parents=True)
    else:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * 8192)
    with pytest.raises(EnvironmentRefused, match="registry sqlite"):
        Registry(Home(home)).names()


def test_a_password_is_not_told(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:hush@127.0.0.1:1")
    with pytest.raises(EnvironmentRefused) as told:
        Registry(Home(home)).names()
    assert "hush" not in str(told.value)


def test_another_home_in_one_process_has_its_own_registry(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.home import process_environment, tracking_uri

    for key, value in process_environment(Home(home)).items():
        monkeypatch.setenv(key, value)
    other = Home(tmp_path / "other")
    assert str(other.root) in tracking_uri(other)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://registry:5000")
    assert tracking_uri(other) == "http://registry:5000"


def test_the_plan_stays_within_what_postgresql_can_hold(registry: Registry, tmp_path: Path) -> None:
    from flows.plan import CHARACTERS_MAX, Note, encoded, next_plan

    plan = None
    for i in range(80):
        wanted = {"champion": 1 + i % 2}
        note = Note("ann", "w" * 1000, "2026-01-01")
        plan = next_plan(plan, wanted, model="m", known={1, 2}, note=note)
        assert len(encoded(plan)) <= CHARACTERS_MAX
    assert plan is not None
    assert plan["revision"] == 80
    assert len(plan["history"]) >= 2
    assert json.loads(encoded(plan)) == plan


def test_over_http_as_without_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One server on the home's own database: both see the same; then it goes away."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    served = Home(tmp_path / "served")
    served.tmp.mkdir(parents=True)
    direct = Registry(served)
    direct.register("web", make_bundle(tmp_path / "a").folder, {}, {}, {})
    with mlflow_server(served) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        over = Registry(served)
        held = make_bundle(tmp_path / "b", seed=2)
        assert over.register("web", held.folder, {"x": 1.0}, {}, {}).version == 2
        assert over.register("web", held.folder, {}, {}, {}).version == 2
        plan = over.write_plan("web", {"champion": 2}, who="a", why="b", expected_revision=0)
        fetched = over.fetch("web", 1, tmp_path / "f")
        assert read_bundle(fetched).fingerprint == direct.version("web", 1).fingerprint
        assert over.plan("nobody") is None
        with pytest.raises(SettingRefused, match="expected 1, 2"):
            over.version("web", 3)
    assert direct.plan("web") == plan
    assert direct.version("web", 2).aliases == ("champion",)
    with pytest.raises(EnvironmentRefused, match="registry http"):
        over.versions("web")


@contextmanager
def mlflow_server(home: Home) -> Iterator[str]:
    """Start MLflow's server on the home's database, on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{home.mlflow / 'mlflow.db'}",
        "_MLFLOW_SERVER_REGISTRY_STORE": f"sqlite:///{home.mlflow / 'mlflow.db'}",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": (home.mlflow / "artifacts").as_uri(),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "false",
    }
    command = [sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "error"]
    uri = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([*command, "mlflow.server.fastapi_app:app"], env=environment)
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                reach.check_reachable(uri)
                break
            except EnvironmentRefused:
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield uri
    finally:
        server.terminate()
        server.wait(30)
