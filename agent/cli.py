"""`ratchet-agent`: the live process alone. Imports Typer only; each verb imports what it needs."""

from __future__ import annotations

from agent.console import run_program
from agent.program import program

VERBS: tuple[str, ...] = (
    "flatten",
    "halt",
    "login",
    "paper",
    "pnl",
    "positions",
    "replay",
    "resume",
    "run",
    "status",
    "trades",
)

app = program(
    "ratchet-agent",
    "Trade a released model through Zerodha Kite, or replay a trailing policy.",
    commands="agent.commands",
    verbs=VERBS,
)


def main() -> None:
    """Run the program; the entry point of the wheel."""
    run_program(app, program="ratchet-agent")
