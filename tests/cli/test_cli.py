#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What shell cases cannot say well: help of every command, JSON, Ctrl-C, a terminal. Standard library only.

  test_cli.py GLIM [TestName...]
"""
import json
import math
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest

GLIM = os.path.abspath(sys.argv[1])
HERE = os.path.dirname(os.path.abspath(__file__))
EXACT = ["--cpu", "ref", "--kv", "f32", "--temperature", "0"]
SLOW = 20  # seconds a sanitizer build may take for an answer


def clean_env(home, **more):
    env = {"PATH": os.environ["PATH"], "HOME": home, "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    env.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
    env.update(more)
    return env


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.home = self.folder.name

    def glim(self, *args, stdin=b"", rc=0, **env):
        p = subprocess.run([GLIM, *args], input=stdin, capture_output=True, cwd=self.home, env=clean_env(self.home, **env))
        self.assertEqual(p.returncode, rc, p.stderr.decode())
        # Every load says where the memory goes; apart from that, standard error is silent unless a test expects more.
        lines = p.stderr.decode().splitlines(keepends=True)
        self.memory = [line for line in lines if line.startswith("glim: weights ")]
        return p.stdout.decode(), "".join(line for line in lines if line not in self.memory)

    def features(self):
        return json.loads(self.glim("features", "--json")[0])


class Help(Case):
    def test_every_command_has_a_manual(self):
        names = self.features()["commands"]
        self.assertIn("run", names)
        overview = self.glim("--help")[0]
        for name in names:
            self.assertIn(f"\n  {name} ", overview)
            out, err = self.glim(name, "--help")
            self.assertEqual(err, "")
            self.assertTrue(out.startswith(f"glim {name} - "), out[:60])
            self.assertIn("Examples\n", out)
            self.assertEqual(out, self.glim("help", name)[0])
            for line in out.splitlines():
                self.assertLessEqual(len(line), 80, line)
                self.assertEqual(line, line.rstrip(), "blanks at the end of a line")

    def test_every_verb_has_a_manual(self):
        overview = self.glim("cloud", "--help")[0]
        listed = re.search(r"\nVerbs\n((?:  .*\n)+)", overview).group(1)
        verbs = [re.match(r"  ([a-z]+(?: [a-z]+)?)(?=  | [A-Z[])", line).group(1) for line in listed.splitlines()]
        self.assertGreaterEqual(len(verbs), 15)
        for verb in ["", "files", "batch", *verbs]:
            out, err = self.glim("cloud", *verb.split(), "--help")
            self.assertEqual(err, "")
            self.assertTrue(out.startswith(f"glim cloud{' ' if verb else ''}{verb} - "), out[:60])
            self.assertIn("Examples\n", out)
            self.assertIn("--key-file", out)
            for line in out.splitlines():
                self.assertLessEqual(len(line), 80, line)
                self.assertEqual(line, line.rstrip(), "blanks at the end of a line")

    def test_options_of_the_interface(self):
        run = self.glim("run", "-h")[0]
        for o in "--model --prompt --system --think --temperature --top-p --top-k --min-p --seed --max-tokens --raw --json --tools --messages --ctx --threads --kv --cpu --stop".split():
            self.assertIn(o, run)
        logits = self.glim("logits", "--help")[0]
        for o in "--tokens --top --all --full --greedy --chunk --mla --rank-norm-eps".split():
            self.assertIn(o, logits)
        self.assertIn("--where auto|local|cloud", run)
        self.assertNotIn("--batch", run)  # nothing is offered that is refused
        self.assertNotIn("q8_0", run)


class Run(Case):
    TOOLS = [
        {"type": "function", "function": {"name": "get_weather", "description": "Get the current weather", "parameters": {"type": "object", "properties": {"location": {"type": "string", "description": "Name of the city"}, "unit": {"type": "string", "description": "Temperature unit", "enum": ["celsius", "fahrenheit"]}}, "required": ["location", "unit"]}}},
        {"type": "function", "function": {"name": "calculate", "description": "Evaluate a math expression", "parameters": {"type": "object", "properties": {"expression": {"type": "string", "description": "The expression to evaluate"}}, "required": ["expression"]}}},
    ]

    def file(self, name, value):
        path = os.path.join(self.home, name)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(value, f)
        return path

    def test_json_is_one_object(self):
        out, err = self.glim("run", *EXACT, "-p", "22 + 40", "--think", "on", "--json")
        self.assertEqual(err, "")
        self.assertEqual(out.count("\n"), 1)
        r = json.loads(out)
        self.assertEqual(list(r), ["text", "reasoning", "tool_calls", "finish_reason", "usage", "timings", "where"])
        self.assertIn("62", r["text"])
        self.assertTrue(r["reasoning"])
        self.assertEqual(r["tool_calls"], [])
        self.assertEqual(r["finish_reason"], "stop")
        u, t = r["usage"], r["timings"]
        self.assertEqual(u["total_tokens"], u["prompt_tokens"] + u["completion_tokens"])
        self.assertLess(0, u["completion_tokens_details"]["reasoning_tokens"])
        self.assertLess(u["completion_tokens_details"]["reasoning_tokens"], u["completion_tokens"])
        self.assertEqual((t["prompt_tokens"], t["completion_tokens"]), (u["prompt_tokens"], u["completion_tokens"]))
        self.assertGreater(t["completion_ms"], 0)

    def test_memory_is_told_at_load(self):
        self.glim("run", *EXACT, "-p", "Who are you?", "-n", "1")
        self.assertEqual(len(self.memory), 1)
        self.assertRegex(self.memory[0], r"^glim: weights 16\.3 MiB, cache 15\.0 MiB for 4096 tokens \(3\.8 KiB each\), work [\d.]+ MiB$")
        self.glim("tokenize", "no weights here")
        self.assertEqual(self.memory, [])

    def test_length(self):
        r = json.loads(self.glim("run", *EXACT, "-p", "Who are you?", "--think", "off", "-n", "3", "--json")[0])
        self.assertEqual(r["finish_reason"], "length")
        self.assertEqual(r["usage"]["completion_tokens"], 3)

    def test_tools(self):
        messages = self.file("m.json", [{"role": "user", "content": "What is the weather in Paris, in celsius?"}])
        args = ["run", *EXACT, "--messages", messages, "--tools", self.file("t.json", self.TOOLS), "--think", "off"]
        r = json.loads(self.glim(*args, "--json")[0])
        self.assertEqual(r["finish_reason"], "tool_calls")
        call = r["tool_calls"][0]
        self.assertEqual(call["type"], "function")
        self.assertTrue(call["id"])
        self.assertEqual(call["function"]["name"], "get_weather")
        self.assertEqual(json.loads(call["function"]["arguments"])["location"], "Paris")
        lines = self.glim(*args)[0].splitlines()
        self.assertEqual(json.loads(lines[-1]), {"name": "get_weather", "arguments": json.loads(call["function"]["arguments"])})

    def test_tool_result_and_messages_from_standard_input(self):
        m = [
            {"role": "user", "content": "What is the weather in Paris, in celsius?"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": '{"location": "Paris", "unit": "celsius"}'}}]},
            {"role": "tool", "tool_call_id": "a", "content": '{"temperature": 21, "condition": "sunny"}'},
        ]
        out = self.glim("run", *EXACT, "--messages", "-", "--tools", self.file("t.json", self.TOOLS), "--think", "off", stdin=json.dumps(m).encode())[0]
        self.assertIn("21", out)

    def test_ctrl_c(self):
        args = [GLIM, "run", "--cpu", "ref", "-p", "Tell me a long story about a fox, a bird and a river.", "--temperature", "1", "--seed", "3", "--think", "off", "--stop", "\x01"]
        seen = set()
        for wait in (0.02, 0.1, 0.3, 0.6, 1.2):
            p = subprocess.Popen([*args, "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.home, env=clean_env(self.home))
            time.sleep(wait)
            p.send_signal(signal.SIGINT)
            out, err = p.communicate(timeout=SLOW)
            seen.add(p.returncode)
            if p.returncode == 11:  # a partial answer is still one object; before the model is open there is none
                self.assertIn("cancelled", err.decode())
                if out:
                    self.assertEqual(json.loads(out)["finish_reason"], "cancelled")
            else:  # too early for the handler, or the answer was done
                self.assertIn(p.returncode, (0, -signal.SIGINT), err.decode())
        self.assertTrue(seen)


class Measure(Case):
    def step_bytes(self):
        """Weights that a token's step of the bundled model reads: matrices, 2 of 8 experts, one row of the embedding."""
        n = 0
        for t in json.loads(self.glim("inspect", "--json")[0])["tensors"]:
            if len(t["shape"]) < 2 or t["name"].startswith("blk.6."):  # norms; the prediction layer
                continue
            n += t["bytes"] // t["shape"][1] if t["name"] == "token_embd.weight" else t["bytes"] * 2 // 8 if "_exps" in t["name"] else t["bytes"]
        return n

    def test_bench_rows(self):
        out, err = self.glim("bench", "--prompt", "12", "--gen", "5", "--depth", "32", "--streams", "1,3", "--reps", "3", "-o", "json", "--kv", "f32", "--threads", "1")
        for line in err.splitlines():
            self.assertRegex(line, "^glim: weights |other programs were running")
        pp, tg, tg3 = json.loads(out)
        for r in (pp, tg, tg3):
            for key in "build_commit build_number cpu_info gpu_info backends model_filename model_type model_size model_n_params n_batch n_ubatch n_threads type_k type_v use_mmap n_prompt n_gen n_depth test_time avg_ns stddev_ns avg_ts stddev_ts samples_ns samples_ts".split():
                self.assertIn(key, r)  # as llama-bench has them
            self.assertEqual((r["n_depth"], r["type_k"], r["n_threads"], len(r["samples_ns"])), (32, "f32", 1, 3))
            self.assertAlmostEqual(r["avg_ns"], sum(r["samples_ns"]) / 3, delta=1)
            self.assertAlmostEqual(r["median_ts"], sorted(r["samples_ts"])[1])
            n = (r["n_prompt"] + r["n_gen"]) * r["n_streams"]
            for ns, ts in zip(r["samples_ns"], r["samples_ts"]):
                self.assertAlmostEqual(ts * ns / 1e9 / n, 1, places=5)
        self.assertEqual([(r["n_prompt"], r["n_gen"], r["n_streams"]) for r in (pp, tg, tg3)], [(12, 0, 1), (0, 5, 1), (0, 5, 3)])
        self.assertIsNone(pp["gen_bytes_s"])
        # 3840 bytes a token in an f32 cache; token i of 5 looks back on 32 + i and itself
        self.assertEqual(tg["token_bytes"], self.step_bytes() + 3840 * 35)
        self.assertAlmostEqual(tg["gen_bytes_s"], tg["token_bytes"] * tg["median_ts"], delta=1)
        self.assertAlmostEqual(tg["read_share"], tg["gen_bytes_s"] / tg["read_bytes_s"])

    def test_machine(self):
        out, err = self.glim("bench", "--machine", "--prompt", "0", "--gen", "0", "--threads", "2", "-o", "json")
        self.assertIn("measuring", err)
        r = json.loads(out)
        self.assertEqual(r["tests"], [])
        points = r["machine"]["points"]
        self.assertEqual([p["n_threads"] for p in points], [1, 2])
        for p in points:
            for key in ("read_bytes_s", "q4_k_ops_s", "q8_0_ops_s", "bf16_ops_s", "f32_ops_s"):
                self.assertGreater(p[key], 0, key)
        self.assertEqual(points[0]["barrier_ns"], 0)
        self.assertGreater(points[1]["barrier_ns"], 0)
        self.assertGreater(r["machine"]["disk_bytes_s"], 0)

    def test_bench_stops(self):
        p = subprocess.Popen([GLIM, "bench", "--cpu", "ref", "--prompt", "0", "--gen", "4000", "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.home, env=clean_env(self.home))
        self.assertEqual(p.stdout.readline(), b"[\n")  # from here on Ctrl-C is caught
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=SLOW)
        self.assertEqual(p.returncode, 11, err.decode())
        self.assertEqual(out, b"]\n")

    def test_perplexity_is_what_logits_say(self):
        text = "The fox sees a bird. " * 7 + "你好，世界。" * 3
        ids = json.loads(self.glim("tokenize", stdin=text.encode())[0])["tokens"]
        n_ctx, loss = 20, []
        for i in range(0, len(ids) - n_ctx + 1, n_ctx):
            chunk = ids[i : i + n_ctx]
            lines = self.glim("logits", "--cpu", "ref", "--tokens", "-", "--all", "--top", "5120", stdin=json.dumps(chunk).encode())[0].splitlines()
            for pos in range(n_ctx // 2, n_ctx - 1):
                loss.append(-dict(json.loads(lines[pos])["top"])[chunk[pos + 1]])
        self.assertGreater(len(loss), 9)
        mean = sum(loss) / len(loss)
        error = math.exp(mean) * (sum((x - mean) ** 2 for x in loss) / len(loss) / (len(loss) - 1)) ** 0.5
        out, err = self.glim("perplexity", "-f", "-", "--ctx", str(n_ctx), "--cpu", "ref", "--kv", "f32", stdin=text.encode())
        got = dict(line.split() for line in out.splitlines())
        self.assertEqual(list(got)[-1], "ppl")
        self.assertEqual((int(got["tokens"]), int(got["scored"])), (len(ids), len(loss)))
        self.assertAlmostEqual(float(got["ppl"]) / math.exp(mean), 1, places=5)
        self.assertAlmostEqual(float(got["error"]) / error, 1, places=4)
        self.assertEqual(err.count("glim perplexity: chunk "), len(ids) // n_ctx)


class Terminal(Case):
    def start(self, *args, **env):
        pid, self.fd = pty.fork()
        if pid == 0:
            os.chdir(self.home)
            os.execve(GLIM, [GLIM, *args], clean_env(self.home, **env))
        self.pid, self.got = pid, b""
        self.addCleanup(os.close, self.fd)

    def until(self, text, seconds=SLOW):
        """What comes up to and with text; fails when text does not come. The rest waits for the next call."""
        end = time.time() + seconds
        while text.encode() not in self.got:
            left = end - time.time()
            self.assertGreater(left, 0, f"no {text!r} in {self.got!r}")
            if select.select([self.fd], [], [], min(left, 0.2))[0]:
                try:
                    piece = os.read(self.fd, 65536)
                except OSError:
                    piece = b""
                self.assertTrue(piece, f"ended before {text!r}: {self.got!r}")
                self.got += piece
        at = self.got.index(text.encode()) + len(text.encode())
        first, self.got = self.got[:at], self.got[at:]
        return first.decode(errors="replace")

    def finish(self):
        end = time.time() + SLOW
        while time.time() < end:
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    if not os.read(self.fd, 65536):
                        break
                except OSError:
                    break
        else:
            os.kill(self.pid, signal.SIGKILL)  # the test fails by the status, it does not hang
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def send(self, text):
        os.write(self.fd, text.encode())

    def test_chat(self):
        self.start("chat", *EXACT, "--think", "off")
        self.until("> ")
        self.send("My name is Anna.\r")
        self.until("> ")
        self.send("What is my name?\r")
        self.assertIn("Anna", self.until("> "))
        self.send("/help\r")
        self.until("/reset")
        self.until("> ")
        self.send("half a line")
        self.until("half a line")
        self.send("\x03")
        self.until("/quit or Ctrl-D ends")
        self.until("> ")
        self.send("/stats\r")
        self.until("messages: 4")
        self.until("> ")
        self.send("\x04")
        self.assertEqual(self.finish(), 0)

    def test_history_is_the_owners_alone(self):
        self.start("chat", *EXACT)
        self.until("> ")
        self.send("/stats\r")
        self.until("all answers")
        self.until("> ")
        self.send("/quit\r")
        self.assertEqual(self.finish(), 0)
        path = os.path.join(self.home, ".local/state/glim/history")
        if self.features()["line_editing"]:
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
            self.start("chat", "--history", "off", XDG_STATE_HOME=os.path.join(self.home, "other"))
            self.until("> ")
            self.send("/quit\r")
            self.assertEqual(self.finish(), 0)
            self.assertFalse(os.path.exists(os.path.join(self.home, "other")))

    def test_reasoning_is_grey_only_where_wanted(self):
        args = ["run", *EXACT, "-p", "Who are you?", "--think", "on"]
        self.start(*args)
        self.assertIn("\x1b[90m", self.until("\x1b[0m"))
        self.assertEqual(self.finish(), 0)
        self.start(*args, NO_COLOR="1")
        text = self.until("glim")
        self.assertNotIn("\x1b[90m", text)
        self.assertEqual(self.finish(), 0)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=1)
