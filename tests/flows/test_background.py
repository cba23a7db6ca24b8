"""Background work lowers its own session, and nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import os
from flows.background import lower
lower(); lower()
print(os.nice(0), open("/proc/self/autogroup").read().split()[-1])
"""


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="a kernel without autogroups")
def test_a_session_of_its_own_is_lowered_and_ours_is_not() -> None:
    before = Path("/proc/self/autogroup").read_text()
    told = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL, start_new_session=True, capture_output=True, text=True,
        check=True,
    ).stdout.split()  # fmt: skip
    assert int(told[0]) >= 10
    assert told[1] in {"19", "0"}, "0 where the kernel does not let us"
    if os.geteuid() == 0:
        assert told[1] == "19"
    assert Path("/proc/self/autogroup").read_text() == before
