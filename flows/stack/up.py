"""`ratchet up` itself: one stack a home, refused early, minded until it is told to stop."""

from __future__ import annotations

import asyncio
from typing import Any

from flows import locks
from flows.children import Children, require_free_port
from flows.home import Home
from flows.settings import TOML
from flows.stack.keeper import Keeper
from flows.stack.kept import LOCK_FILE, read_state
from flows.stack.mark import end_marked
from flows.stack.parts import HOST, Stack

LEFT_OVER_S = 6.0


def run(home: Home, stack: Stack) -> dict[str, Any]:
    """Run a stack until SIGINT or SIGTERM.

    Returns
    -------
    dict
        The state document at the end, with `orderly`: whether nothing had to be killed.

    Raises
    ------
    agent.errors.Refused
        If this home's stack runs already.
    agent.errors.EnvironmentRefused
        If a port is taken.
    """
    with locks.held(home.root / LOCK_FILE, what=f"run the stack of {home.root}"):
        left = end_marked(home.root, grace_s=LEFT_OVER_S)
        for port, name in stack.ports.items():
            require_free_port(
                port, host=HOST, purpose=name, setting=f"the {name} port in {home.root / TOML}"
            )
        with Children(stack.environment, home.logs) as children:
            keeper = Keeper(home.root, stack.parts, children, stack.elsewhere)
            if left:
                keeper.say(f"ended {left} processes that an earlier run had left")
            orderly = asyncio.run(keeper.run())
        return {**read_state(home.root), "orderly": orderly}
