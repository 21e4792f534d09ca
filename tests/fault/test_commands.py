#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each allocation of each command fails in turn: a message and exit status 3, or the right answer where the memory can be
done without; never a crash, a leak, half an answer that looks whole. Standard library only.

  test_commands.py FAILING_GLIM [--sanitized] [NAME...]
"""
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile

GLIM = os.path.abspath(sys.argv[1])
SANITIZED = "--sanitized" in sys.argv
NAMES = [a for a in sys.argv[2:] if not a.startswith("--")]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support", "platform"))
from standin import Platform  # noqa: E402

TINY = os.path.join(ROOT, "tests", "golden", "models", "glm-lite-small")
NOMEM = 3

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}}]
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": "x"}'}}
MESSAGES = [
    {"role": "system", "content": "Hi"},
    {"role": "user", "content": [{"type": "text", "text": "a"}]},
    {"role": "assistant", "content": None, "reasoning_content": "so", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": "1"},
]
OUTPUT = "I think.</think>Say.<tool_call>f<arg_key>a</arg_key><arg_value>x</arg_value></tool_call>"
FILES = {
    "messages.json": json.dumps(MESSAGES),
    "tools.json": json.dumps(TOOLS),
    "request.json": json.dumps({"model": "m", "messages": MESSAGES, "tools": TOOLS}),
    "tokens.json": "[244, 191, 361, 6, 32]",
    "text": "Once upon a time there was a model, and it was small. " * 8,
    "output": OUTPUT,
    "glim.conf": "threads = 1\n",
    "words": "model\nwas\nother\n",
    "a.gif": "GIF89a",
}
# Whole encoders: weights, and a tokenizer from where those are.
ENCODERS = {
    "ernie": ["encoders/ernie/config.json", "encoders/ernie/model.safetensors", "tokenizer/wordpiece-cased/vocab.txt"],
    "ranker": ["encoders/xlm-roberta-reranker/config.json", "encoders/xlm-roberta-reranker/model.safetensors",
               "tokenizer/sp-unigram-xlmr/sentencepiece.bpe.model"],
}
EXACT = ["--cpu", "ref", "-t", "1"]
SEED = ["--seed", "1"]
GGUF = ["-m", os.path.join(TINY, "model.gguf")]
COMMANDS = {
    "run": (["run", *GGUF, "--messages", "messages.json", "--tools", "tools.json", "-n", "4", "--ctx", "1024", "--config", "glim.conf", "--stop", "zz", *EXACT, *SEED], b""),
    "json": (["run", "-m", TINY, "-p", "Hi", "-n", "4", "--ctx", "256", "--json", *EXACT, *SEED], b""),
    "raw": (["run", *GGUF, "--raw", "-n", "4", "--ctx", "256", *EXACT, *SEED], b"Once"),
    "chat": (["chat", *GGUF, "--ctx", "512", "-n", "4", *EXACT, *SEED], b"Hi\n/stats\n/reset\n/system Be short\nHi\\\nyou\n/quit\n"),
    "tokenize": (["tokenize", *GGUF], b"Hello <|user|> you"),
    "detokenize": (["detokenize", *GGUF], b"[1, 2, 300]"),
    "template": (["template", *GGUF], FILES["request.json"].encode()),
    "parse": (["parse"], OUTPUT.encode()),
    "logits": (["logits", *GGUF, "--tokens", "tokens.json", "--all", "--greedy", "3", "--ctx", "64", *EXACT], b""),
    "inspect": (["inspect", os.path.join(TINY, "model.gguf")], b""),
    "inspect json": (["inspect", TINY, "--json"], b""),
    "perplexity": (["perplexity", *GGUF, "-f", "text", "--ctx", "64", *EXACT], b""),
    "list": (["list"], b""),
    "embed": (["embed", "-m", "ernie", *EXACT], b'["a text", "", [2, 5, 3]]'),
    "keyword": (["keyword", "-m", "ernie", "--vocab", "words", "--mmr", "--top", "1", *EXACT], FILES["text"].encode()),
    "rerank": (["rerank", "-m", "ranker", "--query", "what?", "--truncate", "on", *EXACT], b'["this", "that"]'),
    "tokenize of an encoder": (["tokenize", "-m", "ernie", "Hello"], b""),
    "inspect an encoder": (["inspect", "ranker", "--json"], b""),
    "cloud chat": (["cloud", "chat", "--messages", "messages.json", "--tools", "tools.json", "--json", "--field", "user_id=user_1", "--stop", "zz"], b""),
    "cloud picture": (["cloud", "chat", "-m", "glm-4v", "-p", "say x", "--image", "a.gif", "--system", "Hi"], b""),
    "cloud image": (["cloud", "image", "a cat", "--size", "1024x1024", "--json", "-o", "cat.png", "--force"], b""),
    "cloud embed": (["cloud", "embed", "--dimensions", "256"], b'["a", "b"]'),
    "cloud files": (["cloud", "files", "list"], b""),
    "cloud raw": (["cloud", "raw", "POST", "/moderations", "-d", '{"model": "moderation", "input": "a"}'], b""),
    "run elsewhere": (["run", "--where", "cloud", "-p", "say x"], b""),
    "chat elsewhere": (["chat", "--where", "cloud"], b"say x\n/stats\nsay y\n"),
    "config": (["config", "show"], b""),
    "features": (["features", "--json"], b""),
}


platform = None  # what cloud and --where cloud ask


def call(home, args, stdin, fail_at=None, count=None):
    env = {"PATH": os.environ["PATH"], "HOME": home, "LC_ALL": "C.UTF-8", "GLIM_MODELS": TINY, "GLIM_RETRIES": "0",
           "ZHIPUAI_BASE_URL": platform.paas, "ZHIPUAI_API_KEY": platform.key}
    env.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
    if fail_at is not None:
        env["GLIM_TEST_FAIL_AT"] = fail_at
    if count:
        env["GLIM_TEST_COUNT"] = count
    return subprocess.run([GLIM, *args], input=stdin, capture_output=True, cwd=home, env=env, timeout=600)


def same(name, a, b):
    """Answers with figures of time or memory in them are only looked at for their length."""
    return a == b or name in ("json", "inspect", "inspect json", "inspect an encoder", "chat", "list", "features") or name.startswith("cloud")


def sweep(home, name):
    args, stdin = COMMANDS[name]
    count = os.path.join(home, "count")
    want = call(home, args, stdin, count=count)
    if want.returncode:
        return [f"{name}: {want.stderr.decode()}"], ""
    with open(count) as f:
        n = int(f.read())
    step = max(1, n // 200) if SANITIZED else 1
    places = [f"{i}{way}" for i in range(0, n, step) for way in ("", "+")]
    found, n_without = [], 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for at, p in zip(places, pool.map(lambda at: call(home, args, stdin, at), places)):
            err = p.stderr.decode(errors="replace")
            if p.returncode == 0 and same(name, p.stdout, want.stdout):
                n_without += 1
            elif p.returncode != NOMEM or "Sanitizer" in err or not err.strip().splitlines()[-1].startswith("glim"):
                found.append(f"{name}: allocation {at} of {n}: exit status {p.returncode}: {err[-600:]} {p.stdout[-200:]}")
    return found, f"{name}: {n} allocations, {len(places)} times one or all behind it failed, {n_without} times that was no matter"


def main():
    global platform
    found = []
    platform = Platform(polls=0)
    with tempfile.TemporaryDirectory() as home:
        for file, text in FILES.items():
            with open(os.path.join(home, file), "w") as f:
                f.write(text)
        for name, files in ENCODERS.items():
            os.mkdir(os.path.join(home, name))
            for file in files:
                os.symlink(os.path.join(ROOT, "tests", "golden", file), os.path.join(home, name, os.path.basename(file)))
        for name in NAMES or COMMANDS:
            some, figures = sweep(home, name)
            found += some
            print(figures, flush=True)
            for line in some[:5]:
                print(line, flush=True)
    platform.stop()
    print(f"{len(found)} wrong")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
