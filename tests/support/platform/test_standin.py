# SPDX-License-Identifier: MIT
"""The stand-in itself, in plain HTTP: what it demands of a request, each scripted failure as bytes on the wire, the log."""
import gzip
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse

import pytest
from standin import Platform

HERE = os.path.dirname(os.path.abspath(__file__))
PAAS = "/api/paas/v4"
CHAT = PAAS + "/chat/completions"
ASK = {"model": "glm-4", "messages": [{"role": "user", "content": "hello"}]}
AUTH = {"Authorization": "Bearer testid.testsecret"}


class Answer:
    def __init__(self, reply):
        self.status, self.headers = reply.status, reply.headers
        self.body = reply.read()

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json()["error"]["code"]


def ask(platform, method, path, body=None, headers=AUTH, base=None):
    address = urllib.parse.urlsplit(base or platform.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=5)
    try:
        head = dict(headers)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            head.setdefault("Content-Type", "application/json")
        connection.request(method, path, body, head)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def raw(platform, data, seconds=5):
    """Everything that comes back for some bytes."""
    with socket.create_connection(("127.0.0.1", int(platform.url.rsplit(":", 1)[1])), timeout=seconds) as s:
        s.sendall(data)
        out = b""
        try:
            while part := s.recv(65536):
                out += part
        except (socket.timeout, ConnectionResetError):
            pass
        return out


def request_bytes(body=ASK, path=CHAT, method="POST", headers=()):
    data = json.dumps(body).encode() if body is not None else b""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Authorization: Bearer testid.testsecret",
             "Content-Type: application/json", *headers]
    if not any(h.lower().startswith(("content-length", "transfer-encoding")) for h in headers):
        lines.append(f"Content-Length: {len(data)}")
    return "\r\n".join(lines).encode() + b"\r\nConnection: close\r\n\r\n" + data


# ---- what it demands -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value,code", [
    (None, "1001"), ("", "1001"), ("testid.testsecret", "1002"), ("Basic eA==", "1002"), ("Bearer", "1002"),
    ("Bearer  testid.testsecret", "1002"), ("Bearer testid", "1002"), ("Bearer testid.x", "1004"), ("Bearer e30.e30.e30", "1002"),
])
def test_keys(platform, value, code):
    r = ask(platform, "GET", PAAS + "/models", headers={} if value is None else {"Authorization": value})
    assert r.status == 401 and r.code == code and r.json()["request_id"] == r.headers["x-request-id"]


@pytest.mark.parametrize("method,path,status,code", [
    ("GET", "/nothing", 404, "1222"), ("GET", "/chat/completions", 405, "1212"), ("DELETE", "/files", 405, "1212"),
    ("POST", "/chat/completions/more", 404, "1222"), ("GET", "/files/nobody", 404, "1214"),
    ("GET", "/files?limit=0", 400, "1214"), ("GET", "/files?purpose=x", 400, "1214"), ("GET", "/batches?after=x", 400, "1214"),
])
def test_paths(platform, method, path, status, code):
    r = ask(platform, method, PAAS + path)
    assert (r.status, r.code) == (status, code) and (status != 405 or r.headers["Allow"])


@pytest.mark.parametrize("body,headers", [
    (b"{", {}), (b'{"model":"glm-4","model":"glm-4"}', {}), (b'{"model":"\xff"}', {}), (b'{"seed":NaN}', {}), (b"[]", {}),
    (b"{} {}", {}), (b"", {}), (b"{}", {"Content-Type": "text/plain"}), (b"[" * 100000, {}),
])
def test_bodies(platform, body, headers):
    r = ask(platform, "POST", CHAT, body, {**AUTH, "Content-Type": "application/json", **headers})
    assert r.status == 400 and r.code == "1210"


WHOLE = {  # a body with many members for each call, from which the wrong ones are made
    CHAT: {"model": "glm-4.6v", "stream": True, "thinking": {"type": "enabled", "clear_thinking": True}, "temperature": 0.5,
           "max_tokens": 9, "stop": ["x"], "response_format": {"type": "text"}, "user_id": "user-1", "meta": None, "messages": [
               {"role": "user", "content": [{"type": "text", "text": "call f {}"}, {"type": "image_url", "image_url": {"url": "aGk="}}]},
               {"role": "assistant", "content": None, "tool_calls": [
                   {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
               {"role": "tool", "tool_call_id": "a", "content": "1"}],
           "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}},
                     {"type": "web_search", "web_search": {"enable": "True", "count": "5", "search_result": True}}]},
    PAAS + "/embeddings": {"model": "embedding-3", "input": ["a"], "dimensions": 256},
    PAAS + "/rerank": {"model": "rerank", "query": "a", "documents": ["b"], "top_n": 1, "return_documents": True},
    PAAS + "/tokenizer": {"model": "glm-4", "messages": ASK["messages"], "tools": []},
    PAAS + "/batches": {"input_file_id": "x", "endpoint": "/v4/chat/completions", "metadata": {}},
    PAAS + "/images/generations": {"model": "cogview-4", "prompt": "x", "size": "512x512", "response_format": "url"},
    PAAS + "/videos/generations": {"model": "cogvideox-2", "prompt": "x", "image_url": {"first": "aGk="}, "fps": 30},
    PAAS + "/audio/speech": {"model": "glm-tts", "input": "x", "voice": "v", "stream": True, "speed": 1.0},
    PAAS + "/web_search": {"search_engine": "search_std", "search_query": "x", "count": 3, "search_intent": True},
    PAAS + "/reader": {"url": "https://example.invalid/", "timeout": 3, "return_format": "text"},
    PAAS + "/tools": {"model": "web-search-pro", "messages": ASK["messages"], "stream": True},
    PAAS + "/moderations": {"model": "moderation", "input": ["x"]},
    "/v1/chat/completions": {**ASK, "stream": True, "stream_options": {"include_usage": True}, "n": 2, "tool_choice": "auto",
                             "thinking": {"type": "enabled"}, "response_format": {"type": "text"}, "stop": "x"},
    "/v1/completions": {"model": "glm-4", "prompt": ["a"], "stop": ["x"], "n": 2, "echo": True},
    "/v1/embeddings": {"model": "embedding-3", "input": ["a"], "encoding_format": "base64", "dimensions": 256},
    "/api/chat": {"model": "glm-4.7", "stream": False, "think": True, "options": {"num_predict": 3, "stop": ["x"]}, "messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}]},
    "/api/generate": {"model": "glm-4.7", "prompt": "x", "format": "json", "images": ["aGk="], "options": {"seed": 1}},
    "/api/embed": {"model": "embedding-3", "input": ["x"], "dimensions": 8},
    "/api/show": {"model": "glm-4"},
    "/api/pull": {"model": "glm-4", "stream": False},
}
WRONG = (None, True, -1, 10**30, 0.5, "", "x", [], [None], [[]], ["x"], {}, {"type": []}, {"a": {"b": []}})


def variants(value):
    """The value with each member, at any depth, replaced by each wrong one in turn, and with each one left out."""
    if isinstance(value, (dict, list)):
        for k in value if isinstance(value, dict) else range(len(value)):
            rest = value.copy()
            del rest[k]
            yield rest
            for inside in (*WRONG, *variants(value[k])):
                other = value.copy()
                other[k] = inside
                yield other


@pytest.mark.parametrize("path", WHOLE)
def test_wrong_members(platform, path):
    """Any member of any call may be of any type: an answer or a refusal, never a fault (the fixture looks for `bug`)."""
    address = urllib.parse.urlsplit(platform.url)
    c = http.client.HTTPConnection(address.hostname, address.port, timeout=5)
    seen = {}
    for body in variants(WHOLE[path]):
        c.request("POST", path, json.dumps(body), {**AUTH, "Content-Type": "application/json"})
        r = Answer(c.getresponse())
        seen[r.status] = seen.get(r.status, 0) + 1
        assert r.status == 200 or (r.status in (400, 404) and r.json()["error"]), (body, r.body)
    c.close()
    assert seen.get(400), seen


def test_a_body_that_is_too_long(platform):
    platform.set(max_body=100)
    r = ask(platform, "POST", CHAT, b" " * 101, {**AUTH, "Content-Type": "application/json"})
    assert r.status == 435 and r.code == "1210"


@pytest.mark.parametrize("headers,body,status", [
    (["Transfer-Encoding: chunked"], b"%x\r\n%s\r\n0\r\n\r\n", 200),
    (["Transfer-Encoding: chunked"], b"%x;name=value\r\n%s\r\n0\r\nTrailer: x\r\n\r\n", 200),
    (["Transfer-Encoding: chunked"], b"zz%x\r\n%s\r\n0\r\n\r\n", 400),
    (["Transfer-Encoding: gzip"], b"%x%s", 400),
    (["Transfer-Encoding: chunked", "Content-Length: 5"], b"%x%s", 400),
    (["Content-Length: 5", "Content-Length: 6"], b"%x%s", 400),
    (["Content-Length: -5"], b"%x%s", 400),
])
def test_framing(platform, headers, body, status):
    data = json.dumps(ASK).encode()
    out = raw(platform, request_bytes(None, headers=headers) + body % (len(data), data))
    assert out.startswith(b"HTTP/1.1 %d " % status), out
    assert platform.log()[0]["status"] == status and bool(platform.log()[0]["problems"]) is (status == 400)


def test_problems_are_noted(platform):
    raw(platform, b"GET " + PAAS.encode() + b"/models HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    assert len(platform.log()[0]["problems"]) == 2, "no Host, and a body with GET"


def form(boundary, *parts, end=b"--"):
    return b"".join(b"--" + boundary + b"\r\n" + p + b"\r\n" for p in parts) + b"--" + boundary + end + b"\r\n"


PURPOSE = b'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch'
FILE = b'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\nContent-Type: text/plain\r\n\r\ndata'


@pytest.mark.parametrize("body,code", [
    (form(b"x", PURPOSE, FILE), None),
    (form(b"x", FILE, PURPOSE), None),
    (form(b"x", PURPOSE), "1213"),
    (form(b"x", FILE), "1213"),
    (form(b"x", FILE, PURPOSE, PURPOSE), "1210"),
    (form(b"x", FILE, PURPOSE.replace(b"batch", b"none")), "1214"),
    (form(b"x", FILE.replace(b"a.jsonl", b"../a"), PURPOSE), "1214"),
    (form(b"x", FILE.replace(b"a.jsonl", b""), PURPOSE), "1214"),
    (form(b"x", FILE.replace(b"\r\n\r\ndata", b"\r\n\r\n"), PURPOSE), "1214"),
    (form(b"x", FILE, PURPOSE, end=b""), "1210"),
    (form(b"y", FILE, PURPOSE), "1210"),
    (form(b"x", FILE, PURPOSE).replace(b"\r\n", b"\n"), "1210"),
    (form(b"x", FILE, PURPOSE.replace(b"form-data", b"attachment")), "1210"),
    (form(b"x", FILE, PURPOSE.replace(b'"purpose"', b"pur pose")), "1210"),
    (form(b"x", FILE, PURPOSE) + b"more", "1210"),
    (b"before\r\n" + form(b"x", FILE, PURPOSE), "1210"),
])
def test_forms(platform, body, code):
    r = ask(platform, "POST", PAAS + "/files", body, {**AUTH, "Content-Type": "multipart/form-data; boundary=x"})
    assert (r.status, r.code if code else None) == ((400, code) if code else (200, None)), r.body


def test_unknown_members_are_noted(platform):
    ask(platform, "POST", CHAT, {**ASK, "top_q": 1, "messages": [{**ASK["messages"][0], "colour": "red"}]})
    assert platform.log()[0]["unknown"] == ["top_q", "messages[0].colour"] and platform.log()[0]["status"] == 200


def test_rerank_and_tokenizer(platform):
    r = ask(platform, "POST", PAAS + "/rerank", {"model": "rerank", "query": "red fox", "top_n": 2, "return_documents": True,
                                                "documents": ["a dog", "the red fox", "a red cat"]})
    found = [(x["index"], x["relevance_score"], x["document"]) for x in r.json()["results"]]
    assert found == [(1, 1.0, "the red fox"), (2, 0.5, "a red cat")]
    r = ask(platform, "POST", PAAS + "/tokenizer", {k: ASK[k] for k in ("model", "messages")})
    assert r.json()["usage"]["total_tokens"] == ask(platform, "POST", CHAT, ASK).json()["usage"]["prompt_tokens"] == 2


def test_shape_of_a_stream(platform):
    """The platform's own way: a role in each delta; the reason to end and the usage in the last and only there."""
    r = ask(platform, "POST", CHAT, {**ASK, "stream": True, "request_id": "request-1"})
    assert r.headers["Content-Type"] == "text/event-stream;charset=UTF-8" and r.headers["x-request-id"] == "request-1"
    chunks = [json.loads(e.removeprefix(b"data: ")) for e in events(r)[:-1]]
    assert {c["id"] for c in chunks} == {chunks[0]["id"]} and all(len(c["choices"]) == 1 for c in chunks)
    assert all(c["choices"][0]["delta"]["role"] == "assistant" and c["request_id"] == "request-1" for c in chunks)
    assert ["finish_reason" in c["choices"][0] for c in chunks] == ["usage" in c for c in chunks] == [False] * 3 + [True]


def test_fresh_means_the_same_bytes(platform):
    first = ask(platform, "POST", CHAT, {**ASK, "stream": True}).body
    platform.reset()
    assert ask(platform, "POST", CHAT, {**ASK, "stream": True}).body == first


# ---- scripted failures -----------------------------------------------------------------------------------


def events(answer):
    return [e for e in answer.body.split(b"\n\n") if e]


def test_status_in_each_dialect(platform):
    step = {"status": 429, "code": "1302", "headers": {"Retry-After": "7", "x-should-retry": "false"}, "times": 0}
    platform.script(step)
    r = ask(platform, "POST", CHAT, ASK)
    assert (r.status, r.code, r.headers["Retry-After"], r.headers["x-should-retry"]) == (429, "1302", "7", "false")
    assert ask(platform, "POST", "/v1/chat/completions", ASK).json()["error"]["type"] == "rate_limit_error"
    assert isinstance(ask(platform, "POST", "/api/chat", ASK).json()["error"], str)
    assert platform.log()[0]["json"] == ASK and platform.log()[0]["step"] == 1


def test_steps_are_taken_in_order(platform):
    platform.script({"path": "*/embeddings", "status": 500}, {"path": CHAT, "times": 2},
                    {"path": CHAT, "method": "POST", "status": 503, "name": "third"})
    assert [ask(platform, "POST", CHAT, ASK).status for _ in range(4)] == [200, 200, 503, 200]
    assert [e.get("step") for e in platform.log()] == [1, 2, "third", None]
    assert ask(platform, "GET", "/__script").json()[0]["status"] == 500


def test_cut_stream(platform):
    whole = ask(platform, "POST", CHAT, {**ASK, "stream": True}).body
    for n in (0, 1, 100, len(whole) - 1, len(whole)):
        platform.reset()
        platform.script({"cut_after": n})
        with pytest.raises(http.client.IncompleteRead) as caught:
            ask(platform, "POST", CHAT, {**ASK, "stream": True})
        assert caught.value.partial == whole[:n]


def test_closed_and_silent(platform):
    platform.script({"close": "end"}, {"close": "reset"}, {"silent": True})
    for _ in range(2):
        assert raw(platform, request_bytes()) == b""
    began = time.monotonic()
    assert raw(platform, request_bytes(), 0.2) == b"" and time.monotonic() - began < 3
    until = time.monotonic() + 5
    while not platform.log()[2].get("gone"):
        assert time.monotonic() < until, "it was never seen that the client left"
        time.sleep(0.01)


def test_delay(platform):
    platform.script({"delay_ms": 200})
    began = time.monotonic()
    assert ask(platform, "POST", CHAT, ASK).status == 200 and time.monotonic() - began >= 0.2


@pytest.mark.parametrize("stream", [False, True])
def test_broken_content(platform, stream):
    platform.script({"broken_utf8": True}, {"broken_json": True}, {"content_type": "text/html"}, {"gzip": True})
    body = {**ASK, "stream": stream}
    with pytest.raises(UnicodeDecodeError):
        ask(platform, "POST", CHAT, body).body.decode("utf-8")
    broken = ask(platform, "POST", CHAT, body)
    with pytest.raises(json.JSONDecodeError):
        [json.loads(e.removeprefix(b"data: ")) for e in events(broken)]
    assert not stream or events(broken)[-1] == b"data: [DONE]", "only one event is broken"
    assert ask(platform, "POST", CHAT, body).headers["Content-Type"] == "text/html"
    packed = ask(platform, "POST", CHAT, body)
    assert packed.headers["Content-Encoding"] == "gzip" and b"echo" in gzip.decompress(packed.body)


def test_orders_of_events(platform):
    def run(how):
        platform.reset()
        if how:
            platform.script({"events": how})
        return events(ask(platform, "POST", CHAT, {**ASK, "stream": True}))

    right = run(None)
    assert len(right) == 5 and right[-1] == b"data: [DONE]" and b"finish_reason" in right[-2]
    assert run("reversed") == right[::-1] and run("no_done") == right[:-1] and run("none") == []
    assert run("done_first") == [right[-1], *right[:-1]] and run("finish_first") == [right[-2], *right[:-2], right[-1]]
    assert run("doubled") == [e for r in right for e in (r, r)]
    assert run([": comment\n\n", "data: {}\r\n\r\n"]) == [b": comment", b"data: {}\r\n\r\n"]


def test_redirect_to_another_host(platform):
    platform.script({"redirect": platform.files_url + "/elsewhere", "status": 307})
    r = ask(platform, "POST", CHAT, ASK)
    assert r.status == 307 and r.headers["Location"] == platform.files_url + "/elsewhere"
    assert ask(platform, "POST", "/elsewhere", ASK, {}, platform.files_url).status == 404
    assert [e["listener"] for e in platform.log()] == ["main", "files"]


def test_endless_body(platform):
    platform.script({"endless": "data: {}\n\n"})
    with socket.create_connection(("127.0.0.1", int(platform.url.rsplit(":", 1)[1])), timeout=5) as s:
        s.sendall(request_bytes())
        seen = 0
        while seen < 1_000_000:
            seen += len(s.recv(65536))
    until = time.monotonic() + 5
    while not platform.log()[0].get("gone"):
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("off", [5, -5])
def test_wrong_length(platform, off):
    true = len(ask(platform, "POST", CHAT, ASK).body)
    platform.reset()
    platform.script({"length_off": off})
    head, _, body = raw(platform, request_bytes()).partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % (true + off) in head and len(body) == true


def test_slow_bytes(platform):
    platform.script({"slow_bytes": 50, "slow_ms": 5})
    began = time.monotonic()
    r = ask(platform, "POST", CHAT, ASK)
    assert r.status == 200 and time.monotonic() - began > (len(r.body) // 50 - 1) * 0.005


def test_raw_reply(platform):
    platform.script({"raw": "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd"}, {"raw_base64": "gP8="})
    assert raw(platform, request_bytes()).endswith(b"\r\n\r\nabcd") and raw(platform, request_bytes()) == b"\x80\xff"


@pytest.mark.parametrize("step", [
    {"statsu": 500}, {"status": "500"}, {"status": 99}, {"close": "softly"}, {"events": "shuffled"}, {"delay_ms": -1},
    {"broken_json": 1}, {"raw_base64": "?"}, {"endless": ""}, 5,
])
def test_a_wrong_script_is_refused(platform, step):
    r = ask(platform, "POST", "/__script", [step])
    assert r.status == 400 and r.json()["error"] and ask(platform, "GET", "/__script").json() == []


# ---- downloads -------------------------------------------------------------------------------------------


def make_picture(platform):
    url = ask(platform, "POST", PAAS + "/images/generations", {"model": "cogview-4", "prompt": "x"}).json()["data"][0]["url"]
    return urllib.parse.urlsplit(url).path


def test_downloads_go_on(platform):
    path = make_picture(platform)
    whole = ask(platform, "GET", path, headers={}, base=platform.files_url)
    assert whole.headers["Content-Disposition"] == 'attachment; filename="picture.png"'
    rest = ask(platform, "GET", path, headers={"Range": "bytes=10-"}, base=platform.files_url)
    assert rest.status == 206 and rest.body == whole.body[10:]
    assert rest.headers["Content-Range"] == f"bytes 10-{len(whole.body) - 1}/{len(whole.body)}"
    assert ask(platform, "GET", path, headers={"Range": "bytes=99999-"}, base=platform.files_url).status == 416
    assert ask(platform, "GET", path).status == 404, "not at the address of the API"


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\\..\\b", "..", "x\ty", "名字"])
def test_tricks_with_names(platform, name):
    path = make_picture(platform)
    platform.script({"path": "/media/*", "disposition": f'attachment; filename="{name}"'})
    r = ask(platform, "GET", path, headers={}, base=platform.files_url)
    assert r.headers["Content-Disposition"].encode("latin-1").decode() == f'attachment; filename="{name}"'


def test_download_is_cut(platform):
    path = make_picture(platform)
    platform.script({"path": "/media/*", "cut_after": 10})
    with pytest.raises(http.client.IncompleteRead):
        ask(platform, "GET", path, headers={}, base=platform.files_url)


# ---- control ---------------------------------------------------------------------------------------------


def test_control(platform):
    ask(platform, "POST", CHAT, ASK)
    ask(platform, "GET", PAAS + "/models")
    log = ask(platform, "GET", "/__log").json()
    assert [e["path"] for e in log] == [CHAT, PAAS + "/models"] and log[0]["json"] == ASK
    assert len(ask(platform, "GET", "/__log?path=*/models").json()) == 1
    assert ask(platform, "POST", "/__script", {"status": 500}).status == 200
    assert ask(platform, "DELETE", "/__script").status == 200 and ask(platform, "POST", CHAT, ASK).status == 200
    assert ask(platform, "DELETE", "/__log").status == 200 and ask(platform, "GET", "/__log").json() == []
    assert ask(platform, "POST", "/__settings", {"polls": 0}).json()["polls"] == 0
    for wrong in ({"pols": 0}, {"polls": "0"}, []):
        assert ask(platform, "POST", "/__settings", wrong).status == 400
    assert ask(platform, "POST", "/__reset").status == 200 and platform.site.settings["polls"] == 2
    assert ask(platform, "GET", "/__nothing").status == 404


def test_keys_do_not_see_each_other():
    with Platform(keys=("one.a", "two.b")) as platform:
        body = form(b"x", PURPOSE, FILE)
        head = {"Authorization": "Bearer one.a", "Content-Type": "multipart/form-data; boundary=x"}
        made = ask(platform, "POST", PAAS + "/files", body, head).json()
        for key, status in (("one.a", 200), ("two.b", 404)):
            assert ask(platform, "GET", f"{PAAS}/files/{made['id']}", headers={"Authorization": "Bearer " + key}).status == status


def test_as_a_program():
    p = subprocess.Popen([sys.executable, HERE, "--key", "a.b", "--set", "polls=0", "--until-eof"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        url, files_url = p.stdout.readline().decode().split()
        platform = type("Address", (), {"url": url})
        assert files_url != url and ask(platform, "GET", PAAS + "/models", headers={"Authorization": "Bearer a.b"}).status == 200
        p.stdin.close()
        assert p.wait(5) == 0
    finally:
        p.kill()
        p.wait()
        p.stdout.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
def test_tls(tmp_path):
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=stand-in", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    with Platform(cert=(cert, key)) as platform:
        address = urllib.parse.urlsplit(platform.url)
        assert address.scheme == "https"
        c = http.client.HTTPSConnection(address.hostname, address.port, timeout=5, context=ssl.create_default_context(cafile=cert))
        c.request("POST", CHAT, json.dumps({**ASK, "stream": True}), {**AUTH, "Content-Type": "application/json"})
        assert c.getresponse().read().endswith(b"data: [DONE]\n\n")
        c.close()
        c = http.client.HTTPSConnection(address.hostname, address.port, timeout=5, context=ssl.create_default_context())
        with pytest.raises(ssl.SSLCertVerificationError):
            c.request("GET", "/")
