"""What a caller and an operator can read about the served models: documents for the GET routes."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

from bentos.bundle import BundleFiles, BundleRefused, read_bundle
from bentos.features import FEATURES
from bentos.models import Active, Loaded, Model
from bentos.worker import Worker

# A trade pinned to a version outside the plan must send what that version needs.
TOLD = (
    "interval", "window", "context", "gates", "allowed", "rule", "payoff", "valid_for_s",
    "trained_through", "data", "seed",
)  # fmt: skip
STATM = Path("/proc/self/statm")


def models_document(worker: Worker) -> dict[str, Any]:
    """Return `GET /v1/models`."""
    models = [_summary(worker, model) for _, model in sorted(worker.pool.models.items())]
    return {"models": models, "worker": worker.index, "memory_bytes": memory_bytes()}


def model_document(worker: Worker, model: Model) -> dict[str, Any]:
    """Return `GET /v1/models/{name}`. Reads files of versions that are not in memory: blocking.

    The keys that need a champion are there only once one is loaded.
    """
    document = _summary(worker, model)
    active = model.active
    if active is not None:
        champion = active.champion.manifest
        needed = set(active.told.features)
        document |= {
            "window": active.told.window,
            "interval": active.told.interval,
            "features": [
                {"name": f.name, "unit": f.unit, "look_back": f.look_back, "why": f.why}
                for f in FEATURES
                if f.name in needed
            ],
            "context": list(active.told.context),
            "universe": list(champion.said.get("universe") or []),
            "traffic": active.plan.document(),
        }
    numbers = sorted({*model.stored(), *model.standing, *model.loaded})
    document["versions"] = [_version(model, number) for number in numbers]
    document["worker"] = worker.index
    document["memory_bytes"] = memory_bytes()
    return document


def _summary(worker: Worker, model: Model) -> dict[str, Any]:
    active, figures = model.active, worker.figures.of(model.name)
    missing = active is None or bool(active.missing)
    return {
        "name": model.name,
        "state": "ready" if not missing else "degraded" if active else "not ready",
        "champion": active.plan.split.champion if active else None,
        "plan_revision": active.plan.revision if active else None,
        "last_error": model.last_error or None,
        "requests": figures.requests,
        "refusals": dict(figures.refusals),
        "latency_ms": figures.percentiles(),
        "model_bytes": sum(one.size_bytes for one in model.loaded.values()),
        "versions": [
            {"version": number, "alias": _alias(active, number), "state": standing.state}
            for number, standing in sorted(model.standing.items())
        ],
    }


def _version(model: Model, number: int) -> dict[str, Any]:
    loaded = model.loaded.get(number)
    standing = model.standing.get(number)
    state = standing.state if standing else "stored"
    told: dict[str, Any] = {
        "version": number,
        "alias": _alias(model.active, number),
        "state": state,
    }
    if loaded is not None:
        return told | _from_loaded(loaded)
    try:
        files = read_bundle(model.folder / "versions" / str(number), number)
    except BundleRefused:
        return told | {"policy": None, "policy_toml": None, "policy_hash": None, "gates": {}}
    return told | _from_files(files)


def _alias(active: Active | None, number: int) -> str | None:
    if active is None:
        return None
    split = active.plan.split
    if number == split.champion:
        return "champion"
    if number in split.challengers:
        return "challenger"
    return "shadow" if number in split.shadows else None


def _from_loaded(loaded: Loaded) -> dict[str, Any]:
    said = loaded.manifest.said
    return {
        "policy": loaded.policy,
        "policy_toml": loaded.policy_toml,
        "policy_hash": said["policy_sha256"],
        **{key: said.get(key) for key in TOLD},
        "model_sha256": said["model_sha256"],
        "load_ms": round(loaded.load_ms, 1),
        "size_bytes": loaded.size_bytes,
        "stuck": loaded.watch.stuck,
    }


def _from_files(files: BundleFiles) -> dict[str, Any]:
    said = files.manifest.said
    return {
        "policy": files.policy,
        "policy_toml": files.policy_toml,
        "policy_hash": said["policy_sha256"],
        **{key: said.get(key) for key in TOLD},
        "model_sha256": said["model_sha256"],
    }


def memory_bytes() -> int:
    """Return the resident memory of this process."""
    return int(STATM.read_text().split()[1]) * resource.getpagesize()
