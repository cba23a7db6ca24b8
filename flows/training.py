"""Train one version: candles to samples, folds, gates, a bundle, the registry. No Prefect here.

Always ends in a registered version with its gates' figures, unless the data refuse. The alias
`challenger` goes to a version only when the statistical gate passes. One training of a model at a
time; a crash leaves at most a temporary folder, which the next training removes.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from importlib import resources
from typing import Any

import numpy as np

from agent.errors import Refused, SettingRefused
from agent.trailing.policy import Policy
from bentos.decision import CLASSES
from bentos.features import CONTEXT, WINDOW, features_last, features_sha256, manifest
from flows import bundle, gates, golden, locks, model, trials
from flows.data.frame import INTERVAL_MS, days_of
from flows.data.manifest import Manifest
from flows.data.store import CandleStore
from flows.gates import Gate
from flows.home import Home
from flows.labels import LabelSettings
from flows.model import Fitted, Recipe
from flows.reference import reference, training_range
from flows.registry import Registry, Version, check_name
from flows.revision import code_revision
from flows.rival import against_champion
from flows.samples import Each, Samples, Work, arrays_of, assemble, feature_names
from flows.validation import economic, forecast
from flows.validation.sharpe import sharpe
from flows.validation.walk import Entries, Tell, Walked, results_of, walk

# A signal of a day candle must outlive the longest run of holidays; inside the day it is for the
# next candle only.
DAY_SIGNAL_S = 5 * 86_400
BOUNDARY_DAYS = 5
EXERCISE = "an exercise: a model without an edge trades only for the plumbing, on paper"


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """What to train.

    Parameters
    ----------
    dataset : str
    model : str
    policy : Policy or None
        None is the packaged one for the dataset's interval.
    recipe : Recipe
    entries : Entries
    symbols : tuple of str or None
        None is all of the dataset.
    first, last : date or None, both inclusive
    folds, seed : int
    labels : LabelSettings
    """

    dataset: str
    model: str
    policy: Policy | None = None
    recipe: Recipe = field(default_factory=Recipe)
    entries: Entries = field(default_factory=Entries)
    symbols: tuple[str, ...] | None = None
    first: date | None = None
    last: date | None = None
    folds: int = 5
    seed: int = 1
    labels: LabelSettings = field(default_factory=LabelSettings)


def packaged_policy(interval: str) -> Policy:
    """Return the policy that comes with Ratchet for an interval."""
    name = "daily.toml" if interval == "day" else "intraday.toml"
    text = (resources.files("flows") / "policies" / name).read_text(encoding="utf-8")
    return Policy.parse(text, source=f"packaged {name}")


def train_model(
    home: Home, settings: TrainSettings, tell: Tell, *, each: Each = map
) -> dict[str, Any]:
    """Train, judge and register one version.

    Parameters
    ----------
    home : Home
    settings : TrainSettings
    tell : callable
        Gets one line for each step.
    each : callable
        Applies a function to all symbols: `map`, or a task runner's.

    Returns
    -------
    dict : the document that `ratchet train --json` prints (docs/validation.md)

    Raises
    ------
    agent.errors.Refused
        If the dataset's path inside the day is simulated, or this model is being trained already.
    agent.errors.SettingRefused
        If the dataset, a symbol, the policy or a parameter cannot be used, or the history is too
        short.
    agent.errors.EnvironmentRefused
        If the registry or the home cannot be used.
    """
    started = time.monotonic()
    check_name(settings.model)
    lock = home.locks / f"train-{settings.model}.lock"
    with locks.held(lock, what=f"train model {settings.model}"):
        run = _Run(home, settings, tell)
        try:
            document = run.train(each)
        finally:
            shutil.rmtree(run.folder, ignore_errors=True)
    return document | {"seconds": round(time.monotonic() - started, 1)}


class _Run:
    """One training under its lock: what its steps share."""

    def __init__(self, home: Home, settings: TrainSettings, tell: Tell) -> None:
        self.home, self.settings, self.tell = home, settings, tell
        self.registry = Registry(home)
        self.registry.versions(settings.model)  # gone or misnamed is told before the work
        self.store = CandleStore(home)
        self.data = usable(self.store.manifest(settings.dataset))
        self.policy = settings.policy or packaged_policy(self.data.interval)
        self.folder = home.tmp / f"train-{settings.model}"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def train(self, each: Each) -> dict[str, Any]:
        settings = self.settings
        samples = self._samples(each)
        walked = walk(
            samples,
            settings.recipe,
            folds=settings.folds,
            seed=settings.seed,
            entries=settings.entries,
            tell=self.tell,
        )
        rival = self._rival(samples, walked)
        self.tell("fitting on all rows")
        fitted = model.fit(
            samples.rows,
            feature_names(),
            settings.recipe,
            seed=settings.seed,
            rounds=walked.rounds,
        )
        version = self._version(samples, walked, fitted)
        window = samples.parts[0].tail
        answer = golden.golden_answer(fitted.text(), version, window)
        same = golden.reproduces(answer, _last_p(fitted, window))
        measured = self._measured(samples, walked)
        judged = self._judged(measured, walked, samples, same)
        made = bundle.write_bundle(
            self.folder / "bundle",
            model=fitted.text(),
            version=version | self._verdict(judged),
            policy=self.policy.text,
            golden={
                "request": golden.golden_request(samples.symbols[0], window),
                "expected": answer,
            },
            reference=reference(samples.x, samples.labels.day, feature_names()),
        )
        golden.prove(made.folder)
        document = self._document(samples, walked, measured, judged, made) | {"champion": rival}
        return self._registered(made, document, judged)

    def _samples(self, each: Each) -> Samples:
        settings, data = self.settings, self.data
        symbols = sorted(set(settings.symbols or data.symbols))
        self.tell(f"labelling {len(symbols)} symbols of {data.dataset} ({data.interval} candles)")
        works = [
            Work(
                code,
                symbol,
                partial(
                    read_symbol, self.store, data.dataset, symbol, settings.first, settings.last
                ),
                data.interval,
                self.policy,
                settings.labels,
            )
            for code, symbol in enumerate(symbols)
        ]
        samples = assemble(works, each=each)
        share = samples.labels.ambiguous.mean()
        self.tell(f"{len(samples)} labels, {share:.0%} with an ambiguous exit (half weight)")
        return samples

    def _rival(self, samples: Samples, walked: Walked) -> dict[str, Any] | None:
        settings = self.settings
        run = {
            "recipe": settings.recipe.told(),
            "folds": settings.folds,
            "seed": settings.seed,
            "tmp": self.folder,
        }
        return against_champion(self.registry, settings.model, samples, walked, run, self.tell)

    def _version(self, samples: Samples, walked: Walked, fitted: Fitted) -> dict[str, Any]:
        """Return `version.json` without its verdict; holds no time, so that it repeats."""
        settings, data, rows = self.settings, self.data, walked.forecast.row
        payoff = model.payoff_of(
            walked.forecast.p,
            samples.rows.at(rows),
            samples.labels.r_long[rows],
            samples.labels.r_short[rows],
        )
        last_day = days_of(samples.labels.day[[samples.labels.day.argmax()]])[0]
        inside_s = INTERVAL_MS[data.interval] // 1000
        return {
            "name": settings.model,
            "interval": data.interval,
            "window": WINDOW,
            "features": manifest(),
            "features_sha256": features_sha256(),
            "classes": list(CLASSES),
            "payoff": payoff,
            "rule": settings.entries.rule(walked.latest_p, payoff),
            "valid_for_s": DAY_SIGNAL_S if data.interval == "day" else inside_s,
            "training_range": training_range(samples.x, feature_names()),
            "universe": list(samples.symbols),
            "context": list(CONTEXT),
            "data": self._data(samples),
            "recipe": settings.recipe.told() | {"rounds": fitted.rounds},
            "labels": settings.labels.told(),
            "entries": settings.entries.told(),
            "folds": settings.folds,
            "seed": settings.seed,
            "code_revision": code_revision(),
            "trained_through": last_day.isoformat(),
        }

    def _data(self, samples: Samples) -> dict[str, Any]:
        data, settings = self.data, self.settings
        days = np.concatenate([part.days for part in samples.parts])
        first, last = days_of(np.array([days.min(), days.max()]))
        return {
            "dataset": data.dataset,
            "source": data.source,
            "interval": data.interval,
            "fingerprint": data.fingerprint,
            "adjustment": data.adjustment,
            "notes": data.notes,
            "symbols": list(samples.symbols),
            "first": first.isoformat(),
            "last": last.isoformat(),
            "cut": [str(on) if on else None for on in (settings.first, settings.last)],
            "candles": sum(part.candles for part in samples.parts),
            "days": len(np.unique(days)),
            "samples": len(samples),
        }

    def _measured(self, samples: Samples, walked: Walked) -> dict[str, Any]:
        labels, settings = samples.labels, self.settings
        trades = economic.trades_of(results_of(samples, walked))
        lineage = trials.lineage(self.data.dataset, self.data.interval)
        tried = {
            "recipe": settings.recipe.told(),
            "policy": self.policy.sha256,
            "labels": settings.labels.told(),
            "entries": settings.entries.told(),
            "symbols": list(samples.symbols),
            "seed": settings.seed,
        }
        ratio = {trials.trial_key(tried): sharpe(trades.daily_bp)}
        ledger = self.registry.change_tag(
            settings.model, trials.TAG, partial(_counted, of=lineage, sharpes=ratio)
        )
        known = trials.read(ledger, lineage)
        money = economic.measure(
            trades, trials=known.count, trial_variance=known.variance, seed=settings.seed
        )
        held = economic.buy_and_hold(
            [(part.days, part.closes) for part in samples.parts], trades.days
        )
        shares = np.bincount(labels.y, minlength=len(CLASSES)) / len(labels)
        return {
            "forecast": forecast.measure(walked.forecast, seed=settings.seed),
            "calibration": forecast.calibration(walked.forecast),
            "labels": {
                "rows": len(labels),
                "share": dict(zip(CLASSES, shares.tolist(), strict=True)),
                "ambiguous": float(labels.ambiguous.mean()),
                "r_long_mean": float(labels.r_long.mean()),
                "r_short_mean": float(labels.r_short.mean()),
            },
            "economic": money | held,
            "boundary_errors": forecast.edge_after_boundary(
                walked.forecast, walked.starts, days=BOUNDARY_DAYS
            ),
        }

    def _judged(
        self, measured: dict[str, Any], walked: Walked, samples: Samples, same: bool
    ) -> dict[str, Gate]:
        seen = gates.Evidence(
            figures=measured["forecast"],
            fold_gains=[fold["log_loss_gain"] for fold in walked.folds],
            calibration_error=measured["calibration"]["error"],
            boundary_errors=measured["boundary_errors"],
            causal_rows=sum(part.causal_rows for part in samples.parts),
            golden=same,
            days=len(np.unique(walked.forecast.day)),
            moved=int((walked.forecast.y != forecast.FLAT).sum()),
        )
        judged = {
            "statistical": gates.statistical(seen),
            "economic": gates.economic(measured["economic"]),
        }
        for name, gate in judged.items():
            self.tell(f"{name} gate {gate.verdict}: {gate.why}")
        return judged

    def _verdict(self, judged: dict[str, Gate]) -> dict[str, Any]:
        exercise = self.settings.entries.kind == "top_share"
        where = gates.allowed(judged["statistical"], judged["economic"], exercise=exercise)
        told: dict[str, Any] = {
            "gates": {name: gate.told() for name, gate in judged.items()},
            "allowed": where,
        }
        return told | {"exercise": EXERCISE} if exercise else told

    def _document(
        self,
        samples: Samples,
        walked: Walked,
        measured: dict[str, Any],
        judged: dict[str, Gate],
        made: bundle.Bundle,
    ) -> dict[str, Any]:
        statistical = judged["statistical"]
        return {
            "model": self.settings.model,
            "version": None,
            "model_sha256": made.model_sha256,
            "data": self._data(samples),
            "folds": walked.folds,
            "metrics": measured,
            "gates": {name: gate.told() for name, gate in judged.items()},
            "alias": "challenger" if statistical.passed else None,
            "allowed": made.version["allowed"],
            "exercise": made.version.get("exercise"),
            "refused": None if statistical.passed else f"statistical: {statistical.why}",
        }

    def _registered(
        self, made: bundle.Bundle, document: dict[str, Any], judged: dict[str, Gate]
    ) -> dict[str, Any]:
        settings = self.settings
        self.tell("registering")
        kept: Version = self.registry.register(
            settings.model,
            made.folder,
            flat_figures(document["metrics"]),
            {"ratchet.entries": settings.entries.told()},
            {
                "recipe": bundle.compact(settings.recipe.told()),
                "dataset": settings.dataset,
                "policy": self.policy.source,
                "entries": settings.entries.told(),
                "folds": settings.folds,
                "seed": settings.seed,
            },
        )
        if judged["statistical"].passed:
            self.registry.set_alias(settings.model, "challenger", kept.version)
        return document | {"version": kept.version}


def usable(data: Manifest) -> Manifest:
    """Return a dataset's manifest if models may learn from it.

    Raises
    ------
    agent.errors.Refused
        If a simulator drew the path inside the day: it leaks the day's range (docs/validation.md).
    """
    if data.simulated_path:
        raise Refused(
            f"refused: simulated path: the candles of dataset {data.dataset} were drawn inside "
            "real days; never for training, never for a gate; train on the days they came from"
        )
    return data


def read_symbol(
    store: CandleStore, dataset: str, symbol: str, first: date | None, last: date | None
) -> Any:
    """Return one symbol's candles; a file that is damaged is one clear error.

    Raises
    ------
    agent.errors.SettingRefused
        If the candles cannot be read.
    """
    try:
        return store.read(dataset, [symbol], first, last)
    except (ValueError, KeyError, OSError) as fault:
        raise SettingRefused(
            f"candles of {symbol} in dataset {dataset}",
            given=f"{type(fault).__name__}: {str(fault).splitlines()[0] if str(fault) else ''}",
            allowed="the files that its manifest names, whole",
            fix=f"remove candles/{dataset} under the home and ingest it again",
        ) from fault


def flat_figures(metrics: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the numbers of nested documents under dotted names; lists are left out."""
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            flat |= flat_figures(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[f"{prefix}{name}"] = float(value)
    return flat


def _counted(text: str | None, *, of: str, sharpes: dict[str, float]) -> str:
    return trials.counted(text, of, sharpes)


def _last_p(fitted: Fitted, window: Any) -> Any:
    return fitted.predict(features_last(arrays_of(window))[None, :])[0]
