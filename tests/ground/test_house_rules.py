"""The rules of the house that a tool can check: sizes, names, heads, arrows."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(p for top in ("agent", "bentos", "flows") for p in (ROOT / top).rglob("*.py"))
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
NAMES_REFUSED = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}


def _code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function less its docstring."""
    body = function.body
    first = body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    doc = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - doc


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_has_one_subject_and_says_it(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert module.stem not in NAMES_REFUSED
    assert ast.get_docstring(tree), "a file says in its first lines what it answers"
    assert len(text.splitlines()) <= FILE_LINES_MAX
    long = {
        node.name: _code_lines(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and _code_lines(node) > FUNCTION_LINES_MAX
    }
    assert long == {}


def test_the_arrows_between_the_three_parts_hold() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    run = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stdout[-3000:]


def test_tests_are_never_shipped() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [
        "agent",
        "bentos",
        "flows",
    ]
