"""The HTTP server, by cheroot: threads, so that a volume that hangs holds up one request and not an
event loop; TLS by the standard library; bounds on everything a client sends."""

from __future__ import annotations

import os
import threading
from typing import Any, Final

from volumelease.errors import SettingsInvalid

from .site import Site, Views

THREADS: Final = 16
CLIENT_SECONDS: Final = 5
"""Who connects and says nothing keeps a thread for so long."""

MOST_HEADER_BYTES: Final = 16_384
MOST_BODY_BYTES: Final = 1024
_LOOPBACK: Final = ("127.", "localhost", "::1", "[::1]")


class Server:
    """Serves ``views`` at ``address`` (``HOST:PORT`` or ``:PORT``) from ``start`` to ``close``.

    Limit: what is not on loopback and has no token is open to whoever reaches the port; it tells
    paths, workers and hosts, and changes nothing. Errors: ``SettingsInvalid`` for an address that
    can't be had, or a file that can't be read.
    """

    def __init__(
        self,
        address: str,
        views: Views,
        *,
        token_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
    ) -> None:
        host, _, port = address.rpartition(":")
        self._local = host.startswith(_LOOPBACK)
        site = Site(views, token=_token_in(token_file), local=self._local)
        self._address = address
        self._server = _listening(host.strip("[]"), int(port), site)
        if cert_file is not None:
            self._server.ssl_adapter = _tls(cert_file, key_file)
        self.tls = cert_file is not None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens; the port is chosen by the system where 0 was asked for."""
        host, port = self._server.bind_addr[:2]
        return host, port

    @property
    def url(self) -> str:
        host, port = self.address
        shown = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host
        shown = f"[{shown}]" if ":" in shown else shown
        return f"{'https' if self.tls else 'http'}://{shown}:{port}/"

    def start(self) -> None:
        """Bind, and serve in threads of its own."""
        try:
            self._server.prepare()
        except OSError as error:
            if self._server.socket is not None:
                self._server.socket.close()
            raise SettingsInvalid(
                f"{self._address} can't be listened on: {error}",
                advice="Set VOLUMELEASE_HTTP to an address that is free",
                setting="VOLUMELEASE_HTTP",
                value=self._address,
            ) from error
        threading.Thread(target=self._server.serve, name="volumelease-http", daemon=True).start()

    def close(self) -> None:
        self._server.stop()


def _listening(host: str, port: int, site: Site) -> Any:
    from cheroot.wsgi import Server as WsgiServer

    server: Any = WsgiServer(
        (host or "0.0.0.0", port), site, numthreads=THREADS, timeout=CLIENT_SECONDS
    )
    server.max_request_header_size = MOST_HEADER_BYTES
    server.max_request_body_size = MOST_BODY_BYTES
    server.shutdown_timeout = 1
    server.server_name = server.software = "volumelease"
    server.error_log = _quiet
    return server


def _quiet(message: str = "", level: int = 20, traceback: bool = False) -> None:
    """Broken connections are their clients' business; what goes wrong inside is told."""
    if level >= 40 or traceback:
        import logging
        import sys

        shown = traceback and sys.exc_info()[0] is not None
        logging.getLogger("volumelease").warning("http: %s", message, exc_info=shown)


def _tls(cert_file: str, key_file: str | None) -> Any:
    import ssl

    from cheroot.ssl.builtin import BuiltinSSLAdapter

    try:
        adapter = BuiltinSSLAdapter(cert_file, key_file or cert_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsInvalid(
            f"{cert_file} can't be used for TLS: {error}",
            advice="Set VOLUMELEASE_HTTP_CERT_FILE and VOLUMELEASE_HTTP_KEY_FILE to PEM files",
            setting="VOLUMELEASE_HTTP_CERT_FILE",
            value=cert_file,
        ) from error
    adapter.context.minimum_version = ssl.TLSVersion.TLSv1_2
    return adapter


def _token_in(path: str | None) -> str:
    if path is None:
        return ""
    try:
        with open(path) as file:
            token = file.read().strip()
    except OSError as error:
        raise _no_token(path, str(error)) from error
    if not token:
        raise _no_token(path, "it is empty")
    return token


def _no_token(path: str, why: str) -> SettingsInvalid:
    return SettingsInvalid(
        f"no token can be read from {os.fspath(path)}: {why}",
        advice="Write one into it, or unset VOLUMELEASE_HTTP_TOKEN_FILE",
        setting="VOLUMELEASE_HTTP_TOKEN_FILE",
        value=path,
    )
