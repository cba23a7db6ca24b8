"""The figures of a worker: exact counters, latencies, text that Prometheus reads."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from bentos.metrics import Figures, ModelFigures


def test_prometheus_reads_what_was_counted() -> None:
    figures = Figures(worker=2)
    figures.statuses[200] += 1_234_567
    own = figures.of("tiny")
    for i in range(10):
        own.answered(1 + i % 2, "champion", "BUY", i / 2)
    own.refusals["field-invalid"] += 3
    text = figures.prometheus({"ready": 1.0, "log_written_total": 7}).decode()
    samples = {
        (s.name, *sorted(s.labels.items())): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }
    w, m = ("worker", "2"), ("model", "tiny")
    assert samples["ratchet_responses_total", ("status", "200"), w] == 1_234_567
    answers = samples["ratchet_answers_total", m, ("variant", "champion"), ("version", "1"), w]
    assert answers == 5
    assert samples["ratchet_refusals_total", ("kind", "field-invalid"), m, w] == 3
    assert samples["ratchet_latency_ms_count", m, w] == 10
    assert samples["ratchet_latency_ms_sum", m, w] == 22.5
    assert samples["ratchet_latency_ms_bucket", ("le", "1"), m, w] == 3
    assert samples["ratchet_latency_ms_bucket", ("le", "+Inf"), m, w] == 10
    assert samples["ratchet_ready", w] == 1
    assert own.requests == 13


def test_percentiles_are_those_of_the_recent_answers() -> None:
    own = ModelFigures()
    assert own.percentiles() == {"p50": None, "p99": None, "p99.9": None}
    for i in range(1_000):
        own.answered(1, "champion", "HOLD", float(i))
    assert own.percentiles() == {"p50": 500.0, "p99": 990.0, "p99.9": 999.0}
