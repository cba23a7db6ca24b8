"""One model version as a folder: what training writes, the registry keeps and serving reads.

    model.txt       LightGBM text        version.json    what a caller and the gates need to know
    policy.toml     its trailing policy  golden.json     one request and the answer to it
    reference.json  per feature, what its training days looked like (for drift)

A folder appears whole or not at all. Nothing here holds a time stamp: the same inputs give the
same bytes, and `Bundle.fingerprint` names them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from agent.errors import SettingRefused
from flows.data import durable

MODEL, VERSION, POLICY = "model.txt", "version.json", "policy.toml"
GOLDEN, REFERENCE = "golden.json", "reference.json"
FILES = (MODEL, VERSION, POLICY, GOLDEN, REFERENCE)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder that was read and whose hashes agree.

    Parameters
    ----------
    folder : Path
    version : dict
        The document of `version.json`.
    fingerprint : str
        SHA-256 over the model's hash and `version.json`: the identity of the version.
    """

    folder: Path
    version: dict[str, Any]
    fingerprint: str

    @property
    def model_sha256(self) -> str:
        """Hash of `model.txt`, checked before anything loads it."""
        return str(self.version["model_sha256"])

    @property
    def policy_sha256(self) -> str:
        """Hash of `policy.toml`."""
        return str(self.version["policy_sha256"])


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def canonical(document: object) -> str:
    """Return a document as JSON of one form only: sorted keys, no NaN, readable.

    Raises
    ------
    ValueError
        If it holds a NaN or an infinity.
    """
    return json.dumps(document, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False)


def compact(document: object) -> str:
    """Return a document as JSON of one form only, in one line."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read_bundle(folder: Path) -> Bundle:
    """Read a folder and check that it is whole.

    Raises
    ------
    agent.errors.SettingRefused
        If a file is missing, `version.json` is no document, or a hash differs.
    """
    contents: dict[str, bytes] = {}
    for name in FILES:
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as fault:
            raise _damaged(
                folder / name, fault.strerror or str(fault), "a readable file"
            ) from fault
    try:
        version = json.loads(contents[VERSION])
        told = {MODEL: version["model_sha256"], POLICY: version["policy_sha256"]}
    except (ValueError, KeyError, TypeError) as fault:
        given = f"{type(fault).__name__}: {fault}"
        raise _damaged(folder / VERSION, given, "an object with model_sha256, policy_sha256") from (
            fault
        )
    for name, expected in told.items():
        found = sha256(contents[name])
        if found != expected:
            raise _damaged(folder / name, f"SHA-256 {found}", expected)
    fingerprint = sha256(f"{told[MODEL]}\n{canonical(version)}".encode())
    return Bundle(folder, version, fingerprint)


def _damaged(path: Path, given: str, allowed: str) -> SettingRefused:
    return SettingRefused(
        f"bundle file {path}", given=given, allowed=allowed, fix="train or fetch the version again"
    )


def write_bundle(
    folder: Path,
    *,
    model: str,
    version: Mapping[str, Any],
    policy: str,
    golden: Mapping[str, Any],
    reference: Mapping[str, Any],
) -> Bundle:
    """Write a version's folder; it appears whole or not at all, and is read back.

    Parameters
    ----------
    folder : Path
        Must not exist.
    model, policy : str
        The texts of `model.txt` and `policy.toml`.
    version : mapping
        Without the two hashes: they are added here.
    golden, reference : mapping
    """
    hashes = {
        "model_sha256": sha256(model.encode("utf-8")),
        "policy_sha256": sha256(policy.encode("utf-8")),
    }
    texts = {
        MODEL: model,
        VERSION: canonical({**version, **hashes}),
        POLICY: policy,
        GOLDEN: canonical(golden),
        REFERENCE: canonical(reference),
    }
    with _appearing(folder) as building:
        for name, text in texts.items():
            (building.path / name).write_bytes(text.encode("utf-8"))
    return read_bundle(folder)


def copy_bundle(source: Path, target: Path) -> Bundle:
    """Copy a version's folder; the copy appears whole or not at all, and is read back.

    Raises
    ------
    agent.errors.SettingRefused
        If the source is not whole.
    """
    read_bundle(source)
    with _appearing(target) as building:
        for name in FILES:
            shutil.copyfile(source / name, building.path / name)
    return read_bundle(target)


class _appearing:  # noqa: N801  (reads as a statement)
    """A folder built beside its name, synced, then renamed."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self.path = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            for file in (*self.path.iterdir(), self.path):
                durable.sync(file)
            self.path.rename(self._target)
            durable.sync(self._target.parent)
        else:
            shutil.rmtree(self.path, ignore_errors=True)
