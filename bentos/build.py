"""Build a Bento from a staged folder: `python -m bentos.build CONTEXT VERSION`.

A process of its own, started by the release with BENTOML_HOME set and CONTEXT as the working
folder, so that the staged copy of this package is what the Bento holds. Prints the Bento's
folder as the last line of stdout.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

NAME = "ratchet"
SERVICE = "bentos.service:ModelServingPipeline"
ARGUMENTS = 2


def main() -> None:
    """Build; exit 2 on wrong usage."""
    if len(sys.argv) != ARGUMENTS + 1:
        print("usage: python -m bentos.build CONTEXT VERSION", file=sys.stderr)
        raise SystemExit(2)
    context, version = Path(sys.argv[1]).resolve(), sys.argv[2]
    import bentoml
    from bentoml._internal import configuration

    # BentoML looks for uv, and installs it with pip into our environment where there is none,
    # even though nothing is locked by it (service.py) and it is then not called.
    configuration.get_uv_command = lambda: ["uv"]
    built = bentoml.build(
        SERVICE,
        name=NAME,
        version=version,
        build_ctx=str(context),
        include=["bentos/**", "models/**"],
        exclude=["**/__pycache__/**", "**/.*"],
        description="Ratchet: versions of trained models behind one traffic plan.",
    )
    # BentoML adds itself a second time, without a hash: installers that ask for hashes refuse that.
    locked = context / "bentos" / "requirements.txt"
    shutil.copyfile(locked, Path(built.path) / "env" / "python" / "requirements.txt")
    print(built.path)


if __name__ == "__main__":
    main()
