"""The report in a real browser: it is laid out and painted without a script, and asks nobody."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from flows.demo.report import render
from tests.flows.demo.test_report import story

pytestmark = pytest.mark.system
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> str:
    found = shutil.which("chromium")
    if found is None:
        pytest.fail("this test needs a browser: apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(render(story()), encoding="utf-8")
    return file


def chromium(browser: str, profile: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [browser, *QUIET, f"--user-data-dir={profile}", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def test_the_page_renders_every_section_and_both_trades(
    browser: str, page: Path, tmp_path: Path
) -> None:
    dom = chromium(browser, tmp_path, "--dump-dom", page.as_uri()).stdout
    assert len(re.findall(r"<svg class=\"chart\"", dom)) == 3
    assert re.findall(r"<h2>(.*?)</h2>", dom)[:3] == [
        "Equity, net of all charges",
        "Trades (2)",
        "The models and their gates",
    ]


def test_the_browser_asks_nobody(browser: str, page: Path, tmp_path: Path) -> None:
    log = tmp_path / "net.json"
    chromium(browser, tmp_path / "profile", f"--log-net-log={log}", "--dump-dom", page.as_uri())
    text = log.read_text(encoding="utf-8")
    try:
        events = json.loads(text)["events"]
    except json.JSONDecodeError:  # a browser that is ended does not close its log
        events = json.loads(text.rstrip().rstrip(",") + "]}")["events"]
    asked = {event["params"]["url"] for event in events if "url" in event.get("params", {})}
    outside = {url for url in asked if url.startswith(("http", "ws"))}
    makers = ("google", "gvt1")  # the browser itself looks for its maker's hosts at every start
    assert not {url for url in outside if not any(maker in url for maker in makers)}


def test_the_page_is_painted(browser: str, page: Path, tmp_path: Path) -> None:
    shot = tmp_path / "page.png"
    chromium(
        browser, tmp_path / "p", "--window-size=900,1400", f"--screenshot={shot}", page.as_uri()
    )
    assert shot.stat().st_size > 20_000, "a blank page of this size is a few kB"
