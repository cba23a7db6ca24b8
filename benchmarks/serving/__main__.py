"""`python -m benchmarks.serving [--quick]`: latency, saturation, isolation, recovery; and peers.

One worker and two, 201 trees and 44 features, validation, routing, one shadow prediction a request
(`three`: two, `ten`: nine), log and metrics all on; the generator is a process of its own on the
same two cores. Prints a table and writes HOME/bench/serving.json: a list of {name, value, unit,
against, ratio}, where `against` is a bar of ours or a peer's figure in the same run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.figures import Figure, keep
from benchmarks.serving import rows

PEERS = "peers"
ROWS = {
    "one": rows.one_worker,
    "three": rows.three_versions,
    "two": rows.two_workers,
    "models": rows.two_models,
    "killed": rows.killed,
    "ten": rows.ten_versions,
    "soak": rows.soak,
}
PLANS = {
    "three": rows.THREE,
    "ten": {"versions": 10, "challengers": {"2": 0.2}, "shadows": list(range(3, 11))},
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving")
    parser.add_argument("--home", type=Path, default=Path("var"))
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--only", nargs="*", choices=[*ROWS, PEERS], help="these rows")
    parser.add_argument("--long", type=float, help="seconds of the long run (default 40)")
    parser.add_argument("--soak", type=int, help="requests of the soak (default 100000)")
    parser.add_argument(
        "--autogroup", type=int, default=0, help="-10: ahead of other work (needs root)"
    )
    options = parser.parse_args()
    os.environ["OTEL_SDK_DISABLED"] = "true"
    times = rows.QUICK if options.quick else rows.FULL
    times = replace(times, long=options.long or times.long, soak=options.soak or times.soak)
    wanted = options.only or [*ROWS, PEERS]
    figures: list[Figure] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            _measure(rows.Bench(Path(folder), times, options.autogroup), wanted, options.home,
                     figures)  # fmt: skip
    finally:  # what was measured before something broke is worth having
        keep("serving", figures, options.home)


def _measure(bench: rows.Bench, wanted: list[str], home: Path, figures: list[Figure]) -> None:
    for name, row in ROWS.items():
        if name in wanted or name == "one":  # the peers serve a version of the first
            rows.lay_out(bench.home / name, **PLANS.get(name, {}))
        if name in wanted:
            figures += row(bench)
    if PEERS in wanted:
        # environments of peers are kept: making one takes longer than measuring it
        (bench.home / "peers").symlink_to(_kept(home), target_is_directory=True)
        ours = [f["value"] for f in figures if f["name"] == "saturation, one worker"]
        figures += rows.compared(bench, ours[0] if ours else 0.0)


def _kept(home: Path) -> Path:
    kept = (home / "bench" / "peers").absolute()
    kept.mkdir(parents=True, exist_ok=True)
    return kept


if __name__ == "__main__":
    main()
