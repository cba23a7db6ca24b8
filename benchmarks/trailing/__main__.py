"""`python -m benchmarks.trailing`: one tick of one position; then many, beside other engines.

The bound of a live tick is the design's: 15 microseconds at the 99th percentile. The bulk path's
bars stand in race.py.
"""

from __future__ import annotations

import argparse
import time
from importlib import resources
from pathlib import Path

from agent.trailing.presets import PRESETS
from benchmarks.figures import figure, keep
from benchmarks.trailing import race
from benchmarks.trailing.decide_events import EVENTS_BAR, preset, scenes
from benchmarks.trailing.live_step import P99_BAR_US, measure

DECIDE_TICKS = 20_000
RECORDED = Path(__file__).parents[2].parent / "shared" / "data"
BOUNDS_US = {"p99_us": P99_BAR_US}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trailing")
    parser.add_argument("--home", type=Path, default=Path("var"))
    parser.add_argument("--ticks", type=int, default=200_000)
    parser.add_argument("--without-peers", action="store_true", help="install and run no other")
    parser.add_argument("--data", type=Path, default=RECORDED if RECORDED.is_dir() else None)
    options = parser.parse_args()
    figures = []
    for name in PRESETS:
        text = (resources.files("agent.trailing.presets") / f"{name}.toml").read_text("utf-8")
        told = measure(text, options.ticks)
        figures += [
            figure(
                f"{name}: a tick, {mark.removesuffix('_us')}", told[mark], "us", BOUNDS_US.get(mark)
            )
            for mark in ("p50_us", "p99_us", "p999_us")
        ]
        alone = measure(text, options.ticks, time.thread_time_ns)["p99_us"]
        figures.append(figure(f"{name}: a tick, p99 of CPU time", alone, "us", P99_BAR_US))
    for scene, told in scenes(preset("half_giveback"), options.data, DECIDE_TICKS):
        ticks, events = told["ticks_a_second"], told["events_a_second"]
        figures += [
            figure(f"decide, {scene}: ticks", ticks, "ticks/s", EVENTS_BAR),
            figure(f"decide, {scene}: all events", events, "events/s"),
        ]
    options.home.mkdir(parents=True, exist_ok=True)
    home = options.home.absolute()
    figures += race.ours() + race.first_use(home) + race.sweep(home)
    if not options.without_peers:
        figures += race.race(home)
    keep("trailing", figures, home)


if __name__ == "__main__":
    main()
