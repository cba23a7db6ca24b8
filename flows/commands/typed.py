"""What a person typed, made into what a command works on; what cannot be used names its option."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import SettingRefused

if TYPE_CHECKING:
    from flows.home import Home


def text_of(path: Path, option: str) -> str:
    """Return what stands in a file that an option names.

    Raises
    ------
    SettingRefused
        If it cannot be read as text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise SettingRefused(
            option,
            given=f"{path}: {getattr(fault, 'strerror', None) or fault}",
            allowed="a readable text file",
            fix="check the path",
        ) from fault


def only_dataset(home: Home) -> str:
    """Return the one dataset of a home, for a command that was given none.

    Raises
    ------
    SettingRefused
        If there is none, or a choice.
    """
    from flows.data.store import CandleStore

    there = CandleStore(home).datasets()
    if len(there) == 1:
        return there[0]
    raise SettingRefused(
        "--dataset",
        given="none" if not there else f"{len(there)} datasets: {', '.join(there)}",
        allowed="one dataset in the store",
        fix="name one" if there else "ingest one first: ratchet ingest --source sample",
    )
