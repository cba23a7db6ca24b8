"""The doctor finds what is wrong here, and each finding says how to mend it."""

from __future__ import annotations

import http.server
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import date, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

from agent.market.holidays import LAST_YEAR
from flows.cli import app
from flows.doctor.broker import broker
from flows.doctor.finding import Finding
from flows.doctor.ground import calendar, ground
from flows.doctor.machine import machine


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def test_every_finding_that_is_not_well_says_how_to_mend_it(home: Path) -> None:
    findings = [*machine(home), *ground(home)]
    assert {"system", "memory", "versions", "disk", "clock", "home", "settings", "calendar"} <= set(
        by_check(findings)
    )
    assert all(bool(f.fix) == (f.level != "ok") for f in findings)
    assert not [f for f in machine(home) if f.level == "fault"]


def test_a_taken_port_is_named_with_who_holds_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("RATCHET_STACK__MLFLOW_PORT", str(port))
        found = by_check(list(ground(home)))[f"port {port}"]
    assert found.level == "fault"
    assert f"held by process {os.getpid()}" in found.found
    assert "stack.mlflow_port" in found.fix


def test_wrong_settings_and_an_unwritable_home_are_faults(home: Path, tmp_path: Path) -> None:
    home.mkdir()
    (home / "ratchet.toml").write_text("[stack]\nserv_port = 1\n")
    assert "did you mean stack.serve_port?" in by_check(list(ground(home)))["settings"].fix
    (tmp_path / "file").touch()
    assert by_check(list(ground(tmp_path / "file")))["home"].level == "fault"


@pytest.mark.parametrize(
    ("day", "level"),
    [
        (date(LAST_YEAR, 6, 1), "ok"),
        (date(LAST_YEAR, 12, 31) - timedelta(days=10), "warning"),
        (date(LAST_YEAR + 1, 1, 1), "fault"),
    ],
)
def test_the_calendar_must_reach_today(day: date, level: str) -> None:
    assert calendar(day).level == level


def test_the_command_ends_with_2_on_a_fault_and_0_without(home: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for variables, status in (({"RATCHET_STACK__PAPER_PORT": port}, 2), ({}, 0)):
            free = {f"RATCHET_STACK__{n}_PORT": str(_free()) for n in ("MLFLOW", "PREFECT")}
            free |= {"RATCHET_STACK__SERVE_PORT": str(_free())}
            free |= {"RATCHET_AGENT__CONTROL__PORT": str(_free())}
            free |= {"RATCHET_STACK__PAPER_PORT": str(_free())}
            run = CliRunner().invoke(
                app, ["doctor", "--json", "--home", str(home)], env={**free, **variables}
            )
            said = json.loads(run.stdout)
            assert run.exit_code == status, said
            assert said["ok"] == (status == 0)
            assert set(said["findings"][0]) == {"check", "level", "found", "fix"}


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker(http.server.BaseHTTPRequestHandler):
    """Answers as the broker's documentation shows; `answers` is set by the test."""

    answers: ClassVar[dict[str, tuple[int, Any]]] = {}
    skew_s: ClassVar[float] = 0.0

    def do_GET(self) -> None:
        status, data = self.answers[self.path.split("?")[0]]
        body = json.dumps(
            {"status": "success", "data": data}
            if status == 200
            else {"status": "error", "message": data, "error_type": "TokenException"}
        ).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate((timestamp or time.time()) + self.skew_s, usegmt=True)

    def log_message(self, *_: object) -> None:
        pass


WELL = {
    "/user/profile": (
        200,
        {
            "user_id": "AB1234",
            "exchanges": ["NSE", "BSE"],
            "products": ["CNC", "MIS"],
            "meta": {"demat_consent": "physical"},
        },
    ),
    "/user/margins": (200, {"equity": {"net": 99725.05}}),
    "/instruments/historical/738561/day": (200, {"candles": []}),
}


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Broker) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_address[1]}"
        made.shutdown()
        thread.join()


#  case, answers that differ, the server's clock, the check, its level, what it says
LIVE = [
    ("all well", {}, 0, "broker session", "ok", "AB1234"),
    ("token dead", {"/user/profile": (403, "Incorrect api_key or access_token.")}, 0,
     "broker session", "fault", "Incorrect api_key"),
    ("no intraday", {"/user/profile": (200, {"exchanges": ["NSE"], "products": ["CNC"]})}, 0,
     "permissions", "fault", "MIS"),
    ("no segment", {"/user/profile": (200, {"exchanges": ["BFO"], "products": ["CNC", "MIS"]})}, 0,
     "permissions", "fault", "NSE"),
    ("free plan", {"/instruments/historical/738561/day": (403, "Insufficient permission")}, 0,
     "plan", "fault", "Insufficient permission"),
    ("clock a little off", {}, 4.5, "clock", "warning", "from the broker's"),
    ("clock far off", {}, -60, "clock", "fault", "from the broker's"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "skew_s", "expected"),
    [(row[1], row[2], row[3:]) for row in LIVE],
    ids=[row[0] for row in LIVE],
)
def test_what_the_broker_says(
    home: Path, server: str, answers: Any, skew_s: float, expected: tuple[str, str, str]
) -> None:
    check, level, said = expected
    Broker.answers, Broker.skew_s = {**WELL, **answers}, skew_s
    environ = {
        "RATCHET_AGENT__BROKER__REST_URL": server,
        "KITE_API_KEY": "key",
        "KITE_ACCESS_TOKEN": "token",
    }
    found = by_check(broker(home, environ))[check]
    assert found.level == level
    assert re.search(said, found.found)
    assert bool(found.fix) == (level != "ok")


def test_without_a_login_it_says_how_to_get_one(home: Path) -> None:
    environ = {"RATCHET_AGENT__BROKER__REST_URL": "http://127.0.0.1:9"}
    found = by_check(broker(home, environ))["broker session"]
    assert (found.level, "ratchet-agent login" in found.fix) == ("fault", True)


def test_a_broker_that_does_not_answer_is_one_fault(home: Path) -> None:
    environ = {
        "RATCHET_AGENT__BROKER__REST_URL": f"http://127.0.0.1:{_free()}",
        "KITE_API_KEY": "key",
        "KITE_ACCESS_TOKEN": "token",
    }
    assert [(f.check, f.level) for f in broker(home, environ)] == [("broker", "fault")]
