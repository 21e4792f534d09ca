# SPDX-License-Identifier: MIT
"""The guides' samples (S1: SGLang tutorial, S3: cloud guide) against the bundled model: only the base URL and, where a
guide wants another vendor's model, the name differ."""
import json

import pytest
from openai import OpenAI

from server import MODEL


@pytest.fixture
def local(demo):
    return OpenAI(api_key="EMPTY", base_url=demo.v1)


@pytest.fixture
def cloud(demo):
    return OpenAI(api_key="your-api-key", base_url=demo.paas)


def test_s1_completion(local):
    response = local.completions.create(
        model="ZhipuAI/GLM-4.7-Flash",
        prompt="简要介绍一下 GLM-4.7-Flash 模型的特点。",
        max_tokens=8192,
        top_p=0.95,
        temperature=1.0,
    )
    assert response.object == "text_completion"
    assert response.model == "ZhipuAI/GLM-4.7-Flash"
    assert response.choices[0].index == 0
    assert response.choices[0].finish_reason in ("stop", "length")
    assert isinstance(response.choices[0].text, str)
    usage = response.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.reasoning_tokens == 0


def test_s1_chat(local):
    response = local.chat.completions.create(
        model=local.models.list().data[0].id,
        messages=[{"role": "user", "content": "智谱AI的愿景是什么？你觉得他们会成功吗？"}],
        max_tokens=256,
    )
    assert response.object == "chat.completion"
    message = response.choices[0].message
    assert message.role == "assistant"
    assert message.content or message.reasoning_content


def test_s1_streaming(local):
    stream = local.chat.completions.create(
        model="zai-org/GLM-4.7-Flash",
        messages=[{"role": "user", "content": "请写一篇题为Agent时代大模型应用落地要点的调研报告。"}],
        stream=True,
        max_tokens=32768,
        top_p=0.95,
        temperature=1.0,
    )
    text, reasoning = "", ""
    for chunk in stream:
        delta = chunk.choices[0].delta
        assert chunk.model == "zai-org/GLM-4.7-Flash"
        if delta and delta.content:
            text += delta.content
        if delta.reasoning_content:
            reasoning += delta.reasoning_content
    assert text + reasoning
    assert "<think>" not in text and "</think>" not in text


TOOLS = [{
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a given location",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "City and state, e.g., 'San Francisco, CA'"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["location", "unit"],
        },
    },
}]


def test_s1_tool_calling(local):
    """The sample reads tool_calls[0] whatever came: the demo model chooses this tool when it is greedy."""
    response = local.chat.completions.create(
        model=local.models.list().data[0].id,
        messages=[{"role": "user", "content": "What's the weather like in San Francisco? use celsius."}],
        tools=TOOLS,
        tool_choice="auto",
        temperature=0,
    )
    choice = response.choices[0]
    assert choice.finish_reason == "tool_calls", response
    tool_call = choice.message.tool_calls[0]
    assert tool_call.type == "function" and tool_call.id.startswith("call_") and len(tool_call.id) == 5 + 24
    assert tool_call.function.name == "get_weather"
    assert isinstance(json.loads(tool_call.function.arguments), dict)
    assert response.usage.total_tokens == response.usage.prompt_tokens + response.usage.completion_tokens


def test_s1_tool_result(local):
    """The turn after the sample: the tool's result goes back."""
    messages = [{"role": "user", "content": "What's the weather like in San Francisco? use celsius."}]
    first = local.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS, tool_choice="required",
                                          temperature=0)
    calls = first.choices[0].message.tool_calls
    assert calls, first
    messages.append(first.choices[0].message)
    for call in calls:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "18 degrees celsius, sunny"})
    second = local.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS, temperature=0, max_tokens=200)
    assert second.choices[0].message.content or second.choices[0].message.tool_calls


# ---- S3, on the cloud's own mount


def test_s3_curl(demo):
    r = demo.post("/api/paas/v4/chat/completions",
                  {"model": "glm-4.7-flash", "messages": [{"role": "user", "content": "你好，请介绍一下自己"}],
                   "max_tokens": 2048, "temperature": 0.7},
                  {"Authorization": "Bearer your-api-key"})
    assert r.status == 200, r
    assert r.headers["Content-Type"].startswith("application/json")
    body = r.json()
    assert body["choices"][0]["message"]["content"]
    assert body["model"] == "glm-4.7-flash" and body["request_id"] and body["id"]
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]


@pytest.mark.parametrize("mount", ["v1", "paas", "coding"])
def test_s3_basic(demo, mount):
    client = OpenAI(api_key="your-api-key", base_url=getattr(demo, mount))
    response = client.chat.completions.create(
        model="glm-4.7-flash",
        messages=[{"role": "user", "content": "你好，请介绍一下自己"}],
    )
    assert response.choices[0].message.content


def test_s3_thinking_on(cloud):
    response = cloud.chat.completions.create(
        model="glm-4.7-flash",
        messages=[{"role": "user", "content": "请解决这道数学题：如果 3 个工人 3 小时可以建 3 面墙..."}],
        extra_body={"thinking": {"type": "enabled"}},
        max_tokens=4096,
    )
    message = response.choices[0].message
    assert hasattr(message, "reasoning_content")
    assert message.reasoning_content
    assert isinstance(message.content, str)


def test_s3_thinking_as_it_stands(cloud):
    """The guide passes thinking= straight to this SDK, which refuses that before any request: not a server's affair."""
    with pytest.raises(TypeError):
        cloud.chat.completions.create(model="glm-4.7-flash", messages=[{"role": "user", "content": "x"}],
                                      thinking={"type": "enabled"})


def test_s3_streaming(cloud):
    response = cloud.chat.completions.create(
        model="glm-4.7-flash",
        messages=[{"role": "user", "content": "请写一首关于春天的诗"}],
        stream=True,
        max_tokens=1024,
    )
    text = ""
    for chunk in response:
        if chunk.choices[0].delta.content:
            text += chunk.choices[0].delta.content
    assert text


def test_s3_turns(cloud):
    messages = [
        {"role": "system", "content": "你是一个Python编程助手"},
        {"role": "user", "content": "什么是递归？"},
        {"role": "assistant", "content": "递归是一种函数调用自身的编程技术..."},
        {"role": "user", "content": "能给我一个Python递归的例子吗？"},
    ]
    response = cloud.chat.completions.create(model="glm-4.7-flash", messages=messages, max_tokens=512)
    assert response.choices[0].message.role == "assistant"
    assert response.usage.prompt_tokens > 20
