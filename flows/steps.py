"""A version's way to the traffic, one step at a time: shadow, A/B, champion; and what stops it.

Pure. A step is allowed by what the step before has shown: days and rows of it, errors, latency.
Whether the version forecasts or earns better is the verdict's business (`flows.monitor`); these
guards only say that it works.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SHADOW, TRIAL, CHAMPION = "shadow", "a/b", "champion"
STEPS: Final = (SHADOW, TRIAL, CHAMPION)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the prediction log holds of a version in one role.

    Parameters
    ----------
    days, rows : trading days with a row; rows
    bad : rows whose output was no probabilities
    p99_ms : milliseconds of its answers; None for a shadow, which nobody waits for
    """

    days: int = 0
    rows: int = 0
    bad: int = 0
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a step asks for.

    Parameters
    ----------
    shadow_days, trial_days : trading days before the next step
    rows_min : rows of the step before
    bad_share_max : of its rows, 0 to 1
    p99_ms_max : milliseconds, unless the champion's own is worse
    """

    shadow_days: int = 3
    trial_days: int = 5
    rows_min: int = 50
    bad_share_max: float = 0.001
    p99_ms_max: float = 50.0


def next_step(plan: Mapping[str, Any] | None, version: int) -> str | None:
    """Return a version's next step under a plan; None for the champion, who has none left."""
    if plan is None:
        return CHAMPION  # the first version of a model: nobody else could answer
    if int(plan["champion"]) == version:
        return None
    if str(version) in plan["challengers"]:
        return CHAMPION
    return TRIAL if version in plan["shadows"] else SHADOW


def refusals(step: str, shown: Shown, champion: Shown, allowed: str, bounds: Bounds) -> list[str]:
    """Return what stops a step; empty where nothing does.

    Parameters
    ----------
    shown : of the version, in the step before
    champion : of the champion's answers, to compare latencies with
    allowed : what its gates allow: `none`, `paper`, `live`
    """
    if step == SHADOW:
        return []
    days = bounds.shadow_days if step == TRIAL else bounds.trial_days
    why = []
    if allowed == "none":
        why.append("its gates allow no trading (`ratchet models show` tells which failed)")
    if shown.days < days:
        why.append(f"{shown.days} trading days in the step before; {days} are needed")
    if shown.rows < bounds.rows_min:
        why.append(f"{shown.rows} rows in the step before; {bounds.rows_min} are needed")
    if shown.bad > bounds.bad_share_max * shown.rows:
        why.append(
            f"{shown.bad} of {shown.rows} rows had no sound output; "
            f"at most {bounds.bad_share_max:.1%} may"
        )
    slowest = max(bounds.p99_ms_max, champion.p99_ms or 0.0)
    if shown.p99_ms is not None and shown.p99_ms > slowest:
        why.append(f"p99 of its answers is {shown.p99_ms:.1f} ms; at most {slowest:.1f} ms")
    return why


def wanted(
    plan: Mapping[str, Any] | None, version: int, step: str, weight: float
) -> dict[str, Any]:
    """Return the split after a step: `champion`, `challengers`, `shadows`.

    A new champion's predecessor stays as a shadow: it goes on being compared, and a roll-back
    finds it loaded.
    """
    before = plan or {"champion": version, "challengers": {}, "shadows": []}
    champion = int(before["champion"])
    challengers = {int(v): float(w) for v, w in before["challengers"].items() if int(v) != version}
    shadows = [int(v) for v in before["shadows"] if int(v) != version]
    if step == SHADOW:
        shadows.append(version)
    elif step == TRIAL:
        challengers[version] = weight
    elif champion != version:
        shadows.append(champion)
        champion = version
    return {"champion": champion, "challengers": challengers, "shadows": tuple(shadows)}
