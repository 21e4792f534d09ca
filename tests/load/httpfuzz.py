#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Broken and hostile HTTP against a running server, for a while; then it must still answer.

  tests/load/httpfuzz.py --program build/asan/glim [--seconds 300] [--seed 1]

Good messages are cut, doubled, sprinkled with bytes and sent in odd pieces; bodies are broken JSON. What comes back must
begin with a status line that fits (never 500), or nothing. Prints the statuses seen; exits 1 when the server died, hung,
or answered 500.
"""
import argparse
import collections
import random
import signal
import socket
import subprocess
import sys
import threading
import time

CHAT = b'{"messages":[{"role":"user","content":"Hi"}],"max_tokens":3,"stream":%s}'


def post(path, body, extra=b""):
    return (b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + extra +
            b"Content-Length: %d\r\n\r\n" % len(body) + body)


def chunked(path, body):
    half = len(body) // 2
    return (b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" +
            b"%x;ext=1\r\n" % half + body[:half] + b"\r\n%x\r\n" % (len(body) - half) + body[half:] + b"\r\n0\r\n\r\n")


GOOD = [
    b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer EMPTY\r\n\r\n",
    b"HEAD / HTTP/1.0\r\n\r\n",
    b"OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n",
    post(b"/v1/chat/completions", CHAT % b"false"),
    post(b"/v1/chat/completions", CHAT % b"true"),
    post(b"/api/paas/v4/chat/completions", CHAT % b"true"),
    post(b"/v1/completions", b'{"prompt":"a","max_tokens":2,"logprobs":2}'),
    post(b"/tokenize", b'{"content":"hello","with_pieces":true}'),
    post(b"/detokenize", b'{"tokens":[1,2,3]}'),
    post(b"/apply-template", CHAT % b"false"),
    post(b"/v1/chat/completions", b"[" * 3000 + b"]" * 3000),
    post(b"/v1/chat/completions", CHAT % b"false", b"Expect: 100-continue\r\n"),
    chunked(b"/v1/chat/completions", CHAT % b"false"),
    b"GET /%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70000 + b"\r\n\r\n",
]
SPICE = [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
         b"Host: evil\r\n", b"\xff", b"%00", b"%zz", b"0x10", b"-1", b"99999999999999999999", b'"', b"{", b"\\u0000",
         b"Content-Encoding: gzip\r\n", b"Connection: close\r\n", b" folded\r\n"]


def mutate(rng, m):
    m = bytearray(m)
    for _ in range(rng.choice([0, 1, 1, 2, 4, 8])):
        at = rng.randrange(len(m) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            m[at:at] = rng.choice(SPICE)
        elif kind == 1:
            del m[at:at + rng.choice([1, 2, 10])]
        elif kind == 2:
            m[at:at + 1] = bytes([rng.randrange(256)])
        elif kind == 3:
            end = min(len(m), at + rng.randrange(1, 60))
            m[end:end] = m[at:end]
        else:
            del m[at:]
    return bytes(m)


def send(port, rng, message):
    """Status codes of the replies; None when the server could not be reached."""
    try:
        s = socket.create_connection(("127.0.0.1", port), 10)
    except OSError:
        return None
    data = b""
    with s:
        s.settimeout(0.3)
        try:
            at = 0
            while at < len(message):
                n = rng.choice([1, 7, 100, 100000, 100000]) if rng.random() < 0.3 else len(message)
                s.sendall(message[at:at + n])
                at += n
            if rng.random() < 0.7:
                s.shutdown(socket.SHUT_WR)
            while len(data) < 200000:
                got = s.recv(65536)
                if not got:
                    break
                data += got
        except OSError:
            pass
    return [part[:3].decode("latin1") for part in data.split(b"HTTP/1.1 ")[1:]]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--program", default="build/glim")
    p.add_argument("--seconds", type=float, default=300)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--model")
    args = p.parse_args()
    model = ["-m", args.model] if args.model else []
    server = subprocess.Popen([args.program, "serve", "--listen", "127.0.0.1:0", "--log", "error", *model],
                              stderr=subprocess.PIPE, text=True)
    port = None
    for line in server.stderr:
        if "listening at http://" in line:
            port = int(line.rsplit(":", 1)[1])
        if "ready" in line:
            break
    errors = []
    threading.Thread(target=lambda: errors.extend(server.stderr), daemon=True).start()
    seen, lock, bad = collections.Counter(), threading.Lock(), []
    until = time.monotonic() + args.seconds

    def worker(seed):
        rng = random.Random(seed)
        while time.monotonic() < until and not bad:
            parts = [mutate(rng, rng.choice(GOOD)) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
            message = b"".join(parts)
            got = send(port, rng, message)
            with lock:
                if got is None:
                    bad.append(("no connection", message))
                    return
                seen.update(got or ["none"])
                if "500" in got:
                    bad.append(("500", message))

    threads = [threading.Thread(target=worker, args=(args.seed * 1000 + i,)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    alive = server.poll() is None
    health = send(port, random.Random(0), GOOD[0]) if alive else None
    print(dict(seen.most_common()), "alive" if alive else f"DEAD {server.poll()}", "health", health)
    for why, message in bad[:3]:
        print(why, message[:2000], file=sys.stderr)
    if alive:
        server.send_signal(signal.SIGTERM)
    rc = server.wait(60)
    sys.stderr.write("".join(errors[-60:]))
    sys.exit(0 if alive and health == ["200"] and not bad and rc == 0 else 1)


if __name__ == "__main__":
    main()
