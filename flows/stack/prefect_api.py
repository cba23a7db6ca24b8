"""What the stack asks of Prefect's API, with the standard library: importing Prefect costs 80 MiB.

Raises nothing of urllib's: a server that does not answer is `Retryable`.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Any

from agent.errors import Retryable

LIMIT_S = 5.0
BUSY_TRIES = 10
BUSY_PAUSE_S = 0.5
PAGE = 200


class PrefectApi:
    """A Prefect server's REST API.

    Parameters
    ----------
    url : str
        Its address, `http://HOST:PORT/api`.
    limit_s : float
        Seconds for one call.
    """

    def __init__(self, url: str, limit_s: float = LIMIT_S) -> None:
        self._url = url.rstrip("/")
        self._limit_s = limit_s

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """POST a body (GET without one) and return the answer's document.

        Raises
        ------
        agent.errors.Retryable
            If the server does not answer, or answers with an error.
        """
        for attempt in range(BUSY_TRIES):
            request = urllib.request.Request(  # noqa: S310  (the address is ours)
                self._url + path,
                data=None if body is None else json.dumps(body).encode(),
                headers={"Content-Type": "application/json"},
            )
            try:
                with urllib.request.urlopen(request, timeout=self._limit_s) as answer:  # noqa: S310
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as fault:
                if fault.code != 503 or attempt == BUSY_TRIES - 1:  # 503: SQLite is busy
                    raise Retryable(f"Prefect at {self._url}{path}: HTTP {fault.code}") from fault
                time.sleep(BUSY_PAUSE_S)
            except (OSError, ValueError) as fault:
                raise Retryable(f"Prefect at {self._url}: {fault}") from fault
        raise Retryable(f"Prefect at {self._url}: busy")

    def flow_runs(self, *types: str, since: str | None = None) -> list[dict[str, Any]]:
        """Return the flow runs in these states, newest first.

        Parameters
        ----------
        types : str
            State types: RUNNING, FAILED, …
        since : str, optional
            Only runs that ended after this time (ISO 8601).
        """
        wanted: dict[str, Any] = {"state": {"type": {"any_": list(types)}}}
        if since:
            wanted["end_time"] = {"after_": since}
        found: list[dict[str, Any]] = []
        while True:
            page = self.call(
                "/flow_runs/filter",
                {
                    "flow_runs": wanted,
                    "sort": "START_TIME_DESC",
                    "limit": PAGE,
                    "offset": len(found),
                },
            )
            found += page
            if len(page) < PAGE:
                return found

    def crash(self, run: str, why: str) -> None:
        """Set a flow run to CRASHED, whatever it is; frees its concurrency slot."""
        state = {"type": "CRASHED", "name": "Crashed", "message": why}
        self.call(f"/flow_runs/{run}/set_state", {"state": state, "force": True})
