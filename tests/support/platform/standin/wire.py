# SPDX-License-Identifier: MIT
"""Bytes in and out: a request read strictly, a reply as a status, headers and parts.

The reading half notes whatever a careful client would not send (`problems`), so that a test can demand an empty list;
what cannot be read at all is a BadWire. The writing half sends a Reply according to a Plan, which is where scripted
faults of the wire live; without one a reply goes out whole and correct.
"""
import dataclasses
import json
import re
import select
import socket
import ssl
import struct
import time
import urllib.parse

JSON_TYPE = "application/json; charset=UTF-8"
SSE_TYPE = "text/event-stream;charset=UTF-8"
NDJSON_TYPE = "application/x-ndjson"
HOST = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9a-fA-F:]+\](:\d{1,5})?")


class BadWire(Exception):
    """The request's framing cannot be trusted: answered with 400 and an end of the connection."""


def dump(value):
    """JSON as the platform writes it: no blanks, every character as itself."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


@dataclasses.dataclass
class Request:
    """One request as it was received. `headers` keeps order, spelling and repetition."""

    method: str
    target: str
    headers: list
    body: bytes = b""
    problems: list = dataclasses.field(default_factory=list)
    json: object = None
    parts: list = None
    made: str = ""  # the id that this request was given
    key: str = None  # the id of the key that it was let in with
    step: dict = dataclasses.field(default_factory=dict)  # the scripted step that it met
    unknown: list = dataclasses.field(default_factory=list)  # members that no document knows

    def __post_init__(self):
        self.path, _, query = self.target.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))

    def all(self, name):
        return [v for k, v in self.headers if k.lower() == name.lower()]

    def header(self, name, default=None):
        found = self.all(name)
        return found[0] if found else default

    @property
    def request_id(self):
        """The caller's own, where it gave one."""
        given = self.json.get("request_id") if isinstance(self.json, dict) else None
        return self.made if given is None or isinstance(given, (bool, list, dict)) else str(given)

    @property
    def english(self):
        return self.header("Accept-Language", "").lower().startswith("en")


@dataclasses.dataclass
class Reply:
    """An answer. A stream's parts are its events, sent as one chunk each; any other reply is one part."""

    status: int = 200
    headers: list = dataclasses.field(default_factory=list)
    parts: list = dataclasses.field(default_factory=list)
    stream: bool = False
    after: object = None  # called once when it was sent or could not be

    @classmethod
    def of_json(cls, value, status=200, headers=()):
        return cls(status, [("Content-Type", JSON_TYPE), *headers], [dump(value)])

    @classmethod
    def of_bytes(cls, data, content_type, headers=()):
        return cls(200, [("Content-Type", content_type), *headers], [data])

    @classmethod
    def of_events(cls, values, done=True):
        """Server-sent events, each value an object or ready bytes; then the closing [DONE]."""
        parts = [v if isinstance(v, bytes) else b"data: " + dump(v) + b"\n\n" for v in values]
        if done:
            parts.append(b"data: [DONE]\n\n")
        return cls(200, [("Content-Type", SSE_TYPE), ("Cache-Control", "no-cache")], parts, True)

    @classmethod
    def of_lines(cls, values):
        return cls(200, [("Content-Type", NDJSON_TYPE)], [dump(v) + b"\n" for v in values], True)

    def set(self, name, value):
        """Replaces a header, or removes it (value None)."""
        self.headers = [(k, v) for k, v in self.headers if k.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, str(value)))


@dataclasses.dataclass
class Plan:
    """How a reply goes over the wire. The defaults are those of a server in good health."""

    delay_ms: float = 0  # before the first byte
    chunk_delay_ms: float = 0  # between the events of a stream
    slow_bytes: int = 0  # that many bytes at a time ...
    slow_ms: float = 0  # ... with this pause between them
    cut_after: int = None  # bytes of the body after which the connection is closed
    length_off: int = 0  # added to the true Content-Length
    endless: bytes = None  # sent again and again after the body until the client leaves
    close: str = None  # "end": closed without a byte, "reset": the same with RST
    silent: bool = False  # never answered
    raw: bytes = None  # sent instead of everything


# ---- reading ---------------------------------------------------------------------------------------------


def check_head(rq):
    """Notes what is wrong with a request's head, and refuses a framing that two readers would understand differently."""
    hosts = rq.all("Host")
    if len(hosts) != 1 or not HOST.fullmatch(hosts[0]):
        rq.problems.append(f"Host: {hosts}")
    lengths, codings = rq.all("Content-Length"), rq.all("Transfer-Encoding")
    if lengths and codings:
        raise BadWire("both Content-Length and Transfer-Encoding")
    if len(lengths) > 1 or any(not re.fullmatch(r"\d{1,18}", v) for v in lengths):
        raise BadWire(f"Content-Length: {lengths}")
    if codings and [c.lower() for c in codings] != ["chunked"]:
        raise BadWire(f"Transfer-Encoding: {codings}")
    if rq.method in ("GET", "HEAD", "DELETE") and (codings or (lengths and lengths != ["0"])):
        rq.problems.append(f"a body with {rq.method}")
    for single in ("Authorization", "Content-Type", "User-Agent", "Accept"):
        if len(rq.all(single)) > 1:
            rq.problems.append(f"{single} given {len(rq.all(single))} times")
    if re.search(r"[^\x21-\x7e]", rq.target) or not rq.target.startswith("/"):
        rq.problems.append(f"request target {rq.target!r}")


def read_body(rq, source, limit):
    """The body behind a checked head, at most `limit` bytes; None when it is longer (and then not read to its end)."""
    if rq.all("Transfer-Encoding"):
        return _read_chunks(source, limit)
    length = int(rq.header("Content-Length", "0"))
    if length > limit:
        return None
    body = source.read(length)
    if len(body) != length:
        raise BadWire(f"the body ended after {len(body)} of {length} bytes")
    return body


def _read_chunks(source, limit):
    out = bytearray()
    while True:
        line = source.readline(1024)
        size = re.fullmatch(rb"([0-9A-Fa-f]{1,15})(;[^\r\n]*)?\r\n", line)
        if not size:
            raise BadWire(f"chunk size {line!r}")
        n = int(size.group(1), 16)
        if n == 0:
            break
        if len(out) + n > limit:
            return None
        data = source.read(n + 2)
        if len(data) != n + 2 or data[-2:] != b"\r\n":
            raise BadWire("a chunk does not end where its size says")
        out += data[:-2]
    while (line := source.readline(65536)) not in (b"\r\n", b""):
        if b":" not in line:
            raise BadWire(f"trailer {line!r}")
    return bytes(out)


# ---- writing ---------------------------------------------------------------------------------------------


class Gone(Exception):
    """The client closed before it had everything."""


class Writer:
    """Sends replies over one connection. `stopping` ends every wait when the server goes down."""

    def __init__(self, connection, stopping):
        self.connection, self.stopping = connection, stopping
        self.can_peek = not isinstance(connection, ssl.SSLSocket)

    def send(self, rq, reply, plan):
        """Returns True when the connection can be used again."""
        if plan.silent:
            self._pause(float("inf"))
            return False
        self._pause(plan.delay_ms)
        if plan.close:
            if plan.close == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if plan.raw is not None:
            self._put(plan.raw, plan)
            return False
        chunked = reply.stream or plan.endless is not None
        body = [] if rq.method == "HEAD" else reply.parts
        self._put(self._head(rq, reply, plan, chunked), plan)
        left = plan.cut_after
        for i, part in enumerate(body):
            if i and reply.stream:
                self._pause(plan.chunk_delay_ms)
            if left is not None:
                part, left = part[:left], left - len(part)
            if part:
                self._put(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part, plan)
            if left is not None and left <= 0:
                return False
        while plan.endless is not None:
            self._put(b"%x\r\n%s\r\n" % (len(plan.endless), plan.endless), plan)
        if chunked and rq.method != "HEAD":
            self._put(b"0\r\n\r\n", plan)
        return not plan.length_off and plan.cut_after is None

    def _head(self, rq, reply, plan, chunked):
        headers = list(reply.headers)
        given = {k.lower() for k, _ in headers}
        if chunked:
            headers.append(("Transfer-Encoding", "chunked"))
        elif "content-length" not in given:
            headers.append(("Content-Length", str(max(0, sum(map(len, reply.parts)) + plan.length_off))))
        lines = [f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Status')}"] + [f"{k}: {v}" for k, v in headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")

    def _put(self, data, plan):
        size = plan.slow_bytes or len(data) or 1
        for i in range(0, len(data), size):
            if i:
                self._pause(plan.slow_ms)
            try:
                self.connection.sendall(data[i : i + size])
            except OSError as why:
                raise Gone() from why

    def _pause(self, ms):
        """Waits, but no longer than the client does."""
        until = time.monotonic() + ms / 1000
        while (left := until - time.monotonic()) > 0:
            if self.stopping.is_set():
                raise Gone()
            if select.select([self.connection], [], [], min(left, 0.05))[0]:
                self._look()
                time.sleep(min(left, 0.01))  # a request that is already waiting says nothing about this one

    def _look(self):
        """Raises Gone when what can be read is the end. Under TLS nobody can look without taking."""
        try:
            if self.can_peek and not self.connection.recv(1, socket.MSG_PEEK):
                raise Gone()
        except OSError as why:
            raise Gone() from why


REASONS = {
    200: "OK", 201: "Created", 204: "No Content", 206: "Partial Content", 301: "Moved Permanently", 302: "Found",
    303: "See Other", 307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout", 409: "Conflict",
    413: "Content Too Large", 416: "Range Not Satisfiable", 429: "Too Many Requests", 500: "Internal Server Error",
    502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
}
