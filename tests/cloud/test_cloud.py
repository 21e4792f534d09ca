#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""glim cloud, and run and chat with --where, against the stand-in of the platform; standard library only.

  test_cloud.py GLIM [unittest's arguments]

Nothing leaves loopback. After each test the log of the stand-in must hold no request that a careful client would not have
sent, and no output may hold a key."""
import base64
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support", "platform"))
from standin import Platform  # noqa: E402

GLIM = None
KEY = "testid.testsecret"
CHAT = "*/chat/completions"
SLOW = int(os.environ.get("GLIM_SLOW", "1"))


def png():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b""))


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def json(self):
        return json.loads(self.out)

    def lines(self):
        return self.out.splitlines()


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.platform = Platform(polls=0)

    @classmethod
    def tearDownClass(cls):
        cls.platform.stop()

    def setUp(self):
        self.platform.reset()
        self.folder = tempfile.TemporaryDirectory()
        self.dir = self.folder.name
        self.careless = False  # a test of what the server refuses

    def tearDown(self):
        log = self.platform.log()
        self.folder.cleanup()
        self.assertEqual([e["bug"] for e in log if e.get("bug")], [])
        if not self.careless:
            self.assertEqual([p for e in log for p in e["problems"] or []], [])

    def environment(self, **env):
        base = {"PATH": os.environ["PATH"], "HOME": self.dir, "LC_ALL": "C.UTF-8", "ZHIPUAI_API_KEY": KEY,
                "ZHIPUAI_BASE_URL": self.platform.paas}
        base.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
        base.update(env)
        return {k: v for k, v in base.items() if v is not None}

    def glim(self, *args, status=0, stdin="", env=None, key=KEY, limit=None):
        p = subprocess.run([GLIM, *args], input=stdin.encode(), capture_output=True, cwd=self.dir, timeout=60 * SLOW,
                           env=self.environment(**(env or {})),
                           preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))))
        r = Result(p.returncode, p.stdout.decode(), p.stderr.decode())
        self.assertEqual(r.status, status, f"{args}: {r.out}{r.err}")
        self.assertNotIn(key, r.out + r.err)
        return r

    def cloud(self, *args, **more):
        return self.glim("cloud", *args, **more)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, data, mode=0o644):
        with open(self.path(name), "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        os.chmod(self.path(name), mode)
        return name

    def sent(self, path=CHAT, i=-1):
        return self.platform.log(path)[i]["json"]

    def names(self):
        return sorted(os.listdir(self.dir))


class Chat(Case):
    def test_streams_thought_and_answer_apart(self):
        r = self.cloud("chat", "-p", "hello")
        self.assertEqual((r.out, r.err), ("echo: hello", "thinking about: hello\n"))
        self.assertTrue(self.sent()["stream"])
        self.assertEqual(self.sent()["messages"], [{"role": "user", "content": "hello"}])

    def test_thought_is_grey_on_a_terminal(self):
        ours, theirs = os.openpty()
        p = subprocess.run([GLIM, "cloud", "chat", "-p", "hello"], stdout=subprocess.PIPE, stderr=theirs, env=self.environment(TERM="xterm"))
        os.close(theirs)
        self.assertEqual(os.read(ours, 10000), b"\x1b[90mthinking about: hello\x1b[0m\r\n\r\n")
        os.close(ours)
        self.assertEqual((p.returncode, p.stdout), (0, b"echo: hello"))

    def test_standard_input_and_system(self):
        self.assertEqual(self.cloud("chat", "--system", "Be brief.", "--think", "off", stdin="say yes\n").out, "yes")
        self.assertEqual([m["role"] for m in self.sent()["messages"]], ["system", "user"])
        self.assertEqual(self.sent()["thinking"], {"type": "disabled"})

    def test_json(self):
        r = self.cloud("chat", "-p", "say 中文", "--json").json()
        self.assertEqual(list(r), ["text", "reasoning", "tool_calls", "finish_reason", "usage", "timings", "where"])
        self.assertEqual((r["text"], r["reasoning"], r["finish_reason"], r["where"]),
                         ("中文", "thinking about: say 中文", "stop", "zhipu"))
        self.assertGreater(r["usage"]["total_tokens"], 0)

    def test_pieces_come_as_they_are_made(self):
        self.platform.set(chunk_delay_ms=300)
        p = subprocess.Popen([GLIM, "cloud", "chat", "--think", "off", "-p", "say a b c d e f"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, env=self.environment(), cwd=self.dir)
        first = os.read(p.stdout.fileno(), 100)
        self.assertIsNone(p.poll())
        self.assertLess(len(first), len(b"a b c d e f"))
        rest = p.stdout.read()
        p.stdout.close()
        self.assertEqual((first + rest, p.wait()), (b"a b c d e f", 0))

    def test_options_are_members(self):
        self.cloud("chat", "-p", "x", "-m", "glm-4.6", "--temperature", "0.5", "--top-p", "0.8", "-n", "7", "--stop", "END",
                   "--field", "user_id=user_123", "--field", 'sensitive_word_check={"type":"ALL","status":"DISABLE"}')
        s = self.sent()
        self.assertEqual((s["model"], s["temperature"], s["top_p"], s["max_tokens"], s["stop"], s["user_id"]),
                         ("glm-4.6", 0.5, 0.8, 7, ["END"], "user_123"))
        self.assertEqual(s["sensitive_word_check"], {"type": "ALL", "status": "DISABLE"})

    def test_settings_name_the_model(self):
        self.cloud("chat", "-p", "x", env={"GLIM_CLOUD_MODEL": "glm-4.5", "GLIM_MODEL": "/models/here.gguf"})
        self.assertEqual(self.sent()["model"], "glm-4.5")

    def test_role_play(self):
        meta = {"bot_name": "Xiaoya", "bot_info": "A singer.", "user_name": "Director", "user_info": "I make films."}
        r = self.cloud("chat", "-m", "charglm-3", "-p", "Hello", "--field", "meta=" + json.dumps(meta))
        self.assertEqual(r.out, "Xiaoya to Director: Hello")

    def test_pictures(self):
        self.write("a.png", png())
        r = self.cloud("chat", "-m", "glm-4v", "-p", "What is this?", "--image", "a.png", "--image", "https://example.org/b.jpg")
        self.assertEqual(r.out, f"echo: What is this? [image {len(png())} bytes] [image]")
        parts = self.sent()["messages"][0]["content"]
        self.assertEqual(parts[0], {"type": "text", "text": "What is this?"})
        self.assertEqual(base64.b64decode(parts[1]["image_url"]["url"].partition(",")[2] or parts[1]["image_url"]["url"]), png())

    def test_messages_with_pictures_and_calls(self):
        self.write("m.json", json.dumps([
            {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "http://x/a.png"}}]},
            {"role": "assistant", "content": "seen"}, {"role": "user", "content": "say more"}]))
        self.assertEqual(self.cloud("chat", "-m", "glm-4v", "--messages", "m.json").out, "more")
        self.assertEqual(self.sent()["messages"][0]["content"][1]["image_url"], {"url": "http://x/a.png"})

    def test_tools(self):
        self.write("t.json", json.dumps([
            {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}},
            {"type": "web_search", "web_search": {"enable": False}}]))
        r = self.cloud("chat", "--tools", "t.json", "--think", "off", "-p", 'call weather {"city": "Paris"}')
        self.assertEqual(json.loads(r.out), {"name": "weather", "arguments": {"city": "Paris"}})
        self.assertEqual([t["type"] for t in self.sent()["tools"]], ["function", "web_search"])
        r = self.cloud("chat", "--tools", "t.json", "--json", "-p", 'call weather {"city": "Paris"}').json()
        self.assertEqual((r["finish_reason"], json.loads(r["tool_calls"][0]["function"]["arguments"])), ("tool_calls", {"city": "Paris"}))

    def test_tokens(self):
        self.assertEqual(self.cloud("tokens", "-p", "a b c").out, "4\n")

    def test_providers(self):
        r = self.cloud("--provider", "openai", "--base-url", self.platform.v1, "chat", "-m", "glm-4.7", "-p", "say hi", "--json",
                       env={"OPENAI_API_KEY": KEY, "ZHIPUAI_API_KEY": None}).json()
        self.assertEqual((r["text"], r["where"]), ("hi", "openai"))
        r = self.cloud("chat", "--provider=ollama", "--base-url", self.platform.url, "-m", "glm-4.7-flash", "-p", "say hi", "--json",
                       env={"ZHIPUAI_API_KEY": None}).json()
        self.assertEqual((r["text"], r["where"]), ("hi", "ollama"))
        entry = self.platform.log("/api/chat")[-1]
        self.assertNotIn("authorization", [k.lower() for k, _ in entry["headers"]])

    def test_a_full_output_is_an_error(self):
        with open("/dev/full", "w") as full:
            p = subprocess.run([GLIM, "cloud", "chat", "-p", "hello"], stdout=full, stderr=subprocess.PIPE, env=self.environment())
        self.assertEqual(p.returncode, 4)


class Errors(Case):
    def test_each_class(self):
        self.careless = True
        cases = [  # a step, exit status, what the line says
            ({"status": 400, "code": "1214"}, 16, ["request, status 400, code 1214", "(request "]),
            ({"status": 400, "code": "1211"}, 16, ["code 1211", "glim cloud models"]),
            ({"status": 401, "code": "1004"}, 16, ["auth, status 401, code 1004", "ZHIPUAI_API_KEY"]),
            ({"status": 429, "code": "1302"}, 16, ["limit, status 429, code 1302", "too many requests at once"]),
            ({"status": 429, "code": "1113"}, 16, ["limit, status 429, code 1113", "no credit"]),
            ({"status": 500}, 16, ["internal, status 500", "try again later"]),
            ({"status": 503}, 16, ["overloaded, status 503"]),
            ({"status": 418, "code": "x"}, 16, ["status 418"]),
            ({"close": "end"}, 14, ["connection:", "check the network"]),
            ({"stream_error": {"after": 2, "code": "1234", "message": "broke"}}, 16, ["stream", "code 1234", "broke"]),
            ({"status": 401, "code": "1003"}, 16, ["auth, status 401, code 1003", "clock"]),
            ({"body": "<html>", "content_type": "text/html"}, 5, ["shape:", "--base-url"]),
            ({"broken_json": True}, 5, ["shape:"]),
            ({"silent": True}, 15, ["timeout:", "--timeout"]),
        ]
        for step, status, says in cases:
            with self.subTest(step=step):
                self.platform.reset()
                self.platform.script(dict(step, path=CHAT, times=0))
                r = self.cloud("chat", "--think", "off", "-p", "say a b c d", "--retries", "0", "--timeout", "0.5" if "silent" in step else "20", status=status)
                line = r.err.splitlines()[-1]
                self.assertTrue(line.startswith("glim cloud chat: "), r.err)
                for text in says:
                    self.assertIn(text, line)
                self.assertEqual(len(self.platform.log(CHAT)), 1)

    def test_tries_are_told(self):
        self.platform.script({"path": CHAT, "status": 500, "times": 1}, {"path": CHAT, "status": 429, "code": "1302", "times": 1})
        r = self.cloud("chat", "--think", "off", "-p", "say done")
        self.assertEqual(r.out, "done")
        lines = r.err.splitlines()
        self.assertEqual(len(lines), 2, r.err)
        self.assertRegex(lines[0], r"^glim cloud chat: internal, status 500.*; again in [\d.]+ s \(try 2 of 4\)$")
        self.assertRegex(lines[1], r"^glim cloud chat: limit, status 429, code 1302.*; again in [\d.]+ s \(try 3 of 4\)$")
        self.assertEqual(len(self.platform.log(CHAT)), 3)

    def test_what_does_not_heal_is_not_tried_again(self):
        self.platform.script({"path": CHAT, "status": 429, "code": "1308", "message": "reset at 2026-12-01", "times": 0})
        r = self.cloud("chat", "-p", "x", status=16)
        self.assertIn("reset at 2026-12-01", r.err)
        self.assertEqual(len(self.platform.log(CHAT)), 1)

    def test_text_of_a_server_drives_no_terminal(self):
        self.platform.script({"path": CHAT, "status": 400, "code": "1214", "message": "a\x1b[2Jb\nc", "times": 0})
        r = self.cloud("chat", "-p", "x", status=16)
        self.assertNotIn("\x1b", r.err)
        self.assertEqual(len(r.err.splitlines()), 1)

    def test_an_answer_that_broke_off_is_shown_and_reported(self):
        self.platform.script({"path": CHAT, "cut_after": 700, "times": 1})
        r = self.cloud("chat", "--think", "off", "-p", "repeat 50 word", status=14)
        self.assertTrue(r.out.startswith("word"), r.out)

    def interrupt(self, *args, path=CHAT, status=11):
        """Ctrl-C a moment after the platform was first asked for path: nothing that this is used for is over by then."""
        p = subprocess.Popen([GLIM, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=self.environment(), cwd=self.dir)
        until = time.monotonic() + 20 * SLOW
        while not self.platform.log(path) and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.4)
        t = time.monotonic()
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=20 * SLOW)
        self.assertEqual(p.returncode, status, err)
        self.assertLess(time.monotonic() - t, 2 * SLOW)
        return out.decode(), err.decode()

    def test_ctrl_c(self):
        for step in ({"silent": True}, {"chunk_delay_ms": 300}, {"status": 500}):
            with self.subTest(step=step):  # before an answer, within it, between two tries
                self.platform.reset()
                self.platform.script(dict(step, path=CHAT, times=0))
                out, err = self.interrupt("cloud", "chat", "-p", "repeat 100 x")
                self.assertIn("cancelled", err.splitlines()[-1])

    def test_ctrl_c_while_a_film_is_made(self):
        self.platform.set(polls=1000)
        out, err = self.interrupt("cloud", "video", "a film", path="*/videos/generations")
        self.assertIn("goes on at the server: glim cloud task", err)

    def test_ctrl_c_of_run(self):
        self.platform.script({"path": CHAT, "chunk_delay_ms": 300, "times": 0})
        out, err = self.interrupt("run", "--where", "cloud", "--think", "off", "-p", "repeat 100 x", "--json")
        self.assertEqual(json.loads(out)["finish_reason"], "cancelled")


class Media(Case):
    def test_picture(self):
        r = self.cloud("image", "a cat", "--size", "1024x1024", "--quality", "hd", "--field", "user_id=user_1")
        self.assertRegex(r.out, r"^http://127\.0\.0\.1:\d+/media/\S+\.png\n$")
        s = self.sent("*/images/generations")
        self.assertEqual({k: s[k] for k in ("prompt", "size", "quality", "user_id")},
                         {"prompt": "a cat", "size": "1024x1024", "quality": "hd", "user_id": "user_1"})
        self.assertEqual(self.names(), [])

    def test_picture_to_a_file(self):
        r = self.cloud("image", "a cat", "-o", "cat.png")
        self.assertIn('wrote "cat.png"', r.err)
        with open(self.path("cat.png"), "rb") as f:
            first = f.read()
        self.assertTrue(first.startswith(b"\x89PNG"))
        entry = self.platform.log("/media/*")[-1]
        self.assertEqual(entry["listener"], "files")
        self.assertNotIn("authorization", [k.lower() for k, _ in entry["headers"]])
        n = len(self.platform.log())
        self.cloud("image", "a dog", "-o", "cat.png", status=8)
        self.assertEqual(len(self.platform.log()), n)  # nothing was asked, nothing paid
        self.cloud("image", "a dog", "-o", "cat.png", "--force")
        with open(self.path("cat.png"), "rb") as f:
            self.assertNotEqual(f.read(), first)

    def test_names_of_the_server_are_no_paths(self):
        self.platform.script({"path": "/media/*", "disposition": 'attachment; filename="../../evil.sh"', "times": 0})
        os.mkdir(self.path("out"))
        self.cloud("image", "a cat", "--out-dir", "out")
        url = self.cloud("image", "a cat").out.strip()
        for tail in ("?name=../../evil.sh", "?/../evil.sh", "?x=.sh"):
            self.platform.script({"path": "*/images/generations", "body": json.dumps({"created": 1, "data": [{"url": url + tail}]})})
            self.cloud("image", "a cat", "--out-dir", "out")
        self.assertEqual(self.names(), ["out"])
        self.assertEqual(sorted(os.listdir(self.path("out"))), [f"image-{i}.png" for i in range(1, 5)])

    def test_control_characters_of_an_address(self):
        self.platform.script({"path": "*/images/generations", "body": json.dumps({"created": 1, "data": [{"url": "http://x/\x1b[2J\n.png"}]})})
        p = subprocess.run([GLIM, "cloud", "image", "x"], capture_output=True, env=self.environment())
        self.assertNotIn(b"\x1b", p.stdout + p.stderr)

    def test_film_with_polling(self):
        self.platform.set(polls=1)
        r = self.cloud("video", "a sunset", "--size", "1920x1080", "--quality", "quality", "--field", "fps=30",
                       "--field", "with_audio=true", "-o", "film.mp4", "--json").json()
        self.assertEqual((r["state"], len(r["files"]), r["files"][0]["path"]), ("done", 1, "film.mp4"))
        self.assertEqual(os.path.getsize(self.path("film.mp4")), 4096)
        s = self.sent("*/videos/generations")
        self.assertEqual((s["fps"], s["with_audio"]), (30, True))
        self.assertEqual(len(self.platform.log("*/async-result/*")), 2)

    def test_waiting_is_shown_on_a_terminal(self):
        self.platform.set(polls=1)
        ours, theirs = os.openpty()
        p = subprocess.run([GLIM, "cloud", "video", "a sunset"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs,
                           env=self.environment(TERM="xterm"), timeout=60 * SLOW)
        os.close(theirs)
        shown = os.read(ours, 10000)
        os.close(ours)
        self.assertEqual(p.returncode, 0)
        self.assertIn(b"waiting for the result: ", shown)
        self.assertTrue(shown.endswith(b"\r\x1b[K"), shown)  # and taken away again

    def test_film_later(self):
        self.platform.set(polls=1)
        task = self.cloud("video", "a sunset", "--no-wait").out.strip()
        self.assertTrue(task)
        self.assertEqual(self.cloud("task", task, "--no-wait").out.strip(), task)
        self.assertIn("/media/", self.cloud("task", task, "-o", "film.mp4").out)
        self.assertEqual(self.names(), ["film.mp4"])

    def test_film_that_failed(self):
        self.platform.script({"path": "*/videos/generations", "outcome": "FAIL", "polls": 0})
        self.assertIn("failed", self.cloud("video", "x", "-o", "film.mp4", status=16).err)
        self.assertEqual(self.names(), [])

    def test_asynchronous_chat(self):
        task = self.cloud("raw", "POST", "/async/chat/completions", "-d", json.dumps(
            {"model": "glm-4.7-flash", "messages": [{"role": "user", "content": "say later"}]})).json()["id"]
        self.assertEqual(self.cloud("task", task).json()["choices"][0]["message"]["content"], "later")

    def test_files_are_whole_or_not_there(self):
        self.write("old.mp4", "old")
        for step, status in (({"cut_after": 100}, None), ({"length_off": 50}, None), ({"status": 404}, None), ({}, 4)):
            for out in (("-o", "new.mp4"), ("-o", "old.mp4", "--force")):
                with self.subTest(step=step, out=out):
                    self.platform.script(dict(step, path="/media/*", times=0))
                    p = subprocess.run([GLIM, "cloud", "video", "x", "--retries", "0", *out], capture_output=True, cwd=self.dir,
                                       env=self.environment(), timeout=60 * SLOW,
                                       preexec_fn=None if step else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)))
                    self.assertNotIn(p.returncode, (0, 1, 2))
                    if status:
                        self.assertEqual(p.returncode, status, p.stderr)
                    self.assertIn(b"/media/", p.stdout)  # the address is known all the same
                    self.assertEqual(self.names(), ["old.mp4"])
                    with open(self.path("old.mp4")) as f:
                        self.assertEqual(f.read(), "old")
                    self.platform.reset()

    def test_a_folder_that_may_not_be_written(self):
        if os.geteuid() == 0:
            self.skipTest("root may write everywhere")
        os.mkdir(self.path("shut"), 0o500)
        self.cloud("image", "x", "-o", "shut/a.png", status=4)
        self.assertEqual(self.platform.log(), [])


class Texts(Case):
    def test_embed(self):
        r = self.cloud("embed", "hello", "--dimensions", "256").json()
        self.assertEqual((r["index"], len(r["embedding"])), (0, 256))
        self.assertGreater(r["tokens"], 0)
        self.assertAlmostEqual(sum(x * x for x in r["embedding"]), 1, places=4)
        many = [json.loads(line) for line in self.cloud("embed", stdin=json.dumps([f"text {i}" for i in range(70)])).lines()]
        self.assertEqual([v["index"] for v in many], list(range(70)))
        self.assertEqual([len(e["json"]["input"]) for e in self.platform.log("*/embeddings")][1:], [64, 6])
        one = self.cloud("embed", "text 69").json()
        self.assertEqual(one["embedding"], many[69]["embedding"])
        for bad in ("5", "[]", '["a",5]', "{"):
            self.cloud("embed", stdin=bad, status=8)

    def test_rerank(self):
        r = [json.loads(line) for line in self.cloud("rerank", "--query", "red car", stdin='["blue sky","red car","red sky"]').lines()]
        self.assertEqual([x["index"] for x in r], [0, 1, 2])
        self.assertEqual([x["score"] for x in r], [0, 1, 0.5])

    def test_search_and_read(self):
        self.assertEqual(len([x for x in self.cloud("search", "news", "--count", "3").lines() if x.startswith("https://")]), 3)
        self.assertEqual(len(self.cloud("search", "news", "--json", "--count", "2").json()["search_result"]), 2)
        self.assertIn("Text of the page.", self.cloud("read", "https://example.org/").out)
        self.assertIn("reader_result", self.cloud("read", "https://example.org/", "--json").json())

    def test_models(self):
        self.assertIn("glm-4.7-flash", self.cloud("models").lines())


class Files(Case):
    def lines_of(self, *texts):
        return "".join(json.dumps({"custom_id": f"r{i}", "method": "POST", "url": "/v4/chat/completions", "body": {
            "model": "glm-4.7-flash", "messages": [{"role": "user", "content": t}]}}) + "\n" for i, t in enumerate(texts))

    def test_files(self):
        self.write("in.jsonl", self.lines_of("say a"))
        name = self.cloud("files", "upload", "in.jsonl", "--purpose", "batch").out.strip()
        self.assertIn(name, self.cloud("files", "list").out)
        self.assertEqual(self.cloud("files", "list", "--purpose", "batch", "--json").json()[0]["filename"], "in.jsonl")
        self.cloud("files", "get", name, "-o", "back.jsonl")
        with open(self.path("back.jsonl")) as f:
            self.assertEqual(f.read(), self.lines_of("say a"))
        self.cloud("files", "get", name, "-o", "back.jsonl", status=8)
        self.cloud("files", "get", name, "-o", "back.jsonl", "--force", limit=10, status=4)
        with open(self.path("back.jsonl")) as f:
            self.assertEqual(f.read(), self.lines_of("say a"))
        self.assertEqual(self.cloud("files", "delete", name).out.strip(), name)
        self.assertEqual(self.cloud("files", "list").out, "")
        for bad in ("../x", "a/b", "", "a?b"):
            n = len(self.platform.log())
            self.cloud("files", "delete", bad, status=8)
            self.assertEqual(len(self.platform.log()), n)

    def test_batch(self):
        self.write("in.jsonl", self.lines_of("say a", "say b"))
        batch = self.cloud("batch", "create", "in.jsonl").out.strip()
        self.assertIn(batch, self.cloud("batch", "get", batch).out)
        r = self.cloud("batch", "wait", batch, "-o", "out.jsonl", "--json").json()
        self.assertEqual((r["status"], r["request_counts"]["completed"]), ("completed", 2))
        with open(self.path("out.jsonl")) as f:
            answers = {x["custom_id"]: x["response"]["body"]["choices"][0]["message"]["content"] for x in map(json.loads, f)}
        self.assertEqual(answers, {"r0": "a", "r1": "b"})

    def test_batch_of_a_file_there(self):
        self.write("in.jsonl", self.lines_of("say a"))
        name = self.cloud("files", "upload", "in.jsonl", "--purpose", "batch").out.strip()
        r = self.cloud("batch", "create", name, "--json").json()
        self.assertEqual(r["input_file_id"], name)
        self.assertIn("cancel", self.cloud("batch", "cancel", r["id"]).out)
        self.assertEqual(self.cloud("batch", "wait", r["id"], "-o", "out.jsonl", status=16).err.count("\n"), 1)
        self.assertEqual(self.names(), ["in.jsonl"])

    def test_names_of_the_server_are_made_safe(self):
        self.platform.script({"path": "*/files", "method": "GET", "body": json.dumps({"object": "list", "data": [
            {"id": "file-1", "object": "file", "bytes": 1, "created_at": 1, "filename": "a\x1b[2J\nb", "purpose": "batch"}]})})
        out = self.cloud("files", "list").out
        self.assertNotIn("\x1b", out)
        self.assertEqual(out.count("\n"), 1)


class Raw(Case):
    def test_get_and_post(self):
        self.assertEqual(self.cloud("raw", "get", "/files").json()["data"], [])
        body = {"model": "moderation", "input": "unsafe"}
        self.assertEqual(self.cloud("raw", "POST", "/moderations", "-d", json.dumps(body)).json()["result_list"][0]["risk_level"], "REJECT")
        self.write("b.json", json.dumps(body))
        self.cloud("raw", "POST", "/moderations", "-d", "@b.json")
        self.assertEqual(self.cloud("raw", "POST", "/moderations", "-d", "@-", stdin=json.dumps(body)).status, 0)
        self.assertEqual([e["json"] for e in self.platform.log("*/moderations")], [body] * 3)

    def test_form(self):
        self.write("f.jsonl", "{}\n")
        r = self.cloud("raw", "POST", "/files", "-F", "purpose=batch", "-F", "file=@f.jsonl").json()
        self.assertEqual(r["filename"], "f.jsonl")
        self.assertEqual([p["name"] for p in self.platform.log("*/files")[-1]["parts"]], ["purpose", "file"])

    def test_stream(self):
        r = self.cloud("raw", "POST", "/chat/completions", "--stream", "-d", json.dumps(
            {"model": "glm-4.7-flash", "stream": True, "thinking": {"type": "disabled"}, "messages": [{"role": "user", "content": "say a b"}]}))
        events = [json.loads(line) for line in r.lines() if line != "[DONE]"]
        self.assertEqual("".join(e["choices"][0]["delta"].get("content") or "" for e in events), "a b")

    def test_bytes_to_a_file(self):
        self.cloud("raw", "POST", "/audio/speech", "-o", "a.wav", "-d", json.dumps({"model": "glm-tts", "input": "hi", "voice": "tongtong"}))
        with open(self.path("a.wav"), "rb") as f:
            self.assertTrue(f.read().startswith(b"RIFF"))

    def test_paths_stay_below_the_address(self):
        self.careless = True
        for bad in ("files", "/../v1/models", "/a b", "//evil.example/x", "http://evil.example/", "/files#x"):
            with self.subTest(path=bad):
                r = subprocess.run([GLIM, "cloud", "raw", "GET", bad, "--retries", "0"], capture_output=True, env=self.environment())
                self.assertNotEqual(r.returncode, 0)
                for entry in self.platform.log():
                    self.assertTrue(entry["path"].startswith("/api/paas/v4/"), entry["path"])

    def test_errors(self):
        self.assertIn("code 1222", self.cloud("raw", "GET", "/nothing", status=16).err)


class Keys(Case):
    def key_used(self):
        return self.platform.log(CHAT)[-1]["key"]

    def test_each_variable(self):
        for name in ("ZHIPUAI_API_KEY", "ZAI_API_KEY", "GLM_FLASH_API_KEY"):
            self.cloud("chat", "-p", "x", env={"ZHIPUAI_API_KEY": None, name: KEY})
            self.assertEqual(self.key_used(), "testid")

    def test_files_with_a_key(self):
        self.write("k", KEY + "\n", 0o600)
        self.cloud("chat", "-p", "x", "--key-file", "k", env={"ZHIPUAI_API_KEY": "other.key"})
        self.write("k", KEY + "\n", 0o640)
        self.assertIn("chmod 600", self.cloud("chat", "-p", "x", "--key-file", "k", status=4).err)

    def test_the_usual_file(self):
        os.makedirs(self.path(".config/glim"))
        self.write(".config/glim/cloud.key", KEY, 0o600)
        self.cloud("chat", "-p", "x", env={"ZHIPUAI_API_KEY": None})
        self.cloud("chat", "-p", "x", env={"ZHIPUAI_API_KEY": "your-api-key"}, key="your-api-key")  # the environment first
        self.assertNotEqual(self.key_used(), "testid")
        # It is a key of the platform: nobody else gets it.
        self.cloud("--provider", "openai", "--base-url", "https://api.openai.com/v1", "models", env={"ZHIPUAI_API_KEY": None}, status=10)

    def test_token_instead_of_the_key(self):
        self.cloud("chat", "-p", "x", "--jwt", "on")
        entry = self.platform.log(CHAT)[-1]
        self.assertEqual(entry["key"], "testid")
        self.assertNotIn(KEY, json.dumps(entry["headers"]))

    def test_file_of_variables_only_when_named(self):
        self.write(".env", f"ZHIPUAI_API_KEY={KEY}\nZHIPUAI_BASE_URL='{self.platform.paas}'\n")
        none = {"ZHIPUAI_API_KEY": None, "ZHIPUAI_BASE_URL": None}
        self.cloud("chat", "-p", "x", env=none, status=10)
        self.cloud("chat", "-p", "x", "--env-file", ".env", env=none)
        self.cloud("chat", "-p", "x", env=dict(none, GLIM_ENV_FILE=".env"))
        self.cloud("chat", "-p", "x", "--env-file", ".env", "--retries", "0", env=dict(none, ZHIPUAI_API_KEY="wrong.key"), status=16)
        self.assertEqual(len(self.platform.log(CHAT)), 3)

    def test_a_key_is_never_shown(self):
        self.write("k.env", f"ZHIPUAI_API_KEY={KEY}\n{KEY}\n")
        self.cloud("models", "--env-file", "k.env", env={"ZHIPUAI_API_KEY": None}, status=8)
        self.glim("config", "show")
        self.cloud("models", "--log", "debug")
        self.platform.script({"path": CHAT, "status": 400, "times": 0})
        self.cloud("chat", "-p", "x", "--log", "debug", status=16)


class Where(Case):
    HERE = ("-n", "1", "--seed", "1", "--think", "off", "--json")

    def where(self, *args, **more):
        return self.glim("run", "-p", "say hi", *self.HERE, *args, **more).json()["where"]

    def test_variables_choose(self):
        cases = [({}, "local"), ({"GLM_FLASH_ENABLED": "true"}, "local"), ({"USE_NPU": "false"}, "local"),
                 ({"GLM_FLASH_ENABLED": "true", "USE_NPU": "false"}, "zhipu"), ({"GLM_FLASH_ENABLED": "1", "USE_NPU": "0"}, "zhipu"),
                 ({"GLM_FLASH_ENABLED": "YES", "USE_NPU": "Off"}, "zhipu"), ({"GLM_FLASH_ENABLED": "on", "USE_NPU": "no"}, "zhipu"),
                 ({"GLM_FLASH_ENABLED": "False", "USE_NPU": "n"}, "local"), ({"GLM_FLASH_ENABLED": "t", "USE_NPU": "yes"}, "local")]
        for env, where in cases:
            with self.subTest(env=env):
                self.assertEqual(self.where(env=env), where)

    def test_where_says_it_outright(self):
        both = {"GLM_FLASH_ENABLED": "true", "USE_NPU": "false"}
        self.assertEqual(self.where("--where", "local", env=both), "local")
        self.assertEqual(self.where("--where", "cloud"), "zhipu")
        self.assertEqual(self.where("--where", "auto", env=both), "zhipu")
        self.assertEqual(self.where(env={"GLIM_WHERE": "cloud"}), "zhipu")

    def test_the_file_of_variables(self):
        self.write(".env", f"GLM_FLASH_API_KEY={KEY}\nGLM_FLASH_ENABLED=true\nUSE_NPU=false\n")
        env = {"ZHIPUAI_API_KEY": None}
        self.assertEqual(self.where(env=env), "local")
        self.assertEqual(self.where("--env-file", ".env", env=env), "zhipu")

    def test_who_answered_is_said(self):
        r = self.glim("run", "--where", "cloud", "--think", "off", "-p", "say hi", "-m", "glm-4.6")
        self.assertEqual((r.out, r.err), ("hi", f'glim run: answered by "glm-4.6" at zhipu ({self.platform.paas})\n'))
        self.assertNotIn("answered", self.glim("run", "-p", "hi", "-n", "1").err)

    def test_a_name_there_may_be_a_folder_here(self):
        os.mkdir(self.path("glm-4.6"))
        self.assertEqual(self.where("--where", "cloud", "-m", "glm-4.6"), "zhipu")
        self.glim("run", "-p", "x", "-m", "glm-4.6", env={"GLM_FLASH_ENABLED": "true", "USE_NPU": "false"}, status=2)

    def test_other_providers(self):
        self.assertEqual(self.where("--where", "cloud", "--provider", "ollama", "--base-url", self.platform.url, "-m", "glm-4.7-flash"), "ollama")

    def test_chat(self):
        r = self.glim("chat", "--where", "cloud", "--think", "off", "--system", "Be brief.", stdin="say one\nsay two\n/stats\n/reset\nsay three\n")
        self.assertEqual(r.out, "one\ntwo\nthree\n")
        self.assertIn("the answers come from zhipu", r.err)
        turns = [[m["role"] for m in e["json"]["messages"]] for e in self.platform.log(CHAT)]
        self.assertEqual(turns, [["system", "user"], ["system", "user", "assistant", "user"], ["system", "user"]])
        self.assertEqual(self.sent(i=1)["messages"][2]["content"], "one")

    def test_chat_goes_on_after_an_error(self):
        self.platform.script({"path": CHAT, "status": 400, "code": "1301", "times": 1})
        r = self.glim("chat", "--where", "cloud", "--think", "off", stdin="say one\nsay two\n", status=16)
        self.assertEqual(r.out, "two\n")
        self.assertEqual(len(self.sent()["messages"]), 1)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    GLIM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
