"""The agent's pages say what the code does: settings, schema, guards, reasons.

To write the generated parts anew: python -m tests.agent.shell.test_docs
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from agent.core.day import MONEY_GUARDS
from agent.core.values import Mode, Reason
from agent.orders.lifecycle import OrderState
from agent.shell.journal import SCHEMA
from agent.shell.settings import AgentSettings

DOCS = Path(__file__).parents[3] / "docs"


def settings_table() -> str:
    """Return the table of all settings."""
    lines = ["| key | default | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{key}` | {default} | {words} |" for key, default, words in _keys()]
    return "\n".join(lines)


def _keys() -> Iterator[tuple[str, str, str]]:
    defaults = AgentSettings.model_construct()
    for section in AgentSettings.model_fields:
        part = getattr(defaults, section)
        assert isinstance(part, BaseModel)
        for name, info in type(part).model_fields.items():
            value = part.model_dump(mode="json")[name]
            text = "none" if value in (None, "", [], ()) else f"`{value}`"
            yield f"{section}.{name}", text.replace("|", "\\|"), str(info.description)


def schema_text() -> str:
    """Return the schema as the page shows it."""
    return f"```sql\n{SCHEMA.strip()}\n```"


PARTS = [("agent.md", "settings", settings_table), ("journal.md", "schema", schema_text)]


@pytest.mark.parametrize(("page", "name", "made"), PARTS, ids=[p[1] for p in PARTS])
def test_a_generated_part_is_up_to_date(page: str, name: str, made) -> None:  # type: ignore[no-untyped-def]
    text = (DOCS / page).read_text(encoding="utf-8")
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", text, re.DOTALL)
    assert found == made()


def test_every_setting_has_its_sentence() -> None:
    assert [key for key, _, words in _keys() if not words.strip().endswith((".", ")"))] == []


def test_the_pages_name_every_state_mode_and_reason() -> None:
    agent, journal = (
        (DOCS / page).read_text(encoding="utf-8") for page in ("agent.md", "journal.md")
    )
    lifecycle = agent.partition("<!-- lifecycle -->")[2].partition("<!-- /lifecycle -->")[0]
    assert [s.value for s in OrderState if f"| {s.value} |" not in lifecycle] == []
    assert [m.name for m in Mode if m.name not in agent] == []
    assert [r.value for r in Reason if r.value not in journal] == []
    assert [g for g in MONEY_GUARDS if f"`{g}`" not in agent] == []


if __name__ == "__main__":
    for page, name, made in PARTS:
        path = DOCS / page
        text = path.read_text(encoding="utf-8")
        mark, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        head, _, rest = text.partition(mark)
        path.write_text(f"{head}{mark}\n{made()}\n{end}{rest.partition(end)[2]}", encoding="utf-8")
