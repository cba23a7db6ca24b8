"""The door over real sockets: a flood of one model is refused by its heads, the other is served."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bentos.door import HEEDLESS_AFTER, asked_model
from tests.bentos.bundles import request, write_intraday, write_model
from tests.bentos.candles import walk
from tests.bentos.serving import Service
from tests.bentos.waiting import until
from tests.bentos.wire import connect

FLOOD, CALM = 48, 40
LIMIT_S = 60


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home: Path = tmp_path_factory.mktemp("door")
    write_model(home / "serving", versions=1)
    write_intraday(home / "serving", versions=1)
    with Service(home, RATCHET_SERVING__WAITING_MAX="4") as running:
        yield running.wait_ready()


def asked(model: str, body: bytes) -> bytes:
    head = f"POST /v1/models/{model}/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


DAILY = asked("tiny", json.dumps(request(walk(60, 5))).encode())
MINUTES = asked("minutes", json.dumps(request(walk(75, 5, step_ms=300_000, a_day=75))).encode())


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_one_models_flood_leaves_the_others_answers_alone(service: Service) -> None:
    """Every connection of the flood asks again at once, whatever it is told."""

    async def run() -> tuple[Counter[int], list[bytes], list[bytes]]:
        flooding, told, shed = True, Counter[int](), list[bytes]()

        async def flood() -> None:
            wire = await connect(service.port)
            while flooding:
                answer = await wire.ask(DAILY)
                told[status(answer)] += 1
                if status(answer) == 503:
                    shed.append(answer)
            wire.close()

        running = [asyncio.create_task(flood()) for _ in range(FLOOD)]
        while told[503] < 5 * FLOOD:
            await asyncio.sleep(0)
        wire = await connect(service.port)
        calm = [await wire.ask(MINUTES) for _ in range(CALM)]
        flooding = False
        await asyncio.gather(*running)
        wire.close()
        return told, calm, shed

    told, calm, shed = asyncio.run(asyncio.wait_for(run(), LIMIT_S))
    assert [status(answer) for answer in calm] == [200] * CALM
    assert set(told) == {200, 503}
    for answer in shed:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"retry-after: 1" in head.lower()
        assert json.loads(body)["type"] == "urn:ratchet:problem:overloaded"
    ids = {json.loads(answer.partition(b"\r\n\r\n")[2])["request_id"] for answer in shed}
    assert len(ids) == len(shed)

    def all_logged() -> bool:
        found = [r for r in service.records() if r.get("problem") == "overloaded"]
        return {r["request_id"] for r in found} == ids and len(found) == len(shed)

    until(all_logged)
    metrics = service.call("GET", "/metrics").body.decode()
    line = 'ratchet_refusals_total{model="tiny",worker="1",kind="overloaded"}'
    assert f"{line} {len(shed)}\n" in metrics
    assert 'kind="overloaded"' not in metrics.replace(line, "")


def test_a_refused_connection_goes_on_with_whole_requests(service: Service) -> None:
    """What is left of a refused body is no request; a broken connection frees its place."""

    async def run() -> None:
        full = [await connect(service.port) for _ in range(24)]
        for _ in range(HEEDLESS_AFTER + 2):
            answers = await asyncio.gather(*(wire.ask(DAILY) for wire in full))
            assert {status(answer) for answer in answers} <= {200, 503}
        for wire in full:
            wire.ask(DAILY).cancel()
            wire.close()
        wire = await connect(service.port)
        while status(await wire.ask(DAILY)) != 200:
            await asyncio.sleep(0)
        assert [status(await wire.ask(DAILY)) for _ in range(5)] == [200] * 5
        wire.close()

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))
    assert b"Traceback" not in service.log.read_bytes()


@pytest.mark.parametrize(
    ("url", "model"),
    [
        (b"/v1/models/daily/predict", "daily"),
        (b"/v1/models/daily/predict_batch", "daily"),
        (b"/v1/models/daily", ""),
        (b"/v1/models/a/b/predict", ""),
        (b"/v1/models/\xff/predict", ""),
        (b"/v1/models//predict", ""),
        (b"/v1/models/daily/predict?x=1", ""),
        (b"/v1/models/predict", ""),
    ],
)
def test_which_model_an_address_names(url: bytes, model: str) -> None:
    assert asked_model(url) == model
