"""One agent process through one scenario over real sockets, and what the audit says of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from agent.paper.scenario import LIBRARY
from tests.agent.paper.lab import Running, start
from tests.agent.shell.served import Served

ROOT: Final = Path(__file__).parents[2]
SIDES: Final = {"NSE:INFY": "BUY", "NSE:TCS": "SELL", "NSE:SBIN": "BUY"}
DEADLINE_S: Final = 300.0  # of the wall: a hang, not a measure
# How long a position may be without protection, virtual ms: on a healthy link a second (the
# exchange's own 40 ms is in it); where calls are refused or lost, 5 s until the agent gives the
# position up, and what its exit then takes; in an outage all of it, and 5 s.
UNPROTECTED_MS_MAX: Final = {
    "calm_day": 1_000,
    "gap_through_stop": 1_000,
    "flash_crash": 1_000,
    "circuit_lock": 1_000,
    "closing_auction": 1_000,
    "split_overnight": 1_000,
    "silent_ticker": 5_000,
    "storm_429": 6_500,
    "broker_outage": 65_000,
}


@dataclass(frozen=True, slots=True)
class Day:
    """What came of a run."""

    name: str
    audit: dict[str, Any]
    summary: dict[str, Any]
    struck: dict[str, int]

    def row(self) -> str:
        """Return the safety figures on one line."""
        audit = self.audit
        return (
            f"{self.name:<17} {audit['max_unprotected_ms']:>6} ms unprotected (at most "
            f"{UNPROTECTED_MS_MAX[self.name]}), {audit['surplus_exits']} surplus exits, "
            f"{audit['stops_moved_back']} stops moved back, {audit['duplicate_tags']} twin tags, "
            f"{sum(audit['over_budget'].values())} calls over budget, "
            f"{len(audit['positions'])} positions, open {audit['final_position'] or 'none'}, "
            f"{self.summary['mode']}, struck {self.struck or 'by nothing'}"
        )

    def faults(self) -> list[str]:
        """Return the promises that were broken."""
        audit = self.audit
        broken = [
            f"{key} {audit[key]}"
            for key in ("surplus_exits", "stops_moved_back", "duplicate_tags")
            if audit[key]
        ]
        if audit["max_unprotected_ms"] > UNPROTECTED_MS_MAX[self.name]:
            broken.append(f"unprotected for {audit['max_unprotected_ms']} ms")
        if audit["over_budget"]:
            broken.append(f"over budget {audit['over_budget']}")
        if audit["final_position"]:
            broken.append(f"open at the end {audit['final_position']}")
        return broken


def run_day(name: str, folder: Path, *, minutes: int = 1) -> Day:
    """Run the agent through a scenario of the library.

    Parameters
    ----------
    name : str
    folder : Path
    minutes : int
        Length of the market's candles: of three minutes, a day costs a third.
    """
    text = (files(LIBRARY) / f"{name}.toml").read_text(encoding="utf-8")
    path = folder / f"{name}.toml"
    path.write_text(f"minutes = {minutes}\n{text}", encoding="utf-8")
    exchange = start(folder / "paper", "--scenario", str(path), "--lockstep", "--read-limits")
    try:
        with Served(SIDES) as served:
            summary = _run_agent(folder / "home", exchange, served)
        audit = exchange.get("audit")
        armed: Any = exchange.get("faults")["faults"]
    finally:
        exchange.kill()
    struck = {one["kind"]: int(one["struck"]) for one in armed if one["struck"]}
    return Day(name, audit, summary, struck)


def _run_agent(home: Path, exchange: Running, served: Served) -> dict[str, Any]:
    command = ["agent", "run", "--home", str(home), "--clock", "exchange", "--until-end", "--json"]
    ran = subprocess.run(
        [sys.executable, "-m", *command],
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "RATCHET_AGENT__BROKER__REST_URL": exchange.rest,
            "RATCHET_AGENT__BROKER__TICKER_URL": exchange.ticker,
            "RATCHET_AGENT__MODEL__URL": served.url,
            "RATCHET_AGENT__CONTROL__PORT": "0",
        },
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    if ran.returncode != 0:
        raise AssertionError(f"status {ran.returncode}: {ran.stderr[-3000:]}\n{exchange.log}")
    return dict(json.loads(ran.stdout))
