"""The pure rooms read no clock, draw no randomness and do no I/O: a scan of their syntax trees.

Good will does not keep a core pure; this does. A new way to be impure goes into the tables here.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PURE_FOLDERS = (
    "agent/trailing",
    "agent/market",
    "agent/signals",
    "agent/risk",
    "agent/orders",
    "agent/portfolio",
    "agent/core",
    "agent/backtest",
)
PURE_FILES = (
    "bentos/features.py",
    "bentos/traffic.py",
    "bentos/checks.py",
    "agent/paper/matching.py",
    "agent/paper/gtt.py",
    "agent/paper/closing.py",
    "agent/paper/auctions.py",
    "agent/paper/shorts.py",
    "agent/paper/tickets.py",
    "agent/paper/risk.py",
    "agent/paper/depth.py",
)

FORBIDDEN_MODULES = {
    "asyncio", "http", "httpx", "logging", "multiprocessing", "os", "random", "requests", "secrets",
    "select", "shutil", "signal", "socket", "sqlite3", "subprocess", "tempfile", "threading",
    "time", "urllib", "uuid",
}  # fmt: skip
FORBIDDEN_CALLS = {"open", "input", "print", "exec", "eval", "__import__", "hash"}
FORBIDDEN_ATTRIBUTES = {
    "now", "utcnow", "today", "default_rng", "getenv", "environ", "read_text", "write_text",
    "read_bytes", "write_bytes",
}  # fmt: skip


def impurities(source: str) -> list[str]:
    """Return 'line: what' for each clock, draw or I/O in the text of a module."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                bad = [n.name for n in names if n.name.split(".")[0] in FORBIDDEN_MODULES]
            case ast.ImportFrom(module=str(module)):
                bad = [module] if module.split(".")[0] in FORBIDDEN_MODULES else []
            case ast.Call(func=ast.Name(id=name)):
                bad = [f"{name}()"] if name in FORBIDDEN_CALLS else []
            case ast.Attribute(attr=attribute):
                bad = [f".{attribute}"] if attribute in FORBIDDEN_ATTRIBUTES else []
            case _:
                continue
        found += [f"line {node.lineno}: {what}" for what in bad]
    return found


def pure_modules() -> list[Path]:
    folders = [path for folder in PURE_FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return folders + [ROOT / name for name in PURE_FILES if (ROOT / name).exists()]


@pytest.mark.parametrize("module", pure_modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_pure_room_touches_no_clock_no_randomness_no_io(module: Path) -> None:
    assert impurities(module.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "planted",
    [
        "import time",
        "from random import choice",
        "import os.path",
        "open('x')",
        "datetime.now(tz)",
        "np.random.default_rng()",
        "Path('x').read_text()",
        "hash('text')",
    ],
)
def test_the_scan_finds_what_is_planted(planted: str) -> None:
    assert impurities(planted) != []


def test_the_scan_lets_plain_arithmetic_pass() -> None:
    assert impurities("from fractions import Fraction\nx = Fraction(1, 3) + 2") == []
