# SPDX-License-Identifier: MIT
"""Embeddings with Zhipu's SDK of this environment, and /rerank, which neither SDK has a call for: as curl users ask it."""
import math

import httpx
import pytest

import toymodels
from zsdk import Client, errors

T2V = "text2vec-base-chinese-paraphrase"
RERANKER = "bge-reranker-v2-m3"


@pytest.fixture(scope="module", params=["paas", "coding"])
def base(request, encoders):
    return getattr(encoders, request.param)


@pytest.fixture(scope="module")
def client(base):
    return Client(api_key="id.secret", base_url=base, max_retries=0)


def code_of(e):
    error = e.response.json()["error"]
    assert isinstance(error["code"], str) and error["message"]
    return error["code"]


def test_create(client, encoders):
    texts = ["你好，世界", "hello", "x"]
    r = client.embeddings.create(model=T2V, input=texts)
    assert (r.object, r.model) == ("list", T2V)
    assert [(d.index, d.object) for d in r.data] == [(i, "embedding") for i in range(3)]
    assert r.usage.prompt_tokens == r.usage.total_tokens > 0 and r.usage.completion_tokens == 0
    for d in r.data:
        assert len(d.embedding) == 80 and abs(math.hypot(*d.embedding) - 1) < 1e-6
    for text, d in zip(texts, r.data):
        assert client.embeddings.create(model=T2V, input=text).data[0].embedding == d.embedding
    v1 = encoders.post("/v1/embeddings", {"model": T2V, "input": texts}).json()["data"]
    assert [d["embedding"] for d in v1] == [d.embedding for d in r.data]


def test_members(client):
    whole = client.embeddings.create(model=T2V, input="hello").data[0].embedding
    cut = client.embeddings.create(model=T2V, input="hello", dimensions=16, encoding_format="float", user="me", request_id="mine-1")
    n = math.hypot(*whole[:16])
    assert max(abs(a - b / n) for a, b in zip(cut.data[0].embedding, whole[:16])) < 1e-6 and len(cut.data[0].embedding) == 16


def test_golden(client):
    rows = [c for c in toymodels.cases("ernie") if c["text"]]
    r = client.embeddings.create(model="golden-ernie", input=[c["text"] for c in rows])
    for d, c in zip(r.data, rows):
        n = math.hypot(*c["mean"])
        assert max(abs(a - b / n) for a, b in zip(d.embedding, c["mean"])) < 1e-5, c["text"]


@pytest.mark.parametrize("ask,code,words", [
    ({"model": "embedding-3"}, "1211", "embedding-3"),
    ({"model": "glim-demo"}, "1211", "chat model"),
    ({"model": RERANKER}, "1211", "reranker"),
    ({"input": ""}, "1214", "empty"),
    ({"input": []}, "1214", "empty"),
    ({"input": ["a", ""]}, "1214", "input[1]"),
    ({"input": [3000]}, "1214", "2999"),
    ({"input": ["x"] * 2049}, "1214", "2049"),
    ({"input": "word " * 200}, "1261", "64"),
    ({"dimensions": 81}, "1214", "81"),
    ({"dimensions": 0}, "1214", "dimensions"),
    ({"encoding_format": "int8"}, "1214", "int8"),
    ({"extra_body": {"input": None}}, "1213", "input"),
    ({"extra_body": {"model": None}}, "1213", "model"),
], ids=lambda v: str(v)[:40])
def test_400(client, ask, code, words):
    with pytest.raises(errors.APIRequestFailedError) as caught:
        client.embeddings.create(**{"model": T2V, "input": "x", **ask})
    assert code_of(caught.value) == code and words in caught.value.response.json()["error"]["message"], caught.value
    assert caught.value.response.json()["request_id"]


def test_chat_with_an_encoder(client):
    for model, words in ((T2V, "embedding model"), (RERANKER, "reranker")):
        for stream in (False, True):
            with pytest.raises(errors.APIRequestFailedError) as caught:
                client.chat.completions.create(model=model, messages=[{"role": "user", "content": "x"}], stream=stream)
            assert code_of(caught.value) == "1211" and words in str(caught.value)
        with pytest.raises(errors.APIRequestFailedError) as caught:
            client.chat.asyncCompletions.create(model=model, messages=[{"role": "user", "content": "x"}])
        assert code_of(caught.value) == "1211"


# ---- /rerank -----------------------------------------------------------------------------------------

http = httpx.Client()
DOCUMENTS = ["北京是中国的首都。", "Der Hund bellt.", "Tokyo is the capital of Japan.", "x"]


def rerank(base, **body):
    r = http.post(base + "/rerank", json={"model": RERANKER, "query": "What is the capital of Japan?", "documents": DOCUMENTS, **body})
    return r.status_code, r.json()


def test_rerank(base):
    status, raw = rerank(base, return_raw_scores=True, request_id="mine-2")
    assert status == 200 and raw["request_id"] == "mine-2" and raw["id"] and raw["created"] > 0
    logits = [r["relevance_score"] for r in raw["results"]]
    assert logits == sorted(logits, reverse=True) and sorted(r["index"] for r in raw["results"]) == [0, 1, 2, 3]
    assert all("document" not in r for r in raw["results"])
    assert raw["usage"]["prompt_tokens"] == raw["usage"]["total_tokens"] > 0
    status, out = rerank(base, top_n=2, return_documents=True)
    assert status == 200 and [r["index"] for r in out["results"]] == [r["index"] for r in raw["results"]][:2]
    for a, b in zip(out["results"], logits):
        assert abs(a["relevance_score"] - 1 / (1 + math.exp(-b))) < 1e-6, "the score is the sigmoid of the logit"
        assert a["document"] == DOCUMENTS[a["index"]]
    assert len(rerank(base, top_n=99)[1]["results"]) == 4


@pytest.mark.parametrize("body,code,words", [
    ({"model": "rerank"}, "1211", "rerank"), ({"model": T2V}, "1211", "does not rerank"), ({"model": "glim-demo"}, "1211", "chat model"),
    ({"model": None}, "1213", "model"), ({"query": None}, "1213", "query"), ({"query": ""}, "1214", "query"),
    ({"documents": None}, "1213", "documents"), ({"documents": []}, "1214", "documents"), ({"documents": "x"}, "1214", "documents"),
    ({"documents": [1]}, "1214", "documents[0]"), ({"documents": ["x"] * 2049}, "1214", "2049"), ({"top_n": 0}, "1214", "top_n"),
    ({"documents": ["x", "word " * 300]}, "1261", "documents[1]"), ({"query": "word " * 300}, "1261", "together"),
], ids=lambda v: str(v)[:40])
def test_rerank_400(base, body, code, words):
    status, out = rerank(base, **body)
    assert status == 400 and out["error"]["code"] == code and words in out["error"]["message"], out
