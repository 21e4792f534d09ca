# SPDX-License-Identifier: MIT
"""Who asks: a key as it is, or a short-lived HS256 token made from one (`id.secret`), both in a Bearer header."""
import base64
import binascii
import hashlib
import hmac
import json
import time

from .refusal import Refusal


def _unpack(text):
    """base64url without padding, strictly: what does not come back the same is damaged."""
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise ValueError("not canonical base64url")
    return raw


def make_token(key, now_ms=None, life_ms=210_000):
    """The token that a client makes from `id.secret`; for tests of the verifier."""
    name, secret = key.split(".")
    now_ms = int(time.time() * 1000) if now_ms is None else now_ms

    def pack(value):
        return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()

    signed = pack({"alg": "HS256", "typ": "JWT", "sign_type": "SIGN"}) + "." + pack(
        {"api_key": name, "exp": now_ms + life_ms, "timestamp": now_ms})
    digest = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return signed + "." + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _check_token(token, keys):
    head, payload, signature = token.split(".")
    try:
        head_json, body = json.loads(_unpack(head)), json.loads(_unpack(payload))
        given = _unpack(signature)
    except (ValueError, binascii.Error, UnicodeDecodeError):
        raise Refusal("1002") from None
    if not isinstance(head_json, dict) or not isinstance(body, dict):
        raise Refusal("1002")
    if head_json.get("alg") != "HS256" or head_json.get("sign_type") != "SIGN":
        raise Refusal("1002")
    stamps = [body.get("exp"), body.get("timestamp")]
    if any(not isinstance(t, int) or isinstance(t, bool) for t in stamps):
        raise Refusal("1002")
    secrets = [k.split(".")[1] for k in keys if k.count(".") == 1 and k.split(".")[0] == body.get("api_key")]
    if not secrets:
        raise Refusal("1004")
    expected = hmac.new(secrets[0].encode(), f"{head}.{payload}".encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(expected, given):
        raise Refusal("1004")
    if stamps[0] <= time.time() * 1000:
        raise Refusal("1003")
    return body["api_key"]


def identify(rq, keys):
    """The id behind a request's key; a Refusal 1001 (none), 1002 (no key at all), 1003 (expired) or 1004 (wrong)."""
    value = rq.header("Authorization")
    if not value:
        raise Refusal("1001")
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer" or not token or token != token.strip() or len(rq.all("Authorization")) > 1:
        raise Refusal("1002")
    for key in keys:
        if hmac.compare_digest(key.encode(), token.encode()):
            return key.split(".")[0]
    dots = token.count(".")
    if dots == 2:
        return _check_token(token, keys)
    raise Refusal("1004" if dots == 1 else "1002")
