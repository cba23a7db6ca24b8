"""The report tells what happened in words and figures that agree, and needs nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from flows.demo.report import render, rupees
from flows.demo.story import SAMPLE_BANNER, Story, Trade

HOUR = 3_600_000


def trade(number: int, *, side: str = "LONG", net_paise: int = 12_345) -> Trade:
    opened = 1_357_000_000_000 + number * 24 * HOUR
    sign = 1 if side == "LONG" else -1
    prices = [(float(opened + i * 60_000), 100 + sign * i * 0.1) for i in range(30)]
    return Trade(
        symbol="NSE:<b>AAPL",
        side=side,
        quantity=10,
        version=1,
        variant="champion",
        opened_ms=opened,
        closed_ms=opened + HOUR,
        entry=100.0,
        exit=100.0 + sign,
        reason="stop",
        stop_moves=1,
        target_moves=0,
        gross_paise=net_paise + 155,
        charges_paise=155,
        net_paise=net_paise,
        prices=prices,
        stops=[(float(opened), 99.0), (opened + 600_000.0, 99.5)],
        targets=[(float(opened), 102.0)],
    )


def served(name: str, interval: str, *, requests: int, passed: bool) -> dict[str, Any]:
    gates = {"statistical": {"passed": passed, "verdict": "", "why": ""}}
    return {
        "name": name, "interval": interval, "window": 60, "notes": f"candles of {interval}",
        "versions": [{"version": 1, "alias": "champion", "gates": gates}],
        "traffic": {"revision": 1, "champion": 1, "challengers": {"2": 0.3}, "shadows": []},
        "requests": requests, "p50_ms": 0.51, "p99_ms": 2.25,
    }  # fmt: skip


def story(**changed: object) -> Story:
    gate = {"passed": False, "why": "direction skill -1.2 % +- 0.9 %: no edge was found"}
    told = Story(
        banner=SAMPLE_BANNER,
        data={"source": "sample"},
        training={},
        serving={
            "bento": "ratchet:1", "requests": 80, "p50_ms": 1.0, "p99_ms": 2.5,
            "variants": {"champion": 60, "challenger": 20}, "shadow_requests": 80, "errors": 0,
        },
        agent={
            "net_pnl": 123.45, "gross_pnl": 125.0, "charges": 1.55, "long_trades": 1,
            "short_trades": 1, "stop_moves": 2, "target_moves": 1, "max_unprotected_ms": 40,
            "surplus_exits": 0, "stops_moved_back": 0, "duplicate_entries": 0, "final_position": 0,
        },
        drift={"report": "drift.html", "drifted_features": 2, "features": 40},
        seconds={"ingest": 1.25},
        trainings=[
            {
                "model": "daily", "version": 1, "gates": {"statistical": gate},
                "data": {"notes": "made <up> candles"},
                "folds": [{"fold": 1, "log_loss": 1.01, "curve": [1, 2]}],
            }
        ],
        trades=[trade(0), trade(1, side="SHORT", net_paise=-2_000)],
        refusals={"spread above 10 bp": 3},
        report_links={"Feature drift": "drift.html"},
        models=[
            served("daily", "day", requests=80, passed=True),
            served("inside", "15minute", requests=500, passed=False),
        ],
    )  # fmt: skip
    return replace(told, **changed)  # type: ignore[arg-type]


class Outside(HTMLParser):
    """Collects what a browser would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "link", "img", "iframe"}:
            self.asked.append(tag)
        self.asked += [value or "" for key, value in attrs if key == "src"]


def test_the_page_needs_nothing_from_outside() -> None:
    page = render(story())
    outside = Outside()
    outside.feed(page)
    assert outside.asked == []
    assert "url(" not in page
    assert "http" not in re.sub(r"xmlns=\S+", "", page)


def test_the_banner_says_first_what_the_data_is_not() -> None:
    page = render(story())
    assert "plumbing, not performance: US daily candles 2000-2013 (Quandl WIKI" in page
    assert page.index("plumbing, not performance") < page.index("<section>")


def test_names_from_outside_are_escaped() -> None:
    page = render(story())
    assert "NSE:&lt;b&gt;AAPL" in page
    assert "<b>AAPL" not in page


def test_every_trade_is_drawn_with_both_levels_and_its_reason() -> None:
    page = render(story())
    cards = re.findall(r"<details.*?</details>", page, re.DOTALL)
    assert len(cards) == 2
    for card in cards:
        assert {'class="price"', 'class="stop"', 'class="target"'} <= set(
            re.findall(r'class="(?:price|stop|target)"', card)
        )
        assert "stop</span>" in card
        assert "the exchange's stop moved 1 times, the target 0 times" in card


def test_a_gate_that_did_not_pass_says_so_in_words() -> None:
    page = render(story())
    assert "statistical: not passed." in page
    assert "no edge was found" in page


def test_both_models_stand_side_by_side() -> None:
    page = render(story())
    section = re.findall(r"<section><h2>2 models at once.*?</section>", page, re.DOTALL)[0]
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in section.split("<tr>")]
    rows = {row[0]: tuple(row[1:]) for row in cells if row}
    assert re.findall(r"<th>(\w+)</th>", section) == ["daily", "inside"]
    assert rows["a question"] == ("60 candles of day", "60 candles of 15minute")
    assert rows["learned from"] == ("candles of day", "candles of 15minute")
    assert rows["traffic"][0] == "revision 1: champion 1, 2 takes 30%"
    assert rows["requests"] == ("80", "500")
    assert rows["gates passed"] == ("1 of 1", "0 of 1")


def test_each_version_says_what_it_learned_from() -> None:
    assert "made &lt;up&gt; candles" in render(story())


def test_a_day_without_a_trade_is_told_not_hidden() -> None:
    page = render(story(trades=[], refusals={}))
    assert "No trade was closed." in page


@pytest.mark.parametrize(
    ("paise", "text"),
    [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (-123_450, "-1,234.50"), (100, "1.00")],
)
def test_paise_are_written_exactly(paise: int, text: str) -> None:
    assert rupees(paise) == text
