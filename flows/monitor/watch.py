"""One run of the monitor for one model: outcomes, data, drift, quality, pages. Plain functions.

Order: read the log, join what happened, check the served features as data, judge their days
against training, score the forecasts, draw. The alarm is ours; Evidently draws a picture of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.errors import SettingRefused
from agent.market.sessions import IST
from bentos.features import FEATURES, WINDOW, CandleArrays, features_last
from flows import chosen, locks
from flows.data.frame import VALUES, days_of, ts_ms
from flows.data.store import CandleStore
from flows.home import Home
from flows.monitor import integrity, outcomes, pages, picture, quality, records, versions
from flows.monitor.integrity import Finding
from flows.monitor.outcomes import candles_of
from flows.monitor.usual import Alarm, Unit, Usual, told
from flows.monitor.versions import Known

Floats = npt.NDArray[np.float64]
Tell = Callable[[str], None]

DRIFT_DAYS = 60  # served days that a run looks at
ASK_DAYS, ASK_OF = 3, 5  # retraining is asked for by drift on 3 of 5 clean days, never by one
PICTURE_ROWS_MAX = 5_000
COMPARED_ROWS_MAX = 100  # a day


@dataclass(frozen=True, slots=True)
class Drift:
    """What was found in the served features; `days` as `usual.told` gives them."""

    units: list[Unit]
    rows: int
    findings: list[Finding]
    alarms: list[Alarm]
    days: list[dict[str, Any]]
    power: dict[str, dict[str, float | None]]
    notes: list[str]


def model_of(home: Home, asked: str | None) -> str:
    """Return the model to watch: the one asked for, that of `[pipeline]`, or the only one.

    Raises
    ------
    agent.errors.SettingRefused
        If it is not known here, or there are several and none was named.
    """
    found = models_of(home)
    name = chosen.model(home, found) if asked is None else asked
    if name is not None and name in found:
        return name
    raise SettingRefused(
        "--model",
        given=asked or f"none, of {len(found)}",
        allowed=", ".join(found) or f"a model (no model is served or logged under {home.root} yet)",
        fix="name one of these" if found else "train, release and serve a model first",
    )


def models_of(home: Home) -> list[str]:
    """Return the models that are served or have predictions here, sorted."""
    with records.connected(home) as connection:
        logged = records.models(connection, home)
    return sorted({*logged, *versions.served_models(home)})


def watch(home: Home, model: str, tell: Tell, *, dataset: str | None = None) -> dict[str, Any]:
    """Watch one model once.

    Parameters
    ----------
    dataset : str, optional
        Whose candles say what happened.

    Returns
    -------
    dict : the document of `ratchet monitor --json`

    Raises
    ------
    agent.errors.Refused
        If another run for this model is under way.
    """
    with locks.held(home.locks / f"monitor-{model}.lock", what=f"monitor model {model}"):
        return _watch(home, model, tell, dataset)


def _watch(home: Home, model: str, tell: Tell, dataset: str | None) -> dict[str, Any]:
    at = datetime.now(IST)
    version_of = lru_cache(maxsize=None)(lambda number: versions.known(home, model, number))
    with records.connected(home) as connection:
        served = records.take(connection, home, model)
        tell(f"{served:,} predictions of model {model} in the log")
        joined = outcomes.join(connection, home, model, version_of, dataset)
        tell(f"{joined.new:,} joined with what happened, {joined.results:,} in all")
        champion = versions.champion(home, model)
        numbers = [
            r[0] for r in connection.execute("SELECT DISTINCT version FROM served").fetchall()
        ]
        judged = quality.by_version(connection)
        paired = quality.against(connection, champion, numbers)
        loss = quality.loss(connection, champion)
        number = champion if champion is not None else max(numbers, default=None)
        reference = version_of(number) if number is not None else "no version is known"
        drift, usual, served_rows = None, None, None
        if isinstance(reference, Known):
            usual = Usual(reference.reference)
            served_rows = records.rows(connection, home, model, usual.names, _since(connection))
    notes = [] if isinstance(reference, Known) else [f"drift is not judged: {reference}"]
    folder = home.reports / "monitor"
    run = folder / model / at.strftime("%Y-%m-%dT%H-%M-%S")
    drawn = None
    if usual is not None and served_rows is not None and isinstance(reference, Known):
        drift = find_drift(usual, served_rows, reference, CandleStore(home), dataset)
        tell(f"{len(drift.units)} days judged: {len(drift.alarms)} alarms, "
             f"{len(drift.findings)} data findings")  # fmt: skip
        current = served_rows.x[-PICTURE_ROWS_MAX:]
        drawn = picture.draw(
            usual.names, current, usual.drawn(picture.REFERENCE_ROWS), run / pages.PICTURE_PAGE
        )
        notes += drift.notes
    document = {
        "model": model,
        "at": at.isoformat(timespec="seconds"),
        "reference": number,
        "champion": champion,
        "predictions": served,
        "joined": joined.results,
        "joined_now": joined.new,
        "waiting": joined.waiting,
        **_of_drift(drift, usual),
        "evidently": None if drawn is None else asdict(drawn),
        "quality": judged,
        "paired": paired,
        "loss": loss,
        "notes": notes,
    }
    if loss is not None and loss["asks"]:
        document["retrain"] = "; ".join(filter(None, [document["retrain"], _loses(loss)]))
    page = pages.write_run(run, document)
    index = pages.write_index(folder)
    report = run / pages.PICTURE_PAGE if drawn is not None else page
    return document | {"report": str(report), "page": str(page), "index": str(index)}


def _loses(loss: dict[str, Any]) -> str:
    return (
        f"version {loss['version']} forecasts worse than the class shares alone, by at least "
        f"{loss['low']:.4f} nats on {loss['days']} days"
    )


def _of_drift(drift: Drift | None, usual: Usual | None) -> dict[str, Any]:
    if drift is None or usual is None:
        empty: dict[str, Any] = {key: [] for key in ("drifted", "days", "alarms", "integrity")}
        zero = {"rows": 0, "features": 0, "drifted_features": 0, "threshold": None}
        return empty | zero | {"power": {}, "retrain": ""}
    recent = {unit.day for unit in drift.units[-ASK_OF:]}
    # what is broken today differs from training, too, even if no day can be judged yet
    since = min((u.since for u in drift.units[-ASK_OF:]), default="")
    broken = {f.feature for f in drift.findings if f.feature and f.day >= since}
    drifted = sorted({a.feature for a in drift.alarms if a.day in recent} | broken)
    return {
        "rows": drift.rows,
        "features": len(usual.names),
        "drifted_features": len(drifted),
        "drifted": drifted,
        "retrain": ask_for_training(drift),
        "threshold": round(usual.threshold, 4) if usual.judged else None,
        "alarms": [asdict(alarm) for alarm in drift.alarms],
        "integrity": [asdict(finding) for finding in drift.findings],
        "days": drift.days,
        "power": drift.power,
    }


def ask_for_training(drift: Drift) -> str:
    """Return why drift asks for a retraining, empty if it does not."""
    dirty = {finding.day for finding in drift.findings}
    clean = [u.day for u in drift.units if not any(u.since <= day <= u.day for day in dirty)]
    clean = clean[-ASK_OF:]
    alarmed = Counter(alarm.day for alarm in drift.alarms)
    days = [day for day in clean if alarmed[day]]
    if len(days) < ASK_DAYS:
        return ""
    return f"drift on {len(days)} of the last {len(clean)} clean days ({', '.join(days)})"


def find_drift(
    usual: Usual,
    served: records.Rows,
    reference: Known,
    store: CandleStore,
    dataset: str | None = None,
) -> Drift:
    """Check served features as data, then judge their days."""
    units, few = usual.units(served.x, served.day)
    found = [finding for unit in units for finding in integrity.findings(unit, usual)]
    if few is not None:
        found += integrity.findings(few, usual, whole=False)
    found += _of_rows(usual, served, reference, store, dataset)
    notes = []
    if not usual.judged:
        notes.append(
            f"drift has no threshold: {usual.days} training days; the data checks still hold"
        )
    if few is not None:
        notes.append(
            f"{few.rows} rows wait: a day is judged from {usual.rows_needed} rows on, as training "
            f"days have {usual.rows_a_day}"
        )
    return Drift(
        units=units,
        rows=len(served.keys),
        findings=sorted(found, key=lambda f: (f.day, f.kind, f.feature)),
        alarms=[alarm for unit in units for alarm in usual.alarms(unit)],
        days=told(units, usual),
        power=usual.power(),
        notes=notes,
    )


def _of_rows(
    usual: Usual, served: records.Rows, reference: Known, store: CandleStore, dataset: str | None
) -> list[Finding]:
    """Check what needs to know whose row it is, day by day."""
    official = _official(served, usual.names, reference, store, dataset)
    found = []
    for number in np.unique(served.day):
        rows = np.flatnonzero(served.day == number)
        day = days_of(np.array([number], dtype=np.int64))[0].isoformat()
        keys = [served.keys[i] for i in rows]
        x, ms = served.x[rows], served.candle_ms[rows]
        found += integrity.stale_rows(day, keys, ms, x)
        found += integrity.unknown_keys(day, keys, reference.universe)
        truth = {place: official[i] for place, i in enumerate(rows.tolist()) if i in official}
        found += integrity.not_official(day, x, truth, usual)
    return found


def _official(
    served: records.Rows,
    names: Sequence[str],
    reference: Known,
    store: CandleStore,
    dataset: str | None,
) -> dict[int, Floats]:
    """Return the features of some rows of each day as the stored candles give them.

    Rows whose candle is not stored, or too early in the record, are left out.
    """
    place = {feature.name: i for i, feature in enumerate(FEATURES)}
    columns = [place[name] for name in names]
    by_key: dict[str, list[int]] = {}
    for number in np.unique(served.day):
        rows = np.flatnonzero(served.day == number)
        for i in rows[:: -(-len(rows) // COMPARED_ROWS_MAX)].tolist():
            by_key.setdefault(served.keys[i], []).append(i)
    found: dict[int, Floats] = {}
    for key, mine in sorted(by_key.items()):
        held = candles_of(store, reference, key, np.sort(served.candle_ms[mine]), dataset)
        if held is None:
            continue
        ms = ts_ms(held[1])
        arrays = CandleArrays(ms, *(held[1][name].to_numpy(dtype=np.float64) for name in VALUES))
        for row in mine:
            end = int(np.searchsorted(ms, served.candle_ms[row], side="right"))
            if end >= WINDOW and ms[end - 1] == served.candle_ms[row]:
                found[row] = features_last(arrays.part(end - WINDOW, end))[columns]
    return found


def _since(connection: Any) -> str:
    """Return the first of the last `DRIFT_DAYS` days that were served."""
    days = connection.execute(
        "SELECT day FROM (SELECT DISTINCT day FROM served) ORDER BY day DESC LIMIT ?", [DRIFT_DAYS]
    ).fetchall()
    return str(days[-1][0]) if days else "9999-12-31"
