"""The served model over HTTP: what it is, and its answers to a batch of windows. No decision here.

A version that answers and is not known yet is looked up at once, so that its policy travels with
the answer. An answer that cannot be read is an error for its symbol: entries fail closed.

Connections are kept. One that is lost under way is tried once more on a new one: asking twice
changes nothing, and both carry the same request ids. After a row of failures the model is not
asked for a while (`Breaker`): a service that hangs must not cost a time-out at every candle.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from agent.core.commands import AskModel, Window
from agent.core.events import Event, ModelAnswered, ModelDescribed, Prediction, VersionInfo
from agent.errors import Refused, Retryable
from agent.market.sessions import epoch_ms

if TYPE_CHECKING:
    import httpx

SIDES: Final = frozenset({"BUY", "SELL", "HOLD"})
FAILURES_MAX: Final = 5
OPEN_S: Final = 10.0
TOKEN: Final = "RATCHET_PREDICT_TOKEN"  # noqa: S105  (the name of the variable, as the service has it)


@dataclass(slots=True)
class Breaker:
    """Open after a row of failures: not to be asked until `open_s` have passed, then once.

    Parameters
    ----------
    failures_max : failures in a row that open it
    open_s : seconds
    """

    failures_max: int = FAILURES_MAX
    open_s: float = OPEN_S
    _failures: int = 0
    _until_s: float = 0.0

    def wait_s(self, now_s: float) -> float:
        """Return how long it stays open, seconds; 0 where one may ask (monotonic clock)."""
        return max(0.0, self._until_s - now_s)

    def worked(self) -> None:
        """Take a success: closed."""
        self._failures = 0

    def failed(self, now_s: float) -> None:
        """Take a failure; the first after it was open opens it again."""
        self._failures += 1
        if self._failures >= self.failures_max:
            self._until_s = now_s + self.open_s


class ModelClient:
    """One model of one server.

    Parameters
    ----------
    url : str
        The server's root.
    name : str, optional
        The model; the only one served where it is left out.
    timeout_s : float
        Of one prediction call.
    token : str, optional
        Sent with every call; else what `RATCHET_PREDICT_TOKEN` holds, if anything.
    breaker : Breaker, optional
    """

    def __init__(
        self,
        url: str,
        name: str = "",
        *,
        timeout_s: float = 2.0,
        token: str | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        import httpx

        token = token or os.environ.get(TOKEN)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url, timeout=timeout_s, headers=headers)
        self._slow = httpx.Timeout(max(timeout_s, 10.0))
        self._breaker = breaker or Breaker()
        self._name = name
        self._known: dict[str, VersionInfo] = {}

    def describe(self, call: int, at_ms: int) -> ModelDescribed:
        """Return what the model wants to be sent, and its versions.

        Raises
        ------
        Retryable, Refused
        """
        document = self._get(f"/v1/models/{self._named()}")
        if "window" not in document:
            raise Retryable(f"model {self._name} is not ready: {document.get('last_error')}")
        versions = _versions(document)
        self._known |= {info.version: info for info in versions}
        return ModelDescribed(
            at_ms,
            call,
            str(document["name"]),
            str(document["interval"]),
            int(document["window"]),
            tuple(document.get("universe") or ()),
            versions,
        )

    def ask(self, asked: AskModel, at_ms: int) -> Event:
        """Return the answers to a batch.

        Raises
        ------
        Retryable, Refused
        """
        body = {"instances": [_instance(window, asked.as_of_ms) for window in asked.windows]}
        document = self._post(f"/v1/models/{self._named()}/predict_batch", body)
        rows = document.get("answers")
        if not isinstance(rows, list) or len(rows) != len(asked.windows):
            raise Refused(
                f"the model answered {str(document)[:200]} to {len(asked.windows)} windows"
            )
        found = tuple(
            prediction_of(window.key, row) for window, row in zip(asked.windows, rows, strict=True)
        )
        missing = {p.version for p in found if p.version and p.version not in self._known}
        versions: tuple[VersionInfo, ...] = ()
        if missing:
            versions = _versions(self._get(f"/v1/models/{self._named()}"))
            self._known |= {info.version: info for info in versions}
        return ModelAnswered(at_ms, asked.call, found, versions)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _named(self) -> str:
        if not self._name:
            models = self._get("/v1/models")["models"]
            if len(models) != 1:
                names = ", ".join(model["name"] for model in models)
                raise Refused(f"{len(models)} models are served ({names}): set model.name")
            self._name = str(models[0]["name"])
        return self._name

    def _get(self, path: str) -> dict[str, Any]:
        return self._read(lambda: self._http.get(path, timeout=self._slow))

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._read(lambda: self._http.post(path, json=body))

    def _read(self, call: Callable[[], httpx.Response]) -> dict[str, Any]:
        """Make a call within the breaker; return the document of its answer.

        Raises
        ------
        Retryable
            If it failed, was refused for now (5xx, 429), or is not asked because of the breaker.
        Refused
            If it was refused for good.
        """
        if (wait_s := self._breaker.wait_s(time.monotonic())) > 0:
            raise Retryable(
                f"model service: not asked after {self._breaker.failures_max} failures in a row; "
                f"the next try is in {wait_s:.1f} s"
            )
        try:
            document = self._answered(call)
        except Retryable:
            self._breaker.failed(time.monotonic())
            raise
        except Refused:
            self._breaker.worked()  # it answers: what was asked is wrong
            raise
        self._breaker.worked()
        return document

    def _answered(self, call: Callable[[], httpx.Response]) -> dict[str, Any]:
        import httpx

        try:
            try:
                response = call()
            except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                response = call()  # the connection was lost; asking again changes nothing
            document = response.json()
        except (httpx.HTTPError, ValueError) as fault:
            raise Retryable(f"model service: {type(fault).__name__}: {fault}") from fault
        if response.status_code >= 500 or response.status_code == 429:
            raise Retryable(f"model service: {response.status_code}: {str(document)[:200]}")
        if response.status_code >= 400 or not isinstance(document, dict):
            raise Refused(f"model service: {response.status_code}: {str(document)[:200]}")
        return document


def prediction_of(key: str, row: Any) -> Prediction:
    """Return one answer of a batch; what cannot be read is an error for its symbol."""
    try:
        if "prediction" not in row:
            problem = row.get("error") or row
            told = problem.get("detail") or problem.get("title") or problem
            return Prediction(key, error=str(told)[:200])
        told = row["prediction"]
        side = told["side"]
        if side not in SIDES:
            return Prediction(key, error=f"side {side!r}")
        return Prediction(
            key,
            side,
            str(row["version"]),
            str(row.get("variant") or ""),
            str(row.get("request_id") or ""),
            float(told["er_long"] or 0.0),
            float(told["er_short"] or 0.0),
            _ms(told["valid_until"]),
            tuple(str(w) for w in row.get("warnings") or ()),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        return Prediction(key, error=f"an answer that cannot be read: {fault!r}: {str(row)[:120]}")


def _instance(window: Window, as_of_ms: int) -> dict[str, Any]:
    return {
        "key": window.key,
        "request_id": uuid.uuid4().hex,  # the same when it is asked twice
        "as_of": as_of_ms,
        "source": list(window.sources),
        "candles": {
            "ts": list(window.ts_ms),
            "open": list(window.open),
            "high": list(window.high),
            "low": list(window.low),
            "close": list(window.close),
            "volume": list(window.volume),
        },
    }


def _versions(document: Mapping[str, Any]) -> tuple[VersionInfo, ...]:
    return tuple(
        VersionInfo(
            str(row["version"]),
            str(row.get("policy_toml") or ""),
            str(row.get("allowed") or "none"),
            str(row.get("alias") or ""),
        )
        for row in document.get("versions") or ()
    )


def _ms(stamp: Any) -> int:
    return int(stamp) if isinstance(stamp, int) else epoch_ms(datetime.fromisoformat(str(stamp)))
