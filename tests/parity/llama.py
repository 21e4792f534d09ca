#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares glim with llama.cpp on the same model file, token by token.

llama.cpp (the PyPI wheel xllamacpp, in this process) continues some prompts greedily and gives the log-probabilities
of its 256 likeliest tokens at every step. glim is then fed prompt and continuation and asked for the same positions.
Reported: the median and largest divergence KL(llama.cpp || glim) over the 256 tokens and the mass of all others; at how
many positions the likeliest token differs, and how large llama.cpp's lead was there.

  tests/parity/llama.py [--glim build/glim] [--work build/parity] [CASE ...]

CASE: demo, q4_k_m, q4_k_m-unsloth, q8_0, bf16, f32 (default: all), or the path of a GGUF file. Models are written to --work by `glim synth` when
they are not there, and removed again with --clean. Needs xllamacpp; see README.md beside this file.
Exit status: 0 all within bounds, 1 not, 77 no xllamacpp."""
import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
N_TOP = 256  # asked of llama.cpp
N_GLIM = 8192  # listed by glim: llama.cpp's 256 are among them, or far off
EACH = 50  # positions of one prompt at most
ENDS = 40  # the last ids of the synthetic vocabulary: special and unused ones, not for prompts

# name: (synth options or None for the demo, key/value cache, bound of the median KL, lead below which the choice may differ)
CASES = {
    "demo": (None, "f16", 5e-3, 0.2),
    "q4_k_m": (["--type", "q4_k_m", "--layers", "4"], "f16", 5e-3, 0.2),
    "q4_k_m-unsloth": (["--type", "q4_k_m", "--mix", "unsloth", "--layers", "4"], "f16", 5e-3, 0.2),
    "q8_0": (["--type", "q8_0", "--layers", "4"], "f16", 5e-3, 0.2),
    "bf16": (["--type", "bf16", "--layers", "4"], "f32", 5e-3, 0.1),
    "f32": (["--type", "f32", "--layers", "4"], "f32", 1e-5, 0.01),
}
DEMO_PROMPTS = [
    "Who are you?",
    "Tell me a short story about a dog and a lighthouse.",
    "What is 17 + 26? Think step by step.",
    "Sort these numbers: 42, 7, 93, 15.",
    "What is the capital of France?",
    "Name three fruits and say what colour they are.",
    "What is the opposite of hot?",
    "Tell me a short story about a cat that lost its hat.",
    "Is 91 an even number? Think first.",
    "List three tips for sleeping well.",
    "Spell the word lighthouse.",
]


class Glim:
    def __init__(self, path):
        self.path = path

    def run(self, args, text=""):
        p = subprocess.run([self.path, *args], input=text, capture_output=True, text=True)
        if p.returncode:
            sys.exit(f"glim {' '.join(args)}: exit status {p.returncode}: {p.stderr.strip()}")
        return p.stdout

    def tops(self, model, ids, kv, first, extra):
        """{position: {id: logprob}} from position `first` on."""
        out = self.run(
            ["logits", "-m", model, "--tokens", "-", "--all", "--top", str(N_GLIM), "--kv", kv, "--ctx", "1024", *extra],
            json.dumps(ids),
        )
        rows = {}
        for line in out.splitlines():
            row = json.loads(line)
            if row["pos"] >= first:
                rows[row["pos"]] = row["top"]
        return rows

    def greedy(self, model, ids, kv, n, extra):
        args = ["logits", "-m", model, "--tokens", "-", "--top", "1", "--kv", kv, "--ctx", "1024", "--greedy", str(n)]
        return json.loads(self.run([*args, *extra], json.dumps(ids)).splitlines()[-1])["greedy"]


def llama_server(model, kv, threads):
    import xllamacpp as x

    p = x.CommonParams()
    p.model.path = model
    p.hostnames = ["127.0.0.1"]
    p.port = 0  # the system's choice
    p.n_ctx = 1024
    p.n_parallel = 1
    p.n_gpu_layers = 0
    p.warmup = False
    p.ui = False
    p.fit_params = False
    p.no_extra_bufts = True  # weights as they are in the file: no copy in another layout
    p.cache_ram_mib = 0
    p.verbosity = 0
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
    kind = {"f16": x.ggml_type.GGML_TYPE_F16, "f32": x.ggml_type.GGML_TYPE_F32}[kv]
    p.cache_type_k = p.cache_type_v = kind
    if kv == "f32":
        p.flash_attn_type = x.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED  # it would round to f16
    return x.Server(p)


def llama_continue(server, ids, n):
    """[(id, [(id, logprob)])] of greedy steps; ends early at a token that ends a turn."""
    ask = {
        "prompt": ids,
        "n_predict": n,
        "temperature": 0,
        "n_probs": N_TOP,
        "cache_prompt": False,
        "return_tokens": True,
        "post_sampling_probs": False,
        "stream": False,
    }
    request = urllib.request.Request(
        server.listening_address + "/completion", json.dumps(ask).encode(), {"Content-Type": "application/json"}
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback, whatever the environment says
    with direct.open(request, timeout=600) as reply:
        answer = json.load(reply)
    steps = []
    # A token that ends inside a character has no entry among the probabilities: compared up to there.
    for token, step in zip(answer["tokens"], answer["completion_probabilities"]):
        if token != step["id"]:
            break
        steps.append((token, [(t["id"], t["logprob"]) for t in step["top_logprobs"]]))
    return steps


def divergence(p, q):
    """KL(p || q) over p's listed tokens and everything else."""
    q = dict(q)
    floor = min(q.values())  # not listed by glim: at most this
    kl = p_sum = q_sum = 0.0
    for i, lp in p:
        lq = q.get(i, floor)
        kl += math.exp(lp) * (lp - lq)
        p_sum += math.exp(lp)
        q_sum += math.exp(lq)
    p_rest, q_rest = max(1 - p_sum, 1e-12), max(1 - q_sum, 1e-12)
    return kl + p_rest * math.log(p_rest / q_rest)


def prompts_of(glim, model, synth):
    if synth:
        r = random.Random(7)
        return [[154822, 154824, 154827] + [r.randrange(154880 - 60 - ENDS) for _ in range(n)] for n in (5, 17, 40, 90, 11, 60)]
    out = []
    for text in DEMO_PROMPTS:
        rendered = glim.run(["template", "-m", model], json.dumps({"messages": [{"role": "user", "content": text}]}))
        out.append(json.loads(glim.run(["tokenize", "-m", model, "--special"], rendered))["tokens"])
    return out


def compare(glim, name, model, n, threads, extra):
    synth, kv, kl_bound, lead_bound = CASES.get(name, CASES["demo"])
    prompts = prompts_of(glim, model, synth)
    began = time.time()
    server = llama_server(model, kv, threads)
    load = time.time() - began
    runs, left = [], n
    for ids in prompts:
        if left > 0:
            runs.append((ids, llama_continue(server, ids, min(left, EACH))))
            left -= len(runs[-1][1])
    del server
    kls, differ, same = [], [], True
    for ids, steps in runs:
        if not steps:
            continue
        chosen = [i for i, _ in steps]
        rows = glim.tops(model, ids + chosen[:-1], kv, len(ids) - 1, extra)
        near = None  # first step at which llama.cpp's lead is small
        for k, (_, top) in enumerate(steps):
            row = rows[len(ids) - 1 + k]
            kls.append(divergence(top, row))
            lead = top[0][1] - top[1][1]
            if lead < lead_bound and near is None:
                near = k
            if row[0][0] != top[0][0]:
                differ.append(lead)
        own = glim.greedy(model, ids, kv, len(steps), extra)
        upto = len(steps) if near is None else near
        same = same and own[:upto] == chosen[:upto]
    bad = [d for d in differ if d >= lead_bound]
    median = statistics.median(kls)
    ok = median <= kl_bound and not bad and same and len(kls) > 0
    print(
        f"{os.path.basename(name):15} {len(kls):4} positions  KL median {median:.2e} p95 {sorted(kls)[int(len(kls) * 0.95)]:.2e} max {max(kls):.2e}"
        f"  other choice {len(differ)}x (largest lead {max(differ, default=0):.3f})"
        f"  own greedy {'equal' if same else 'DIFFERS'}  llama.cpp load {load:.1f} s  {'ok' if ok else 'FAILED'}",
        flush=True,
    )
    return ok


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--glim", default=os.path.join(ROOT, "build/glim"))
    a.add_argument("--work", default=os.path.join(ROOT, "build/parity"))
    a.add_argument("--demo", default=os.path.join(ROOT, "models/glim-demo.gguf"))
    a.add_argument("--positions", type=int, default=200)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--cpu", default=None, help="glim's --cpu")
    a.add_argument("--clean", action="store_true")
    a.add_argument("case", nargs="*")
    o = a.parse_args()
    try:
        import xllamacpp  # noqa: F401
    except ImportError:
        print("xllamacpp is not installed: nothing is compared (see tests/parity/README.md)")
        return 77
    glim = Glim(o.glim)
    os.makedirs(o.work, exist_ok=True)
    ok = True
    for name in o.case or CASES:
        if name not in CASES and not os.path.isfile(name):
            sys.exit(f"no case and no file {name}; there are {', '.join(CASES)}")
        synth = CASES[name][0] if name in CASES else None
        model = os.path.join(o.work, name + ".gguf") if synth else o.demo if name in CASES else name
        if not os.path.exists(model):
            glim.run(["synth", *synth, model])
        extra = ["--threads", str(o.threads)] + (["--cpu", o.cpu] if o.cpu else [])
        ok = compare(glim, name, model, o.positions, o.threads, extra) and ok
        if o.clean and synth:
            os.remove(model)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
