# SPDX-License-Identifier: MIT
"""The openai and ollama packages, unmodified, against the stand-in: the compatible mounts, every class of error, retries,
and the samples of S3 (openai on the Zhipu mount) and S0 (Ollama) as written there."""
import json
import urllib.request

import ollama
import openai
import pytest
from openai import OpenAI

HELLO = [{"role": "user", "content": "Hello 你好"}]
WEATHER = {"type": "function", "function": {
    "name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}


def client_of(platform, base=None, key=None, **more):
    return OpenAI(api_key=key or platform.key, base_url=base or platform.v1, **{"max_retries": 0, "timeout": 5, **more})


@pytest.fixture
def oai(platform):
    return client_of(platform)


@pytest.fixture
def oll(platform):
    return ollama.Client(host=platform.url)


# ---- openai ----------------------------------------------------------------------------------------------


def test_chat(platform, oai):
    r = oai.chat.completions.create(model="glm-4.7", messages=HELLO, n=2, temperature=0.5, seed=1, user="u")
    assert [c.message.content for c in r.choices] == ["echo: Hello 你好"] * 2 and r.choices[1].index == 1
    assert r.object == "chat.completion" and r.usage.total_tokens == 5 + 2 * 6 and r.choices[0].finish_reason == "stop"
    assert not platform.log()[0]["unknown"] and not platform.log()[0]["problems"]
    r = oai.chat.completions.create(model="glm-4.7", messages=HELLO, extra_body={"thinking": {"type": "enabled"}})
    assert r.choices[0].message.reasoning_content == "thinking about: Hello 你好"


@pytest.mark.parametrize("usage", [False, True])
def test_stream(oai, usage):
    more = {"stream_options": {"include_usage": True}} if usage else {}
    chunks = list(oai.chat.completions.create(model="glm-4.7", messages=HELLO, stream=True, **more))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "echo: Hello 你好"
    assert [c for c in chunks if c.usage] == ([chunks[-1]] if usage else []) and bool(chunks[-1].choices) is not usage
    assert [c.choices[0].delta.role for c in chunks if c.choices].count("assistant") == 1


def test_stream_helper_with_tools(oai):
    with oai.chat.completions.stream(model="glm-4.7", tools=[WEATHER],
                                     messages=[{"role": "user", "content": 'call get_weather {"city":"Rome"}'}]) as stream:
        final = stream.get_final_completion()
    call = final.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather" and json.loads(call.function.arguments) == {"city": "Rome"}
    assert final.choices[0].finish_reason == "tool_calls"


def test_completions(oai):
    assert oai.completions.create(model="glm-4", prompt="one two").choices[0].text == " echo: one two"
    r = oai.completions.create(model="glm-4", prompt=["a", "b"], max_tokens=2, echo=True)
    assert [(c.index, c.text, c.finish_reason) for c in r.choices] == [(0, "a echo:", "length"), (1, "b echo:", "length")]
    text = "".join(c.choices[0].text for c in oai.completions.create(model="glm-4", prompt="one two", stream=True))
    assert text == " echo: one two"


def test_models(oai):
    names = [m.id for m in oai.models.list()]
    assert "glm-4.7-flash" in names and oai.models.retrieve("glm-4.7-flash").id == "glm-4.7-flash"
    with pytest.raises(openai.NotFoundError) as caught:
        oai.models.retrieve("gpt-9")
    assert caught.value.code == "model_not_found"


def test_embeddings(oai):
    packed = oai.embeddings.create(model="embedding-3", input=["a", "b"], dimensions=256)
    plain = oai.embeddings.create(model="embedding-3", input="a", dimensions=256, encoding_format="float")
    assert len(packed.data) == 2 and max(abs(x - y) for x, y in zip(packed.data[0].embedding, plain.data[0].embedding)) < 1e-6


@pytest.mark.parametrize("ask,kind,code,param", [
    ({"model": "gpt-9"}, openai.NotFoundError, "model_not_found", None),
    ({"messages": []}, openai.BadRequestError, None, "messages"),
    ({"temperature": 3}, openai.BadRequestError, None, "temperature"),
    ({"n": 0}, openai.BadRequestError, None, "n"),
    ({"stop": ["x"] * 5}, openai.BadRequestError, None, "stop"),
    ({"messages": [{"role": "user", "content": "x " * 210000}]}, openai.BadRequestError, "context_length_exceeded", "messages"),
])
def test_refusals(oai, ask, kind, code, param):
    with pytest.raises(kind) as caught:
        oai.chat.completions.create(**{"model": "glm-4.7", "messages": HELLO, **ask})
    assert caught.value.code == code and caught.value.param == param and caught.value.body["message"] and caught.value.request_id


@pytest.mark.parametrize("status,kind", [
    (400, openai.BadRequestError), (401, openai.AuthenticationError), (403, openai.PermissionDeniedError),
    (404, openai.NotFoundError), (409, openai.ConflictError), (422, openai.UnprocessableEntityError),
    (429, openai.RateLimitError), (500, openai.InternalServerError), (503, openai.InternalServerError),
])
def test_classes(platform, oai, status, kind):
    platform.script({"status": status, "code": "some_code", "message": "scripted text"})
    with pytest.raises(kind) as caught:
        oai.chat.completions.create(model="glm-4", messages=HELLO)
    assert caught.value.code == "some_code" and "scripted text" in caught.value.message and caught.value.request_id


def test_wrong_key(platform):
    with pytest.raises(openai.AuthenticationError) as caught:
        client_of(platform, key="no.body").chat.completions.create(model="glm-4", messages=HELLO)
    assert caught.value.code == "invalid_api_key"


def test_timeout_and_closed_connection(platform):
    platform.script({"silent": True}, {"close": "reset"}, {"close": "end"})
    with pytest.raises(openai.APITimeoutError):
        client_of(platform, timeout=0.3).models.list()
    for _ in range(2):
        with pytest.raises(openai.APIConnectionError):
            client_of(platform).models.list()


@pytest.mark.parametrize("headers,tries", [({"retry-after-ms": "1"}, 3), ({"x-should-retry": "false"}, 1), ({"Retry-After": "3600"}, 1)])
def test_retries(platform, headers, tries):
    platform.script({"status": 429, "headers": headers, "times": 0})
    with pytest.raises(openai.RateLimitError):
        client_of(platform, max_retries=2).chat.completions.create(model="glm-4", messages=HELLO)
    assert len(platform.log("/v1/chat/completions")) == tries


def test_error_in_a_stream(platform, oai):
    platform.script({"stream_error": {"after": 2, "message": "went wrong"}})
    with pytest.raises(openai.APIError) as caught:
        list(oai.chat.completions.create(model="glm-4", messages=HELLO, stream=True))
    assert "went wrong" in caught.value.message


# ---- S3: openai on the Zhipu mount ------------------------------------------------------------------------


@pytest.fixture
def guide(platform, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "your-api-key")
    monkeypatch.setenv("OPENAI_BASE_URL", platform.paas)
    return OpenAI()


def test_s3_with_both_given(platform):
    client = OpenAI(
        api_key="your-api-key",
        base_url=platform.paas,
    )
    response = client.chat.completions.create(
        model="glm-4.7-flash",
        messages=[
            {"role": "user", "content": "你好，请介绍一下自己"}
        ]
    )
    assert response.choices[0].message.content == "echo: 你好，请介绍一下自己"


def test_s3_curl(platform):
    """The guide's request as curl sends it."""
    body = {"model": "glm-4.7-flash", "messages": [{"role": "user", "content": "你好，请介绍一下自己"}],
            "max_tokens": 2048, "temperature": 0.7}
    r = urllib.request.Request(platform.paas + "/chat/completions", json.dumps(body).encode(),
                               {"Content-Type": "application/json", "Authorization": "Bearer your-api-key"})
    with urllib.request.urlopen(r, timeout=5) as reply:
        assert json.load(reply)["choices"][0]["message"]["content"] == "echo: 你好，请介绍一下自己"


def test_s3_thinking(platform, guide):
    """As the guide writes it the package refuses before it asks anybody; extra_body is what works."""
    ask = {"model": "glm-4.7-flash", "max_tokens": 4096,
           "messages": [{"role": "user", "content": "如果 3 个工人 3 小时可以建 3 面墙..."}]}
    with pytest.raises(TypeError):
        guide.chat.completions.create(**ask, thinking={"type": "enabled"})
    assert platform.log() == []
    message = guide.chat.completions.create(**ask, extra_body={"thinking": {"type": "enabled"}}).choices[0].message
    assert hasattr(message, "reasoning_content") and message.reasoning_content.startswith("thinking about: 如果 3")
    assert message.content.startswith("echo: 如果 3")


def test_s3_stream(guide):
    response = guide.chat.completions.create(
        model="glm-4.7-flash",
        messages=[
            {"role": "user", "content": "请写一首关于春天的诗"}
        ],
        stream=True
    )
    text = ""
    for chunk in response:
        if chunk.choices[0].delta.content:
            text += chunk.choices[0].delta.content
    assert text == "echo: 请写一首关于春天的诗"


def test_s3_turns(platform, guide):
    messages = [
        {"role": "system", "content": "你是一个Python编程助手"},
        {"role": "user", "content": "什么是递归？"},
        {"role": "assistant", "content": "递归是一种函数调用自身的编程技术..."},
        {"role": "user", "content": "能给我一个Python递归的例子吗？"}
    ]
    response = guide.chat.completions.create(model="glm-4.7-flash", messages=messages)
    assert response.choices[0].message.content == "echo: 能给我一个Python递归的例子吗？"
    assert platform.log()[0]["json"]["messages"] == messages


# ---- ollama ----------------------------------------------------------------------------------------------


def test_ollama_generate(oll):
    r = oll.generate(model="glm-4.7-flash:latest", prompt="hello", options={"num_predict": 2048, "temperature": 0.7})
    assert r.response == "echo: hello" and r.thinking == "thinking about: hello" and r.done_reason == "stop"
    parts = list(oll.generate(model="glm-4.7-flash", prompt="hello", stream=True, think=False, options={"num_predict": 2}))
    assert "".join(p.response for p in parts) == "echo:" and parts[-1].done_reason == "length" and parts[-1].eval_count == 2


@pytest.mark.parametrize("stream", [False, True])
def test_ollama_chat(oll, stream):
    r = oll.chat(model="glm-4.7-flash", messages=[{"role": "user", "content": 'call get_weather {"city":"Rome"}'}],
                 tools=[WEATHER], stream=stream)
    replies = list(r) if stream else [r]
    calls = [c for p in replies for c in p.message.tool_calls or ()]
    assert len(calls) == 1 and calls[0].function.arguments == {"city": "Rome"} and replies[-1].done


def test_ollama_embed(oll):
    r = oll.embed(model="embedding-3", input=["a", "b"])
    assert len(r.embeddings) == 2 and r.prompt_eval_count == 2
    assert list(oll.embeddings(model="embedding-3", prompt="a").embedding) == list(r.embeddings[0])


def test_ollama_models(oll):
    assert "glm-4.7-flash:latest" in [m.model for m in oll.list().models] and oll.ps().models[0].context_length == 200_000
    shown = oll.show("glm-4.7-flash")
    assert shown.modelinfo["general.architecture"] == "glm" and "thinking" in shown.capabilities
    assert [p.status for p in oll.pull("glm-4.7-flash", stream=True)][-1] == "success"


def test_ollama_errors(platform, oll):
    with pytest.raises(ollama.ResponseError) as caught:
        oll.generate(model="nobody", prompt="x")
    assert caught.value.status_code == 404 and caught.value.error == "model 'nobody' not found"
    platform.script({"stream_error": {"after": 1, "message": "went wrong"}})
    with pytest.raises(ollama.ResponseError) as caught:
        list(oll.generate(model="glm-4.7-flash", prompt="x", stream=True))
    assert caught.value.error == "went wrong"
    platform.script({"status": 503, "message": "not now"})
    with pytest.raises(ollama.ResponseError) as caught:
        oll.list()
    assert caught.value.status_code == 503 and caught.value.error == "not now"
