"""`python -m benchmarks.churn`: 50 swaps, 20 rollbacks, 10 traffic changes, kills; MLflow away.

The story and its judge are those of tests/bentos/churn.py; here at full size, with MLflow's own
server. Ends with an error, and the row, at the first promise that is broken. Prints a table and
writes HOME/bench/churn.json.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.figures import figure, keep
from tests.bentos.churn import MODELS, Churn, Sizes, judge
from tests.bentos.registries import MLflow

FULL = Sizes(swaps=50, rollbacks=20, changes=10, rate=100, polls_a_second=200)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.churn")
    parser.add_argument("--home", type=Path, default=Path("var"))
    parser.add_argument("--rate", type=float, default=FULL.rate, help="requests a second")
    options = parser.parse_args()
    sizes = Sizes(FULL.swaps, FULL.rollbacks, FULL.changes, options.rate, FULL.polls_a_second)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        names = [model.partition(":")[0] for model in MODELS]
        told = judge(Churn(home / "home", MLflow(home / "registry", names), sizes).run())
    wanted = {"plans that answered": told["plans written"] - 1}  # all but the broken one
    figures = [
        figure(f"churn: {name}", value, "", wanted.get(name)) for name, value in told.items()
    ]
    keep("churn", figures, options.home)


if __name__ == "__main__":
    main()
