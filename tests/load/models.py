#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ten models of three kinds in a server that keeps three of them in memory, asked by many clients at once.

  tests/load/models.py --program build/glim [--clients 32] [--requests 1500] [--drop 0.1] [--seconds 0] [--seed 1]

Makes the models (the golden encoders, each with weights of its own, and the bundled chat model), asks every kind of request
of every model once for itself, then lets the clients ask them in random order, so that models come and go all the time;
a share of them drops the connection at a random moment. Every answer must be the one that was given alone, and none may be
lost or refused. The load runs in two halves. At the end no more descriptors are open than before, and memory stands where it
stood after the first half. Prints one JSON object with the figures; exits 1 on any difference. With --seconds each half goes
on for half that time, whatever the number of requests (a soak).

Memory is the anonymous part (RssAnon: what is mapped of the files belongs to the system), measured each time with the same
three models in memory. The first half fills what stays with a process that has many threads: their stacks and the allocator's
arenas. After it there is no reason to grow, and what the allocator's own moods were seen to make of it is 3.5 MiB. 750 requests
make models come 100 times and more: 64 KiB lost at each would be seen.
"""
import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "support")]
import load  # noqa: E402
import toymodels  # noqa: E402

N_EMBEDDING, N_RERANK, N_MAX = 6, 3, 3
TEXTS = ["hello", "你好，世界", "The food was delicious and the waiter...", "x", "今天天气怎么样？我想去北京。", "<div class='a'>&nbsp;</div>"]
SENTENCE = "A quiet river carries timber past old mills, bridges and gardens towards the harbour."
GROWTH_KIB = 8 << 10
GROWTH_SANITIZER_KIB = 512 << 10  # sanitizers keep freed memory back
CHANGING = {"id", "created", "created_at", "request_id", "total_duration", "load_duration", "prompt_eval_duration", "eval_duration",
            "cached_tokens"}


# ---- what is asked: path and body for a model's name and a random generator that fixes all the rest ------------------


def some(rng, most=4):
    return [rng.choice(TEXTS) for _ in range(rng.randint(1, most))]


def ask_chat(rng):
    q = rng.choice(load.QUESTIONS)
    return {"messages": [{"role": "user", "content": q}], "max_tokens": rng.choice([1, 4, 12]), "temperature": rng.choice([0, 0.7]),
            "seed": rng.randrange(100)}


CHAT = [
    ("/v1/chat/completions", lambda rng: {**ask_chat(rng), "stream": True}),
    ("/v1/chat/completions", ask_chat),
    ("/api/paas/v4/chat/completions", lambda rng: {**ask_chat(rng), "stream": True}),
    ("/api/generate", lambda rng: {"prompt": rng.choice(load.QUESTIONS), "stream": False, "options": {"num_predict": 4, "temperature": 0}}),
    ("/v1/tokenize", lambda rng: {"prompt": rng.choice(load.QUESTIONS)}),
]
EMBEDDING = [
    ("/v1/embeddings", lambda rng: {"input": some(rng)}),
    ("/v1/embeddings", lambda rng: {"input": rng.choice(TEXTS), "encoding_format": "base64", "dimensions": rng.choice([8, 80])}),
    ("/v1/embeddings", lambda rng: {"input": [[rng.randrange(3000) for _ in range(rng.randint(1, 60))] for _ in range(8)]}),
    ("/api/paas/v4/embeddings", lambda rng: {"input": some(rng)}),
    ("/api/embed", lambda rng: {"input": some(rng), "keep_alive": rng.choice([0, "5m"])}),
    ("/api/embeddings", lambda rng: {"prompt": rng.choice(TEXTS)}),
    ("/embedding", lambda rng: {"prompt": some(rng) + ["word " * 200]}),
    ("/keyword", lambda rng: {"input": SENTENCE, "top": rng.choice([3, 5]), "mmr": rng.random() < 0.5}),
]
RERANK = [
    ("/v1/rerank", lambda rng: {"query": rng.choice(TEXTS), "documents": some(rng), "return_documents": True}),
    ("/rerank", lambda rng: {"query": rng.choice(TEXTS), "documents": some(rng), "top_n": 2}),
    ("/api/paas/v4/rerank", lambda rng: {"query": rng.choice(TEXTS), "documents": some(rng), "return_raw_scores": True}),
]


def make_models(folder):
    """name -> what can be asked of it; the server's arguments."""
    models, args = {"glim-demo": CHAT}, ["-m", toymodels.DEMO]
    found = os.path.join(folder, "found")
    os.makedirs(found)
    for i in range(N_EMBEDDING + N_RERANK):
        ranks = i >= N_EMBEDDING
        name = f"{'rank' if ranks else 'embed'}-{i}"
        # Half of them were given, the others are found: those may be let go by a client.
        place = os.path.join(found if i % 2 else folder, name)
        toymodels.make(place, "xlm-roberta-reranker" if ranks else "ernie", pooling=[None, "cls", "lasttoken"][i % 3] if not ranks else None,
                       seed=i)
        models[name] = RERANK if ranks else EMBEDDING
        if i % 2 == 0:
            args += ["-m", place]
    return models, args, {"GLIM_MODELS": found}


def make_requests(models, n_each):
    """A list of (path, body); all that matters is fixed by its number."""
    out = []
    for name, kinds in models.items():
        for i in range(n_each):
            for k, (path, make) in enumerate(kinds):
                body = {"model": name, **make(random.Random(f"{name} {k} {i}"))}
                out.append((path, json.dumps(body).encode()))
    return out


# ---- one request ------------------------------------------------------------------------------------


def constant(v):
    """Without what may differ from one answer to the next."""
    if isinstance(v, dict):
        return {k: constant(x) for k, x in v.items() if k not in CHANGING}
    return [constant(x) for x in v] if isinstance(v, list) else v


async def ask(port, path, body, drop_s=None):
    """Status and what the answer says. drop_s: leaves after so many seconds, unless the answer was faster."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                     b"Connection: close\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(body)) + body)
        if drop_s is not None:
            await asyncio.wait_for(reader.read(), drop_s)
            raise load.Gone
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split()[1])
        data = b"".join([part async for part in load.read_body(reader, head)])
        if status != 200 or b"event-stream" not in head:
            cut = b"x-glim-truncated" in head
            return status, cut, constant(json.loads(data))
        a = load.Answer()
        events = data.decode().split("\n\n")
        assert events[-2:] == ["data: [DONE]", ""], events[-3:]
        for event in events[:-2]:
            if not event.startswith(":"):
                a.take(json.loads(event[6:]))
        return status, a.text, a.thought, a.finish
    except asyncio.TimeoutError:
        raise load.Gone from None
    finally:
        writer.transport.abort() if drop_s is not None else writer.close()


async def metrics(port):
    out = {}
    for line in (await load.get(port, "/metrics")).decode().splitlines():
        if line and not line.startswith("#") and "{" not in line:
            name, value = line.split()
            out[name] = float(value)
    return out


def adds_up(m):
    return m["glim_model_loads_total"] - m["glim_model_unloads_total"] == m["glim_models_loaded"]


async def settle(port):
    """The metrics when nobody is being answered any more and no model is on its way in or out, which one may be for a client
    that has left; None when nobody leaves."""
    idle = None
    for _ in range(400):
        m = await metrics(port)
        if m["glim_requests_running"] == m["glim_requests_waiting"] == 0 and m["glim_connections"] <= 1:
            idle = m
            if adds_up(m):
                break
        await asyncio.sleep(0.05)
    return idle


def anonymous_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssAnon"))


# ---- the load ---------------------------------------------------------------------------------------


class Figures:
    def __init__(self):
        self.fine = self.dropped = 0
        self.wrong, self.most, self.seconds = [], 0, []


async def half(args, port, todo, alone, f, rng):
    left = args.requests // 2
    until = time.monotonic() + args.seconds / 2 if args.seconds else None

    async def client():
        nonlocal left
        while (time.monotonic() < until) if until else left > 0:
            left -= 1
            i = rng.randrange(len(todo))
            drop = rng.choice([0, 0.001, 0.005, 0.02]) if rng.random() < args.drop else None
            t0 = time.monotonic()
            try:
                got = await ask(port, *todo[i], drop)
            except load.Gone:
                f.dropped += 1
                continue
            except (OSError, asyncio.IncompleteReadError) as e:
                got = ("lost", repr(e))
            f.seconds.append(time.monotonic() - t0)
            if got == alone[i]:
                f.fine += 1
            else:
                f.wrong.append((i, got))

    async def watch():
        while True:
            f.most = max(f.most, (await metrics(port))["glim_models_loaded"])
            await asyncio.sleep(0.05)

    watcher = asyncio.create_task(watch())
    await asyncio.gather(*(client() for _ in range(args.clients)))
    watcher.cancel()


async def run(args, models, port, pid):
    todo = make_requests(models, args.kinds)
    names = [next(n for n, k in models.items() if k is kinds) for kinds in (CHAT, EMBEDDING, RERANK)]
    rng, f = random.Random(args.seed), Figures()

    async def stand():
        """The same three models in memory, nobody else there: descriptors and memory."""
        m = await settle(port)
        for name in names:
            path, body = next((p, b) for p, b in todo if json.loads(b)["model"] == name)
            await ask(port, path, body)
        await asyncio.sleep(0.2)
        return m, len(os.listdir(f"/proc/{pid}/fd")), anonymous_kib(pid)

    alone = [await ask(port, *r) for r in todo]
    for r, a in zip(todo, alone):
        assert a[0] == 200, (r, a)
    assert len({json.dumps(a) for a in alone}) > len(todo) // 2, "the models do not differ"
    await asyncio.gather(*(ask(port, *r) for r in todo[:args.clients]))
    t0 = time.monotonic()
    stands = [await stand()]
    for _ in range(2):
        await half(args, port, todo, alone, f, rng)
        stands.append(await stand())
    m = stands[-1][0] or {}
    f.seconds.sort()
    q = lambda p: round(1e3 * f.seconds[int(p * (len(f.seconds) - 1))], 1)  # noqa: E731
    grown = stands[2][2] - stands[1][2]
    limit = GROWTH_SANITIZER_KIB if args.sanitized else GROWTH_KIB
    print(json.dumps({
        "requests": f.fine + f.dropped + len(f.wrong), "fine": f.fine, "dropped": f.dropped, "wrong": len(f.wrong), "kinds": len(todo),
        "seconds": round(time.monotonic() - t0, 1), "ms": {"p50": q(0.5), "p99": q(0.99), "max": q(1)}, "loads": m.get("glim_model_loads_total"),
        "unloads": m.get("glim_model_unloads_total"), "most_loaded": f.most, "fds": [s[1] for s in stands],
        "anonymous_kib": [s[2] for s in stands]}))
    for i, got in f.wrong[:3]:
        print(f"{todo[i]}: got {got}\n  alone {alone[i]}", file=sys.stderr)
    faults = {
        "an answer was not the one that is given alone": f.wrong,
        "nothing was answered": not f.fine,
        "requests were still going on at the end": any(s[0] is None for s in stands),
        f"more than {N_MAX} models were in memory": f.most > N_MAX,
        "no models came and went": m and m["glim_model_unloads_total"] < 10,
        "models that came, went and are here do not add up":
            m and not adds_up(m),
        "descriptors were left open": stands[2][1] > stands[0][1] + 1,
        f"memory grew by {grown} KiB in the second half": grown > limit,
    }
    for text, is_so in faults.items():
        if is_so:
            print(f"models.py: {text}", file=sys.stderr)
    return not any(faults.values())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--program", default="build/glim")
    p.add_argument("--clients", type=int, default=32)
    p.add_argument("--requests", type=int, default=1500)
    p.add_argument("--drop", type=float, default=0.1)
    p.add_argument("--seconds", type=float, default=0)
    p.add_argument("--kinds", type=int, default=2, help="of each kind of request and model")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--sanitized", action="store_true", help="the program keeps freed memory back")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models, more, env = make_models(folder)
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("GLIM_", "GLM_", "HF_"))}
        server = subprocess.Popen([args.program, "serve", "--listen", "127.0.0.1:0", "--log", "warn", "--models-max", str(N_MAX), *more],
                                  stderr=subprocess.PIPE, text=True, cwd=folder, env={**clean, "HOME": "/nonexistent", **env})
        port, ready, said, ok = None, False, [], False
        try:
            while not ready:
                line = server.stderr.readline()
                assert line, "the server ended"
                if "listening at http://" in line:
                    port = int(line.rsplit(":", 1)[1])
                ready = "ready" in line
            reader = threading.Thread(target=lambda: said.extend(server.stderr), daemon=True)
            reader.start()
            ok = asyncio.run(run(args, models, port, server.pid))
        finally:
            server.terminate()
            rc = server.wait(60)
        if any("lvl=error" in line for line in said):
            print("models.py: the server logged an error", file=sys.stderr)
            ok = False
        if rc:
            print(f"models.py: the server ended with status {rc}", file=sys.stderr)
        if rc or not ok:
            sys.stderr.write("".join(said[-200:]))
    return 0 if ok and rc == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
