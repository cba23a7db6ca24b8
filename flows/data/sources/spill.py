"""Rows of many files, sorted into one heap a symbol on disk, so that memory stays bounded.

Time is linear in rows, whatever the number of symbols; one symbol is read back at a time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from flows.data.frame import VALUES, Floats, Ints

ROW = np.dtype([("ts_ms", "<i8"), *((name, "<f8") for name in VALUES)])
BUFFER_ROWS_MAX = 500_000  # 24 MB


class Spill:
    """Heaps of rows by symbol, in a folder that its maker removes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._heaps: dict[str, int] = {}
        self._buffer: dict[str, list[npt.NDArray[np.void]]] = {}
        self._buffered = 0

    @property
    def symbols(self) -> list[str]:
        """Symbols that have rows, sorted."""
        return sorted(self._heaps)

    def add(self, symbol: str, ms: Ints, values: dict[str, Floats]) -> None:
        """Put rows on a symbol's heap."""
        rows = np.empty(len(ms), dtype=ROW)
        rows["ts_ms"] = ms
        for name in VALUES:
            rows[name] = values[name]
        self._heaps.setdefault(symbol, len(self._heaps))
        self._buffer.setdefault(symbol, []).append(rows)
        self._buffered += len(rows)
        if self._buffered >= BUFFER_ROWS_MAX:
            self.flush()

    def flush(self) -> None:
        """Write what is in memory to the heaps."""
        for symbol, chunks in self._buffer.items():
            with self._heap(symbol).open("ab") as heap:
                for rows in chunks:
                    heap.write(rows.tobytes())
        self._buffer.clear()
        self._buffered = 0

    def read(self, symbol: str) -> tuple[Ints, dict[str, Floats]]:
        """Return a symbol's rows in the order they came."""
        self.flush()
        rows = np.fromfile(self._heap(symbol), dtype=ROW)
        values = {name: np.ascontiguousarray(rows[name]) for name in VALUES}
        return np.ascontiguousarray(rows["ts_ms"]), values

    def _heap(self, symbol: str) -> Path:
        return self._folder / f"{self._heaps[symbol]}.rows"
