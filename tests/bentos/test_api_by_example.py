"""The API by example: every command of docs/serving.md that asks a server is asked of a real one.

All of them run in one shell, in the page's order; what the page shows below a command is compared
with what came back. `…` on the page means "and more of it". Figures may differ; names, types, and
the values that a reader would rely on (`VALUES`) may not.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.bentos.bundles import request, write_model, write_plan
from tests.bentos.candles import walk
from tests.bentos.serving import Service
from tests.bentos.waiting import until

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
MORE = "…"
VALUES = {
    "name", "model", "window", "interval", "version", "alias", "state", "variant", "revision",
    "plan_revision", "champion", "challengers", "shadows", "slots", "status", "type", "title",
    "field", "expected", "found", "requests", "refusals", "last_error",
}  # fmt: skip
END = "-- end of this command --"


def examples() -> list[tuple[str, str]]:
    """Return every command that is not `ratchet`'s, with what the page shows below it."""
    told = []
    for block in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL):
        for piece in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = piece.splitlines()
            cut = next(i for i, line in enumerate(lines) if not line.endswith("\\")) + 1
            command, shown = "\n".join(lines[:cut]), "\n".join(lines[cut:]).strip()
            if not command.startswith("ratchet "):
                told.append((command, shown))
    return told


EXAMPLES = examples()


def document(text: str) -> Any:
    """Read a page's JSON: `…` becomes an element, a key, or stays within its string."""
    for found, made in ((r"([\[,]\s*)…(\s*\])", r'\1"…"\2'), (r"([{,]\s*)…(\s*\})", r'\1"…": 0\2')):
        text = re.sub(found, made, text)
    return json.loads(text)


def differences(shown: Any, got: Any, at: str = "answer") -> Iterator[str]:
    """Yield where an answer is not of the page's shape."""
    if isinstance(shown, dict) and isinstance(got, dict):
        names = shown.keys() - {MORE}
        missing, strange = names - got.keys(), got.keys() - names
        if missing or (strange and MORE not in shown):
            yield f"{at}: page has {sorted(missing)}, the answer {sorted(strange)} besides"
        for name in names & got.keys():
            if name in VALUES and not holds_more(shown[name]) and shown[name] != got[name]:
                yield f"{at}.{name}: page {shown[name]!r}, answer {got[name]!r}"
            yield from differences(shown[name], got[name], f"{at}.{name}")
    elif isinstance(shown, list) and isinstance(got, list):
        told = [one for one in shown if one != MORE]
        if len(told) > len(got) or (len(told) < len(got) and MORE not in shown):
            yield f"{at}: page has {len(told)} elements, the answer {len(got)}"
        for i, (one, theirs) in enumerate(zip(told, got, strict=False)):
            yield from differences(one, theirs, f"{at}[{i}]")
    elif kind(shown) != kind(got):
        yield f"{at}: page {shown!r}, answer {got!r}"


def holds_more(shown: Any) -> bool:
    return MORE in json.dumps(shown, ensure_ascii=False)


def kind(value: Any) -> type:
    return float if type(value) is int else type(value)


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[str], Service]]:
    home = tmp_path_factory.mktemp("by_example")
    sample = write_model(home / "serving", "sample", versions=3)
    write_plan(sample, revision=3, champion=1, challengers={"2": 0.2}, shadows=[3])
    with Service(home) as service:
        service.wait_ready()
        (home / "question.json").write_text(json.dumps(request(walk(60, 5))))
        places = {"localhost:13000": f"127.0.0.1:{service.port}", "var/demo": str(home)}
        script = "".join(f"{command}\necho; echo '{END}'\n" for command, _ in EXAMPLES)
        for page, here in places.items():
            script = script.replace(page, here)
        ran = subprocess.run(
            ["bash", "-c", script], cwd=home, capture_output=True, text=True, check=True, timeout=60
        )
        assert ran.stderr == ""
        yield [text.strip() for text in ran.stdout.split(END)[:-1]], service


@pytest.mark.parametrize("place", range(len(EXAMPLES)), ids=[e[0][:60] for e in EXAMPLES])
def test_a_command_answers_what_the_page_shows(
    answered: tuple[list[str], Service], place: int
) -> None:
    (_, shown), got = EXAMPLES[place], answered[0][place]
    if not shown.endswith("}"):
        masked = [re.sub(r"\} \d+$", "} N", text.strip()) for text in (shown, got)]
        assert masked[0] == masked[1]
        return
    top, _, shown = shown.rpartition("\n\n")
    head, _, got = got.replace("\r\n", "\n").rpartition("\n\n")
    assert set(top.splitlines()) <= set(head.splitlines())
    assert list(differences(document(shown), json.loads(got))) == []


def test_every_route_has_an_example() -> None:
    commands = "\n".join(command for command, _ in EXAMPLES)
    for told in ("models\n", "sample\n", "sample/predict ", "predict_batch", "sample/traffic\n",
                 "PUT $U/traffic", "promote", "rollback", "/metrics", "/readyz"):  # fmt: skip
        assert told in commands + "\n", told


def test_the_pages_query_reads_the_log(answered: tuple[list[str], Service]) -> None:
    service = answered[1]
    until(lambda: sum(r["kind"] == "prediction" for r in service.records()) >= 6)
    (query,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    rows = duckdb.sql(query.replace("var/demo", str(service.home))).fetchall()
    told = {tuple(row[:3]) for row in rows}
    assert told == {("champion", 1, 2), ("shadow", 2, 2), ("shadow", 3, 2)}


#  page, answer, whether they differ
SHAPES: list[tuple[str, Any, bool]] = [
    ('{"a": 1, …}', {"a": 2.5, "b": 1}, False),
    ('{"a": 1}', {"a": 2, "b": 1}, True),
    ('{"a": 1, "b": 2}', {"a": 2}, True),
    ('{"a": "x"}', {"a": 2}, True),
    ('{"a": […]}', {"a": [1, 2]}, False),
    ('{"a": [1]}', {"a": [1, 2]}, True),
    ('{"a": {…}}', {"a": 3}, True),
    ('{"version": 1}', {"version": 2}, True),
    ('{"a": [{"version": 1, …}, …]}', {"a": [{"version": 1, "b": 1}, {}]}, False),
    ('{"a": [{"version": 1, …}, …]}', {"a": [{"version": 2}]}, True),
]


@pytest.mark.parametrize(("page", "got", "differ"), SHAPES)
def test_a_difference_of_shape_is_found(page: str, got: Any, *, differ: bool) -> None:
    assert bool(list(differences(document(page), got))) == differ
