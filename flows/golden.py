"""The golden request: one question with its answer, by the code that will serve it.

Whoever loads the version asks it this first (bentos/models.py) and takes no traffic unless the
answer is the same. Here the saved text is loaded afresh, as serving does, and must also give what
the booster in memory gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agent.errors import Broken
from bentos.answer import spoken
from bentos.booster import Booster, BoosterRefused
from bentos.bundle import BundleRefused
from bentos.features import features_last
from bentos.models import load_version
from flows.data.frame import ts_ms
from flows.samples import arrays_of

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]

SAME_P = 1e-12  # the same arithmetic on the same text; what is left is the text's last digit


def golden_request(key: str, window: pd.DataFrame) -> dict[str, Any]:
    """Return the body of a predict call about a window of candles.

    Parameters
    ----------
    key : str
    window : candle frame of one symbol, as many candles as the model asks for
    """
    candles: dict[str, list[Any]] = {"ts": ts_ms(window).tolist()}
    for name in ("open", "high", "low", "close"):
        candles[name] = window[name].tolist()
    volume = window["volume"].tolist()
    candles["volume"] = [None if np.isnan(shares) else shares for shares in volume]
    return {"key": key, "candles": candles}


def golden_answer(text: str, version: Mapping[str, Any], window: pd.DataFrame) -> dict[str, Any]:
    """Return the prediction on a window, from the text as serving loads it.

    Parameters
    ----------
    text : str
        The booster's; made in this process, so whole.
    version : mapping
        `features`, `payoff` and `rule` of `version.json`.
    window : candle frame of one symbol
    """
    names = tuple(feature["name"] for feature in version["features"])
    fresh = Booster(text.encode("utf-8"), names).scorer()
    p = fresh.probabilities(features_last(arrays_of(window)))
    return spoken(p, version["payoff"], version["rule"])


def reproduces(answer: Mapping[str, Any], in_memory: Floats) -> bool:
    """Tell whether the loaded text gave what the booster in memory gives.

    Parameters
    ----------
    answer : mapping
        Of `golden_answer`.
    in_memory : float64 array of shape (3,), in the order FLAT, LONG, SHORT
    """
    loaded = np.array([answer["p_flat"], answer["p_long"], answer["p_short"]])
    return bool(np.abs(loaded - in_memory).max() <= SAME_P)


def prove(folder: Path) -> None:
    """Load a written bundle exactly as the served model will.

    Raises
    ------
    agent.errors.Broken
        If it does not load, or does not reproduce its golden answer.
    """
    try:
        load_version(folder, 1)
    except (BundleRefused, BoosterRefused) as fault:
        raise Broken(f"the version just made cannot be served: {fault}") from fault
