#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the shell cases of this folder; standard library only.

  runner.py GLIM [--bless] [NAME...]

A case is NAME.sh with what it must print: NAME.out (absent: nothing), NAME.err (absent: nothing) and NAME.exit (absent:
0). {*} in them stands for any text within a line. The case runs in an empty folder with $GLIM, $MODEL and $CLI (this
folder) set and no other variable of glim's; names of that folder and of the model are written FOLDER and MODEL. The line that
tells the memory of a model at load is left out (its figures depend on the machine; test_cli.py looks for it). --bless writes what came out; look at the difference before keeping it.
"""
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = os.path.join(HERE, "..", "..", "models", "glim-demo.gguf")


def read(path, default):
    try:
        with open(path, encoding="utf-8") as f:
            return f.read()
    except FileNotFoundError:
        return default


def same(expected, got):
    if "{*}" not in expected:
        return expected == got
    return re.fullmatch("[^\n]*".join(map(re.escape, expected.split("{*}"))), got) is not None


def main():
    args = sys.argv[1:]
    if not args:
        print(__doc__)
        return 2
    glim, bless, names = os.path.abspath(args[0]), "--bless" in args, [a for a in args[1:] if a != "--bless"]
    names = names or sorted(f[:-3] for f in os.listdir(HERE) if f.endswith(".sh"))
    bad = 0
    for name in names:
        base = os.path.join(HERE, name)
        with tempfile.TemporaryDirectory() as folder:
            env = {"PATH": os.environ["PATH"], "HOME": folder, "GLIM": glim, "MODEL": os.path.abspath(MODEL), "CLI": HERE, "LC_ALL": "C.UTF-8"}
            for k in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
                if k in os.environ:
                    env[k] = os.environ[k]
            p = subprocess.run(["sh", base + ".sh"], cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
        got = {"out": p.stdout.decode("utf-8", "backslashreplace"), "err": p.stderr.decode("utf-8", "backslashreplace"), "exit": f"{p.returncode}\n"}
        for kind, text in got.items():
            text = re.sub(r"^(\d+ )?glim: weights .*\n", r"\1", text, flags=re.M)
            text = text.replace(folder, "FOLDER").replace(os.path.abspath(MODEL), "MODEL")
            path = f"{base}.{kind}"
            expected = read(path, "0\n" if kind == "exit" else "")
            if same(expected, text):
                continue
            if bless:
                if text == ("0\n" if kind == "exit" else ""):
                    os.path.exists(path) and os.remove(path)
                else:
                    with open(path, "w", encoding="utf-8") as f:
                        f.write(text)
                print(f"{name}.{kind}: written")
                continue
            bad += 1
            print(f"{name}.{kind} differs\n---- expected\n{expected}---- got\n{text}----")
    print(f"cli: {len(names)} cases, {bad} differences")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
