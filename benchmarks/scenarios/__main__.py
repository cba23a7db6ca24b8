"""Run the real agent through every scenario; print what the exchange's audit says of each day.

Ends with 1 if a promise was broken. Times are virtual: a slow machine changes none of them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from agent.paper.scenario import library
from benchmarks.figures import Figure, figure, keep
from tests.end_to_end.scenario_days import UNPROTECTED_MS_MAX, run_day


def main() -> int:
    """Run them all, one after another."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("names", nargs="*", default=library())
    options = parser.parse_args()
    figures: list[Figure] = []
    broken = []
    for name in options.names:
        with tempfile.TemporaryDirectory(prefix="scenario-") as folder:
            day = run_day(name, Path(folder))
        print(day.row(), flush=True)
        broken += [f"{name}: {fault}" for fault in day.faults()]
        longest = day.audit["max_unprotected_ms"]
        figures.append(figure(f"{name} unprotected", longest, "ms", UNPROTECTED_MS_MAX[name]))
        figures.append(figure(f"{name} promises broken", len(day.faults()), ""))
    keep("scenarios", figures, options.home)
    for line in broken:
        print(f"broken: {line}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
