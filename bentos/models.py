"""Which versions are in memory, and which plan is in force: load beside, prove, swap.

A worker watches one folder: `NAME/plan.json` and `NAME/versions/V/`. A new plan comes into force
by one assignment, after every version that takes traffic under it is loaded and has reproduced
its golden answer. Where one fails, the newest earlier plan whose versions all stand stays (or, in
a fresh worker, comes) into force, so that all workers agree. Everything here runs in the
follower's thread, except `Model.active`, which requests read, and `pinned`.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bentos.answer import feature_row, golden_difference, prediction
from bentos.booster import Booster, BoosterRefused, Scorer
from bentos.bundle import BundleFiles, BundleRefused, GoldenMismatch, Manifest, read_bundle
from bentos.checks import StuckWatch
from bentos.contract import Instance, Shape, ask
from bentos.problems import Problem
from bentos.traffic import Plan, PlanRefused, Split, parse_plan

WARM_UP_ROWS = 50  # the first rows of a model are its slowest
Alert = Callable[[str, str, int | None, str], None]  # kind, model, version, what


@dataclass(frozen=True, slots=True)
class Loaded:
    """A version in memory that has reproduced its golden answer."""

    manifest: Manifest
    booster: Booster
    scorer: Scorer  # the event loop's; other threads make their own
    policy_toml: str
    policy: Mapping[str, Any]
    size_bytes: int
    load_ms: float
    watch: StuckWatch


@dataclass(frozen=True, slots=True)
class Active:
    """The plan in force and its versions; immutable, swapped whole.

    Parameters
    ----------
    versions : every version of the plan that stands, shadows included
    missing : versions that should take traffic and do not: the champion answers for them
    shape : what a question must look like: what the versions that take traffic need
    told : what callers are told to send: what shadows need besides, which may refuse nobody
    """

    plan: Plan
    versions: Mapping[int, Loaded]
    missing: tuple[int, ...]
    shape: Shape
    told: Shape

    @property
    def champion(self) -> Loaded:
        """The version that answers unless the split says another."""
        return self.versions[self.plan.split.champion]


@dataclass(slots=True)
class Standing:
    """How far a version has come: `loading`, `ready`, `failed: why`."""

    state: str = "loading"
    signature: tuple[int, ...] = ()
    tried_at: float = 0.0


@dataclass(slots=True)
class Model:
    """One served model: what answers now and how its versions stand."""

    name: str
    folder: Path
    active: Active | None = None
    standing: dict[int, Standing] = field(default_factory=dict)
    loaded: OrderedDict[int, Loaded] = field(default_factory=OrderedDict)
    last_error: str = ""
    plan_signature: tuple[int, ...] = ()
    tried_at: float = 0.0
    settled: bool = False  # the newest plan is in force, whole
    newest: int = 0  # revision of the newest plan, in force or not
    lock: threading.Lock = field(default_factory=threading.Lock)

    def stored(self) -> list[int]:
        """Return the versions whose files are here, rising."""
        folder = self.folder / "versions"
        if not folder.is_dir():
            return []
        return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit() and p.is_dir())


class Pool:
    """The models of one worker.

    Parameters
    ----------
    folder : callable returning the folder to watch
    only : names to serve; empty serves all
    retry_s : seconds after which a failed version is tried again
    bytes_max : memory for model texts; versions of a plan stay in any case
    alert : called with kind, model, version, what
    """

    def __init__(
        self,
        folder: Callable[[], Path],
        *,
        only: tuple[str, ...] = (),
        retry_s: float = 30.0,
        bytes_max: int = 268_435_456,
        alert: Alert,
    ) -> None:
        self._folder = folder
        self._only = only
        self._retry_s = retry_s
        self._bytes_max = bytes_max
        self._alert = alert
        self.models: dict[str, Model] = {}

    def refresh(self) -> None:
        """Look at the folder once; load and swap what changed. Never raises for a bad model."""
        folder = self._folder()
        for path in sorted(folder.glob("*/plan.json")):
            name = path.parent.name
            if self._only and name not in self._only:
                continue
            model = self.models.get(name)
            if model is None or model.folder != path.parent:
                model = Model(name, path.parent, model.active if model else None)
                self.models = {**self.models, name: model}
            with model.lock:
                self._refresh(model, path)

    def _refresh(self, model: Model, path: Path) -> None:
        signature = _signature(path)
        if signature == model.plan_signature and not (not model.settled and self._due(model)):
            return
        model.plan_signature, model.tried_at = signature, time.monotonic()
        try:
            plan = parse_plan(msgspec.json.decode(path.read_bytes()), model=model.name)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, PlanRefused) as fault:
            self._failed(model, None, f"plan.json: {fault}")
            return
        self._apply(model, plan)
        self._trim(model)

    def _due(self, model: Model) -> bool:
        """Whether a plan that is not whole is worth another try: time passed, or files changed."""
        failed = [(v, s) for v, s in model.standing.items() if v not in model.loaded]
        changed = any(_version_signature(model, v) != s.signature for v, s in failed)
        return changed or time.monotonic() - model.tried_at > self._retry_s

    def _apply(self, model: Model, plan: Plan) -> None:
        model.newest = plan.revision
        if self._stands(model, plan.split.takers):
            model.last_error = ""
            self._swap(model, plan)
            model.settled = all(v in model.loaded for v in plan.split.versions)
            return
        model.settled = False
        bad = [v for v in plan.split.takers if v not in model.loaded]
        waits = f"plan {plan.revision} waits: {self._why(model, bad)}"
        self._failed(model, None, waits, kind="plan-not-followed")
        now = model.active
        if now is not None and not now.missing and now.plan.revision < plan.revision:
            return  # the old plan goes on
        for revision, split in plan.earlier():
            if self._stands(model, split.takers):
                self._swap(model, _as_of(plan, revision, split))
                return
        if plan.split.champion in model.loaded:
            self._swap(model, plan)

    def _stands(self, model: Model, versions: tuple[int, ...]) -> bool:
        return not [version for version in versions if not self._ensure(model, version)]

    def _ensure(self, model: Model, version: int) -> bool:
        """Load a version unless it is loaded, or failed and nothing has changed since."""
        if version in model.loaded:
            return True
        standing = model.standing.setdefault(version, Standing())
        signature = _version_signature(model, version)
        recently = time.monotonic() - standing.tried_at < self._retry_s
        if standing.tried_at and standing.signature == signature and recently:
            return False
        standing.state, standing.signature = "loading", signature
        standing.tried_at = time.monotonic()
        try:
            loaded = load_version(model.folder / "versions" / str(version), version)
            self._check_alike(model, loaded)
        except (BundleRefused, BoosterRefused) as fault:
            standing.state = f"failed: {fault}"
            kind = "golden-mismatch" if isinstance(fault, GoldenMismatch) else "load-failed"
            self._failed(model, version, str(fault), kind=kind)
            return False
        model.loaded[version] = loaded
        standing.state = "ready"
        return True

    @staticmethod
    def _check_alike(model: Model, loaded: Loaded) -> None:
        """One caller sends one kind of candles: the versions of a model must agree on it."""
        now = model.active
        if now is not None and now.champion.manifest.interval != loaded.manifest.interval:
            raise BundleRefused(
                f"version.json: interval {loaded.manifest.interval}; "
                f"the champion's is {now.champion.manifest.interval}"
            )

    def _swap(self, model: Model, plan: Plan) -> None:
        for shadow in plan.split.versions:
            self._ensure(model, shadow)
        named = [v for v in dict.fromkeys(plan.split.versions) if v in model.loaded]
        versions = {v: model.loaded[v] for v in named}
        missing = tuple(v for v in plan.split.takers if v not in versions)
        taking = {v: versions[v] for v in plan.split.takers if v in versions}
        shape, told = _shape(plan, taking), _shape(plan, versions)
        model.active = Active(plan, versions, missing, shape, told)

    def _failed(
        self, model: Model, version: int | None, why: str, kind: str = "load-failed"
    ) -> None:
        model.last_error = why if version is None else f"version {version}: {why}"
        self._alert(kind, model.name, version, why)

    @staticmethod
    def _why(model: Model, versions: list[int]) -> str:
        return "; ".join(f"version {v} {model.standing[v].state}" for v in versions)

    def pinned(self, model: Model, version: int) -> Loaded:
        """Return a version that a trade is pinned to; loads it where it is not in memory.

        Blocks while it loads: call it off the event loop.

        Raises
        ------
        bentos.problems.Problem
            `unknown-version` where it has no files here, `version-not-ready` where it failed.
        """
        with model.lock:
            if not (model.folder / "versions" / str(version)).is_dir():
                raise Problem(
                    "unknown-version",
                    f"model {model.name} has no version {version} here; it has {model.stored()}",
                    field="pin_version",
                    expected=f"one of {model.stored()}",
                    found=version,
                )
            if not self._ensure(model, version):
                why = model.standing[version].state
                raise Problem("version-not-ready", f"version {version} {why}", field="pin_version")
            model.loaded.move_to_end(version)
            loaded = model.loaded[version]
            self._trim(model)
            return loaded

    def _trim(self, model: Model) -> None:
        """Forget versions outside the plan, least recently used first, past the memory bound."""
        keep = set(model.active.versions) if model.active else set()
        last = next(reversed(model.loaded), None)  # the one just asked for
        for version in [v for v in model.loaded if v not in keep and v != last]:
            if sum(one.size_bytes for one in model.loaded.values()) <= self._bytes_max:
                return
            del model.loaded[version]
            del model.standing[version]


def load_version(folder: Path, number: int) -> Loaded:
    """Load a version and let it answer its golden request.

    Raises
    ------
    BundleRefused, BoosterRefused
        If its files are not whole, or the golden answer is not reproduced.
    """
    started = time.perf_counter()
    files = read_bundle(folder, number)
    booster = Booster(files.model_text, files.manifest.features)
    scorer = booster.scorer()
    _prove(files, scorer)
    return Loaded(
        manifest=files.manifest,
        booster=booster,
        scorer=scorer,
        policy_toml=files.policy_toml,
        policy=files.policy,
        size_bytes=len(files.model_text),
        load_ms=(time.perf_counter() - started) * 1000,
        watch=StuckWatch(),
    )


def _prove(files: BundleFiles, scorer: Scorer) -> None:
    manifest = files.manifest
    shape = Shape(manifest.interval, manifest.window, manifest.features, manifest.context)
    try:
        instance = msgspec.convert(files.golden_request, Instance)
        question = ask(instance, shape, "golden")
        for _ in range(WARM_UP_ROWS):
            p = scorer.probabilities(feature_row(question)[manifest.columns])
    except (Problem, msgspec.ValidationError, ValueError) as fault:
        raise BundleRefused(f"golden.json: the request is refused: {fault}") from fault
    found, wrong = prediction(manifest, p)
    difference = wrong or golden_difference(files.golden_expected, found)
    if difference:
        raise GoldenMismatch(f"golden answer not reproduced: {difference}")


def _shape(plan: Plan, versions: Mapping[int, Loaded]) -> Shape:
    champion = versions[plan.split.champion].manifest
    return Shape(
        interval=champion.interval,
        window=max(one.manifest.window for one in versions.values()),
        features=tuple(sorted({f for one in versions.values() for f in one.manifest.features})),
        context=tuple(sorted({c for one in versions.values() for c in one.manifest.context})),
    )


def _as_of(plan: Plan, revision: int, split: Split) -> Plan:
    """Return an earlier entry of a plan's history as a plan."""
    document = {**plan.document(), **split.document(), "revision": revision}
    return parse_plan(document, model=plan.model)


def _version_signature(model: Model, version: int) -> tuple[int, ...]:
    folder = model.folder / "versions" / str(version)
    return _signature(*(folder / name for name in ("version.json", "model.txt", "golden.json")))


def _signature(*paths: Path) -> tuple[int, ...]:
    told: list[int] = []
    for path in paths:
        try:
            about = path.stat()
        except OSError:
            told.append(0)
        else:
            told += [about.st_mtime_ns, about.st_size, about.st_ino]
    return tuple(told)
