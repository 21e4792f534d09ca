#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures glim and llama.cpp (through the package xllamacpp) on the same encoder and the same texts.

    bench/encoders.py MODEL_FOLDER --glim build/bench/encoders [--llama PYTHON] [--types F32,F16,BF16,Q8_0]

MODEL_FOLDER is a BERT-like model as safetensors with tokenizer.json. PYTHON is an interpreter that can import
xllamacpp (that of a virtual environment, say); without it only glim is measured. Needs the packages gguf, numpy,
safetensors and tokenizers.

How it is fair:
  - GGUF twins of the folder are written in each type, and both programs read the same files.
  - Both get token ids, so neither pays for its tokenizer; loading and process start are not counted.
  - Runs alternate: glim, llama.cpp, glim, ... for each type, each a fresh process that warms up with one whole run.
  - llama.cpp is asked through its server object, without a socket, all texts in one call, base64 vectors; batches and
    slots are what was fastest here (--n-batch, --slots), flash attention as it comes.
  - The vectors of both are compared with each other: what is fast and wrong shows.
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
import xllamacpp as x
path, ids_path, threads, n_batch, slots, reps, out = sys.argv[1:8]
ids = [[int(t) for t in line.split()] for line in open(ids_path)]
p = x.CommonParams()
p.model.path = path
p.embedding = True
p.n_gpu_layers = 0
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = int(threads)
p.n_batch = p.n_ubatch = int(n_batch)
p.n_parallel = int(slots)
p.n_ctx = 512 * int(slots)
p.pooling_type = x.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
p.verbosity = -1
server = x.Server(p)
request = json.dumps({"input": ids, "encoding_format": "base64", "embd_normalize": -1})
for i in range(int(reps) + 1):
    t0 = time.perf_counter()
    answer = server.handle_embeddings(request)
    s = time.perf_counter() - t0
    if i > 0:
        print(json.dumps({"seconds": s}), flush=True)
answer = json.loads(answer) if isinstance(answer, str) else answer
rows = sorted(answer["data"], key=lambda r: r["index"])
with open(out, "wb") as f:
    for r in rows:
        f.write(base64.b64decode(r["embedding"]))
'''


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[0]} failed ({done.returncode}):\n{done.stderr[-2000:]}")
    return [json.loads(line)["seconds"] for line in done.stdout.splitlines() if line.startswith('{"seconds"')]


def cosine_distance(a, b, n):
    import numpy as np
    x, y = (np.fromfile(p, np.float32).astype(np.float64).reshape(n, -1) for p in (a, b))
    c = (x * y).sum(1) / (np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1))
    return 1 - c.min()


def measure(args, folder, ids_path, n_text, n_token, tmp):
    print(f"{n_text} texts, {n_token} tokens, {args.threads} threads, medians of {args.rounds} rounds\n")
    print("| weights | glim t/s | spread | llama.cpp t/s | spread | ratio | largest cosine distance |")
    print("| :------ | -------: | -----: | ------------: | -----: | ----: | ----------------------: |")
    for kind in args.types.split(","):
        path = tmp / f"{kind}.gguf"
        write_gguf(folder, kind, path)
        ours, theirs = tmp / "glim.bin", tmp / "llama.bin"
        glim, llama = [], []
        for _ in range(args.rounds):
            glim += run([args.glim, path, ids_path, str(args.threads), args.level, str(args.glim_batch), "4", ours])[1:]
            if args.llama:
                llama += run([args.llama, "-c", LLAMA_SIDE, path, ids_path, str(args.threads), str(args.n_batch),
                              str(args.slots), "2", theirs])
        row = [kind] + rate(glim, n_token)
        if llama:
            ratio = statistics.median(llama) / statistics.median(glim)
            row += rate(llama, n_token) + [f"{ratio:.2f}", f"{cosine_distance(ours, theirs, n_text):.1e}"]
        print("| " + " | ".join(row + ["-"] * (7 - len(row))) + " |", flush=True)


def rate(seconds, n_token):
    return [f"{n_token / statistics.median(seconds):.0f}",
            f"{n_token / max(seconds):.0f}-{n_token / min(seconds):.0f}"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", type=pathlib.Path)
    p.add_argument("--glim", default="build/bench/encoders")
    p.add_argument("--machine", help="the glim program: also prints the machine's limits")
    p.add_argument("--llama", help="a Python that can import xllamacpp")
    p.add_argument("--types", default="F32,F16,BF16,Q8_0")
    p.add_argument("--texts", type=int, default=1000)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--level", default="auto", help="glim's --cpu")
    p.add_argument("--glim-batch", type=int, default=2048)
    p.add_argument("--n-batch", type=int, default=2048)
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
