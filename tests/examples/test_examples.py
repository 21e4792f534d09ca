#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Installs a build into a folder of its own, builds examples/ against that tree with pkg-config alone, and runs them against the
stand-in of the platform and the bundled model; standard library only. Exit 77 where pkg-config is not there.

  test_examples.py BUILD CC CMAKE [unittest's arguments]"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support", "platform"))
from standin import Platform  # noqa: E402

BUILD = CC = CMAKE = None
KEY = "testid.testsecret"
NEEDS = {"infer": ["glim", "glim-client"], "s2": ["glim-client"], "s3": ["glim-client"]}


def call(*args, **more):
    p = subprocess.run(args, capture_output=True, text=True, timeout=120, **more)
    if p.returncode:
        raise AssertionError(f"{' '.join(args)}: {p.returncode}\n{p.stdout}{p.stderr}")
    return p.stdout


class Examples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(dir=BUILD, prefix="examples-")
        tree = os.path.join(cls.folder.name, "tree")
        # DESTDIR: the settings below /etc go into the folder too.
        call(CMAKE, "--install", BUILD, env=dict(os.environ, DESTDIR=tree))
        found = [d for d, _, files in os.walk(tree) if "glim-client.pc" in files]
        assert len(found) == 1, found
        env = dict(os.environ, PKG_CONFIG_PATH=found[0])
        for name, packages in NEEDS.items():
            flags = call("pkg-config", "--cflags", "--libs", *packages, env=env).split()
            assert not any(ROOT + "/include" in f or ROOT + "/src" in f for f in flags), flags
            call(CC, "-std=c11", "-Wall", "-Wextra", "-Werror", os.path.join(ROOT, "examples", name + ".c"), *flags,
                 "-o", os.path.join(cls.folder.name, name))
        cls.platform = Platform(polls=0)

    @classmethod
    def tearDownClass(cls):
        cls.platform.stop()
        cls.folder.cleanup()

    def setUp(self):
        self.platform.reset()

    def tearDown(self):
        log = self.platform.log()
        self.assertEqual([p for e in log for p in e["problems"] or []], [])
        self.assertEqual([e["bug"] for e in log if e.get("bug")], [])

    def run_example(self, name, *args, status=0, **env):
        base = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "ZHIPUAI_API_KEY": KEY, "ZHIPUAI_BASE_URL": self.platform.paas,
                "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": self.platform.v1, "OLLAMA_HOST": self.platform.url}
        p = subprocess.run([os.path.join(self.folder.name, name), *args], capture_output=True, text=True, cwd=ROOT, timeout=100, env=dict(base, **env))
        self.assertEqual(p.returncode, status, p.stdout + p.stderr)
        self.assertNotIn(KEY, p.stdout + p.stderr)
        return p

    def test_infer_in_the_cloud_and_at_ollama(self):
        for backend, path in (("cloud", "*/paas/v4/chat/completions"), ("ollama", "/api/chat")):
            with self.subTest(backend=backend):
                p = self.run_example("infer", "--max-tokens", "30", "--temperature", "0.5", "say one", "say two", INFER_BACKEND=backend)
                self.assertEqual(p.stdout, "one\ntwo\n")
                self.assertEqual(len(self.platform.log(path)), 2)
        p = self.run_example("infer", "--think", "--stream", "say one", INFER_BACKEND="cloud")
        self.assertEqual((p.stdout, p.stderr), ("one\n", "thinking about: say one"))

    def test_infer_here(self):
        p = self.run_example("infer", "--temperature", "0", "--max-tokens", "40", "What is 22 + 40?", INFER_BACKEND="local")
        self.assertIn("62", p.stdout)
        self.assertEqual(self.platform.log(), [])

    def test_infer_is_chosen_by_variables(self):
        p = self.run_example("infer", "say one", GLM_FLASH_ENABLED="true", USE_NPU="false", ZHIPUAI_API_KEY="", GLM_FLASH_API_KEY=KEY)
        self.assertEqual(p.stdout, "one\n")
        self.run_example("infer", "--max-tokens", "1", "hi", GLM_FLASH_ENABLED="true")
        self.assertEqual(len(self.platform.log("*/chat/completions")), 1)
        self.assertIn("USE_NPU", self.run_example("infer", "hi", USE_NPU="maybe", status=2).stderr)
        self.assertIn("INFER_BACKEND", self.run_example("infer", "hi", INFER_BACKEND="moon", status=2).stderr)

    def test_infer_that_fails(self):
        self.platform.script({"path": "*/chat/completions", "status": 400, "code": "1214", "times": 0})
        self.assertIn("1214", self.run_example("infer", "hi", INFER_BACKEND="cloud", status=1).stderr)

    def test_platform(self):
        with tempfile.NamedTemporaryFile(suffix=".jpg") as f:
            f.write(b"\xff\xd8\xff" + bytes(range(98)))
            f.flush()
            self.assertIn("[image 101 bytes]", self.run_example("s2", "image", f.name).stdout)
        for name, says in (("chat", "Hello, ZhipuAI!"), ("stream", "Tell me a story"), ("role", "Xiaoya to Director"), ("search", "AI news"),
                           ("video", "/media/"), ("history", "What is my name?")):
            with self.subTest(name=name):
                self.assertIn(says, self.run_example("s2", name).stdout)
        # The whole conversation was sent: three questions and two answers.
        self.assertEqual(len(self.platform.log("*/chat/completions")[-1]["json"]["messages"]), 5)

    def test_platform_errors(self):
        cases = (({"status": 400}, "the request is wrong"), ({"status": 401}, "the key was refused"), ({"status": 429, "code": "1113"}, "too much was asked"),
                 ({"status": 418}, "another status"), ({"stream_error": {"after": 1, "code": "1234", "message": "x"}}, "the stream reported"),
                 ({"body": "{", "content_type": "application/json"}, "cannot be understood"))
        for step, says in cases:
            with self.subTest(step=step):
                self.platform.script(dict(step, path="*/chat/completions", times=1))
                self.assertIn(says, self.run_example("s2", "stream", status=1).stderr)
        self.assertIn("1211", self.run_example("s2", "errors", status=1).stderr)

    def test_conversations(self):
        for way in ([], ["--openai"]):
            for name in ("basic", "stream", "turns"):
                with self.subTest(name=name, way=way):
                    self.assertIn("answer: echo: ", self.run_example("s3", *way, name).stdout)
        self.assertIn("thought: thinking about: ", self.run_example("s3", "thinking").stdout)
        self.assertEqual(self.platform.log("*/chat/completions")[-1]["json"]["thinking"], {"type": "enabled"})


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    if not shutil.which("pkg-config"):
        print("pkg-config is not there")
        sys.exit(77)
    BUILD, CC, CMAKE = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3]
    del sys.argv[1:4]
    unittest.main()
