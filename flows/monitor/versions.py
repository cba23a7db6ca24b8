"""What the monitor reads of a model version: from the serving folder, else from the registry."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from agent.errors import RatchetError, SettingRefused
from agent.trailing.policy import Policy
from flows.bundle import POLICY, REFERENCE, read_bundle
from flows.home import Home, tracking_uri
from flows.labels import LabelSettings


@dataclass(frozen=True, slots=True)
class Known:
    """A version: its documents, and the policy and settings of its labels."""

    number: int
    document: Mapping[str, Any]
    reference: Mapping[str, Any]
    policy: Policy
    labels: LabelSettings

    @property
    def interval(self) -> str:
        """Of its candles, in Kite's words."""
        return str(self.document["interval"])

    @property
    def universe(self) -> tuple[str, ...]:
        """Instruments that it was trained on."""
        return tuple(self.document.get("universe") or ())


def served_models(home: Home) -> list[str]:
    """Return the models of the serving folder, sorted."""
    return sorted(path.parent.name for path in home.serving.glob("*/plan.json"))


def champion(home: Home, model: str) -> int | None:
    """Return the champion of the plan in force here, None without a plan."""
    try:
        plan = json.loads((home.serving / model / "plan.json").read_text(encoding="utf-8"))
        return int(plan["champion"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def known(home: Home, model: str, number: int) -> Known | str:
    """Return a version, or why it cannot be read."""
    folder = home.serving / model / "versions" / str(number)
    try:
        if folder.is_dir():
            return _read(folder, number)
        uri = tracking_uri(home)
        if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
            return f"it is not in {folder.parent}, and there is no registry at {uri}"
        return _fetched(home, model, number)
    except (RatchetError, ValueError, KeyError, TypeError, OSError) as fault:
        return f"{type(fault).__name__}: {fault}"


def _fetched(home: Home, model: str, number: int) -> Known:
    from flows.registry import Registry

    home.tmp.mkdir(parents=True, exist_ok=True)
    passing = Path(tempfile.mkdtemp(prefix="monitor-", dir=home.tmp))
    try:
        return _read(Registry(home).fetch(model, number, passing / "bundle"), number)
    finally:
        shutil.rmtree(passing, ignore_errors=True)


def _read(folder: Path, number: int) -> Known:
    held = read_bundle(folder)
    policy = Policy.parse((folder / POLICY).read_text(encoding="utf-8"), source=str(folder))
    reference = json.loads((folder / REFERENCE).read_text(encoding="utf-8"))
    return Known(number, held.version, reference, policy, _labels(held.version.get("labels")))


def _labels(document: object) -> LabelSettings:
    """Return the settings of a version's labels; a key that this code does not know is refused."""
    if document is None:
        return LabelSettings()
    names = {field.name for field in fields(LabelSettings)}
    if not isinstance(document, Mapping) or not set(document) <= names:
        raise SettingRefused(
            "version.json labels",
            given=document,
            allowed=", ".join(sorted(names)),
            fix="use the code that trained the version, or train it again",
        )
    return LabelSettings(**document)
