"""docs/paper-exchange.md is run: its commands, its examples; no option or route is left out."""

from __future__ import annotations

import doctest
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from agent.cli import app
from agent.paper import rest_admin
from tests.agent.paper.lab import Running, start

PAGE = Path(__file__).parents[3] / "docs" / "paper-exchange.md"
PORT = "13030"
BLOCKS = re.findall(r"```(console|python)\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Start the exchange with the page's own command, on a free port and in a home of its own."""
    kind, text = BLOCKS[0]
    program, verb, *arguments = shlex.split(text.removeprefix("$ "))
    assert (kind, program, verb) == ("console", "ratchet-agent", "paper")
    at = arguments.index("--port")
    del arguments[at : at + 2]
    running = start(tmp_path_factory.mktemp("documented"), *arguments)
    yield running
    assert running.stop() == 0


def test_every_block_runs_in_its_order_and_says_what_the_page_says(documented: Running) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("no curl on this machine")
    names: dict[str, object] = {}
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner, parser, told = doctest.DocTestRunner(optionflags=flags), doctest.DocTestParser(), []
    for kind, text in BLOCKS[1:]:
        code = text.replace(PORT, str(documented.port))
        if kind == "python":
            test = parser.get_doctest(code, names, "page", str(PAGE), 0)
            runner.run(test, out=told.append, clear_globs=False)
            names.update(test.globs)
            continue
        for line in code.strip().splitlines():
            command = shlex.split(line.removeprefix("$ "))
            ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
            assert '"status":"error"' not in ran.stdout.replace(" ", ""), (line, ran.stdout)
            assert ran.stdout, line
    assert runner.summarize(verbose=False).failed == 0, "".join(told)
    assert runner.tries > 8


def test_every_option_and_every_route_of_ours_is_on_the_page() -> None:
    text = PAGE.read_text()
    command = get_command(app).commands["paper"]  # type: ignore[attr-defined]
    options = [name for one in command.params for name in one.opts if name.startswith("--")]
    assert [name for name in options if f"`{name}" not in text and name != "--help"] == []
    missing = [route.path for route in rest_admin.ROUTES if route.path not in text]
    assert missing == []


def test_every_key_of_the_audit_is_on_the_page(documented: Running) -> None:
    findings = documented.get("audit")
    trip = findings["positions"]
    keys = set(findings) | {key for one in trip for key in one}
    text = PAGE.read_text()
    undocumented = [key for key in sorted(keys) if not re.search(rf"\b{key}\b", text)]
    assert undocumented == []
    assert json.dumps(findings)
