"""The traffic plan's tag in an MLflow server, over its REST API with the standard library.

MLflow itself stays out of the workers: importing it costs 4 CPU seconds and 180 MB. Used only
where `MLFLOW_TRACKING_URI` is an HTTP address; every call has a short limit, because the request
that asks for it has one.
"""

from __future__ import annotations

import base64
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection, Mapping
from typing import Any

from bentos.problems import Problem

PLAN_TAG = "ratchet.plan"
API = "/api/2.0/mlflow/registered-models"
LIMIT_S = 2.5  # for all calls of one change; the request is cut at 3.5 s


NOT_FOUND = 404


class _StatusTold(Exception):
    """The registry answered, but not with 200."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class RegistryTags:
    """One registered model's tags and aliases, over HTTP.

    Parameters
    ----------
    uri : str
        The tracking server, `http://…` or `https://…`.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri.rstrip("/")
        self._until = 0.0

    def begin(self) -> None:
        """Start the time limit of one change."""
        self._until = time.monotonic() + LIMIT_S

    def plan(self, model: str) -> dict[str, Any] | None:
        """Return the plan in the registry; None where there is none, or no such model.

        Raises
        ------
        bentos.problems.Problem
            `registry-unreachable`.
        """
        query = urllib.parse.urlencode({"name": model})
        try:
            answer = self._call("GET", f"/get?{query}")
        except _StatusTold as fault:
            if fault.status == NOT_FOUND:
                return None
            raise self._unreachable(fault) from fault
        for tag in answer.get("registered_model", {}).get("tags", []):
            if tag.get("key") == PLAN_TAG:
                return dict(json.loads(tag["value"]))
        return None

    def write_plan(self, model: str, text: str) -> None:
        """Write the tag.

        Raises
        ------
        bentos.problems.Problem
            `registry-unreachable`; the tag may or may not have been written.
        """
        body = {"name": model, "key": PLAN_TAG, "value": text}
        try:
            self._call("POST", "/set-tag", body)
        except _StatusTold as fault:
            raise self._unreachable(fault) from fault

    def point_aliases(
        self, model: str, wanted: Mapping[str, int | None], named: Collection[int]
    ) -> str:
        """Point aliases at versions, for people; return what could not be done, else empty.

        Parameters
        ----------
        wanted : alias to version, None where the plan has nobody for it
        named : versions that the plan before had in traffic
            An alias without a version is taken from these, and `shadow` from any: a candidate
            that training named and no plan knows yet keeps its alias.
        """
        try:
            there = self._aliases(model)
            for alias, version in wanted.items():
                body: dict[str, str] = {"name": model, "alias": alias}
                if version is not None and there.get(alias) != version:
                    self._call("POST", "/alias", {**body, "version": str(version)})
                elif (
                    alias in there
                    and version is None
                    and (alias == "shadow" or there[alias] in named)
                ):
                    self._call("DELETE", "/alias", body)
        except (Problem, _StatusTold) as fault:
            return f"aliases were not changed: {fault}"
        return ""

    def _aliases(self, model: str) -> dict[str, int]:
        query = urllib.parse.urlencode({"name": model})
        told = self._call("GET", f"/get?{query}").get("registered_model", {}).get("aliases", [])
        return {one["alias"]: int(one["version"]) for one in told}

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        left_s = self._until - time.monotonic()
        if left_s <= 0:
            raise self._unreachable("it took too long")
        request = urllib.request.Request(  # noqa: S310  (http or https: store.py checked)
            f"{self._uri}{API}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **_authorization()},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=left_s) as answer:  # noqa: S310
                document = json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as fault:
            with fault:  # it holds the connection
                raise _StatusTold(fault.code) from None
        except (OSError, ValueError) as fault:
            raise self._unreachable(fault) from fault
        return document if isinstance(document, dict) else {}

    def _unreachable(self, why: object) -> Problem:
        told = f"MLflow at {self._uri}: {why}; the plan in force goes on"
        return Problem("registry-unreachable", told)


def _authorization() -> dict[str, str]:
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    if token:
        return {"Authorization": f"Bearer {token}"}
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    if user:
        pair = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}
