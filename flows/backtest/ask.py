"""One backtest as a command asks for it: whose signals, which candles, which days, one document."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from agent.backtest import simulate
from agent.backtest.of_home import settings_of_home
from agent.backtest.results import PESSIMISTIC
from agent.backtest.settings import Latency
from agent.backtest.signals import SignalRow
from agent.errors import SettingRefused
from bentos.bundle import BundleFiles
from flows import trials
from flows.backtest.prices import market_between
from flows.backtest.report import report
from flows.backtest.signals import rows_of_file, rows_of_version, version_files
from flows.data.manifest import Manifest
from flows.data.store import CandleStore
from flows.home import Home
from flows.registry import Registry
from flows.training import packaged_policy, read_symbol

HISTORY_DAYS = 200  # calendar days of candles before the first: a window of day candles
DECIDED_BEFORE_DAYS = 7  # a day candle is decided on the day before, over holidays


@dataclass(frozen=True, slots=True)
class Asked:
    """What to run.

    Parameters
    ----------
    dataset : str
    model, version : str, int or None
        A registered version; the latest where None. "" with `signals`.
    signals : (text, name of the file) or None
        Instead of a model.
    policy : str
        TOML for the signals of a file; "" is the packaged one of the interval.
    symbols : tuple of str; empty is all of the dataset
    first, last : date or None, inclusive; a version's first is the day after its training
    path : {"pessimistic", "colour", "drawn"}
    latency_ms : int, one way
    seed : int
    """

    dataset: str
    model: str = ""
    version: int | None = None
    signals: tuple[str, str] | None = None
    policy: str = ""
    symbols: tuple[str, ...] = ()
    first: date | None = None
    last: date | None = None
    path: str = PESSIMISTIC
    latency_ms: int = 50
    seed: int = 1


def backtest(
    home: Home,
    asked: Asked,
    tell: Callable[[str], None],
    progress: Callable[[int, int, date], None] | None = None,
) -> dict[str, Any]:
    """Run signals through the agent over stored candles.

    Parameters
    ----------
    home : Home
    asked : Asked
    tell : callable
        Gets one line for each step.
    progress : callable (days done, of how many, day), optional

    Returns
    -------
    dict : the document that `ratchet backtest --json` prints (docs/backtest.md)

    Raises
    ------
    agent.errors.SettingRefused
        If dataset, model, signals, policy or days cannot be used.
    """
    store = CandleStore(home)
    data = store.manifest(asked.dataset)
    registry = Registry(home)
    files = _files(home, registry, asked)
    days = _days(data, files, asked)
    symbols = _symbols(data, asked)
    tell(f"{len(symbols)} symbols of {data.dataset}, {days[0]} to {days[1]}")
    since = days[0] - timedelta(days=HISTORY_DAYS)
    frames = [(key, read_symbol(store, data.dataset, key, since, days[1])) for key in symbols]
    frames = [(key, frame) for key, frame in frames if len(frame)]
    market = market_between(frames, data.interval, days, path=asked.path, seed=asked.seed)
    policy = asked.policy or packaged_policy(data.interval).text
    rows = _rows(asked, files, frames, data.interval, days)
    settings = settings_of_home(home.root, interval=data.interval, policy=policy)
    latency = Latency(asked.latency_ms, asked.latency_ms, asked.latency_ms)
    tell(f"{len(rows)} signals over {len(market.days)} days")
    result = simulate(market, rows, replace(settings, latency=latency), progress=progress)
    known = trials.read(
        registry.tag(asked.model, trials.TAG) if asked.model else None,
        trials.lineage(data.dataset, data.interval),
    )
    told = report(result, market.days, trials=known, seed=asked.seed, simulated=data.simulated_path)
    return (
        _source(asked, files, data, days)
        | told
        | {
            "signals": len(rows),
            "trades": [trip.document() for trip in result.trips],
        }
    )


def _files(home: Home, registry: Registry, asked: Asked) -> BundleFiles | None:
    if asked.signals is not None:
        return None
    folder = home.tmp / f"backtest-{asked.model}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        return version_files(registry, asked.model, asked.version, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _days(data: Manifest, files: BundleFiles | None, asked: Asked) -> tuple[date, date]:
    """Return the first and last day: of a version, by default those that it has not learnt from."""
    last = asked.last or data.last.date()
    first = asked.first or data.first.date()
    if files is not None:
        if files.manifest.interval != data.interval:
            raise SettingRefused(
                "--dataset",
                given=f"{data.interval} candles",
                allowed=f"{files.manifest.interval} candles: those of the model",
                fix="choose the dataset that it was trained on",
            )
        through = _through(files)
        if asked.first is None:
            first = through + timedelta(days=1)
        if first > last:
            raise SettingRefused(
                "--first, --last",
                given=f"candles to {last}",
                allowed=f"candles after {through}, the version's last training day",
                fix="ingest newer candles, or give --first: in sample, and the result says so",
            )
    if first > last:
        raise SettingRefused(
            "--first, --last", given=f"{first} to {last}", allowed="first before last", fix="swap"
        )
    return first, last


def _through(files: BundleFiles) -> date:
    return date.fromisoformat(str(files.manifest.said["trained_through"]))


def _symbols(data: Manifest, asked: Asked) -> tuple[str, ...]:
    unknown = sorted(set(asked.symbols) - set(data.symbols))
    if unknown:
        raise SettingRefused(
            "--symbols",
            given=", ".join(unknown),
            allowed=f"symbols of dataset {data.dataset}: {', '.join(data.symbols[:8])}, …",
            fix="choose some of them",
        )
    return asked.symbols or data.symbols


def _rows(
    asked: Asked,
    files: BundleFiles | None,
    frames: list[tuple[str, Any]],
    interval: str,
    days: tuple[date, date],
) -> list[SignalRow]:
    if files is None:
        rows = rows_of_file(*(asked.signals or ("", "")))
        return [row for row in rows if row.key in dict(frames)]
    since = days[0]
    if interval == "day":
        since -= timedelta(days=DECIDED_BEFORE_DAYS)
    return [
        row for key, frame in frames for row in rows_of_version(files, key, frame, (since, days[1]))
    ]


def _source(
    asked: Asked, files: BundleFiles | None, data: Manifest, days: tuple[date, date]
) -> dict[str, Any]:
    told: dict[str, Any] = {"dataset": data.dataset, "interval": data.interval, "in_sample": None}
    if files is None:
        return told | {"signals_file": asked.signals[1] if asked.signals else ""}
    through = _through(files)
    told |= {"model": asked.model, "version": files.manifest.number}
    if days[0] <= through:
        told["in_sample"] = (
            f"the version learnt from days up to {through}: what it earns on them proves nothing"
        )
    return told
