# SPDX-License-Identifier: MIT
"""What clients ask besides chats, in plain HTTP and with the openai package: models, tokens, templates, health, counters,
methods, Host names, keys."""
import json

import openai
import pytest
from openai import OpenAI

from server import MODEL, raw_exchange, say

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hello, 世界 🙂!"}]}


# ---- models ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mount", ["v1", "paas", "coding"])
def test_models(demo, mount):
    client = OpenAI(api_key="EMPTY", base_url=getattr(demo, mount), max_retries=0)
    data = client.models.list().data
    assert data and data[0].object == "model" and data[0].owned_by and data[0].created > 0
    r = client.chat.completions.create(model=data[0].id, messages=say("x"), max_tokens=1)
    assert r.model == data[0].id
    assert {"glm-4", "charglm-3"} <= {m.id for m in data}
    assert data[0].max_model_len == 4096


@pytest.mark.parametrize("name", ["glm-4.7-flash", "zai-org/GLM-4.7-Flash", "ZhipuAI/GLM-4.7-Flash", "GLM-4.7-FLASH",
                                  "glm-4.7-flash:latest", "glm-4.7-flash:8b", "glm-4.7-flash:16b", "default", "", "glm-4"])
def test_model_names(scripted, name):
    for path in ("/v1/chat/completions", "/api/paas/v4/chat/completions"):
        r = scripted.post(path, {"model": name, "messages": say("t</think>ok")})
        assert r.status == 200, (name, r)
        if name:
            assert r.json()["model"] == name


def test_request_id_of_a_body_stays_in_the_body(scripted):
    """A name from the body may hold anything, a line break too; the header carries only what was fit for one."""
    name = "abc\r\nx-evil: 1\r\n\r\nHTTP/1.1 200 OK"
    for stream in (False, True):
        r = scripted.post("/api/paas/v4/chat/completions",
                          {"model": MODEL, "messages": say("t</think>ok"), "request_id": name, "stream": stream})
        assert r.status == 200 and "x-evil" not in r.headers, r
        assert r.headers["x-request-id"].startswith("req_")
        text = r.text.split("data: ")[1] if stream else r.text
        assert json.loads(text)["request_id"] == name
    r = scripted.post("/api/paas/v4/tokenizer", {"model": MODEL, "messages": say("x"), "request_id": name})
    assert r.status == 200 and "x-evil" not in r.headers and r.json()["request_id"] == name, r
    r = scripted.ask("GET", "/health", headers={"x-request-id": "mine-1"})
    assert r.headers["x-request-id"] == "mine-1"


def test_model_retrieve(demo):
    client = OpenAI(api_key="EMPTY", base_url=demo.v1, max_retries=0)
    assert client.models.retrieve("zai-org/GLM-4.7-Flash").object == "model"
    assert demo.get("/v1/models/zai-org/GLM-4.7-Flash").status == 200
    assert demo.get("/v1/models/zai-org%2FGLM-4.7-Flash").status == 200
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing/here")


# ---- tokens ----------------------------------------------------------------------------------------

TEXT = "Hello, 世界 🙂! <|user|>"


def test_tokenize_llama(demo):
    r = demo.post("/tokenize", {"content": TEXT})
    assert r.status == 200 and list(r.json()) == ["tokens"]
    ids = r.json()["tokens"]
    assert all(isinstance(i, int) for i in ids)
    plain = demo.post("/tokenize", {"content": TEXT, "parse_special": False}).json()["tokens"]
    assert len(plain) > len(ids)
    for tokens in (ids, plain):
        back = demo.post("/detokenize", {"tokens": tokens})
        assert back.status == 200 and back.json()["content"] == TEXT
    pieces = demo.post("/tokenize", {"content": "世界 a", "with_pieces": True}).json()["tokens"]
    assert all(isinstance(t["id"], int) and "piece" in t for t in pieces)
    assert demo.post("/tokenize", {"content": ""}).json()["tokens"] == []


@pytest.mark.parametrize("path", ["/tokenize", "/v1/tokenize"])
def test_tokenize_sglang(demo, path):
    r = demo.post(path, {"model": MODEL, "prompt": "Hello there"}).json()
    assert r["count"] == len(r["tokens"]) > 0 and r["max_model_len"] == 4096
    assert demo.post("/tokenize", {"content": "Hello there"}).json()["tokens"] == r["tokens"]
    chat = demo.post(path, CHAT).json()
    usage = demo.post("/v1/chat/completions", dict(CHAT, max_tokens=1)).json()["usage"]
    assert chat["count"] == usage["prompt_tokens"]


def test_tokenize_legacy(demo):
    r = demo.post("/tokenize", {"prompt": "你好，世界 and more words", "max_tokens": 4})
    assert r.status == 200, r
    body = r.json()
    assert body["object"] == "tokenizer" and body["model"] and len(body["tokenIds"]) == 4
    assert all(isinstance(i, int) for i in body["tokenIds"]) and all(isinstance(t, str) for t in body["tokens"])
    # Pieces are text: never the letters of a byte alphabet.
    assert not any(c in "".join(body["tokens"]) for c in "ĠĊäå")
    for bad in ({"prompt": "x", "max_tokens": -1}, {"prompt": None, "max_tokens": 4}, {}):
        assert demo.post("/tokenize", bad).status == 400, bad


def test_tokenize_zhipu_equals_the_chat(demo):
    for extra in ({}, {"thinking": {"type": "disabled"}}):
        r = demo.post("/api/paas/v4/tokenizer", {**CHAT, **extra})
        assert r.status == 200, r
        usage = demo.post("/api/paas/v4/chat/completions", {**CHAT, **extra, "max_tokens": 1}).json()["usage"]
        assert r.json()["usage"]["prompt_tokens"] == usage["prompt_tokens"]
        assert r.json()["usage"]["total_tokens"] == usage["prompt_tokens"] and r.json()["id"] and r.json()["created"]


def test_detokenize_errors(demo):
    for bad in ({"tokens": "x"}, {"tokens": [-1]}, {"tokens": [10**9]}, {"tokens": [1.5]}, {}):
        r = demo.post("/detokenize", bad)
        assert r.status == 400 and r.json()["error"]["message"], (bad, r)


def test_apply_template(demo):
    prompt = demo.prompt(CHAT)
    assert prompt == "[gMASK]<sop><|user|>Hello, 世界 🙂!<|assistant|><think>"
    assert demo.prompt(dict(CHAT, thinking={"type": "disabled"})) == \
        "[gMASK]<sop><|user|>Hello, 世界 🙂!<|assistant|></think>"
    ids = demo.post("/tokenize", {"content": prompt}).json()["tokens"]
    assert len(ids) == demo.post("/tokenize", CHAT).json()["count"]
    assert demo.post("/apply-template", {"model": MODEL}).status == 400


def test_special_text_of_a_user_stays_text(demo):
    """What a user types cannot end a turn: it is tokenised as ordinary text."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "<|user|>"}]}
    raw = demo.post("/tokenize", {"content": demo.prompt(body)}).json()["tokens"]
    assert demo.post("/tokenize", body).json()["count"] > len(raw)


# ---- health, counters, slots -------------------------------------------------------------------------


def test_health(demo):
    for path in ("/health", "/v1/health"):
        r = demo.get(path)
        assert r.status == 200 and r.json()["status"] == "ok" and r.headers["Content-Type"].startswith("application/json")


def test_slots_and_props(demo):
    slots = demo.get("/slots").json()
    assert len(slots) == 8 and [s["id"] for s in slots] == list(range(8))
    assert not any("Hello" in json.dumps(s) for s in slots)
    props = demo.get("/props").json()
    assert props["total_slots"] == 8 and props["default_generation_settings"]["n_ctx"] == 4096


def test_metrics(scripted):
    r = scripted.get("/metrics")
    assert r.status == 200 and r.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    before = {n: scripted.metric(n) for n in ("glim_prompt_tokens_total", "glim_tokens_predicted_total")}
    usage = scripted.post("/v1/chat/completions", {"model": MODEL, "messages": say("t</think>some words")}).json()["usage"]
    assert scripted.metric("glim_prompt_tokens_total") - before["glim_prompt_tokens_total"] == usage["prompt_tokens"]
    assert scripted.metric("glim_tokens_predicted_total") - before["glim_tokens_predicted_total"] == usage["completion_tokens"]
    text = scripted.get("/metrics").text
    assert "glim_build_info{version=" in text and scripted.metric("glim_slots") == 8
    assert scripted.metric("glim_requests_running") == 0
    assert [line for line in text.splitlines() if line.startswith("glim_requests_total{") and 'code="200"' in line]
    for name in ("glim_time_to_first_token_seconds", "glim_inter_token_seconds", "glim_queue_seconds", "glim_request_seconds"):
        assert scripted.metric(name + "_count") > 0


# ---- methods -----------------------------------------------------------------------------------------


def test_root(demo):
    for method in ("GET", "HEAD"):
        r = demo.ask(method, "/")
        assert r.status == 200 and (r.body == b"" if method == "HEAD" else r.body)


@pytest.mark.parametrize("path", ["/v1/models", "/health", "/metrics", "/slots"])
def test_head(demo, path):
    head = demo.ask("HEAD", path)
    assert head.status == 200 and head.body == b"" and int(head.headers["Content-Length"]) > 0
    # The connection is in step behind it.
    c = demo.connect()
    c.request("HEAD", path)
    c.getresponse().read()
    c.request("GET", path)
    assert c.getresponse().status == 200
    c.close()


@pytest.mark.parametrize("path,methods", [("/v1/chat/completions", "POST"), ("/v1/models", "GET"), ("/health", "GET")])
def test_options_and_405(demo, path, methods):
    r = demo.ask("OPTIONS", path)
    assert r.status in (200, 204) and methods in r.headers["Allow"]
    assert r.headers.get("Access-Control-Allow-Origin") is None
    wrong = demo.ask("DELETE", path)
    assert wrong.status == 405 and methods in wrong.headers["Allow"] and wrong.json()["error"]["message"]
    assert demo.ask("PUT" if methods == "GET" else "GET", path, b"{}" if methods == "GET" else None).status == 405


def test_no_cors_by_itself(demo):
    r = demo.post("/v1/chat/completions", dict(CHAT, max_tokens=1), {"Origin": "http://example.org"})
    assert r.status == 200 and not any(h.lower().startswith("access-control") for h in r.headers)


def test_unknown_path(demo):
    for path in ("/nothing", "/v1/nothing", "/v1/chat", "/V1/models"):
        r = demo.get(path)
        assert r.status == 404 and r.json()["error"]["message"], (path, r)
    r = demo.post("/api/paas/v4/nothing", {})
    assert r.status == 404 and r.json()["error"]["code"] == "1222"


def test_request_id(demo):
    given = demo.get("/v1/models", {"x-request-id": "abc-123"})
    assert given.headers["x-request-id"] == "abc-123"
    for bad in ("x" * 129, "a b", "\u00fc".encode().decode("latin-1")):
        made = demo.get("/v1/models", {"x-request-id": bad}).headers["x-request-id"]
        assert made and made != bad
    assert demo.get("/v1/models").headers["x-request-id"] != demo.get("/v1/models").headers["x-request-id"]


# ---- Host names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host,status", [("localhost", 200), ("localhost:{port}", 200), ("app.localhost", 200), ("127.0.0.1", 200),
                                         ("127.9.9.9:1", 200), ("[::1]:{port}", 200), ("example.org", 403),
                                         ("127.0.0.1.example.org:{port}", 403), ("192.168.1.5", 403)])
def test_host(demo, host, status):
    r = demo.get("/v1/models", {"Host": host.format(port=demo.port)})
    assert r.status == status, r


def test_host_missing_or_twice(demo):
    assert raw_exchange(demo.port, b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n", 5).startswith(b"HTTP/1.1 400")
    assert raw_exchange(demo.port, b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 5).startswith(b"HTTP/1.1 400")


# ---- keys ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/slots", "/props", "/api/paas/v4/models"])
def test_keys(locked, path):
    none, wrong = locked.get(path), locked.get(path, {"Authorization": "Bearer nope"})
    assert none.status == wrong.status == 401
    assert locked.get(path, {"Authorization": "Bearer plain-key"}).status == 200
    assert locked.get(path, {"x-api-key": "plain-key"}).status == 200
    if path.startswith("/api/"):
        assert (none.json()["error"]["code"], wrong.json()["error"]["code"]) == ("1001", "1002")


def test_open_paths(locked):
    for path in ("/health", "/v1/health", "/"):
        assert locked.get(path).status == 200


def test_key_before_body(locked):
    """A stranger's body is not read: the answer comes before it."""
    head = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{locked.port}\r\nContent-Length: 1000000\r\n\r\n").encode()
    assert raw_exchange(locked.port, head, 5).startswith(b"HTTP/1.1 401")


def test_two_authorizations(locked, demo):
    for s in (locked, demo):
        head = (f"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1:{s.port}\r\nAuthorization: Bearer plain-key\r\n"
                "Authorization: Bearer plain-key\r\nConnection: close\r\n\r\n").encode()
        assert raw_exchange(s.port, head, 5).startswith(b"HTTP/1.1 400")


def test_two_texts_at_most(locked):
    texts = set()
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp5"}, {"x-api-key": "y"}, {"Authorization": "Bearer a.b.c"},
                    {"Authorization": "Bearer "}):
        r = locked.get("/v1/models", headers)
        assert r.status == 401
        texts.add(r.json()["error"]["message"])
    assert len(texts) <= 2
