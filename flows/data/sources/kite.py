"""The `kite` source: needs a login of today, and says so."""

from __future__ import annotations

from typing import NoReturn

from agent.errors import Refused


def open_kite(request: object) -> NoReturn:  # noqa: ARG001
    """Refuse: there is no Kite session to ask.

    Raises
    ------
    agent.errors.Refused
        Always, in this version.
    """
    raise Refused(
        "blocked: log in. Candles from Kite need a session of today (ratchet-agent login); "
        "use --source sample, synthetic, parquet:GLOB or csv:GLOB without one"
    )
