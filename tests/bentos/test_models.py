"""How a version takes and loses traffic: load beside, prove, swap; the old plan goes on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bentos.models import Model, Pool
from bentos.problems import Problem
from tests.bentos.bundles import write_model, write_plan, write_version
from tests.bentos.candles import walk

HISTORY = {"who": "test", "why": "", "at": "2026"}


class Watched:
    """A serving folder, its pool, and the alerts that went out."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.folder = folder
        self.alerts: list[tuple[str, str, int | None, str]] = []
        self.pool = Pool(
            lambda: folder,
            alert=lambda *told: self.alerts.append(told),
            **options,  # type: ignore[arg-type]
        )
        self.pool.refresh()

    def model(self, name: str = "tiny") -> Model:
        return self.pool.models[name]

    def look(self) -> Model:
        self.pool.refresh()
        return self.model()


@pytest.fixture
def serving(tmp_path: Path) -> Path:
    write_model(tmp_path, versions=3, challengers={"2": 0.2}, shadows=[3])
    return tmp_path


def in_force(model: Model) -> tuple[int, int, list[int]]:
    assert model.active is not None
    active = model.active
    return active.plan.revision, active.plan.split.champion, sorted(active.versions)


def change(serving: Path, revision: int, **said: object) -> None:
    """Write the next revision the way a writer does: its history knows the earlier ones."""
    path = serving / "tiny" / "plan.json"
    before = json.loads(path.read_bytes())
    split = {"champion": 1, "challengers": {}, "shadows": []} | said
    history = [*before["history"], {"revision": revision, **split, **HISTORY}]
    write_plan(serving / "tiny", revision=revision, history=history, **split)


def test_a_plan_comes_into_force_with_all_its_versions(serving: Path) -> None:
    watched = Watched(serving)
    assert in_force(watched.model()) == (1, 1, [1, 2, 3])
    assert {v: s.state for v, s in watched.model().standing.items()} == dict.fromkeys(
        (1, 2, 3), "ready"
    )
    assert watched.alerts == []


def test_an_unchanged_folder_is_not_read_again(serving: Path) -> None:
    watched = Watched(serving)
    active = watched.model().active
    assert watched.look().active is active


def test_a_new_plan_swaps_the_whole_reference(serving: Path) -> None:
    watched = Watched(serving)
    before = watched.model().active
    change(serving, 2, champion=2)
    assert in_force(watched.look()) == (2, 2, [2])
    assert before is not None
    assert sorted(before.versions) == [1, 2, 3], "who holds the old plan still has its versions"


def truncate(folder: Path) -> None:
    path = folder / "model.txt"
    path.write_bytes(path.read_bytes()[:-200])


def flip_a_bit(folder: Path) -> None:
    path = folder / "model.txt"
    text = bytearray(path.read_bytes())
    text[len(text) // 2] ^= 1
    path.write_bytes(text)


def edit(name: str, change: Callable[[dict], None]) -> Callable[[Path], None]:
    def edited(folder: Path) -> None:
        document = json.loads((folder / name).read_bytes())
        change(document)
        (folder / name).write_text(json.dumps(document))

    return edited


def forget(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def hash_anew(folder: Path) -> None:
    """Cut the model in its trees, as who registered it had it: LightGBM aborts on it."""
    text = (folder / "model.txt").read_bytes()[:6_000]
    (folder / "model.txt").write_bytes(text)
    sha256 = hashlib.sha256(text).hexdigest()
    edit("version.json", lambda said: said.update(model_sha256=sha256))(folder)


DAMAGES: list[tuple[str, Callable[[Path], None], str]] = [
    ("model truncated", truncate, "model.txt: SHA-256"),
    ("model bit flipped", flip_a_bit, "model.txt: SHA-256"),
    ("model gone", forget("model.txt"), "model.txt: No such file"),
    ("manifest gone", forget("version.json"), "4 failed: version.json: No such file"),
    ("golden gone", forget("golden.json"), "4 failed: golden.json: No such file"),
    ("model damaged before its hash", hash_anew, "model.txt: tree"),
    ("manifest deep", lambda f: (f / "version.json").write_text("[" * 20_000), "not JSON"),
    ("policy edited", lambda f: (f / "policy.toml").write_text("x = 1"), "policy.toml: SHA-256"),
    ("manifest cut", lambda f: (f / "version.json").write_text('{"name"'), "not JSON"),
    ("manifest a list", lambda f: (f / "version.json").write_text("[]"), "an object"),
    ("other features", edit("version.json", lambda d: d.update(features_sha256="0" * 64)),
     "another definition of the features"),
    ("feature order", edit("version.json", lambda d: d["features"].reverse()), "feature 0 is"),
    ("classes", edit("version.json", lambda d: d.update(classes=["LONG", "FLAT", "SHORT"])),
     "classes"),
    ("no window", edit("version.json", lambda d: d.pop("window")), "KeyError: 'window'"),
    ("short window", edit("version.json", lambda d: d.update(window=10)), "window 10"),
    ("interval", edit("version.json", lambda d: d.update(interval="7minute")), "interval"),
    ("payoff", edit("version.json", lambda d: d.update(payoff={})), "payoff.r_long"),
    ("rule", edit("version.json", lambda d: d.update(rule={"kind": "?"})), "rule.kind"),
    ("valid_for_s", edit("version.json", lambda d: d.update(valid_for_s=0)), "valid_for_s"),
    ("golden side", edit("golden.json", lambda d: d["expected"].update(side="NO")),
     "golden answer not reproduced: side"),
    ("golden figure", edit("golden.json", lambda d: d["expected"].update(p_long=0.9)),
     "golden answer not reproduced: p_long"),
    ("golden request", edit("golden.json", lambda d: d["request"].pop("key")),
     "request is refused"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "why"), [d[1:] for d in DAMAGES], ids=[d[0] for d in DAMAGES])
def test_a_version_that_fails_stays_out_and_the_old_plan_goes_on(
    serving: Path, damage: Callable[[Path], None], why: str
) -> None:
    watched = Watched(serving)
    folder = write_version(serving / "tiny" / "versions" / "4", seed=4)
    damage(folder)
    change(serving, 2, champion=4)
    model = watched.look()
    assert in_force(model) == (1, 1, [1, 2, 3])
    assert model.standing[4].state.startswith("failed: ")
    assert why in f"4 {model.standing[4].state}"
    assert why in model.last_error
    kind = "golden-mismatch" if "not reproduced" in why else "load-failed"
    told = {alert[:3] for alert in watched.alerts}
    assert told == {(kind, "tiny", 4), ("plan-not-followed", "tiny", None)}
    assert model.newest == 2


def test_a_shadow_refuses_nobody(serving: Path) -> None:
    """Callers are told what it needs; who has not read that yet is answered."""
    write_version(serving / "tiny" / "versions" / "4", seed=4, window=80, golden=walk(80, 99))
    change(serving, 2, champion=1, shadows=[4])
    active = Watched(serving).model().active
    assert active is not None
    assert sorted(active.versions) == [1, 4]
    assert (active.shape.window, active.told.window) == (60, 80)
    change(serving, 3, champion=1, challengers={"4": 0.1})
    active = Watched(serving).model().active
    assert active is not None
    assert (active.shape.window, active.told.window) == (80, 80)


def test_a_fresh_worker_falls_back_to_the_newest_plan_that_stands(serving: Path) -> None:
    """A respawned worker must agree with those that never saw the bad plan in force."""
    change(serving, 2, champion=1, challengers={"2": 0.5})
    write_version(serving / "tiny" / "versions" / "4", seed=4)
    truncate(serving / "tiny" / "versions" / "4")
    change(serving, 3, champion=4)
    watched = Watched(serving)
    assert in_force(watched.model()) == (2, 1, [1, 2])
    assert watched.model().active.missing == ()  # type: ignore[union-attr]


def test_with_nothing_to_fall_back_to_the_champion_answers_alone(serving: Path) -> None:
    truncate(serving / "tiny" / "versions" / "2")
    watched = Watched(serving)
    assert in_force(watched.model()) == (1, 1, [1, 3])
    assert watched.model().active.missing == (2,)  # type: ignore[union-attr]


def test_without_a_champion_nothing_answers(serving: Path) -> None:
    truncate(serving / "tiny" / "versions" / "1")
    watched = Watched(serving)
    assert watched.model().active is None
    assert "version 1" in watched.model().last_error


def test_a_failed_shadow_takes_nothing_from_the_others(serving: Path) -> None:
    truncate(serving / "tiny" / "versions" / "3")
    watched = Watched(serving)
    assert in_force(watched.model()) == (1, 1, [1, 2])
    assert watched.model().active.missing == ()  # type: ignore[union-attr]


def test_a_mended_version_is_taken_at_the_next_look(serving: Path) -> None:
    folder = serving / "tiny" / "versions" / "2"
    whole = (folder / "model.txt").read_bytes()
    truncate(folder)
    watched = Watched(serving)
    assert watched.model().active.missing == (2,)  # type: ignore[union-attr]
    (folder / "model.txt").write_bytes(whole)
    assert in_force(watched.look()) == (1, 1, [1, 2, 3])
    assert watched.model().last_error == ""


@pytest.mark.parametrize("text", ["", "{", "[]", '{"champion": "x"}', '{"champion": 1}', "\xff"])
def test_a_plan_that_is_none_changes_nothing(serving: Path, text: str) -> None:
    watched = Watched(serving)
    (serving / "tiny" / "plan.json").write_text(text)
    assert in_force(watched.look()) == (1, 1, [1, 2, 3])
    assert watched.model().last_error.startswith("plan.json")


def test_a_folder_that_vanishes_changes_nothing(serving: Path) -> None:
    watched = Watched(serving)
    shutil.rmtree(serving / "tiny")
    assert in_force(watched.look()) == (1, 1, [1, 2, 3])


def test_models_do_not_disturb_each_other(serving: Path) -> None:
    write_model(serving, "other", versions=1)
    truncate(serving / "other" / "versions" / "1")
    watched = Watched(serving)
    assert in_force(watched.model()) == (1, 1, [1, 2, 3])
    assert watched.model("other").active is None
    assert set(Watched(serving, only=("other",)).pool.models) == {"other"}


def test_a_challenger_of_another_interval_is_refused(serving: Path) -> None:
    watched = Watched(serving)
    write_version(serving / "tiny" / "versions" / "4", seed=4, interval="60minute")
    change(serving, 2, champion=1, challengers={"4": 0.1})
    assert in_force(watched.look()) == (1, 1, [1, 2, 3])
    assert "golden.json" in watched.model().standing[4].state  # its golden candles are days


def test_a_pinned_version_is_loaded_when_asked_for(serving: Path) -> None:
    write_version(serving / "tiny" / "versions" / "4", seed=4)
    watched = Watched(serving)
    model = watched.model()
    assert watched.pool.pinned(model, 4).manifest.number == 4
    assert in_force(model) == (1, 1, [1, 2, 3]), "a pin takes no traffic"
    with pytest.raises(Problem, match="no version 9") as refused:
        watched.pool.pinned(model, 9)
    assert refused.value.kind == "unknown-version"
    write_version(serving / "tiny" / "versions" / "5", seed=5)
    truncate(serving / "tiny" / "versions" / "5")
    with pytest.raises(Problem, match="SHA-256") as refused:
        watched.pool.pinned(model, 5)
    assert refused.value.kind == "version-not-ready"


def test_versions_outside_the_plan_leave_when_memory_is_short(serving: Path) -> None:
    for number in (4, 5):
        write_version(serving / "tiny" / "versions" / str(number), seed=number)
    watched = Watched(serving, bytes_max=1)
    model = watched.model()
    watched.pool.pinned(model, 4)
    assert sorted(model.loaded) == [1, 2, 3, 4], "the one just asked for stays"
    watched.pool.pinned(model, 5)
    assert sorted(model.loaded) == [1, 2, 3, 5]
    assert watched.pool.pinned(model, 4).manifest.number == 4, "and comes back when needed"
