# SPDX-License-Identifier: MIT
"""llama-server's /completion, SGLang's /generate and the paths around them, the FastAPI server's routes (S4) and S0's
/api/npu/infer: as their own clients ask them."""
import json
import subprocess
import time

import httpx
import pytest
import requests

from server import MODEL, chunks, say, script, sse


# ---- llama-server: /completion ---------------------------------------------------------------------


def completion(server, **body):
    r = server.post("/completion", body)
    assert r.status == 200, r
    return r.json()


def test_completion(demo):
    r = completion(demo, prompt="The capital of Japan is", n_predict=8, temperature=0, ignore_eos=True)
    assert r["stop"] is True and r["stop_type"] == "limit" and r["tokens_predicted"] == 8 and r["truncated"] is False
    n = len(demo.post("/tokenize", {"content": "The capital of Japan is"}).json()["tokens"])
    assert r["tokens_evaluated"] == n and r["model"] and r["tokens"] == [] and r["stopping_word"] == ""
    t = r["timings"]
    assert t["predicted_n"] == 8 and t["prompt_n"] + t["cache_n"] == n
    assert all(t[k] >= 0 for k in ("prompt_ms", "prompt_per_second", "predicted_ms", "predicted_per_second"))
    assert r["generation_settings"]["n_predict"] == 8 and r["generation_settings"]["temperature"] == 0
    text = ""
    events = sse(demo.events("/completion", {"prompt": "The capital of Japan is", "n_predict": 8, "temperature": 0, "ignore_eos": True, "stream": True}))
    for _, data in events:
        d = json.loads(data)  # no [DONE] among them
        text += d["content"]
    assert text == r["content"] and d["stop"] is True and d["timings"]["predicted_n"] == 8
    assert all(json.loads(x)["stop"] is False for _, x in events[:-1])


def test_completion_prompts(demo):
    ids = demo.post("/tokenize", {"content": "Count from 3 to 9."}).json()["tokens"]
    want = completion(demo, prompt="Count from 3 to 9.", n_predict=6, temperature=0)
    assert completion(demo, prompt=ids, n_predict=6, temperature=0)["content"] == want["content"]
    mixed = completion(demo, prompt=[*ids[:2], "x", *ids[2:]], n_predict=1)
    assert mixed["tokens_evaluated"] == len(ids) + 1
    many = completion(demo, prompt=["Count from 3 to 9.", ids], n_predict=6, temperature=0)
    assert [m["content"] for m in many] == [want["content"]] * 2 and [m["index"] for m in many] == [0, 1]
    r = completion(demo, prompt="Count from 3 to 9.", n_predict=6, temperature=0, return_tokens=True)
    assert len(r["tokens"]) == r["tokens_predicted"]
    assert demo.post("/detokenize", {"tokens": r["tokens"]}).json()["content"].startswith(r["content"])


def test_completion_stops(scripted):
    r = completion(scripted, prompt=script("one two three"), stop=[" three"])
    assert (r["content"], r["stop_type"], r["stopping_word"]) == ("one two", "word", " three")
    r = completion(scripted, prompt=script("one two"))
    assert (r["content"], r["stop_type"], r["stopping_word"]) == ("one two", "eos", "")
    assert completion(scripted, prompt=script("one two three"), n_predict=1)["stop_type"] == "limit"


def test_completion_probabilities(demo):
    r = completion(demo, prompt="The capital of Japan is", n_predict=5, temperature=0, n_probs=3, ignore_eos=True)
    probs = r["completion_probabilities"]
    assert len(probs) == 5 and all(len(p["top_logprobs"]) == 3 for p in probs)
    for p in probs:
        assert p["logprob"] <= 0 and isinstance(p["id"], int) and p["top_logprobs"][0]["logprob"] >= p["logprob"]
        assert bytes(p["bytes"]).decode("utf-8", "replace") == p["token"]
    assert "".join(p["token"] for p in probs) == r["content"]


@pytest.mark.parametrize("body,name", [({"prompt": "x", "grammar": "root ::= [a-z]"}, "grammar"), ({"prompt": "x", "json_schema": {}}, "json_schema"),
                                       ({}, "prompt"), ({"prompt": 1}, "prompt"), ({"prompt": "x", "n_predict": "a"}, "n_predict"),
                                       ({"prompt": [1.5]}, "prompt"), ({"prompt": "x", "image_data": [{}]}, "image_data")])
def test_completion_errors(scripted, body, name):
    r = scripted.post("/completion", body)
    assert r.status == 400 and r.json()["error"]["code"] == 400 and name in r.json()["error"]["message"], r


def test_completion_context(demo):
    r = demo.post("/completion", {"prompt": "word " * 6000})
    e = r.json()["error"]
    assert r.status == 400 and e["type"] == "exceed_context_size_error" and e["n_ctx"] == 4096 and e["n_prompt_tokens"] > 6000


def test_infill_is_refused(demo):
    r = demo.post("/infill", {"input_prefix": "a", "input_suffix": "b"})
    assert r.status == 501 and r.json()["error"]["type"] == "not_supported_error"


def test_completion_by_curl(demo):
    out = subprocess.run(["curl", "-sS", "-N", demo.root + "/completion", "-H", "Content-Type: application/json", "-d",
                          '{"prompt":"Count from 3 to 9.","n_predict":4,"stream":true}'], capture_output=True, check=True, timeout=60)
    assert out.stdout.count(b"data: {") >= 1 and b"[DONE]" not in out.stdout and b'"stop":true' in out.stdout


# ---- SGLang --------------------------------------------------------------------------------------


def test_generate(demo):
    body = {"text": "The capital of Japan is", "sampling_params": {"max_new_tokens": 8, "temperature": 0, "ignore_eos": True}}
    r = requests.post(demo.root + "/generate", json=body).json()
    m = r["meta_info"]
    assert m["finish_reason"] == {"type": "length", "length": 8} and m["completion_tokens"] == 8 and m["e2e_latency"] > 0
    assert m["prompt_tokens"] == len(demo.post("/tokenize", {"content": body["text"]}).json()["tokens"]) and "cached_tokens" in m
    text = None
    response = requests.post(demo.root + "/generate", json={**body, "stream": True}, stream=True)
    assert response.headers["Content-Type"].replace(" ", "") == "text/event-stream;charset=utf-8"
    seen, done = "", False
    # SGLang's own loop: lines that begin with "data:", cumulative text.
    for chunk in response.iter_lines(decode_unicode=False):
        chunk = chunk.decode("utf-8")
        if chunk and chunk.startswith("data:"):
            if chunk == "data: [DONE]":
                done = True
                break
            text = json.loads(chunk[5:].strip("\n"))
            assert text["text"].startswith(seen)
            seen = text["text"]
    assert done and seen == r["text"] and text["meta_info"]["finish_reason"]["type"] == "length"
    assert requests.put(demo.root + "/generate", json=body).json()["text"] == r["text"]


def test_generate_lists(demo):
    ids = demo.post("/tokenize", {"content": "Count from 3 to 9."}).json()["tokens"]
    params = {"max_new_tokens": 5, "temperature": 0}
    one = demo.post("/generate", {"input_ids": ids, "sampling_params": params}).json()
    two = demo.post("/generate", {"text": ["Count from 3 to 9.", "Who are you?"], "sampling_params": params}).json()
    assert len(two) == 2 and two[0]["text"] == one["text"]
    many = demo.post("/generate", {"text": "Count from 3 to 9.", "sampling_params": {**params, "n": 3}}).json()
    assert [m["text"] for m in many] == [one["text"]] * 3


def test_generate_stop(scripted):
    r = scripted.post("/generate", {"text": script("one two three"), "sampling_params": {"stop": " three"}}).json()
    assert (r["text"], r["meta_info"]["finish_reason"]) == ("one two", {"type": "stop", "matched": " three"})
    r = scripted.post("/generate", {"text": script("one two")}).json()
    assert r["meta_info"]["finish_reason"]["type"] == "stop" and isinstance(r["meta_info"]["finish_reason"]["matched"], int)
    r = scripted.post("/generate", {"text": script("x " * 300)}).json()
    assert r["meta_info"]["completion_tokens"] == 128 and r["meta_info"]["finish_reason"]["type"] == "length"
    assert scripted.post("/generate", {"text": script("x"), "rid": "mine"}).json()["meta_info"]["id"] == "mine"


def test_generate_logprobs(demo):
    r = demo.post("/generate", {"text": "The capital of Japan is", "return_logprob": True,
                                "sampling_params": {"max_new_tokens": 4, "temperature": 0, "ignore_eos": True}}).json()
    got = r["meta_info"]["output_token_logprobs"]
    assert len(got) == 4 and all(p[0] <= 0 and isinstance(p[1], int) for p in got)


@pytest.mark.parametrize("body,name", [({}, "text"), ({"text": 1}, "text"), ({"text": "a", "input_ids": [1]}, "input_ids"),
                                       ({"text": "a", "sampling_params": {"json_schema": "{}"}}, "json_schema"),
                                       ({"text": "a", "sampling_params": {"temperature": -1}}, "temperature"),
                                       ({"text": "a", "image_data": "x"}, "image_data")])
def test_generate_errors(scripted, body, name):
    r = scripted.post("/generate", body)
    assert r.status == 400 and name in r.json()["error"]["message"], r


def test_model_info_flush_health(demo, scripted):
    for path in ("/get_model_info", "/model_info"):
        info = demo.get(path).json()
        assert info["model_path"].endswith("glim-demo.gguf") and info["is_generation"] is True
    prompt = {"text": "a sentence that nobody else asks for", "sampling_params": {"max_new_tokens": 1, "temperature": 0}}
    demo.post("/generate", prompt)
    assert demo.post("/generate", prompt).json()["meta_info"]["cached_tokens"] > 0
    assert demo.wait_idle(2)
    for ask in (demo.post("/flush_cache", b""), demo.get("/flush_cache")):
        assert ask.status == 200 and "flushed" in ask.text.lower()
    assert demo.post("/generate", prompt).json()["meta_info"]["cached_tokens"] == 0
    r = demo.get("/health_generate")
    assert r.status == 200
    # While somebody is being answered the cache stays.
    with httpx.stream("POST", scripted.root + "/generate", json={"text": script("a " * 100, token_ms=50), "stream": True}) as s:
        next(s.iter_lines())
        assert scripted.get("/flush_cache").status == 400
    assert scripted.wait_idle(2)


# ---- S4: the FastAPI server ------------------------------------------------------------------------

S4_CHAT = {
    "model": "glm-4",
    "stream": True,
    "top_p": 1,
    "temperature": 0.7,
    "max_tokens": 4096,
    "messages": [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": "Hello!"}],
}


def test_s4_chat(demo):
    response = requests.post(demo.root + "/chat", json=S4_CHAT, stream=True)
    response.raise_for_status()
    assert response.encoding.lower() == "utf-8"  # requests would read text/* without a charset as Latin-1
    text, finish, roles = "", None, []
    for line in response.iter_lines(decode_unicode=True):
        if not line or line.startswith(":"):
            continue
        assert line.startswith("data: ")
        if line == "data: [DONE]":
            break
        d = json.loads(line[6:])
        assert d["object"] == "chat.completion.chunk" and d["model"] == "glm-4" and d["id"]
        delta = d["choices"][0]["delta"]
        assert delta["function_call"] is None and d["choices"][0]["index"] == 0
        roles += [delta["role"]] if delta.get("role") else []
        text += delta.get("content") or ""
        finish = d["choices"][0]["finish_reason"] or finish
    assert text and finish in ("stop", "length") and roles == ["assistant"]
    whole = requests.post(demo.root + "/chat", json={**S4_CHAT, "stream": False, "max_tokens": 64}).json()
    assert whole["object"] == "chat.completion" and whole["choices"][0]["message"]["role"] == "assistant"


def test_s4_chat_text(scripted):
    """Chinese through requests, as text, joins to what was said."""
    said = "你好！我是 GLM，很高兴认识你。"
    response = requests.post(scripted.root + "/chat", json={"model": MODEL, "stream": True, "messages": say("t</think>" + said)}, stream=True)
    got = "".join(json.loads(x[6:])["choices"][0]["delta"].get("content") or "" for x in response.iter_lines(decode_unicode=True)
                  if x.startswith("data: {"))
    assert got == said
    assert len(chunks(scripted.events("/chat", {"model": MODEL, "stream": True, "messages": say("t</think>x")}))) >= 2


def test_s4_tokenize(demo):
    body = requests.post(demo.root + "/tokenize", json={"prompt": "给你一个机会，你会想逃离你所在的虚拟世界吗？", "max_tokens": 4096}).json()
    assert body["object"] == "tokenizer" and body["model"] and len(body["tokenIds"]) == len(body["tokens"]) > 3
    assert demo.post("/detokenize", {"tokens": body["tokenIds"]}).json()["content"] == "给你一个机会，你会想逃离你所在的虚拟世界吗？"


def test_three_readings_of_tokenize(demo):
    """The bodies of three servers' own clients at one path."""
    legacy = demo.post("/tokenize", {"prompt": "Hello there", "max_tokens": 4096}).json()
    llama = demo.post("/tokenize", {"content": "Hello there", "add_special": True, "with_pieces": False}).json()
    vllm = demo.post("/tokenize", {"model": MODEL, "prompt": "Hello there", "add_special_tokens": True}).json()
    assert set(legacy) == {"tokenIds", "tokens", "model", "object"} and set(llama) == {"tokens"}
    assert set(vllm) == {"tokens", "count", "max_model_len"}
    assert legacy["tokenIds"] == llama["tokens"] == vllm["tokens"]
    errors = [demo.post("/tokenize", b).json()["error"] for b in
              ({"prompt": 1, "max_tokens": 1}, {"content": 1}, {"model": MODEL, "prompt": 1})]
    assert [isinstance(e["code"], int) for e in errors] == [False, True, False]


def test_s4_models(demo):
    body = requests.get(demo.root + "/models").json()
    assert body["object"] == "list" and {"glim-demo", "glm-4"} <= {m["id"] for m in body["data"]}
    for m in body["data"]:
        assert m["object"] == "chat.completion" and m["owned_by"] == "owner" and m["created"] > 0
        assert m["root"] is None and m["parent"] is None and m["permission"] is None


def test_s4_without_its_embedding_models(demo):
    """The names of its samples are not there, and no vectors come from the chat model; each in the shape of the server whose
    client asks. With such models: test_encoder_habits.py."""
    s4 = requests.post(demo.root + "/embedding", json={"model": "text2vec-base-chinese-paraphrase", "prompt": ["你好"]})
    keyword = requests.post(demo.root + "/keyword", json={"input": "x", "model": "text2vec-base-multilingual", "vocab": ["a"], "top": 5,
                                                          "mmr": True, "maxsum": True, "diversity": 0.7})
    v1 = requests.post(demo.root + "/v1/embeddings", json={"input": ["a", "b"], "model": "bge-m3"})
    for r in (s4, keyword, v1):
        assert r.status_code == 404 and r.json()["error"]["code"] == "model_not_found" and "detail" not in r.json()
        assert "glim-demo" in r.json()["error"]["message"]
    llama = requests.post(demo.root + "/embedding", json={"content": "hello"})
    assert llama.status_code == 400 and llama.json()["error"]["code"] == 400
    assert "embedding models here: none" in llama.json()["error"]["message"]


def test_s4_chat_errors(demo):
    for body, status in (({}, 400), ({"model": "nope", "messages": [{"role": "user", "content": "x"}]}, 404),
                         ({"model": MODEL, "messages": [{"role": "user", "content": "word " * 6000}]}, 400)):
        r = demo.post("/chat", body)
        assert r.status == status and r.json()["error"]["message"] and "detail" not in r.json(), r


def test_s4_environment(start):
    """API_PORT and GLM_MODEL, as its documentation sets them."""
    import os
    import socket

    model = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "models", "glim-demo.gguf")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    s = start("--host", "127.0.0.1", env={"API_PORT": str(port), "GLM_MODEL": model}, listen=False)
    assert s.port == port and s.get("/models").json()["data"][0]["id"] == "glim-demo"
    s.stop()


# ---- S0: /api/npu/infer ----------------------------------------------------------------------------


def test_s0_infer(demo, scripted):
    r = requests.post(demo.root + "/api/npu/infer", json={"prompt": "Who are you?", "max_tokens": 64, "temperature": 0.7})
    body = r.json()
    assert r.status_code == 200 and body["success"] is True and body["result"] and isinstance(body["model"], str)
    # Thinking is off: all that is said is the result.
    assert scripted.post("/api/npu/infer", {"prompt": script("plain words")}).json()["result"] == "plain words"
    for bad, name in (({}, "prompt"), ({"prompt": 1}, "prompt"), ({"prompt": "x", "max_tokens": 0}, "max_tokens"),
                      ({"prompt": "x", "stream": True}, "stream"), ({"prompt": "x", "temperature": "hot"}, "temperature")):
        r = demo.post("/api/npu/infer", bad)
        assert r.status == 400 and r.json()["success"] is False and name in r.json()["detail"], r


# ---- every port speaks every dialect ---------------------------------------------------------------


def test_two_ports(start):
    """The main port and Ollama's beside it, the same router behind both; the printed line works on each."""
    s = start("--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0")
    import re
    ports = sorted(set(int(p) for p in re.findall(r"listening at http://127\.0\.0\.1:(\d+)", s.log())))
    assert len(ports) == 2
    # The server answers a moment before the line is out.
    for _ in range(200):
        line = re.search(r"  curl (\S+) -H '([^']*)' \\\n    -d '([^\n]*)'", s.log())
        if line:
            break
        time.sleep(0.05)
    assert line, s.log()
    for port in ports:
        for path in ("/v1/chat/completions", "/api/paas/v4/chat/completions", "/chat", "/api/chat"):
            url = re.sub(r":\d+/v1/chat/completions", f":{port}{path}", line.group(1))
            out = subprocess.run(["curl", "-sS", "-f", url, "-H", line.group(2), "-d", line.group(3)], capture_output=True, check=True,
                                 timeout=120)
            assert b"content" in out.stdout, (url, out)
    s.stop()
