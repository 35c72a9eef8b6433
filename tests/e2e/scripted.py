"""A small HTTP server that answers as a test says: for what a node does rarely, or must never do.

It runs in threads of this process, on a loopback port of its own; sockets are handed to the script as they are.
"""

import datetime as dt
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from onevalue.store import State
from onevalue.types import Generation
from onevalue.values import Value

REQUEST_SIZE_MAX = 1_000_000
TIME_MAX_S = 30.0


def state_json(generation: int, value: Value) -> dict[str, Any]:
    """A state as a node tells it."""
    state = State(Generation(generation), value, "n1", 12.5)
    return {**state.to_json(), "tag": state.tag}


def answer(status: int, obj: object) -> bytes:
    """A whole answer in JSON."""
    body = json.dumps(obj).encode()
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def event(generation: int, value: Value) -> bytes:
    """A state as an event of a stream."""
    told = state_json(generation, value)
    return f"id: {told['tag']}\ndata: {json.dumps(told)}\n\n".encode()


Script = Callable[[socket.socket, bytes], None]


@dataclass
class ScriptedNode:
    """What came, and where it is. `script` gets each connection after a whole request, and the request."""

    script: Script
    tls: ssl.SSLContext | None = None
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    _open: list[socket.socket] = field(default_factory=list)

    @property
    def url(self) -> str:
        """For clients."""
        return f"http{'' if self.tls is None else 's'}://127.0.0.1:{self.port}"

    def serve(self, listener: socket.socket) -> None:
        """Until the listener is closed."""
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.settimeout(TIME_MAX_S)
                self._open.append(connection)
                threading.Thread(target=self._answer, args=[connection], daemon=True).start()

    def close(self) -> None:
        """All connections are gone."""
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _answer(self, connection: socket.socket) -> None:
        if self.tls is not None:
            try:
                connection = self.tls.wrap_socket(connection, server_side=True)
            except OSError:  # the client does not trust us
                return
            self._open.append(connection)
        with suppress(OSError), connection:
            request = _read_request(connection)
            self.requests.append(request)
            self.script(connection, request)


@contextmanager
def scripted_node(script: Script, tls: ssl.SSLContext | None = None) -> Generator[ScriptedNode, None, None]:
    """A server that is gone afterwards."""
    node = ScriptedNode(script, tls)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        node.port = listener.getsockname()[1]
        serving = threading.Thread(target=node.serve, args=[listener], daemon=True)
        serving.start()
        try:
            yield node
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            node.close()
    serving.join(TIME_MAX_S)


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data and len(data) < REQUEST_SIZE_MAX:
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece
    head = data.partition(b"\r\n\r\n")[0].lower()
    _, found, length = head.partition(b"content-length: ")
    whole = len(head) + 4 + (int(length.split(b"\r\n")[0]) if found else 0)
    while len(data) < whole:
        piece = connection.recv(65536)
        if not piece:
            break
        data += piece
    return data


def certified(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """TLS of a server on 127.0.0.1 that vouches for itself, and the file of its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "scripted")])
    now = dt.datetime.now(dt.UTC)
    host = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([host]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = folder / "private.pem"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_bytes(*form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, private)
    return context, path
