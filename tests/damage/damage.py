#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""damage.py - model files broken in every way, one at a time; the program has to say what is wrong and end.

    damage.py --glim build/glim [--area gguf safetensors bundled] [--only PATTERN] [--sanitized] [--keep FOLDER]

Every case says which commands must fail. HEADER: all of inspect, tokenize and logits. TENSORS: inspect and logits (a
vocabulary is opened without its tensors). MODEL: logits (inspect may show what a file claims). TEXT: tokenize. ANY: none
must, but nothing may crash, hang or take memory; a result that comes out must be what it is said to be.
"""
import argparse
import fnmatch
import json
import math
import os
import random
import shutil
import struct
import sys
import tempfile

import gguf
from gguf import ARR, BOOL, F32, F64, I32, I64, STR, U32, U64, U8
from runner import Runner

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SMALL = os.path.join(ROOT, "tests", "golden", "models", "glm-lite-small")

HEADER, TENSORS, MODEL, TEXT, ANY = (
    {"inspect", "tokenize", "logits"},
    {"inspect", "logits"},
    {"logits"},
    {"tokenize"},
    set(),
)
COMMANDS = {
    "inspect": lambda m: ["inspect", m],
    "tokenize": lambda m: ["tokenize", "-m", m, "the <|user|> end 12"],
    "logits": lambda m: ["logits", "-m", m, "--tokens", "-", "--threads", "2", "--ctx", "64"],
}
BIG = 1 << 63
DEEP = 100000


class Case:
    def __init__(self, name, must_fail, make, names=(), size=None):
        """make() gives the bytes of a GGUF, or (for folders) a {file name: bytes, None for absent, or a function}."""
        self.name, self.must_fail, self.make, self.names, self.size = name, must_fail, make, list(names), size


# ---- GGUF --------------------------------------------------------------------------------------------


def gguf_cases(path, few=False):
    """few: the cases for a big file, where each costs a copy of it."""
    base = gguf.read(path)
    whole, marks = base.write()
    arch = base.get("general.architecture").v.decode()
    cases = []

    def add(name, must_fail, make, *names):
        cases.append(Case(name, must_fail, make, names))

    def cut(n):
        return lambda: bytes(whole[:n])

    def patch(mark, fmt, v):
        def make():
            out = bytearray(whole)
            struct.pack_into("<" + fmt, out, marks[mark], v)
            return bytes(out)

        return make

    def change(fn):
        def make():
            f = base.copy()
            r = fn(f)
            return bytes((r if r is not None else f).write()[0])

        return make

    def key(k):
        return f"{arch}.{k}"

    # Cut off.
    for n in [0, 1, 3, 4, 7, 8, 15, 16, 23, 24, 25, 31, 32]:
        add(f"cut at {n}", HEADER, cut(n))
    rnd = random.Random(1)
    for n in sorted(rnd.sample(range(33, marks["header_end"]), 4 if few else 24)):
        add(f"cut at {n} of the header", HEADER, cut(n))
    add("cut behind the header", TENSORS, cut(marks["header_end"]))
    add("cut where the data begin", TENSORS, cut(marks["data"]))
    last = max(t.offset for t in base.tensors)
    for what, n in [("first", 1), ("a half", len(base.data) // 2), ("the last", last), ("inside the last", last + 4)]:
        add(f"cut at {what} byte of the data", TENSORS, cut(marks["data"] + n))

    # The head.
    add("another magic", HEADER, change(lambda f: setattr(f, "magic", b"GGML")))
    add("a magic turned round", HEADER, change(lambda f: setattr(f, "magic", b"FUGG")))
    for v in (0, 1, 4, 77, 0x03000000, 0xFFFFFFFF):
        add(f"version {v:#x}", HEADER, patch("version", "I", v))
    for v in (BIG, (1 << 64) - 1, 1 << 62, 1 << 32, 10**9, len(base.tensors) + 1):
        add(f"{v} tensors", HEADER, patch("n_tensor", "Q", v))
    for v in (BIG, (1 << 64) - 1, 1 << 60, 1 << 32, 10**9, len(base.meta) + 1):
        add(f"{v} keys", HEADER, patch("n_kv", "Q", v))
    add("no keys", HEADER, patch("n_kv", "Q", 0))
    add("no tensors", MODEL, change(lambda f: f.tensors.clear()))

    # Lengths and types of single fields.
    tokens, arch_key, name0 = "tokenizer.ggml.tokens", "general.architecture", base.tensors[3].name.decode()
    for v in ((1 << 64) - 1, BIG, 1 << 40, 1 << 32, len(whole)):
        add(f"a key {v} bytes long", HEADER, patch(("kv", arch_key, "len"), "Q", v))
        add(f"a string {v} bytes long", HEADER, patch(("kv", arch_key, "str", "len"), "Q", v))
        add(f"an array of {v} strings", HEADER, patch(("kv", tokens, "count"), "Q", v))
        add(f"a token {v} bytes long", HEADER, patch(("kv", tokens, 100, "len"), "Q", v))
        add(f"a tensor name {v} bytes long", HEADER, patch(("tensor", name0, "len"), "Q", v))
    for v in (1 << 61, (1 << 62) + 1):
        add(f"an array of {v} numbers", HEADER, patch(("kv", "tokenizer.ggml.token_type", "count"), "Q", v))
    for v in (13, 14, 255, 0xFFFFFFFF):
        add(f"a value of type {v}", HEADER, patch(("kv", arch_key, "type"), "I", v))
        add(f"an array of type {v}", HEADER, patch(("kv", tokens, "elem"), "I", v))
    add("an array of arrays", HEADER, patch(("kv", tokens, "elem"), "I", ARR))
    add("arrays in arrays, 100,000 levels", HEADER, lambda: nested_arrays(base))
    add("an empty key", ANY, change(lambda f: f.meta.append([b"", gguf.Value(U8, 1)])))
    add("a key that is not UTF-8", ANY, change(lambda f: f.meta.append([b"\xff\xfe\n\x1b[31m", gguf.Value(U8, 1)])))
    add("a name with an escape sequence", ANY, change(lambda f: f.set("general.name", STR, b"\x1b]0;x\x07\n\xff")))
    add("a long key", ANY, change(lambda f: f.meta.append([b"k" * 70000, gguf.Value(U8, 1)])))
    add("a key twice", HEADER, change(lambda f: f.meta.append([key("block_count").encode(), gguf.Value(U32, 7)])), key("block_count"))
    add("a bool of 2", ANY, change(lambda f: f.set("some.flag", BOOL, 2)))
    for v in (0, 3, 33, 1 << 31, 0xFFFFFFFF):
        add(f"alignment {v}", HEADER, change(lambda f, v=v: f.set("general.alignment", U32, v)), "alignment")
    add("alignment as a string", HEADER, change(lambda f: f.set("general.alignment", STR, b"32")), "alignment")
    add("alignment 1", ANY, change(lambda f: f.set("general.alignment", U32, 1)))

    # Tensor infos.
    def tensor(fn, name=name0):
        return change(lambda f: fn(f.tensor(name)) and None)

    def setter(attr, v):
        return lambda t: setattr(t, attr, v)

    for v in (0, 5, 77, 0xFFFFFFFF):
        add(f"a tensor of {v} dimensions", TENSORS, patch(("tensor", name0, "n_dim"), "I", v))
    for v in (4, 5, 31, 33, 99, 0x7FFFFFFF, 0xFFFFFFFF):
        add(f"a tensor of type {v}", TENSORS, tensor(setter("type", v)), name0)
    for v in (0, BIG, (1 << 64) - 1, 1 << 62, 1 << 40, (1 << 62) + 64):
        add(f"a dimension of {v}", TENSORS, tensor(lambda t, v=v: t.dims.__setitem__(0, v)), name0)
    add("dimensions whose product overflows", TENSORS, tensor(setter("dims", [1 << 32, 1 << 31, 2])), name0)
    add("dimensions whose product wraps to the right size", TENSORS, tensor(lambda t: setattr(t, "dims", [1 << 33, 1 << 31] + t.dims)), name0)
    add("dimensions whose bytes overflow", TENSORS, tensor(setter("dims", [1 << 31, 1 << 31])), name0)
    n = len(base.data)
    for v in (1, 16, 31, n - n % 32, n - n % 32 + 32, 1 << 40, BIG, (1 << 64) - 32, (1 << 64) - (n - n % 32)):
        add(f"a tensor at {v}", TENSORS, tensor(setter("offset", v)), name0)
    add("two tensors at one place", TENSORS, tensor(setter("offset", base.tensors[0].offset)), name0, base.tensors[0].name.decode())
    add("a tensor name twice", TENSORS, change(lambda f: f.tensors.append(f.tensors[3])), name0)
    add("two tensors of one name", TENSORS, tensor(setter("name", base.tensors[4].name)), base.tensors[4].name.decode())
    add("a tensor without a name", MODEL, tensor(setter("name", b"")))
    add("a tensor name of 1000 bytes", MODEL, tensor(setter("name", b"n" * 1000)))
    add("a tensor name that is not UTF-8", MODEL, tensor(setter("name", b"\xff\n\x1b[2J")))

    def q4_k_of_64(t):
        t.dims, t.type = [64, 4], 12

    if base.tensors[0].type == 0:
        add("rows that are no whole number of blocks", TENSORS, tensor(q4_k_of_64), name0)
    if few:
        return cases

    # What the model needs and does not get.
    for t in base.tensors:
        name = t.name.decode()
        if name.startswith("blk.") and not name.startswith("blk.1."):
            continue
        if ".nextn." in name:
            continue
        # Without output.weight the head may be the embedding.
        need = ANY if name == "output.weight" else MODEL
        add(f"{name} missing", need, change(lambda f, n=name: setattr(f, "tensors", [t for t in f.tensors if t.name.decode() != n])), name)
        if len(t.dims) > 1 and t.dims[0] != t.dims[1]:
            add(f"{name} turned", MODEL, tensor(lambda t: t.dims.reverse(), name), name)
        add(f"{name} shorter", MODEL, tensor(lambda t: t.dims.__setitem__(-1, t.dims[-1] // 2), name), name)
    add("integers for weights", MODEL, tensor(setter("type", 26), "blk.1.attn_output.weight"), "attn_output")
    add("a norm flattened into a matrix", ANY, tensor(lambda t: t.dims.append(1), "blk.0.attn_norm.weight"))
    add("one more tensor", ANY, change(lambda f: (f.tensors.append(gguf.Tensor(b"extra", [8], 0, len(f.data))), setattr(f, "data", f.data + bytes(32))) and None))
    for what, pattern in (("nan", b"\x00\x00\xc0\x7f"), ("infinite", b"\x00\x00\x80\x7f"), ("all ones", b"\xff\xff\xff\xff"), ("zero", bytes(4))):
        add(f"weights that are {what}", ANY, change(lambda f, p=pattern: setattr(f, "data", p * (len(f.data) // 4))))

    # Hyperparameters: missing, of another type, contradictory.
    add("no architecture", TENSORS, change(lambda f: f.drop(arch_key)), arch_key)
    for v in (b"", b"llama", b"nonsense\n", b"deepseek2\0", b"\xff" * 300):
        add(f"architecture {v[:12]!r}", MODEL, change(lambda f, v=v: f.set(arch_key, STR, v)), "architecture")
    add("architecture as a number", MODEL, change(lambda f: f.set(arch_key, U32, 2)), arch_key)
    # The tensor that contradicts is as good as the field, and so are both of two fields in words.
    blamed = ("blk.", "token_embd", "output", "contradictory")
    needed = ["block_count", "embedding_length", "feed_forward_length", "attention.head_count", "attention.kv_lora_rank",
              "attention.layer_norm_rms_epsilon", "expert_count", "expert_used_count", "expert_feed_forward_length",
              "rope.dimension_count"]
    for k in needed:
        # A few have a defensible value to fall back to.
        may = k in ("rope.dimension_count",)
        add(f"{k} missing", ANY if may else MODEL, change(lambda f, k=k: f.drop(key(k))), k, *blamed)
        add(f"{k} as a string", MODEL, change(lambda f, k=k: f.set(key(k), STR, b"4")), k)
        add(f"{k} as an array of strings", MODEL, change(lambda f, k=k: f.set(key(k), ARR, [b"4"], STR)), k)
    counts = ["block_count", "embedding_length", "feed_forward_length", "attention.head_count", "attention.kv_lora_rank",
              "attention.q_lora_rank", "expert_count", "expert_used_count", "expert_feed_forward_length",
              "attention.key_length_mla", "attention.value_length_mla", "rope.dimension_count"]
    for k in counts:
        right = base.get(key(k)).v
        for type, v in ((U32, 0), (I32, -1), (U32, right + 1), (U32, 1 << 31), (U32, 0xFFFFFFFF), (U64, (1 << 64) - 1), (I64, -BIG), (F32, math.nan)):
            # Rank 0 is how a model without q_lora says so; its tensors then contradict or are left over. A draft
            # layer has all that a layer of the trunk has, and one more expert may always be used.
            fine = [("attention.q_lora_rank", 0), ("block_count", right + 1), ("expert_used_count", right + 1)]
            need = ANY if (k, v) in fine else MODEL
            add(f"{k} {v}", need, change(lambda f, k=k, t=type, v=v: f.set(key(k), t, v)), k, *blamed)
    for k, type, v in [
        ("attention.head_count", U32, 3),
        ("attention.head_count_kv", U32, 7),
        ("attention.head_count_kv", U32, 1 << 31),
        ("rope.dimension_count", U32, 7),
        ("rope.dimension_count", U32, 26),
        ("rope.dimension_count", U32, 64),
        ("rope.freq_base", F32, 0.0),
        ("rope.freq_base", F32, -1.0),
        ("rope.freq_base", F32, math.nan),
        ("rope.freq_base", F32, math.inf),
        ("attention.layer_norm_rms_epsilon", F32, math.nan),
        ("attention.layer_norm_rms_epsilon", F32, math.inf),
        ("attention.layer_norm_rms_epsilon", F32, -1.0),
        ("attention.layer_norm_rms_epsilon", U32, 1 << 30),
        ("expert_used_count", U32, 9),
        ("expert_weights_scale", F32, math.nan),
        ("expert_weights_scale", F32, math.inf),
        ("expert_gating_func", U32, 99),
        ("expert_gating_func", I32, -1),
        ("expert_gating_func", STR, b"sigmoid"),
        ("expert_group_count", U32, 3),
        ("expert_group_count", U32, 1 << 31),
        ("expert_group_used_count", U32, 1 << 31),
        ("expert_shared_count", U32, 1 << 31),
        ("leading_dense_block_count", U32, 3),
        ("leading_dense_block_count", U32, 99),
        ("leading_dense_block_count", U32, 0),
        ("leading_dense_block_count", I32, -1),
        ("leading_dense_block_count", U32, 0xFFFFFFFF),
        ("nextn_predict_layers", U32, 4),
        ("nextn_predict_layers", U32, 5),
        ("nextn_predict_layers", U32, 0xFFFFFFFF),
        ("context_length", I32, -5),
        ("context_length", STR, b"many"),
        ("vocab_size", U32, 383),
        ("vocab_size", U32, 1 << 31),
        ("attention.key_length", U32, 41),
        ("attention.value_length", U32, 33),
    ]:
        add(f"{k} {v}", MODEL, change(lambda f, k=k, t=type, v=v: f.set(key(k), t, v)), k, *blamed)
    for k, type, v in [
        ("rope.scaling.type", STR, b"nonsense"),
        ("rope.scaling.factor", F32, 0.0),
        ("rope.scaling.factor", F32, math.nan),
        ("context_length", U32, 0),
        ("context_length", U32, 1),
        ("context_length", U32, 0xFFFFFFFF),
        ("context_length", U64, (1 << 64) - 1),
        ("expert_weights_norm", U32, 7),
        ("expert_shared_count", U32, 0),
        ("rope.dimension_count", U64, 8),
        ("attention.head_count", F64, 4.0),
        ("nextn_predict_layers", U32, 0),
        ("expert_group_used_count", U32, 2),  # with one group there is nothing to choose
    ]:
        add(f"{k} {v}, perhaps", ANY, change(lambda f, k=k, t=type, v=v: f.set(key(k), t, v)))
    for factor in (0.0, -2.0, math.nan, math.inf):

        def yarn(f, factor=factor):
            f.set(key("rope.scaling.type"), STR, b"yarn")
            f.set(key("rope.scaling.factor"), F32, factor)
            f.set(key("rope.scaling.original_context_length"), U32, 64)

        add(f"yarn with factor {factor}", MODEL, change(yarn), "rope.scaling")

    # The vocabulary.
    tk = base.get(tokens).v

    def vocabulary(fn, which=tokens):
        return change(lambda f: fn(f.get(which).v) and None)

    add("no tokens", TEXT, change(lambda f: f.drop(tokens)), tokens)
    add("no tokenizer model", TEXT, change(lambda f: f.drop("tokenizer.ggml.model")), "tokenizer.ggml.model")
    add("tokens that are numbers", TEXT, change(lambda f: f.set(tokens, ARR, [1, 2, 3], I32)), tokens)
    add("tokens as one string", TEXT, change(lambda f: f.set(tokens, STR, b"abc")), tokens)
    add("an empty list of tokens", TEXT, vocabulary(lambda v: v.clear()), "token")
    add("a token twice", TEXT, vocabulary(lambda v: v.__setitem__(5, v[6])), "token")
    add("an empty token", TEXT, vocabulary(lambda v: v.__setitem__(5, b"")), "token", "byte", "merge")
    add("a token that is not UTF-8", TEXT, vocabulary(lambda v: v.__setitem__(300, b"\xff\xfe")), "token", "merge")
    add("fewer tokens than types", TEXT, vocabulary(lambda v: v.pop()), "token_type", "tokens", "special")
    add("fewer types than tokens", TEXT, vocabulary(lambda v: v.pop(), "tokenizer.ggml.token_type"), "token_type")
    add("a token type of 99", ANY, vocabulary(lambda v: v.__setitem__(5, 99), "tokenizer.ggml.token_type"))
    add("a token type of -1", ANY, vocabulary(lambda v: v.__setitem__(5, -1), "tokenizer.ggml.token_type"))
    add("token types that are strings", TEXT, change(lambda f: f.set("tokenizer.ggml.token_type", ARR, [b"x"] * len(tk), STR)), "token_type")
    add("a byte without a token", TEXT, vocabulary(lambda v: v.__setitem__(40, b"qqqqq")), "token", "byte", "merge")
    for what, v in (("of an unknown token", b"qq zz"), ("without a blank", b"he"), ("of nothing", b""), ("with two blanks", b"h e r"),
                    ("of one side", b"h "), ("of a blank", b" "), ("that is not UTF-8", b"\xff \xfe"), ("whose product is unknown", b"! !")):
        add(f"a merge {what}", TEXT, vocabulary(lambda m, v=v: m.__setitem__(50, v), "tokenizer.ggml.merges"), "merge")
    add("a merge twice", ANY, vocabulary(lambda m: m.__setitem__(50, m[0]), "tokenizer.ggml.merges"))
    add("no merges", TEXT, change(lambda f: f.drop("tokenizer.ggml.merges")), "merges")
    add("merges that are numbers", TEXT, change(lambda f: f.set("tokenizer.ggml.merges", ARR, [1, 2], U32)), "merges")
    for v in (b"", b"nonsense", b"llama", b"\xff"):
        add(f"tokenizer model {v!r}", TEXT, change(lambda f, v=v: f.set("tokenizer.ggml.model", STR, v)), "tokenizer")
        add(f"pre-tokenizer {v!r}", ANY if v == b"" else TEXT, change(lambda f, v=v: f.set("tokenizer.ggml.pre", STR, v)), "tokenizer.ggml.pre")
    for k in ("bos", "eos", "eot", "eom", "padding"):
        for type, v in ((U32, 384), (U32, 0xFFFFFFFF), (I32, -1), (I32, -(1 << 31)), (STR, b"1")):
            # -1 is how some writers say that there is none.
            need = ANY if v in (-1, 0xFFFFFFFF) or k in ("bos", "padding") else TEXT
            add(f"{k} token {v}", need, change(lambda f, k=k, t=type, v=v: f.set(f"tokenizer.ggml.{k}_token_id", t, v)), k)
    add("a chat template of 8 MiB", ANY, change(lambda f: f.set("tokenizer.chat_template", STR, b"{" * (8 << 20))))
    add("a chat template that is a number", ANY, change(lambda f: f.set("tokenizer.chat_template", U32, 1)))

    # A part of a split file that is alone, or lies about the others.
    for no, count in ((0, 2), (1, 2), (5, 2), (0, 65535), (0, 0)):

        def split(f, no=no, count=count):
            f.set("split.no", gguf.U16, no)
            f.set("split.count", gguf.U16, count)
            f.set("split.tensors.count", I32, len(f.tensors))

        add(f"part {no} of {count}", ANY if count == 0 else MODEL, change(split))

    # Any byte of the header.
    for i in range(60):
        at = rnd.randrange(marks["header_end"])
        bit = rnd.randrange(8)
        add(f"bit {bit} of byte {at} turned", ANY, lambda at=at, bit=bit: bytes(whole[:at]) + bytes([whole[at] ^ 1 << bit]) + bytes(whole[at + 1 :]))
    return cases


def nested_arrays(base):
    """A key whose value is an array of an array of ...: 12 bytes a level."""
    f = base.copy()
    out, marks = f.write()
    head = out[: marks[("kv", "tokenizer.ggml.tokens", "elem")]]
    level = struct.pack("<IQ", ARR, 1)
    return bytes(head + level * DEEP + struct.pack("<IQ", U8, 1) + b"\0" + out[marks["header_end"] :])


# ---- safetensors -------------------------------------------------------------------------------------


def read_safetensors(path):
    with open(path, "rb") as f:
        data = f.read()
    (n,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + n]), data[8 + n :]


def safetensors_bytes(header, data, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def folder_cases(path):
    header, data = read_safetensors(os.path.join(path, "model.safetensors"))
    with open(os.path.join(path, "model.safetensors"), "rb") as f:
        whole = f.read()
    with open(os.path.join(path, "config.json"), "rb") as f:
        config_bytes = f.read()
    with open(os.path.join(path, "tokenizer.json"), "rb") as f:
        tokenizer_bytes = f.read()
    config, tokenizer = json.loads(config_bytes), json.loads(tokenizer_bytes)
    cases = []
    W, C, T, X = "model.safetensors", "config.json", "tokenizer.json", "model.safetensors.index.json"
    a_name = "model.layers.1.self_attn.o_proj.weight"
    other = "model.layers.2.self_attn.o_proj.weight"

    def add(name, must_fail, files, *names):
        cases.append(Case(name, must_fail, files if callable(files) else lambda: files, names))

    def weights(name, must_fail, make, *names):
        add(name, must_fail, lambda: {W: make()}, *(names or (W,)))

    def head(name, must_fail, fn, *names):
        def make():
            h = json.loads(json.dumps(header))
            h = fn(h) or h
            return safetensors_bytes(h, data)

        weights(name, must_fail, make, *names)

    def settings(name, must_fail, fn, *names):
        def make():
            c = json.loads(config_bytes)
            return {C: json.dumps(fn(c) or c).encode()}

        add(name, must_fail, make, *(names or (C,)))

    def words(name, must_fail, fn, *names):
        def make():
            t = json.loads(tokenizer_bytes)
            return {T: json.dumps(fn(t) or t).encode()}

        add(name, must_fail, make, *(names or (T,)))

    def put(d, *path):
        """put(d, key, ..., value)"""
        for k in path[:-2]:
            d = d[k]
        d[path[-2]] = path[-1]

    # The weights file.
    rnd = random.Random(2)
    n_head = len(whole) - len(data)
    for n in [0, 1, 7, 8, 9, n_head - 1, n_head, n_head + 1, n_head + len(data) // 2, len(whole) - 1] + rnd.sample(range(10, n_head), 8):
        weights(f"weights cut at {n}", TENSORS, lambda n=n: whole[:n])
    weights("weights one byte longer", TENSORS, lambda: whole + b"\0")
    for n in (0, 1, 2, n_head - 9, n_head - 7, len(whole), 1 << 27, 1 << 32, BIG, (1 << 64) - 1, (1 << 64) - 8):
        weights(f"header length {n}", TENSORS, lambda n=n: struct.pack("<Q", n) + whole[8:])
    for what, text in (
        ("empty", b""), ("[]", b"[]"), ("null", b"null"), ("a number", b"17"), ("a string", b'"x"'), ("{}", b"{}"), ("no JSON", b"hello"), ("half", json.dumps(header).encode()[:5000]),
        ("two", b"{}{}"), ("not UTF-8", b'{"\xff": 1}'), ("arrays, 100,000 levels", b"[" * DEEP), ("objects, 100,000 levels", b'{"a":' * DEEP),
        ("a metadata of 100,000 levels", b'{"__metadata__":' + b"[" * DEEP + b"]" * DEEP + b"}"),
    ):
        weights(f"header {what}", TENSORS, lambda t=text: safetensors_bytes(t, data))
    twice = json.dumps(header)[:-1] + f', "{a_name}": {json.dumps(header[a_name])}}}'
    weights("a tensor twice", TENSORS, lambda: safetensors_bytes(twice.encode(), data), a_name)
    for v in ("Q4_K", "f32", "", "F31", None, 5, ["F32"], "F" * 100000):
        head(f"dtype {str(v)[:10]}", TENSORS, lambda h, v=v: put(h, a_name, "dtype", v), a_name)
    for v in ("F64", "BF16", "U8", "I32"):
        head(f"dtype {v} for F32", TENSORS if v != "I32" else MODEL, lambda h, v=v: put(h, a_name, "dtype", v), a_name)
    for v in ([], [64], [64, 64, 64], [64, -64], [0, 64], [64.0, 64.5], ["64", 64], [[64], 64], None, "64", [1 << 63, 2], [(1 << 64) - 1], [10**30, 1],
              [1 << 32, 1 << 32], [(1 << 62), 4, 64, 64], [1] * 9 + [64, 64], [64, 32]):
        head(f"shape {str(v)[:30]}", TENSORS, lambda h, v=v: put(h, a_name, "shape", v), a_name)
    head("shape with nine leading ones", MODEL, lambda h: put(h, a_name, "shape", [1] * 9 + [64, 64]), a_name)
    b, e = header[a_name]["data_offsets"]
    n = len(data)
    for v in ([e, b], [b], [b, e, e], [b, e + 4], [b + 4, e], [b + 4, e + 4], [-1, e], [b, n + 4], [n, n + (e - b)], [b, 1 << 63], [(1 << 64) - 4, e], [1 << 65, e],
              [str(b), e], [b + 0.5, e], None, "x", {}, [[b], e], [0, e - b], [b, b]):
        head(f"offsets {str(v)[:30]}", TENSORS, lambda h, v=v: put(h, a_name, "data_offsets", v), a_name, other, "offset", "overlap", W)
    for k in ("dtype", "shape", "data_offsets"):
        head(f"no {k}", TENSORS, lambda h, k=k: h[a_name].pop(k) and None, a_name)
    for v in (None, 5, [], "F32", {}):
        head(f"a tensor that is {v}", TENSORS, lambda h, v=v: put(h, a_name, v), a_name)
    head("a tensor with an unknown field", ANY, lambda h: put(h, a_name, "more", 1))
    head("metadata that is a number", ANY, lambda h: put(h, "__metadata__", 5))
    head("a tensor name of 100,000 bytes", ANY, lambda h: put(h, "n" * 100000, {"dtype": "F32", "shape": [0], "data_offsets": [n, n]}))
    head("an empty tensor name", ANY, lambda h: put(h, "", {"dtype": "F32", "shape": [0], "data_offsets": [n, n]}))
    head("an escape sequence in a name", TENSORS, lambda h: put(h, "\x1b[31m\n", {"dtype": "F32", "shape": [1], "data_offsets": [n, n + 4]}))
    for name in header:
        if name == "__metadata__" or (".layers." in name and ".layers.1." not in name) or (".experts." in name and ".experts.7." not in name):
            continue
        last = name.rsplit(".", 2)[-2]
        need = ANY if name == "lm_head.weight" else MODEL
        # Left out, and its bytes given to a tensor that nobody asks for.
        head(f"{name} missing", need, lambda h, k=name: put(h, "unused", h.pop(k)), last)
        if len(header[name]["shape"]) > 1 and header[name]["shape"][0] != header[name]["shape"][1]:
            head(f"{name} turned", MODEL, lambda h, k=name: h[k]["shape"].reverse(), last)
        head(f"{name} flat", MODEL if len(header[name]["shape"]) > 1 else ANY, lambda h, k=name: put(h, k, "shape", [math.prod(h[k]["shape"])]), last)
    weights("weights of NaN", ANY, lambda: whole[:n_head] + b"\x00\x00\xc0\x7f" * (len(data) // 4))
    add("no weights", MODEL, {W: None})
    add("a folder for weights", TENSORS, {W: os.mkdir}, W)
    add("a pipe for weights", TENSORS, {W: os.mkfifo}, W)
    add("a link to itself for weights", TENSORS, {W: lambda p: os.symlink(p, p)}, W)
    add("a dangling link for weights", MODEL, {W: lambda p: os.symlink("nowhere", p)})
    add("an endless device for weights", TENSORS, {W: lambda p: os.symlink("/dev/zero", p)}, W)

    # The index of a sharded model.
    shard = "model-00001-of-00001.safetensors"
    good_map = {k: shard for k in header if k != "__metadata__"}

    def index(name, must_fail, value, *names, **more):
        def make():
            text = value if isinstance(value, bytes) else json.dumps(value).encode()
            return {W: None, shard: whole, X: text, **more}

        add("index: " + name, must_fail, make, *(names or (X,)))

    index("good", ANY, {"weight_map": good_map})
    index("empty", TENSORS, b"")
    index("no JSON", TENSORS, b"{")
    index("a list", TENSORS, [])
    index("100,000 levels", TENSORS, b'{"weight_map":' * DEEP)
    index("without a map", TENSORS, {"metadata": {}})
    index("a map that is a list", TENSORS, {"weight_map": [1]})
    index("an empty map", MODEL, {"weight_map": {}})
    index("a number for a shard", TENSORS, {"weight_map": {**good_map, a_name: 5}}, X, a_name)
    index("a shard that is missing", TENSORS, {"weight_map": {**good_map, a_name: "model-00002-of-00002.safetensors"}}, "model-00002-of-00002")
    index("itself as a shard", TENSORS, {"weight_map": {**good_map, a_name: X}}, X)
    index("config.json as a shard", TENSORS, {"weight_map": {**good_map, a_name: C}}, C)
    index("a shard outside of the folder", TENSORS, {"weight_map": {k: "../" + shard for k in good_map}}, "../")
    index("an absolute shard", TENSORS, {"weight_map": {k: "/etc/passwd" for k in good_map}}, "/etc/passwd")
    index("the folder as a shard", TENSORS, {"weight_map": {**good_map, a_name: "."}}, X, "folder", "not a")
    index("an empty name", TENSORS, {"weight_map": {**good_map, a_name: ""}}, X, a_name)
    index("a NUL in a name", TENSORS, {"weight_map": {**good_map, a_name: shard + "\0x"}}, X, a_name)
    index("a tensor that its shard has not", MODEL, {"weight_map": {**good_map, "model.extra": shard}}, "model.extra")
    index("a tensor in two shards", ANY, {"weight_map": {**good_map, a_name: "b.safetensors"}}, **{"b.safetensors": whole})
    index("10,000 shards that are missing", TENSORS, {"weight_map": {f"t{i}": f"s{i}.safetensors" for i in range(10000)}}, "safetensors")

    # config.json.
    add("no config", MODEL, {C: None}, C)
    for what, text in (("empty", b""), ("cut", config_bytes[:300]), ("a list", b"[]"), ("null", b"null"), ("not UTF-8", config_bytes.replace(b"silu", b"\xff")),
                       ("UTF-16", config_bytes.decode().encode("utf-16")), ("arrays, 100,000 levels", b"[" * DEEP), ("objects, 100,000 levels", b'{"a":' * DEEP),
                       ("with text behind it", config_bytes + b"x"), ("with NaN", config_bytes.replace(b"1e-05", b"NaN")), ("with a key twice", config_bytes.replace(b"{", b'{"hidden_size": 128,', 1)),
                       ("with single quotes", config_bytes.replace(b'"', b"'")), ("with a lone surrogate", config_bytes.replace(b"silu", b"\\ud800"))):
        add(f"config {what}", MODEL, {C: text}, C)
    add("config with a byte order mark", ANY, {C: b"\xef\xbb\xbf" + config_bytes})
    add("config of 8 MiB of blanks", ANY, {C: config_bytes + b" " * (8 << 20)})
    add("a folder for config", MODEL, {C: os.mkdir}, C)
    fields = ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "kv_lora_rank", "q_lora_rank", "qk_nope_head_dim",
              "qk_rope_head_dim", "v_head_dim", "n_routed_experts", "num_experts_per_tok", "moe_intermediate_size", "vocab_size"]
    for k in fields:
        right = config[k]
        settings(f"no {k}", ANY if k in ("vocab_size",) else MODEL, lambda c, k=k: c.pop(k) and None, k, "tensor", "contradictory")
        for v in (0, -1, right + 1, 1 << 31, 1 << 63, 10**40, 1e400, right + 0.5, str(right), [right], {"a": 1}, True, None):
            # null is how q_lora_rank says that there is none; the tensors then contradict or are left over. A draft
            # layer has all that a layer of the trunk has, and one more expert may always be used.
            fine = [("q_lora_rank", None), ("vocab_size", None), ("num_hidden_layers", right + 1), ("num_experts_per_tok", right + 1)]
            need = ANY if (k, v) in fine else MODEL
            text = json.dumps({**config, k: v}).replace("Infinity", "1e999").encode()
            add(f"{k} {str(v)[:20]}", need, {C: text}, k, "model.", "lm_head", "contradictory")
    for k, v in (("rms_norm_eps", -1), ("rms_norm_eps", "x"), ("rms_norm_eps", []), ("num_experts_per_tok", 9), ("qk_rope_head_dim", 7), ("qk_rope_head_dim", 64),
                 ("n_group", 3), ("n_group", -1), ("topk_group", -1), ("first_k_dense_replace", 4), ("first_k_dense_replace", -1),
                 ("routed_scaling_factor", "x"), ("rope_parameters", 5),
                 ("rope_parameters", []), ("rope_parameters", {"rope_type": "nonsense", "rope_theta": 1e4}), ("rope_parameters", {"rope_type": "default", "rope_theta": 0}),
                 ("rope_parameters", {"rope_type": "default", "rope_theta": -1}), ("rope_parameters", {"rope_type": "default", "rope_theta": "x"}),
                 ("rope_parameters", {"rope_type": "yarn", "rope_theta": 1e4, "factor": 0}), ("rope_parameters", {"rope_type": "yarn", "rope_theta": 1e4}),
                 ("architectures", ["LlamaForCausalLM"]), ("hidden_act", "nonsense"), ("max_position_embeddings", -1),
                 ("max_position_embeddings", "x"), ("n_shared_experts", 1 << 40), ("n_shared_experts", -1)):
        def make(k=k, v=v):
            c = dict(config)
            if k == "first_k_dense_replace":
                c.pop("mlp_layer_types")
            if k == "architectures" and v == ["LlamaForCausalLM"]:
                c["model_type"] = "llama"
            c[k] = v
            return {C: json.dumps(c).encode()}

        add(f"{k} {str(v)[:40]}", MODEL, make, k, "rope", "architecture", "model.", "factor", "contradictory")
    for k, v in (("mlp_layer_types", ["dense"]), ("mlp_layer_types", ["dense", "what", "sparse"]), ("mlp_layer_types", 5), ("eos_token_id", "x"), ("eos_token_id", [10**12]),
                 ("eos_token_id", -1), ("n_shared_experts", 0), ("num_key_value_heads", 3), ("num_key_value_heads", -1), ("num_nextn_predict_layers", -1), ("num_nextn_predict_layers", 1 << 31), ("topk_group", 2), ("topk_group", 0), ("max_position_embeddings", 0), ("max_position_embeddings", 1 << 62), ("model_type", 5), ("model_type", "llama"),
                 ("rope_scaling", 5), ("scoring_func", "nonsense"), ("quantization_config", {"quant_method": "fp8"}), ("tie_word_embeddings", "yes"),
                 ("architectures", []), ("architectures", 5), ("architectures", [5]), ("n_group", 0), ("rms_norm_eps", 0)):
        settings(f"{k} {str(v)[:40]}, perhaps", ANY, lambda c, k=k, v=v: put(c, k, v))

    # tokenizer.json and the rest.
    add("no tokenizer", TEXT, {T: None}, T)
    for what, text in (("empty", b""), ("cut", tokenizer_bytes[:9000]), ("a list", b"[]"), ("{}", b"{}"), ("100,000 levels", b'{"model":' * DEEP), ("arrays of 100,000 levels", b'{"added_tokens":' + b"[" * DEEP),
                       ("not UTF-8", tokenizer_bytes.replace(b"<think>", b"\xff\xfe")), ("with text behind it", tokenizer_bytes + b"]")):
        add(f"tokenizer {what}", TEXT, {T: text}, T)
    add("a folder for a tokenizer", TEXT, {T: os.mkdir}, T)
    for k in ("model", "pre_tokenizer"):
        words(f"no {k}", TEXT, lambda t, k=k: t.pop(k) and None, T)
        for v in (5, [], "x", {"type": "Nonsense"}, {}):
            words(f"{k} {v}", TEXT, lambda t, k=k, v=v: put(t, k, v), T)
    for v in (5, [], {"type": "Nonsense"}):
        words(f"normalizer {v}", TEXT if v != [] else ANY, lambda t, v=v: put(t, "normalizer", v), T)
    for v in (5, [], "x"):
        words(f"vocab {v}", TEXT, lambda t, v=v: put(t, "model", "vocab", v), T)
    for v in (-1, 5, 348, 384, 10**6, 1 << 31, 10**12, 1 << 64, 1.5, "7", None, []):
        words(f"a token with id {v}", ANY if v in (384,) else TEXT, lambda t, v=v: put(t, "model", "vocab", "the", v), T)
        words(f"a special token with id {v}", ANY if v in (348, 384) else TEXT, lambda t, v=v: put(t, "added_tokens", 3, "id", v), T)
    words("a hole in the vocabulary", ANY, lambda t: t["model"]["vocab"].pop("the") and None)
    words("a byte without a token", TEXT, lambda t: t["model"]["vocab"].pop("\u0100") and None, T, "byte")
    words("an empty token", ANY, lambda t: put(t, "model", "vocab", "", 384))
    for v in (["q", "z"], ["h"], ["h", "e", "r"], "h e", "he", 5, [1, 2], [], ["", "e"], ["zzz", "e"], None):
        # The older form writes a merge as a string with a blank.
        words(f"a merge {v}", ANY if v == "h e" else TEXT, lambda t, v=v: put(t, "model", "merges", 50, v), T, "merge")
    for v in (5, {}, "x", None):
        words(f"merges {v}", TEXT, lambda t, v=v: put(t, "model", "merges", v), T)
    for v in (5, {}, [5], [{}], [{"id": 1}], [{"id": 348, "content": 5}]):
        words(f"added tokens {v}", TEXT, lambda t, v=v: put(t, "added_tokens", v), T)
    words("an empty added token", ANY, lambda t: put(t, "added_tokens", 3, "content", ""))
    words("two special tokens of one text", ANY, lambda t: put(t, "added_tokens", 3, "content", "<think>"))
    for v in ("(", "(a+)+$", "", "a{99999}", "(?<=a*)b", "\\p{Nonsense}", "(?R)", "\\C", "x" * 100000, "(" * 5000 + ")" * 5000, 5, None):
        words(f"pattern {str(v)[:20]}", ANY if v in ("(a+)+$", "x" * 100000, "", "\\C", "(?R)") else TEXT,
              lambda t, v=v: put(t, "pre_tokenizer", "pretokenizers", 0, "pattern", "Regex", v), T, "pattern")
    words("ignore_merges 5", ANY, lambda t: put(t, "model", "ignore_merges", 5))
    words("byte_fallback", ANY, lambda t: put(t, "model", "byte_fallback", True))
    for name in ("generation_config.json", "tokenizer_config.json"):
        for what, text in (("broken", b"{"), ("a list", b"[]"), ("deep", b"[" * DEEP), ("odd", b'{"temperature":"hot","eos_token_id":{},"chat_template":[5],"added_tokens_decoder":7}'), ("wild", b'{"temperature":-1e300,"top_p":99,"top_k":1e30,"eos_token_id":[-5,99999999999]}')):
            add(f"{name} {what}", ANY, {name: text})
    add("a template that is not UTF-8", ANY, {"chat_template.jinja": b"\xff\xfe" * 1000})
    add("a template of 8 MiB", ANY, {"chat_template.jinja": b"{" * (8 << 20)})
    add("an empty folder", HEADER, {W: None, C: None, T: None})
    for i in range(40):
        name, text = ((W, whole[:n_head]), (C, config_bytes), (T, tokenizer_bytes))[i % 3]
        at, byte = rnd.randrange(len(text)), rnd.choice(b'"[]{},:\\0e-\xff\x00')
        add(f"byte {at} of {name} made {byte:#x}", ANY, {name: text[:at] + bytes([byte]) + text[at + 1 :] + (data if name == W else b"")})
    return cases


# ---- running -----------------------------------------------------------------------------------------


def build(case, place, folder):
    """Writes the damaged model under place; gives its path and size."""
    made = case.make()
    if isinstance(made, bytes):
        path = os.path.join(place, "damaged.gguf")
        with open(path, "wb") as f:
            f.write(made)
        return path, len(made)
    path = os.path.join(place, "damaged")
    os.mkdir(path)
    size = 0
    for name in set(os.listdir(folder)) | set(made):
        if name not in made and not (name.endswith(".json") or name == "model.safetensors"):
            continue
        if name == "seqs.json":
            continue
        to = os.path.join(path, name)
        what = made.get(name, shutil.copyfile)
        if what is None:
            continue
        if isinstance(what, bytes):
            with open(to, "wb") as f:
                f.write(what)
        elif name in made:
            what(to)
        else:
            shutil.copyfile(os.path.join(folder, name), to)
        if os.path.isfile(to):
            size += os.path.getsize(to)
    return path, size


def run_cases(runner, cases, folder, opts):
    def one(case):
        with tempfile.TemporaryDirectory(prefix="glim_damage_") as place:
            path, size = build(case, place, folder)
            bad = []
            for command, args in COMMANDS.items():
                r = runner.run(args(path), b"[1, 2, 3]", size)
                if command in case.must_fail:
                    text = runner.judge(r, [n for n in case.names if n] or ["damaged"], size)
                else:
                    text = runner.may_pass(r, (), size)
                if text:
                    bad.append(f"{opts.what}: {case.name}: {command}: {text}".replace(place + "/", ""))
                elif opts.verbose and r.code:
                    print(f"  {case.name}: {r}".replace(place + "/", ""))
            if bad and opts.keep:
                shutil.copytree(place, os.path.join(opts.keep, "".join(c if c.isalnum() else "_" for c in case.name)[:80]), dirs_exist_ok=True, symlinks=True)
            return bad

    runner.each(one, cases)


def main():
    p = argparse.ArgumentParser(description="break model files")
    p.add_argument("--glim", default=os.path.join(ROOT, "build", "glim"))
    p.add_argument("--area", nargs="+", default=["gguf", "safetensors", "bundled"])
    p.add_argument("--only", default="*", help="a pattern for the names of cases")
    p.add_argument("--sanitized", action="store_true", help="the program is built with sanitizers: no limit on address space")
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--show", type=int, default=40)
    p.add_argument("--keep", help="folder for the files of cases that failed")
    p.add_argument("--verbose", action="store_true", help="print every message")
    opts = p.parse_args()
    runner = Runner(opts.glim, opts.sanitized, opts.jobs)
    bundled = [f for f in (os.path.join(ROOT, "models", "glim-demo.gguf"), os.path.join(ROOT, "..", "shared", "demo-model", "glim-demo.gguf")) if os.path.exists(f)]
    n = 0
    for area in opts.area:
        opts.what = area
        if area == "gguf":
            cases = gguf_cases(os.path.join(SMALL, "model.gguf"))
        elif area == "safetensors":
            cases = folder_cases(SMALL)
        else:
            cases = gguf_cases(bundled[0], few=True) if bundled else []
        cases = [c for c in cases if fnmatch.fnmatch(c.name, opts.only)]
        n += len(cases)
        print(f"{area}: {len(cases)} damaged files, {sum(bool(c.must_fail) for c in cases)} of them must be refused")
        run_cases(runner, cases, SMALL, opts)
    status = runner.report("damage", opts.show)
    sys.exit(status if n else 77)


if __name__ == "__main__":
    main()
