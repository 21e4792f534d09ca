# SPDX-License-Identifier: MIT
"""zai-sdk (beside openai) and zhipuai (in its own environment), unmodified, against the stand-in: every typed call, every
class of error, retries, and the samples of the guides (S0, S2) as written there."""
import base64
import hashlib
import json
import time
import urllib.request

import httpx
import pytest
from standin import make_token
from zsdk import SUITE, Client, Clients, errors, module

CHAT = "/api/paas/v4/chat/completions"
ConnectionFailed = errors.APITimeoutError.__bases__[0]  # APIConnectionError, which zai does not export
HELLO = [{"role": "user", "content": "Hello 你好"}]
WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}


def client_of(platform, key=None, base=None, **more):
    return Client(api_key=key or platform.key, base_url=base or platform.paas, **{"max_retries": 0, "timeout": 5, **more})


@pytest.fixture
def client(platform):
    return client_of(platform)


def joined(stream):
    """Reasoning, content, calls (name and arguments by index), last chunk."""
    reasoning, content, calls, last = "", "", {}, None
    for chunk in stream:
        delta = chunk.choices[0].delta
        reasoning += delta.reasoning_content or ""
        content += delta.content or ""
        for call in delta.tool_calls or ():
            name, arguments = calls.get(call.index, ("", ""))
            calls[call.index] = (name + (call.function.name or ""), arguments + (call.function.arguments or ""))
        last = chunk
    return reasoning, content, calls, last


# ---- chat ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("thinking", [None, {"type": "enabled"}, {"type": "disabled"}])
def test_chat(platform, client, thinking):
    r = client.chat.completions.create(model="glm-4.7-flash", messages=HELLO, thinking=thinking, request_id="request-1")
    message = r.choices[0].message
    thought = "" if thinking == {"type": "disabled"} else "thinking about: Hello 你好"
    assert message.role == "assistant" and message.content == "echo: Hello 你好" and (message.reasoning_content or "") == thought
    assert r.choices[0].finish_reason == "stop" and r.request_id == "request-1" and r.model == "glm-4.7-flash"
    assert r.usage.total_tokens == r.usage.prompt_tokens + r.usage.completion_tokens and r.usage.prompt_tokens == 5
    assert r.usage.model_dump()["completion_tokens_details"]["reasoning_tokens"] == (7 if thought else 0)
    sent = platform.log()[0]
    assert sent["json"]["thinking"] == thinking and not sent["unknown"] and not sent["problems"]


@pytest.mark.parametrize("coding", [False, True])
def test_stream(platform, coding):
    c = client_of(platform, base=platform.coding if coding else None)
    reasoning, content, calls, last = joined(c.chat.completions.create(model="glm-4.7", messages=HELLO, stream=True))
    assert (reasoning, content, calls) == ("thinking about: Hello 你好", "echo: Hello 你好", {})
    assert last.choices[0].finish_reason == "stop" and last.usage.completion_tokens == 13


@pytest.mark.parametrize("tool_stream", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_tools(platform, client, stream, tool_stream):
    ask = [{"role": "user", "content": 'call get_weather {"city":"北京"} and call get_weather {"city":"Rome"} and call other'}]
    r = client.chat.completions.create(model="glm-4.7", messages=ask, tools=[WEATHER], tool_choice="auto", stream=stream,
                                       extra_body={"tool_stream": tool_stream})
    if stream:
        chunks = list(r)
        calls = joined(chunks)[2]
        assert chunks[-1].choices[0].finish_reason == "tool_calls"
        assert sum(1 for c in chunks if c.choices[0].delta.tool_calls) == (2 if not tool_stream else len(chunks) - 1 - sum(
            1 for c in chunks if c.choices[0].delta.reasoning_content))
    else:
        calls = {c.index: (c.function.name, c.function.arguments) for c in r.choices[0].message.tool_calls}
        assert r.choices[0].finish_reason == "tool_calls"
    assert calls == {0: ("get_weather", '{"city": "北京"}'), 1: ("get_weather", '{"city": "Rome"}')}


def test_tool_results_go_back(client):
    ask = [{"role": "user", "content": "call get_weather"}]
    message = client.chat.completions.create(model="glm-4.7", messages=ask, tools=[WEATHER]).choices[0].message
    ask += [message.model_dump(), {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "21 degrees"}]
    assert client.chat.completions.create(model="glm-4.7", messages=ask, tools=[WEATHER]).choices[0].message.content == "result: 21 degrees"
    ask[-1]["tool_call_id"] = "call_of_nobody"
    assert refusal(client, "1214", messages=ask, tools=[WEATHER])["message"].startswith("messages[2].tool_call_id")


def test_limits(client):
    r = client.chat.completions.create(model="glm-4", messages=[{"role": "user", "content": "repeat 50 tick"}], max_tokens=10)
    assert r.choices[0].finish_reason == "length" and r.choices[0].message.content == " ".join(["tick"] * 10)
    r = client.chat.completions.create(model="glm-4", messages=[{"role": "user", "content": "say one two three"}], stop=[" two"])
    assert r.choices[0].finish_reason == "stop" and r.choices[0].message.content == "one"
    r = client.chat.completions.create(model="glm-4", messages=HELLO, response_format={"type": "json_object"})
    assert json.loads(r.choices[0].message.content) == {"answer": "echo: Hello 你好"}


def test_cached_tokens(client):
    def cached(messages):
        usage = client.chat.completions.create(model="glm-4", messages=messages).usage
        return usage.model_dump()["prompt_tokens_details"]["cached_tokens"]

    assert cached(HELLO) == 0 and cached(HELLO) == 5
    assert cached([*HELLO, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "and now?"}]) == 5


def test_habits_of_the_package(platform, client):
    """What it makes of temperatures at the edge, and that it shows itself in its headers."""
    client.chat.completions.create(model="glm-4", messages=HELLO, temperature=0)
    client.chat.completions.create(model="glm-4", messages=HELLO, temperature=1.0, top_p=1.0)
    first, second = platform.log(CHAT)
    assert first["json"]["do_sample"] is False and first["json"]["temperature"] == 0.01
    assert second["json"]["temperature"] == 0.99 and second["json"]["top_p"] == 0.99
    names = {k.lower(): v for k, v in first["headers"]}
    assert names["accept"] == "application/json" and names["x-source-channel"] == "python-sdk"
    assert names["authorization"] == "Bearer " + platform.key and first["key"] == "testid"
    assert any(n in names for n in ("zai-sdk-ver", "zhipuai-sdk-ver"))


def test_async_chat(platform, client):
    r = client.chat.asyncCompletions.create(model="glm-4.7", messages=HELLO, request_id="my-own-id")
    assert r.task_status == "PROCESSING" and r.request_id == "my-own-id"
    seen = [client.chat.asyncCompletions.retrieve_completion_result(id=r.id) for _ in range(3)]
    assert [s.task_status for s in seen] == ["PROCESSING", "PROCESSING", "SUCCESS"]
    assert seen[-1].choices[0].message.content == "echo: Hello 你好" and seen[-1].usage.total_tokens == 18
    with pytest.raises(errors.APIStatusError) as caught:
        client.chat.asyncCompletions.retrieve_completion_result(id="nobody")
    assert caught.value.status_code == 404


# ---- the rest of the core --------------------------------------------------------------------------------


def test_embeddings(client):
    r = client.embeddings.create(model="embedding-3", input=["one", "two", "one"], dimensions=256)
    assert [e.index for e in r.data] == [0, 1, 2] and r.data[0].embedding == r.data[2].embedding != r.data[1].embedding
    assert len(r.data[0].embedding) == 256 and abs(sum(x * x for x in r.data[0].embedding) - 1) < 1e-9
    assert r.usage.total_tokens == 3 and len(client.embeddings.create(model="embedding-2", input="x").data[0].embedding) == 1024
    with pytest.raises(errors.APIRequestFailedError):
        client.embeddings.create(model="embedding-3", input="x", dimensions=300)


@pytest.mark.parametrize("name", ["lines.jsonl", "名字 and \"quotes\".jsonl"])
def test_files(platform, client, tmp_path, name):
    data = bytes(range(256)) * 20 + b"\r\n--boundary--\r\n"
    (tmp_path / name).write_bytes(data)
    with open(tmp_path / name, "rb") as f:
        made = client.files.create(file=f, purpose="batch")
    assert made.id and made.bytes == len(data) and made.purpose == "batch"
    parts = platform.log("/api/paas/v4/files")[0]["parts"]
    assert [p["sha256"] for p in parts if p["name"] == "file"] == [hashlib.sha256(data).hexdigest()]
    assert client.files.content(made.id).content == data
    client.files.content(made.id).write_to_file(str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data
    assert [f.id for f in client.files.list(purpose="batch").data] == [made.id]
    assert client.files.list(purpose="retrieval").data == []
    assert client.files.delete(made.id).deleted is True
    with pytest.raises(errors.APIStatusError):
        client.files.content(made.id)


def batch_line(number, **body):
    return json.dumps({"custom_id": f"request-{number}", "method": "POST", "url": "/v4/chat/completions", "body": body})


def make_batch(client, text, **more):
    made = client.files.create(file=("in.jsonl", text.encode()), purpose="batch")
    return client.batches.create(input_file_id=made.id, endpoint="/v4/chat/completions", completion_window="24h", **more)


def test_batch(client):
    lines = [batch_line(1, model="glm-4", messages=HELLO), batch_line(2, model="glm-none", messages=HELLO)]
    batch = make_batch(client, "\n".join(lines), metadata={"project": "x"})
    assert batch.status == "validating" and batch.metadata == {"project": "x"}
    stages = []
    while batch.status not in ("completed", "failed"):
        batch = client.batches.retrieve(batch.id)
        stages.append(batch.status)
    assert stages == ["in_progress", "finalizing", "completed"]
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (2, 1, 1)
    good, bad = (json.loads(client.files.content(i).content) for i in (batch.output_file_id, batch.error_file_id))
    assert good["custom_id"] == "request-1" and good["response"]["status_code"] == 200
    assert good["response"]["body"]["choices"][0]["message"]["content"] == "echo: Hello 你好"
    assert bad["custom_id"] == "request-2" and bad["response"]["body"]["error"]["code"] == "1211"
    with pytest.raises(errors.APIStatusError):
        client.files.content(batch.input_file_id)  # removed, as it is unless told otherwise


def test_batches_list_and_cancel(client):
    made = [make_batch(client, batch_line(1, model="glm-4", messages=HELLO)) for _ in range(3)]
    assert [b.id for b in client.batches.list(limit=2)] == [b.id for b in reversed(made)]  # over two pages
    assert client.batches.cancel(made[0].id).status == "cancelling"
    assert client.batches.retrieve(made[0].id).status == "cancelled"
    broken = make_batch(client, "not json\n")
    broken = client.batches.retrieve(broken.id)
    assert broken.status == "failed" and broken.errors.data[0].line == 1


def fetch(url):
    with urllib.request.urlopen(url, timeout=5) as r:
        return r.headers, r.read()


def test_images(platform, client):
    r = client.images.generations(model="cogview-4", prompt="a cat", size="1024x1024")
    headers, data = fetch(r.data[0].url)
    assert data.startswith(b"\x89PNG") and headers["Content-Type"] == "image/png"
    assert r.data[0].url.startswith(platform.files_url) and platform.log("/media/*")[0]["listener"] == "files"
    again = client.images.generations(model="cogview-4", prompt="a cat", response_format="b64_json")
    assert base64.b64decode(again.data[0].b64_json) == data


@pytest.mark.parametrize("outcome", ["SUCCESS", "FAIL"])
def test_video(platform, client, outcome):
    platform.script({"path": "*/videos/generations", "outcome": outcome, "polls": 1})
    r = client.videos.generations(model="cogvideox-2", prompt="a sea")
    seen = [client.videos.retrieve_videos_result(id=r.id) for _ in range(2)]
    assert [s.task_status for s in seen] == ["PROCESSING", outcome]
    if outcome == "SUCCESS":
        headers, data = fetch(seen[-1].video_result[0].url)
        assert len(data) == 4096 and data[4:8] == b"ftyp" and headers["Content-Type"] == "video/mp4"
        assert fetch(seen[-1].video_result[0].cover_image_url)[1].startswith(b"\x89PNG")


def test_search_and_moderation(client):
    r = client.web_search.web_search(search_engine="search_std", search_query="glim", count=2, search_intent=True)
    assert r.id and r.search_result and r.search_intent
    r = client.moderations.create(model="moderation", input="unsafe text")
    assert r.model == "moderation"
    found = client.tools.web_search(model="web-search-pro", messages=[{"role": "user", "content": "news"}])
    assert [c.type for c in found.choices[0].message.tool_calls] == ["search_intent", "search_result"]
    kinds = [c.type for chunk in client.tools.web_search(model="web-search-pro", stream=True,
                                                         messages=[{"role": "user", "content": "news"}])
             for c in chunk.choices[0].delta.tool_calls or ()]
    assert kinds == ["search_intent", "search_result"]


def test_speech(client):
    data = client.audio.speech(model="glm-tts", input="hello", voice="tongtong", response_format="wav", encode_format="base64").content
    assert data[:4] == b"RIFF" and len(data) == 44 + 2 * 10 * 5


@pytest.mark.skipif(SUITE == "zhipuai", reason="zhipuai has neither call")
def test_newer_calls(client):
    r = client.web_reader.web_reader(url="https://example.invalid/page", return_format="markdown")
    assert r.reader_result.url == "https://example.invalid/page" and r.reader_result.content.startswith("# ")
    task = client.images.async_generations(model="glm-image", prompt="a cat")
    assert task.task_status == "PROCESSING"
    for _ in range(3):
        task = client.images.retrieve_images_result(id=task.id)
    assert task.task_status == "SUCCESS" and fetch(task.image_result[0].url)[1].startswith(b"\x89PNG")


# ---- keys ------------------------------------------------------------------------------------------------


def test_token_of_the_package(platform):
    c = client_of(platform, disable_token_cache=False)
    assert c.chat.completions.create(model="glm-4", messages=HELLO).choices
    sent = dict(platform.log()[0]["headers"])
    token = {k.lower(): v for k, v in sent.items()}["authorization"].removeprefix("Bearer ")
    assert token.count(".") == 2 and platform.log()[0]["key"] == "testid"


@pytest.mark.parametrize("key,code", [
    ("plain", "1002"), ("no.body", "1004"), ("testid.wrong", "1004"),
    (make_token("testid.wrong"), "1004"), (make_token("nobody.testsecret"), "1004"),
    (make_token("testid.testsecret", now_ms=1_600_000_000_000), "1003"), ("a.b.c", "1002"),
])
def test_401(platform, key, code):
    with pytest.raises(errors.APIAuthenticationError) as caught:
        client_of(platform, key=key).chat.completions.create(model="glm-4", messages=HELLO)
    assert details(caught.value)["code"] == code and caught.value.status_code == 401


@pytest.mark.skipif(SUITE == "zhipuai", reason="zhipuai has one client")
def test_language(platform):
    """The international client asks for English."""
    texts = []
    for kind in ("ZhipuAiClient", "ZaiClient"):
        with pytest.raises(errors.APIRequestFailedError) as caught:
            Clients[kind](api_key=platform.key, base_url=platform.paas, max_retries=0).chat.completions.create(model="none", messages=HELLO)
        texts.append(details(caught.value)["message"])
    assert texts[0].startswith("模型不存在") and texts[1].startswith("Unknown model")


# ---- errors ----------------------------------------------------------------------------------------------


def details(error):
    """code and message of an error; the request's id must be in the header and in the body alike."""
    body = error.response.json()
    assert body["request_id"] == error.response.headers["x-request-id"]
    assert isinstance(body["error"]["code"], str) and body["error"]["message"] and body["error"]["code"] in str(error)
    return body["error"]


def refusal(client, code, **ask):
    with pytest.raises(errors.APIRequestFailedError) as caught:
        client.chat.completions.create(**{"model": "glm-4", "messages": HELLO, **ask})
    assert details(caught.value)["code"] == code and caught.value.status_code == 400
    return details(caught.value)


@pytest.mark.parametrize("ask,code,what", [
    ({"model": "gpt-9"}, "1211", "gpt-9"),
    ({"model": "cogview-4"}, "1212", "chat"),
    ({"messages": None}, "1213", "messages"),
    ({"messages": []}, "1214", "messages"),
    ({"messages": "text"}, "1214", "messages"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, "1214", "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "1214", "messages[0].content"),
    ({"messages": [{"role": "system", "content": "x"}]}, "1214", "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "aGk="}}]}]}, "1214", "messages[0].content[0]"),
    ({"max_tokens": 0}, "1214", "max_tokens"),
    ({"max_tokens": 100000}, "1214", "max_tokens"),
    ({"tool_choice": "required"}, "1214", "tool_choice"),
    ({"user_id": "short"}, "1214", "user_id"),
    ({"stop": ["a"] * 5}, "1214", "stop"),
    ({"thinking": {"type": "auto"}}, "1214", "thinking.type"),
    ({"response_format": {"type": "json_schema"}}, "1214", "response_format.type"),
    ({"tools": [{"type": "function"}]}, "1213", "tools[0].function"),
    ({"tools": [{"type": "function", "function": {"name": "no blanks"}}]}, "1214", "tools[0].function.name"),
    ({"extra_body": {"temperature": 1.5}}, "1214", "temperature"),
    ({"extra_body": {"top_p": "high"}}, "1214", "top_p"),
    ({"messages": [{"role": "user", "content": "repeat " + "x " * 130000}]}, "1261", "128000"),
])
def test_400(client, ask, code, what):
    assert what in refusal(client, code, **ask)["message"]


CLASSES = [
    (400, "1210", errors.APIRequestFailedError), (401, "1000", errors.APIAuthenticationError),
    (429, "1302", errors.APIReachLimitError), (500, "500", errors.APIInternalError),
    (503, "1305", errors.APIServerFlowExceedError), (434, "1220", errors.APIStatusError),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status,code,kind", CLASSES)
def test_classes(platform, client, status, code, kind, stream):
    platform.script({"path": CHAT, "status": status, "code": code, "message": "scripted text"})
    with pytest.raises(kind) as caught:
        client.chat.completions.create(model="glm-4", messages=HELLO, stream=stream, request_id="mine-123")
    assert type(caught.value) is kind and caught.value.status_code == status
    assert details(caught.value) == {"code": code, "message": "scripted text"}
    assert caught.value.response.json()["request_id"] == "mine-123"


def test_timeout(platform):
    platform.script({"silent": True, "times": 0})
    began = time.monotonic()
    with pytest.raises(errors.APITimeoutError):
        client_of(platform, timeout=0.3).chat.completions.create(model="glm-4", messages=HELLO)
    assert time.monotonic() - began < 5 and len(platform.log()) == 1


@pytest.mark.parametrize("close", ["end", "reset"])
def test_closed_connection(platform, client, close):
    platform.script({"close": close})
    with pytest.raises(ConnectionFailed):
        client.chat.completions.create(model="glm-4", messages=HELLO)


@pytest.mark.parametrize("form,text", [("event", "went wrong"), ("data", "An error occurred during streaming")])
def test_error_in_a_stream(platform, client, form, text):
    """Only a named event shows the server's own words; both carry them in json_data."""
    platform.script({"stream_error": {"after": 2, "code": "1234", "message": "went wrong", "form": form}})
    got = ""
    with pytest.raises(errors.APIResponseError) as caught:
        for chunk in client.chat.completions.create(model="glm-4", messages=HELLO, stream=True):
            got += chunk.choices[0].delta.content or ""
    assert got == "echo:" and str(caught.value) == text and caught.value.json_data["code"] == "1234"


def test_stream_is_cut(platform, client):
    platform.script({"cut_after": 300})
    with pytest.raises(httpx.RemoteProtocolError):
        list(client.chat.completions.create(model="glm-4", messages=HELLO, stream=True))


def test_finish_reasons(platform, client):
    platform.script({"finish_reason": "sensitive"}, {"finish_reason": "network_error"})
    assert client.chat.completions.create(model="glm-4", messages=HELLO).choices[0].finish_reason == "sensitive"
    assert joined(client.chat.completions.create(model="glm-4", messages=HELLO, stream=True))[3].choices[0].finish_reason == "network_error"


# ---- retries ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status,header,tries", [(429, None, 2), (500, "false", 1), (400, None, 1), (400, "true", 2)])
def test_retries(platform, status, header, tries):
    headers = {"x-should-retry": header} if header else {}
    platform.script({"status": status, "headers": headers, "times": 0})
    with pytest.raises(errors.APIStatusError):
        client_of(platform, max_retries=1).chat.completions.create(model="glm-4", messages=HELLO)
    assert len(platform.log(CHAT)) == tries
    assert len({json.dumps(e["json"]) for e in platform.log()}) == 1, "the same body each time"


def test_a_retry_that_helps(platform):
    platform.script({"status": 503, "headers": {"Retry-After": "0"}})
    r = client_of(platform, max_retries=1).chat.completions.create(model="glm-4", messages=HELLO)
    assert r.choices[0].message.content == "echo: Hello 你好" and [e["status"] for e in platform.log()] == [503, 200]


def test_concurrency(platform, client):
    """Width 1, as the free models have: a second chat is refused while the first is being sent."""
    platform.set(concurrency={"glm-4.7-flash": 1}, chunk_delay_ms=30)
    first = iter(client.chat.completions.create(model="glm-4.7-flash", messages=HELLO, stream=True))
    next(first)
    with pytest.raises(errors.APIReachLimitError) as caught:
        client.chat.completions.create(model="glm-4.7-flash", messages=HELLO)
    assert details(caught.value)["code"] == "1302"
    list(first)
    assert client.chat.completions.create(model="glm-4.7-flash", messages=HELLO).choices


# ---- the guides, as written ------------------------------------------------------------------------------


@pytest.fixture
def guide(platform, monkeypatch):
    """Key and base from the environment, where the package looks for them."""
    name = "ZAI" if SUITE == "openai" else "ZHIPUAI"
    monkeypatch.setenv(name + "_API_KEY", "your-api-key")
    monkeypatch.setenv(name + "_BASE_URL", platform.paas + "/")
    return Client()


def test_s2_everything_set(platform):
    client = Client(
        api_key="your-api-key",
        timeout=httpx.Timeout(timeout=300.0, connect=8.0),
        max_retries=3,
        base_url=platform.paas + "/",
    )
    response = client.chat.completions.create(model="glm-4", messages=[{"role": "user", "content": "Hello!"}])
    assert response.choices[0].message.content == "echo: Hello!"


def test_s2_chat(guide):
    response = guide.chat.completions.create(
        model="glm-4",
        messages=[
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Hello, ZhipuAI!"},
        ],
    )
    assert response.choices[0].message.content == "echo: Hello, ZhipuAI!"


def test_s2_stream(guide):
    response = guide.chat.completions.create(
        model="glm-4",
        messages=[{"role": "user", "content": "Tell me a story about AI."}],
        stream=True,
    )
    text = ""
    for chunk in response:
        if chunk.choices[0].delta.content:
            text += chunk.choices[0].delta.content
    assert text == "echo: Tell me a story about AI."


def test_s2_image(guide, tmp_path):
    def encode_image(image_path):
        with open(image_path, "rb") as f:
            return base64.b64encode(f.read()).decode("utf-8")

    (tmp_path / "image.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    base64_image = encode_image(tmp_path / "image.jpg")
    response = guide.chat.completions.create(
        model="glm-4v",
        messages=[{
            "role": "user",
            "content": [
                {"type": "text", "text": "What's in this image?"},
                {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{base64_image}"}},
            ],
        }],
    )
    assert response.choices[0].message.content == "echo: What's in this image? [image 104 bytes]"


def test_s2_character(guide):
    response = guide.chat.completions.create(
        model="charglm-3",
        messages=[{"role": "user", "content": "Hello, how are you doing lately?"}],
        meta={
            "user_info": "I am a film director who specializes in music-themed movies.",
            "bot_info": "You are a popular domestic female singer and actress.",
            "bot_name": "Xiaoya",
            "user_name": "Director",
        },
    )
    assert response.choices[0].message.content == "Xiaoya to Director: Hello, how are you doing lately?"


def test_s2_web_search(guide):
    response = guide.chat.completions.create(
        model="glm-4",
        messages=[{"role": "user", "content": "Search for the latest AI news"}],
        tools=[{"type": "web_search", "web_search": {"search_query": "Search the Zhipu", "search_result": True}}],
    )
    assert response.choices[0].finish_reason == "stop"
    assert response.web_search[0]["title"] == "Search the Zhipu (1)" and len(response.web_search) == 10


def test_s2_video(guide):
    response = guide.videos.generations(
        model="cogvideox-2",
        prompt="A beautiful sunset beach scene",
        quality="quality",
        with_audio=True,
        size="1920x1080",
        fps=30,
        user_id="user_12345",
    )
    result = guide.videos.retrieve_videos_result(id=response.id)
    assert result.task_status == "PROCESSING" and result.id == response.id


def test_s2_errors(platform, guide):
    """The guide's own chain of except clauses, with a server that fails in each way in turn."""
    def ask(client):
        try:
            response = client.chat.completions.create(model="glm-4", messages=[{"role": "user", "content": "Hello!"}])
            return response.choices[0].message.content
        except errors.APIRequestFailedError:
            return 400
        except errors.APIAuthenticationError:
            return 401
        except errors.APIReachLimitError:
            return 429
        except errors.APIInternalError:
            return 500
        except errors.APIServerFlowExceedError:
            return 503
        except errors.APITimeoutError:
            return "timeout"

    for status, code, _ in CLASSES[:5]:
        platform.script({"status": status, "code": code, "headers": {"x-should-retry": "false"}})
        assert ask(guide) == status
    platform.script({"silent": True})
    assert ask(client_of(platform, timeout=0.3)) == "timeout"
    assert ask(guide) == "echo: Hello!" and hasattr(module, Client.__name__)


def test_s2_extra_body_and_history(platform, guide):
    conversation_history = []

    def chat(user_message):
        conversation_history.append({"role": "user", "content": user_message})
        response = guide.chat.completions.create(model="glm-4", messages=conversation_history,
                                                 extra_body={"temperature": 0.7, "max_tokens": 1000})
        assistant_message = response.choices[0].message.content
        conversation_history.append({"role": "assistant", "content": assistant_message})
        return assistant_message

    assert chat("My name is Alice.") == "echo: My name is Alice." and chat("Who am I?") == "echo: Who am I?"
    sent = platform.log()[-1]["json"]
    assert sent["temperature"] == 0.7 and sent["max_tokens"] == 1000 and len(sent["messages"]) == 3


def test_s0_thinking_stream(guide):
    response = guide.chat.completions.create(
        model="glm-4.7-flash",
        messages=[{"role": "user", "content": "你好，请介绍一下你自己"}],
        thinking={"type": "enabled"},
        stream=True,
        max_tokens=65536,
        temperature=1.0,
    )
    reasoning, content = "", ""
    for chunk in response:
        if chunk.choices[0].delta.reasoning_content:
            reasoning += chunk.choices[0].delta.reasoning_content
        if chunk.choices[0].delta.content:
            content += chunk.choices[0].delta.content
    assert reasoning == "thinking about: 你好，请介绍一下你自己" and content == "echo: 你好，请介绍一下你自己"
