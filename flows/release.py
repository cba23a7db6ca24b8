"""Release: build the Bento of a plan's versions, prove it in a fresh process, then write the plan.

Order: fetch into a staging folder, build, start the Bento alone (no registry, no serving folder)
and let every version answer its golden request; only then versions, plan and record are
published. Whatever fails or dies before that leaves the registry and the serving as they were.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bentos
from agent.errors import Refused, SettingRefused
from bentos.answer import golden_difference
from bentos.store import write_whole
from bentos.traffic import PlanRefused, parse_split
from flows import chosen, locks
from flows.bundle import copy_bundle
from flows.children import Children
from flows.deploy import RELEASED, ServeOptions, folder_plan, mirror, publish, start_bento
from flows.home import Home, process_environment
from flows.plan import Note, encoded, next_plan
from flows.registry import Registry

BUILD_S = 120.0
ANSWER_S = 10.0
SOURCE = Path(bentos.__file__).resolve().parent
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a release is asked for; None keeps what the plan in force says.

    Parameters
    ----------
    model : None takes that of `[pipeline]`, else the only registered one
    champion : None takes the alias `champion`, else the plan's, else the oldest version
    challengers : version to weight
    """

    model: str | None = None
    champion: int | None = None
    challengers: Mapping[int, float] | None = None
    shadows: tuple[int, ...] | None = None
    who: str = "release"
    why: str = "release"


def release(home: Home, wanted: Wanted, tell: Tell) -> dict[str, Any]:
    """Release the versions of a plan; return what was built and what is in force.

    Raises
    ------
    agent.errors.SettingRefused
        If the model or a version does not exist, or the plan is none.
    agent.errors.Refused
        If the Bento does not build or does not prove itself; nothing was changed.
    agent.errors.EnvironmentRefused
        If the registry cannot be reached.
    """
    registry = Registry(home)
    name = _model(home, registry, wanted.model)
    with locks.held(home.locks / "release.lock", what=f"release {name}"):
        _sweep(home)
        current = mirror(home, name)
        split = _split(registry, name, wanted, current)
        staging = home.tmp / f"release-{uuid.uuid4().hex[:12]}"
        job = _Job(home, registry, name, split, current, wanted, staging)
        try:
            planned = job.stage()
            bento = _build(home, staging, planned, tell)
            try:
                proof = _prove(home, bento.path, name, planned, tell)
                plan = job.publish()
            except BaseException:
                bento.forget()
                raise
            said = {"tag": bento.tag, "path": str(bento.path.relative_to(home.root))}
            write_whole(home.serving / RELEASED, json.dumps(said))
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return {"model": name, "bento": bento.tag, "path": str(bento.path), "plan": plan, **proof}


@dataclass(frozen=True, slots=True)
class _Job:
    """One release under way."""

    home: Home
    registry: Registry
    name: str
    split: Mapping[str, Any]
    current: Mapping[str, Any] | None
    wanted: Wanted
    staging: Path

    def stage(self) -> dict[str, Any]:
        """Lay out what the Bento holds: the package, every model with its plan and versions."""
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(SOURCE, self.staging / "bentos", ignore=ignored)
        known = [v.version for v in self.registry.versions(self.name)]
        note = Note(self.wanted.who, self.wanted.why, "")
        planned = next_plan(self.current, self.split, model=self.name, known=known, note=note)
        for path in sorted(self.home.serving.glob("*/plan.json")):
            other = path.parent.name
            if other != self.name:
                self._stage_model(folder_plan(self.home, other) or {})
        self._stage_model(planned)
        return planned

    def _stage_model(self, plan: Mapping[str, Any]) -> None:
        name = plan["model"]
        target = self.staging / "models" / name
        for version in parse_split(plan).versions:
            folder = target / "versions" / str(version)
            kept = self.home.serving / name / "versions" / str(version)
            folder.parent.mkdir(parents=True, exist_ok=True)
            if kept.exists():
                copy_bundle(kept, folder)
            else:
                self.registry.fetch(name, version, folder)
        (target / "plan.json").write_text(encoded(plan), encoding="utf-8")

    def publish(self) -> dict[str, Any]:
        """Put versions, plan and record where the served model looks; the plan last."""
        for folder in sorted((self.staging / "models" / self.name / "versions").iterdir()):
            target = self.home.serving / self.name / "versions" / folder.name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                copy_bundle(folder, target)
        plan = self.registry.write_plan(
            self.name,
            self.split,
            who=self.wanted.who,
            why=self.wanted.why,
            expected_revision=int(self.current["revision"]) if self.current else 0,
        )
        publish(self.home, self.name, plan)
        return plan


def _model(home: Home, registry: Registry, asked: str | None) -> str:
    names = registry.names()
    name = chosen.model(home, names) if asked is None else asked
    if name is None or name not in names:
        raise SettingRefused(
            "--model",
            given=asked or "nothing",
            allowed=", ".join(names) or "a model (none is registered yet)",
            fix="choose one" if names else "train one: ratchet train",
        )
    return name


def _split(
    registry: Registry, name: str, wanted: Wanted, current: Mapping[str, Any] | None
) -> dict[str, Any]:
    versions = registry.versions(name)
    named = [v.version for v in versions if "champion" in v.aliases]
    before = current or {"champion": None, "challengers": {}, "shadows": []}
    default = named[0] if named else before["champion"] or versions[0].version
    champion = wanted.champion if wanted.champion is not None else default
    challengers, shadows = dict(before["challengers"]), list(before["shadows"])
    if wanted.challengers is not None:
        challengers = {str(v): float(w) for v, w in wanted.challengers.items()}
        shadows = [v for v in shadows if str(v) not in challengers]
    else:
        challengers.pop(str(champion), None)
    if wanted.shadows is not None:
        shadows = list(wanted.shadows)
        if wanted.challengers is None:
            challengers = {v: w for v, w in challengers.items() if int(v) not in shadows}
    else:
        shadows = [v for v in shadows if v != champion]
    split = {"champion": champion, "challengers": challengers, "shadows": shadows}
    try:
        asked = parse_split(split)
    except PlanRefused as fault:
        raise SettingRefused(
            fault.field, given=fault.found, allowed=fault.expected, fix="mend the options"
        ) from fault
    for version in asked.versions:
        registry.version(name, version)
    return split


@dataclass(frozen=True, slots=True)
class _Bento:
    tag: str
    path: Path
    latest_before: str | None
    new: bool

    def forget(self) -> None:
        """Leave the store as it was before this Bento."""
        if not self.new:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        latest = self.path.parent / "latest"
        if self.latest_before is None:
            latest.unlink(missing_ok=True)
        else:
            write_whole(latest, self.latest_before)


def _build(home: Home, staging: Path, plan: Mapping[str, Any], tell: Tell) -> _Bento:
    version = f"r{plan['revision']}-{_fingerprint(staging)[:12]}"
    store = home.bentoml / "bentos" / "ratchet"
    latest = store / "latest"
    before = latest.read_text(encoding="utf-8") if latest.exists() else None
    path = store / version
    if (path / "bento.yaml").is_file():
        tell(f"Bento ratchet:{version} is built already")
        return _Bento(f"ratchet:{version}", path, before, new=False)
    tell(f"building Bento ratchet:{version}")
    run = subprocess.run(
        [sys.executable, "-m", "bentos.build", str(staging), version],
        cwd=staging,
        env={**os.environ, **process_environment(home), "PYTHONPATH": str(staging)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    built = _Bento(f"ratchet:{version}", path, before, new=True)
    if run.returncode != 0 or not (path / "bento.yaml").is_file():
        built.forget()
        raise Refused(f"the Bento does not build; nothing was changed:\n{run.stderr[-3000:]}")
    return built


def _fingerprint(staging: Path) -> str:
    """Return a hash of what the Bento holds, its plans' time stamps left out."""
    said = hashlib.sha256()
    for path in sorted(p for p in staging.rglob("*") if p.is_file()):
        contents = path.read_bytes()
        if path.name == "plan.json":
            plan = json.loads(contents)
            kept = ("model", "revision", "champion", "challengers", "shadows", "salt", "slots")
            contents = encoded({key: plan.get(key) for key in kept}).encode()
        said.update(f"{path.relative_to(staging)}\n{len(contents)}\n".encode())
        said.update(contents)
    return said.hexdigest()


def _prove(
    home: Home, bento: Path, name: str, plan: Mapping[str, Any], tell: Tell
) -> dict[str, Any]:
    """Start the Bento as a stranger would and let every version answer its golden request."""
    started = time.monotonic()
    alone = home.tmp / f"smoke-{uuid.uuid4().hex[:12]}"
    alone.mkdir(parents=True)
    nothing = ("RATCHET_SERVING_DIR", "MLFLOW_TRACKING_URI", "RATCHET_PREDICT_TOKEN")
    extra = {"RATCHET_HOME": str(alone), **dict.fromkeys(nothing, "")}
    versions = list(parse_split(plan).versions)
    tell(f"smoke test: versions {versions} of {name} in a fresh process")
    try:
        with Children(process_environment(home), alone / "logs") as children:
            server = start_bento(children, bento, ServeOptions(port=0, whole=True), extra=extra)
            for version in versions:
                _golden(server.url, bento / "src" / "models" / name, name, version)
    except Refused:
        raise
    except SettingRefused as fault:
        raise Refused(f"the Bento does not start; nothing was changed: {fault}") from fault
    finally:
        shutil.rmtree(alone, ignore_errors=True)
    return {"proved": versions, "proved_s": round(time.monotonic() - started, 1)}


def _golden(url: str, folder: Path, name: str, version: int) -> None:
    golden = json.loads((folder / "versions" / str(version) / "golden.json").read_bytes())
    body = json.dumps({**golden["request"], "pin_version": version}).encode()
    request = urllib.request.Request(  # noqa: S310  (our own child on the loopback)
        f"{url}/v1/models/{name}/predict", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310
            said = json.loads(answer.read())["prediction"]
    except urllib.error.HTTPError as fault:
        why = fault.read().decode(errors="replace")[:1000]
        raise Refused(f"version {version} refuses its golden request: {why}") from fault
    except OSError as fault:
        raise Refused(f"version {version} does not answer: {fault}") from fault
    said.pop("valid_until", None)
    difference = golden_difference(golden["expected"], said)
    if difference:
        raise Refused(
            f"version {version} does not reproduce its golden answer; nothing was changed: "
            f"{difference}"
        )


def _sweep(home: Home) -> None:
    """Remove what a killed release left; the lock says that none is running."""
    for pattern in ("release-*", "smoke-*"):
        for path in home.tmp.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)
