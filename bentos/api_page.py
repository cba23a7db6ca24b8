"""The page at `/docs`: the API to read and to try, from files that are here.

FastAPI's own page loads its scripts from other people's servers: blank without the internet, and
a stranger's code in the browser of whoever holds the admin token. BentoML brings the same files.
"""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.staticfiles import StaticFiles

FILES = "/docs/files"
NO_PICTURE = "data:,"


def add_page(app: FastAPI) -> None:
    """Add the page and its files to an application that was made without one."""
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=app.title,
        swagger_js_url=f"{FILES}/swagger-ui-bundle.js",
        swagger_css_url=f"{FILES}/swagger-ui.css",
        swagger_favicon_url=NO_PICTURE,
    )

    async def shown(_: Request) -> Response:
        return page

    app.mount(FILES, StaticFiles(packages=[("bentoml", "_internal/server/static_content")]))
    app.add_route("/docs", shown, methods=["GET"], include_in_schema=False)
