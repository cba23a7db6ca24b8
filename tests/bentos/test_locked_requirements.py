"""What a Bento installs is the whole tree of uv.lock, with its hashes, and nothing besides."""

from __future__ import annotations

import re

from tests.bentos.lock import LOCKED, ROOT, requirements

AGENT_OR_PIPELINE = {"kiteconnect", "mlflow", "prefect", "evidently", "pandas", "apprise", "typer"}


def test_the_requirements_are_those_of_the_lock() -> None:
    wanted = requirements((ROOT / "uv.lock").read_text(encoding="utf-8"))
    assert LOCKED.read_text(encoding="utf-8") == wanted, "run: python -m tests.bentos.lock"


def test_each_is_pinned_and_hashed_and_none_is_the_agents_or_the_pipelines() -> None:
    text = LOCKED.read_text(encoding="utf-8")
    hashes = r"(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+"
    pins = re.findall(r"^([a-z0-9-]+)==[0-9][^ ]* \\\n" + hashes, text, re.MULTILINE)
    assert len(pins) == text.count("==") > 40
    assert {"bentoml", "lightgbm", "uvloop", "httptools", "msgspec"} <= set(pins)
    assert not AGENT_OR_PIPELINE & set(pins)
