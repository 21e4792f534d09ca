# SPDX-License-Identifier: MIT
"""Small encoders for tests that need several models: the golden ones, whole, as folders of their own.

The golden folders of the checkout hold no tokenizer, since another golden area has the same file; here both come
together. What a model's own library would find beside the weights (pooling, length, normalising) is written as asked.
"""
import json
import os
import random
import shutil
import struct

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(TESTS)
DEMO = os.path.join(ROOT, "models", "glim-demo.gguf")
PLACES = [os.path.join(TESTS, "golden", "encoders"), os.path.join(ROOT, "..", "shared", "golden", "encoders")]
NAMES = ["ernie", "xlm-roberta-reranker", "bert", "bert-unigram", "xlm-roberta", "all-minilm-l6-v2"]
TOKENIZERS = {"ernie": "wordpiece-cased", "xlm-roberta-reranker": "sp-unigram-xlmr"}
MODULES = "sentence_transformers.models."


def golden(name, file):
    """The path of a golden file, the checkout's own first; None when it is absent."""
    for place in PLACES:
        path = os.path.join(place, name, file)
        if os.path.exists(path):
            return path
    return None


def cases(name, file="vectors.jsonl"):
    """The golden results of an encoder, or None."""
    path = golden(name, file)
    if path is None:
        return None
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def tokenizer(name):
    if name in TOKENIZERS:
        return os.path.join(TESTS, "golden", "tokenizer", TOKENIZERS[name], "tokenizer.json")
    return golden(name, "tokenizer.json")


def is_there(name):
    return golden(name, "model.safetensors") is not None and tokenizer(name) is not None


def shift(path, seed):
    """Makes another model of it: one bias of the first norm is moved, so that every vector differs."""
    rng = random.Random(seed)
    with open(path, "r+b") as f:
        n_head = struct.unpack("<Q", f.read(8))[0]
        head = json.loads(f.read(n_head))
        name = next(k for k in head if k.endswith("embeddings.LayerNorm.bias"))
        assert head[name]["dtype"] == "F32", head[name]
        begin, end = head[name]["data_offsets"]
        n = (end - begin) // 4
        f.seek(8 + n_head + begin)
        values = struct.unpack(f"<{n}f", f.read(end - begin))
        f.seek(8 + n_head + begin)
        f.write(struct.pack(f"<{n}f", *(v + rng.uniform(-0.5, 0.5) for v in values)))


def write_json(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f)


def make(folder, name, pooling=None, normalize=False, max_length=None, seed=None):
    """A folder with the golden encoder `name`. pooling ("cls", "mean", "lasttoken") and normalize: as modules.json of the
    sentence-transformers library says it; max_length: its limit; seed: other weights."""
    os.makedirs(folder)
    for file in ("config.json", "model.safetensors"):
        shutil.copyfile(golden(name, file), os.path.join(folder, file))
    shutil.copyfile(tokenizer(name), os.path.join(folder, "tokenizer.json"))
    if pooling or normalize:
        steps = ["Transformer", "Pooling"] + ["Normalize"] * normalize
        paths = ["", "1_Pooling", "2_Normalize"]
        write_json(os.path.join(folder, "modules.json"),
                   [{"idx": i, "name": str(i), "path": paths[i], "type": MODULES + s} for i, s in enumerate(steps)])
        kinds = {"cls": "cls_token", "mean": "mean_tokens", "lasttoken": "lasttoken"}
        write_json(os.path.join(folder, "1_Pooling", "config.json"),
                   {"pooling_mode_" + kinds[k]: k == (pooling or "mean") for k in kinds})
    if max_length:
        write_json(os.path.join(folder, "sentence_bert_config.json"), {"max_seq_length": max_length, "do_lower_case": False})
    if seed is not None:
        shift(os.path.join(folder, "model.safetensors"), seed)
    return folder
