"""New connections go to the worker that holds fewer, and to any where the others do not answer."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator

import pytest

from flows import spread
from tests.bentos.bundles import write_model
from tests.bentos.serving import Connection, Service
from tests.bentos.waiting import until


def test_workers_see_what_the_others_hold() -> None:
    path = spread.board()
    first, second, third = (spread.Shares(path, place) for place in range(3))
    assert first.least() == spread.NOBODY
    first.tell(5)
    assert (first.least(), second.least()) == (spread.NOBODY, 5)
    second.tell(3)
    third.tell(4)
    assert (first.least(), second.least()) == (3, 4)
    second.tell(spread.NOBODY)
    assert first.least() == 4


def test_without_a_board_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    import uvicorn

    before = uvicorn.Server.startup
    monkeypatch.delenv(spread.BOARD, raising=False)
    spread.join(1)
    assert uvicorn.Server.startup is before


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("spread")
    write_model(home / "serving", versions=1)
    with Service(home, workers=2) as running:
        yield running.wait_ready(workers=2)


def took(connections: list[Connection]) -> Counter[int]:
    return Counter(c.call("GET", "/v1/models").json()["worker"] for c in connections)


def test_eight_connections_use_both_workers(service: Service) -> None:
    """Three times eight: how even a single eight is depends on what else the machine does."""
    told: Counter[int] = Counter()
    for _ in range(3):
        open_ = [service.connect() for _ in range(8)]
        spread_ = took(open_)
        assert took(open_) == spread_, "each stays where it is"
        told += spread_
        for connection in open_:
            connection.close()
    assert min(told[1], told[2]) >= 4, told


def test_a_worker_that_stands_still_is_not_waited_for(service: Service) -> None:
    still, _ = service.workers()
    os.kill(still.pid, signal.SIGSTOP)
    try:
        open_ = [service.connect() for _ in range(8)]
        assert len(took(open_)) == 1
    finally:
        os.kill(still.pid, signal.SIGCONT)
    for connection in open_:
        connection.close()
    until(service.ready)
