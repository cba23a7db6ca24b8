"""What one worker has done, in figures: counters, latencies, Prometheus text.

Our own, because BentoML labels by raw path (clients would grow the series) and costs 130 us a
request. Labels come from a fixed set: models served, statuses, problem kinds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bentos import alerts
from bentos.problems import KINDS

BUCKETS_MS = (0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000)
RECENT = 2_000


@dataclass(slots=True)
class ModelFigures:
    """What one model has answered in this worker."""

    answers: Counter[tuple[int, str]] = field(default_factory=Counter)  # (version, variant)
    refusals: Counter[str] = field(default_factory=Counter)  # problem kind
    sides: Counter[str] = field(default_factory=Counter)
    cached: int = 0
    latency_buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_MS) + 1))
    latency_ms_sum: float = 0.0
    recent_ms: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def answered(self, version: int, variant: str, side: str, latency_ms: float) -> None:
        """Count one answer."""
        self.answers[version, variant] += 1
        self.sides[side] += 1
        self.latency_buckets[bisect_left(BUCKETS_MS, latency_ms)] += 1
        self.latency_ms_sum += latency_ms
        self.recent_ms.append(latency_ms)

    @property
    def errors(self) -> int:
        """Refusals that are our fault or an overload: 5xx."""
        return sum(n for kind, n in self.refusals.items() if KINDS[kind][0] >= 500)

    @property
    def requests(self) -> int:
        """Answers and refusals."""
        return self.answers.total() + self.refusals.total()

    def percentiles(self) -> dict[str, float | None]:
        """Return latencies of the last answers, milliseconds."""
        ordered = sorted(self.recent_ms)
        shares = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
        return {name: _at(ordered, share) for name, share in shares.items()}


def _at(ordered: list[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else None


class Figures:
    """The figures of one worker."""

    def __init__(self, worker: int) -> None:
        self.worker = worker
        self.models: dict[str, ModelFigures] = {}
        self.statuses: Counter[int] = Counter()
        # from 0 on: an increase from nothing to 1 is none to Prometheus
        self.alerts: Counter[str] = Counter(dict.fromkeys(alerts.KINDS, 0))

    def of(self, model: str) -> ModelFigures:
        """Return the figures of a served model."""
        found = self.models.get(model)
        return found if found is not None else self.models.setdefault(model, ModelFigures())

    def prometheus(
        self,
        gauges: Mapping[str, float],
        models: Mapping[str, Mapping[str, float]] | None = None,
    ) -> bytes:
        """Return the text of `/metrics`.

        Parameters
        ----------
        gauges : name without prefix to value, taken now
        models : the same for each model
        """
        worker = {"worker": str(self.worker)}
        text = _Text()
        text.counters("responses_total", "status", self.statuses, worker)
        text.counters("alerts_total", "kind", self.alerts, worker)
        for name, value in gauges.items():
            text.sample(name, "counter" if name.endswith("_total") else "gauge", worker, value)
        for model, said in sorted((models or {}).items()):
            for name, value in said.items():
                text.sample(name, "gauge", {"model": model, **worker}, value)
        for model, own in sorted(self.models.items()):
            labels = {"model": model, **worker}
            for (version, variant), count in sorted(own.answers.items()):
                told = {**labels, "version": str(version), "variant": variant}
                text.sample("answers_total", "counter", told, count)
            text.counters("sides_total", "side", own.sides, labels)
            text.counters("refusals_total", "kind", own.refusals, labels)
            text.sample("cached_total", "counter", labels, own.cached)
            text.histogram("latency_ms", own, labels)
        return text.encoded()


class _Text:
    """Prometheus exposition text; families stay together whatever the order of adding."""

    def __init__(self) -> None:
        self._families: dict[str, list[str]] = {}

    def counters(
        self, name: str, label: str, counts: Counter[Any], labels: Mapping[str, str]
    ) -> None:
        for value, count in sorted(counts.items()):
            self.sample(name, "counter", {**labels, label: str(value)}, count)

    def sample(self, name: str, kind: str, labels: Mapping[str, str], value: float) -> None:
        self._family(name, kind).append(f"ratchet_{name}{_labels(labels)} {value}")

    def histogram(self, name: str, own: ModelFigures, labels: Mapping[str, str]) -> None:
        lines = self._family(name, "histogram")
        total = 0
        edges = [*(f"{b:g}" for b in BUCKETS_MS), "+Inf"]
        for edge, count in zip(edges, own.latency_buckets, strict=True):
            total += count
            lines.append(f"ratchet_{name}_bucket{_labels({**labels, 'le': edge})} {total}")
        lines.append(f"ratchet_{name}_sum{_labels(labels)} {own.latency_ms_sum:.6g}")
        lines.append(f"ratchet_{name}_count{_labels(labels)} {total}")

    def _family(self, name: str, kind: str) -> list[str]:
        return self._families.setdefault(name, [f"# TYPE ratchet_{name} {kind}"])

    def encoded(self) -> bytes:
        return (
            "\n".join(line for family in self._families.values() for line in family) + "\n"
        ).encode()


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) + "}" if labels else ""
