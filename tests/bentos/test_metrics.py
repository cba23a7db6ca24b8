"""The figures of a worker: exact counters, latencies, text that Prometheus reads."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from bentos import alerts
from bentos.metrics import Figures, ModelFigures
from bentos.problems import Problem
from tests.bentos.bundles import request, write_model
from tests.bentos.candles import walk
from tests.bentos.test_worker import Desk


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


RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "ratchet.rules.yml"


def test_the_rules_read_what_a_worker_tells(home: Path) -> None:
    """promtool tests the rules on figures of their own (tests/system); the names are ours."""
    write_model(home / "serving", versions=1)
    desk = Desk(home)
    desk.answer(request(walk(60, 1)))
    desk.worker.refused("/", "tiny", Problem("overloaded", "64 wait"), "id")
    desk.worker.figures.statuses[200] += 1
    text = desk.worker.figures.prometheus(desk.worker.gauges(), desk.worker.model_gauges()).decode()
    told = {
        sample.name: sample.labels
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    rules = RULES.read_text()
    named = set(re.findall(r"\bratchet_[a-z_]+", rules))
    assert len(named) > 8
    assert named <= told.keys()
    assert told["ratchet_plan_revision"] == {"model": "tiny", "worker": "1"}
    kinds = set(re.findall(r'kind="([a-z-]+)"', rules))
    assert kinds <= set(alerts.KINDS)
    assert all(f'ratchet_alerts_total{{worker="1",kind="{kind}"}} 0' in text for kind in kinds), (
        "an increase from nothing is none to Prometheus"
    )
