#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures glim and llama.cpp on the same encoder and the same texts.

    bench/encoders.py MODEL_FOLDER --glim build/bench/encoders [--llama PYTHON] [--types F32,F16,BF16,Q8_0]

MODEL_FOLDER is a BERT-like model as safetensors with tokenizer.json. PYTHON is an interpreter that can import
xllamacpp, or else llama_cpp (llama-cpp-python, which can be built for the machine at hand); without it only glim is
measured. This script itself needs the packages gguf, numpy, safetensors and tokenizers.

How it is fair:
  - GGUF twins of the folder are written in each type, and both programs read the same files.
  - Both get token ids, so neither pays for its tokenizer; loading and process start are not counted.
  - Runs alternate: glim, llama.cpp, glim, ... for each type, each a fresh process that warms up with one whole run.
  - llama.cpp is asked without a socket: through xllamacpp's server object, all texts in one call and base64 vectors
    back, or through the library itself with batches that are filled beforehand. Flash attention as it comes.
  - Where a machine is shared, the clock says little: the ratio of processor time stands beside it. With more than one
    thread it counts waiting in a loop as work, on both sides.
  - The vectors of both are compared with each other: what is fast and wrong shows.
(*) marks where llama.cpp crashed with weights in its own layout (use_extra_bufts) and was run without.
"""
import argparse
import base64
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

WORDS = """the of and to in a is that for it was on with as by at from are this be which or an have not but had were
all their one there we can has more about when time people water other some these would could into than first only
new also after years most over such our two used work before through between under world system information energy
government company market research history language science data model number process result method question answer
city river mountain weather winter summer morning evening train station airport hospital school teacher student
music picture story letter paper table window kitchen garden street bridge building engine machine computer network
program memory server request error message document search index vector price order product customer service report
small large early late quick slow bright dark strong weak simple difficult possible necessary important different
make take give find know think show write read build carry measure compare explain describe improve reduce increase
quietly carefully often rarely usually almost together without against during because although however therefore
photosynthesis electromagnetic constitutional telecommunications biochemistry Reykjavik Shakespeare Kubernetes""".split()


def sentences(n, seed=1):
    """n texts of 5 to 120 words, short ones more often than long ones, always the same."""
    rng = random.Random(seed)
    out = []
    for _ in range(n):
        # Titles and queries, sentences, paragraphs: the mix of a retrieval index.
        low, high = rng.choice([(5, 12), (5, 12), (12, 40), (12, 40), (12, 40), (40, 120)])
        words = [rng.choice(WORDS) for _ in range(rng.randint(low, high))]
        for i in range(9, len(words) - 1, rng.randint(7, 14)):
            words[i] += rng.choice([",", ".", ";"])
        out.append(" ".join(words).capitalize() + rng.choice([".", ".", "?", ""]))
    return out


def token_ids(folder, texts, n_max):
    from tokenizers import Tokenizer
    tok = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tok.no_padding()
    tok.enable_truncation(n_max)
    return [e.ids for e in tok.encode_batch(texts)]


# ---- GGUF twins -------------------------------------------------------------------------------------------------------

LAYER = {
    "attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm",
}
TOP = {
    "embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types", "embeddings.LayerNorm": "token_embd_norm",
}


def gguf_name(name):
    """Name of a tensor in GGUF, None for what an encoder does not need (pooler, position ids)."""
    stem, _, end = name.rpartition(".")
    if end not in ("weight", "bias"):
        return None
    if stem in TOP:
        return f"{TOP[stem]}.{end}"
    if stem.startswith("encoder.layer."):
        i, _, rest = stem[len("encoder.layer."):].partition(".")
        return f"blk.{i}.{LAYER[rest]}.{end}"
    return None


def write_gguf(folder, type_name, path):
    """Matrices in the type asked for; positions, token types, norms and biases in F32, as converters do."""
    import gguf
    import numpy as np
    from safetensors import safe_open
    cfg = json.loads((folder / "config.json").read_text())
    w = gguf.GGUFWriter(str(path), "bert")
    w.add_name(folder.name)
    w.add_context_length(cfg["max_position_embeddings"])
    w.add_embedding_length(cfg["hidden_size"])
    w.add_feed_forward_length(cfg["intermediate_size"])
    w.add_block_count(cfg["num_hidden_layers"])
    w.add_head_count(cfg["num_attention_heads"])
    w.add_layer_norm_eps(cfg["layer_norm_eps"])
    w.add_causal_attention(False)
    w.add_pooling_type(gguf.PoolingType.MEAN)
    w.add_file_type(gguf.LlamaFileType[{"F32": "ALL_F32"}.get(type_name, "MOSTLY_" + type_name)])
    vocab = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    special = [t.startswith("[") and t.endswith("]") for t in vocab]
    w.add_tokenizer_model("bert")
    w.add_token_list([t if s else t[2:] if t.startswith("##") else "\u2581" + t for t, s in zip(vocab, special)])
    w.add_token_types([gguf.TokenType.CONTROL if s else gguf.TokenType.NORMAL for s in special])
    w.add_token_type_count(cfg["type_vocab_size"])
    for token, put in (("[UNK]", w.add_unk_token_id), ("[SEP]", w.add_sep_token_id), ("[PAD]", w.add_pad_token_id),
                       ("[CLS]", w.add_bos_token_id), ("[MASK]", w.add_mask_token_id)):
        put(vocab.index(token))
    kind = gguf.GGMLQuantizationType[type_name]
    with safe_open(str(folder / "model.safetensors"), "np") as f:
        for name in f.keys():
            new = gguf_name(name)
            if new is None:
                continue
            data = f.get_tensor(name).astype(np.float32)
            keep = data.ndim == 1 or new.startswith(("position_embd", "token_types"))
            to = gguf.GGMLQuantizationType.F32 if keep else kind
            w.add_tensor(new, gguf.quants.quantize(data, to), raw_dtype=to)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


# ---- the two programs --------------------------------------------------------------------------------------------------

LLAMA_SIDE = r'''
import base64, json, sys, time
path, ids_path, threads, n_batch, slots, reps, out, extra = sys.argv[1:9]
threads, n_batch, slots, reps = int(threads), int(n_batch), int(slots), int(reps)
ids = [[int(t) for t in line.split()] for line in open(ids_path)]

def with_server(x):
    p = x.CommonParams()
    p.model.path = path
    p.embedding = True
    p.n_gpu_layers = 0
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
    p.n_batch = p.n_ubatch = n_batch
    p.n_parallel = slots
    p.n_ctx = 512 * slots
    p.pooling_type = x.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    p.verbosity = -1
    server = x.Server(p)
    request = json.dumps({"input": ids, "encoding_format": "base64", "embd_normalize": -1})
    answer = []
    def run():
        answer[:] = [server.handle_embeddings(request)]
    def vectors():
        a = answer[0]
        a = json.loads(a) if isinstance(a, str) else a
        return b"".join(base64.b64decode(r["embedding"]) for r in sorted(a["data"], key=lambda r: r["index"]))
    return run, vectors

def with_library(x):
    import ctypes
    with_library.quiet = x.llama_log_callback(lambda *a: None)  # must outlive this call
    x.llama_log_set(with_library.quiet, None)
    x.llama_backend_init()
    mp = x.llama_model_default_params()
    mp.n_gpu_layers = 0
    mp.use_extra_bufts = extra == "1"
    model = x.llama_model_load_from_file(path.encode(), mp)
    cp = x.llama_context_default_params()
    cp.n_ctx = cp.n_batch = cp.n_ubatch = n_batch
    cp.n_seq_max = slots
    cp.n_threads = cp.n_threads_batch = threads
    cp.embeddings = True
    cp.kv_unified = True
    cp.pooling_type = x.LLAMA_POOLING_TYPE_MEAN
    ctx = x.llama_init_from_model(model, cp)
    n_embd = x.llama_model_n_embd(model)
    batches, i = [], 0
    while i < len(ids):  # filled before the clock starts
        b, n, s = x.llama_batch_init(n_batch, 0, 1), 0, 0
        while i < len(ids) and s < slots and n + len(ids[i]) <= n_batch:
            for pos, t in enumerate(ids[i]):
                b.token[n], b.pos[n], b.n_seq_id[n], b.logits[n] = t, pos, 1, 1
                b.seq_id[n][0] = s
                n += 1
            s, i = s + 1, i + 1
        b.n_tokens = n
        batches.append((b, s))
    rows = []
    def run():
        rows.clear()
        for b, s in batches:
            if x.llama_encode(ctx, b):
                sys.exit("llama_encode failed")
            rows.extend(ctypes.string_at(x.llama_get_embeddings_seq(ctx, k), 4 * n_embd) for k in range(s))
    return run, lambda: b"".join(rows)

try:
    import xllamacpp
    run, vectors = with_server(xllamacpp)
except ImportError:
    import llama_cpp
    run, vectors = with_library(llama_cpp)
for i in range(reps + 1):
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if i > 0:
        print(json.dumps({"seconds": wall, "cpu_seconds": cpu}), flush=True)
with open(out, "wb") as f:
    f.write(vectors())
'''


def run(command):
    """Repetitions as (seconds, processor seconds); None when the program was ended by a signal."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode < 0:
        return None
    if done.returncode:
        sys.exit(f"{command[0]} failed ({done.returncode}):\n{done.stderr[-2000:]}")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"seconds"')]
    return [(r["seconds"], r["cpu_seconds"]) for r in lines]


def run_llama(args, path, ids_path, out):
    """With the weights turned round for its own tile kernels where it can; where that crashes, without."""
    for extra in ("1", "0"):
        got = run([args.llama, "-c", LLAMA_SIDE, path, ids_path, args.threads, args.n_batch, args.slots, 2, out, extra])
        if got:
            return got, extra
    sys.exit("llama.cpp crashed")


def cosine_distance(a, b, n):
    import numpy as np
    x, y = (np.fromfile(p, np.float32).astype(np.float64).reshape(n, -1) for p in (a, b))
    c = (x * y).sum(1) / (np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1))
    return 1 - c.min()


def measure(args, folder, ids_path, n_text, n_token, tmp):
    print(f"{n_text} texts, {n_token} tokens, {args.threads} threads, {args.rounds} rounds, medians; kernels {args.level}\n")
    print("| weights | glim t/s | spread | llama.cpp t/s | spread | ratio | ratio of processor time | cosine distance, largest |")
    print("| :------ | -------: | -----: | ------------: | -----: | ----: | ----------------------: | -----------------------: |")
    for kind in args.types.split(","):
        path = tmp / f"{kind}.gguf"
        write_gguf(folder, kind, path)
        ours, theirs = tmp / "glim.bin", tmp / "llama.bin"
        glim, llama, extra = [], [], "1"
        for _ in range(args.rounds):
            glim += run([args.glim, path, ids_path, args.threads, args.level, args.glim_batch, 4, ours])[1:]
            if args.llama:
                got, extra = run_llama(args, path, ids_path, theirs)
                llama += got
        row = [kind + ("" if extra == "1" else " (*)")] + rate(glim, n_token)
        if llama:
            row += rate(llama, n_token) + [f"{median(llama, i) / median(glim, i):.2f}" for i in (0, 1)]
            row += [f"{cosine_distance(ours, theirs, n_text):.1e}"]
        print("| " + " | ".join(row + ["-"] * (8 - len(row))) + " |", flush=True)


def median(runs, i):
    return statistics.median(r[i] for r in runs)


def rate(runs, n_token):
    wall = [r[0] for r in runs]
    return [f"{n_token / median(runs, 0):.0f}", f"{n_token / max(wall):.0f}-{n_token / min(wall):.0f}"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", type=pathlib.Path)
    p.add_argument("--glim", default="build/bench/encoders")
    p.add_argument("--machine", help="the glim program: also prints the machine's limits")
    p.add_argument("--llama", help="a Python that can import xllamacpp or llama_cpp")
    p.add_argument("--types", default="F32,F16,BF16,Q8_0")
    p.add_argument("--texts", type=int, default=1000)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--level", default="auto", help="glim's --cpu")
    p.add_argument("--glim-batch", type=int, default=2048)
    p.add_argument("--n-batch", type=int, default=512)
    p.add_argument("--slots", type=int, default=64)
    p.add_argument("--max-tokens", type=int, default=256)
    p.add_argument("--keep", type=pathlib.Path, help="write ids and GGUF files here and leave them")
    args = p.parse_args()
    ids = token_ids(args.model, sentences(args.texts), args.max_tokens)
    with tempfile.TemporaryDirectory() as tmp:
        tmp = args.keep or pathlib.Path(tmp)
        tmp.mkdir(exist_ok=True)
        ids_path = tmp / "ids.txt"
        ids_path.write_text("".join(" ".join(map(str, t)) + "\n" for t in ids))
        measure(args, args.model, ids_path, len(ids), sum(map(len, ids)), tmp)
    if args.machine:
        print(flush=True)
        subprocess.run([args.machine, "bench", "--machine", "--prompt", "0", "--gen", "0"], check=True)


if __name__ == "__main__":
    main()
