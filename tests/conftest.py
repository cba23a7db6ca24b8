"""What every test gets: a home of its own, a silent environment, replayable randomness."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ratchet",
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("ratchet")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of development candles and ticks, or skip: a stranger has none."""
    if not SHARED.is_dir():
        pytest.skip(f"no development data at {SHARED}; the product does not need it")
    return SHARED


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a fresh home folder."""
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def _environment_restored() -> Iterator[None]:
    """Give each test the environment of the one before it: `Home.open` changes the process's."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True, scope="session")
def _process_environment(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what tests import from writing into the user's home or calling out."""
    from agent.home import open_home
    from flows.home import Home, process_environment

    session = Home(open_home(tmp_path_factory.mktemp("session-home")))
    session.tmp.mkdir(exist_ok=True)
    environment = process_environment(session)
    environment.pop("TMPDIR")
    os.environ.update(environment)
