"""Registers the deployments of prefect.yaml with Prefect's server, and tells one line for each."""

from __future__ import annotations

import re
import subprocess
import sys

DEPLOYED = re.compile(r"Deployment '([^']+)' successfully (\w+)")


def main() -> None:
    """Register; the argument is the file. What Prefect says is shown where it did not work."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(
        [*command, "--prefect-file", sys.argv[1]],
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
