"""One step of the demo: a command of ours in a process of its own, its JSON answer handed back.

The demo goes through the same commands that a person types: what it shows, they can do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from agent.console import tell
from agent.errors import Refused, SettingRefused
from flows.children import die_with_parent


class StepFailed(SettingRefused):
    """A step ended with an error, which it has already told; the demo ends with status 2."""


@dataclass(slots=True)
class Progress:
    """Numbers the steps, tells them as they start and end, and times them."""

    total: int
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[None]:
        """Tell, run and time one step."""
        tell(f"[{len(self.seconds) + 1}/{self.total}] {name}: {what}")
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 3)
        tell(f"      {name} done in {self.seconds[name]:.1f} s")


def ask(program: str, arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Run `python -m PROGRAM … --json` and return its document; its progress goes to our stderr.

    Raises
    ------
    Refused
        If the command was refused by a gate or guard (its status 1).
    StepFailed
        If it ended with any other error, or its answer is not one JSON document.
    """
    command = [sys.executable, "-m", program, *arguments, "--json"]
    told = " ".join([program, *arguments])
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, **environment},
        preexec_fn=die_with_parent(os.getpid()),  # noqa: PLW1509  (no threads hold locks)
    )
    try:
        output, _ = process.communicate()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if process.returncode == Refused.exit_status:
        raise Refused(f"{told}: refused, as told above")
    if process.returncode != 0:
        raise StepFailed(
            told,
            given=f"exit status {process.returncode}",
            allowed="a step that ends well",
            fix="see its own message above",
        )
    return decoded(told, output)


def decoded(told: str, output: bytes) -> dict[str, Any]:
    """Return the last line of a command's output as a document.

    Raises
    ------
    StepFailed
        If it is not a JSON object.
    """
    lines = output.decode("utf-8", errors="replace").strip().splitlines()
    try:
        document = json.loads(lines[-1]) if lines else None
    except json.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise StepFailed(
            told,
            given=f"{lines[-1][:120] if lines else 'no output'}",
            allowed="one JSON document on stdout",
            fix="report this as a bug of ours",
        )
    return document
