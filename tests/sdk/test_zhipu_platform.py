# SPDX-License-Identifier: MIT
"""Checks 16, 17, 23 and 24 with Zhipu's SDK of this environment; the class that every refusal becomes there; tokens made
from keys; results that are fetched later; paths that only the cloud has."""
import threading
import time

import httpx
import pytest

from server import MODEL, SLOW, Replay, chunks, loading_answer, say
from zsdk import Client, errors


def client_of(server, mount="paas", key="id.secret", **more):
    return Client(api_key=key, base_url=getattr(server, mount), **{"max_retries": 0, **more})


@pytest.fixture
def client(scripted):
    return client_of(scripted)


def refused(kind, c, **ask):
    with pytest.raises(kind) as caught:
        r = c.chat.completions.create(**{"model": MODEL, "messages": say("x"), **ask})
        if ask.get("stream"):
            list(r)
    return caught.value


def code_of(e):
    error = e.response.json()["error"]
    assert isinstance(error["code"], str) and error["message"]
    return error["code"]


# ---- classes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mount", ["paas", "coding"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("ask,code", [
    ({"messages": []}, "1214"),
    ({"messages": [{"role": "system", "content": "only"}]}, "1214"),
    ({"messages": "text"}, "1214"),
    ({"max_tokens": -1}, "1214"),
    ({"model": "gpt-9"}, "1211"),
    ({"extra_body": {"messages": None}}, "1213"),
])
def test_400(scripted, mount, ask, code, stream):
    e = refused(errors.APIRequestFailedError, client_of(scripted, mount), stream=stream, **ask)
    assert e.status_code == 400 and code_of(e) == code, e


@pytest.mark.parametrize("stream", [False, True])
def test_401(locked, stream):
    for key, code in (("no.body", "1002"), ("demo.wrong", "1002"), ("plain", "1002")):
        assert code_of(refused(errors.APIAuthenticationError, client_of(locked, key=key), stream=stream)) == code
    assert locked.post("/api/paas/v4/chat/completions", {}).json()["error"]["code"] == "1001"


@pytest.mark.parametrize("call", [
    lambda c: c.images.generations(model="cogview-3", prompt="x"),
    lambda c: c.videos.generations(model="cogvideox-2", prompt="x"),
    lambda c: c.videos.retrieve_videos_result(id="123456"),
], ids=["images", "videos", "video result"])
def test_404(client, call):
    with pytest.raises(errors.APIStatusError) as caught:
        call(client)
    assert caught.value.status_code == 404 and code_of(caught.value) in ("1222", "1214")


@pytest.mark.parametrize("method,path", [
    ("POST", "/images/generations"), ("POST", "/videos/generations"), ("POST", "/audio/speech"), ("POST", "/web_search"),
    ("GET", "/files"), ("GET", "/batches"), ("POST", "/moderations"), ("POST", "/assistant"), ("POST", "/tools"),
    ("POST", "/reader"), ("DELETE", "/files/x"), ("POST", "/nothing/at/all"),
])
def test_cloud_only_paths(scripted, method, path):
    for base in ("/api/paas/v4", "/api/coding/paas/v4"):
        r = scripted.ask(method, base + path, {} if method == "POST" else None)
        assert r.status == 404 and r.json()["error"]["code"] == "1222", r
        assert r.headers["x-should-retry"] == "false"


def test_429(narrow):
    busy = client_of(narrow).chat.completions.create(
        model=MODEL, stream=True, max_tokens=2000, messages=say("tick ", stop=False, token_ms=30), extra_body={"ignore_eos": True})
    next(iter(busy))
    narrow.wait_busy()
    waiting = threading.Thread(target=lambda: client_of(narrow).chat.completions.create(model=MODEL, messages=say("t</think>x")))
    waiting.start()
    until = time.monotonic() + 10 * SLOW
    while narrow.metric("glim_requests_waiting") < 1:
        assert time.monotonic() < until
        time.sleep(0.02)
    for stream in (False, True):
        e = refused(errors.APIReachLimitError, client_of(narrow), stream=stream)
        assert code_of(e) == "1302" and int(e.response.headers["Retry-After"]) >= 1
    busy.response.close()
    waiting.join(20 * SLOW)
    assert not waiting.is_alive() and narrow.wait_idle(2)


def test_503_while_loading(start):
    answer = loading_answer(start, "/api/paas/v4/chat/completions", {"model": MODEL, "messages": say("x")})
    if answer is None:
        pytest.skip("the model was always there at once")
    with Replay(answer) as server:
        e = refused(errors.APIServerFlowExceedError, client_of(server))
        assert e.status_code == 503 and code_of(e) == "1305" and server.n == 1
        refused(errors.APIServerFlowExceedError, client_of(server, max_retries=1))
        assert server.n == 3, "the SDK must try again"


def test_500(client):
    for n in (0, 2):
        e = refused(errors.APIInternalError, client, messages=say("one two three", fail_after=n))
        assert e.status_code == 500 and code_of(e) == "500"


# ---- 16 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mount", ["paas", "coding", "v1"])
def test_death_in_a_stream(scripted, mount):
    got = ""
    with pytest.raises(errors.APIResponseError) as caught:
        for chunk in client_of(scripted, mount).chat.completions.create(
                model=MODEL, stream=True, messages=say("one two three four five six", fail_after=4, token_ms=20), thinking={"type": "disabled"}):
            got += chunk.choices[0].delta.content or ""
    assert got and "engine failed" in str(caught.value)
    assert scripted.wait_idle(2)


# ---- 17 --------------------------------------------------------------------------------------------


def test_keepalives(scripted):
    r = client_of(scripted, timeout=httpx.Timeout(15, connect=8)).chat.completions.create(
        model=MODEL, stream=True, messages=say("t</think>slow", prefill_ms=20000))
    assert "".join(c.choices[0].delta.content or "" for c in r) == "slow"


# ---- 23, 24 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mount", ["paas", "coding"])
@pytest.mark.parametrize("stream", [False, True])
def test_context_overflow(demo, mount, stream):
    e = refused(errors.APIRequestFailedError, client_of(demo, mount), stream=stream,
                messages=[{"role": "user", "content": "far too long a text " * 4000}])
    assert code_of(e) == "1261" and "4096" in e.response.json()["error"]["message"]


def test_close_after_five_chunks(scripted):
    stream = client_of(scripted).chat.completions.create(
        model=MODEL, stream=True, max_tokens=2000, messages=say("tick ", stop=False, token_ms=30), extra_body={"ignore_eos": True})
    it = iter(stream)
    for _ in range(5):
        next(it)
    stream.response.close()
    assert scripted.wait_idle(2)


# ---- keys and the tokens made from them ----------------------------------------------------------------


def test_key_as_it_is(locked):
    for key in ("plain-key", "demo.sekret"):
        r = client_of(locked, key=key).chat.completions.create(model=MODEL, messages=say("t</think>in"))
        assert r.choices[0].message.content == "in"


@pytest.mark.parametrize("mount", ["paas", "coding", "v1"])
@pytest.mark.parametrize("stream", [False, True])
def test_token_of_the_sdk(locked, mount, stream):
    c = client_of(locked, mount, key="demo.sekret", disable_token_cache=False)
    r = c.chat.completions.create(model=MODEL, messages=say("t</think>in"), stream=stream)
    assert ("".join(x.choices[0].delta.content or "" for x in r) if stream else r.choices[0].message.content) == "in"


def test_token_of_a_wrong_secret(locked):
    c = client_of(locked, key="demo.wrong", disable_token_cache=False)
    assert code_of(refused(errors.APIAuthenticationError, c)) == "1002"


def test_token_is_only_for_its_key(demo, locked):
    """Without keys any token passes, also one of an unknown id."""
    c = client_of(demo, key="any.thing", disable_token_cache=False)
    assert c.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}], max_tokens=1).choices
    assert "sekret" not in locked.log() and "plain-key" not in locked.log()


def test_old_token(locked):
    import jwt
    now = int(time.time() * 1000)
    for exp, code in ((now + 60000, None), (now - 60000, "1003")):
        token = jwt.encode({"api_key": "demo", "exp": exp, "timestamp": now}, "sekret", algorithm="HS256",
                           headers={"alg": "HS256", "sign_type": "SIGN"})
        r = locked.get("/api/paas/v4/models", {"Authorization": f"Bearer {token}"})
        assert r.status == (401 if code else 200), r
        if code:
            assert r.json()["error"]["code"] == code


@pytest.mark.parametrize("alg", ["none", "HS512", "HS384"])
def test_other_algorithms(locked, alg):
    import jwt
    now = int(time.time() * 1000)
    token = jwt.encode({"api_key": "demo", "exp": now + 60000, "timestamp": now}, None if alg == "none" else "sekret", algorithm=alg,
                       headers={"sign_type": "SIGN"})
    r = locked.get("/api/paas/v4/models", {"Authorization": f"Bearer {token}"})
    assert r.status == 401 and r.json()["error"]["code"] == "1002"


# ---- results that are fetched later ---------------------------------------------------------------------


def finished(c, task_id, seconds=30):
    until = time.monotonic() + seconds * SLOW
    while True:
        r = c.chat.asyncCompletions.retrieve_completion_result(id=task_id)
        if r.task_status != "PROCESSING":
            return r
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("mount", ["paas", "coding"])
def test_async_result(scripted, mount):
    c = client_of(scripted, mount)
    r = c.chat.asyncCompletions.create(model=MODEL, messages=say("hm</think>later", token_ms=100), temperature=0, request_id="my-request")
    assert r.id and r.task_status == "PROCESSING" and r.request_id == "my-request" and r.model == MODEL
    assert c.chat.asyncCompletions.retrieve_completion_result(id=r.id).task_status in ("PROCESSING", "SUCCESS")
    done = finished(c, r.id)
    assert done.task_status == "SUCCESS" and done.request_id == "my-request"
    assert done.choices[0].message.content == "later" and done.choices[0].message.reasoning_content == "hm"
    assert done.usage.total_tokens > 0
    assert finished(c, r.id).choices[0].message.content == "later"


def test_async_result_of_the_demo_model(demo):
    c = client_of(demo)
    r = c.chat.asyncCompletions.create(model=MODEL, messages=[{"role": "user", "content": "Who are you?"}], max_tokens=200, temperature=0)
    assert finished(c, r.id).choices[0].message.content


def test_async_failure(scripted):
    c = client_of(scripted)
    r = c.chat.asyncCompletions.create(model=MODEL, messages=say("one two", fail_after=1))
    until = time.monotonic() + 30 * SLOW
    while (got := scripted.get(f"/api/paas/v4/async-result/{r.id}").json())["task_status"] == "PROCESSING":
        assert time.monotonic() < until
        time.sleep(0.05)
    assert got["task_status"] == "FAIL", got


def test_async_of_nobody(scripted):
    r = scripted.get("/api/paas/v4/async-result/0123456789abcdef01234567")
    assert r.status == 404 and r.json()["error"]["message"]


def test_async_is_for_its_key(locked):
    body = {"model": MODEL, "messages": say("t</think>secret")}
    made = locked.post("/api/paas/v4/async/chat/completions", body, {"Authorization": "Bearer demo.sekret"}).json()
    path = f"/api/paas/v4/async-result/{made['id']}"
    assert locked.get(path, {"Authorization": "Bearer demo.sekret"}).status == 200
    assert locked.get(path, {"Authorization": "Bearer plain-key"}).status == 404
    assert locked.get(path).status == 401


def test_async_refuses_at_once(client):
    with pytest.raises(errors.APIRequestFailedError):
        client.chat.asyncCompletions.create(model="gpt-9", messages=say("x"))


def test_embeddings_need_another_model(client):
    for model, words in (("embedding-3", "not found"), (MODEL, "embedding models here: none")):
        with pytest.raises(errors.APIRequestFailedError) as caught:
            client.embeddings.create(model=model, input="x")
        e = caught.value
        assert e.status_code == 400 and code_of(e) == "1211" and words in e.response.json()["error"]["message"]


def test_stream_is_strict(scripted):
    body = {"model": MODEL, "messages": say("t</think>Hi"), "stream": True}
    for path in ("/api/paas/v4/chat/completions", "/api/coding/paas/v4/chat/completions"):
        assert chunks(scripted.events(path, body))[-1]["choices"][0]["finish_reason"] == "stop"
