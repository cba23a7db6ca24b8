"""`ratchet`: everything. Imports Typer only; each verb imports what it needs."""

from __future__ import annotations

from agent.console import run_program
from agent.program import program

VERBS: tuple[str, ...] = (
    "demo",
    "ingest",
    "monitor",
    "up",
    "release",
    "serve",
    "deploy",
    "train",
    "sweep",
    "models",
    "backtest",
    "status",
    "init",
    "config",
    "doctor",
)

app = program(
    "ratchet",
    "Train, release, serve, watch and trade your own models.",
    commands="flows.commands",
    verbs=VERBS,
)


def main() -> None:
    """Run the program; the entry point of the wheel."""
    run_program(app, program="ratchet")
