"""docs/serving.md tells every problem and every setting as the code has them."""

from __future__ import annotations

from pathlib import Path

from bentos import alerts
from bentos.problems import KINDS
from bentos.settings import ServingSettings

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
NAMED = {"home", "serving_dir", "tracking_uri", "predict_token", "admin_token"}


def problems() -> str:
    return "\n".join(f"| `{kind}` | {told[0]} | {told[1]} |" for kind, told in KINDS.items())


def settings() -> str:
    rows = []
    for name, field in ServingSettings.model_fields.items():
        if name not in NAMED:
            default = {(): "all", "": "none"}.get(field.default, field.default)
            rows.append(f"| `{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def test_every_problem_is_documented() -> None:
    assert problems() in DOCS, f"put this table into docs/serving.md:\n{problems()}"


def test_every_setting_is_documented() -> None:
    assert settings() in DOCS, f"put this table into docs/serving.md:\n{settings()}"


def test_every_alert_is_documented() -> None:
    rows = "\n".join(f"| `{kind}` | {told} |" for kind, told in alerts.KINDS.items())
    assert rows in DOCS, f"put this table into docs/serving.md:\n{rows}"
