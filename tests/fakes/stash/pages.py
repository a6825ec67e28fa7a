"""What a browser gets: the login, the page with Stash's Content-Security-Policy, and the files of plugins.

From the public source of Stash (internal/api: server.go, routes_plugin.go, session.go), as of January 2026.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response

from tests.fakes.stash.plugins import Plugins

COOKIE = "session"
USERNAME, PASSWORD = "stash", "password-of-the-tests"


class Sessions:
    """Who is logged in."""

    def __init__(self) -> None:
        self._open: set[str] = set()

    def open(self) -> str:
        """Returns the value of a new session's cookie."""
        token = secrets.token_urlsafe(24)
        self._open.add(token)
        return token

    def knows(self, cookies: str) -> bool:
        """Returns whether a Cookie header has a session."""
        pairs = (pair.strip().partition("=") for pair in cookies.split(";"))
        return any(name == COOKIE and value in self._open for name, _, value in pairs)


def security_headers(plugins: Plugins) -> dict[str, str]:
    """Returns the headers of a page; plugins add to three directives only."""

    def more(directive: str) -> list[str]:
        return [source for plugin in plugins.all() for source in plugin.csp(directive)]

    gstatic = ["http://www.gstatic.com", "https://www.gstatic.com"]
    connect = ["data:", "'self'", "ws:", "wss:", *more("connect-src")]
    script = ["'self'", *gstatic, "'unsafe-inline'", "'unsafe-eval'", *more("script-src")]
    style = ["'self'", "'unsafe-inline'", *more("style-src")]
    policy = (
        f"default-src data: 'self' 'unsafe-inline'; connect-src {' '.join(connect)}; img-src data: *; "
        f"script-src {' '.join(script)}; style-src {' '.join(style)}; media-src blob: 'self'; "
        "worker-src blob:; child-src 'none'; object-src 'none'; form-action 'self';"
    )
    return {"Referrer-Policy": "same-origin", "Content-Security-Policy": policy}


class Pages:
    """Answers browsers. `folder` holds index.html and what it names below /assets."""

    def __init__(self, plugins: Plugins, sessions: Sessions, folder: Path | None) -> None:
        self._plugins, self._sessions, self._folder = plugins, sessions, folder

    async def login(self, request: Request) -> Response:
        """A form; POST of the right name and password opens a session."""
        if request.method == "GET":
            return PlainTextResponse("Login", media_type="text/html")
        form = await request.form()
        if (form.get("username"), form.get("password")) != (USERNAME, PASSWORD):
            return PlainTextResponse("Username or password is invalid", 401)
        answer = RedirectResponse("/", 302)
        answer.set_cookie(COOKIE, self._sessions.open(), max_age=3600, samesite="lax")
        return answer

    def plugin_file(self, request: Request) -> Response:
        """All files of one kind of a plugin, one after the other."""
        plugin = self._plugins.one(request.path_params["plugin"])
        kind = request.path_params["kind"]
        if plugin is None or kind not in {"javascript", "css"}:
            return PlainTextResponse("Not Found\n", 404)
        text = "\n".join(path.read_text() for path in plugin.files(kind))
        return Response(text, media_type=f"text/{kind}", headers={"Cache-Control": "no-cache"})

    def asset(self, request: Request) -> Response:
        path = (self._folder or Path()) / "assets" / request.path_params["name"]
        return FileResponse(path) if self._folder and path.is_file() else PlainTextResponse("Not Found\n", 404)

    def index(self, _: Request) -> Response:
        """One page for every path of the application, as its router is in the browser."""
        if self._folder is None:
            return PlainTextResponse("Not Found\n", 404)
        return HTMLResponse((self._folder / "index.html").read_text(), headers=security_headers(self._plugins))
