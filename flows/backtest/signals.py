"""Whose signals: a registered version's over stored candles, or a file's.

A version is asked as the service would be: the same features, the same booster, the same rule;
the policy is its own. It is asked at every close of a candle that has a whole window before it.
"""

from __future__ import annotations

from datetime import date, time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.backtest.signals import SignalRow
from agent.errors import SettingRefused
from agent.market.instruments import Side
from agent.trailing.policy import Policy
from bentos.booster import Booster
from bentos.bundle import BundleFiles, read_bundle
from bentos.features import WINDOW, features_over
from flows import model
from flows.data.frame import DAY_MS, INTERVAL_MS, IST_MS, MINUTE_MS, day_start_ms, ts_ms
from flows.registry import Registry
from flows.samples import arrays_of
from flows.sweep.signals import read_signals

CLOSE = time(15, 30)  # when a day candle is known
SIDES = {1: Side.LONG, -1: Side.SHORT, 0: None}


def rows_of_file(text: str, source: str) -> list[SignalRow]:
    """Return the signals of a CSV file `ts,symbol,side`; strength and version are all alike.

    Raises
    ------
    agent.errors.SettingRefused
        Naming the line that cannot be read.
    """
    return [
        SignalRow(ts, key, SIDES[sign])
        for key, rows in read_signals(text, source).items()
        for ts, sign in rows
    ]


def version_files(registry: Registry, name: str, version: int | None, tmp: Path) -> BundleFiles:
    """Return a version's files, the latest where none is named.

    Raises
    ------
    agent.errors.SettingRefused
        If there is no such model or version.
    """
    if version is None:
        versions = registry.versions(name)
        if not versions:
            raise SettingRefused(
                "--model",
                given=name,
                allowed=", ".join(registry.names()) or "a model (none is registered yet)",
                fix="choose one of those, or train it: ratchet train",
            )
        version = versions[-1].version
    folder = registry.fetch(name, registry.version(name, version).version, tmp)
    return read_bundle(folder, version)


def rows_of_version(
    files: BundleFiles, key: str, candles: Any, days: tuple[date, date]
) -> list[SignalRow]:
    """Return what a version says of one symbol at each close of some days.

    Parameters
    ----------
    files : BundleFiles
    key : str
    candles : candle frame of that symbol, from a window before the first of the days on
    days : first and last, both inclusive: of the candles decided at
    """
    manifest = files.manifest
    if len(candles) < WINDOW:
        return []
    known = _closes(ts_ms(candles), manifest.interval)
    asked = np.arange(len(candles)) >= WINDOW - 1
    asked &= (known >= day_start_ms(days[0])) & (known < day_start_ms(days[1]) + DAY_MS)
    rows = np.flatnonzero(asked)
    if not rows.size:
        return []
    x = features_over(arrays_of(candles))[rows][:, manifest.columns]
    p = np.asarray(Booster(files.model_text, manifest.features).probabilities(x))
    said = model.sides(p, manifest.payoff, manifest.rule)
    worth = model.expected(p, manifest.payoff)
    hears = _hears_holds(files.policy_toml)
    valid_ms = int(manifest.valid_for_s * 1000)
    found = []
    for n, row in enumerate(rows.tolist()):
        sign, ts = int(said[n]), int(known[row])
        if sign or hears:
            strength = float(worth[0 if sign > 0 else 1][n]) if sign else 0.0
            until, version = ts + valid_ms, str(manifest.number)
            policy = files.policy_toml
            one = SignalRow(ts, key, SIDES[sign], max(strength, 0.0), until, version, policy)
            found.append(one)
    return found


def _closes(ts: npt.NDArray[np.int64], interval: str) -> npt.NDArray[np.int64]:
    """Return when each candle is known, epoch ms: its end; of a day candle, the normal close."""
    if interval != "day":
        return ts + INTERVAL_MS[interval]
    midnight = (ts + IST_MS) // DAY_MS * DAY_MS - IST_MS
    return np.asarray(midnight + (CLOSE.hour * 60 + CLOSE.minute) * MINUTE_MS)


def _hears_holds(policy: str) -> bool:
    """Tell whether a HOLD would change an open trade's levels."""
    rules = Policy.parse(policy, source="the version's policy").signal
    return rules.extend_only_while_agrees or rules.tighten_on_flip is not None
