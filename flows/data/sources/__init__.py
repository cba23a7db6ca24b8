"""Where candles come from, one file a source; `open_source` picks by the word before the colon."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Literal

from agent.errors import SettingRefused
from agent.market.sessions import IST
from flows.data.sources.base import Skipped, Source
from flows.home import Home

__all__ = ["Request", "Skipped", "Source", "open_source"]

SOURCES = ("sample", "synthetic", "parquet:GLOB", "csv:GLOB", "kite")


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks an ingest for.

    Parameters
    ----------
    source : str
        One of `SOURCES`, with a pattern in the place of GLOB.
    dataset : str, optional
        Its name in the store; the source suggests one.
    first, last : date, optional
        Both inclusive, in India.
    interval : str, optional
        In Kite's words: which files to take, or what to generate.
    drop_bad : bool
        Leave bad candles out, counted, instead of refusing the source.
    universe : tuple of str
        Instrument keys to take; empty is all that the source has.
    symbols, days, edge, seed
        The synthetic market's size and dial.
    """

    source: str
    dataset: str | None = None
    first: date | None = None
    last: date | None = None
    interval: str | None = None
    drop_bad: bool = False
    universe: tuple[str, ...] = ()
    symbols: int = 12
    days: int = 250
    edge: float = 0.0
    seed: int = 0


def open_source(home: Home, request: Request, work: Path) -> tuple[Source, str]:
    """Return the source that a request names, and the dataset's name if it gives none.

    Parameters
    ----------
    home : Home
        Where settings, the broker's session and its dataset are.
    work : Path
        An empty folder for the source's temporary files; the caller removes it.

    Raises
    ------
    agent.errors.SettingRefused
        If there is no such source, or what it names cannot be read.
    agent.errors.Refused
        If it needs a login and there is none.
    """
    word, _, rest = request.source.partition(":")
    if word in {"parquet", "csv"} and rest:
        from flows.data.sources.files import FileSource

        kind: Literal["parquet", "csv"] = "parquet" if word == "parquet" else "csv"
        files = FileSource(kind, rest, interval=request.interval, work=work)
        return files, files.suggested_dataset
    if request.source == "sample":
        from flows.data.sources.sample import SampleSource

        _only_interval("day", request)
        return SampleSource(), "sample"
    if request.source == "synthetic":
        from flows.data.sources.synthetic import Market, SyntheticSource

        interval = request.interval or "15minute"
        market = Market(interval, request.symbols, request.days, request.edge, request.seed)
        return SyntheticSource(market), "synthetic"
    if request.source == "kite":
        from flows.data.sources.kite import Asked, open_kite

        last = request.last or datetime.now(IST).date()
        dataset, interval = request.dataset or "kite", request.interval or "day"
        asked = Asked(dataset, interval, request.universe, request.first, last)
        return open_kite(home, asked), dataset
    raise SettingRefused(
        "--source",
        given=repr(request.source),
        allowed=", ".join(SOURCES),
        fix="for files of your own: --source 'parquet:folder/*.parquet'",
    )


def _only_interval(has: str, request: Request) -> None:
    if request.interval not in {None, has}:
        raise SettingRefused(
            "--interval",
            given=request.interval,
            allowed=f"{has} (all that source {request.source} has)",
            fix="leave --interval out, or use another source",
        )
