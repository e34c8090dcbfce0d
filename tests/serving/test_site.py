"""The HTTP server: who may see what, and what a browser may do with it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cheroot")

from volumelease.errors import AuthorityUnreachable, SettingsInvalid
from volumelease.serving.fresh import Fresh
from volumelease.serving.server import Server
from volumelease.serving.site import Views


def silent(_: str) -> dict[str, Any]:
    raise AuthorityUnreachable("/v did not answer in 10 s", root="/v", seconds=10.0)


VIEWS = Views(
    metrics=lambda accept: ("text/plain; version=0.0.4", f"# {accept}\n".encode()),
    status=lambda volume: {"schema": 1, "leases": [], "volume": volume},
    history=lambda path: {"schema": 1, "path": path},
    ready=lambda: "",
)


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serving(VIEWS)


def serving(views: Views, **options: Any) -> Iterator[Server]:
    server = Server("127.0.0.1:0", views, **options)
    server.start()
    yield server
    server.close()


def ask(
    server: Server, path: str, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(*server.address, timeout=10)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def test_everything_is_at_its_place(server: Server) -> None:
    assert ask(server, "/metrics", Accept="text/plain")[1] == b"# text/plain\n"
    assert ask(server, "/healthz")[1] == b"ok\n"
    assert ask(server, "/readyz")[1] == b"ready\n"
    status = {"schema": 1, "leases": [], "volume": ""}
    assert json.loads(ask(server, "/api/v1/status")[1]) == status
    asked = ask(server, "/api/v1/status?volume=0a%2F")[1]
    assert json.loads(asked) == {**status, "volume": "0a/"}
    found = json.loads(ask(server, "/api/v1/history?path=/v/a%20b")[1])
    assert found == {"schema": 1, "path": "/v/a b"}
    for asset in ("/", "/page.css", "/page.js"):
        assert ask(server, asset)[0].status == 200
    assert ask(server, "/api/v1/history")[0].status == 400
    assert ask(server, "/etc/passwd")[0].status == 404
    assert ask(server, "/page/../../site.py")[0].status == 404
    assert ask(server, "/api/v1/status", "POST")[0].status == 405
    assert ask(server, "/healthz", "HEAD")[1] == b""


def test_a_page_may_load_nothing_but_its_own(server: Server) -> None:
    response, _ = ask(server, "/")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_a_name_of_somebody_else_that_leads_here_is_not_answered(server: Server) -> None:
    assert ask(server, "/api/v1/status", Host="evil.example")[0].status == 421
    assert ask(server, "/api/v1/status", Host="localhost:9109")[0].status == 200


def test_a_volume_that_does_not_answer_is_said_so_and_health_goes_on() -> None:
    views = VIEWS._replace(status=silent, ready=lambda: "the volume does not answer")
    for server in serving(views):
        response, content = ask(server, "/api/v1/status")
        assert response.status == 503
        assert json.loads(content)["error"] == "/v did not answer in 10 s"
        assert ask(server, "/readyz")[0].status == 503
        assert ask(server, "/healthz")[0].status == 200


def test_who_has_the_token_may_see_and_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    for server in serving(VIEWS, token_file=str(tmp_path / "token")):
        for path in ("/metrics", "/api/v1/status", "/api/v1/history?path=x"):
            response, _ = ask(server, path)
            assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert ask(server, path, Authorization="Bearer wrong")[0].status == 401
            assert ask(server, path, Authorization="Bearer secret")[0].status == 200
        assert ask(server, "/healthz")[0].status == 200


def test_tls_is_spoken_where_a_certificate_is_configured(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    make += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*make, "-keyout", key, "-out", cert], check=True, capture_output=True)
    for server in serving(VIEWS, cert_file=str(cert), key_file=str(key)):
        assert server.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(cert))
        connection = http.client.HTTPSConnection(*server.address, timeout=10, context=context)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"
        connection.close()


@pytest.mark.filterwarnings(  # cheroot leaves a socket that could not be bound to the collector
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_what_can_not_be_served_is_said_before_it_is_tried(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="no token can be read"):
        Server("127.0.0.1:0", VIEWS, token_file=str(tmp_path / "none"))
    with pytest.raises(SettingsInvalid, match="TLS"):
        Server("127.0.0.1:0", VIEWS, cert_file=str(tmp_path / "none"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = Server(f"127.0.0.1:{taken.getsockname()[1]}", VIEWS)
        with pytest.raises(SettingsInvalid, match="listened on"):
            server.start()


def test_a_client_that_says_nothing_holds_up_nobody(server: Server) -> None:
    idle = [socket.create_connection(server.address) for _ in range(10)]
    try:
        began = time.monotonic()
        assert ask(server, "/healthz")[0].status == 200
        assert time.monotonic() - began < 8
    finally:
        for one in idle:
            one.close()


def test_ten_who_look_at_once_cost_one_look() -> None:
    looks = []
    ready = threading.Event()

    def look() -> int:
        looks.append(1)
        ready.wait(5)
        return len(looks)

    fresh = Fresh(look, seconds=60)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(fresh())) for _ in range(10)]
    for thread in threads:
        thread.start()
    ready.set()
    for thread in threads:
        thread.join()
    assert (found, len(looks)) == ([1] * 10, 1)
