"""What every peer is given and gives back; runs in the peer's environment, imports numpy alone.

Rule: LONG, always in. Entered at a tick's price. The stop starts 1 % of the entry below it, cut to
whole ticks, and follows the best price at that distance; the first price at or below the stop as
it stood before that tick ends the trade at that price; the next tick enters the next trade.
"""

import json
import sys
from pathlib import Path

import numpy as np

TICK = 0.05


def start():
    """Return (prices in rupees, tick size) of the path that the command line names."""
    ticks = np.load(sys.argv[1])[: int(sys.argv[2])]
    return np.round(ticks * TICK, 2), TICK


def rule_ticks(entry_ticks):
    """Return the rule's distance in ticks."""
    return entry_ticks // 100


def finish(version, trades, rates, compiled_s=0.0):
    """Write closed trades (entry tick, exit tick) and the rates, in ticks a CPU second."""
    np.save(sys.argv[3], np.asarray(trades, np.int64).reshape(-1, 2))
    told = {"version": version, "rates": rates, "compiled_s": compiled_s}
    Path(sys.argv[4]).write_text(json.dumps(told), encoding="utf-8")
