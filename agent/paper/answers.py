"""One request in, one answer out: their shapes, and a route as a line of data. No sockets here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from agent.paper.refusals import RequestRefused, bad_input

if TYPE_CHECKING:
    from agent.paper.service import Service

JSON: Final = "application/json"
ADMIN_PREFIX: Final = "_paper"  # of the routes that are not the broker's


@dataclass(frozen=True)
class Request:
    """What came in; header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def params(self) -> dict[str, str]:
        """Query and form fields; the last of a repeated one counts."""
        text = self.query
        if self.body and not self.is_json:
            text = f"{text}&{self.body.decode('utf-8', 'replace')}"
        return dict(parse_qsl(text, keep_blank_values=True))

    @property
    def is_json(self) -> bool:
        """Whether the body says that it is JSON."""
        return JSON in self.headers.get("content-type", "")

    def many(self, name: str) -> list[str]:
        """Return every value of a repeated query field."""
        return [value for key, value in parse_qsl(self.query) if key == name]

    def document(self) -> Any:
        """Return the JSON body; None for an empty one.

        Raises
        ------
        RequestRefused
            If it is no JSON.
        """
        if not self.body:
            return None
        try:
            return json.loads(self.body)
        except ValueError:
            raise bad_input("Could not parse the JSON body.") from None


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out.

    Parameters
    ----------
    content_type : str
        Empty: the header is left out.
    hold_s : float
        Wall seconds until it goes out.
    abort : bool
        Nothing goes out: the connection is reset.
    """

    body: bytes
    status: int = 200
    content_type: str = JSON
    location: str = ""
    hold_s: float = 0.0
    abort: bool = False


Handler = Callable[["Service", Request, tuple[str, ...]], Any]


@dataclass(frozen=True, slots=True)
class Route:
    """A path and who answers it; `{}` stands for one part, handed to the handler.

    `limit` names the budget that a call counts against; `open` routes need no session.
    """

    method: str
    path: str
    handler: Handler
    limit: str = "other"
    open: bool = False


def envelope(data: Any) -> Answer:
    """Return the broker's envelope of a success."""
    return document({"status": "success", "data": data})


def document(content: Any) -> Answer:
    """Return a bare JSON document."""
    return Answer(json.dumps(content, separators=(",", ":"), allow_nan=False).encode())


def refusal(refused: RequestRefused) -> Answer:
    """Return the broker's error document."""
    content = {
        "status": "error",
        "message": refused.message,
        "data": None,
        "error_type": refused.error_type,
    }
    return Answer(json.dumps(content).encode(), refused.status)
