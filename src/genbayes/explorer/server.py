"""Pages for a browser on this machine alone: nothing is read from the file system, and nothing else is answered."""

import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

# The one address at which other machines cannot reach the server.
LOOPBACK = "127.0.0.1"
# Pages that are kept once they were made; an explorer has up to a megabyte.
_MOST_KEPT = 32
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # What a page is made of is in it: it may load nothing, and stand in no other page.
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; "
    "worker-src blob:; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
}


class PageServer(ThreadingHTTPServer):
    """Serves pages on loopback.

    Args:
        pages: by their path, such as "/"; each is made when it is first asked for.
        port: to listen at; 0: a free one.

    Raises:
        OSError: the port is taken or may not be used.
    """

    daemon_threads = True
    # Where two servers could share a port, a browser would get the pages of either.
    allow_reuse_port = False

    def __init__(self, pages: Mapping[str, Callable[[], str]], port: int = 0):
        self._pages, self._lock = dict(pages), threading.Lock()
        self._made = lru_cache(_MOST_KEPT)(lambda path: self._pages[path]())
        try:
            super().__init__((LOOPBACK, port), _Answer)
        except OSError as error:
            raise OSError(
                f"port {port} of {LOOPBACK} cannot be used ({error.strerror or error}): take another one, or 0 for any "
                "free one."
            ) from error

    @property
    def address(self) -> str:
        """What to type in a browser."""
        return f"http://{LOOPBACK}:{self.server_address[1]}/"

    def page(self, path: str) -> str | None:
        """The page of a path, None where there is none."""
        if path not in self._pages:
            return None
        # One after the other: two at once would compile the same programs twice.
        with self._lock:
            return self._made(path)


class _Answer(BaseHTTPRequestHandler):
    server: PageServer

    def do_GET(self) -> None:
        """Answers with a page."""
        # A page elsewhere can lead its own name to this machine, and would then read what is served here.
        name, _, _ = self.headers.get("Host", "").lower().partition(":")
        if name not in (LOOPBACK, "localhost"):
            self._send(403, f"Ask for {self.server.address}: requests to other hosts are refused.", plain=True)
            return
        try:
            found = self.server.page(urlsplit(self.path).path)
        except ValueError as error:
            self._send(500, str(error), plain=True)
            return
        if found is None:
            self._send(404, f"There is no such page. All pages: {self.server.address}", plain=True)
        else:
            self._send(200, found)

    def _send(self, code: int, text: str, *, plain: bool = False) -> None:
        content = text.encode()
        headers = _HEADERS | ({"Content-Type": "text/plain; charset=utf-8"} if plain else {})
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def version_string(self) -> str:
        """Who answers; the version of Python is nobody's business."""
        return "genbayes"

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the terminal has the address, and a line for each request would push it away."""
