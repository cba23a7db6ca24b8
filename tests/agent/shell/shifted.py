"""Run the agent by the system's clock, moved to the hour at which a paper exchange stands.

    python -m tests.agent.shell.shifted HOME OFFSET_MS

Everything else is `ratchet-agent run --clock system`; prints the summary.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from agent.shell.clock import SystemClock
from agent.shell.run import Options, run


class Shifted(SystemClock):
    """The system's clock and an offset."""

    def __init__(self, offset_ms: int) -> None:
        self._offset_ms = offset_ms

    def now_ms(self) -> int:
        return super().now_ms() + self._offset_ms


if __name__ == "__main__":
    summary = run(Options(Path(sys.argv[1])), os.environ, Shifted(int(sys.argv[2])))
    print(json.dumps(summary))
