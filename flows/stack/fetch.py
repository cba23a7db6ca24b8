"""Fetches one version's bundle and ends: arguments are the home, the model, the version, where."""

from __future__ import annotations

import sys
from pathlib import Path

from agent.errors import RatchetError
from flows.home import Home


def main() -> None:
    """Fetch; a refusal is one line on stderr and its exit status."""
    root, name, version, into = sys.argv[1:5]
    home = Home.open(Path(root))
    from flows.registry import Registry

    try:
        Registry(home).fetch(name, int(version), Path(into))
    except RatchetError as fault:
        print(fault, file=sys.stderr)
        sys.exit(fault.exit_status)


if __name__ == "__main__":
    main()
