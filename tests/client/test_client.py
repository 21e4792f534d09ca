#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The client library, through tests/client/driver.c, against the stand-in of the platform and glim's own server.

  test_client.py CLASS DRIVER GLIM [TEST...]
"""
import base64
import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support", "platform"))
from standin import Platform  # noqa: E402

DRIVER = GLIM = None
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY", "no_proxy", "NO_PROXY")
KEYS = ("ZHIPUAI_API_KEY", "ZAI_API_KEY", "GLM_FLASH_API_KEY", "OPENAI_API_KEY", "OLLAMA_API_KEY",
        "ZHIPUAI_BASE_URL", "ZAI_BASE_URL", "OPENAI_BASE_URL", "OLLAMA_HOST")


def user(text):
    return [{"role": "user", "content": text}]


class Standin(Platform):
    """The stand-in, started anew without new ports; steps one by one or as a list."""

    def reset(self):
        with self.site.lock:
            self.site.reset()

    def script(self, *steps):
        for step in steps:
            super().script(*(step if isinstance(step, list) else [step]))


class Driver:
    """The program; a call is a dict in and a dict out."""

    def __init__(self, **env):
        clean = {k: v for k, v in os.environ.items() if k not in PROXIES + KEYS}
        self.process = subprocess.Popen([DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**clean, **env})

    def __call__(self, do, **members):
        self.process.stdin.write(json.dumps({"do": do, **members}).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the driver ended: {self.process.wait()}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        status = self.process.wait(60)
        self.process.stdout.close()
        if status:
            raise AssertionError(f"the driver ended with {status}")


class Case(unittest.TestCase):
    maxDiff = None
    provider = "zhipu"

    @classmethod
    def setUpClass(cls):
        cls.p = Standin()

    @classmethod
    def tearDownClass(cls):
        cls.p.stop()

    def setUp(self):
        self.p.reset()
        self.d = Driver()
        self.folder = tempfile.TemporaryDirectory()
        self.open()

    def tearDown(self):
        self.d.close()
        self.folder.cleanup()

    def path(self, name, data=None):
        where = os.path.join(self.folder.name, name)
        if data is not None:
            with open(where, "wb") as f:
                f.write(data)
        return where

    def open(self, provider="zhipu", **more):
        base = {"zhipu": self.p.paas, "openai": self.p.v1, "ollama": self.p.url}[provider]
        self.ok(self.d("new", **{"provider": provider, "base_url": base, "api_key": self.p.key, "connect_timeout_s": 5,
                                 "retry_wait_max_ms": 50, **more}))

    def quick_retries(self, times, **step):
        """A failure that asks for a short wait, so that no test sits out the back-off."""
        self.p.script({"times": times, "headers": {"Retry-After-Ms": "5"}, **step})

    def ok(self, r):
        self.assertEqual(("OK", ""), (r["rc"], r["msg"]))
        return r

    def fails(self, r, rc, fault=None, code=None):
        self.assertEqual(rc, r["rc"], r["msg"])
        if fault:
            self.assertEqual(fault, r["fault"], r["msg"])
        if code is not None:
            self.assertEqual(code, r["code"], r["msg"])
        self.assertNotIn(self.p.key, json.dumps(r))
        self.assertTrue(r["msg"])
        return r

    def careful(self):
        """Nothing was sent that a careful client would not send."""
        for entry in self.p.log("*"):
            self.assertEqual([], entry["problems"], entry)
            self.assertNotIn("bug", entry)


class Samples(Case):
    """The calls of the two guides, in C."""

    def chat(self, text="Hello!", **more):
        return self.ok(self.d("chat", **{"messages": user(text), **more}))

    def tearDown(self):
        self.careful()
        super().tearDown()

    def test_basic_and_stream(self):
        for whole in (False, True):
            r = self.chat(model="glm-4", whole=whole, messages=[
                {"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": "Hello, ZhipuAI!"}])
            self.assertEqual("echo: Hello, ZhipuAI!", r["text"])
            stop = r["events"][-1]
            self.assertEqual(1, stop["stop"])  # the model ended its turn
            self.assertGreater(stop["n_prompt"], 0)
            self.assertGreater(stop["n_completion"], 0)
            self.assertEqual(1, r["n_try"])
        log = self.p.log("*/chat/completions")
        self.assertEqual([True, None], [e["json"].get("stream") or None for e in log])
        head = {k.lower(): v for k, v in log[0]["headers"]}
        self.assertEqual("Bearer " + self.p.key, head["authorization"])
        self.assertEqual("application/json; charset=UTF-8", head["content-type"])
        self.assertEqual("glim", head["x-request-sdk"])
        self.assertEqual("glim", head["source_type"])
        self.assertRegex(head["zai-sdk-ver"], r"^\d+\.\d+\.\d+$")
        self.assertNotIn("accept-encoding", head)
        self.assertNotIn("expect", head)
        self.assertEqual([], [u for e in log for u in e["unknown"]])

    def test_thinking(self):
        on = self.chat("2+2", model="glm-4.7-flash", think=True, max_tokens=4096)
        off = self.chat("2+2", model="glm-4.7-flash", think=False)
        self.assertEqual(("thinking about: 2+2", "echo: 2+2"), (on["reasoning"], on["text"]))
        self.assertEqual(("", "echo: 2+2"), (off["reasoning"], off["text"]))
        self.assertEqual(["enabled", "disabled"], [e["json"]["thinking"]["type"] for e in self.p.log("*")])
        self.assertEqual(4096, self.p.log("*")[0]["json"]["max_tokens"])

    def test_many_turns_and_chinese(self):
        r = self.chat(messages=[{"role": "system", "content": "你是一个Python编程助手"}, {"role": "user", "content": "什么是递归？"},
                                {"role": "assistant", "content": "递归是一种函数调用自身的编程技术..."},
                                {"role": "user", "content": "能给我一个Python递归的例子吗？"}])
        self.assertEqual("echo: 能给我一个Python递归的例子吗？", r["text"])

    def test_image(self):
        picture = base64.b64encode(b"\x89PNG" + bytes(1000)).decode()
        r = self.chat(model="glm-4v", messages=[{"role": "user", "content": [
            {"type": "text", "text": "What's in this image?"},
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{picture}"}}]}])
        self.assertEqual("echo: What's in this image? [image 1004 bytes]", r["text"])

    def test_role_play(self):
        r = self.chat("How are you?", model="charglm-3", meta={"user_info": "a director", "bot_info": "a singer",
                                                               "bot_name": "Xiaoya", "user_name": "Director"})
        self.assertEqual("Xiaoya to Director: How are you?", r["text"])

    def test_web_search_tool(self):
        tool = {"type": "web_search", "web_search": {"search_query": "Search the Zhipu", "search_result": True}}
        self.assertIn("echo: ", self.chat("news", model="glm-4", tools=[tool])["text"])
        self.assertEqual([tool], self.p.log("*")[0]["json"]["tools"])

    def test_tools_both_ways(self):
        tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
        for whole in (False, True):
            r = self.chat('call weather {"city": "北京", "n": 1.50}', tools=[tool], whole=whole, think=False)
            begin, end, stop = r["events"]
            self.assertEqual(("weather", 0), (begin["name"], begin["kind"]))
            self.assertEqual({"city": "北京", "n": 1.5}, json.loads(end["text"]))
            answer = self.chat(tools=[tool], whole=whole, messages=user("x") + [
                {"role": "assistant", "content": "", "tool_calls": [
                    {"id": "call_1", "function": {"name": "weather", "arguments": end["text"]}}]},
                {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}])
            self.assertEqual("result: sunny", answer["text"])

    def test_extra_members(self):
        self.chat(model="glm-4", extra={"temperature": 0.7, "max_tokens": 1000}, user_id="user_12345", request_id="req-1234")
        sent = self.p.log("*")[0]["json"]
        self.assertEqual((0.7, 1000, "user_12345", "req-1234"),
                         (sent["temperature"], sent["max_tokens"], sent["user_id"], sent["request_id"]))

    def test_json_object(self):
        self.assertEqual('{"answer":"echo: x"}', self.chat("x", json_object=True, think=False)["text"])

    def test_video(self):
        fields = {"model": "cogvideox-2", "prompt": "A beautiful sunset beach scene", "quality": "quality", "with_audio": True,
                  "size": "1920x1080", "fps": 30, "user_id": "user_12345"}
        made = self.ok(self.d("generate", kind="video", fields=fields))
        self.assertEqual(0, made["state"])
        done = self.ok(self.d("wait", id=made["id"], first_s=0.01))
        self.assertEqual((1, 3), (done["state"], done["looks"]))  # the stand-in says PROCESSING twice
        video, cover = done["files"]
        self.ok(self.d("download", url=video, path=self.path("v.mp4")))
        with open(self.path("v.mp4"), "rb") as f:
            self.assertEqual(4096, len(f.read()))
        fetched = [e for e in self.p.log("/media/*")]
        self.assertEqual("files", fetched[0]["listener"])
        self.assertNotIn("authorization", [k.lower() for k, _ in fetched[0]["headers"]])

    def test_jwt(self):
        self.open(jwt=True)
        for _ in range(2):
            self.chat()
        tokens = {dict(e["headers"])["Authorization"] for e in self.p.log("*")}
        self.assertEqual(1, len(tokens))  # kept for three minutes
        head, payload, _ = tokens.pop().removeprefix("Bearer ").split(".")
        self.assertEqual({"alg": "HS256", "typ": "JWT", "sign_type": "SIGN"}, json.loads(base64.urlsafe_b64decode(head + "==")))
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        self.assertEqual(self.p.key.split(".")[0], claims["api_key"])
        self.assertEqual(210000, claims["exp"] - claims["timestamp"])
        self.assertLess(abs(time.time() * 1000 - claims["timestamp"]), 60000)

    def test_other_providers(self):
        for provider in ("openai", "ollama"):
            self.open(provider)
            for whole in (False, True):
                r = self.chat("Hi", model="glm-4.7-flash", whole=whole, think=True if provider == "ollama" else None)
                self.assertEqual("echo: Hi", r["text"], provider)
            names = self.ok(self.d("models"))["names"]
            self.assertTrue(any(n.startswith("glm-4.7-flash") for n in names), names)


class Refusals(Case):
    """Every class of error, what is tried again, and what never is."""

    def chat(self, **more):
        return self.d("chat", messages=user("Hello!"), **more)

    def test_classes(self):
        rows = [(400, "1214", "request"), (401, "1004", "auth"), (429, "1302", "limit"), (500, "500", "internal"),
                (503, "1305", "overloaded"), (404, "1222", "status"), (434, "1220", "status"), (418, None, "status")]
        for provider in ("zhipu", "openai", "ollama"):
            self.open(provider, n_retry=0)
            for whole in (False, True):
                for status, code, fault in rows:
                    self.p.script({"status": status, "message": "no \x1b[31m: 不行", **({"code": code} if code else {})})
                    r = self.fails(self.chat(whole=whole, model="glm-4.7-flash", request_id="req-77"), "REMOTE", fault)
                    self.assertEqual((status, 1), (r["http"], r["n_try"]))
                    self.assertIn("不行", r["message"])
                    self.assertNotIn("\x1b", json.loads(json.dumps(r["msg"])))
                    self.assertIn(str(status), r["msg"])
                    if provider == "zhipu" and code:
                        self.assertEqual((code, "req-77"), (r["code"], r["request_id"]))

    def test_what_is_tried_again(self):
        for step, tries in (({"status": 408}, 4), ({"status": 409}, 4), ({"status": 429, "code": "1302"}, 4), ({"status": 500}, 4),
                            ({"status": 503}, 4), ({"status": 502, "body": "<html>"}, 4), ({"status": 400}, 1), ({"status": 401}, 1),
                            ({"status": 404}, 1), ({"status": 429, "code": "1113"}, 1), ({"status": 429, "code": "1304"}, 1),
                            ({"status": 429, "code": "1308"}, 1), ({"status": 429, "code": "1309"}, 1)):
            self.p.reset()
            self.quick_retries(0, **step)
            r = self.fails(self.chat(), "REMOTE")
            self.assertEqual((tries, tries), (r["n_try"], len(self.p.log("*"))), step)

    def test_header_decides(self):
        for status, word, tries in ((400, "true", 4), (503, "false", 1), (429, "false", 1), (429, "perhaps", 4)):
            self.p.reset()
            self.p.script({"times": 0, "status": status, "headers": {"x-should-retry": word, "Retry-After-Ms": "5"}})
            self.assertEqual(tries, self.fails(self.chat(), "REMOTE")["n_try"], (status, word))

    def test_broken_connections(self):
        for step in ({"close": "end"}, {"close": "reset"}):
            for whole in (False, True):
                self.p.reset()
                self.open(n_retry=1)
                self.p.script({**step, "times": 0})
                r = self.fails(self.chat(whole=whole), "NETWORK", "connection")
                self.assertEqual((2, 0), (r["n_try"], r["http"]))
                self.assertRegex(r["waits"], r"^connection:0:(7[5-9]\d|[89]\d\d|1000)$")

    def test_heals(self):
        self.quick_retries(2, status=503)
        r = self.d("chat", messages=user("Hello!"))
        self.ok(r)
        self.assertEqual((3, "echo: Hello!", "overloaded:503:5 overloaded:503:5"), (r["n_try"], r["text"], r["waits"]))
        ids = {dict(e["headers"])["x-request-id"] for e in self.p.log("*")}
        self.assertEqual(1, len(ids))

    def test_retry_after(self):
        self.p.script({"status": 429, "code": "1302", "headers": {"Retry-After": "0.01"}})
        self.assertEqual("limit:429:10", self.ok(self.chat())["waits"])
        self.p.script({"times": 0, "status": 429, "headers": {"Retry-After": "3600"}})
        r = self.fails(self.chat(), "REMOTE", "limit")
        self.assertEqual((1, 3600000), (r["n_try"], r["retry_after_ms"]))
        self.assertLess(r["ms"], 2000)

    def test_caller_gives_up(self):
        self.open(give_up_after=1)
        self.quick_retries(0, status=500)
        self.assertEqual(2, self.fails(self.chat(), "REMOTE", "internal")["n_try"])

    def test_wait_is_cancelled(self):
        self.open(retry_wait_max_ms=60000)
        self.p.script({"times": 0, "status": 429, "headers": {"Retry-After": "30"}})
        r = self.fails(self.chat(cancel_ms=100), "CANCELLED", "local")
        self.assertLess(r["ms"], 5000)

    def test_bodies_that_are_none(self):
        rows = [({"body": "<html>sign in</html>", "content_type": "text/html"}, "FORMAT"), ({"body": "{}"}, "FORMAT"),
                ({"body": "[]", "content_type": "application/json"}, "FORMAT"), ({"broken_json": True}, "FORMAT"),
                ({"broken_utf8": True}, "FORMAT"), ({"body": "", "content_type": "application/json"}, "FORMAT"),
                ({"gzip": True}, "FORMAT"), ({"body": '{"a":1}', "headers": {"Content-Type": None}}, "FORMAT"),
                ({"raw": "SSH-2.0-OpenSSH_9.2\r\n"}, "FORMAT"),
                ({"raw": "HTTP/1.1 200 OK\r\n" + "X-Filler: %s\r\n" % ("x" * 900) * 100 + "\r\n"}, "LIMIT")]
        for provider in ("zhipu", "openai", "ollama"):
            self.open(provider, n_retry=0)
            for step, rc in rows:
                self.p.script(step)
                self.fails(self.chat(whole=True, model="glm-4.7-flash"), rc, "shape")
                self.p.script(step)
                self.d("models")  # whatever it says, it says it

    def test_endless(self):
        self.open(reply_max=100000)
        for whole in (False, True):
            self.p.script({"endless": "x" * 1000})
            r = self.d("chat", messages=user("Hello!"), whole=whole)
            self.assertIn(r["rc"], ("LIMIT", "OK", "FORMAT"))
            self.assertLess(r["ms"], 5000)
        self.p.script({"status": 400, "endless": "x" * 1000})
        self.fails(self.d("chat", messages=user("Hello!")), "REMOTE", "request")
        self.p.script({"body": "{", "content_type": "application/json", "endless": " " * 1000})
        self.fails(self.d("models"), "LIMIT", "shape")

    def test_nothing_is_sent(self):
        def message(**m):
            return [{"role": "user", "content": "x", **m}]

        for do, members, rc in (("chat", {}, "INPUT"), ("chat", {"messages": user("x"), "extra": "[1]"}, "INPUT"),
                                ("chat", {"messages": user("x"), "request_id": "a b"}, "INPUT"),
                                ("chat", {"messages": user("x"), "request_id": "a\nb: c"}, "INPUT"),
                                ("chat", {"messages": user("x"), "request_id": "12345"}, "INPUT"),
                                ("chat", {"messages": user("x"), "call_timeout_s": -1}, "INPUT"),
                                ("task", {"id": "../files"}, "INPUT"), ("task", {"id": ""}, "INPUT"),
                                ("delete", {"id": "a/b"}, "INPUT"), ("delete", {"id": "a?b"}, "INPUT"),
                                ("batch_get", {"id": ".."}, "INPUT"), ("generate", {"kind": "song", "fields": {}}, "INPUT"),
                                ("embed", {"texts": []}, "INPUT"), ("read", {"url": "file:///etc/passwd"}, "INPUT"),
                                ("download", {"url": "file:///etc/passwd", "path": "/dev/null"}, "INPUT"),
                                ("download", {"url": "http://a:b@127.0.0.1/", "path": "x"}, "INPUT"),
                                ("call", {"method": "GET", "path": "/../x"}, "INPUT"), ("call", {"method": "GE T", "path": "/x"}, "INPUT"),
                                ("call", {"method": "GET", "path": "x"}, "INPUT"), ("call", {"method": "GET", "path": "/x y"}, "INPUT"),
                                ("upload", {"path": self.path("none"), "purpose": "batch"}, "NOTFOUND"),
                                ("upload", {"path": self.folder.name, "purpose": "batch"}, "IO"),
                                ("upload", {"path": self.path("a\nb", b"x"), "purpose": "batch"}, "INPUT")):
            r = self.fails(self.d(do, **members), rc, "local")
            self.assertEqual([], self.p.log("*"), (do, members))
        self.open("ollama")
        for do, members in (("rerank", {"query": "a", "documents": ["b"]}), ("upload", {"path": "x", "purpose": "batch"}),
                            ("task", {"id": "x"}), ("search", {"query": "x"}), ("count", {"messages": user("x")})):
            r = self.fails(self.d(do, **members), "UNSUPPORTED", "local")
            self.assertIn("ollama", r["msg"])
        self.assertEqual([], self.p.log("*"))

    def test_times(self):
        self.open(n_retry=0)
        self.p.script([{"silent": True}] * 2)
        for whole in (False, True):
            r = self.fails(self.chat(whole=whole, call_timeout_s=0.3), "TIMEOUT", "timeout")
            self.assertTrue(250 < r["ms"] < 3000, r["ms"])
        # A whole answer has its time; a stream only between its pieces.
        self.p.script([{"slow_bytes": 20, "slow_ms": 40}] * 2)
        self.fails(self.chat(whole=True, call_timeout_s=0.3), "TIMEOUT", "timeout")
        r = self.ok(self.chat(call_timeout_s=0.3))
        self.assertEqual("echo: Hello!", r["text"])
        self.assertGreater(r["ms"], 400)
        self.p.script({"chunk_delay_ms": 600})
        self.fails(self.chat(call_timeout_s=0.2), "TIMEOUT", "timeout")

    def test_nobody_there(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.open(base_url=f"http://127.0.0.1:{port}", n_retry=1)
        r = self.fails(self.chat(), "NETWORK", "connection")
        self.assertEqual(2, r["n_try"])
        self.open(base_url="http://no-such-host.invalid", n_retry=0)
        self.fails(self.chat(), "NETWORK", "connection")


class Streams(Case):
    """A stream cut at every byte, slow, out of order, with an error in it, given up."""

    def stream_bytes(self, provider):
        """The body of a stream as the stand-in sends it."""
        path = {"zhipu": "/api/paas/v4/chat/completions", "openai": "/v1/chat/completions", "ollama": "/api/chat"}[provider]
        body = {"model": "glm-4.7-flash", "messages": user("héllo 你好"), "stream": True}
        import http.client
        c = http.client.HTTPConnection(self.p.url.removeprefix("http://"))
        c.request("POST", path, json.dumps(body), {"Authorization": "Bearer " + self.p.key, "Content-Type": "application/json"})
        data = c.getresponse().read()
        c.close()
        return data

    def test_cut_everywhere(self):
        for provider in ("zhipu", "openai", "ollama"):
            self.open(provider, n_retry=0)
            data = self.stream_bytes(provider)
            sent = self.ok(self.d("chat", model="glm-4.7-flash", messages=user("héllo 你好")))
            full = len(data)
            seen = set()
            for cut in range(0, full, 1 if full < 1500 else 3):
                self.p.script({"cut_after": cut})
                r = self.d("chat", model="glm-4.7-flash", messages=user("héllo 你好"))
                seen.add(r["rc"])
                if r["rc"] == "OK":  # only what does not count was missing
                    self.assertEqual((sent["text"], sent["reasoning"]), (r["text"], r["reasoning"]), cut)
                else:
                    self.assertIn((r["rc"], r["fault"]), (("NETWORK", "connection"), ("FORMAT", "shape")), cut)
                    self.assertTrue(sent["text"].startswith(r["text"]) and sent["reasoning"].startswith(r["reasoning"]), cut)
                    self.assertNotIn("stop", json.dumps(r["events"]), cut)
                self.assertEqual(1, r["n_try"], cut)
            self.assertIn("NETWORK", seen)

    def test_pieces_of_every_size(self):
        for provider in ("zhipu", "openai", "ollama"):
            self.open(provider)
            for size in (1, 2, 3, 7, 64):
                self.p.script({"slow_bytes": size, "slow_ms": 0})
                r = self.ok(self.d("chat", model="glm-4.7-flash", messages=user("héllo 你好")))
                self.assertEqual("echo: héllo 你好", r["text"])

    def test_never_twice(self):
        """Once a piece came nothing is asked again; before that it is."""
        self.p.script([{"cut_after": 3}, {}])
        r = self.ok(self.d("chat", messages=user("Hello!")))
        self.assertEqual((2, "echo: Hello!"), (r["n_try"], r["text"]))
        self.p.reset()
        self.p.script([{"cut_after": 700}, {}])
        r = self.fails(self.d("chat", messages=user("Hello!")), "NETWORK", "connection")
        self.assertEqual((1, 1), (r["n_try"], len(self.p.log("*"))))
        self.assertGreater(r["n_seen"], 0)

    def test_errors_inside(self):
        for form in ("data", "event"):
            self.p.script({"stream_error": {"after": 3, "code": "1301", "message": "not \x07 safe", "form": form}})
            r = self.fails(self.d("chat", messages=user("a b c d e f")), "REMOTE", "stream", "1301")
            self.assertEqual((200, 1), (r["http"], r["n_try"]))
            self.assertIn("safe", r["message"])
            self.assertNotIn("\x07", r["msg"])
        self.open("ollama")
        self.p.script({"stream_error": {"after": 2, "message": "out of memory"}})
        r = self.fails(self.d("chat", messages=user("a b c d")), "REMOTE", "stream")
        self.assertIn("out of memory", r["message"])
        self.open()
        self.p.script({"finish_reason": "sensitive"})
        self.fails(self.d("chat", messages=user("x")), "REMOTE", "stream")

    def test_disorder(self):
        for events in ("reversed", "done_first", "finish_first", "no_done", "doubled", "none", ["", "[DONE]"], ["{"], ["null"],
                       ["[]"], ['{"choices":[]}'], ["x" * 100]):
            for provider in ("zhipu", "openai", "ollama"):
                self.open(provider, n_retry=0)
                self.p.script({"events": events})
                r = self.d("chat", model="glm-4.7-flash", messages=user("Hello!"))
                self.assertIn(r["rc"], ("OK", "FORMAT", "REMOTE"), (events, r))

    def test_type(self):
        for provider in ("zhipu", "openai", "ollama"):
            self.open(provider, n_retry=0)
            for kind in ("text/plain", "text/html; charset=utf-8", "application/octet-stream"):
                self.p.script({"content_type": kind})
                r = self.fails(self.d("chat", model="glm-4.7-flash", messages=user("x")), "FORMAT", "shape")
                self.assertIn(kind.partition(";")[0], r["msg"])
            self.p.script({"content_type": ("application/x-ndjson" if provider == "ollama" else "TEXT/Event-Stream") + "; charset=utf-8"})
            self.ok(self.d("chat", model="glm-4.7-flash", messages=user("x")))

    def test_callback_says_no(self):
        for whole in (False, True):
            for n in (1, 2):
                r = self.fails(self.d("chat", messages=user("a b c d e f g"), whole=whole, stop_after=n), "CANCELLED", "local")
                self.assertEqual(n, r["n_seen"])
        self.ok(self.d("chat", messages=user("x")))

    def test_cancel_at_any_moment(self):
        self.p.script({"times": 0, "chunk_delay_ms": 20})
        for ms in [0, 1, 2, 5] + list(range(10, 200, 19)):
            r = self.d("chat", messages=user("a b c d e f g h"), cancel_ms=ms)
            self.fails(r, "CANCELLED", "local")
            self.assertLess(r["ms"], ms + 1000)
        self.p.reset()
        self.p.script({"silent": True})
        self.assertLess(self.fails(self.d("chat", messages=user("a"), cancel_ms=50), "CANCELLED")["ms"], 1500)
        self.ok(self.d("chat", messages=user("x")))

    def test_raw_stream(self):
        body = {"model": "glm-4.7-flash", "messages": user("hi there"), "stream": True}
        r = self.ok(self.d("call", method="POST", path="/chat/completions", body=body, stream=True))
        self.assertEqual("hi there", "".join(json.loads(d)["choices"][0]["delta"].get("content") or "" for d in r["data"]).removeprefix("echo: "))
        self.assertEqual((200, "text/event-stream"), (r["status"], r["type"]))
        self.fails(self.d("call", method="POST", path="/chat/completions", body=body, stream=True, stop_after=1), "CANCELLED")


class Platform_(Case):
    """Tasks, files, batches, vectors and the small calls."""

    def tearDown(self):
        self.careful()
        super().tearDown()

    def test_later(self):
        t = self.ok(self.d("later", model="glm-4.7-flash", messages=user("slow")))
        self.assertEqual(0, t["state"])
        self.assertFalse(self.p.log("*")[0]["json"].get("stream"))
        self.assertEqual(0, self.ok(self.d("task", id=t["id"]))["state"])
        done = self.ok(self.d("wait", id=t["id"], first_s=0.01))
        self.assertEqual("echo: slow", json.loads(done["body"])["choices"][0]["message"]["content"])
        self.assertEqual([], done["files"])

    def test_wait(self):
        self.p.script({"path": "*/videos/*", "polls": 1000})
        t = self.ok(self.d("generate", kind="video", fields={"prompt": "x"}))
        self.fails(self.d("wait", id=t["id"], first_s=0.05, limit_s=0.3), "TIMEOUT", "timeout")
        r = self.fails(self.d("wait", id=t["id"], first_s=0.01, stop_after=2), "CANCELLED", "local")
        self.assertEqual(2, r["n_seen"])
        r = self.fails(self.d("wait", id=t["id"], cancel_ms=50), "CANCELLED", "local")
        self.assertLess(r["ms"], 1500)
        self.p.script({"path": "*/videos/*", "outcome": "FAIL", "polls": 0})
        t = self.ok(self.d("generate", kind="video", fields={"prompt": "x"}))
        self.assertEqual(2, self.ok(self.d("wait", id=t["id"]))["state"])
        self.fails(self.d("wait", id="no-such-task"), "REMOTE")

    def test_image(self):
        t = self.ok(self.d("generate", kind="image", fields={"prompt": "red", "size": "1024x1024"}))
        self.assertEqual((1, 1), (t["state"], len(t["files"])))
        self.ok(self.d("download", url=t["files"][0], path=self.path("p.png")))
        with open(self.path("p.png"), "rb") as f:
            self.assertEqual(b"\x89PNG", f.read(4))
        t = self.ok(self.d("generate", kind="image", fields={"prompt": "red", "response_format": "b64_json"}))
        self.assertEqual((1, []), (t["state"], t["files"]))

    def test_odd_tasks(self):
        for body in ("{}", '{"task_status":"SUCCESS","video_result":[{}]}', '{"task_status":"DANCING"}', '{"task_status":"PROCESSING"}',
                     '{"task_status":"PROCESSING","id":"../x"}'):
            self.p.script({"body": body, "content_type": "application/json"})
            self.fails(self.d("generate", kind="video", fields={"prompt": "x"}), "FORMAT", "shape")
        self.p.script({"body": '{"error":{"code":"1301","message":"no"}}', "content_type": "application/json"})
        self.fails(self.d("generate", kind="video", fields={"prompt": "x"}), "REMOTE", code="1301")

    def download(self, step, rc, **more):
        """After a failed download the old file is what it was and nothing lies beside it."""
        self.p.reset()
        t = self.ok(self.d("generate", kind="video", fields={"prompt": "x"}))
        url = self.ok(self.d("wait", id=t["id"], first_s=0.01))["files"][0]
        where = self.path("film.mp4", b"old")
        self.p.script({"path": "/media/*", "times": 0, "headers": {"Retry-After-Ms": "5"}, **step})
        r = self.d("download", url=url, path=where, **more)
        self.assertEqual(rc, r["rc"], r["msg"])
        self.assertEqual(["film.mp4"], os.listdir(self.folder.name))
        with open(where, "rb") as f:
            self.assertEqual(rc != "OK", f.read() == b"old")
        os.remove(where)
        return r

    def test_downloads(self):
        self.open(n_retry=0)
        self.assertGreater(self.download({}, "OK")["n_seen"], 0)
        self.download({"slow_bytes": 100, "slow_ms": 1}, "OK")
        self.download({"headers": {"Content-Type": None}, "disposition": 'attachment; filename="../../etc/passwd"'}, "OK")
        for cut in (1, 100, 4095):
            self.download({"cut_after": cut}, "FORMAT")
        self.download({"length_off": 10}, "FORMAT")
        self.download({}, "LIMIT", size_max=4095)
        self.download({"endless": "x" * 4096, "headers": {"Content-Length": None}}, "LIMIT", size_max=100000)
        self.download({"status": 404}, "REMOTE")
        self.download({"gzip": True}, "FORMAT")
        self.download({"silent": True}, "TIMEOUT", call_timeout_s=0.2)
        self.download({"slow_bytes": 100, "slow_ms": 20}, "CANCELLED", cancel_ms=100)
        self.download({}, "CANCELLED", stop_after=1)
        r = self.d("download", url=self.p.files_url + "/media/x/y", path=self.path("no/such/folder"))
        self.assertEqual("REMOTE", r["rc"])

    def test_download_again(self):
        self.open(n_retry=2)
        self.p.reset()
        t = self.ok(self.d("generate", kind="image", fields={"prompt": "red"}))
        self.p.script([{"path": "/media/*", "cut_after": 10}, {"path": "/media/*", "close": "reset"}])
        r = self.ok(self.d("download", url=t["files"][0], path=self.path("p.png")))
        self.assertEqual(3, r["n_try"])

    def test_files(self):
        names = ["plain.jsonl", 'quote".jsonl', "ключ 你好.jsonl", "back\\slash", "semi;colon=x", "-rf", "%0d%0a"]
        data = os.urandom(70000)
        for name in names:
            r = self.d("upload", path=self.path(name, data), purpose="batch")
            entry = self.p.log("*/files")[-1]
            part = entry.get("parts", [{}, {}])[1]
            if "\\" in name:  # readers of forms differ about it
                self.fails(r, "INPUT", "local")
                continue
            self.ok(r)
            self.assertEqual(hashlib.sha256(data).hexdigest(), part["sha256"])
            self.assertEqual((70000, "batch"), (r["file"]["bytes"], r["file"]["purpose"]))
            self.assertEqual(name, part["filename"].replace("%22", '"'))
        listed = self.ok(self.d("files", purpose="batch"))["files"]
        self.assertEqual(len(names) - 1, len(listed))
        self.assertEqual([], self.ok(self.d("files", purpose="retrieval"))["files"])
        self.ok(self.d("content", id=listed[0]["id"], path=self.path("back")))
        with open(self.path("back"), "rb") as f:
            self.assertEqual(data, f.read())
        self.ok(self.d("delete", id=listed[0]["id"]))
        self.fails(self.d("delete", id=listed[0]["id"]), "REMOTE", "status")
        self.fails(self.d("content", id=listed[0]["id"], path=self.path("gone")), "REMOTE", "status")
        self.assertFalse(os.path.exists(self.path("gone")))

    def test_upload_again(self):
        data = os.urandom(300000)
        self.quick_retries(2, status=500)
        self.ok(self.d("upload", path=self.path("a.jsonl", data), purpose="batch"))
        for entry in self.p.log("*/files"):
            self.assertEqual(hashlib.sha256(data).hexdigest(), entry["parts"][1]["sha256"])
        self.assertEqual(3, len(self.p.log("*/files")))

    def test_pages_of_files(self):
        for i in range(205):
            self.ok(self.d("upload", path=self.path("f%d" % i, b"x"), purpose="batch"))
        listed = self.ok(self.d("files"))["files"]
        self.assertEqual(205, len({f["id"] for f in listed}))
        again = json.dumps({"data": [{"id": "a", "filename": "n", "bytes": 1}], "has_more": True})
        self.p.script({"times": 0, "body": again, "content_type": "application/json"})
        self.fails(self.d("files"), "FORMAT", "shape")
        self.p.reset()
        self.p.script({"body": '{"data":[{"id":"../../x"}]}', "content_type": "application/json"})
        self.fails(self.d("files"), "FORMAT", "shape")

    def test_batches(self):
        line = {"custom_id": "a", "method": "POST", "url": "/v4/chat/completions",
                "body": {"model": "glm-4", "messages": user("hi")}}
        self.ok(self.d("upload", path=self.path("b.jsonl", json.dumps(line).encode()), purpose="batch"))
        source = self.ok(self.d("files"))["files"][0]["id"]
        b = self.ok(self.d("batch_new", input=source, endpoint="/v4/chat/completions"))
        self.assertEqual(("validating", 0), (b["status"], b["over"]))
        while not b["over"]:
            b = self.ok(self.d("batch_get", id=b["id"]))
        self.assertEqual(("completed", 1, 1, 0, ""), (b["status"], b["total"], b["completed"], b["failed"], b["error"]))
        self.ok(self.d("content", id=b["output"], path=self.path("out")))
        with open(self.path("out")) as f:
            self.assertEqual("a", json.loads(f.read())["custom_id"])
        self.ok(self.d("upload", path=self.path("c.jsonl", b"no json"), purpose="batch"))
        bad = next(f["id"] for f in self.ok(self.d("files"))["files"] if f["name"] == "c.jsonl")
        b = self.ok(self.d("batch_new", input=bad, endpoint="/v4/chat/completions"))
        b = self.ok(self.d("batch_get", id=b["id"]))
        self.assertEqual(("failed", 1), (b["status"], b["over"]))
        self.assertIn("line 1", b["why"])
        b = self.ok(self.d("batch_new", input=bad, endpoint="/v4/chat/completions"))
        self.assertEqual("cancelling", self.ok(self.d("batch_cancel", id=b["id"]))["status"])
        self.assertEqual(1, self.ok(self.d("batch_get", id=b["id"]))["over"])

    def test_vectors(self):
        texts = ["text %d" % i for i in range(70)]
        for provider, model in (("zhipu", None), ("openai", "embedding-3"), ("ollama", "embedding-3")):
            self.p.reset()
            self.open(provider)
            r = self.ok(self.d("embed", model=model, texts=texts, n_dim=512))
            self.assertEqual((70, 512), (r["n"], r["n_dim"]))
            self.assertEqual(2 if provider == "zhipu" else 1, len(self.p.log("*")))  # 64 at a time
            from standin import words
            for i, first in enumerate(r["first"]):
                size = 512
                self.assertAlmostEqual(words.vector(texts[i], size)[0], first, places=6)
            self.assertGreater(r["n_token"], 0)
        self.open(n_retry=0)
        for body in ('{"data":[]}', '{"data":[{"index":0,"embedding":[1,2]},{"index":0,"embedding":[1,2]}]}',
                     '{"data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":[1]}]}',
                     '{"data":[{"index":0,"embedding":[1,2]},{"index":7,"embedding":[1,2]}]}',
                     '{"data":[{"index":0,"embedding":[1,1e99]},{"index":1,"embedding":[1,2]}]}',
                     '{"data":[{"index":0,"embedding":"AAAA"},{"index":1,"embedding":[1,2]}]}', '{"data":7}', "{}"):
            self.p.script({"body": body, "content_type": "application/json"})
            self.fails(self.d("embed", texts=["a", "b"]), "FORMAT", "shape")
        self.p.script({"body": '{"data":[{"index":1,"embedding":[3]},{"index":0,"embedding":[4]}]}', "content_type": "application/json"})
        self.assertEqual([4, 3], self.ok(self.d("embed", texts=["a", "b"]))["first"])

    def test_rerank(self):
        r = self.ok(self.d("rerank", query="red car", documents=["a blue car", "a red car", "nothing"]))
        self.assertEqual([1, 0, 2], r["ranks"][::2])
        self.assertEqual(2, len(self.ok(self.d("rerank", query="red", documents=["a", "red", "c"], top_n=1))["ranks"]))
        for body in ('{"results":[{"index":3,"relevance_score":1}]}', '{"results":[{"index":0,"relevance_score":1},{"index":0,"relevance_score":1}]}',
                     '{"results":[{"index":0}]}', '{"results":[1,2,3,4]}', "{}"):
            self.p.script({"body": body, "content_type": "application/json"})
            self.fails(self.d("rerank", query="red", documents=["a", "b", "c"]), "FORMAT", "shape")

    def test_small(self):
        messages = user("count these words")
        n = self.ok(self.d("count", messages=messages))["n"]
        spoken = self.ok(self.d("chat", messages=messages))["events"][-1]["n_prompt"]
        self.assertEqual(spoken, n)
        self.assertEqual([], [u for e in self.p.log("*/tokenizer") for u in e["unknown"]])
        r = self.ok(self.d("search", engine="search_pro", query="glm", count=3))
        self.assertEqual(3, len(json.loads(r["body"])["search_result"]))
        r = self.ok(self.d("read", url="https://example.com/a?b=c"))
        self.assertIn("reader_result", json.loads(r["body"]))
        self.assertIn("glm-4.7", self.ok(self.d("models"))["names"])
        r = self.ok(self.d("call", method="GET", path="/models"))
        self.assertEqual((200, "application/json"), (r["status"], r["type"]))
        r = self.ok(self.d("call", method="POST", path="/audio/speech",
                           body={"model": "glm-tts", "input": "hi", "voice": "tongtong"}))
        self.assertEqual("audio/wav", r["type"])
        self.fails(self.d("call", method="GET", path="/no/such/thing"), "REMOTE", "status", "1222")
        r = self.d("call", method="POST", path="/files", part="file", file=self.path("x.txt", b"data"))
        self.fails(r, "REMOTE", "request", "1213")


class Addresses(Case):
    """Where a key goes and where it does not; options of a client."""

    def test_redirects_with_a_key(self):
        self.open(n_retry=0)
        other = self.p.files_url
        for status in (301, 302, 303, 307, 308):
            for to in (other + "/steal", "https://" + other[7:] + "/x", "//evil.invalid/x", "ftp://x/y", "http://user@x/y"):
                self.p.script({"status": status, "redirect": to})
                r = self.fails(self.d("chat", messages=user("x")), "REMOTE", "status")
                self.assertEqual((status, 1), (r["http"], r["n_try"]))
                self.p.script({"status": status, "redirect": to})
                self.fails(self.d("models"), "REMOTE", "status")
        self.assertEqual([], [e for e in self.p.log("*") if e["listener"] == "files"])

    def test_redirects_at_home(self):
        here = "/api/coding/paas/v4"
        for status in (307, 308):
            self.p.reset()
            self.p.script({"path": "/api/paas/*", "status": status, "redirect": here + "/chat/completions"})
            r = self.ok(self.d("chat", messages=user("x")))
            self.assertEqual(("echo: x", 2), (r["text"], r["n_try"]))
            self.assertEqual(["POST", "POST"], [e["method"] for e in self.p.log("*")])
            self.assertEqual(self.p.log("*")[0]["json"], self.p.log("*")[1]["json"])
        for status in (301, 302, 303):
            self.p.reset()
            self.p.script({"path": "/api/paas/*", "status": status, "redirect": here + "/chat/completions"})
            self.fails(self.d("chat", messages=user("x")), "REMOTE", "status")
            self.assertEqual(1, len(self.p.log("*")))
            self.p.script({"path": "/api/paas/*", "status": status, "redirect": here + "/models"})
            self.ok(self.d("models"))
        self.p.reset()
        self.p.script({"times": 0, "status": 307, "redirect": "/api/paas/v4/models"})
        r = self.fails(self.d("models"), "REMOTE", "status")
        self.assertEqual(6, r["n_try"])

    def test_redirects_of_downloads(self):
        t = self.ok(self.d("generate", kind="image", fields={"prompt": "red"}))
        url = t["files"][0]
        self.p.script({"path": "/media/first/x", "status": 302, "redirect": url})
        self.ok(self.d("download", url=self.p.files_url + "/media/first/x", path=self.path("p.png")))
        self.p.script({"path": "/media/*", "status": 302, "redirect": "file:///etc/passwd"})
        self.fails(self.d("download", url=url, path=self.path("q")), "REMOTE")
        self.assertFalse(os.path.exists(self.path("q")))
        for e in self.p.log("/media/*"):
            self.assertNotIn("authorization", [k.lower() for k, _ in e["headers"]])

    def test_options(self):
        self.d.close()
        self.d = Driver()
        url = self.p.paas
        key = self.p.key
        rows = [({"provider": "nobody"}, "INPUT"), ({}, "NOTFOUND"), ({"api_key": ""}, "INPUT"), ({"api_key": "a b"}, "INPUT"),
                ({"api_key": "a\r\nX: y"}, "INPUT"), ({"api_key": "k" * 1025}, "INPUT"), ({"api_key": "ключ"}, "INPUT"),
                ({"api_key": "nodot", "jwt": True}, "INPUT"), ({"api_key": "a.b.c", "jwt": True}, "INPUT"),
                ({"provider": "openai", "api_key": key, "jwt": True}, "UNSUPPORTED"), ({"provider": "openai"}, "OK"),
                ({"provider": "openai", "base_url": None}, "NOTFOUND"), ({"provider": "ollama", "base_url": None}, "OK"),
                ({"api_key": key, "timeout_s": 0}, "INPUT"), ({"api_key": key, "n_retry": 21}, "INPUT"),
                ({"api_key": key, "n_retry": -1}, "INPUT"), ({"api_key": key, "proxy": "gopher://x"}, "INPUT"),
                ({"api_key": key, "proxy": "http://a b"}, "INPUT"), ({"api_key": key, "ca_file": "/no/such"}, "IO"),
                ({"key_file": "/no/such"}, "IO"), ({"api_key": key, "reply_max": 1}, "INPUT")]
        rows += [({"api_key": key, "base_url": u}, "INPUT") for u in (
            "", "ftp://x", "x", "http://", "http://a@b/", "http://a:0/", "http://a:65536/", "http://a:b/", "http://a/?q", "http://a/#f",
            "http://a b/", "http://ü/", "http://[::1/", "http://a\\b/")]
        for options, rc in rows:
            r = self.d("new", **{"base_url": url, **options})
            self.assertEqual(rc, r["rc"], (options, r["msg"]))
            if len(options.get("api_key") or "") > 3:
                self.assertNotIn(options["api_key"], r["msg"])
        names = self.d("new", base_url=url)["msg"]
        for name in ("ZHIPUAI_API_KEY", "ZAI_API_KEY"):
            self.assertIn(name, names)
        for given, used in (("https://a.b/c//", "https://a.b/c"), ("http://[::1]:8000/v1", "http://[::1]:8000/v1")):
            self.assertEqual(used, self.d("new", base_url=given, api_key=key)["url"])

    def test_key_file(self):
        where = self.path("key", b"\xef\xbb\xbf" + self.p.key.encode() + b" \r\nsecond line\n")
        os.chmod(where, 0o644)
        r = self.d("new", base_url=self.p.paas, key_file=where)
        self.assertEqual("IO", r["rc"])
        self.assertIn("chmod 600", r["msg"])
        os.chmod(where, 0o600)
        self.ok(self.d("new", base_url=self.p.paas, key_file=where))
        self.ok(self.d("chat", messages=user("x")))
        os.chmod(self.path("empty", b"\n"), 0o600)
        self.assertEqual("INPUT", self.d("new", base_url=self.p.paas, key_file=self.path("empty"))["rc"])

    def test_environment(self):
        for env, members, text in (
                ({"ZHIPUAI_API_KEY": self.p.key, "ZHIPUAI_BASE_URL": self.p.paas + "/"}, {}, "echo: x"),
                ({"ZAI_API_KEY": self.p.key, "ZAI_BASE_URL": self.p.paas, "ZHIPUAI_API_KEY": ""}, {}, "echo: x"),
                ({"OPENAI_API_KEY": self.p.key, "OPENAI_BASE_URL": self.p.v1}, {"provider": "openai", "model": "glm-4.7"}, "echo: x"),
                ({"OLLAMA_HOST": self.p.url.removeprefix("http://")}, {"provider": "ollama"}, "echo: x")):
            d = Driver(**env)
            self.ok(d("new", **members))
            self.assertEqual(text, self.ok(d("chat", messages=user("x")))["text"], env)
            d.close()
        d = Driver(OLLAMA_HOST="0.0.0.0")
        self.assertEqual("http://127.0.0.1:11434", self.ok(d("new", provider="ollama"))["url"])
        d.close()

    def test_proxy(self):
        seen = []
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen(8)
            proxy = "http://127.0.0.1:%d" % s.getsockname()[1]

            def serve():
                while True:
                    try:
                        c, _ = s.accept()
                    except OSError:
                        return
                    seen.append(c.recv(65536).split(b"\r\n")[0].decode())
                    c.sendall(b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    c.close()

            threading.Thread(target=serve, daemon=True).start()
            self.open(proxy=proxy, n_retry=0)
            self.fails(self.d("chat", messages=user("x")), "REMOTE", "status")
            d = Driver(http_proxy=proxy)
            self.ok(d("new", base_url=self.p.paas, api_key=self.p.key, n_retry=0))
            self.fails(d("chat", messages=user("x")), "REMOTE")
            self.ok(d("new", base_url=self.p.paas, api_key=self.p.key, n_retry=0, proxy=""))
            self.ok(d("chat", messages=user("x")))
            d.close()
            s.shutdown(socket.SHUT_RDWR)
        self.assertEqual(2, len(seen))
        self.assertTrue(all(line.startswith("POST http://127.0.0.1:") for line in seen), seen)

    def test_certificates(self):
        cert, key = self.path("cert.pem"), self.path("key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                        "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                       check=True, capture_output=True)
        with Standin(cert=(cert, key)) as p:
            port = p.url.rpartition(":")[2]
            good = f"https://localhost:{port}/api/paas/v4"
            options = {"api_key": "testid.testsecret", "n_retry": 2}
            self.ok(self.d("new", base_url=good, ca_file=cert, **options))
            self.assertEqual("echo: x", self.ok(self.d("chat", messages=user("x")))["text"])
            n = len(p.log("*"))
            for base, ca in ((good, None), (f"https://127.0.0.1:{port}/api/paas/v4", cert)):
                self.ok(self.d("new", base_url=base, ca_file=ca, **options))
                r = self.d("chat", messages=user("x"))
                self.assertEqual(("NETWORK", 1), (r["rc"], r["n_try"]))  # that does not heal
                self.assertIn("certificate", r["msg"])
            self.assertEqual(n, len(p.log("*")))
            # A redirect that would leave TLS.
            p.script({"path": "/media/*", "status": 302, "redirect": self.p.files_url + "/media/a/b"})
            self.ok(self.d("new", base_url=good, ca_file=cert, **options))
            r = self.d("download", url=p.files_url.replace("127.0.0.1", "localhost") + "/media/x/y", path=self.path("f"))
            self.assertEqual("REMOTE", r["rc"])
            self.assertIn("https to http", r["msg"])


class Waiting(Case):
    """Connections are kept, also after refusals."""

    def test_one_connection(self):
        for _ in range(5):
            self.ok(self.d("chat", messages=user("x")))
            self.ok(self.d("models"))
        self.p.script({"status": 400})
        self.fails(self.d("chat", messages=user("x")), "REMOTE")
        self.ok(self.d("chat", messages=user("x"), whole=True))
        self.assertEqual(1, len({e["connection"] for e in self.p.log("*")}))

    def test_dead_connection(self):
        """A kept connection that the server closed meanwhile costs no try."""
        self.ok(self.d("chat", messages=user("x")))
        self.p.script({"headers": {"Connection": "close"}})
        self.ok(self.d("chat", messages=user("x")))
        self.assertEqual(1, self.ok(self.d("chat", messages=user("x")))["n_try"])


    def test_no_memory(self):
        """Each allocation of a call refused in turn: an error that says so, and the next call is as good as ever."""
        self.ok(self.d("upload", path=self.path("a", b"x"), purpose="batch"))
        t = self.ok(self.d("generate", kind="image", fields={"prompt": "red"}))
        calls = [("chat", {"messages": user("Hello!")}), ("chat", {"messages": user("Hello!"), "whole": True}), ("files", {}),
                 ("upload", {"path": self.path("b", b"data"), "purpose": "batch"}), ("embed", {"texts": ["a", "b"]}),
                 ("generate", {"kind": "image", "fields": {"prompt": "red"}}),
                 ("download", {"url": t["files"][0], "path": self.path("p.png")})]
        for do, members in calls:
            for n in range(1000):
                r = self.d(do, fail_at=n, **members)
                self.assertIn(r["rc"], ("NOMEM", "OK"), (do, n, r["msg"]))
                if not r["hit"]:
                    break
            self.assertEqual("OK", r["rc"])
            self.assertGreater(n, 3, do)

    def test_nobody_reads(self):
        """A server that hangs up while a large file is sent to it; the signal of a broken pipe would end the driver."""
        big = self.path("big", bytes(20 << 20))
        cert, key = self.path("cert.pem"), self.path("key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                        "-out", cert, "-days", "2", "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1"],
                       check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        for tls in (False, True):
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                s.listen(8)

                def serve():
                    for _ in range(2):
                        c, _ = s.accept()
                        c = context.wrap_socket(c, server_side=True) if tls else c
                        c.recv(100)
                        c.close()

                t = threading.Thread(target=serve)
                t.start()
                self.open(base_url=f"http{'s' if tls else ''}://127.0.0.1:{s.getsockname()[1]}/v4", n_retry=1, ca_file=cert)
                r = self.fails(self.d("upload", path=big, purpose="batch"), "NETWORK", "connection")
                self.assertEqual(2, r["n_try"])
                t.join()


class Crowd(Case):
    """200 calls at once, some cancelled, each with its own answer."""

    def test_crowd(self):
        self.open(retry_wait_max_ms=5000, connect_timeout_s=60)
        self.assertEqual((0, None), (lambda r: (r["wrong"], r.get("first")))(self.ok(self.d("crowd", n=200, rounds=3))))
        r = self.ok(self.d("crowd", n=100, rounds=3, cancels=True))
        self.assertEqual((0, None), (r["wrong"], r.get("first")))


class OwnServer(unittest.TestCase):
    """The same answer from glim's own server through every provider as from the engine itself."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        with open(os.path.join(self.folder.name, "log"), "wb") as log:
            self.server = subprocess.Popen([GLIM, "serve", "--port", str(self.port), "--cpu", "ref", "--kv", "f32"],
                                           stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        for _ in range(600):
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as c:
                    c.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                    if b" 200 " in c.recv(64):
                        break
            except OSError:
                pass
            time.sleep(0.1)
        self.d = Driver()

    def tearDown(self):
        self.d.close()
        self.server.terminate()
        self.server.wait(60)
        self.folder.cleanup()

    def test_equal(self):
        text = "Hello, who are you?"
        local = json.loads(subprocess.run([GLIM, "run", "-p", text, "--json", "--cpu", "ref", "--kv", "f32", "--temperature", "0",
                                           "-n", "40"], check=True, capture_output=True).stdout)
        url = f"http://127.0.0.1:{self.port}"
        for provider, base in (("zhipu", url + "/api/paas/v4"), ("openai", url + "/v1"), ("ollama", url)):
            r = self.d("new", provider=provider, base_url=base, api_key="EMPTY")
            self.assertEqual("OK", r["rc"], r["msg"])
            for whole in (False, True):
                r = self.d("chat", model="glm-4.7-flash", messages=user(text), whole=whole, temperature=0, max_tokens=40)
                self.assertEqual(("OK", ""), (r["rc"], r["msg"]), provider)
                self.assertEqual((local["text"], local["reasoning"]), (r["text"], r["reasoning"]), (provider, whole))
                stop = r["events"][-1]
                self.assertEqual((local["usage"]["prompt_tokens"], local["usage"]["completion_tokens"]),
                                 (stop["n_prompt"], stop["n_completion"]), (provider, whole))
            self.assertTrue(self.d("models")["names"], provider)
        self.d("new", provider="zhipu", base_url=url + "/api/paas/v4", api_key="EMPTY")
        self.assertEqual(local["usage"]["prompt_tokens"], self.d("count", messages=user(text))["n"])
        t = self.d("later", messages=user(text), temperature=0, max_tokens=40)
        self.assertEqual("OK", t["rc"], t["msg"])
        done = self.d("wait", id=t["id"], first_s=0.1, limit_s=60)
        self.assertEqual("OK", done["rc"], done["msg"])
        message = json.loads(done["body"])["choices"][0]["message"]
        self.assertEqual(local["text"], message["content"] or "")
        r = self.d("chat", model="no-such-model", messages=user(text))
        self.assertEqual(("REMOTE", "request", "1211"), (r["rc"], r["fault"], r["code"]))


CLASSES = {"Samples": Samples, "Refusals": Refusals, "Streams": Streams, "Platform": Platform_, "Addresses": Addresses,
           "Waiting": Waiting, "Crowd": Crowd, "OwnServer": OwnServer}

if __name__ == "__main__":
    name, DRIVER, GLIM = sys.argv[1:4]
    load = unittest.defaultTestLoader
    tests = load.loadTestsFromNames(sys.argv[4:], CLASSES[name]) if sys.argv[4:] else load.loadTestsFromTestCase(CLASSES[name])
    sys.exit(not unittest.TextTestRunner(verbosity=2).run(tests).wasSuccessful())
