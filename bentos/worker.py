"""One worker's served models: a checked question in, an answer out, one record in the log.

Order of a request: choose the version (split or pin), features, one library call, checks, answer,
log, shadows. Synchronous and short: the event loop calls it in the turn that lanes.py gave.
"""

from __future__ import annotations

import gc
import hashlib
import os
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bentos.alerts import Bounds, ModelReading, Reading, Vigil
from bentos.answer import feature_row, feature_rows, iso_india, moments, prediction, trading_day
from bentos.checks import age_warnings, range_warnings
from bentos.contract import Question
from bentos.lanes import Lanes
from bentos.log import LogLimits, PredictionLog
from bentos.metrics import BUCKETS_MS, Figures
from bentos.models import Active, Loaded, Model, Pool
from bentos.notify import Notice, Notifier
from bentos.pauses import Pauses
from bentos.problems import LOGGED_CHARACTERS_MAX, Problem, invalid, shown
from bentos.settings import ServingSettings
from bentos.shadow import ShadowRow, Shadows
from bentos.traffic import slot_of
from bentos.windows import Floats

ROUTE_CHARACTERS_MAX = 200
CHALLENGER_MISSING = "challenger-missing: version {} is not loaded; the champion answered"

Probabilities = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with the version that answers it."""

    question: Question
    version: Loaded
    variant: str
    warnings: tuple[str, ...]
    opened_ms: int
    closed_ms: int
    day: str
    started: float  # perf_counter seconds
    row: int | None = None  # place in its batch


class Worker:
    """Everything that one serving process holds.

    Parameters
    ----------
    settings : ServingSettings
    index : int
        The worker's number, from 1; kept over a respawn.
    """

    def __init__(self, settings: ServingSettings, index: int) -> None:
        self.settings = settings
        self.index = index
        self.figures = Figures(index)
        limits = LogLimits(
            settings.log_flush_s,
            settings.log_file_bytes_max,
            settings.log_waiting_max,
            settings.log_keep_days,
        )
        self.log = PredictionLog((settings.home / "predictions").resolve(), index, limits)
        self.pauses = Pauses(self.log.put, index)
        self.log.paused = self.pauses.lasted
        self.pool = Pool(
            lambda: settings.folder,
            only=settings.models,
            retry_s=settings.retry_s,
            bytes_max=settings.model_bytes_max,
            alert=self.alert,
        )
        self.lanes = Lanes(
            settings.waiting_max, settings.waiting_s_max, reading_max=max(1, settings.open_max // 2)
        )
        self.shadows = Shadows(settings.shadow_waiting_max, self.log.put, self.alert)
        alerts = (settings.home / "run" / "alerts").resolve()
        self.notifier = Notifier(settings.alert_hook, settings.alert_every_s, alerts, index)
        self._vigil = Vigil(
            Bounds(settings.alert_window_s, settings.alert_error_share, settings.alert_p99_ms),
            BUCKETS_MS,
        )
        self.open = 0
        self.lag_s = 0.0
        self.gc_pause_s_max = 0.0
        self._collecting_since = 0.0
        self._cache: OrderedDict[bytes, tuple[Floats, Probabilities]] = OrderedDict()
        self._stop = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="follower", daemon=True)

    def start(self) -> None:
        """Load what the folder holds, then watch it; freeze what will live for ever."""
        self.pool.refresh()
        gc.collect()
        gc.freeze()  # a full collection over 300 thousand objects pauses 0.2 s
        gc.set_threshold(50_000, 20, 1_000)
        gc.callbacks.append(self._collected)
        self.log.start()
        self.shadows.start()
        self.notifier.start()
        self._follower.start()

    def _collected(self, phase: str, _: dict[str, int]) -> None:
        """Time the garbage collector: its pauses are the first suspect of a slow answer."""
        if phase == "start":
            self._collecting_since = time.perf_counter()
        else:
            pause_s = time.perf_counter() - self._collecting_since
            self.gc_pause_s_max = max(self.gc_pause_s_max, pause_s)
            self.pauses.lasted("gc", pause_s * 1000)

    def stop(self) -> None:
        """Stop watching, score and write what waits."""
        gc.callbacks.remove(self._collected)
        self._stop.set()
        self._follower.join(5)
        self.shadows.stop()
        self.log.stop()
        self.notifier.stop()

    def _follow(self) -> None:
        while not self._stop.wait(self.settings.poll_s):
            self.look()

    def look(self) -> None:
        """Look at the folder and at the figures once; never raises."""
        try:
            self.pool.refresh()
            for kind, model, what in self._vigil.look(self.reading()):
                self.alert(kind, model, None, what)
        except Exception as fault:  # noqa: BLE001  (the follower must outlive any surprise)
            self.alert("follower-failed", "", None, repr(fault))

    def alert(self, kind: str, model: str, version: int | None, what: str) -> None:
        """Tell the operator: one line on stderr, one record, one count, the hook."""
        self.figures.alerts[kind] += 1
        self.notifier.put(Notice(kind, model, version, what[:LOGGED_CHARACTERS_MAX], time.time()))
        named = f"{model} {version}" if version is not None else model
        print(f"ratchet alert: {kind}: {named}: {what}", file=sys.stderr, flush=True)
        self.log.put(
            {
                "kind": "alert",
                "at_ms": int(time.time() * 1000),
                "alert": kind,
                "model": model,
                "version": version,
                "detail": what[:LOGGED_CHARACTERS_MAX],
                "worker": self.index,
            }
        )

    def served(self, name: str) -> tuple[Model, Active]:
        """Return a model and the plan in force.

        Raises
        ------
        bentos.problems.Problem
            `unknown-model` or `model-not-ready`.
        """
        model = self.pool.models.get(name)
        if model is None:
            known = ", ".join(sorted(self.pool.models)) or "none"
            raise Problem("unknown-model", f"no model of that name is served; served: {known}")
        if model.active is None:
            raise Problem("model-not-ready", f"model {name}: {model.last_error or 'loading'}")
        return model, model.active

    def ask(
        self,
        active: Active,
        question: Question,
        pinned: Loaded | None,
        started: float,
        *,
        row: int | None = None,
    ) -> Asked:
        """Choose the version of a question and check its times.

        Raises
        ------
        bentos.problems.Problem
            `field-invalid`.
        """
        interval = active.shape.interval
        opened, closed = moments(question, interval, int(time.time() * 1000))
        day = trading_day(opened)
        warnings: list[str] = []
        if pinned is not None:
            version, variant = pinned, "pinned"
            if question.candles is not None and len(question.candles) < version.manifest.window:
                needed = f"at least {version.manifest.window} candles: the pinned version's window"
                raise invalid("candles.ts", needed, f"{len(question.candles)} candles")
        else:
            plan = active.plan
            number, variant = plan.choose(slot_of(plan.model, plan.salt, question.key, day))
            chosen = active.versions.get(number)
            if chosen is None:
                warnings.append(CHALLENGER_MISSING.format(number))
                chosen, variant = active.champion, "champion"
            version = chosen
        manifest = version.manifest
        if question.as_of_ms is not None:
            refuse = self.settings.stale == "refuse"
            warnings += age_warnings(
                question.as_of_ms, opened, closed, manifest.valid_for_s, refuse=refuse
            )
        if manifest.universe and question.key not in manifest.universe:
            warnings.append("unknown-key: the version was not trained on this instrument")
        return Asked(question, version, variant, tuple(warnings), opened, closed, day, started, row)

    def answer(self, active: Active, asked: Asked) -> dict[str, Any]:
        """Answer one question; leaves its record in the log and its row with the shadows.

        Raises
        ------
        bentos.problems.Problem
            `field-invalid`, where a value outside the training range is refused by setting.
        """
        key = self._cache_key(asked) if self.settings.cache_answers else None
        held = self._cache.get(key) if key is not None else None
        if held is not None:
            row, p = held
        else:
            row = feature_row(asked.question)
            p = asked.version.scorer.probabilities(row[asked.version.manifest.columns])
            if key is not None:
                self._keep(key, row, p)
        return self._answered(active, asked, row, p, cached=held is not None)

    def answers(self, active: Active, asked: Sequence[Asked]) -> list[dict[str, Any] | Problem]:
        """Answer several questions: together, unless there is one, or answers are kept.

        Returns
        -------
        list of answers, or of the problems that `answer` would have raised
        """
        if len(asked) > 1 and not self.settings.cache_answers:
            return list(self.answers_in_turn(active, asked))
        said: list[dict[str, Any] | Problem] = []
        for one in asked:
            try:
                said.append(self.answer(active, one))
            except Problem as problem:
                said.append(problem)
        return said

    def answers_in_turn(
        self, active: Active, asked: Sequence[Asked]
    ) -> Iterator[dict[str, Any] | Problem]:
        """Answer questions one after the other; features and scores are made for all at once.

        One library call a version.
        """
        rows = feature_rows([one.question for one in asked])
        scored: list[Probabilities] = [(0.0, 0.0, 0.0)] * len(asked)
        for version in {id(one.version): one.version for one in asked}.values():
            places = [i for i, one in enumerate(asked) if one.version is version]
            matrix = rows[places][:, version.manifest.columns]
            for i, p in zip(places, version.booster.probabilities(matrix).tolist(), strict=True):
                scored[i] = (p[0], p[1], p[2])
        for one, row, p in zip(asked, rows, scored, strict=True):
            try:
                yield self._answered(active, one, row, p, cached=False)
            except Problem as problem:
                yield problem

    def _answered(
        self, active: Active, asked: Asked, row: Floats, p: Probabilities, *, cached: bool
    ) -> dict[str, Any]:
        question, manifest = asked.question, asked.version.manifest
        own = row[manifest.columns]
        refuse = self.settings.outside_range == "refuse"
        warnings = [
            *asked.warnings,
            *range_warnings(
                own, manifest.lowest, manifest.highest, manifest.features, refuse=refuse
            ),
        ]
        said, wrong = prediction(manifest, p)
        if wrong:
            warnings.append(wrong)
            self.alert("bad-output", active.plan.model, manifest.number, wrong)
        elif asked.version.watch.seen(own.tobytes(), p):
            self.alert("stuck-output", active.plan.model, manifest.number, f"always {p}")
        said["valid_until"] = iso_india(asked.closed_ms + int(manifest.valid_for_s * 1000))
        latency_ms = round((time.perf_counter() - asked.started) * 1000, 3)
        answer = {
            "request_id": question.request_id,
            "model": active.plan.model,
            "version": manifest.number,
            "variant": asked.variant,
            "plan_revision": active.plan.revision,
            "unit": f"{question.key}|{asked.day}",
            "prediction": said,
            "warnings": warnings,
            "latency_ms": latency_ms,
        }
        if cached:
            answer["cached"] = True
        figures = self.figures.of(active.plan.model)
        figures.answered(manifest.number, asked.variant, said["side"], latency_ms)
        figures.cached += cached
        self._record(active, asked, row, own, answer)
        return answer

    def _record(
        self, active: Active, asked: Asked, row: Floats, own: Floats, answer: dict[str, Any]
    ) -> None:
        question, manifest = asked.question, asked.version.manifest
        record = {
            "kind": "prediction",
            "at_ms": int(time.time() * 1000),
            **answer,
            "key": question.key,
            "day": asked.day,
            "candle_ms": asked.opened_ms,
            "closed_ms": asked.closed_ms,
            "as_of_ms": question.as_of_ms,
            "ticks": question.ticks,
            "row": asked.row,
            "features": (manifest.features, own),
            "worker": self.index,
        }
        self.log.put(record)
        others = tuple(v for n, v in active.versions.items() if n != manifest.number)
        if others:
            self.shadows.put(ShadowRow(others, row, record))

    def _keep(self, key: bytes, row: Floats, p: Probabilities) -> None:
        self._cache[key] = (row, p)
        if len(self._cache) > self.settings.cache_answers:
            self._cache.popitem(last=False)

    def _cache_key(self, asked: Asked) -> bytes:
        """Hash the checked content, never a time stamp alone: a corrected candle is a new one."""
        question, manifest = asked.question, asked.version.manifest
        said = hashlib.blake2b(digest_size=16)
        said.update(f"{manifest.name}\x1f{manifest.said['model_sha256']}".encode())
        if question.candles is not None:
            c = question.candles
            for column in (c.ts_ms, c.open, c.high, c.low, c.close, c.volume):
                said.update(column.tobytes())
        if question.features is not None:
            said.update(question.features.tobytes())
        for name, c in sorted(question.context.items()):
            said.update(name.encode())
            for column in (c.ts_ms, c.open, c.high, c.low, c.close, c.volume):
                said.update(column.tobytes())
        return said.digest()

    def refused(self, route: str, model: str, problem: Problem, request_id: str) -> None:
        """Count a refusal and leave its record."""
        if model in self.pool.models:
            self.figures.of(model).refusals[problem.kind] += 1
        found = problem.found
        self.log.put(
            {
                "kind": "refusal",
                "at_ms": int(time.time() * 1000),
                "request_id": request_id,
                "model": shown(model, 64),
                "route": route[:ROUTE_CHARACTERS_MAX],
                "status": problem.status,
                "problem": problem.kind,
                "field": problem.field,
                "detail": shown(problem.detail, LOGGED_CHARACTERS_MAX),
                "found": None if found is None else shown(found, LOGGED_CHARACTERS_MAX),
                "worker": self.index,
            }
        )

    def broke(self, fault: Exception) -> Problem:
        """Tell of a fault of ours; return what the caller is told."""
        traceback.print_exception(fault)
        self.alert("internal", "", None, repr(fault))
        return Problem("internal", "see the service's log")

    def gauges(self) -> dict[str, float]:
        """Return what `/metrics` tells besides counters of answers."""
        gauges: dict[str, float] = {
            "ready": float(not self.unready()),
            "open_requests": self.open,
            "event_loop_lag_seconds": round(self.lag_s, 6),
            "gc_pause_seconds_max": round(self.gc_pause_s_max, 6),
            **{f"pause_{k}_seconds_total": round(s, 6) for k, s in self.pauses.seconds.items()},
            "shadow_scored_total": self.shadows.scored,
            "shadow_dropped_total": self.shadows.dropped,
            "shadow_waiting": self.shadows.waiting,
            "log_written_total": self.log.written,
            "log_dropped_total": self.log.dropped,
            "log_waiting": self.log.waiting,
            "notices_sent_total": self.notifier.sent,
            "notices_failed_total": self.notifier.failed,
            "notices_dropped_total": self.notifier.dropped,
        }
        return gauges

    def model_gauges(self) -> dict[str, dict[str, float]]:
        """Return the same for each model."""
        return {
            name: {
                "model_ready": float(model.active is not None and not model.active.missing),
                "plan_revision": model.active.plan.revision if model.active else 0,
                "plan_newest_revision": model.newest,
            }
            for name, model in self.pool.models.items()
        }

    def reading(self) -> Reading:
        """Return the counters that alerts are judged by."""
        models = {
            name: ModelReading(own.requests, own.errors, tuple(own.latency_buckets))
            for name, own in list(self.figures.models.items())
        }
        return Reading(time.monotonic(), models, self.shadows.dropped, self.log.dropped)

    def unready(self) -> list[str]:
        """Return why this worker should get no traffic; empty where it should."""
        models = self.pool.models
        why = [] if models else ["no model is released"]
        for name, model in models.items():
            if model.active is None:
                why.append(f"{name}: {model.last_error or 'loading'}")
            elif model.active.missing:
                why.append(f"{name}: versions {list(model.active.missing)} are not loaded")
        if self.lag_s > self.settings.lag_s_max:
            why.append(f"the event loop lags by {self.lag_s:.2f} s")
        return why


def new_request_id() -> str:
    """Return an id for a request that came without one."""
    return os.urandom(16).hex()
