"""kill -9 in lock-step at any statement of a transaction: the run ends as the one that was not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent.paper.killed import CUTS

ROOT = Path(__file__).parents[3]
SEED = 1


def test_a_run_killed_inside_its_transactions_ends_as_the_one_that_was_not(tmp_path: Path) -> None:
    module = [sys.executable, "-m", "tests.agent.paper.killed", str(SEED), str(tmp_path)]
    done = subprocess.run(
        module, check=False, cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    (_, whole), *cuts = json.loads(done.stdout)
    assert whole["trades"] > 10
    assert len(cuts) == CUTS
    for at, findings in cuts:
        if findings != whole:
            pytest.fail(f"seed {SEED}: killed at statement {at}, it ended otherwise")
