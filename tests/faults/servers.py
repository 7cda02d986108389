"""An MLflow server that is away, slow, or answers nonsense: the tracker says so in a sentence, within its time, and
catches up later. Trainings do not know of it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial

from tests.faults.children import Child, command
from tests.faults.count import Count, Fault
from tests.faults.undisturbed import Undisturbed

SLOWEST_S = 150
"""MLflow tries a database for 100 seconds before it gives up."""
JSON = b"Content-Type: application/json\r\n"


def answer(status: str, body: bytes = b"", headers: bytes = JSON, length: int | None = None) -> bytes:
    """An answer of a server, whole or with another length than it says."""
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (
        status.encode(),
        headers,
        len(body) if length is None else length,
        body,
    )


ANSWERS: dict[str, bytes | None] = {
    "silence": None,
    "reset": b"",
    "half a header": b"HTTP/1.1 200 O",
    "garbage": bytes(range(256)) * 4,
    "nothing at all": answer("200 OK"),
    "half an answer": answer("200 OK", b'{"experiment": {"experiment_id"', length=5000),
    "broken JSON": answer("200 OK", b'{"experiment": '),
    "JSON of something else": answer("200 OK", b'{"hello": [1, 2, 3]}'),
    "a list": answer("200 OK", b"[]"),
    "null": answer("200 OK", b"null"),
    "a page": answer("200 OK", b"<html><body>Please log in</body></html>", b"Content-Type: text/html\r\n"),
    "not found": answer("404 Not Found", b"<h1>404</h1>", b"Content-Type: text/html\r\n"),
    "forbidden": answer("403 Forbidden", b'{"error_code": "PERMISSION_DENIED", "message": "no"}'),
    "unauthorized": answer("401 Unauthorized", b"", b'WWW-Authenticate: Basic realm="x"\r\n'),
    "too many requests": answer("429 Too Many Requests", b"", b"Retry-After: 1\r\n"),
    "an error": answer("500 Internal Server Error", b"Traceback of the server"),
    "bad gateway": answer("502 Bad Gateway", b"<h1>502</h1>", b"Content-Type: text/html\r\n"),
    "unavailable": answer("503 Service Unavailable", b"", b"Retry-After: 1\r\n"),
    "itself": answer("302 Found", b"", b"Location: /\r\n"),
    "a file": answer("302 Found", b"", b"Location: file:///etc/passwd\r\n"),
    "an endless answer": b"HTTP/1.1 200 OK\r\n" + JSON + b"\r\n" + b" " * 2_000_000,
}
"""What the server says to every request."""


def faults(undisturbed: Undisturbed) -> Iterator[Fault]:
    """Each answer, to `track` and to the tracker of the workflow; addresses at which nothing is."""
    for what in ANSWERS:
        for words in (("track",), ("track", "--best-effort")):
            yield Fault(f"{what}, {' '.join(words)}", partial(of_server, undisturbed, what, words))
    addresses = (
        "http://127.0.0.1:9", "https://127.0.0.1:9", "http://name.invalid", "http://user:secret@127.0.0.1:9/path",
        "postgresql://user:secret@127.0.0.1:9/x", "sqlite:////proc/mlflow.db", "nonsense://x", "http://", "http://[",
        "databricks", "sqlite:///runs", "sqlite:///params.yaml",
    )  # fmt: skip
    for uri in addresses:
        yield Fault(
            f"address {uri}",
            partial(of_address, undisturbed, uri, ("track",), "nobody at " + uri.replace("secret", "***")),
        )


@contextlib.contextmanager
def serving(content: bytes | None) -> Iterator[str]:
    """A server with one answer, and its address. With None it takes requests and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):  # the server is closed
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=reply, args=(connection,), daemon=True).start()

        def reply(connection: socket.socket) -> None:
            if content is None:
                held.append(connection)
                return
            with connection, contextlib.suppress(OSError):
                if content == b"":  # closed with a request unread, which resets the connection
                    return
                connection.recv(65536)
                connection.sendall(content)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for connection in held:
            connection.close()


def of_server(undisturbed: Undisturbed, what: str, words: tuple[str, ...], count: Count) -> None:
    """The tracker meets a server that has one answer to everything."""
    with serving(ANSWERS[what]) as uri:
        of_address(undisturbed, uri, words, what, count)


def of_address(undisturbed: Undisturbed, uri: str, words: tuple[str, ...], what: str, count: Count) -> None:
    """The tracker is given an address."""
    where, began = f"{' '.join(words)} with a server of {what}", time.monotonic()
    status, output = Child(undisturbed.folder, command, *words, prepare=partial(pointed, uri)).end()
    took = time.monotonic() - began
    count.read(where, output)
    count.expect(status == (0 if "--best-effort" in words else 1), where, f"it ended with {status}: {output[-500:]}")
    count.expect("MLflow store" in output and "failed" in output, where, f"it did not say what failed: {output[-500:]}")
    count.expect(took < SLOWEST_S, where, f"it took {took:.0f} s")
    count.expect("secret" not in output, where, "it shows a password")
    undisturbed.compare(count, where)
    status, output = Child(undisturbed.folder, command, "track").end()
    count.expect(status == 0, where, f"afterwards: {output[-500:]}")
    undisturbed.tracked(count, where)


def pointed(uri: str) -> None:
    """Lets the tracker of this process write elsewhere, with less patience than usual."""
    os.environ |= {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}
