"""What a worker tells the operator: the kinds of alerts, and those that figures over time give.

Pure. The table is the documentation: `docs/serving.md` prints it, a test compares. Most kinds are
raised where they happen; error rate, latency and full queues can only be seen from outside, by
comparing figures of now with those of a while ago: `Vigil`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Each kind with what it means and what to do.
KINDS: dict[str, str] = {
    "load-failed": "A version's files or a plan cannot be used; what was served goes on. "
    "Look at `last_error` of the model; release it again.",
    "golden-mismatch": "A version does not reproduce its golden answer: other code, library or "
    "features than at training. It stays out; train or release it again.",
    "plan-not-followed": "The newest plan waits for a version that does not stand; the one before "
    "it answers. Mend the version or roll back.",
    "error-rate": "Too many requests of a model ended with 503. See `ratchet_refusals_total`.",
    "latency": "The slowest hundredth of a model's answers takes too long. Look for other work "
    "on the machine; add workers.",
    "stuck-output": "A version says the same to many different questions. Roll back.",
    "bad-output": "A version answered no probabilities; callers got HOLD. Roll back.",
    "shadow-full": "Shadow rows were dropped; answers are not affected, comparisons are.",
    "shadow-failed": "A shadow version cannot score a row.",
    "log-full": "Records of the prediction log were dropped: is the disk full?",
    "follower-failed": "A look at the serving folder failed in an unforeseen way.",
    "internal": "A request hit a fault of ours and got 503. Report it with the service's log.",
}
REQUESTS_MIN = 20  # fewer say nothing about a rate

Raised = tuple[str, str, str]  # kind, model ("" for the worker), what


@dataclass(frozen=True, slots=True)
class ModelReading:
    """Counters of one model.

    Parameters
    ----------
    requests, errors : answers and refusals; those with a 5xx status
    latency_buckets : answers per bucket of `edges_ms`, the last one open-ended
    """

    requests: int
    errors: int
    latency_buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters of one worker at an instant.

    Parameters
    ----------
    at_s : monotonic seconds
    """

    at_s: float
    models: Mapping[str, ModelReading]
    shadow_dropped: int
    log_dropped: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """From where figures are an alert.

    Parameters
    ----------
    window_s : seconds that a rate is taken over
    error_share : of a model's requests, 0 to 1
    p99_ms : milliseconds
    """

    window_s: float = 60.0
    error_share: float = 0.01
    p99_ms: float = 50.0


class Vigil:
    """Compares readings; an alert is raised when a figure crosses its bound, once.

    It is armed again when the figure has come back. A queue that goes on dropping is told again
    for every window, because each drop is a loss.

    Parameters
    ----------
    edges_ms : upper edges of the latency buckets, milliseconds
    """

    def __init__(self, bounds: Bounds, edges_ms: Sequence[float]) -> None:
        self._bounds = bounds
        self._slow_from = bisect_left(edges_ms, bounds.p99_ms) + 1
        self._readings: deque[Reading] = deque()
        self._raised: dict[tuple[str, str], float] = {}

    def look(self, now: Reading) -> list[Raised]:
        """Take a reading; return what is to be told."""
        self._readings.append(now)
        oldest_s = now.at_s - self._bounds.window_s
        while len(self._readings) > 1 and self._readings[1].at_s <= oldest_s:
            self._readings.popleft()
        then = self._readings[0]
        found = [*self._queues(then, now)]
        for model, figures in now.models.items():
            found += self._model(model, then.models.get(model), figures)
        return found

    def _queues(self, then: Reading, now: Reading) -> list[Raised]:
        dropped = {
            "shadow-full": now.shadow_dropped - then.shadow_dropped,
            "log-full": now.log_dropped - then.log_dropped,
        }
        found: list[Raised] = []
        for kind, count in dropped.items():
            last_s = self._raised.get((kind, ""))
            again = last_s is None or now.at_s - last_s >= self._bounds.window_s
            if count and again:
                self._raised[kind, ""] = now.at_s
                found.append((kind, "", f"{count} dropped within {self._window(then, now)}"))
        return found

    def _model(self, model: str, then: ModelReading | None, now: ModelReading) -> list[Raised]:
        if then is None:
            then = ModelReading(0, 0, (0,) * len(now.latency_buckets))
        requests, errors = now.requests - then.requests, now.errors - then.errors
        answers = sum(now.latency_buckets) - sum(then.latency_buckets)
        slow = sum(now.latency_buckets[self._slow_from :])
        slow -= sum(then.latency_buckets[self._slow_from :])
        told = (
            ("error-rate", errors, requests, self._bounds.error_share, "ended with 503"),
            ("latency", slow, answers, 0.01, f"took more than {self._bounds.p99_ms:g} ms"),
        )
        found: list[Raised] = []
        for kind, bad, of, share, what in told:
            over = of >= REQUESTS_MIN and bad > share * of
            if over and (kind, model) not in self._raised:
                self._raised[kind, model] = 0.0
                found.append((kind, model, f"{bad} of {of} requests {what}"))
            elif not over:
                self._raised.pop((kind, model), None)
        return found

    @staticmethod
    def _window(then: Reading, now: Reading) -> str:
        return f"{now.at_s - then.at_s:.0f} s"
