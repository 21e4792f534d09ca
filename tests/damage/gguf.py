# SPDX-License-Identifier: MIT
"""gguf.py - reads a GGUF into lists that can be changed, and writes it again, remembering where each field went."""
import struct

U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR, U64, I64, F64 = range(13)
FORMAT = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}


class Value:
    """type is a GGUF value type; for ARR, elem is the elements' type and v a list."""

    def __init__(self, type, v, elem=None):
        self.type, self.v, self.elem = type, v, elem


class Tensor:
    def __init__(self, name, dims, type, offset):
        self.name, self.dims, self.type, self.offset = name, dims, type, offset


class File:
    def __init__(self):
        self.magic, self.version = b"GGUF", 3
        self.meta, self.tensors, self.data = [], [], b""  # meta: [key bytes, Value] pairs

    def copy(self):
        f = File()
        f.magic, f.version, f.data = self.magic, self.version, self.data
        f.meta = [[k, Value(v.type, list(v.v) if v.type == ARR else v.v, v.elem)] for k, v in self.meta]
        f.tensors = [Tensor(t.name, list(t.dims), t.type, t.offset) for t in self.tensors]
        return f

    def get(self, key):
        return next((v for k, v in self.meta if k == key.encode()), None)

    def set(self, key, type, v, elem=None):
        self.drop(key)
        self.meta.append([key.encode(), Value(type, v, elem)])

    def drop(self, key):
        self.meta = [p for p in self.meta if p[0] != key.encode()]

    def tensor(self, name):
        return next(t for t in self.tensors if t.name == name.encode())

    def write(self):
        """The bytes, and the place of every field: marks[("kv", key, "len")] and so on."""
        out, marks = bytearray(), {}

        def put(what, fmt, v):
            marks[what] = len(out)
            out.extend(struct.pack("<" + fmt, v))

        def put_str(what, s):
            put(what + ("len",), "Q", len(s))
            marks[what + ("bytes",)] = len(out)
            out.extend(s)

        out += self.magic
        put("version", "I", self.version)
        put("n_tensor", "Q", len(self.tensors))
        put("n_kv", "Q", len(self.meta))
        for key, v in self.meta:
            k = ("kv", key.decode("utf-8", "replace"))
            put_str(k, key)
            put(k + ("type",), "I", v.type)
            marks[k + ("value",)] = len(out)
            if v.type == STR:
                put_str(k + ("str",), v.v)
            elif v.type == ARR:
                put(k + ("elem",), "I", v.elem)
                put(k + ("count",), "Q", len(v.v))
                for i, x in enumerate(v.v):
                    if v.elem == STR:
                        put_str(k + (i,), x)
                    else:
                        out.extend(struct.pack("<" + FORMAT[v.elem], x))
            else:
                out.extend(struct.pack("<" + FORMAT[v.type], v.v))
        for t in self.tensors:
            k = ("tensor", t.name.decode("utf-8", "replace"))
            put_str(k, t.name)
            put(k + ("n_dim",), "I", len(t.dims))
            for i, d in enumerate(t.dims):
                put(k + ("dim", i), "Q", d % (1 << 64))
            put(k + ("type",), "I", t.type)
            put(k + ("offset",), "Q", t.offset % (1 << 64))
        marks["header_end"] = len(out)
        out.extend(bytes(-len(out) % 32))
        marks["data"] = len(out)
        out.extend(self.data)
        return out, marks


def read(path):
    with open(path, "rb") as fd:
        d = fd.read()
    at = 4

    def take(fmt):
        nonlocal at
        (v,) = struct.unpack_from("<" + fmt, d, at)
        at += struct.calcsize(fmt)
        return v

    def take_str():
        nonlocal at
        n = take("Q")
        at += n
        return d[at - n : at]

    f = File()
    f.magic, f.version = d[:4], take("I")
    n_tensor, n_kv = take("Q"), take("Q")
    for _ in range(n_kv):
        key, type = take_str(), take("I")
        if type == STR:
            v = Value(type, take_str())
        elif type == ARR:
            elem, n = take("I"), take("Q")
            v = Value(type, [take_str() if elem == STR else take(FORMAT[elem]) for _ in range(n)], elem)
        else:
            v = Value(type, take(FORMAT[type]))
        f.meta.append([key, v])
    for _ in range(n_tensor):
        name = take_str()
        dims = [take("Q") for _ in range(take("I"))]
        type = take("I")
        f.tensors.append(Tensor(name, dims, type, take("Q")))
    align = f.get("general.alignment")
    align = align.v if align else 32
    f.data = d[at + -at % align :]
    return f
