"""Run the folds: fit, tune, test each step forward, and keep what the models had not seen.

Knows samples and models, no registry and no gate. A fold's expected results and entry rule come
from its own tuning slice; what its test says changes nothing in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.errors import SettingRefused
from bentos.decision import Payoff, Rule
from flows import model
from flows.data.frame import days_of
from flows.model import Recipe
from flows.samples import Samples, feature_names
from flows.validation import economic, forecast
from flows.validation.forecast import Forecast
from flows.validation.split import Fold, walk_forward

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

Tell = Callable[[str], None]

MIN_EDGE_R = 0.05


@dataclass(frozen=True, slots=True)
class Entries:
    """When an expected result is worth a trade.

    Parameters
    ----------
    kind : "edge" or "top_share"
    value : float
        Least expected result in R, or the share of the decisions on each side.
    """

    kind: str = "edge"
    value: float = MIN_EDGE_R

    @classmethod
    def parse(cls, text: str) -> Entries:
        """Read `edge`, `edge=0.1` or `top-share=0.2`.

        Raises
        ------
        agent.errors.SettingRefused
            If it is neither.
        """
        word, _, number = text.partition("=")
        try:
            value = float(number) if number else MIN_EDGE_R
        except ValueError:
            value = float("nan")
        if word == "edge" and np.isfinite(value):
            return cls("edge", value)
        if word == "top-share" and number and 0 < value <= 0.5:
            return cls("top_share", value)
        raise SettingRefused(
            "--entries",
            given=text,
            allowed="edge, edge=R (a least expected result), or top-share=S with 0 < S <= 0.5",
            fix="write for example top-share=0.2",
        )

    def rule(self, p: Floats, payoff: Payoff) -> Rule:
        """Return the rule, its thresholds from predictions on rows the model has not seen."""
        if self.kind == "edge":
            return Rule(kind="edge", min_edge=self.value)
        return model.top_share_rule(p, payoff, self.value)

    def told(self) -> str:
        """Return the text that `parse` reads."""
        return f"{self.kind.replace('_', '-')}={self.value:g}"


@dataclass(frozen=True, slots=True)
class Walked:
    """What came of all folds.

    Parameters
    ----------
    forecast : Forecast of all tests, by time
    side : int64 array of shape (n_test,), what each fold's rule said: +1, -1, 0
    folds : list of documents, one a fold
    starts : first day number of each test
    rounds : median of the folds' rounds
    """

    forecast: Forecast
    side: Ints
    folds: list[dict[str, Any]]
    starts: list[int]
    rounds: int

    @property
    def latest_p(self) -> Floats:
        """Probabilities of the last test: scores drift with volatility, the newest are nearest."""
        return self.forecast.p[self.forecast.day >= self.starts[-1]]


def walk(
    samples: Samples,
    recipe: Recipe,
    *,
    folds: int,
    seed: int,
    entries: Entries,
    tell: Tell,
) -> Walked:
    """Validate a recipe by purged walk-forward.

    Raises
    ------
    agent.errors.SettingRefused
        If the history is too short for the folds, or a class is missing in one.
    """
    parts, said, told, starts, rounds = [], [], [], [], []
    for number, fold in enumerate(walk_forward(samples.lives, folds=folds), start=1):
        fitted = model.fit(
            samples.rows.at(fold.fit),
            feature_names(),
            recipe,
            seed=seed,
            tune=samples.rows.at(fold.tune),
        )
        part, side = _test(samples, fold, fitted, entries)
        document = _told(samples, fold, part, fitted.rounds, seed) | {"fold": number}
        tell(
            f"fold {number}/{folds}: {document['from']} to {document['to']}, "
            f"skill {document['skill']:+.2%}, direction AUC {document['direction_auc']:.3f}"
        )
        parts.append(part)
        said.append(side)
        told.append(document)
        starts.append(int(samples.labels.day[fold.test].min()))
        rounds.append(fitted.rounds)
    return Walked(
        forecast.joined(parts), np.concatenate(said), told, starts, int(np.median(rounds))
    )


def results_of(samples: Samples, walked: Walked) -> economic.Results:
    """Return what each tested decision would have brought."""
    labels = samples.labels.at(walked.forecast.row)
    return economic.Results(
        side=walked.side,
        r_long=labels.r_long,
        r_short=labels.r_short,
        bp_long=labels.bp_long,
        bp_short=labels.bp_short,
        symbol=labels.symbol,
        day=labels.day,
        entry_ms=labels.entry_ms,
        exit_long_ms=labels.exit_long_ms,
        exit_short_ms=labels.exit_short_ms,
    )


def _test(
    samples: Samples, fold: Fold, fitted: model.Fitted, entries: Entries
) -> tuple[Forecast, Ints]:
    labels, rows = samples.labels, samples.rows
    p_tune = fitted.predict(samples.x[fold.tune])
    payoff = model.payoff_of(
        p_tune, rows.at(fold.tune), labels.r_long[fold.tune], labels.r_short[fold.tune]
    )
    rule = entries.rule(p_tune, payoff)
    p = fitted.predict(samples.x[fold.test])
    er_long, er_short = model.expected(p, payoff)
    part = Forecast(
        p=p,
        prior=np.tile(fitted.prior, (len(p), 1)),
        y=labels.y[fold.test],
        r_long=labels.r_long[fold.test],
        r_short=labels.r_short[fold.test],
        lean=er_long - er_short,
        weight=samples.weight[fold.test],
        day=labels.day[fold.test],
        row=fold.test,
    )
    return part, model.sides(p, payoff, rule)


def _told(samples: Samples, fold: Fold, part: Forecast, rounds: int, seed: int) -> dict[str, Any]:
    first, last = days_of(np.array([part.day.min(), part.day.max()]))
    before = samples.labels.day < part.day.min()
    return {
        "from": first.isoformat(),
        "to": last.isoformat(),
        "rows": {
            "fit": len(fold.fit),
            "tune": len(fold.tune),
            "test": len(fold.test),
            "purged": int(before.sum()) - len(fold.fit) - len(fold.tune),
        },
        "rounds": rounds,
        **forecast.measure(part, seed=seed),
    }
