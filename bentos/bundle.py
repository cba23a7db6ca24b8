"""One model version on disk, read and checked before anything is loaded from it.

    model.txt · version.json · policy.toml · golden.json · reference.json

The files come from the registry through the serving folder. Nothing is unpickled; `model.txt` is
compared with the manifest's SHA-256 first, because the library aborts on a damaged one.
"""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bentos.checks import INTERVAL_MS
from bentos.decision import CLASSES, Payoff, Rule, check_payoff, check_rule
from bentos.features import CONTEXT, FEATURES, WINDOW, features_sha256
from bentos.windows import Floats, Ints

WINDOW_MAX = 2_000
VALID_FOR_S_MAX = 30 * 86_400


class BundleRefused(ValueError):
    """A version's files are missing, damaged, or of another definition of the features."""


class GoldenMismatch(BundleRefused):
    """A version loads, and answers its golden request with something else."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `version.json` says, checked.

    Parameters
    ----------
    columns : int64 array of shape (n_features,)
        Where the model's features stand in `bentos.features.FEATURES`.
    lowest, highest : float64 arrays of shape (n_features,)
        The training range; infinite where there is none.
    said : mapping
        The document itself.
    """

    name: str
    number: int
    interval: str
    window: int
    features: tuple[str, ...]
    columns: Ints
    lowest: Floats
    highest: Floats
    context: tuple[str, ...]
    universe: frozenset[str]
    payoff: Payoff
    rule: Rule
    valid_for_s: float
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BundleFiles:
    """A version's files, read and compared with their hashes."""

    manifest: Manifest
    model_text: bytes
    policy_toml: str
    policy: Mapping[str, Any]
    golden_request: Mapping[str, Any]
    golden_expected: Mapping[str, Any]


def read_bundle(folder: Path, number: int) -> BundleFiles:
    """Read version `number` from its folder.

    Raises
    ------
    BundleRefused
        If a file is missing or damaged, or the version needs other code; says which and why.
    """
    said = _object(folder / "version.json")
    manifest = _manifest(said, number)
    model_text = _checked(folder / "model.txt", said.get("model_sha256"))
    policy_bytes = _checked(folder / "policy.toml", said.get("policy_sha256"))
    golden = _object(folder / "golden.json")
    request, expected = golden.get("request"), golden.get("expected")
    if not isinstance(request, dict) or not isinstance(expected, dict):
        raise BundleRefused("golden.json: expected an object with `request` and `expected`")
    try:
        policy_toml = policy_bytes.decode("utf-8")
        policy = tomllib.loads(policy_toml)
    except ValueError as fault:
        raise BundleRefused(f"policy.toml: {fault}") from fault
    return BundleFiles(manifest, model_text, policy_toml, policy, request, expected)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise BundleRefused(f"{path.name}: {fault.strerror or fault}") from fault


def _object(path: Path) -> dict[str, Any]:
    contents = _read(path)
    try:
        document = json.loads(contents)
    except (ValueError, RecursionError) as fault:
        raise BundleRefused(f"{path.name}: not JSON: {fault}") from fault
    if not isinstance(document, dict):
        raise BundleRefused(f"{path.name}: expected an object")
    return document


def _checked(path: Path, expected: object) -> bytes:
    contents = _read(path)
    found = hashlib.sha256(contents).hexdigest()
    if found != expected:
        raise BundleRefused(f"{path.name}: SHA-256 is {found}, version.json says {expected}")
    return contents


def _manifest(said: Mapping[str, Any], number: int) -> Manifest:
    try:
        return _parsed(said, number)
    except BundleRefused:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise BundleRefused(f"version.json: {type(fault).__name__}: {fault}") from fault


def _parsed(said: Mapping[str, Any], number: int) -> Manifest:
    if said["features_sha256"] != features_sha256():
        raise BundleRefused(
            "version.json: made with another definition of the features "
            f"({said['features_sha256'][:12]}, this code has {features_sha256()[:12]})"
        )
    if tuple(said["classes"]) != CLASSES:
        raise BundleRefused(f"version.json: classes {said['classes']}; expected {CLASSES}")
    interval, window = said["interval"], said["window"]
    if interval not in INTERVAL_MS:
        raise BundleRefused(f"version.json: interval {interval!r}; expected {list(INTERVAL_MS)}")
    if not isinstance(window, int) or not WINDOW <= window <= WINDOW_MAX:
        raise BundleRefused(f"version.json: window {window!r}; expected {WINDOW} to {WINDOW_MAX}")
    names = tuple(feature["name"] for feature in said["features"])
    places = {feature.name: i for i, feature in enumerate(FEATURES)}
    unknown = [name for name in names if name not in places]
    context = tuple(said.get("context") or ())
    if unknown or not names or len(set(names)) < len(names) or not set(context) <= set(CONTEXT):
        raise BundleRefused(f"version.json: features {unknown or names} or context {context}")
    valid_for_s = float(said["valid_for_s"])
    if not 0 < valid_for_s <= VALID_FOR_S_MAX:
        raise BundleRefused(f"version.json: valid_for_s {valid_for_s}; expected above 0")
    lowest, highest = _ranges(said.get("training_range") or {}, names)
    return Manifest(
        name=str(said["name"]),
        number=number,
        interval=interval,
        window=window,
        features=names,
        columns=np.array([places[name] for name in names], dtype=np.int64),
        lowest=lowest,
        highest=highest,
        context=context,
        universe=frozenset(said.get("universe") or ()),
        payoff=check_payoff(said["payoff"]),
        rule=check_rule(said["rule"]),
        valid_for_s=valid_for_s,
        said=said,
    )


def _ranges(
    ranges: Mapping[str, tuple[float, float]], names: tuple[str, ...]
) -> tuple[Floats, Floats]:
    pairs = [ranges.get(name) or (-math.inf, math.inf) for name in names]
    return np.array([float(p[0]) for p in pairs]), np.array([float(p[1]) for p in pairs])
