"""The service file that we ship, by systemd's own tool (Debian: systemd)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.system
SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "ratchet.service"


@pytest.mark.parametrize("whose", ["--system", "--user"])
def test_systemd_takes_it_as_it_is(tmp_path: Path, whose: str) -> None:
    tool = shutil.which("systemd-analyze")
    assert tool is not None, "systemd-analyze is missing: apt-get install systemd"
    program = tmp_path / "ratchet" / ".venv" / "bin" / "ratchet"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "ratchet.service"
    unit.write_text(SHIPPED.read_text().replace("%h", str(tmp_path)))
    (tmp_path / "runtime").mkdir()
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "runtime")}
    run = subprocess.run(
        [tool, whose, "verify", str(unit)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


def test_it_hides_no_folder_that_a_home_may_lie_in() -> None:
    """A private /tmp, a protected home or system would take `--home` away from it."""
    keys = {line.partition("=")[0] for line in SHIPPED.read_text().splitlines() if "=" in line}
    assert not keys & {"PrivateTmp", "ProtectHome", "ProtectSystem", "DynamicUser", "ReadOnlyPaths"}
