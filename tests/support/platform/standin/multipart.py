# SPDX-License-Identifier: MIT
"""multipart/form-data, read to the letter (RFC 7578, 2046): what a lenient reader would forgive is refused here."""
import dataclasses
import re

from .refusal import Refusal

BOUNDARY = re.compile(r'multipart/form-data;\s*boundary=(?:"([^"]{1,70})"|([!-~]{1,70}))', re.I)
TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
PARAM = re.compile(rb';[ \t]*(' + TOKEN + rb')=(?:"((?:[^"\\\r\n]|\\.)*)"|(' + TOKEN + rb'))')


@dataclasses.dataclass
class Part:
    """One part: `filename` is None for a plain member."""

    name: str
    filename: str
    content_type: str
    data: bytes


def _wrong(what):
    return Refusal("1210", f"multipart/form-data: {what}")


def parse(content_type, body):
    """The parts in their order."""
    found = BOUNDARY.fullmatch(content_type.strip())
    if not found:
        raise _wrong(f"no usable boundary in {content_type!r}")
    mark = b"--" + (found.group(1) or found.group(2)).encode()
    if not body.startswith(mark + b"\r\n"):
        raise _wrong("the body does not begin with the boundary")
    pieces = (b"\r\n" + body).split(b"\r\n" + mark)
    if pieces[-1] not in (b"--", b"--\r\n"):
        raise _wrong("the closing boundary is missing or something follows it")
    return [_part(piece) for piece in pieces[1:-1]]


def _part(piece):
    if not piece.startswith(b"\r\n"):
        raise _wrong("a boundary line has something behind it")
    head, gap, data = piece[2:].partition(b"\r\n\r\n")
    if not gap:
        raise _wrong("a part has no end of its headers")
    headers = {}
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon or not re.fullmatch(TOKEN, name) or name.lower() in headers:
            raise _wrong(f"header {line!r}")
        headers[name.lower()] = value.strip()
    kind, params = _disposition(headers.get(b"content-disposition", b""))
    if kind != b"form-data" or "name" not in params:
        raise _wrong("a part without form-data and a name")
    return Part(params["name"], params.get("filename"),
                headers.get(b"content-type", b"text/plain").decode("latin-1"), data)


def _disposition(value):
    kind = re.match(TOKEN, value)
    if not kind:
        raise _wrong(f"Content-Disposition {value!r}")
    at, params = kind.end(), {}
    while at < len(value):
        found = PARAM.match(value, at)
        if not found:
            raise _wrong(f"Content-Disposition {value!r}")
        name = found.group(1).decode().lower()
        raw = found.group(2) if found.group(2) is not None else found.group(3)
        if name in params:
            raise _wrong(f"{name} given twice")
        try:
            params[name] = re.sub(rb"\\(.)", rb"\1", raw).decode("utf-8")
        except UnicodeDecodeError:
            raise _wrong(f"{name} is not UTF-8") from None
        at = found.end()
    return kind.group().lower(), params
