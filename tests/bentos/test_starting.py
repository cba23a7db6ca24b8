"""Starting and stopping the service: empty, exposed, orphaned, stopped in the middle."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psutil

from tests.bentos.bundles import request, write_model
from tests.bentos.candles import walk
from tests.bentos.serving import ROOT, Service, free_port
from tests.bentos.waiting import until

PREDICT = "/v1/models/tiny/predict"
BODY = request(walk(60, 5))
PREDICT_TOKEN, ADMIN_TOKEN = "predict-token-1234567890", "admin-token-0987654321"


def test_an_empty_service_waits_for_its_first_model_and_stops_without_loss(home: Path) -> None:
    home.mkdir()
    (home / "serving").mkdir()
    with Service(home) as service:
        until(service.live, 60)
        assert service.call("GET", "/readyz").status == 503
        assert service.call("GET", "/v1/models").json()["models"] == []
        assert service.call("POST", PREDICT, BODY).status == 404
        write_model(home / "serving", versions=2, challengers={"2": 0.5})
        service.wait_ready()

        workers = service.workers()
        connection = service.connect()
        sent = 0
        service.process.send_signal(signal.SIGTERM)
        try:
            while sent < 5_000:  # until the worker lets go of the connection
                if connection.call("POST", PREDICT, BODY).status != 200:
                    break
                sent += 1
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        service.process.wait(20)
        _, alive = psutil.wait_procs(workers, timeout=5)
        assert alive == []
        kinds = Counter(r.get("variant", r["kind"]) for r in service.records())
        answered = kinds["champion"] + kinds["challenger"]
        assert answered >= sent, "every answer that arrived left its record"
        assert kinds["shadow"] == answered
        assert kinds["refusal"] == 1
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", service.port))


def test_off_the_loopback_it_does_not_start_without_both_tokens(home: Path) -> None:
    write_model(home / "serving", versions=1)
    with Service(home, host="0.0.0.0", RATCHET_ADMIN_TOKEN=ADMIN_TOKEN) as service:
        service.process.wait(60)
        told = service.log.read_text()
        assert "does not start: bound to 0.0.0.0" in told
        assert "RATCHET_PREDICT_TOKEN" in told
        assert ADMIN_TOKEN not in told


def test_a_service_of_one_model_neither_tells_nor_changes_anothers_traffic(home: Path) -> None:
    for model in ("tiny", "other"):
        write_model(home / "serving", model, versions=2)
    told = {"RATCHET_SERVING__MODELS": '["tiny"]', "RATCHET_ADMIN_TOKEN": ADMIN_TOKEN}
    with Service(home, **told) as service:  # type: ignore[arg-type]
        service.wait_ready()
        admin = {"authorization": f"Bearer {ADMIN_TOKEN}", "if_match": "1"}
        for model, status in (("tiny", 200), ("other", 404)):
            traffic = f"/v1/models/{model}/traffic"
            assert service.call("GET", traffic).status == status
            assert service.call("PUT", traffic, {"champion": 2}, **admin).status == status
            assert service.call("GET", f"/v1/models/{model}").status == status
    assert json.loads((home / "serving" / "other" / "plan.json").read_text())["champion"] == 1


def test_who_starts_it_by_bentoml_alone_is_told_by_the_status(home: Path) -> None:
    """A supervisor reads 0 as an end that was wished for."""
    write_model(home / "serving", versions=1)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RATCHET_")}
    told = {"RATCHET_HOME": str(home), "BENTOML_HOME": str(home / "bentoml")}
    command = [Path(sys.executable).with_name("bentoml"), "serve", "--port", str(free_port())]
    command += ["bentos.service:ModelServingPipeline", "--host", "0.0.0.0"]
    ended = subprocess.run(
        command, cwd=ROOT, env=kept | told, stdin=subprocess.DEVNULL, capture_output=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert b"does not start: bound to 0.0.0.0" in ended.stderr
    assert ended.returncode == 2


def test_exposed_it_asks_for_tokens_and_leaves_no_orphan(home: Path) -> None:
    write_model(home / "serving", versions=2)
    tokens = {"RATCHET_PREDICT_TOKEN": PREDICT_TOKEN, "RATCHET_ADMIN_TOKEN": ADMIN_TOKEN}
    with Service(home, host="0.0.0.0", **tokens) as service:
        service.wait_ready()
        reader, admin = f"Bearer {PREDICT_TOKEN}", f"Bearer {ADMIN_TOKEN}"
        change = {"champion": 2}
        calls = [
            ("POST", PREDICT, BODY, None, 401),
            ("POST", PREDICT, BODY, "Bearer wrong", 401),
            ("POST", PREDICT, BODY, reader, 200),
            ("GET", "/v1/models", None, None, 401),
            ("GET", "/v1/models/tiny/traffic", None, reader, 200),
            ("PUT", "/v1/models/tiny/traffic", change, reader, 401),
            ("PUT", "/v1/models/tiny/traffic", change, admin, 200),
            ("GET", "/readyz", None, None, 200),
        ]
        for method, path, body, token, status in calls:
            headers = {"If_Match": "1"} | ({"Authorization": token} if token else {})
            got = service.call(method, path, body, **headers)
            assert got.status == status, (method, path, token, got.body)
        assert not (home / "secrets").exists(), "configured tokens are not written anywhere"
        workers = service.workers()
        service.process.kill()
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert alive == []
        logged = service.log.read_text() + "".join(
            p.read_text() for p in (home / "predictions").glob("*")
        )
        assert PREDICT_TOKEN not in logged
        assert ADMIN_TOKEN not in logged
