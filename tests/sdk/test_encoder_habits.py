# SPDX-License-Identifier: MIT
"""Encoders as the clients of other servers ask them: the FastAPI server's samples (S4) as they are written, reranking in
Jina's and llama-server's form, keywords; and what each mount says of a model of the wrong kind."""
import itertools
import math

import httpx
import pytest
import requests

import toymodels

T2V = "text2vec-base-chinese-paraphrase"
RERANKER = "bge-reranker-v2-m3"


# ---- S4 ----------------------------------------------------------------------------------------------

S4_KEYWORD = {
    "input": "4月25日，周鸿祎微博发文，称今天在北京车展试了试智界S7，空间很大，很舒服，安全性能和零重力也让我印象深刻，非常适合我这种“后座司机”。"
             "我今天就是坐M9来的，老余很早就把车送到360楼下，那么忙还专门打电话问我车收到没有。我很感动也很感谢。还是那句话，我永远支持老余支持华为，为国产新能车唱赞歌。",
    "model": "text2vec-base-multilingual",
    "vocab": ["华为", "周鸿祎", "360", "新能源车", "智界", "工业", "其他"],
    "top": 5,
    "mmr": True,
    "maxsum": True,
    "diversity": 0.7,
}


def test_s4_embedding(encoders):
    r = requests.post(encoders.root + "/embedding", json={"model": "text2vec-base-chinese-paraphrase", "prompt": ["你好"]})
    body = r.json()
    assert r.status_code == 200 and set(body) == {"data", "model", "object"}
    assert body["model"] == "text2vec-base-chinese-paraphrase" and body["object"] == "embedding"
    assert len(body["data"]) == 1 and len(body["data"][0]) == 80 and abs(math.hypot(*body["data"][0]) - 1) < 1e-6
    assert "x-glim-truncated" not in r.headers
    # What is too long is cut, and said so.
    r = requests.post(encoders.root + "/embedding", json={"model": "short", "prompt": ["你好", "好 " * 60, "好 " * 14]})
    assert r.headers["x-glim-truncated"] == "1"
    whole, cut, fits = r.json()["data"]
    assert cut == fits != whole, "the model reads 14 tokens and its own two"


def test_s4_v1_embeddings(encoders):
    for post in (requests.post, httpx.post):
        r = post(encoders.root + "/v1/embeddings", json={"input": ["The food was delicious and the waiter...", "你好，我是谁？"], "model": "bge-m3"})
        body = r.json()
        assert r.status_code == 200 and body["object"] == "list" and body["model"] == "bge-m3"
        assert [(d["object"], d["index"], len(d["embedding"])) for d in body["data"]] == [("embedding", 0, 80), ("embedding", 1, 80)]
        assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 10


def test_s4_keyword(encoders):
    r = requests.post(encoders.root + "/keyword", json=S4_KEYWORD)
    body = r.json()
    assert r.status_code == 200 and set(body) == {"model", "keywords"} and body["model"] == "text2vec-base-multilingual"
    # Those words of the vocabulary that stand in the text; the others are no keywords of it.
    assert {k["name"] for k in body["keywords"]} == {"华为", "周鸿祎", "360", "智界"}
    got = [k["similarity"] for k in body["keywords"]]
    assert got == sorted(got, reverse=True) and all(round(s, 4) == s for s in got)
    assert r.headers["x-glim-truncated"] == "1", "the text is longer than the toy model reads"
    # The similarity is the cosine of the vectors that /embedding gives, which cuts at the same place.
    words = [k["name"] for k in body["keywords"]]
    doc, *vectors = requests.post(encoders.root + "/embedding", json={"model": T2V, "prompt": [S4_KEYWORD["input"], *words]}).json()["data"]
    for v, s in zip(vectors, got):
        assert abs(sum(a * b for a, b in zip(doc, v)) - s) < 1e-4


def test_s4_models(encoders):
    body = requests.get(encoders.root + "/models").json()
    kinds = {m["id"]: m["object"] for m in body["data"]}
    assert kinds["glim-demo"] == kinds["glm-4"] == "chat.completion" and kinds[RERANKER] == "rerank"
    assert kinds[T2V] == kinds["text2vec-base-multilingual"] == kinds["bge-m3"] == "embedding"
    assert body["data"][0]["id"] == "glim-demo", "the first is usable"
    for m in body["data"]:
        assert (m["owned_by"], m["root"], m["parent"], m["permission"]) == ("owner", None, None, None) and m["created"] > 0
    v1 = {m["id"]: m["kind"] for m in requests.get(encoders.v1 + "/models").json()["data"]}
    assert {k: {"chat.completion": "chat"}.get(v, v) for k, v in kinds.items()} == v1
    one = requests.get(encoders.v1 + "/models/" + T2V).json()
    assert one["id"] == T2V and one["kind"] == "embedding"


def test_llama_embedding(encoders):
    """llama-server's reading of /embedding: content, and a list of vectors a text."""
    r = encoders.post("/embedding", {"content": "hello"})
    (only,) = r.json()
    v1 = encoders.post("/v1/embeddings", {"model": T2V, "input": "hello"}).json()["data"][0]["embedding"]
    assert only == {"index": 0, "embedding": [v1]}
    own = encoders.post("/embedding", {"content": "hello", "embd_normalize": -1}).json()[0]["embedding"][0]
    n = math.hypot(*own)
    assert n > 1.5 and max(abs(a / n - b) for a, b in zip(own, v1)) < 1e-6
    long = encoders.post("/embedding", {"content": "word " * 100})
    assert long.status == 400 and long.json()["error"]["type"] == "exceed_context_size_error", long
    assert long.json()["error"]["n_ctx"] == 64 and long.json()["error"]["n_prompt_tokens"] > 100


# ---- keywords ----------------------------------------------------------------------------------------

SENTENCE = "A quiet river carries timber past old mills, bridges and gardens towards the harbour."
VOCAB = ["river", "timber", "mills", "bridges", "gardens", "harbour", "quiet"]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b)


def mmr(s, c, top, diversity):
    chosen = [max(range(len(s)), key=lambda i: s[i])]
    while len(chosen) < min(top, len(s)):
        rest = [i for i in range(len(s)) if i not in chosen]
        chosen.append(max(rest, key=lambda i: (1 - diversity) * s[i] - diversity * max(c[i][j] for j in chosen)))
    return set(chosen)


def maxsum(s, c, top):
    near = sorted(range(len(s)), key=lambda i: -s[i])[:20]
    return set(min(itertools.combinations(near, top), key=lambda set_: sum(c[i][j] for i, j in itertools.combinations(set_, 2))))


@pytest.mark.parametrize("how", [{}, {"mmr": True, "diversity": 0.3}, {"mmr": True, "diversity": 0.9}, {"maxsum": True},
                                 {"mmr": True, "maxsum": True, "diversity": 0.7}, {"diversity": 0.9}], ids=str)
@pytest.mark.parametrize("top", [1, 3, 5, 7, 50])
def test_keyword_choice(encoders, how, top):
    """The choice, made here from the vectors by the formulas as they are published."""
    doc, *words = (d["embedding"] for d in encoders.post("/v1/embeddings", {"model": T2V, "input": [SENTENCE, *VOCAB]}).json()["data"])
    s = [cosine(doc, w) for w in words]
    c = [[cosine(a, b) for b in words] for a in words]
    if how.get("mmr"):
        want = mmr(s, c, top, how.get("diversity", 0.3))
    elif how.get("maxsum") and top == 1:
        return  # of one word there are no pairs to choose by
    elif how.get("maxsum"):
        want = maxsum(s, c, min(top, len(s)))
    else:
        want = set(sorted(range(len(s)), key=lambda i: -s[i])[:top])
    r = encoders.post("/keyword", {"input": SENTENCE, "model": T2V, "vocab": [*VOCAB, "absent"], "top": top, **how})
    got = {k["name"]: k["similarity"] for k in r.json()["keywords"]}
    assert set(got) == {VOCAB[i] for i in want}, r
    assert list(got.values()) == sorted(got.values(), reverse=True)
    assert all(abs(got[VOCAB[i]] - s[i]) < 1e-4 for i in want)


def test_keyword_without_a_vocabulary(encoders):
    r = encoders.post("/keyword", {"input": SENTENCE})
    got = [k["name"] for k in r.json()["keywords"]]
    assert r.status == 200 and len(got) == 10 and set(got) <= set(SENTENCE.replace(",", "").replace(".", "").split())
    assert "the" not in got and "and" not in got
    assert encoders.post("/keyword", {"input": SENTENCE, "vocab": ["elsewhere"]}).json()["keywords"] == []


@pytest.mark.parametrize("body,status,words", [
    ({}, 400, "input"), ({"input": ""}, 400, "input"), ({"input": 1}, 400, "input"), ({"vocab": "river"}, 400, "vocab"),
    ({"vocab": ["a", 1]}, 400, "vocab[1]"), ({"vocab": ["x"] * 16385}, 400, "16385"), ({"top": 0}, 400, "top"), ({"top": "5"}, 400, "top"),
    ({"diversity": 1.5}, 400, "diversity"), ({"mmr": 1}, 400, "mmr"), ({"model": "nope"}, 404, "nope"),
    ({"model": "glim-demo"}, 400, "chat model"), ({"model": RERANKER}, 400, "reranker"),
], ids=lambda v: str(v)[:40])
def test_keyword_errors(encoders, body, status, words):
    r = encoders.post("/keyword", {"input": SENTENCE, **body} if body else {})
    assert r.status == status and words in r.json()["error"]["message"] and "detail" not in r.json(), r


def test_a_large_vocabulary(encoders):
    r = encoders.post("/keyword", {"input": SENTENCE, "vocab": [f"word{i}" for i in range(2000)] + VOCAB, "top": 3})
    assert r.status == 200 and len(r.json()["keywords"]) == 3


# ---- reranking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/reranking"])
def test_rerank_jina(encoders, path):
    documents = ["Berlin", {"text": "Tokyo is the capital of Japan.", "id": 7}, "北京", ""]
    ask = {"model": RERANKER, "query": "capital of Japan", "documents": documents}
    r = encoders.post(path, ask)
    body = r.json()
    assert r.status == 200 and body["model"] == RERANKER and body["object"] == "list", r
    scores = [x["relevance_score"] for x in body["results"]]
    assert scores == sorted(scores, reverse=True) and sorted(x["index"] for x in body["results"]) == [0, 1, 2, 3]
    assert all(0 < s < 1 for s in scores) and all(set(x) == {"index", "relevance_score"} for x in body["results"])
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 0
    top = encoders.post(path, {**ask, "top_n": 3, "return_documents": True}).json()["results"]
    assert [x["index"] for x in top] == [x["index"] for x in body["results"]][:3]
    for x in top:
        d = documents[x["index"]]
        assert x["document"] == (d if isinstance(d, dict) else {"text": d})
    raw = encoders.post(path, {**ask, "return_raw_scores": True}).json()["results"]
    for a, b in zip(raw, body["results"]):
        assert a["index"] == b["index"] and abs(1 / (1 + math.exp(-a["relevance_score"])) - b["relevance_score"]) < 1e-6
    # Documents do not change each other's score.
    assert encoders.post(path, {**ask, "model": "", "documents": ["北京"]}).json()["results"][0]["relevance_score"] in scores


def test_rerank_golden(encoders):
    """The logits that the reference library gave, pair by pair, and all documents of one query at once."""
    rows = [p for p in toymodels.cases("xlm-roberta-reranker", "pairs.jsonl") if p["query"]]
    assert len(rows) > 10
    for p in rows:
        r = encoders.post("/v1/rerank", {"query": p["query"], "documents": [p["document"]], "return_raw_scores": True}).json()
        assert abs(r["results"][0]["relevance_score"] - p["logit"]) < 2e-5, p
        assert r["usage"]["total_tokens"] == len(p["ids"])


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/reranking"])
@pytest.mark.parametrize("body,status,words", [
    ({"model": "nope"}, 404, "nope"), ({"model": T2V}, 400, "does not rerank"), ({"model": "glim-demo"}, 400, "chat model"),
    ({"query": ""}, 400, "query"), ({"query": None}, 400, "query"), ({"documents": []}, 400, "documents"),
    ({"documents": [{"id": 1}]}, 400, "documents[0].text"), ({"documents": ["x"] * 2049}, 400, "2049"), ({"top_n": 0}, 400, "top_n"),
    ({"documents": ["x", "word " * 300]}, 400, "documents[1]"), ({"texts": ["x"]}, 400, "documents"),
], ids=lambda v: str(v)[:40])
def test_rerank_errors(encoders, path, body, status, words):
    r = encoders.post(path, {"model": RERANKER, "query": "q", "documents": ["a"], **body})
    error = r.json()["error"]
    assert r.status == status and words in error["message"], r
    assert isinstance(error["code"], int) == (path != "/v1/rerank"), "each path has the error shape of its own clients"


def test_rerank_cuts_when_asked(encoders):
    ask = {"query": "q", "documents": ["word " * 300, "a"]}
    r = encoders.post("/v1/rerank", {**ask, "truncate": True})
    assert r.status == 200 and r.headers["x-glim-truncated"] == "1" and r.json()["usage"]["total_tokens"] > 128, r


# ---- the wrong kind, on every mount ------------------------------------------------------------------

MESSAGES = {"messages": [{"role": "user", "content": "x"}]}
CHAT_PATHS = [
    ("/v1/chat/completions", MESSAGES, "openai"), ("/v1/completions", {"prompt": "x"}, "openai"), ("/chat", MESSAGES, "openai"),
    ("/generate", {"text": "x"}, "openai"), ("/v1/tokenize", {"prompt": "x"}, "openai"), ("/v1/detokenize", {"tokens": [1]}, "openai"),
    ("/api/paas/v4/chat/completions", MESSAGES, "zhipu"), ("/api/coding/paas/v4/chat/completions", MESSAGES, "zhipu"),
    ("/api/paas/v4/async/chat/completions", MESSAGES, "zhipu"), ("/api/paas/v4/tokenizer", MESSAGES, "zhipu"),
    ("/api/chat", MESSAGES, "ollama"), ("/api/generate", {"prompt": "x"}, "ollama"), ("/api/npu/infer", {"prompt": "x"}, "npu"),
    ("/completion", {"prompt": "x"}, "llama"), ("/completions", {"prompt": "x"}, "llama"), ("/apply-template", MESSAGES, "llama"),
]


def check_shape(shape, r, words):
    body = r.json()
    if shape == "ollama":
        text = body["error"]
        assert list(body) == ["error"]
    elif shape == "npu":
        text = body["detail"]
        assert body["success"] is False
    else:
        error = body["error"]
        text = error["message"]
        if shape == "openai":
            assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "model", None), error
        elif shape == "zhipu":
            assert error["code"] == "1211" and body["request_id"]
        else:
            assert (error["code"], error["type"]) == (400, "invalid_request_error")
    assert all(w in text for w in words), text


@pytest.mark.parametrize("path,body,shape", CHAT_PATHS)
@pytest.mark.parametrize("model,kind", [(T2V, "embedding model"), (RERANKER, "reranker")])
def test_chat_with_an_encoder(encoders, path, body, shape, model, kind):
    for more in ({}, {"stream": True}) if "token" not in path and "npu" not in path and "async" not in path else ({},):
        r = encoders.post(path, {**body, "model": model, **more})
        assert r.status == 400 and r.headers["Content-Type"].startswith("application/json"), r
        check_shape(shape, r, [kind, "does not chat", "glim-demo"])


@pytest.mark.parametrize("path,body,shape", [
    ("/v1/embeddings", {"input": "x"}, "openai"), ("/embedding", {"prompt": ["x"]}, "openai"), ("/embedding", {"content": "x"}, "llama"),
    ("/keyword", {"input": "x"}, "openai"), ("/v1/rerank", {"query": "x", "documents": ["x"]}, "openai"),
    ("/rerank", {"query": "x", "documents": ["x"]}, "llama"), ("/api/embed", {"input": "x"}, "ollama"),
    ("/api/embeddings", {"prompt": "x"}, "ollama"), ("/api/paas/v4/embeddings", {"input": "x"}, "zhipu"),
    ("/api/paas/v4/rerank", {"query": "x", "documents": ["x"]}, "zhipu"),
])
def test_encoding_with_only_a_chat_model(demo, path, body, shape):
    for model in ("glim-demo", "glm-4.7-flash", "default", ""):
        r = demo.post(path, {**body, "model": model})
        assert r.status == 400, r
        check_shape(shape, r, ["chat model", "here: none"])
