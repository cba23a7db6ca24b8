"""What the lock file lets into a base install: the live agent stays small enough to audit."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REFUSED = {
    "prefect", "mlflow", "mlflow-skinny", "bentoml", "lightgbm", "evidently", "scikit-learn", "ray",
    "dask", "pandas", "numpy",
}  # fmt: skip
PACKAGES_MAX = 60


def base_packages() -> set[str]:
    """Names that `pip install ratchet` (no extras) pulls in on Linux, from uv.lock."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    packages = {p["name"]: p for p in lock["package"]}
    seen: set[str] = set()
    waiting = [("ratchet", frozenset[str]())]
    while waiting:
        name, extras = waiting.pop()
        package = packages[name]
        needs = list(package.get("dependencies", []))
        for extra in extras:
            needs += package.get("optional-dependencies", {}).get(extra, [])
        for need in needs:
            if "sys_platform == 'win32'" in need.get("marker", ""):
                continue
            if need["name"] not in seen or need.get("extra"):
                seen.add(need["name"])
                waiting.append((need["name"], frozenset(need.get("extra", ()))))
    return seen


def test_the_base_install_pulls_in_no_pipeline_library() -> None:
    assert base_packages() & REFUSED == set()


def test_the_base_install_stays_small() -> None:
    packages = base_packages()
    assert {"kiteconnect", "httpx", "pydantic", "typer"} <= packages
    assert len(packages) <= PACKAGES_MAX
