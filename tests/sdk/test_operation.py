# SPDX-License-Identifier: MIT
"""What an operator relies on: TLS, reload on SIGHUP, limits of a key, CORS, traces in the log, the service manager's
protocol, other servers' names of metrics and flags."""
import json
import math
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import httpx
import openai
import pytest
from openai import OpenAI

from server import MODEL, SLOW, Server, chunks, say, script

CHAT = {"model": MODEL, "messages": say("t</think>ok")}


def make_certificate(folder, name):
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                    "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, capture_output=True)
    key.chmod(0o600)
    return cert, key


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("certificates")
    return {name: make_certificate(folder, name) for name in ("first", "second")}


class Secure(Server):
    """Asks by TLS; the first line of its log that names an address is https."""

    trust = None

    def connect(self, timeout=60):
        import http.client

        context = ssl.create_default_context(cafile=str(self.trust))
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout * SLOW, context=context)


def secure(start_program, certificate, *options):
    cert, key = certificate
    Secure.trust = cert
    return Secure(start_program, "--tls-cert", str(cert), "--tls-key", str(key), *options)


@pytest.fixture
def program():
    from conftest import GLIM_TEST

    if not GLIM_TEST:
        pytest.skip("no glim-test given")
    return GLIM_TEST


def subject(port):
    context = ssl._create_unverified_context()
    with socket.create_connection(("127.0.0.1", port), timeout=10 * SLOW) as s, context.wrap_socket(s) as t:
        return t.getpeercert(binary_form=True), t.version()


# ---- TLS -----------------------------------------------------------------------------------------


def test_tls(program, certificates, tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    shutil.copy(certificates["first"][0], cert)
    shutil.copy(certificates["first"][1], key)
    s = secure(program, (cert, key))
    try:
        root = f"https://127.0.0.1:{s.port}"
        assert f"listening at {root}" in s.log() and f"curl --cacert {cert} {root}/v1/chat/completions" in s.log()
        client = OpenAI(api_key="EMPTY", base_url=root + "/v1", http_client=openai.DefaultHttpxClient(verify=str(cert)), max_retries=0)
        assert client.chat.completions.create(**CHAT).choices[0].message.content == "ok"
        text = "".join(c.choices[0].delta.content or "" for c in client.chat.completions.create(
            model=MODEL, messages=say("t</think>" + "word " * 200), stream=True) if c.choices)
        assert text.strip() == ("word " * 200).strip()
        for version in ("1.2", "1.3"):
            out = subprocess.run(["curl", "-sS", "-f", "--cacert", str(cert), "--tlsv" + version, "--tls-max", version,
                                  root + "/v1/chat/completions", "-H", "Content-Type: application/json", "-d", json.dumps(CHAT)],
                                 capture_output=True, check=True, timeout=60)
            assert json.loads(out.stdout)["choices"][0]["message"]["content"] == "ok"
        assert subprocess.run(["curl", "-sS", root + "/health"], capture_output=True, timeout=60).returncode == 60  # not trusted
        # Plain HTTP to this port is told so.
        with socket.create_connection(("127.0.0.1", s.port), timeout=10 * SLOW) as c:
            c.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while part := c.recv(4096):
                answer += part
        assert answer.startswith(b"HTTP/1.1 400") and b"HTTPS" in answer.upper()
        # A large body both ways.
        big = "x" * (4 << 20)
        r = s.post("/tokenize", {"content": big}, timeout=120)
        assert r.status == 200 and len(r.json()["tokens"]) > 1000
        # A new certificate for new connections, the open one goes on.
        before, _ = subject(s.port)
        with httpx.stream("POST", root + "/v1/chat/completions", verify=str(cert), timeout=60 * SLOW,
                          json={"model": MODEL, "stream": True, "messages": say("t</think>" + "a " * 60, token_ms=40)}) as stream:
            lines = stream.iter_lines()
            next(lines)
            shutil.copy(certificates["second"][0], cert)
            shutil.copy(certificates["second"][1], key)
            s.process.send_signal(signal.SIGHUP)
            until = time.monotonic() + 10 * SLOW
            while subject(s.port)[0] == before:
                assert time.monotonic() < until, s.log()
                time.sleep(0.05)
            rest = "\n".join(lines)
        assert "[DONE]" in rest
        # A broken file keeps the one that works, and the log says why.
        after, _ = subject(s.port)
        cert.write_text("nothing of a certificate")
        s.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 10 * SLOW
        while "cert.pem" not in s.log().split("listening", 1)[1]:
            assert time.monotonic() < until, s.log()
            time.sleep(0.05)
        assert subject(s.port)[0] == after
    finally:
        s.process.send_signal(signal.SIGTERM)
        assert s.wait() == 0


def test_tls_and_plain_side_by_side(program, certificates):
    """Ollama's clients beside a port for others: http:// before an address means no TLS there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    s = Server(program, "--tls-cert", str(certificates["first"][0]), "--tls-key", str(certificates["first"][1]),
               "--listen", f"http://127.0.0.1:{port}", "--listen", "https://127.0.0.1:0")
    try:
        assert httpx.get(f"http://127.0.0.1:{port}/api/version").status_code == 200
        secure_port = int(re.search(r"https://127\.0\.0\.1:(\d+)", s.log()).group(1))
        assert httpx.get(f"https://127.0.0.1:{secure_port}/health", verify=str(certificates["first"][0])).status_code == 200
    finally:
        s.process.send_signal(signal.SIGTERM)
        assert s.wait() == 0


@pytest.mark.parametrize("options,text", [(["--tls-cert", "/nonexistent/c.pem", "--tls-key", "/nonexistent/k.pem"], "/nonexistent/"),
                                          (["--tls-cert", "CERT"], "--tls-key"), (["--tls-key", "KEY"], "--tls-cert"),
                                          (["--tls-cert", "CERT", "--tls-key", "OTHER"], "does not belong"), (["--listen", "https://127.0.0.1:0"], "--tls-cert")])
def test_tls_wrong_files(program, certificates, options, text):
    names = {"CERT": certificates["first"][0], "KEY": certificates["first"][1], "OTHER": certificates["second"][1]}
    r = subprocess.run([program, "serve", *[str(names.get(o, o)) for o in options]], capture_output=True, text=True, timeout=60)
    assert r.returncode != 0 and text in r.stderr, r.stderr


# ---- reload --------------------------------------------------------------------------------------


def test_reload_swaps_keys_under_load(program, tmp_path):
    """New keys count at once, old ones no more, and no answer that had begun is lost."""
    keys = tmp_path / "keys"
    keys.write_text("old-key\n")
    keys.chmod(0o600)
    s = Server(program, "--api-key-file", str(keys), key="old-key")
    texts, refused, stop = [], [], threading.Event()

    def client():
        while not stop.is_set():
            body = {"model": MODEL, "stream": True, "messages": say("t</think>" + "a " * 40, token_ms=10)}
            with httpx.stream("POST", s.v1 + "/chat/completions", json=body, headers={"x-api-key": "old-key"}, timeout=60 * SLOW) as r:
                if r.status_code == 401:
                    refused.append(time.monotonic())
                    return
                lines = [line for line in r.iter_lines() if line.startswith("data: ")]
                texts.append((lines[-1], "".join((json.loads(x[6:])["choices"] or [{"delta": {}}])[0]["delta"].get("content") or ""
                                                 for x in lines[:-1])))

    threads = [threading.Thread(target=client) for _ in range(6)]
    for t in threads:
        t.start()
    time.sleep(0.5 * SLOW)
    keys.write_text("new-key\n")
    s.process.send_signal(signal.SIGHUP)
    for t in threads:
        t.join(60 * SLOW)
    stop.set()
    assert len(refused) == 6 and len(texts) >= 6, (len(refused), len(texts), s.log())
    assert all(end == "data: [DONE]" and text.strip() == ("a " * 40).strip() for end, text in texts)
    assert s.get("/v1/models", {"Authorization": "Bearer new-key"}).status == 200
    assert s.get("/v1/models", {"Authorization": "Bearer old-key"}).status == 401
    # A file without a key keeps the keys that work: a slip must not open the server, nor close it.
    keys.write_text("# nothing\n")
    s.process.send_signal(signal.SIGHUP)
    until = time.monotonic() + 10 * SLOW
    while "reload" not in s.log() or s.log().count("reload") < 2:
        assert time.monotonic() < until, s.log()
        time.sleep(0.05)
    assert s.get("/v1/models", {"Authorization": "Bearer new-key"}).status == 200
    assert s.get("/v1/models").status == 401
    s.auth = {"x-api-key": "new-key"}
    s.stop()


# ---- limits --------------------------------------------------------------------------------------


def test_rate(program):
    """Per key, with the wait that is right: afterwards one request passes, before it none."""
    s = Server(program, "--api-key", "one", "--api-key", "two", "--key-rate", "20")

    def ask(key):
        return s.post("/v1/chat/completions", CHAT, {"Authorization": f"Bearer {key}"})

    codes = [ask("one") for _ in range(25)]
    ok = sum(r.status == 200 for r in codes)
    assert 20 <= ok <= 24 and codes[0].status == 200 and codes[-1].status == 429, [r.status for r in codes]
    last = codes[-1]
    wait = int(last.headers["Retry-After"])
    assert 1 <= wait <= 3 and last.json()["error"]["code"] == "rate_limit_exceeded"
    assert ask("two").status == 200  # the other key is none the worse
    time.sleep(wait)
    assert ask("one").status == 200
    with pytest.raises(openai.RateLimitError):
        client = OpenAI(api_key="one", base_url=s.v1, max_retries=0)
        for _ in range(25):
            client.chat.completions.create(**CHAT)
    # The shapes of the mounts.
    for path, body in (("/api/paas/v4/chat/completions", CHAT), ("/api/chat", CHAT), ("/completion", {"prompt": "x"})):
        answers = [s.post(path, body, {"Authorization": "Bearer one"}) for _ in range(3)]
        r = [a for a in answers if a.status == 429][0]
        assert r.headers["Retry-After"]
        e = r.json()["error"]
        assert isinstance(e, str) if path == "/api/chat" else e["code"] == ("1302" if "paas" in path else 429)
    # What costs nothing is not counted.
    assert all(s.get("/health").status == 200 for _ in range(30))
    assert all(s.get("/v1/models", {"Authorization": "Bearer one"}).status == 200 for _ in range(30))
    s.auth = {"x-api-key": "one"}
    s.stop()


def test_concurrency(program):
    s = Server(program, "--api-key", "one", "--api-key", "two", "--key-concurrent", "2")
    slow = {"model": MODEL, "stream": True, "messages": say("t</think>" + "a " * 400, token_ms=50)}
    open_streams = []
    for _ in range(2):
        c = s.connect()
        c.request("POST", "/v1/chat/completions", json.dumps(slow), {"Authorization": "Bearer one", "Content-Type": "application/json"})
        assert c.getresponse().status == 200
        open_streams.append(c)
    r = s.post("/v1/chat/completions", CHAT, {"Authorization": "Bearer one"})
    assert r.status == 429 and int(r.headers["Retry-After"]) >= 1
    assert s.post("/v1/chat/completions", CHAT, {"Authorization": "Bearer two"}).status == 200
    open_streams.pop().sock.shutdown(socket.SHUT_RDWR)
    until = time.monotonic() + 5 * SLOW
    while s.post("/v1/chat/completions", CHAT, {"Authorization": "Bearer one"}).status != 200:
        assert time.monotonic() < until, "a client that left still counts"
        time.sleep(0.1)
    for c in open_streams:
        c.close()
    s.auth = {"x-api-key": "one"}
    s.stop()


def test_limits_of_one_key(program, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("small rate=3\nlarge\n")
    keys.chmod(0o600)
    s = Server(program, "--api-key-file", str(keys))
    small = [s.post("/v1/chat/completions", CHAT, {"Authorization": "Bearer small"}).status for _ in range(5)]
    large = [s.post("/v1/chat/completions", CHAT, {"Authorization": "Bearer large"}).status for _ in range(8)]
    assert small == [200] * 3 + [429] * 2 and large == [200] * 8
    s.auth = {"x-api-key": "large"}
    s.stop()


# ---- CORS ----------------------------------------------------------------------------------------


def test_cors(program):
    s = Server(program, "--cors", "https://app.example", "--cors", "http://localhost:3000", "--api-key", "k")
    origin = {"Origin": "https://app.example"}
    pre = s.ask("OPTIONS", "/v1/chat/completions", headers={**origin, "Access-Control-Request-Method": "POST",
                                                            "Access-Control-Request-Headers": "authorization, x-stainless-os"})
    assert pre.status == 204 and pre.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "x-stainless-os" in pre.headers["Access-Control-Allow-Headers"] and "POST" in pre.headers["Access-Control-Allow-Methods"]
    for headers, status in (({**origin, "x-api-key": "k"}, 200), (origin, 401)):  # errors are readable too
        r = s.post("/v1/chat/completions", CHAT, headers)
        assert r.status == status and r.headers["Access-Control-Allow-Origin"] == "https://app.example" and "Origin" in r.headers["Vary"]
    r = s.post("/v1/chat/completions", {**CHAT, "stream": True}, {**origin, "x-api-key": "k"})
    assert r.headers["Access-Control-Allow-Origin"] == "https://app.example" and chunks(r.text)
    for other in ("https://evil.example", "null", "https://app.example.evil", "https://app.example\tx"):
        r = s.post("/v1/chat/completions", CHAT, {"Origin": other, "x-api-key": "k"})
        assert "Access-Control-Allow-Origin" not in r.headers, other
    bad = s.ask("OPTIONS", "/v1/models", headers={**origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "a:b"})
    assert "a:b" not in bad.headers["Access-Control-Allow-Headers"]
    s.auth = {"x-api-key": "k"}
    s.stop()
    s = Server(program, "--cors", "*")
    assert s.get("/v1/models", {"Origin": "https://any.example"}).headers["Access-Control-Allow-Origin"] == "*"
    s.stop()
    r = subprocess.run([program, "serve", "--cors", "app.example/x"], capture_output=True, text=True, timeout=60)
    assert r.returncode == 2 and "app.example/x" in r.stderr


# ---- the log and the metrics -----------------------------------------------------------------------


def test_traceparent(program):
    s = Server(program)
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    s.post("/v1/chat/completions", CHAT, {"traceparent": f"00-{trace}-{span}-01", "x-request-id": "traced"})
    for wrong in (f"00-{'0' * 32}-{span}-01", "nonsense", f"00-{trace.upper()}-{span}-01", f"00-{trace}-{span}-01 x=y"):
        s.post("/v1/chat/completions", CHAT, {"traceparent": wrong, "x-request-id": "untraced"})
    s.stop()
    traced = [x for x in s.stderr if "id=traced" in x]
    assert len(traced) == 1 and f"trace={trace}" in traced[0] and f"span={span}" in traced[0]
    assert not any("trace=4bf9" in x.lower() for x in s.stderr if "id=untraced" in x)
    assert not any("</think>" in x for x in s.stderr), "the text of a request is in the log"


def test_llama_metrics(scripted):
    before = scripted.metric("llamacpp:tokens_predicted_total")
    u = scripted.post("/v1/chat/completions", {"model": MODEL, "messages": say("t</think>one two three")}).json()["usage"]
    assert scripted.metric("llamacpp:tokens_predicted_total") - before == u["completion_tokens"]
    for name in ("prompt_tokens_total", "prompt_seconds_total", "tokens_predicted_seconds_total", "prompt_tokens_seconds",
                 "predicted_tokens_seconds", "requests_processing", "requests_deferred", "n_tokens_max", "n_decode_total"):
        assert scripted.metric("llamacpp:" + name) >= 0
    assert scripted.metric("llamacpp:requests_processing") == 0 and scripted.metric("llamacpp:tokens_predicted_seconds_total") > 0
    text = scripted.get("/metrics").text
    assert text.count("# TYPE llamacpp:tokens_predicted_total counter") == 1


# ---- the service manager ---------------------------------------------------------------------------


def test_notify_and_inherited_sockets(program, tmp_path):
    """READY when the model is there, STOPPING at the end; listening sockets that were opened for us."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(30 * SLOW)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("GLIM_", "GLM_"))}
    env.update(NOTIFY_SOCKET=str(tmp_path / "notify"), LISTEN_FDS="1", WATCHDOG_USEC="2000000")

    def give():
        os.dup2(listener.fileno(), 3)

    p = subprocess.Popen(["sh", "-c", 'LISTEN_PID=$$ exec "$0" serve', program], env=env, pass_fds=(3,) if listener.fileno() == 3 else (),
                         preexec_fn=give, close_fds=False, stderr=subprocess.PIPE, text=True)
    listener.close()
    try:
        heard = ""
        while "READY=1" not in heard:
            heard += manager.recv(4096).decode() + "\n"
        assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
        while "WATCHDOG=1" not in heard:
            heard += manager.recv(4096).decode() + "\n"
        p.send_signal(signal.SIGHUP)
        while "RELOADING=1" not in heard or heard.rindex("READY=1") < heard.rindex("RELOADING=1"):
            heard += manager.recv(4096).decode() + "\n"
        p.send_signal(signal.SIGTERM)
        while "STOPPING=1" not in heard:
            heard += manager.recv(4096).decode() + "\n"
        assert p.wait(30 * SLOW) == 0
    finally:
        if p.poll() is None:
            p.kill()
            p.wait()
        manager.close()


# ---- SGLang's command line -------------------------------------------------------------------------


def test_s1_command_line(program):
    """The tutorial's flags, on a loopback port; what has no effect is said in a line each."""
    from conftest import GLIM

    model = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "models", "glim-demo.gguf")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = (f"--model-path {model} --host 127.0.0.1 --port {port} --tp-size 4 --ep-size 8 --tool-call-parser glm47 --reasoning-parser glm45 "
             "--speculative-algorithm EAGLE --speculative-num-steps 3 --speculative-eagle-topk 1 --speculative-num-draft-tokens 4 "
             "--mem-fraction-static 0.8 --served-model-name glm-4.7-flash --trust-remote-code --max-model-len 2048").split()
    s = Server(GLIM or program, *flags, listen=False)
    client = OpenAI(api_key="EMPTY", base_url=s.v1)
    models = client.models.list().data
    assert models[0].id == "glm-4.7-flash" and models[0].max_model_len == 2048
    for flag in ("--tp-size", "--ep-size", "--tool-call-parser", "--reasoning-parser", "--speculative-algorithm", "--mem-fraction-static",
                 "--trust-remote-code"):
        assert len([x for x in s.stderr if flag in x]) == 1, (flag, s.log())
    s.stop()
    for extra, code in (([], 2), (["--insecure"], None)):
        r = None
        try:
            r = subprocess.run([program, "serve", "--model-path", model, "--host", "0.0.0.0", "--port", "0", *extra], capture_output=True,
                               text=True, timeout=3 * SLOW)
        except subprocess.TimeoutExpired as e:
            assert code is None and b"listening at http://0.0.0.0" in (e.stderr or b"")
        if code is not None:
            assert r is not None and r.returncode != 0 and "--insecure" in r.stderr and "--api-key" in r.stderr, r
