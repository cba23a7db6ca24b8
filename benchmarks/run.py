"""Run benchmarks: `python -m benchmarks.run [NAME …] [--home DIR]`; without a name all of them.

A benchmark is a package here with a `__main__` that takes `--home`, prints a table and writes
HOME/bench/NAME.json. Each runs in a process of its own. Ends with 0, or 2 for an unknown name or
one that did not end well or wrote no figures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
KEYS = {"name", "value", "unit", "against", "ratio"}


def known() -> list[str]:
    """Return the names of the benchmarks that there are."""
    return sorted(path.parent.name for path in HERE.glob("*/__main__.py"))


def run(name: str, home: Path) -> str | None:
    """Run one; return what went wrong, None if nothing."""
    print(f"== {name}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}", "--home", str(home)]
    written = home / "bench" / f"{name}.json"
    written.unlink(missing_ok=True)
    status = subprocess.run(command, cwd=HERE.parent, check=False).returncode
    if status != 0:
        return f"{name} ended with status {status}"
    try:
        figures = json.loads(written.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        return f"{name} wrote no figures: {fault}"
    if not figures or any(set(figure) != KEYS for figure in figures):
        return f"{name}: {written} is no list of {', '.join(sorted(KEYS))}"
    return None


def main() -> int:
    """Parse, run, tell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(known())}")
    parser.add_argument("--home", type=Path, default=Path("var"))
    options = parser.parse_args()
    for name in options.names:
        if name not in known():
            print(f"bench: no benchmark {name}; there are {', '.join(known())}", file=sys.stderr)
            return 2
    home = options.home.absolute()
    wrong = [why for name in options.names or known() if (why := run(name, home))]
    for why in wrong:
        print(f"bench: {why}", file=sys.stderr)
    return 2 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
