"""What a refused request gets back: one shape, RFC 9457 problem JSON, and every kind of it.

A leaf. The table is the documentation: `docs/serving.md` prints it, a test compares.
"""

from __future__ import annotations

from typing import Any

import orjson

MEDIA_TYPE = "application/problem+json"
FOUND_CHARACTERS_MAX = 120
LOGGED_CHARACTERS_MAX = 1_000

# Each kind with its status and title.
KINDS: dict[str, tuple[int, str]] = {
    "request-malformed": (400, "The request is not HTTP"),
    "body-malformed": (400, "The body is not JSON"),
    "revision-malformed": (400, "If-Match does not hold a revision"),
    "token-missing": (401, "A token is needed"),
    "token-refused": (401, "The token is not the right one"),
    "not-found": (404, "There is no such route"),
    "unknown-model": (404, "There is no such model"),
    "unknown-version": (404, "There is no such version"),
    "method-not-allowed": (405, "The route does not take this method"),
    "request-late": (408, "The request did not arrive in time"),
    "body-late": (408, "The body did not arrive in time"),
    "no-earlier-plan": (409, "There is nothing to roll back to"),
    "revision-moved": (412, "Another writer was first"),
    "body-too-large": (413, "The body is too large"),
    "field-invalid": (422, "A field is not as expected"),
    "head-too-large": (431, "The request's head is too large"),
    "revision-missing": (428, "If-Match is needed"),
    "overloaded": (503, "Too many requests are waiting"),
    "model-not-ready": (503, "The model is not ready"),
    "version-not-ready": (503, "The version could not be loaded"),
    "registry-unreachable": (503, "The registry cannot be written"),
    "internal": (503, "A fault of ours; it was logged"),
}
RETRY_AFTER_S = {
    "overloaded": 1,
    "model-not-ready": 5,
    "version-not-ready": 30,
    "registry-unreachable": 5,
    "internal": 1,
}


class Problem(Exception):
    """A request that is refused; raised anywhere below the routes, rendered by them.

    Parameters
    ----------
    kind : str
        A key of `KINDS`.
    detail : str
        One sentence for a person.
    field : str
        Path of the offending field (`candles.open[3]`), empty where there is none.
    expected : str
        What the field should have held.
    found : object
        The offending value; shown cut to `FOUND_CHARACTERS_MAX` characters.
    """

    def __init__(
        self, kind: str, detail: str, *, field: str = "", expected: str = "", found: object = None
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.status, self.title = KINDS[kind]
        self.detail = detail
        self.field = field
        self.expected = expected
        self.found = found
        self.allow = ""  # methods, for 405
        self.request_id = ""  # the caller's own, where it could be read

    def document(self, request_id: str = "") -> dict[str, Any]:
        """Return the problem as the answer carries it."""
        told: dict[str, Any] = {
            "type": f"urn:ratchet:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.field:
            told["field"] = self.field
        if self.expected:
            told["expected"] = self.expected
        if self.found is not None:
            told["found"] = shown(self.found, FOUND_CHARACTERS_MAX)
        if request_id:
            told["request_id"] = request_id
        return told

    def body(self, request_id: str = "") -> bytes:
        """Return the answer's body."""
        return orjson.dumps(self.document(request_id))

    def headers(self) -> dict[str, str]:
        """Return the answer's headers besides its media type."""
        headers = {}
        if self.kind in RETRY_AFTER_S:
            headers["Retry-After"] = str(RETRY_AFTER_S[self.kind])
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="ratchet"'
        if self.allow:
            headers["Allow"] = self.allow
        return headers


def invalid(field: str, expected: str, found: object = None) -> Problem:
    """Return the problem of a field that does not hold what was expected."""
    given = "" if found is None else f", found {shown(found, FOUND_CHARACTERS_MAX)}"
    return Problem(
        "field-invalid",
        f"{field}: expected {expected}{given}",
        field=field,
        expected=expected,
        found=found,
    )


def shown(value: object, characters_max: int) -> str:
    """Return a value as text, cut; surrogates and control characters escaped."""
    text = value if isinstance(value, str) else repr(value)
    text = text[:characters_max].encode("unicode_escape").decode("ascii")
    return text[:characters_max]
