"""Every command that the README and the docs name exists, with every option they give it.

CI runs the README's two commands as they stand; this holds the rest to the programs' own grammar.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BENCHMARKS = {f"bench-{p.parent.name}" for p in (ROOT / "benchmarks").glob("*/__main__.py")}
FENCED = re.compile(
    r"`(ratchet(?:-agent)? [^`]+|make [^`]+)`|^(?:\$ |    )((?:ratchet|make)\S* .*)$", re.MULTILINE
)


def documented(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return [a or b for a, b in FENCED.findall(text)]


def programs() -> dict[str, Any]:
    from agent.cli import app as agent_app
    from flows.cli import app as flows_app

    return {"ratchet": get_command(flows_app), "ratchet-agent": get_command(agent_app)}


def make_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))


def faults(command: str) -> list[str]:
    """Return what is wrong with a documented command; empty where it would be understood."""
    try:
        words = shlex.split(
            command.split(" | ", maxsplit=1)[0].split(" > ", maxsplit=1)[0], comments=True
        )
    except ValueError as fault:
        return [f"{command}: {fault}"]
    if words[0] == "make":
        named = [word for word in words[1:] if "=" not in word and word.islower()]
        return [f"make {word}" for word in named[:1] if word not in make_targets() | BENCHMARKS]
    node = programs().get(words[0])
    found = []
    for word in words[1:]:
        if node is not None and hasattr(node, "commands") and not word.startswith("-"):
            if word not in node.commands:
                return [f"{words[0]}: no verb {word}"]
            node = node.commands[word]
        elif word.startswith("--") and node is not None:
            known = {name for param in node.params for name in (*param.opts, *param.secondary_opts)}
            option = word.split("=")[0].rstrip(",.;:")
            if option not in known | {"--help"}:
                found.append(f"{command}: no option {option}")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_commands_exist_with_their_options(page: Path) -> None:
    told = [fault for command in documented(page) for fault in faults(command)]
    assert told == []


def test_the_readme_names_commands_at_all() -> None:
    assert len(documented(ROOT / "README.md")) >= 10


@pytest.mark.parametrize(
    "wrong", ["ratchet no-such-verb", "ratchet train --no-such-option 3", "make no-such-target"]
)
def test_a_command_that_does_not_exist_is_found(wrong: str) -> None:
    assert faults(wrong) != []
