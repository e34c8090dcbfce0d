"""A server that answers everything with the same words."""

from __future__ import annotations

import socket
import threading

from tests.bed.running import Running


class Liar(Running):
    """``with Liar(b"-BUSY ...\\r\\n") as liar:``; without words it never answers."""

    def __init__(self, words: bytes) -> None:
        self.words = words
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        try:
            while connection.recv(1 << 16):
                connection.sendall(self.words)
        except OSError:
            return

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for connection in self._connections:
            connection.close()
