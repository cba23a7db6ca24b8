"""The broker's login page: what a browser sees between a program's login URL and its own.

At the broker it asks for a password and a one-time code; here it asks for a click. It answers with
a redirect to the URL that belongs to the API key, or shows the request token where there is none.
"""

from __future__ import annotations

from html import escape
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from agent.paper.access import API_KEY
from agent.paper.answers import Answer, Request, Route
from agent.paper.refusals import bad_input
from agent.paper.service import Service

Parts = tuple[str, ...]
HTML: Final = "text/html; charset=utf-8"
PAGE: Final = "<!doctype html><title>Paper exchange: login</title><h1>Paper exchange</h1>{}"
FORM: Final = (
    '<form method="post" action="/connect/finish">'
    '<input type="hidden" name="api_key" value="{}">'
    '<input type="hidden" name="redirect_params" value="{}">'
    "<button>Log in as the paper user</button></form>"
)
SHOWN: Final = "<p>Request token, for one use within five minutes: <code>{}</code></p>"
FOUND: Final = 302


def login_page(service: Service, request: Request, parts: Parts) -> Answer:
    """GET /connect/login?v=3&api_key=...&redirect_params=...: the page with its button."""
    del service, parts
    _check_key(request)
    told = request.params.get("redirect_params", "")
    return _page(FORM.format(escape(API_KEY), escape(told)))


def login_done(service: Service, request: Request, parts: Parts) -> Answer:
    """POST /connect/finish: the button; a new request token goes to the redirect URL."""
    del parts
    _check_key(request)
    token = service.access.request_token(service.exchange.now_ms)
    if not service.redirect_url:
        return _page(SHOWN.format(escape(token)))
    own = parse_qsl(request.params.get("redirect_params", ""), keep_blank_values=True)
    told = {"action": "login", "type": "login", "status": "success", "request_token": token}
    return Answer(b"", FOUND, HTML, location=_with(service.redirect_url, [*told.items(), *own]))


ROUTES: Final = (
    Route("GET", "/connect/login", login_page, open=True),
    Route("POST", "/connect/finish", login_done, open=True),
)


def _check_key(request: Request) -> None:
    if request.params.get("api_key") != API_KEY:
        raise bad_input("Invalid `api_key`.")


def _page(content: str) -> Answer:
    return Answer(PAGE.format(content).encode(), content_type=HTML)


def _with(url: str, fields: list[tuple[str, str]]) -> str:
    """Return a URL with fields added to its query."""
    whole = urlsplit(url)
    query = "&".join(part for part in (whole.query, urlencode(fields)) if part)
    return urlunsplit(whole._replace(query=query))
