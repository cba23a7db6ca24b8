"""Release: proved in a fresh process before anything changes; mirror: the newer plan wins."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent.errors import Refused, SettingRefused
from agent.home import open_home
from bentos.store import PlanStore
from bentos.traffic import Note, Split
from flows.advance import Asked, advance
from flows.deploy import folder_plan, mirror, released
from flows.home import Home, process_environment
from flows.registry import Registry
from flows.release import Wanted, release
from tests.bentos.bundles import write_version

ROOT = Path(__file__).resolve().parents[2]
FIRST = Wanted(champion=1, challengers={2: 0.2}, shadows=(3,), who="ann", why="first")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Three versions that stand, and a fourth whose golden answer is not its own."""
    root = tmp_path_factory.mktemp("release")
    opened = Home(open_home(root / "home"))
    opened.tmp.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for name, value in process_environment(opened).items():
            patch.setenv(name, value)
        _register(opened, root)
        yield opened


def _register(opened: Home, root: Path) -> None:
    registry = Registry(opened)
    for number in (1, 2, 3, 4):
        folder = write_version(root / str(number), seed=number, name="tiny")
        if number == 4:
            golden = json.loads((folder / "golden.json").read_bytes())
            golden["expected"]["p_long"] = 0.99
            (folder / "golden.json").write_text(json.dumps(golden))
        registry.register("tiny", folder, {}, {}, {})


def state(home: Home) -> dict[str, Any]:
    """Everything that a failed release must leave as it was."""
    bentos = home.bentoml / "bentos" / "ratchet"
    latest = bentos / "latest"
    served = {
        str(p.relative_to(home.serving)): p.read_bytes()
        for p in home.serving.rglob("*")
        if p.is_file() and not p.name.endswith(".lock")
    }
    return {
        "plan": Registry(home).plan("tiny"),
        "aliases": [v.aliases for v in Registry(home).versions("tiny")],
        "serving": served,
        "bentos": sorted(p.name for p in bentos.glob("r*")),
        "latest": latest.read_text() if latest.exists() else None,
        "tmp": sorted(p.name for p in home.tmp.glob("release-*")),
        "smoke": sorted(p.name for p in home.tmp.glob("smoke-*")),
    }


def test_a_release_proves_every_version_and_then_changes_the_plan(home: Home) -> None:
    said: list[str] = []
    document = release(home, FIRST, said.append)
    assert (document["model"], document["proved"]) == ("tiny", [1, 2, 3])
    assert document["bento"] == document["bento"].lower()
    plan = Registry(home).plan("tiny")
    assert document["plan"] == plan == folder_plan(home, "tiny")
    assert plan is not None
    assert (plan["revision"], plan["champion"], plan["challengers"], plan["shadows"]) == (
        1, 1, {"2": 0.2}, [3],
    )  # fmt: skip
    assert plan["history"][0]["who"] == "ann"
    bento = released(home)
    assert bento.tag == document["bento"]
    assert (bento.path / "src" / "models" / "tiny" / "versions" / "3" / "model.txt").is_file()
    assert (home.serving / "tiny" / "versions" / "3" / "model.txt").is_file()
    after = state(home)
    assert after["aliases"][0] == ("champion",)
    assert after["tmp"] == after["smoke"] == []
    assert len(said) == 2


def test_the_same_release_again_changes_nothing(home: Home) -> None:
    before = state(home)
    document = release(home, Wanted(), lambda _: None)  # nothing asked: what the plan says
    assert document["plan"]["revision"] == 1
    after = state(home)
    assert after["plan"] == before["plan"]
    assert after["bentos"] == before["bentos"]


def test_a_version_that_does_not_prove_itself_changes_nothing(home: Home) -> None:
    before = state(home)
    with pytest.raises(Refused, match="nothing was changed"):
        release(home, Wanted(champion=4), lambda _: None)
    assert state(home) == before


def test_kill_9_in_the_middle_changes_nothing_and_the_next_one_cleans_up(home: Home) -> None:
    before = state(home)
    command = [sys.executable, "-m", "flows", "release", "--home", str(home.root)]
    with subprocess.Popen(
        [*command, "--champion", "2"], cwd=ROOT, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("smoke test"):
                break
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=15)
    assert alive == [], "the server of the smoke test dies with its release"
    left = state(home)
    same = ("plan", "aliases", "serving")
    assert [left[key] for key in same] == [before[key] for key in same]
    assert left["tmp"] != []
    document = release(home, Wanted(champion=2, why="won"), lambda _: None)
    assert document["plan"]["champion"] == 2
    assert document["plan"]["challengers"] == {}, "the new champion is no challenger of itself"
    assert state(home)["tmp"] == state(home)["smoke"] == []


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (Wanted(model="nobody"), "--model"),
        (Wanted(champion=9), "version"),
        (Wanted(champion=1, challengers={9: 0.1}), "version"),
        (Wanted(champion=1, challengers={2: 1.5}), "challengers.2"),
        (Wanted(champion=1, challengers={1: 0.5}), "challengers.1"),
        (Wanted(champion=1, challengers={2: 0.6, 3: 0.6}), "challengers"),
        (Wanted(champion=1, challengers={}, shadows=(2, 2)), "shadows[1]"),
    ],
)
def test_what_cannot_be_released_is_refused_before_anything_is_built(
    home: Home, wanted: Wanted, told: str
) -> None:
    before = state(home)
    with pytest.raises(SettingRefused) as refused:
        release(home, wanted, lambda _: pytest.fail("it began to build"))
    assert told in refused.value.subject
    assert state(home) == before


def aliases(registry: Registry) -> dict[str, int]:
    return {alias: v.version for v in registry.versions("tiny") for alias in v.aliases}


def test_registry_and_folder_follow_the_newer_plan(home: Home) -> None:
    registry = Registry(home)
    folder = PlanStore(lambda: home.serving, None)
    revision = folder.current("tiny").revision
    over_api = folder.put("tiny", revision, Split(2, {1: 0.1}), Note("ann", "by hand", ""), None)
    assert (
        mirror(home, "tiny") == registry.plan("tiny") == json.loads(json.dumps(over_api.document()))
    )
    assert aliases(registry) == {"champion": 2, "challenger": 1}
    wanted = {"champion": 1, "challengers": {"3": 0.3}, "shadows": []}
    shutil.rmtree(home.serving / "tiny" / "versions" / "3")
    written = registry.write_plan(
        "tiny", wanted, who="verdict", why="", expected_revision=over_api.revision
    )
    assert mirror(home, "tiny") == written == folder_plan(home, "tiny")
    assert (home.serving / "tiny" / "versions" / "3" / "model.txt").is_file()
    assert mirror(home, "tiny") == written
    shadowed = folder.put(
        "tiny", int(written["revision"]), Split(3, {}, (1,)), Note("ann", "", ""), None
    )
    mirror(home, "tiny")
    assert aliases(registry) == {"champion": 3, "shadow": 1}
    registry.take_plan("tiny", written)
    assert registry.plan("tiny") == json.loads(json.dumps(shadowed.document())), "it is older"


def test_a_step_of_a_version_that_does_not_prove_itself_changes_nothing(home: Home) -> None:
    """The first step, to shadow, asks for no record; its release does not let it through."""
    before = state(home)
    with pytest.raises(Refused, match="golden"):
        advance(home, Asked("tiny", 4), lambda _: None)
    after = state(home)
    fetched = {name for name in after["serving"] if name.startswith("tiny/versions/4/")}
    after["serving"] = {k: v for k, v in after["serving"].items() if k not in fetched}
    assert after == before
