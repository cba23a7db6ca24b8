"""Ends what is left of a stack when its keeper is gone, also by kill -9.

Started by the keeper with a pipe as its standard input. The pipe closes when the keeper ends,
however it ends; then everything that carries the stack's mark is ended, and the warden with it.
The kernel's PR_SET_PDEATHSIG already ends the parts; it does not reach what they started.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from flows.stack.mark import end_marked

GRACE_S = 6.0


def main() -> None:
    """Wait for the keeper's end, then end the stack of the home given as the only argument."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the kernel sends one when the keeper dies
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while sys.stdin.buffer.read(1):
        pass
    end_marked(Path(sys.argv[1]), grace_s=GRACE_S)


if __name__ == "__main__":
    main()
