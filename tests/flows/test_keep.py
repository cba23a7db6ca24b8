"""A worker's keeper: forks again what was killed, ends with what ended, passes signals on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.bentos.waiting import until

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import sys
from flows import keep
keep.WORKER = "kept"
keep._import_what_workers_need = lambda: None
keep.SOON_S = {soon}
keep.main()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kept.py").write_text(
        "import pathlib, signal, sys, os\n"
        "pathlib.Path('ran').open('a').write(f'{os.getpid()}\\n')\n"
        "if pathlib.Path('end').exists(): sys.exit(int(pathlib.Path('end').read_text()))\n"
        "signal.pause()\n"
    )
    return tmp_path


def keeper(folder: Path, soon: float = 0.0) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", CODE.format(soon=soon)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{folder}"},
    )


def ran(folder: Path) -> list[int]:
    path = folder / "ran"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has taken note yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_killed_worker_is_forked_again_and_a_signal_ends_both(folder: Path) -> None:
    with keeper(folder) as process:
        (first,) = until(lambda: ran(folder))
        os.kill(first, signal.SIGKILL)
        _, second = until(lambda: pids if len(pids := ran(folder)) == 2 else [])
        assert process.poll() is None
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGTERM
        assert gone(second)


def test_it_ends_as_its_worker_ended(folder: Path) -> None:
    (folder / "end").write_text("3")
    with keeper(folder) as process:
        assert process.wait(20) == 3
    assert len(ran(folder)) == 1


def test_one_that_dies_at_once_again_and_again_is_left_to_the_supervisor(folder: Path) -> None:
    with keeper(folder, soon=3600) as process:
        for count in (1, 2):
            pids = until(lambda n=count: p if len(p := ran(folder)) == n else [])
            os.kill(pids[-1], signal.SIGKILL)
        assert process.wait(20) == 128 + signal.SIGKILL


def test_kill_9_of_the_keeper_takes_the_worker_along(folder: Path) -> None:
    with keeper(folder) as process:
        (worker,) = until(lambda: ran(folder))
        process.kill()
        process.wait(20)
        until(lambda: gone(worker))
