"""How much exposure a side may still take: one pool, or a share for each side.

The pool is the gross limit (capital at leverage 1 by default). `separate` gives each side its own
share of it, whatever the other does; `pooled` gives all of it to who comes first, under the caps
of the sides (limits.py). The mode is a setting, so switching it acts on the next decision: what
is open stays, a side above its new share takes nothing until it is below.
"""

from __future__ import annotations

from agent.market.instruments import Side
from agent.risk.settings import CapitalSettings


def pool_of(side: Side, gross_limit_paise: int, capital: CapitalSettings) -> int:
    """Return the exposure that a side may reach, paise."""
    if capital.mode == "pooled":
        return gross_limit_paise
    share = capital.long_share if side is Side.LONG else capital.short_share
    numerator, denominator = share.as_integer_ratio()
    return gross_limit_paise * numerator // (100 * denominator)
