#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Installs what programs are built with into an empty folder and builds two of them with pkg-config alone, as C and as C++.

  test_install.py CMAKE BUILD CC CXX
"""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support", "platform"))
from standin import Platform  # noqa: E402


def run(*args, **more):
    r = subprocess.run(args, capture_output=True, text=True, timeout=300, **more)
    return r.returncode, r.stdout, r.stderr


def must(*args, **more):
    status, out, err = run(*args, **more)
    assert status == 0, (args, err)
    return out


def main(cmake, build, cc, cxx):
    with tempfile.TemporaryDirectory() as folder:
        # Moved after it was installed: nothing in it may remember where it was.
        must(cmake, "--install", build, "--prefix", os.path.join(folder, "first"), "--component", "development")
        tree = os.path.join(folder, "moved")
        os.rename(os.path.join(folder, "first"), tree)
        pc = next(d for d, _, files in os.walk(tree) if "glim.pc" in files)
        env = {**os.environ, "PKG_CONFIG_PATH": pc}
        for package, source, args in (("glim-client", "consumer_client.c", None),
                                      ("glim", "consumer_engine.c", [os.path.join(ROOT, "models", "glim-demo.gguf")])):
            flags = must("pkg-config", "--cflags", "--libs", package, env=env).split()
            program = os.path.join(folder, package)
            must(cc, "-std=c11", "-Wall", "-Wextra", "-Werror", os.path.join(HERE, source), *flags, "-o", program)
            header = "glim/client.h" if package == "glim-client" else "glim/engine.h"
            must(cxx, "-std=c++17", "-Wall", "-Werror", "-fsyntax-only", "-x", "c++", "-", *[f for f in flags if f.startswith("-I")],
                 input=f'#include <{header}>\n')
            if args:
                version = must("pkg-config", "--modversion", package, env=env)
                assert must(program, *args) == version, version
                continue
            with Platform() as p:
                assert must(program, p.paas, p.key) == "echo: Hello"
                status, out, err = run(program, p.paas, "wrong.key")
                assert (status, out) == (16, "") and "401" in err and err.count("\n") == 1, (status, err)
            status, out, err = run(program, "ftp://x", "k")
            assert status == 8 and "base_url" in err, (status, err)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
