"""A hub on loopback: one repository, as ``huggingface_hub`` asks for it; it counts downloads."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from cheroot.wsgi import Server

REPOSITORY: Final = "someone/small"
COMMIT: Final = "0123456789abcdef0123456789abcdef01234567"


class HubServer:
    """``with HubServer(files) as hub:`` it serves; ``seconds``: how long the download of each
    takes. ``downloads``: how many of each began."""

    def __init__(self, files: dict[str, bytes], seconds: dict[str, float]) -> None:
        self.files = files
        self.downloads: Counter[str] = Counter()
        self._seconds = seconds
        self._lock = threading.Lock()
        self._server: Any = Server(("127.0.0.1", 0), self._serve, numthreads=16)
        self._server.shutdown_timeout = 1

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.bind_addr[1]}"

    def __enter__(self) -> Self:
        self._server.prepare()
        threading.Thread(target=self._server.serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop()

    def _serve(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        about = f"/api/models/{REPOSITORY}"
        kind, headers = "application/json", {"X-Repo-Commit": COMMIT}
        if path.startswith(f"{about}/revision/"):
            told = {"id": REPOSITORY, "sha": COMMIT, "siblings": self._listed("rfilename")}
            body = json.dumps(told).encode()
        elif path.startswith(f"{about}/tree/"):
            body = json.dumps(self._listed("path")).encode()
        elif path.startswith(f"/{REPOSITORY}/resolve/"):
            name = path.split("/resolve/", 1)[1].split("/", 1)[1]
            body, kind = self.files[name], "application/octet-stream"
            headers["ETag"] = f'"{hashlib.sha1(body).hexdigest()}"'
            if method == "GET":
                with self._lock:
                    self.downloads[name] += 1
                time.sleep(self._seconds.get(name, 0.0))
        else:
            start("404 Not Found", [("Content-Length", "0")])
            return []
        headers |= {"Content-Type": kind, "Content-Length": str(len(body))}
        start("200 OK", list(headers.items()))
        return [] if method == "HEAD" else [body]

    def _listed(self, key: str) -> list[dict[str, Any]]:
        return [
            {key: name, "type": "file", "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
            for name, body in self.files.items()
        ]
