"""The page at `/docs` needs nothing from other people's servers."""

from __future__ import annotations

import re

from fastapi.testclient import TestClient

from bentos.app import Gate, build_app


def test_the_page_loads_what_the_service_has() -> None:
    with TestClient(build_app(Gate())) as client:
        page = client.get("/docs")
        assert page.status_code == 200
        loaded = re.findall(r'(?:src|href)="([^"]*)"', page.text)
        files = [path for path in loaded if not path.startswith("data:")]
        assert len(files) == 2
        for path in files:
            assert path.startswith("/docs/"), path
            assert len(client.get(path).content) > 10_000
        assert "'/openapi.json'" in page.text
        assert client.get("/openapi.json").json()["paths"]
    assert not re.search(r"https?://", page.text)


def test_the_files_are_the_page_s_alone() -> None:
    with TestClient(build_app(Gate())) as client:
        assert client.get("/docs/files/../server.py").status_code == 404
        assert client.get("/docs/files/nothing.js").status_code == 404
