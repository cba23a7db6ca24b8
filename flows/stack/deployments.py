"""Registers the deployments of prefect.yaml with Prefect's server, and tells one line for each.

Further times of a flow (`pipeline.also`) come from the environment, as all of [pipeline] does.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from flows.pipeline_settings import schedule

DEPLOYED = re.compile(r"Deployment '([^']+)' successfully (\w+)")


def main() -> None:
    """Register; the argument is the file. What Prefect says is shown where it did not work."""
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    also = json.loads(os.environ.get("RATCHET_PIPELINE__ALSO") or "{}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prefect.yaml"
        path.write_text(with_times(text, also), encoding="utf-8")
        _register(path)


def with_times(text: str, also: Mapping[str, str]) -> str:
    """Return prefect.yaml with further times of its flows, named as in `pipeline.also`."""
    if not also:
        return text
    document = yaml.safe_load(text)
    for deployment in document["deployments"]:
        flow = deployment["entrypoint"].rpartition(".")[2]
        if flow in also:
            deployment.setdefault("schedules", []).append(schedule(also[flow]))
    return str(yaml.safe_dump(document, sort_keys=False))


def _register(path: Path) -> None:
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(
        [*command, "--prefect-file", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    named = DEPLOYED.findall(done.stdout)
    for name, how in named:
        print(f"{name} {how}", flush=True)
    if done.returncode != 0 or not named:
        print(done.stdout, flush=True)
        sys.exit(done.returncode or 1)


if __name__ == "__main__":
    main()
