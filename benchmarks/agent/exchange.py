"""The paper exchange in a process of its own, on one core: `python -m benchmarks.agent.exchange`.

`served` starts it on a market of flat minutes. The order budgets are lifted: the broker's would
refuse everything past the tenth order of a second. Nothing else differs from the real program.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from agent.market.sessions import IST

DAY = date(2025, 11, 3)
START_S_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """A running exchange and its process."""

    pid: int
    port: int

    def cpu_s(self) -> float:
        """Return the CPU seconds that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_minutes(path: Path, instruments: int, minutes: int) -> None:
    """Write candles of so many instruments, each minute a few ticks wide."""
    opens = datetime.combine(DAY, datetime.min.time(), tzinfo=IST) + timedelta(hours=9, minutes=15)
    rows = ["symbol,ts,open,high,low,close,volume"]
    for n in range(instruments):
        base = 200 + 5 * (n % 300)
        for minute in range(minutes):
            at, rise = opens + timedelta(minutes=minute), (minute * 7 + n) % 5 * 0.05
            low, high = base + rise - 0.2, base + rise + 0.2
            rows.append(
                f"S{n:03},{at:%Y-%m-%d %H:%M:%S},{base + rise:.2f},{high:.2f},{low:.2f},"
                f"{base + rise:.2f},60000"
            )
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


@contextmanager
def served(folder: Path, instruments: int, minutes: int, *options: str) -> Iterator[Exchange]:
    """Serve such a market until the end of the block; one tick a second of its time."""
    candles, ready = folder / "minutes.csv", folder / "ready.json"
    write_minutes(candles, instruments, minutes)
    command = [sys.executable, "-m", "benchmarks.agent.exchange", "paper", "--port", "0"]
    places = ["--home", str(folder), "--candles", str(candles), "--ready-file", str(ready)]
    with (folder / "told.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, *places, "--ticks-per-day", "22500", *options],
            stderr=log,
            start_new_session=True,  # a scheduling group of its own
        )
    try:
        until = time.monotonic() + START_S_MAX
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((folder / "told.log").read_text())
            time.sleep(0.05)
        yield Exchange(process.pid, int(json.loads(ready.read_text())["port"]))
    finally:
        process.terminate()
        process.wait(20)


def main() -> None:
    """Become the exchange, on the first core that is ours."""
    from agent.cli import app
    from agent.paper import limits

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    limits.BUDGETS[limits.ORDERS] = ()
    app(prog_name="ratchet-agent")


if __name__ == "__main__":
    main()
