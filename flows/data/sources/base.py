"""What every source offers: facts first, then one symbol's candles at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Protocol

from flows.data.manifest import Facts

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file, or a symbol, that was offered and not taken, and why."""

    name: str
    reason: str


class Source(Protocol):
    """Candles that can be asked for by symbol, so that memory holds one symbol at a time.

    `sessions` are the dates that count as trading days; None lets the candles say it.
    """

    @property
    def facts(self) -> Facts:
        """What the source says of its candles."""

    @property
    def symbols(self) -> Sequence[str]:
        """The instrument keys that `read` knows, sorted."""

    @property
    def skipped(self) -> Sequence[Skipped]:
        """What was left out."""

    @property
    def sessions(self) -> Sequence[date] | None:
        """The source's own trading days, if it knows them."""

    def read(self, symbol: str) -> pd.DataFrame:
        """Return all candles of a symbol as the source has them, sorted by time."""

    def finish(self) -> None:
        """Hear that everything was committed; remove what was kept for an interrupted run."""
