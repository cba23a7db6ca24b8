"""What a dataset says of itself: `dataset.json`, written last, the only way into its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

LAYOUT = 1


@dataclass(frozen=True, slots=True)
class Partition:
    """One file: candles of one symbol, of all its days or (inside the day) of one year.

    `file` is relative to the dataset's folder; `first` and `last` are open times in epoch ms.
    """

    symbol: str
    span: str
    file: str
    candles: int
    first_ms: int
    last_ms: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What a source says of the candles it gives, before any was read.

    Parameters
    ----------
    source : str
        As asked for: `sample`, `synthetic`, `parquet:GLOB`, `csv:GLOB`, `kite`.
    interval : str
        In Kite's words.
    adjustment : str
        What was done to the prices before or by this source; part of the fingerprint.
    notes : str
        One line for every page that shows these candles.
    simulated_path : bool
        True if a simulator drew candles inside real days: never for training, never for a gate.
    """

    source: str
    interval: str
    adjustment: str
    notes: str
    simulated_path: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """A dataset: where it came from, what it holds, how good it is.

    `first` and `last` are the open times of the first and last candle, `sessions` the dates that
    count as trading days of this dataset, `quality` the report of the ingest.
    """

    dataset: str
    source: str
    interval: str
    symbols: tuple[str, ...]
    first: datetime
    last: datetime
    candles: int
    adjustment: str
    notes: str
    simulated_path: bool
    sessions: tuple[date, ...]
    fingerprint: str
    quality: Mapping[str, Any]
    partitions: tuple[Partition, ...] = field(repr=False)

    def to_json(self) -> str:
        """Return the text of `dataset.json`."""
        document = asdict(self) | {"layout": LAYOUT}
        document["first"] = self.first.isoformat()
        document["last"] = self.last.isoformat()
        document["sessions"] = [day.isoformat() for day in self.sessions]
        return json.dumps(document, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read `dataset.json` back.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is not one of ours.
        """
        document: dict[str, Any] = json.loads(text)
        layout = document.pop("layout")
        if layout != LAYOUT:
            raise ValueError(f"layout {layout}, this version reads {LAYOUT}")
        document["first"] = datetime.fromisoformat(document["first"])
        document["last"] = datetime.fromisoformat(document["last"])
        document["sessions"] = tuple(date.fromisoformat(day) for day in document["sessions"])
        document["symbols"] = tuple(document["symbols"])
        document["partitions"] = tuple(Partition(**part) for part in document["partitions"])
        return cls(**document)


def fingerprint_of(facts: Facts, partitions: Sequence[Partition]) -> str:
    """Return the dataset's fingerprint: its numbers, interval and adjustment, not its files.

    Two machines that ingest the same candles get the same fingerprint, whatever the Parquet
    version, the compression or the order of the files was.
    """
    said = {
        "interval": facts.interval,
        "adjustment": facts.adjustment,
        "simulated_path": facts.simulated_path,
        "candles": sorted([part.symbol, part.span, part.sha256] for part in partitions),
    }
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
