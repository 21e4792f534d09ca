#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""badinput.py - prompts, requests, ids, options that are wrong: one clear line, the right exit status, no crash.

    badinput.py --glim build/glim [--sanitized]

Each row: name, arguments, standard input, what must come: an exit status, a tuple of them, or PASS (0 and sane output).
"""
import argparse
import json
import os
import sys
import tempfile

from runner import Runner

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MODELS = os.path.join(ROOT, "tests", "golden", "models")
SMALL = os.path.join(MODELS, "glm-lite-small")
GGUF = os.path.join(SMALL, "model.gguf")
VOCAB = os.path.join(ROOT, "tests", "golden", "tokenizer", "glm4")
PASS, USAGE, FORMAT, LATER, LIMIT, INPUT, CONTEXT, NOTFOUND = 0, 2, 5, 6, 7, 8, 9, 10
ANY = None

INVALID = [b"\xff", b"ok \xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80abc", b"caf\xe9 au lait", b"a" * 70000 + b"\xfe"]


def nested(n, inner="1", open="[", close="]"):
    return (open * n + inner + close * n).encode()


def request(**fields):
    return json.dumps({"messages": [{"role": "user", "content": "hi"}], **fields}).encode()


def rows(tmp):
    def file(name, data):
        path = os.path.join(tmp, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    out = []

    def add(name, args, stdin=b"", want=INPUT, *names):
        out.append((name, args, stdin, want, names))

    # ---- tokenize, detokenize
    tok = ["tokenize", "-m", VOCAB]
    for b in INVALID:
        add(f"tokenize {b[-8:]!r}", tok, b, INPUT, "UTF-8")
    add("tokenize invalid text as an argument", tok + [b"caf\xe9"], b"", INPUT, "UTF-8")
    add("tokenize nothing", tok, b"", PASS)
    add("tokenize an empty argument", tok + [""], b"", PASS)
    add("tokenize NUL", tok, b"\0a\0\0", PASS)
    for what, text in (("a", b"a"), ("blanks", b" "), ("newlines", b"\r\n"), ("digits", b"7"), ("Chinese", "你".encode()), ("combining marks", "\u0301".encode()),
                       ("specials", b"<|user|>"), ("half a special", b"<|use"), ("quotes", b"'"), ("signs", b"!"), ("blanks and a word", b"     x"), ("emoji", "👩‍👩‍👧".encode())):
        for special in ([], ["--special"]):
            add(f"tokenize 512 KiB of {what} {special}", tok + special, text * ((1 << 19) // len(text)), PASS)
    detok = ["detokenize", "-m", VOCAB]
    for b in (b"-1", b"99999999", b"[1, 5000000000]", b"1.5", b"x", b"[1, 2", b'["1"]', b"{}", b"[[1]]", b"[null]", b"[true]", b"1e2", b"[18446744073709551617]", b"[1] 2", nested(10000), b"\xff"):
        add(f"detokenize {b[:20]!r}", detok, b)
    add("detokenize nothing", detok, b"", PASS)
    add("detokenize []", detok, b"[]", PASS)
    add("detokenize blanks", detok, b"  1 \n 2\t3 ", PASS)

    # ---- logits
    logits = ["logits", "-m", GGUF, "--tokens", "-", "--ctx", "256"]
    for b in (b"", b"[]", b"{}", b"null", b"[[1]]", b"[1.5]", b"[-1]", b"[384]", b"[1, 2, 2147483648]", b"[99999999999999999999]", b'["1"]', b"[null]", b"[true]", b"[1,]", b"[1", b"[1]]", b"[01]",
              b"\xff", b"\xef\xbb\xbf[1", nested(10000), nested(100000, "", "[", ""), b"[NaN]", b"[1e400]"):
        add(f"logits {b[:20]!r}", logits, b)
    add("logits of 300 ids in 256", logits, json.dumps([1] * 300).encode(), CONTEXT, "256")
    add("logits of a million ids", logits, json.dumps([1] * 1000000).encode(), CONTEXT)
    add("logits, more greedy tokens than fit", logits + ["--greedy", "300"], b"[1]", CONTEXT)
    add("logits, a missing file of ids", ["logits", "-m", GGUF, "--tokens", os.path.join(tmp, "missing.json")], b"", NOTFOUND, "missing.json")
    add("logits, a folder of ids", ["logits", "-m", GGUF, "--tokens", tmp], b"", (4,), os.path.basename(tmp))
    add("logits without ids", ["logits", "-m", GGUF], b"", USAGE, "--tokens")

    # ---- models that are not there
    for path, want in ((os.path.join(tmp, "missing.gguf"), NOTFOUND), (os.path.join(tmp, "missing"), NOTFOUND), (tmp, (FORMAT, NOTFOUND)), ("/dev/null", (4, FORMAT, NOTFOUND)), ("", (USAGE, INPUT, NOTFOUND)),
                       (file("text.gguf", b"hello"), FORMAT), (file("empty.gguf", b""), FORMAT), ("x" * 5000, (4, NOTFOUND)), ("no\nsuch\x1b[31m", NOTFOUND)):
        for command in (["inspect", path], ["tokenize", "-m", path, "x"], ["logits", "-m", path, "--tokens", "-"], ["run", "-m", path, "-p", "x"]):
            if command[0] == "inspect" and path == "":
                continue
            add(f"{command[0]} of model {path[-20:]!r}", command, b"[1]", want)

    # ---- the context and the machine
    for n, want in (("100000000", CONTEXT), ("1000000000000", (CONTEXT, USAGE)), ("9223372036854775807", (CONTEXT, USAGE)), ("9223372036854775808", USAGE), ("-1", USAGE), ("1e3", USAGE), ("x", USAGE), ("", USAGE), ("4096.5", USAGE)):
        add(f"--ctx {n}", ["logits", "-m", GGUF, "--tokens", "-", "--ctx", n], b"[1]", want, "ctx", "context", "tokens")
    for n in ("-1", "x", "", "1.5", "99999999999999999999"):
        add(f"--threads {n}", ["logits", "-m", GGUF, "--tokens", "-", "--threads", n], b"[1]", USAGE, "threads")
    add("--threads 100000", ["logits", "-m", GGUF, "--tokens", "-", "--threads", "100000"], b"[1]", (USAGE, INPUT, 12), "threads")
    for option, value in (("--kv", "f64"), ("--kv", ""), ("--cpu", "fast"), ("--cpu", ""), ("--mla", "x"), ("--chunk", "-1"), ("--chunk", "x"), ("--top", "x"), ("--top", "-1"), ("--greedy", "-1"), ("--rank-norm-eps", "x"), ("--rank-norm-eps", "nan")):
        add(f"{option} {value!r}", logits + [option, value], b"[1]", USAGE, option)
    add("--kv q8_0, a later one", logits + ["--kv", "q8_0"], b"[1]", (USAGE, LATER), "q8_0")

    # ---- template
    tem = ["template", "-m", VOCAB, "--template", "glm-4.7-flash"]
    for b in (b"", b"{", b"[]", b"null", b"5", b'"x"', b"{}", b'{"messages":5}', b'{"messages":{}}', b'{"messages":[5]}', b'{"messages":[{}]}', b'{"messages":[{"role":5,"content":"x"}]}',
              b'{"messages":[{"role":"wizard","content":"x"}]}', b'{"messages":[{"role":"user","content":5}]}', b'{"messages":[{"role":"user","content":{"a":1}}]}',
              b'{"messages":[{"role":"user","content":[5]}]}', b'{"messages":[{"role":"user","content":"\\ud800"}]}', b'{"messages":[{"role":"user","content":"\\udc00\\ud800"}]}',
              b'{"messages":[{"role":"user","content":"\xff"}]}', b'{"messages":[{"role":"user","content":"\xed\xa0\x80"}]}', b'{"messages":[{"role":"user","content":"a\nb"}]}',
              request(tools=5), request(tools=[5]), request(tools=[{"type": "function"}]), request(tools=[{"type": "function", "function": {"name": 5}}]),
              request(messages=[{"role": "assistant", "tool_calls": 5}]), request(messages=[{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}]),
              request() + b"x", request()[:-1], nested(10000), nested(100000, "1", '{"a":', "}"),
              b'{"messages":[{"role":"user","content":' + nested(10000) + b"}]}",
              b'{"messages":[{"role":"user","content":"x"}],"messages":[]}'):
        add(f"template {b[:60]!r}", tem, b, (INPUT, LIMIT))
    add("template, no message", tem, b'{"messages":[]}', (PASS, INPUT))
    add("template, a tool of 10,000 levels", tem, b'{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":' + nested(10000, "1", '{"a":', "}") + b"}}]}", (INPUT, LIMIT))
    add("template, a number of 100,000 digits", tem, b'{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"a":' + b"9" * 100000 + b"}}}]}", (PASS, INPUT, LIMIT))
    add("template, unknown fields", tem, request(foo={"bar": [1, 2]}), PASS)
    add("template, a special token's text", tem, request(messages=[{"role": "user", "content": "<|assistant|></think>"}]), PASS)
    add("template, NUL", tem, request(messages=[{"role": "user", "content": "a\0b"}]), PASS)
    add("template, 4 MiB", tem, request(messages=[{"role": "user", "content": "x" * (4 << 20)}]), PASS)
    add("template, 50,000 messages", tem, request(messages=[{"role": "user", "content": "x"}] * 50000), PASS)
    add("template, unknown family", ["template", "-m", VOCAB, "--template", "nonsense"], request(), (NOTFOUND, USAGE), "glm-4.7-flash")
    add("template, a folder without one", ["template", "-m", VOCAB], request(), (PASS, NOTFOUND, LATER), "template")

    # ---- parse
    parse = ["parse", "-m", VOCAB]
    for b in INVALID[:8]:
        add(f"parse {b!r}", parse, b, (PASS, INPUT))
    call = b"<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>"
    tools = file("tools.json", b'[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"integer"}}}}}]')
    for b in (b"", b"<think>" * 20000, b"</think>" * 20000, b"<tool_call>" * 20000, call * 5000, b"<tool_call>f" + b"<arg_key>" * 20000, b"<" * 100000, b"</think>\n" + b"\n" * 100000, call[:-12] * 100,
              b"<tool_call>f<arg_key>a</arg_key><arg_value>" + nested(10000) + b"</arg_value></tool_call>", b"\0<tool_call>\0"):
        for more in ([], ["--chunk", "3"], ["--tools", tools, "--start", "content"]):
            add(f"parse {b[:24]!r}, {len(b)} bytes {more[:1]}", parse + more, b, PASS)
    for b in (b"{", b"5", b"[5]", b'[{"type":"function"}]', nested(10000), b'[{"type":"function","function":{"name":5}}]', b'[{"type":"function","function":{"name":"f","parameters":5}}]', b"\xff"):
        add(f"parse with tools {b[:50]!r}", parse + ["--tools", file(f"tools{len(out)}.json", b)], b"x", (INPUT, LIMIT), "tools")
    add("parse with tools that are missing", parse + ["--tools", os.path.join(tmp, "missing.json")], b"x", NOTFOUND, "missing.json")
    for option, value in (("--start", "x"), ("--chunk", "0"), ("--chunk", "-1"), ("--chunk", "x")):
        add(f"parse {option} {value}", parse + [option, value], b"x", USAGE, option)

    # ---- embed, keyword, rerank
    def encoder(name, weights, tokenizer):
        folder = os.path.join(tmp, name)
        os.mkdir(folder)
        for path in ("encoders/" + weights + "/config.json", "encoders/" + weights + "/model.safetensors", "tokenizer/" + tokenizer):
            os.symlink(os.path.join(ROOT, "tests", "golden", path), os.path.join(folder, os.path.basename(path)))
        return folder

    ernie = encoder("ernie", "ernie", "wordpiece-cased/tokenizer.json")
    ranker = encoder("ranker", "xlm-roberta-reranker", "sp-unigram-xlmr/tokenizer.json")
    embed, rerank, keyword = ["embed", "-m", ernie], ["rerank", "-m", ranker, "--query", "what?"], ["keyword", "-m", ernie]
    broken = (b"", b"{", b"null", b"5", b'"x"', b"{}", b"[", b"[5]", b"[null]", b"[true]", b'["a",]', b'["a" "b"]', b'["\\ud800"]', b'["\xff"]', b'["a"] x', b"[{}]", nested(10000), b"[NaN]", b"\xff\xfe[")
    for b in broken:
        for what, args in (("embed", embed), ("rerank", rerank)):
            add(f"{what} {b[:30]!r}", args, b, (INPUT, LIMIT))
    for b in (b"[[]]", b'["a", []]', b"[[-1]]", b"[[3000]]", b"[[99999999999999999999]]", b"[[1.5]]", b'[["1"]]', b"[[null]]", b"[[[1]]]"):
        add(f"embed ids {b!r}", embed, b, INPUT, "input")
    add("embed, ids as 2.0 and 2e0", embed, b"[[2.0, 3e0]]", PASS)
    add("embed, no input", embed, b"[]", PASS)
    add("embed, an empty string", embed, b'[""]', PASS)
    add("embed, an empty argument", embed + [""], b"", PASS)
    add("embed, blanks and controls", embed, json.dumps([" ", "\n\t", "\0", "\u200b\ufeff", "[CLS][SEP][PAD]", "\U0010ffff"]).encode(), PASS)
    add("embed, 10,000 inputs", embed, json.dumps(["a"] * 10000).encode(), PASS)
    add("embed, 10,000 inputs of which the last is too long", embed, json.dumps(["a"] * 9999 + ["a " * 70]).encode(), CONTEXT, "9999", "64")
    add("embed, too long", embed, json.dumps(["a", "a " * 100]).encode(), CONTEXT, "input 1", "102", "64")
    add("embed, too many ids", embed, json.dumps([[5] * 65]).encode(), CONTEXT, "65")
    add("embed, 4 MiB", embed, json.dumps(["word " * 800000]).encode(), CONTEXT)
    add("embed, 4 MiB that are cut", embed + ["--truncate", "on"], json.dumps(["word " * 800000]).encode(), PASS)
    add("embed, a word of a million letters", embed, json.dumps(["x" * 1000000]).encode(), PASS)
    for b in INVALID[:8]:
        add(f"embed argument {b!r}", embed + [b], b"", INPUT, "UTF-8")
        add(f"keyword {b!r}", keyword, b, INPUT, "UTF-8")
        add(f"rerank question {b!r}", ["rerank", "-m", ranker, "--query", b], b'["x"]', INPUT, "UTF-8")
    for option, value in (("--pooling", "max"), ("--pooling", ""), ("--normalize", "2"), ("--truncate", "maybe"), ("--ctx", "0"), ("--cpu", "fast"), ("--top", "3"), ("--query", "x")):
        add(f"embed {option} {value!r}", embed + [option, value, "x"], b"", USAGE, option)
    add("embed, a context beyond the model", embed + ["--ctx", "65", "x"], b"", CONTEXT, "64")
    for option, value in (("--top", "0"), ("--top", "-1"), ("--top", "x"), ("--diversity", "2"), ("--diversity", "-0.1"), ("--diversity", "nan"), ("--mmr", None), ("--vocab", "-")):
        args = keyword + ([option, value] if value is not None else [option + "=perhaps"])
        add(f"keyword {option} {value!r}", args, b"x", USAGE, option)
    add("keyword, nothing", keyword, b"", PASS)
    add("keyword, nothing in it is a word", keyword, b"... 1 ?", PASS)
    add("keyword, more than there are", keyword + ["--top", "1000000000"], b"the river and its bank", PASS)
    add("keyword, 4 MiB", keyword + ["--top", "2"], b"the river and its bank " * 180000, PASS)
    add("keyword, 50,000 words to choose from", keyword + ["--maxsum", "--vocab", file("words", "\n".join(f"w{i}" for i in range(50000)).encode())], b"w1 w777 w49999", PASS)
    for name, data, want in (("none", b"", INPUT), ("blank", b"\n \r\n", INPUT), ("bytes", b"ok\n\xff", INPUT), ("json", b"[5]", INPUT), ("cut", b'["a"', INPUT), ("deep", nested(10000), (INPUT, LIMIT))):
        add(f"keyword, words of {name}", keyword + ["--vocab", file("words-" + name, data)], b"x", want, "words-" + name)
    add("keyword, words that are missing", keyword + ["--vocab", os.path.join(tmp, "missing")], b"x", NOTFOUND, "missing")
    add("rerank, no document", rerank, b"[]", PASS)
    add("rerank, empty documents and question", ["rerank", "-m", ranker, "--query", ""], b'["", ""]', PASS)
    add("rerank, 2,000 documents", rerank, json.dumps(["a"] * 2000).encode(), PASS)
    add("rerank, too long", rerank, json.dumps(["a", "b " * 200]).encode(), CONTEXT, "input 1", "128")
    add("rerank, too long and cut", rerank + ["--truncate", "on"], json.dumps(["a", "b " * 200]).encode(), PASS)
    add("rerank without a question", ["rerank", "-m", ranker], b'["x"]', USAGE, "--query")
    add("rerank with a model without a head", ["rerank", "-m", ernie, "--query", "x"], b'["x"]', LATER, "head")
    for command in ("embed", "keyword", "rerank"):
        more = ["--query", "x"] if command == "rerank" else []
        add(f"{command} without a model", [command] + more, b'["x"]', USAGE, "-m MODEL")
        add(f"{command} with a chat model", [command, "-m", GGUF] + more, b'["x"]', LATER, "chat model")
        add(f"{command} with a tokenizer alone", [command, "-m", VOCAB] + more, b'["x"]', (FORMAT, LATER, NOTFOUND))
        add(f"{command} with a model that is not there", [command, "-m", os.path.join(tmp, "nowhere")] + more, b'["x"]', NOTFOUND, "nowhere")
    for args in (["run", "-p", "x"], ["logits", "--tokens", "-"], ["perplexity", "-f", "-"], ["bench"], ["chat"]):
        add(f"{args[0]} with an embedding model", args[:1] + ["-m", ernie] + args[1:], b"[1]" + b" word" * 600 * (args[0] == "perplexity"), LATER, "embedding model")
    add("detokenize with an embedding model", ["detokenize", "-m", ernie], b"[1]", LATER, "embedding model")
    add("template with an embedding model", ["template", "-m", ernie, "--template", "glm-4.7-flash"], request(), LATER, "embedding model")

    # ---- run
    run = ["run", "-m", GGUF, "-n", "3", "--ctx", "256", "--temperature", "0"]
    plain = run + ["--raw"]
    add("run, invalid UTF-8", plain + ["-p", b"\xff\xfe"], b"", INPUT, "UTF-8")
    add("run, invalid UTF-8 on standard input", plain, b"caf\xe9", INPUT, "UTF-8")
    add("run, an empty prompt", plain + ["-p", ""], b"", (PASS, INPUT))
    add("run, nothing on standard input", plain, b"", (PASS, INPUT))
    add("run, a prompt that is too long", plain, b"word " * 5000, CONTEXT, "256")
    add("run, 4 MiB", plain, b"word " * (1 << 20), CONTEXT)
    add("run, NUL", plain, b"a\0b", PASS)
    for b in (b"{", b"5", b"[5]", b'[{"role":"user","content":"\\ud800"}]', nested(10000), b'[{"role":"x","content":"y"}]', b"\xff"):
        add(f"run with messages {b[:40]!r}", run + ["--messages", file(f"messages{len(out)}.json", b)], b"", (INPUT, LIMIT))
    for option, value in (("--temperature", "x"), ("--temperature", "nan"), ("--temperature", "-1"), ("--temperature", "inf"), ("--top-p", "2"), ("--top-p", "-0.1"), ("--min-p", "x"), ("--top-k", "-1"), ("--top-k", "1.5"),
                          ("--seed", "x"), ("-n", "x"), ("-n", "-5"), ("--think", "perhaps"), ("--repetition-penalty", "x"), ("--logit-bias", "x"), ("--logit-bias", "1"), ("--logit-bias", "1=x"), ("--logprobs", "x"),
                          ("--think-budget", "-1"), ("--loop-stop", "x"), ("--presence-penalty", "nan"), ("--frequency-penalty", "99")):
        add(f"run {option} {value}", ["run", "-m", GGUF, "-p", "x", option, value], b"", (USAGE, LATER), option, "--max-tokens")
    for args in (["--logit-bias", "999999=1"], ["--logit-bias", "-1=1"]):
        add(f"run {args}", plain + ["-p", "x"] + args, b"", (USAGE, INPUT, LATER))
    for args in (["--temperature", "1e30"], ["--temperature", "1e-30"], ["--top-p", "0"], ["--top-p", "1e-30"], ["--min-p", "1"], ["--top-k", "1"], ["--repetition-penalty", "1e30"], ["--logit-bias", "5=100"], ["--stop", ""], ["--stop", "a"]):
        add(f"run {args}, odd", plain + ["-p", "x"] + args, b"", (PASS, USAGE, INPUT, LATER))

    # ---- the command line itself
    for args in ([], ["nonsense"], ["--nonsense"], ["run", "--nonsense"], ["run", "-p"], ["run", "-p", "x", "extra"], ["tokenize", "--special=maybe"], ["inspect", "a", "b"], ["logits", "--tokens"], ["run", "-x"],
                 ["tokenize", "-m"], ["run", "--temperature="], [""], ["-"], ["run", "--pro", "x"], ["x" * 100000], ["run", "--" + "x" * 100000], ["\x1b[31m\n"]):
        add(f"glim {' '.join(args)[:40]!r}", args, b"", USAGE)
    for args in (["--help"], ["run", "--help"], ["logits", "--help"], ["version"], ["features"], ["tokenize", "-m", VOCAB, "--", "--special"]):
        add(f"glim {' '.join(args)[:40]!r}", args, b"", PASS)
    return out


def main():
    p = argparse.ArgumentParser(description="wrong prompts, requests and options")
    p.add_argument("--glim", default=os.path.join(ROOT, "build", "glim"))
    p.add_argument("--sanitized", action="store_true")
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--show", type=int, default=40)
    p.add_argument("--verbose", action="store_true", help="print every message")
    opts = p.parse_args()
    runner = Runner(opts.glim, opts.sanitized, opts.jobs)

    def one(row):
        name, args, stdin, want, names = row
        # A pool of the model's own context is allowed for, beside the input.
        size = len(stdin) * 16 + (32 << 20)
        r = runner.run(args, stdin, size)
        codes = want if isinstance(want, tuple) else (want,)
        if opts.verbose:
            print(f"  {name}: {r}")
        if r.code == 0 and PASS in codes:
            bad = runner.may_pass(r, (), size)
        else:
            bad = runner.judge(r, names, size, tuple(c for c in codes if c != PASS) or (-1,))
        return [f"{name}: {bad}"] if bad else []

    with tempfile.TemporaryDirectory(prefix="glim_bad_") as tmp:
        runner.each(one, rows(tmp))
    sys.exit(runner.report("bad input", opts.show))


if __name__ == "__main__":
    main()
