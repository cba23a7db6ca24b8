"""One served model is asked beside whatever runs: every question once, and no silent failure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flows.demo.asking import FAILURES_MAX, Asker, Service, Unanswered
from flows.demo.figures import model_figures
from flows.demo.steps import StepFailed
from tests.bentos.bundles import request, write_intraday, write_model
from tests.bentos.candles import walk
from tests.bentos.serving import Service as Server
from tests.bentos.waiting import until

FOREVER_S = 3600.0
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("asking")
    write_model(home / "serving", "daily")
    write_intraday(home / "serving", "inside", versions=1, window=75)
    with Server(home) as started:
        yield started.wait_ready()


def bodies(count: int) -> list[bytes]:
    candles = [walk(75, seed, step_ms=300_000, a_day=75) for seed in range(count)]
    return [json.dumps(request(one)).encode() for one in candles]


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


def asked_of(server: Server, model: str) -> int:
    return sum(
        record["model"] == model and record["variant"] != "shadow"
        for record in server.records()
        if record["kind"] == "prediction"
    )


def fail_once(reached: Callable[[], bool]) -> None:
    until(reached)
    raise ZeroDivisionError


def test_two_models_say_what_they_want_to_be_sent(server: Server) -> None:
    with closing(Service(url(server))) as service:
        told = [service.described(model) for model in ("daily", "inside")]
        assert [(one.name, one.interval, one.window) for one in told] == [
            ("daily", "day", 60), ("inside", "5minute", 75),
        ]  # fmt: skip
        with pytest.raises(Unanswered, match="404"):
            service.described("nobody")
        assert service.described("daily").traffic.champion == 1, "the connection is usable again"


def test_the_summarys_entry_is_what_the_model_says_of_itself(server: Server) -> None:
    with closing(Service(url(server))) as service:
        told = service.described("inside")
    gates = {"economic": {"passed": False, "verdict": "insufficient", "why": "short", "days": 3}}
    told.versions[0].gates, told.versions[0].allowed = gates, "paper"
    counted = {"requests": 7, "p50_ms": 0.5, "p99_ms": 2.0, "variants": {}, "shadow_requests": 0}
    data = {"source": "synthetic", "notes": "not real prices", "candles": 9}
    assert model_figures(told, data, counted | {"bento": "ratchet:1", "errors": 0}) == {
        "name": "inside",
        "interval": "5minute",
        "window": 75,
        "source": "synthetic",
        "notes": "not real prices",
        "versions": [
            {
                "version": 1,
                "alias": "champion",
                "allowed": "paper",
                "gates": {"economic": {"passed": False, "verdict": "insufficient", "why": "short"}},
            }
        ],
        "traffic": {"revision": 1, "champion": 1, "challengers": {}, "shadows": []},
        **counted,
    }


def test_what_is_left_is_asked_at_once_when_the_block_ends(server: Server) -> None:
    before = asked_of(server, "inside")
    with Asker(url(server), "inside", bodies(20), pause_s=FOREVER_S) as asker:
        until(lambda: asker.sides.total() == 1)
    assert (asker.sides.total(), asker.unanswered) == (20, [])
    assert until(lambda: asked_of(server, "inside") - before == 20)
    assert asked_of(server, "daily") == 0, "the other model was not asked"


def test_a_refused_question_is_counted_and_spoils_no_other(server: Server) -> None:
    with Asker(url(server), "inside", [*bodies(2), b"{}", *bodies(1)], pause_s=0) as asker:
        pass
    assert asker.sides.total() == 3
    (why,) = asker.unanswered
    assert why.startswith("422")


def test_a_block_that_fails_ends_the_asking(server: Server) -> None:
    asker = Asker(url(server), "inside", bodies(50), pause_s=FOREVER_S)
    with pytest.raises(ZeroDivisionError), asker:
        fail_once(lambda: asker.sides.total() == 1)
    assert asker.sides.total() == 1


def test_a_service_that_is_gone_is_told_and_not_asked_forever() -> None:
    asker = Asker(NOBODY, "inside", bodies(FAILURES_MAX + 3), pause_s=0)
    with pytest.raises(StepFailed, match=r"model inside.*ConnectionRefusedError"), asker:
        pass
    assert len(asker.unanswered) == FAILURES_MAX


def test_the_fault_of_the_block_is_the_one_that_is_told() -> None:
    """A part that died takes the service with it: its name matters, not ours."""
    asker = Asker(NOBODY, "inside", bodies(FAILURES_MAX), pause_s=0)
    with pytest.raises(ZeroDivisionError), asker:
        fail_once(lambda: len(asker.unanswered) == FAILURES_MAX)


def test_the_token_travels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_intraday(tmp_path / "home" / "serving", "inside", versions=1, window=75)
    with Server(tmp_path / "home", RATCHET_PREDICT_TOKEN="a" * 20) as guarded:
        until(guarded.live, 60)
        with closing(Service(url(guarded))) as stranger, pytest.raises(Unanswered, match="401"):
            stranger.described("inside")
        monkeypatch.setenv("RATCHET_PREDICT_TOKEN", "a" * 20)
        until(guarded.ready, 60)
        with closing(Service(url(guarded))) as known:
            assert known.described("inside").window == 75
