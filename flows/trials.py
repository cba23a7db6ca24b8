"""How often was this tried: the ledger that a deflated Sharpe ratio needs.

Pure. Over its whole life the registry keeps it in the model's tag `ratchet.trials`, one entry a
data lineage (dataset and interval: more days of the same data are the same lineage). Every recipe
that was measured counts once, passed or not, by training or by search; repeating one is no new
trial.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TAG = "ratchet.trials"
REMEMBERED_MAX = 400  # names of the latest trials, a lineage
CHARACTERS_MAX = 4_800  # of a registered model's tag (flows/plan.py says why)
KEY_CHARACTERS = 8


@dataclass(frozen=True, slots=True)
class Trials:
    """What is known of a lineage.

    Parameters
    ----------
    count : int
    variance : float or None
        Of the trials' Sharpe ratios per day; None below two trials.
    """

    count: int
    variance: float | None


def lineage(dataset: str, interval: str) -> str:
    """Return the name under which trials on these data are counted together."""
    return f"{dataset}/{interval}"


def trial_key(recipe: Mapping[str, Any]) -> str:
    """Return the short name of a recipe (with its policy and rule): the same one counts once."""
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_CHARACTERS]


def counted(text: str | None, of: str, sharpes: Mapping[str, float]) -> str:
    """Return the ledger's text after these trials.

    Parameters
    ----------
    text : str or None
        The ledger; None before the first trial.
    of : str
        The lineage.
    sharpes : mapping of trial key to Sharpe ratio per day (NaN where there was no trade)
    """
    ledger = json.loads(text) if text else {}
    entry = ledger.pop(of, {"n": 0, "mean": 0.0, "m2": 0.0, "seen": ""})
    seen = entry["seen"].split()
    for key, ratio in sharpes.items():
        if key in seen:
            continue
        seen.append(key)
        entry["n"] += 1
        step = (ratio if math.isfinite(ratio) else 0.0) - entry["mean"]
        entry["mean"] += step / entry["n"]  # Welford (1962)
        entry["m2"] += step * ((ratio if math.isfinite(ratio) else 0.0) - entry["mean"])
    entry["seen"] = " ".join(seen[-REMEMBERED_MAX:])
    ledger[of] = entry
    while len(_text(ledger)) > CHARACTERS_MAX:  # forget names, never counts
        longest = max(ledger.values(), key=lambda one: len(one["seen"]))
        longest["seen"] = " ".join(longest["seen"].split()[1:])
    return _text(ledger)


def read(text: str | None, of: str) -> Trials:
    """Return what the ledger knows of a lineage."""
    entry = (json.loads(text) if text else {}).get(of)
    if entry is None:
        return Trials(0, None)
    variance = entry["m2"] / (entry["n"] - 1) if entry["n"] > 1 else None
    return Trials(int(entry["n"]), variance)


def _text(ledger: Mapping[str, Any]) -> str:
    return json.dumps(ledger, separators=(",", ":"), allow_nan=False)
