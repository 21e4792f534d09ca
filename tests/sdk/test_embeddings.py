# SPDX-License-Identifier: MIT
"""Embeddings with the openai and the ollama package, check 10 among them; every refusal as the class that it becomes there;
vectors against those of other programs (tests/golden/encoders)."""
import asyncio
import base64
import math
import struct

import ollama
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

import toymodels
from server import MODEL

T2V = "text2vec-base-chinese-paraphrase"
N_EMBD, N_MAX, N_VOCAB = 80, 64, 3000  # of the golden ERNIE
TEXTS = ["The food was delicious and the waiter...", "你好，我是谁？", "x"]


def norm(v):
    return math.sqrt(sum(x * x for x in v))


def unit(v):
    n = norm(v)
    return [x / n for x in v]


def near(a, b, limit=1e-6):
    assert len(a) == len(b)
    worst = max(abs(x - y) for x, y in zip(a, b))
    assert worst <= limit, worst
    return True


@pytest.fixture(scope="module")
def oai(encoders):
    return OpenAI(api_key="EMPTY", base_url=encoders.v1, max_retries=0)


@pytest.fixture(scope="module")
def oll(encoders):
    return ollama.Client(host=encoders.root)


def vectors(oai, **ask):
    return [d.embedding for d in oai.embeddings.create(**{"model": T2V, **ask}).data]


# ---- openai: forms ---------------------------------------------------------------------------------


def test_base64_is_the_default(oai):
    """The SDK asks for base64 where its caller says nothing, and decodes it."""
    raw = oai.embeddings.with_raw_response.create(model=T2V, input=TEXTS[0])
    got = raw.parse()
    assert isinstance(raw.http_response.json()["data"][0]["embedding"], str)
    assert b'"encoding_format":"base64"' in raw.http_request.content.replace(b" ", b"")
    want = oai.embeddings.create(model=T2V, input=TEXTS[0], encoding_format="float")
    assert len(want.data[0].embedding) == N_EMBD and near(got.data[0].embedding, want.data[0].embedding)
    explicit = oai.embeddings.create(model=T2V, input=TEXTS[0], encoding_format="base64")
    text = explicit.data[0].embedding
    assert isinstance(text, str), "the SDK decodes only what it asked for by itself"
    assert list(struct.unpack(f"<{N_EMBD}f", base64.b64decode(text, validate=True))) == got.data[0].embedding
    assert abs(norm(want.data[0].embedding) - 1) < 1e-6


def test_members(oai):
    r = oai.embeddings.create(model=T2V, input=TEXTS, user="somebody", extra_body={"rid": "mine"})
    assert (r.object, r.model) == ("list", T2V)
    assert [(d.index, d.object) for d in r.data] == [(i, "embedding") for i in range(len(TEXTS))]
    assert r.usage.prompt_tokens == r.usage.total_tokens > 3 * len(TEXTS)


@pytest.mark.parametrize("form", ["float", openai.NOT_GIVEN], ids=["float", "base64"])
def test_a_list_is_its_texts(oai, form):
    """The same bits, whatever else is computed beside."""
    alone = [vectors(oai, input=t, encoding_format=form)[0] for t in TEXTS]
    assert vectors(oai, input=TEXTS, encoding_format=form) == alone
    n = 2048 if form != "float" else 100
    assert vectors(oai, input=[TEXTS[2]] * n, encoding_format=form) == [alone[2]] * n


def test_token_ids_are_the_text(oai):
    rows = [c for c in toymodels.cases("ernie") if c["text"]][:6]
    want = vectors(oai, model="golden-ernie", input=[c["text"] for c in rows])
    assert vectors(oai, model="golden-ernie", input=[c["ids"] for c in rows]) == want
    assert vectors(oai, model="golden-ernie", input=rows[2]["ids"]) == [want[2]]
    r = oai.embeddings.create(model="golden-ernie", input=[c["text"] for c in rows])
    assert r.usage.prompt_tokens == sum(len(c["ids"]) for c in rows)


@pytest.mark.parametrize("n", [1, 8, N_EMBD])
def test_dimensions(oai, n):
    whole = vectors(oai, input=TEXTS)
    cut = vectors(oai, input=TEXTS, dimensions=n)
    for a, b in zip(cut, whole):
        assert near(a, unit(b[:n]))


def test_async_client(encoders):
    async def go():
        async with AsyncOpenAI(api_key="EMPTY", base_url=encoders.v1, max_retries=0) as c:
            return await asyncio.gather(*(c.embeddings.create(model=T2V, input=t) for t in TEXTS * 8))

    got = [r.data[0].embedding for r in asyncio.run(go())]
    assert got == got[:3] * 8


def test_the_first_of_the_kind(oai):
    want = vectors(oai, input="x")
    for name in ("", "default", "DEFAULT", T2V.upper(), T2V + ":latest", "text2vec-base-multilingual"):
        r = oai.embeddings.create(model=name, input="x")
        assert r.data[0].embedding == want[0] and r.model == (name or T2V)
    assert vectors(oai, model="bge-m3", input="x") != want


# ---- openai: refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize("ask,param,words", [
    ({"input": ""}, "input", ["empty"]),
    ({"input": []}, "input", ["empty"]),
    ({"input": ["a", ""]}, "input[1]", ["empty"]),
    ({"input": [[]]}, "input[0]", ["empty"]),
    ({"input": ["a", [1]]}, "input[1]", ["do not go together"]),
    ({"input": [[1], "a"]}, "input[1]", []),
    ({"input": [1, "a"]}, "input[1]", []),
    ({"input": 7}, "input", []),
    ({"input": {"text": "a"}}, "input", []),
    ({"input": [{"text": "a"}]}, "input[0]", []),
    ({"input": [[1.5]]}, "input[0][0]", []),
    ({"input": ["x"] * 2049}, "input", ["2049", "2048"]),
    ({"input": ["x"] * 10000}, "input", ["10000", "2048"]),
    ({"input": [N_VOCAB]}, "input", [str(N_VOCAB), str(N_VOCAB - 1)]),
    ({"input": [-1]}, "input[0]", ["-1"]),
    ({"input": [[5], [2**31]]}, "input[1][0]", [str(2**31)]),
    ({"input": [[5], [2**31 - 1]]}, "input[1]", [str(2**31 - 1)]),
    ({"input": "x", "dimensions": 0}, "dimensions", ["0"]),
    ({"input": "x", "dimensions": -1}, "dimensions", ["-1"]),
    ({"input": "x", "dimensions": N_EMBD + 1}, "dimensions", ["81", "80"]),
    ({"input": "x", "dimensions": 10**15}, "dimensions", []),
    ({"input": "x", "dimensions": "8"}, "dimensions", []),
    ({"input": "x", "encoding_format": "int8"}, "encoding_format", ["int8"]),
    ({"input": "x", "extra_body": {"input": None}}, "input", ["missing"]),
    ({"input": "x", "extra_body": {"task": "retrieval.query"}}, "task", ["task"]),
    ({"input": "x", "extra_body": {"model": 7}}, "model", []),
    ({"input": "x", "model": "glim-demo"}, "model", ["chat model", T2V]),
    ({"input": "x", "model": MODEL}, "model", ["chat model"]),
    ({"input": "x", "model": "glm-4"}, "model", ["chat model"]),
    ({"input": "x", "model": "bge-reranker-v2-m3"}, "model", ["reranker", T2V]),
], ids=lambda v: None if isinstance(v, list) else str(v)[:50])
def test_400(oai, ask, param, words):
    with pytest.raises(openai.BadRequestError) as caught:
        oai.embeddings.create(**{"model": T2V, "encoding_format": "float", **ask})
    e = caught.value
    assert e.type == "invalid_request_error" and e.param == param, e.body
    assert all(w in e.body["message"] for w in words), e.body
    assert e.code in (None, "unsupported_value")
    assert e.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("ask,param,counts", [
    ({"input": "word " * 20000}, "input", [None, N_MAX]),
    ({"input": ["x", "字" * 100000]}, "input[1]", [None, N_MAX]),
    ({"input": [5] * (N_MAX + 1)}, "input", [N_MAX + 1, N_MAX]),
    ({"input": [[5], [5] * 2000]}, "input[1]", [2000, N_MAX]),
    ({"input": "x " * 20, "model": "short"}, "input", [22, 16]),
], ids=["text", "texts", "ids", "lists", "max_seq_length"])
def test_too_long(oai, ask, param, counts):
    """Refused with both counts, and never cut in silence; the limit is the one of the model's own library."""
    with pytest.raises(openai.BadRequestError) as caught:
        oai.embeddings.create(**{"model": T2V, **ask})
    e = caught.value
    assert (e.code, e.param) == ("context_length_exceeded", param), e.body
    numbers = [int(w) for w in e.body["message"].replace(";", " ").split() if w.isdigit()]
    assert numbers[1] == counts[1] and numbers[0] > counts[1] and counts[0] in (None, numbers[0]), e.body


def test_404(oai):
    for model in ("nope", "text-embedding-3-small", "a" * 5000, "x/y", T2V + "x"):
        with pytest.raises(openai.NotFoundError) as caught:
            oai.embeddings.create(model=model, input="x")
        e = caught.value
        assert (e.code, e.param, e.type) == ("model_not_found", "model", "invalid_request_error")
        assert model[:20] in e.message and "glim-demo" in e.message and T2V in e.message, "it lists what there is"


def test_only_a_chat_model(demo):
    """No vectors from the chat model, whatever it is called."""
    oai = OpenAI(api_key="EMPTY", base_url=demo.v1, max_retries=0)
    for model in ("glim-demo", MODEL, "glm-4", "default", ""):
        with pytest.raises(openai.BadRequestError) as caught:
            oai.embeddings.create(model=model, input="x")
        assert "chat model" in caught.value.message and "embedding models here: none" in caught.value.message
        assert caught.value.param == "model"
    with pytest.raises(openai.NotFoundError) as caught:
        oai.embeddings.create(model="bge-m3", input="x")
    assert "glim-demo" in caught.value.message


def test_401(locked):
    for key, kind in (("wrong", openai.AuthenticationError), ("plain-key", openai.BadRequestError)):
        with pytest.raises(kind):
            OpenAI(api_key=key, base_url=locked.v1, max_retries=0).embeddings.create(model="", input="x")


# ---- vectors of other programs -----------------------------------------------------------------------

POOLINGS = [("", "mean"), ("-cls", "cls"), ("-lasttoken", "last_token"), ("-gguf", None)]
GGUF = {"bert": "mean", "xlm-roberta": "cls"}  # what their pooling_type says


@pytest.mark.parametrize("suffix,member", POOLINGS, ids=["mean", "cls", "last", "gguf"])
@pytest.mark.parametrize("name", toymodels.NAMES)
def test_golden(encoders, oai, name, suffix, member):
    model = "golden-" + name + suffix
    rows = toymodels.cases(name)
    if model not in {m["id"] for m in encoders.get("/v1/models").json()["data"]}:
        pytest.skip("the weights are not here")
    # 7 digits in the files, f32 here: 2e-6 was the most seen of vectors of length 1.
    texts = [c for c in rows if c["text"]]
    for ask, of in (([c["text"] for c in texts], texts), ([c["ids"] for c in rows], rows)):
        r = oai.embeddings.create(model=model, input=ask)
        assert r.usage.prompt_tokens == sum(len(c["ids"]) for c in of)
        for d, c in zip(r.data, of):
            assert near(d.embedding, unit(c[member or GGUF[name]]), 1e-5), c["text"]


# ---- ollama ------------------------------------------------------------------------------------------


def test_ollama_embed(oai, oll):
    want = vectors(oai, input=TEXTS, encoding_format="float")
    r = oll.embed(model=T2V, input=TEXTS)
    assert [list(v) for v in r.embeddings] == want and r.model == T2V
    assert r.prompt_eval_count > 0 and r.total_duration >= r.load_duration >= 0
    assert [list(v) for v in oll.embed(model=T2V + ":latest", input=TEXTS[0]).embeddings] == want[:1]
    cut = oll.embed(model=T2V, input=TEXTS[0], dimensions=8, options={"num_ctx": 64, "temperature": 0}, keep_alive="5m")
    assert near(cut.embeddings[0], unit(want[0][:8]))


def test_ollama_embeddings(oll):
    """The old route: one text, and the model's own length of the vector."""
    row = next(c for c in toymodels.cases("ernie") if len(c["ids"]) > 5)
    got = oll.embeddings(model="golden-ernie", prompt=row["text"]).embedding
    assert near(got, row["mean"], 1e-5) and abs(norm(got) - 1) > 0.5
    assert near(oll.embed(model="golden-ernie", input=row["text"]).embeddings[0], unit(got))
    # What its own library normalises has length 1 here too.
    assert abs(norm(oll.embeddings(model="bge-m3", prompt=row["text"]).embedding) - 1) < 1e-6


def test_ollama_truncates(encoders, oll):
    row = toymodels.cases("ernie")[0]
    text = "word " * 200
    with pytest.raises(ollama.ResponseError) as e:
        oll.embed(model=T2V, input=text, truncate=False)
    assert e.value.status_code == 400 and str(N_MAX) in e.value.error
    r = oll.embed(model=T2V, input=["x", text])
    assert oll.embed(model=T2V, input=["x", text], truncate=True).embeddings == r.embeddings
    assert oll.embed(model=T2V, input="word " * 300).embeddings[0] == r.embeddings[1], "both are cut at the same place"
    raw = encoders.post("/api/embed", {"model": T2V, "input": ["x", text, text]})
    assert raw.headers["x-glim-truncated"] == "2" and raw.json()["prompt_eval_count"] == 2 * N_MAX + 3
    assert encoders.post("/api/embed", {"model": T2V, "input": row["text"]}).headers.get("x-glim-truncated") is None
    assert encoders.post("/api/embeddings", {"model": T2V, "prompt": text}).headers["x-glim-truncated"] == "1"


def test_ollama_nothing_to_embed(encoders, oll):
    assert list(oll.embed(model=T2V, input=[]).embeddings) == []
    assert list(oll.embed(model=T2V, input="").embeddings) == []
    assert list(oll.embeddings(model=T2V, prompt="").embedding) == []
    # A model that was given by -m stays.
    assert list(oll.embed(model=T2V, input="", keep_alive=0).embeddings) == []
    assert T2V + ":latest" in [m.model for m in oll.ps().models]


@pytest.mark.parametrize("call,status,words", [
    (lambda c: c.embed(model="nope", input="x"), 404, "nope"),
    (lambda c: c.embeddings(model="nope", prompt="x"), 404, "not found"),
    (lambda c: c.embed(model="glim-demo", input="x"), 400, "chat model"),
    (lambda c: c.embeddings(model="bge-reranker-v2-m3", prompt="x"), 400, "reranker"),
    (lambda c: c.embed(model=T2V, input=["x", ""]), 400, "input[1]"),
    (lambda c: c.embed(model=T2V, input=["x"] * 2049), 400, "2049"),
    (lambda c: c.embed(model=T2V, input="x", dimensions=81), 400, "dimensions"),
    (lambda c: c.embed(model=T2V, input="x", dimensions=-1), 400, "dimensions"),
    (lambda c: c.generate(model=T2V, prompt="x"), 400, "does not chat"),
    (lambda c: c.chat(model=T2V, messages=[{"role": "user", "content": "x"}]), 400, "does not chat"),
    (lambda c: list(c.chat(model=T2V, messages=[{"role": "user", "content": "x"}], stream=True)), 400, "does not chat"),
])
def test_ollama_errors(oll, call, status, words):
    with pytest.raises(ollama.ResponseError) as e:
        call(oll)
    assert e.value.status_code == status and words in e.value.error, e.value


def test_ollama_lists(oll):
    models = {m.model: m for m in oll.list().models}
    assert {"glim-demo:latest", T2V + ":latest", "bge-reranker-v2-m3:latest"} <= set(models)
    assert len({m.digest for m in models.values()}) >= 5
    oll.embed(model=T2V, input="x")
    show = oll.show(T2V)
    assert show.capabilities == ["embedding"] and show.details.family == "ernie" and show.details.format == "safetensors"
    assert show.modelinfo["general.architecture"] == "ernie" and show.modelinfo["ernie.embedding_length"] == N_EMBD
    assert show.modelinfo["ernie.context_length"] == N_MAX and "temperature" not in (show.parameters or "")
    assert oll.show("bge-reranker-v2-m3").capabilities == ["rerank"]
    loaded = {m.model: m for m in oll.ps().models}
    assert loaded[T2V + ":latest"].context_length == N_MAX
