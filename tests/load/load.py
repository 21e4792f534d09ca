#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Many clients at once against a running server: every answer must be the one it gives a client that is alone.

  tests/load/load.py --program build/glim [--clients 64] [--requests 2000] [--drop 0.1] [--seconds 0] [--seed 1]

Starts the server on a free port, asks every kind of request once for itself, in every dialect, then lets the clients ask
them in random order, streaming; a share of them drops the connection at a random point. At the end no slot may be busy, and file
descriptors and memory must be back where they were. Prints one JSON object with the figures; exits 1 on any difference.
With --seconds it goes on that long, whatever the number of requests (a soak).
"""
import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time

QUESTIONS = [
    "What is the capital of Japan?", "Who are you?", "What is 12 plus 7?", "Sort these words: pear, apple, fig.",
    "Count from 3 to 9.", "Tell me a story about a fox.", "日本的首都是哪里？", "Repeat: blue river stone.",
]


# What is asked in which dialect: path, request for (question, limit, temperature, seed, thinking), how a stream is cut.
def openai(q, n, t, seed, think, **more):
    return {"messages": [{"role": "user", "content": q}], "max_tokens": n, "temperature": t, "seed": seed, "stream": True,
            **({} if think else {"thinking": {"type": "disabled"}}), **more}


def ollama(q, n, t, seed, think, **more):
    return {"model": "default", "think": think, "options": {"num_predict": n, "temperature": t, "seed": seed}, **more}


DIALECTS = [
    ("/v1/chat/completions", lambda *a: openai(*a, stream_options={"include_usage": True})),
    ("/api/paas/v4/chat/completions", lambda *a: openai(*a, model="glm-4.7-flash")),
    ("/api/chat", lambda q, *a: ollama(q, *a, messages=[{"role": "user", "content": q}])),
    ("/completion", lambda q, n, t, seed, _: {"prompt": q, "n_predict": n, "temperature": t, "seed": seed, "stream": True}),
    ("/api/generate", lambda q, *a: ollama(q, *a, prompt=q)),
    ("/generate", lambda q, n, t, seed, _: {"text": q, "stream": True, "sampling_params": {"max_new_tokens": n, "temperature": t,
                                                                                       "sampling_seed": seed}}),
    ("/chat", openai),
    ("/v1/completions", lambda q, n, t, seed, _: {"prompt": q, "max_tokens": n, "temperature": t, "seed": seed, "stream": True}),
    ("/api/npu/infer", lambda q, n, t, *_: {"prompt": q, "max_tokens": n, "temperature": 0}),
]


def request(i):
    """Path and body of request number i; all that matters is fixed by it."""
    rng = random.Random(i)
    path, make = DIALECTS[i % len(DIALECTS)]
    question = QUESTIONS[i % len(QUESTIONS)] + (f" ({i})" if i >= 8 else "")
    return path, json.dumps(make(question, rng.choice([16, 32, 48, 64]), rng.choice([0, 0, 0.7]), i, rng.random() < 0.5)).encode()


class Gone(Exception):
    pass


class Answer:
    """What the events of any dialect join to. take() is told one JSON object."""

    def __init__(self):
        self.text, self.thought, self.finish, self.n, self.n_delta = "", "", None, None, 0

    def add(self, text, thought=""):
        self.text += text or ""
        self.thought += thought or ""
        self.n_delta += bool(text or thought)

    def take(self, d):
        assert not d.get("error"), d
        if "meta_info" in d:  # SGLang: the text is cumulative
            assert d["text"].startswith(self.text), (self.text, d)
            self.add(d["text"][len(self.text):])
            self.finish = json.dumps(d["meta_info"]["finish_reason"])
            self.n = d["meta_info"]["completion_tokens"]
        elif "stop" in d:  # llama-server
            self.add(d["content"])
            if d["stop"]:
                self.finish, self.n = d["stop_type"], d["tokens_predicted"]
        elif "done" in d:  # Ollama
            m = d.get("message") or {"content": d.get("response"), "thinking": d.get("thinking")}
            self.add(m["content"], m.get("thinking"))
            if d["done"]:
                self.finish, self.n = d["done_reason"], d["eval_count"]
        elif "success" in d:  # S0
            self.add(d["result"])
            self.finish = d["success"]
        else:
            self.n = (d.get("usage") or {}).get("completion_tokens") or self.n
            for c in d["choices"]:
                delta = c.get("delta") or {"content": c.get("text")}
                self.add(delta.get("content"), delta.get("reasoning_content"))
                self.finish = c["finish_reason"] or self.finish


async def read_body(reader, head):
    """The body's bytes as they come."""
    low = head.lower()
    if b"content-length:" in low:
        yield await reader.readexactly(int(low.split(b"content-length:")[1].split(b"\r\n")[0]))
        return
    while True:
        size = int((await reader.readline()).strip() or b"0", 16)
        chunk = await reader.readexactly(size + 2)
        if size == 0:
            return
        yield chunk[:-2]


async def ask(port, i, drop_after=None):
    """One answer: its text, thought, finish, and the times of its deltas."""
    t0 = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        path, b = request(i)
        writer.write(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                     b"Connection: close\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(b)) + b)
        if drop_after == 0:
            raise Gone
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split()[1])
        if status != 200:
            rest = await reader.read()
            return {"status": status, "head": head, "body": rest}
        a, done, times, buffer = Answer(), False, [], b""
        lines = b"x-ndjson" in head
        end = b"\n" if lines else b"\n\n"
        async for part in read_body(reader, head):
            buffer += part
            if b"application/json" in head:
                a.take(json.loads(buffer))
                times.append(time.monotonic() - t0)
                buffer, done = b"", True
            while end in buffer:
                event, buffer = buffer.split(end, 1)
                if event.startswith(b":"):
                    continue
                assert lines or event.startswith(b"data: "), event
                if event == b"data: [DONE]":
                    done = True
                    continue
                before = a.n_delta
                a.take(json.loads(event if lines else event[6:]))
                times.extend([time.monotonic() - t0] * (a.n_delta - before))
                if drop_after is not None and a.n_delta >= drop_after:
                    raise Gone
        assert not buffer, buffer
        done = done or (a.finish is not None and path in ("/completion", "/api/chat", "/api/generate"))  # no [DONE] there
        return {"status": 200, "text": a.text, "thought": a.thought, "finish": a.finish, "done": done, "n": a.n, "times": times or [0]}
    finally:
        writer.transport.abort() if drop_after is not None else writer.close()


async def get(port, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    data = await reader.read()
    writer.close()
    return data.split(b"\r\n\r\n", 1)[1]


def memory(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def same(a, b):
    return all(a.get(k) == b.get(k) for k in ("status", "text", "thought", "finish", "done", "n"))


async def settle(port):
    for _ in range(200):
        slots = json.loads(await get(port, "/slots"))
        if not any(s["is_processing"] for s in slots):
            return True
        await asyncio.sleep(0.05)
    return False


async def run(args, port, pid):
    kinds = args.kinds
    alone = [await ask(port, i) for i in range(kinds)]
    for i, a in enumerate(alone):
        assert a["status"] == 200 and a["done"], (i, a)
    rng = random.Random(args.seed)
    fd0 = descriptors(pid)
    left = args.requests
    until = time.monotonic() + args.seconds if args.seconds else None
    wrong, dropped, fine, first, between, rss, busy = [], 0, 0, [], [], [], 0

    async def client():
        nonlocal left, dropped, fine, busy
        while (time.monotonic() < until) if until else left > 0:
            left -= 1
            i = rng.randrange(kinds)
            drop = max(0, rng.randrange(-6, 12)) if rng.random() < args.drop else None  # 0: at once, a worker may have it
            try:
                a = await ask(port, i, drop)
            except Gone:
                dropped += 1
                continue
            if a["status"] == 429:
                busy += 1
                await asyncio.sleep(0.5)
                continue
            if not same(a, alone[i]):
                wrong.append((i, a, alone[i]))
                continue
            fine += 1
            first.append(a["times"][0])
            between.extend(y - x for x, y in zip(a["times"], a["times"][1:]))

    async def watch():
        while True:
            rss.append(memory(pid))
            await asyncio.sleep(1)

    watcher = asyncio.create_task(watch())
    t0 = time.monotonic()
    await asyncio.gather(*(client() for _ in range(args.clients)))
    elapsed = time.monotonic() - t0
    watcher.cancel()
    idle = await settle(port)
    await asyncio.sleep(0.5)
    fd1 = descriptors(pid)
    q = lambda v, p: round(1e3 * statistics.quantiles(v, n=100)[p - 1], 1) if len(v) > 1 else None
    tail = rss[len(rss) // 2:]
    out = {"requests": fine + dropped + len(wrong), "fine": fine, "dropped": dropped, "refused": busy,
           "wrong": len(wrong), "seconds": round(elapsed, 1), "ttft_ms": {"p50": q(first, 50), "p99": q(first, 99)},
           "inter_token_ms": {"p50": q(between, 50), "p99": q(between, 99)}, "slots_idle": idle,
           "fds": [fd0, fd1], "rss_mib": {"start": rss[0] // 1024, "half": tail[0] // 1024, "end": memory(pid) // 1024}}
    print(json.dumps(out))
    for i, a, b in wrong[:3]:
        print(f"request {i}: got {a}\n  alone {b}", file=sys.stderr)
    grown, limit = memory(pid) - tail[0], (512 if "asan" in args.program or "tsan" in args.program else 32) * 1024
    ok = not wrong and idle and fd1 <= fd0 + 1 and grown < limit and fine > 0  # sanitizers keep freed memory back
    if grown >= limit:
        print(f"memory grew by {grown} KiB in the second half", file=sys.stderr)
    return ok


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--program", default="build/glim")
    p.add_argument("--clients", type=int, default=64)
    p.add_argument("--requests", type=int, default=2000)
    p.add_argument("--drop", type=float, default=0.1)
    p.add_argument("--seconds", type=float, default=0)
    p.add_argument("--kinds", type=int, default=40)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("args", nargs="*", help="further arguments of the server, behind --")
    args = p.parse_args()
    server = subprocess.Popen([args.program, "serve", "--listen", "127.0.0.1:0", "--log", "warn", *args.args],
                              stderr=subprocess.PIPE, text=True)
    port, ready = None, False
    while not ready:
        line = server.stderr.readline()
        assert line, "the server ended"
        if "listening at http://" in line:
            port = int(line.rsplit(":", 1)[1])
        ready = "ready" in line
    import threading
    errors = []
    threading.Thread(target=lambda: errors.extend(server.stderr), daemon=True).start()
    ok = False
    try:
        ok = asyncio.run(run(args, port, server.pid))
    finally:
        server.send_signal(signal.SIGTERM)
        rc = server.wait(60)
        sys.stderr.write("".join(errors[-20:]))
    sys.exit(0 if ok and rc == 0 else 1)


if __name__ == "__main__":
    main()
