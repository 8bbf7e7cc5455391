"""Pages on loopback: what is served, and that nothing else is."""

import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from genbayes.explorer.server import PageServer

MADE: list[str] = []


def page(name: str) -> str:
    MADE.append(name)
    if name == "broken":
        raise ValueError("it has no explorer")
    return f"<h1>{name} ß</h1>"


@pytest.fixture
def server() -> Iterator[PageServer]:
    MADE.clear()
    pages = {"/": lambda: page("index"), "/1": lambda: page("one"), "/2": lambda: page("broken")}
    with PageServer(pages) as started:
        thread = threading.Thread(target=started.serve_forever, args=(0.02,))
        thread.start()
        yield started
        started.shutdown()
        thread.join()


def asked(server: PageServer, path: str, method: str = "GET", host: str | None = None) -> tuple[int, str]:
    """What a client gets that sends a path as it stands, without tidying it."""
    port = server.server_address[1]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", f"127.0.0.1:{port}" if host is None else host)
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_pages_are_made_when_they_are_asked_for_and_once(server) -> None:
    assert MADE == []
    with urllib.request.urlopen(server.address) as answer:
        assert answer.read().decode() == "<h1>index ß</h1>"
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Server"] == "genbayes"
    assert asked(server, "/1?again") == (200, "<h1>one ß</h1>")
    assert asked(server, "/1") == (200, "<h1>one ß</h1>")
    assert MADE == ["index", "one"]
    assert asked(server, "/2") == (500, "it has no explorer")


@pytest.mark.parametrize("path", ["/3", "/..", "/../../etc/passwd", "//etc/passwd", "/%2e%2e/etc/passwd", "etc", "*"])
def test_nothing_else_is_served(server, path) -> None:
    status, text = asked(server, path)
    assert status == 404
    assert text == f"There is no such page. All pages: {server.address}"


def test_nothing_can_be_written(server) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert asked(server, "/", method)[0] == 501


def test_only_this_machine_is_answered(server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "0.0.0.0", "[::1"):
        status, text = asked(server, "/", host=host)
        assert status == 403
        assert "refused" in text
    # The port is another one where it is forwarded.
    for host in ("localhost", "LOCALHOST:9000", "127.0.0.1:9000"):
        assert asked(server, "/", host=host)[0] == 200
    assert MADE == ["index"]


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {number} of 127.0.0.1 cannot be used .*take another one"):
            PageServer({}, number)
