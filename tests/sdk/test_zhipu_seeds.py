# SPDX-License-Identifier: MIT
"""The samples of the guides for Zhipu's SDKs (S0: model guide, S2: SDK readme) against the bundled model: only the base URL
differs; the server knows their model names by --alias."""
import base64

import httpx
import pytest

from zsdk import SUITE, Client, errors


@pytest.fixture
def client(demo, monkeypatch):
    """As the readme does it: key and base from the environment where the SDK reads it."""
    name = "ZAI" if SUITE == "openai" else "ZHIPUAI"
    monkeypatch.setenv(name + "_API_KEY", "your-api-key")
    monkeypatch.setenv(name + "_BASE_URL", demo.paas + "/")
    return Client()


def test_s2_with_everything_set(demo):
    client = Client(api_key="your-api-key", timeout=httpx.Timeout(timeout=300.0, connect=8.0), max_retries=3,
                    base_url=demo.paas + "/")
    r = client.chat.completions.create(model="glm-4", messages=[{"role": "user", "content": "Hello!"}], max_tokens=400)
    assert r.model == "glm-4" and r.choices[0].message.role == "assistant"


def test_s2_basic(client):
    response = client.chat.completions.create(
        model="glm-4",
        messages=[
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Hello, ZhipuAI!"},
        ],
    )
    assert response.choices[0].message.content
    assert response.id and response.created and response.request_id
    assert response.usage.total_tokens == response.usage.prompt_tokens + response.usage.completion_tokens


def test_s2_stream(client):
    response = client.chat.completions.create(
        model="glm-4",
        messages=[{"role": "user", "content": "Tell me a story about AI."}],
        stream=True,
    )
    text, thought, last = "", "", None
    for chunk in response:
        if chunk.choices[0].delta.content:
            text += chunk.choices[0].delta.content
        thought += chunk.choices[0].delta.reasoning_content or ""
        last = chunk
    # The sample samples: one time in thirty the small model tells the story as a thought and stops.
    assert text or thought
    assert last.choices[0].finish_reason in ("stop", "length") and last.usage.total_tokens > 0


def test_s2_image(client):
    """This model reads text only; the answer must say so and not pretend."""
    image = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(100)).decode()
    with pytest.raises(errors.APIRequestFailedError) as caught:
        client.chat.completions.create(
            model="glm-4v",
            messages=[{
                "role": "user",
                "content": [
                    {"type": "text", "text": "What's in this image?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{image}"}},
                ],
            }],
        )
    assert caught.value.status_code == 400 and "image" in str(caught.value)


def test_s2_character(client):
    response = client.chat.completions.create(
        model="charglm-3",
        messages=[{"role": "user", "content": "Hello, how are you doing lately?"}],
        meta={
            "user_info": "I am a film director who specializes in music-themed movies.",
            "bot_info": "You are a popular domestic female singer and actress.",
            "bot_name": "Xiaoya",
            "user_name": "Director",
        },
    )
    assert response.model == "charglm-3" and response.choices[0].message.content


def test_s2_web_search(client):
    """Without "enable" the readme's own call must succeed."""
    response = client.chat.completions.create(
        model="glm-4",
        messages=[{"role": "user", "content": "Search for the latest AI news"}],
        tools=[{"type": "web_search", "web_search": {"search_query": "Search the Zhipu", "search_result": True}}],
    )
    assert response.choices[0].finish_reason in ("stop", "length")


def test_web_search_switched_on(client):
    with pytest.raises(errors.APIRequestFailedError) as caught:
        client.chat.completions.create(model="glm-4", messages=[{"role": "user", "content": "x"}],
                                       tools=[{"type": "web_search", "web_search": {"enable": True, "search_query": "x"}}])
    assert caught.value.response.json()["error"]["code"] == "1212"


def test_s2_video(client):
    with pytest.raises(errors.APIStatusError) as caught:
        client.videos.generations(
            model="cogvideox-2",
            prompt="A beautiful sunset beach scene",
            quality="quality",
            with_audio=True,
            size="1920x1080",
            fps=30,
            user_id="user_12345",
        )
    error = caught.value.response.json()["error"]
    assert caught.value.status_code == 404 and error["code"] == "1222" and "local" in error["message"]


def test_s2_extra_body(client):
    response = client.chat.completions.create(
        model="glm-4",
        messages=[{"role": "system", "content": "你是一个专业的程序员助手，精通 Python、JavaScript 和 Go。"},
                  {"role": "user", "content": "帮我优化这段代码..."}],
        extra_body={"temperature": 0.7, "max_tokens": 1000},
    )
    assert response.usage.completion_tokens <= 1000


def test_s2_history(client):
    history = []

    def chat(text):
        history.append({"role": "user", "content": text})
        response = client.chat.completions.create(model="glm-4", messages=history, max_tokens=300)
        message = response.choices[0].message.content
        history.append({"role": "assistant", "content": message})
        return message

    chat("My name is Alice.")
    chat("What is my name?")
    assert len(history) == 4


def test_s2_messages_come_back_whole(client):
    """The SDK dumps an earlier reply's message object with all its fields."""
    first = client.chat.completions.create(model="glm-4", messages=[{"role": "user", "content": "Hello!"}], max_tokens=300)
    message = first.choices[0].message
    second = client.chat.completions.create(model="glm-4", max_tokens=100, messages=[
        {"role": "user", "content": "Hello!"}, message.model_dump(), {"role": "user", "content": "And who are you?"}])
    assert second.usage.prompt_tokens > first.usage.prompt_tokens


def test_s0_thinking_stream(client):
    response = client.chat.completions.create(
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
    assert reasoning and "</think>" not in content
