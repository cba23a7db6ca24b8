"""docs/money.md is run: its examples print what it shows, its settings table is the settings."""

from __future__ import annotations

import doctest
from pathlib import Path

from agent.risk import CapitalSettings, MarginSettings, RiskSettings, SizingSettings

PAGE = Path(__file__).resolve().parents[3] / "docs" / "money.md"


def settings_table() -> list[str]:
    """Return the lines between the page's two markers."""
    lines = ["| key | default | meaning |", "| --- | --- | --- |"]
    for room, model in (
        ("capital", CapitalSettings), ("sizing", SizingSettings), ("risk", RiskSettings),
        ("margin", MarginSettings),
    ):  # fmt: skip
        shown = model().model_dump(mode="json")
        for key, field in model.model_fields.items():
            default = "off" if shown[key] is None else str(shown[key]).lower()
            lines.append(f"| `{room}.{key}` | {default} | {field.description} |")
    return lines


def test_the_examples_print_what_the_page_shows() -> None:
    failed, tried = doctest.testfile(
        str(PAGE), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert tried > 40
    assert failed == 0


def test_the_settings_table_is_the_settings() -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = text.partition("test_money_page.py -->\n")[2].partition("<!-- /settings -->")[0]
    assert shown.splitlines() == settings_table()


def test_every_guard_of_the_page_is_a_key() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for key in ("max_daily_loss", "max_drawdown"):
        assert f"| `{key}` | `FLATTEN`" in text
        assert key in RiskSettings.model_fields
    for key in ("warn_at", "no_entry_at", "reduce_at"):
        assert f"| `margin.{key}`" in text
        assert key in MarginSettings.model_fields
