"""What stands between the command and the AWS emulator: it tells which calls are made, and lets calls fail."""

import http.client
import re
import threading
import urllib.parse
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from emulator import Emulator

PATIENCE_SECONDS = 60

HOP_BY_HOP = {"connection", "content-length", "keep-alive", "transfer-encoding"}

OF_S3 = {
    ("GET", "list-type"): "s3:ListBucket",
    ("PUT", ""): "s3:PutObject",
    ("POST", "delete"): "s3:DeleteObject",
}
"""S3's permissions by method and the first parameter that is not only the operation's name."""

OF_LAMBDA = {
    ("PUT", "concurrency"): "lambda:PutFunctionConcurrency",
    ("POST", "invocations"): "lambda:InvokeFunction",
    ("GET", "functions"): "lambda:GetFunction",
}
"""Lambda's permissions by method and the last word of the path that is no name."""


class Fault(Enum):
    """What happens to a call."""

    ERROR = "an error of AWS's own"
    THROTTLED = "a throttle"
    CUT = "a connection that closes before"
    LOST = "a lost answer"


@dataclass(frozen=True)
class Call:
    """A call of the API, by the permission that it needs."""

    permission: str
    protocol: str

    def refusal(self, code: str, message: str) -> tuple[str, bytes]:
        """The type and the body of an answer that refuses it."""
        error = f"<Error><Type>Receiver</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        if self.protocol == "json":
            return "application/x-amz-json-1.1", f'{{"__type":"{code}","message":"{message}"}}'.encode()
        if self.protocol == "ec2":
            return "text/xml", f"<Response><Errors>{error}</Errors></Response>".encode()
        if self.protocol == "s3":
            return "application/xml", error.encode()
        return "text/xml", f"<ErrorResponse>{error}</ErrorResponse>".encode()


@dataclass
class Wire:
    """The way to the emulator. Faults are for the first call of each operation since they were asked for."""

    emulator: Emulator
    url: str = ""
    calls: list[str] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    _fault: Fault | None = None
    _met: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def permissions(self) -> list[str]:
        """The permissions that calls needed so far, in the order of the first of each."""
        with self._lock:
            return list(dict.fromkeys(self.calls))

    def fail_each_once(self, fault: Fault | None) -> None:
        """From now on, the first call of each operation fails."""
        with self._lock:
            self._fault, self._met = fault, set()

    def failed(self) -> set[str]:
        """The operations of which a call failed."""
        with self._lock:
            return set(self._met)

    def fate_of(self, call: Call) -> Fault | None:
        """Notes a call, and says what happens to it."""
        with self._lock:
            self.calls.append(call.permission)
            if self._fault is None or call.permission in self._met:
                return None
            self._met.add(call.permission)
            return self._fault


def start(ending: ExitStack, emulator: Emulator) -> Wire:
    """Listens until `ending` closes."""
    wire = Wire(emulator)

    class Handler(_Handler):
        way = wire

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    wire.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ending.callback(server.server_close)
    ending.callback(server.shutdown)
    return wire


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    way: Wire

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        call = _call(self.command, self.path, self.headers, body)
        fault = None if call is None else self.way.fate_of(call)
        if call is not None and self._is_foreign():
            self._send(403, *call.refusal("AccessDenied", "Access Denied"))
        elif call is not None and fault is Fault.ERROR:
            self._send(500, *call.refusal("InternalFailure", "We encountered an internal error."))
        elif call is not None and fault is Fault.THROTTLED:
            status, code = (503, "SlowDown") if call.protocol == "s3" else (400, "ThrottlingException")
            self._send(status, *call.refusal(code, "Rate exceeded"))
        elif fault is Fault.CUT:
            self.close_connection = True
        else:
            answer = self._forward(body)
            if fault is Fault.LOST:
                self.close_connection = True
            else:
                self._send(*answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _answer

    def _is_foreign(self) -> bool:
        """Whether S3 refuses it: the bucket belongs to another account than the caller expects. The emulator does
        not look at the header."""
        bucket = urllib.parse.urlsplit(self.path).path.split("/")[1]
        return bucket in self.way.foreign and "x-amz-expected-bucket-owner" in self.headers

    def _forward(self, body: bytes) -> tuple[int, str, bytes]:
        host = urllib.parse.urlsplit(self.way.emulator.url).netloc
        way = http.client.HTTPConnection(host, timeout=PATIENCE_SECONDS)
        way.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP_BY_HOP:
                way.putheader(name, value)
        way.putheader("content-length", str(len(body)))
        way.endheaders(body)
        answer = way.getresponse()
        text = answer.read()
        way.close()
        return answer.status, answer.headers.get("content-type", ""), text

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def _call(method: str, path: str, headers: Any, body: bytes) -> Call | None:
    """The call that a request makes; `None` for a request to a Function URL, which is not signed."""
    scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/aws4_request", headers.get("authorization", ""))
    if scope is None:
        return None
    service = {"monitoring": "cloudwatch", "tagging": "tag"}.get(scope[1], scope[1])
    if target := headers.get("x-amz-target"):
        return Call(f"{service}:{target.split('.')[-1]}", "json")
    url = urllib.parse.urlsplit(path)
    if service == "s3":
        names = [name for name in urllib.parse.parse_qs(url.query, keep_blank_values=True) if name != "x-id"]
        key = (method, next((name for name in names if name in ("list-type", "delete")), ""))
        return Call(OF_S3.get(key, f"s3:{method} {url.query}"), "s3")
    if service == "lambda":
        words = [word for word in url.path.split("/") if word in ("functions", "concurrency", "invocations")]
        return Call(OF_LAMBDA.get((method, words[-1] if words else ""), f"lambda:{method} {url.path}"), "json")
    action = urllib.parse.parse_qs(body.decode())["Action"][0]
    return Call(f"{service}:{action}", "ec2" if service == "ec2" else "query")
