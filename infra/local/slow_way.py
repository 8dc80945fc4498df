"""A way to the emulator on which each call takes as long as to AWS, and on which all calls are counted."""

import http.client
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DELAY_SECONDS = 0.05
"""A call to AWS from another continent, or to GitHub."""

NOT_FORWARDED = {"connection", "transfer-encoding", "content-length"}


@dataclass
class SlowWay:
    """The way, and when each call began and ended."""

    url: str
    calls: list[tuple[float, float]] = field(default_factory=list)

    def rounds(self) -> int:
        """The most calls that were made one after the other."""
        rounds, last = 0, 0.0
        for began, ended in sorted(self.calls, key=lambda call: call[1]):
            if began >= last:
                rounds, last = rounds + 1, ended
        return rounds


@contextmanager
def to(address: str) -> Iterator[SlowWay]:
    """Opens the way to this address."""
    there = urllib.parse.urlsplit(address).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            began = time.monotonic()
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            time.sleep(DELAY_SECONDS)
            connection = http.client.HTTPConnection(there, timeout=60)
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in NOT_FORWARDED:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            connection.close()
            way.calls.append((began, time.monotonic()))

        do_GET = do_POST = do_PUT = do_DELETE = _forward

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    way = SlowWay(f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield way
    finally:
        server.shutdown()
        server.server_close()
