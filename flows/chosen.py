"""Which dataset or model a command means that was given none: the settings', else the only one.

A home may hold several (the demo's holds two of each): `[pipeline]` of its ratchet.toml says which
is its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.errors import SettingRefused
from flows.home import Home
from flows.settings import read_settings


def dataset(home: Home, there: Sequence[str]) -> str:
    """Return the dataset that is meant.

    Parameters
    ----------
    there : names of those in the store

    Raises
    ------
    agent.errors.SettingRefused
        If there is none, or a choice.
    """
    name = _own(read_settings(home.root).pipeline.dataset, there)
    if name is not None:
        return name
    raise SettingRefused(
        "--dataset",
        given="none" if not there else f"{len(there)} datasets: {', '.join(there)}",
        allowed="one dataset in the store, or the one of pipeline.dataset in ratchet.toml",
        fix="name one" if there else "ingest one first: ratchet ingest --source sample",
    )


def model(home: Home, there: Sequence[str]) -> str | None:
    """Return the model that is meant; None where there is none, or a choice."""
    pipeline = read_settings(home.root).pipeline
    return _own(pipeline.model or pipeline.dataset, there)


def _own(own: str, there: Sequence[str]) -> str | None:
    if own in there:
        return own
    return there[0] if len(there) == 1 else None
