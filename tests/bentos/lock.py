"""bentos/requirements.txt from uv.lock: `python -m tests.bentos.lock` writes it, a test compares.

The whole tree of what a Bento needs, and nothing of the agent or the pipeline, with the hashes of
uv.lock: a Bento is installed elsewhere, and later, exactly as it was tested here. For Linux and
the one Python that the project supports.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from packaging.markers import Marker

ROOT = Path(__file__).resolve().parents[2]
LOCKED = ROOT / "bentos" / "requirements.txt"
NEEDED = (
    *("bentoml", "fastapi", "httptools", "lightgbm", "msgspec", "numpy", "orjson", "pydantic"),
    *("pydantic-settings", "uvloop"),
)
PLACE = {
    "python_version": "3.11", "python_full_version": "3.11.7", "sys_platform": "linux",
    "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix",
    "implementation_name": "cpython", "platform_python_implementation": "CPython",
}  # fmt: skip
HEAD = "# Written by `python -m tests.bentos.lock` from uv.lock; do not edit.\n"


def here(dependency: dict[str, Any]) -> bool:
    """Whether a dependency counts on the one platform."""
    marker = dependency.get("marker")
    return marker is None or Marker(marker).evaluate(PLACE)


def requirements(lock: str) -> str:
    """Return the text of the requirements for uv.lock's text."""
    packages = {one["name"]: one for one in tomllib.loads(lock)["package"]}
    wanted: dict[str, set[str]] = {}
    waiting: list[tuple[str, str]] = [(name, "") for name in NEEDED]
    while waiting:
        name, extra = waiting.pop()
        if extra in wanted.get(name, set()):
            continue
        wanted.setdefault(name, set()).add(extra)
        package = packages[name]
        optional = package.get("optional-dependencies", {})
        needs = optional.get(extra, []) if extra else package.get("dependencies", [])
        for need in filter(here, needs):
            waiting += [(need["name"], e) for e in ("", *need.get("extra", ()))]
    return HEAD + "".join(line(packages[name]) for name in sorted(wanted))


def line(package: dict[str, Any]) -> str:
    files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]
    hashes = sorted({file["hash"] for file in files})
    told = " \\\n".join([f"{package['name']}=={package['version']}",
                         *(f"    --hash={value}" for value in hashes)])  # fmt: skip
    return told + "\n"


if __name__ == "__main__":
    LOCKED.write_text(requirements((ROOT / "uv.lock").read_text(encoding="utf-8")))
    print(f"written: {LOCKED}")
