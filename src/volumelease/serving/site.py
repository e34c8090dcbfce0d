"""The pages of the HTTP server, as one WSGI application.

What there is to show comes from ``Views``; this module decides who may see it and what a browser
may do with it. It only reads: no request changes anything.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

from volumelease.errors import LeaseError

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = [
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
]
_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"
_ASSETS: Final = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_OPEN: Final = frozenset({"/healthz", "/readyz", *_ASSETS})
"""Tell nothing of the volume, so whoever starts and watches containers needs no token."""

_THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})


class Views(NamedTuple):
    """What there is to show. Each is called for every request that needs it, by several threads;
    a ``LeaseError`` or ``OSError`` of theirs becomes 503 with its words."""

    metrics: Callable[[str], tuple[str, bytes]]
    """From the Accept header to content type and text."""
    status: Callable[[str], dict[str, Any]]
    """Of the volume of that identity, "" for the one that was used first."""
    history: Callable[[str], dict[str, Any]]
    """Of one path."""
    ready: Callable[[], str]
    """Why it is not ready to serve, or ""."""


class Answer(NamedTuple):
    status: str
    content_type: str
    content: bytes
    more: tuple[tuple[str, str], ...] = ()


class Site:
    """``token``: what every request must bear (RFC 6750), "" for none. ``local``: it listens on
    this machine alone; then a page of somebody else, whose name was made to lead here (DNS
    rebinding), is not answered."""

    def __init__(self, views: Views, *, token: str = "", local: bool = True) -> None:
        self._views = views
        self._token = token
        self._local = local

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        answer = self._answer(environ)
        length = ("Content-Length", str(len(answer.content)))
        kind = ("Content-Type", answer.content_type)
        start_response(answer.status, [kind, length, *_HEADERS, *answer.more])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.content]

    def _answer(self, environ: Environ) -> Answer:
        path = environ.get("PATH_INFO") or "/"
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _problem("405 Method Not Allowed", "only GET is answered here", "")
        if self._local and not self._token and _host(environ) not in _THIS_MACHINE:
            what = "this server answers to localhost alone"
            return _problem("421 Misdirected Request", what, "http://127.0.0.1")
        if path not in _OPEN and not self._may(environ):
            refused = _problem("401 Unauthorized", "this needs the token", "Authorization: Bearer")
            return refused._replace(more=(("WWW-Authenticate", "Bearer"),))
        try:
            return self._page(path, environ)
        except LeaseError as error:
            return _problem("503 Service Unavailable", error.what, error.advice)
        except OSError as error:
            return _problem("503 Service Unavailable", str(error), "volumelease doctor")

    def _may(self, environ: Environ) -> bool:
        if not self._token:
            return True
        said = environ.get("HTTP_AUTHORIZATION", "")
        return hmac.compare_digest(said.encode(), f"Bearer {self._token}".encode())

    def _page(self, path: str, environ: Environ) -> Answer:
        views = self._views
        match path:
            case "/metrics":
                return Answer("200 OK", *views.metrics(environ.get("HTTP_ACCEPT", "")))
            case "/healthz":
                return Answer("200 OK", _TEXT, b"ok\n")
            case "/readyz":
                why_not = views.ready()
                if why_not:
                    return Answer("503 Service Unavailable", _TEXT, f"{why_not}\n".encode())
                return Answer("200 OK", _TEXT, b"ready\n")
            case "/api/v1/status":
                return _document(views.status(_asked(environ, "volume")))
            case "/api/v1/history":
                asked = _asked(environ, "path")
                if not asked:
                    return _problem("400 Bad Request", "no path was named", "?path=/volume/models")
                return _document(views.history(asked))
            case _ if path in _ASSETS:
                name, kind = _ASSETS[path]
                return Answer("200 OK", kind, _asset(name))
            case _:
                return _problem("404 Not Found", f"there is nothing at {path[:200]!r}", "/")


def _asked(environ: Environ, name: str) -> str:
    said: str = parse_qs(environ.get("QUERY_STRING", "")).get(name, [""])[0]
    return said


def _host(environ: Environ) -> str:
    host: str = environ.get("HTTP_HOST", "")
    return host if host.endswith("]") else host.rpartition(":")[0] or host


def _asset(name: str) -> bytes:
    return files("volumelease.serving").joinpath("page", name).read_bytes()


def _document(found: dict[str, Any]) -> Answer:
    return Answer("200 OK", _JSON, json.dumps(found).encode())


def _problem(status: str, what: str, advice: str) -> Answer:
    said = json.dumps({"schema": 1, "error": what, "try": advice}).encode()
    return Answer(status, _JSON, said)
