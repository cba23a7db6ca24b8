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
    """Return the dataset that is meant by a command that was given none.

    Raises
    ------
    SettingRefused
        If there is none, or a choice.
    """
    from flows import chosen
    from flows.data.store import CandleStore

    return chosen.dataset(home, CandleStore(home).datasets())
