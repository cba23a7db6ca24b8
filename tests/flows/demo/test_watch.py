"""While the agent trades every part must live: the first that dies ends the run, by name."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from agent.errors import EnvironmentRefused
from flows.children import Children
from flows.demo.run import watch
from flows.demo.steps import StepFailed, decoded

FOREVER = [sys.executable, "-c", "import time; time.sleep(600)"]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_an_agent_that_ends_well_ends_the_watch(tmp_path: Path) -> None:
    with Children({}, tmp_path) as children:
        children.start("serve", FOREVER)
        watch(children.start("agent", python("pass")), children, lambda: "")


def test_a_served_model_that_is_killed_is_named(tmp_path: Path) -> None:
    with Children({}, tmp_path) as children:
        serve = children.start("serve", FOREVER)
        agent = children.start("agent", FOREVER)
        os.kill(serve.pid, signal.SIGKILL)
        with pytest.raises(EnvironmentRefused, match=r"serve ended by signal 9") as refused:
            watch(agent, children, lambda: "")
    assert refused.value.exit_status == 2
    assert agent.process.poll() is not None


def test_an_agent_that_is_killed_is_named_with_its_last_words(tmp_path: Path) -> None:
    with Children({}, tmp_path) as children:
        agent = children.start("agent", python("import os; os.write(1, b'bye'); os.abort()"))
        with pytest.raises(StepFailed, match=r"(?s)agent ended by signal 6.*bye") as refused:
            watch(agent, children, lambda: "")
    assert refused.value.exit_status == 2


@pytest.mark.parametrize("output", [b"", b"not json\n", b"[1]\n"])
def test_an_answer_that_is_no_document_is_refused(output: bytes) -> None:
    with pytest.raises(StepFailed, match="expected one JSON document"):
        decoded("flows train", output)


def test_the_last_line_is_the_answer() -> None:
    assert decoded("flows train", b'noise\n{"version": 2}\n') == {"version": 2}
