# SPDX-License-Identifier: MIT
"""A server for a test: started on a free port, asked in plain HTTP, ended by SIGTERM with exit status 0."""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

SLOW = float(os.environ.get("GLIM_SDK_SLOW", "1"))
MODEL = "glm-4.7-flash"
ADDRESS = re.compile(r"https?://127\.0\.0\.1:(\d+)")


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8")

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.body[:2000]!r}"


class Server:
    def __init__(self, program, *args, wait=True, env=None, key=None, listen=True, cwd=None):
        self.stderr = []
        self.auth = {"x-api-key": key} if key else {}
        self.address_seen = threading.Event()
        self.port = None
        # Nothing of the user's own settings.
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("GLIM_", "GLM_", "XDG_"))}
        clean.update(HOME="/nonexistent", **(env or {}))
        self.process = subprocess.Popen([program, "serve", *(["--listen", "127.0.0.1:0"] if listen and "--listen" not in args else []), *args], env=clean, cwd=cwd,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not self.address_seen.wait(60 * SLOW) or self.port is None:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"no address within a minute; standard error:\n{self.log()}")
        if wait:
            self.wait_ready()

    def _read(self):
        for raw in self.process.stderr:
            line = raw.decode("utf-8", "replace")
            self.stderr.append(line)
            found = ADDRESS.search(line)
            if found and self.port is None:
                self.port = int(found.group(1))
                self.address_seen.set()
        self.address_seen.set()

    def log(self):
        return "".join(self.stderr)

    @property
    def root(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def v1(self):
        return self.root + "/v1"

    @property
    def paas(self):
        return self.root + "/api/paas/v4"

    @property
    def coding(self):
        return self.root + "/api/coding/paas/v4"

    def wait_ready(self):
        until = time.monotonic() + 60 * SLOW
        while time.monotonic() < until:
            assert self.process.poll() is None, f"the server ended:\n{self.log()}"
            try:
                if self.get("/health").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"not ready within a minute:\n{self.log()}")

    # -- plain HTTP

    def connect(self, timeout=60):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * SLOW)

    def ask(self, method, path, body=None, headers=None, timeout=60):
        c = self.connect(timeout)
        try:
            data = body
            h = dict(headers or {})
            if body is not None and not isinstance(body, bytes):
                data = json.dumps(body).encode()
                h.setdefault("Content-Type", "application/json")
            c.request(method, path, body=data, headers=h)
            r = c.getresponse()
            return Reply(r.status, r.headers, r.read())
        finally:
            c.close()

    def get(self, path, headers=None):
        return self.ask("GET", path, headers=headers)

    def post(self, path, body, headers=None, timeout=60):
        return self.ask("POST", path, body, headers, timeout)

    def events(self, path, body, headers=None, timeout=60):
        """The stream's raw text, as the wire had it."""
        r = self.post(path, body, headers, timeout)
        assert r.status == 200, r
        assert r.headers["Content-Type"].replace(" ", "") == "text/event-stream;charset=utf-8", r
        assert r.headers["Cache-Control"] == "no-cache", r
        assert r.headers.get("Content-Encoding") is None, r
        return r.text

    def prompt(self, body):
        """What the template makes of a chat."""
        r = self.post("/apply-template", body)
        assert r.status == 200, r
        return r.json()["prompt"]

    def busy(self):
        r = self.get("/slots", self.auth)
        assert r.status == 200, r
        return sum(1 for s in r.json() if s["is_processing"])

    def wait_idle(self, seconds):
        """True when no slot works within that time."""
        until = time.monotonic() + seconds * SLOW
        while True:
            if self.busy() == 0:
                return True
            if time.monotonic() > until:
                return False
            time.sleep(0.05)

    def wait_busy(self, n=1, seconds=10):
        until = time.monotonic() + seconds * SLOW
        while self.busy() < n:
            assert time.monotonic() < until, f"{n} slots were never busy"
            time.sleep(0.02)

    def metric(self, name):
        for line in self.get("/metrics", self.auth).text.splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        raise AssertionError(f"/metrics has no {name}")

    # -- the end

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds=30):
        try:
            code = self.process.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the server did not end within {seconds} s:\n{self.log()}") from None
        self.reader.join(10)
        return code

    def stop(self):
        if self.process.poll() is None:
            self.terminate()
        code = self.wait()
        assert code == 0, f"exit status {code}:\n{self.log()}"


def raw_exchange(port, data, timeout=10):
    """Sends bytes, returns everything until the server closes or is silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout * SLOW) as s:
        s.sendall(data)
        out = b""
        try:
            while part := s.recv(65536):
                out += part
        except socket.timeout:
            pass
        return out


def loading_answer(start, path, body):
    """Bytes of an answer that was given before the model was there; None when it always was. The demo model loads in
    milliseconds, so the request is written before the server runs and sent the moment its door opens."""
    data = json.dumps(body).encode()
    for _ in range(20):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        head = (f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n").encode()
        got = []

        def knock():
            until = time.monotonic() + 20 * SLOW
            while time.monotonic() < until and not got:
                try:
                    got.append(raw_exchange(port, head + data, 20))
                except OSError:
                    pass

        thread = threading.Thread(target=knock)
        thread.start()
        s = start("--listen", f"127.0.0.1:{port}", wait=False)
        thread.join()
        s.wait_ready()
        s.stop()
        if got and got[0].startswith(b"HTTP/1.1 503"):
            return got[0]
    return None


class Replay:
    """A server that gives every request the same bytes: shows an SDK an answer that was recorded."""

    def __init__(self, answer):
        self.answer = answer
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.root = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.v1, self.paas = self.root + "/v1", self.root + "/api/paas/v4"
        self.n = 0
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            with c:
                self.n += 1
                seen = b""
                while b"\r\n\r\n" not in seen:
                    seen += c.recv(65536)
                head, _, body = seen.partition(b"\r\n\r\n")
                length = re.search(rb"content-length: *(\d+)", head, re.I)
                while length and len(body) < int(length.group(1)):
                    body += c.recv(65536)
                c.sendall(self.answer)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.socket.close()


def sse(text):
    """Strict reading of a stream: a list of (event name or None, data). Comment lines are left out; an event without
    data, or bytes behind the last blank line, is an error."""
    assert text.endswith("\n\n") or text == "", repr(text[-200:])
    out = []
    for block in text.split("\n\n")[:-1]:
        name, data = None, []
        for line in block.split("\n"):
            if line.startswith(":"):
                continue
            field, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            assert field in ("event", "data"), repr(line)
            if field == "event":
                name = value
            else:
                data.append(value)
        if data:
            out.append((name, "\n".join(data)))
        else:
            assert name is None, f"an event without data: {block!r}"
    return out


def chunks(text):
    """The JSON objects of a chat stream, which must end with [DONE]."""
    events = sse(text)
    assert events[-1] == (None, "[DONE]"), events[-1]
    assert all(name is None for name, _ in events)
    return [json.loads(data) for _, data in events[:-1]]


def script(text="", ask="", **members):
    """A user message that tells the scripted engine what to write."""
    return ask + json.dumps({"script": {"text": text, **members}})


def say(text="", ask="", **members):
    return [{"role": "user", "content": script(text, ask, **members)}]
