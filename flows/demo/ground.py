"""The folder a run starts in: empty, ours, and used by one run at a time.

A demo empties its own home before it starts, so that twice in a row works and the same seed gives
the same trades. It empties only a folder that holds its mark.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import EnvironmentRefused
from agent.home import open_home
from flows.locks import held
from flows.settings import TOML

MARK = ".ratchet-demo"
OWN = """\
# Written by `ratchet demo`: which of this home's datasets and models are meant where none is named.
[pipeline]
dataset = "{dataset}"
model = "{model}"

[agent.model]
name = "{model}"
"""


@contextmanager
def clean_home(home: Path) -> Iterator[Path]:
    """Open the home, empty it of an earlier demo, hold it until the block ends.

    Raises
    ------
    EnvironmentRefused
        If it cannot be written, or holds something that no demo made.
    Refused
        If another demo is running in it.
    """
    home = open_home(home)
    mark = home / MARK
    stray = [path.name for path in home.iterdir()]
    if stray and not mark.exists():
        raise EnvironmentRefused(
            f"home {home}",
            given=f"a folder with {', '.join(sorted(stray)[:3])} that no demo made",
            allowed="an empty folder or an earlier demo's, because a demo empties it",
            fix="give another with --home DIR",
        )
    mark.touch()
    with held(mark, what=f"a demo in {home}"):
        for path in home.iterdir():
            if path != mark:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        yield home


def settle(root: Path, *, dataset: str, model: str) -> None:
    """Write the settings by which commands on this home know what is its own."""
    (root / TOML).write_text(OWN.format(dataset=dataset, model=model), encoding="utf-8")
