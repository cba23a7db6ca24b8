"""BentoML's supervisor as we run it: `python -m flows.launch BENTO HOST PORT`.

BENTO is a built Bento's folder, or an import path (`bentos.service:ModelServingPipeline`).
Instead of `bentoml serve`, for a killed worker: its arbiter looks at its workers every 10 s, and a
new one takes seconds to import what it needs. Here every 0.5 s, and each worker is forked by a
keeper that has imported already (`flows.keep`).
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

from flows import spread

CHECK_DELAY_S = 0.5
GRACEFUL_S = 2  # a request takes milliseconds; stragglers are cut
ARGUMENTS = 3


def main() -> None:
    """Serve until a signal; exit 2 on wrong usage."""
    if len(sys.argv) != ARGUMENTS + 1:
        print("usage: python -m flows.launch BENTO HOST PORT", file=sys.stderr)
        raise SystemExit(2)
    bento, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    from _bentoml_impl.loader import load
    from _bentoml_impl.server import serve_http, serving
    from bentoml._internal.log import configure_server_logging
    from bentoml._internal.utils import circus

    configure_server_logging()
    circus.create_standalone_arbiter = functools.partial(
        circus.create_standalone_arbiter, check_delay=CHECK_DELAY_S
    )
    serving._SERVICE_WORKER_SCRIPT = "flows.keep"  # noqa: SLF001  (no other way to the worker)
    os.environ["RATCHET_SUPERVISOR"] = str(os.getpid())
    if int(os.environ.get("RATCHET_WORKERS") or 1) > 1:
        os.environ[spread.BOARD] = spread.board()
    folder = bento if Path(bento).is_dir() else "."
    service = load(bento, working_dir=folder)
    service.inject_config()
    serve_http(
        bento,
        working_dir=folder,
        host=host,
        port=port,
        timeout_graceful_shutdown=GRACEFUL_S,
    )


if __name__ == "__main__":
    main()
