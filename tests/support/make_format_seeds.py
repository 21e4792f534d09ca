#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the seeds of the fuzz targets gguf, enctok_gguf and safetensors: make_format_seeds.py <fuzz/seed>.

Small, whole files with one of everything, and a few that are wrong in one place."""
import json
import os
import struct
import sys

U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARRAY, U64, I64, F64 = range(13)
CODE = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}


def string(s):
    raw = s.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(kind, v):
    return string(v) if kind == STR else struct.pack("<" + CODE[kind], v)


def kv(key, kind, v, elem=None):
    head = string(key) + struct.pack("<I", kind)
    if kind == ARRAY:
        return head + struct.pack("<IQ", elem, len(v)) + b"".join(value(elem, x) for x in v)
    return head + value(kind, v)


def gguf(kvs, tensors, align=32, version=3):
    """tensors: (name, ne, ggml type, bytes)"""
    infos, data = b"", b""
    for name, ne, kind, raw in tensors:
        data += b"\0" * (-len(data) % align)
        infos += string(name) + struct.pack("<I", len(ne)) + struct.pack("<%dQ" % len(ne), *ne)
        infos += struct.pack("<IQ", kind, len(data))
        data += raw
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(kvs)) + b"".join(kvs) + infos
    return out + b"\0" * (-len(out) % align) + data


def safetensors(entries, data, metadata=True, pad=b""):
    header = {"__metadata__": {"format": "pt"}} if metadata else {}
    header.update(entries)
    raw = json.dumps(header, separators=(",", ":")).encode() + pad
    return struct.pack("<Q", len(raw)) + raw + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def gguf_seeds():
    scalars = [kv("k.%d" % k, k, 1) for k in CODE]
    arrays = [kv("a.%d" % k, ARRAY, [1, 0, 1], k) for k in CODE]
    arch = kv("general.architecture", STR, "deepseek2")
    tokens = kv("tokenizer.ggml.tokens", ARRAY, ["<a>", "", "\u00e9"], STR)
    blocks = {0: (4, 1), 1: (2, 1), 30: (2, 1), 8: (34, 32), 2: (18, 32), 3: (20, 32), 6: (22, 32), 7: (24, 32),
              10: (84, 256), 11: (110, 256), 12: (144, 256), 13: (176, 256), 14: (210, 256), 20: (18, 32),
              23: (136, 256), 39: (17, 32)}
    every = [("t%d" % k, [n, 2], k, bytes(range(1, 2 * b + 1)) if 2 * b < 256 else bytes(2 * b)) for k, (b, n) in
             blocks.items()]
    one = [("w", [4], 0, bytes(16))]
    yield "empty", gguf([], [])
    yield "scalars", gguf([arch] + scalars, one)
    yield "arrays", gguf([arch, tokens] + arrays, one)
    yield "every-type", gguf([arch], every)
    yield "align-64", gguf([kv("general.alignment", U32, 64)], one + [("b", [3, 2, 1, 1], 1, bytes(12))], 64)
    yield "version-2", gguf([arch], one, version=2)
    yield "split", gguf([kv("split.no", U16, 0), kv("split.count", U16, 2), kv("split.tensors.count", I32, 2)], one)
    yield "big-endian", b"GGUF" + struct.pack(">IQQ", 3, 0, 0)
    yield "counts-huge", b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60) + bytes(64)
    yield "nested-array", gguf([string("k") + struct.pack("<IIQ", ARRAY, ARRAY, 1)], [])
    yield "cut", gguf([arch], one)[:-1]


def encoder_seeds():
    """Vocabularies of encoders, without any weight."""
    bert = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "\u2581h", "\u2581H", "i", "\u2581\u00e9", "\u2581e", "\u2581\u4f60"]
    t5 = ["<s>", "<pad>", "</s>", "<unk>", "\u2581h", "\u2581H", "i", "\u2581", "\u00e9", "e", "<mask>"]
    key = "tokenizer.ggml."

    def vocabulary(model, tokens, *more):
        kinds = [3 if t[0] in "[<" else 1 for t in tokens]
        return gguf([kv(key + "model", STR, model), kv(key + "tokens", ARRAY, tokens, STR), kv(key + "token_type", ARRAY, kinds, I32), *more], [])

    scores = kv(key + "scores", ARRAY, [-float(i) for i in range(len(t5))], F32)
    ids = [kv(key + name + "_token_id", U32, i) for name, i in (("cls", 2), ("seperator", 3), ("unknown", 1), ("padding", 0), ("mask", 4))]
    # One unit of a trie and the replacements behind it.
    charsmap = struct.pack("<II", 4, 0) + b"a\0"
    yield "bert", vocabulary("bert", bert)
    yield "bert-ids", vocabulary("bert", bert, *ids)
    yield "bert-cased", vocabulary("bert", bert, kv(key + "normalizer.lowercase", BOOL, 0))
    yield "bert-accents", vocabulary("bert", bert, kv(key + "normalizer.strip_accents", BOOL, 0))
    yield "t5", vocabulary("t5", t5, scores)
    yield "t5-switches", vocabulary("t5", t5, scores, kv(key + "add_space_prefix", BOOL, 0), kv(key + "remove_extra_whitespaces", BOOL, 0))
    yield "t5-charsmap", vocabulary("t5", t5, scores, kv(key + "precompiled_charsmap", ARRAY, list(charsmap), U8))
    yield "wrong-id", vocabulary("bert", bert, kv(key + "cls_token_id", U32, 99))
    yield "short-scores", vocabulary("t5", t5, kv(key + "scores", ARRAY, [1.0], F32))
    yield "other-model", vocabulary("gpt2", bert)


def safetensors_seeds():
    yield "empty", safetensors({}, b"", False)
    yield "two", safetensors({"a.weight": entry("F32", [2, 3], 0, 24), "a.bias": entry("BF16", [3], 24, 30)}, bytes(30))
    yield "padded", safetensors({"h": entry("F16", [], 0, 2)}, bytes(2), pad=b"     ")
    yield "skipped", safetensors({"position_ids": entry("I64", [1, 2], 0, 16), "w": entry("F32", [1], 16, 20)}, bytes(20))
    yield "unordered", safetensors({"b": entry("F16", [2], 4, 8), "a": entry("F16", [2], 0, 4)}, bytes(8))
    yield "float8", safetensors({"w": entry("F8_E4M3", [4], 0, 4)}, bytes(4))
    yield "hole", safetensors({"w": entry("F32", [1], 4, 8)}, bytes(8))
    yield "wraps", safetensors({"w": entry("F32", [1 << 32, 1 << 32], 0, 0)}, b"")
    yield "escapes", safetensors({"\u00e9\n\"": entry("F32", [1], 0, 4)}, bytes(4))
    yield "long-header", struct.pack("<Q", (1 << 64) - 8) + b"{}"
    yield "index", json.dumps({"metadata": {"total_size": 8}, "weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}).encode()
    yield "index-traversal", b'{"weight_map":{"a":"../1.safetensors"}}'


def main():
    for target, seeds in (("gguf", gguf_seeds()), ("enctok_gguf", encoder_seeds()), ("safetensors", safetensors_seeds())):
        folder = os.path.join(sys.argv[1], target)
        os.makedirs(folder, exist_ok=True)
        for name, raw in seeds:
            with open(os.path.join(folder, name), "wb") as f:
                f.write(raw)


main()
