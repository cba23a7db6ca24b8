"""The Prometheus rules that we ship, by Prometheus's own tool (Debian: prometheus)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.system
FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"


def promtool(*arguments: str) -> str:
    tool = shutil.which("promtool")
    assert tool is not None, "promtool is missing: apt-get install prometheus"
    run = subprocess.run(
        [tool, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def test_the_rules_and_the_example_are_sound() -> None:
    rules = len(
        re.findall(r"^ +- alert:", (FOLDER / "ratchet.rules.yml").read_text(), re.MULTILINE)
    )
    assert f"{rules} rules found" in promtool("check", "rules", "ratchet.rules.yml")
    promtool("check", "config", "prometheus.yml")


def test_each_fault_raises_its_alert_and_a_quiet_service_none() -> None:
    assert "SUCCESS" in promtool("test", "rules", "ratchet.test.yml")
