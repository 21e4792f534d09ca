#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes a virtual environment with the clients' real packages, versions pinned; does nothing when it is there.

  setup_venv.py [openai] [zhipuai] [--folder DIR]     both without a name; DIR: build/sdk-venv of this checkout

zai-sdk and zhipuai need different versions of PyJWT, hence two environments. Exit status 77 and one line when the
packages cannot be had (no network); 1 when something else is wrong.
"""
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
FOLDER = os.path.join(ROOT, "build", "sdk-venv")
NAMES = ("openai", "zhipuai")
OLDEST = (3, 11)
NO_NETWORK = ("Failed to establish a new connection", "Temporary failure in name resolution",
              "Name or service not known", "Read timed out",
              "Connection refused", "ConnectTimeout", "ProxyError", "Network is unreachable", "SSLError")


class Unavailable(Exception):
    """The packages cannot be had here."""


def requirements(name):
    return os.path.join(HERE, f"requirements-{name}.txt")


def stamp_of(name):
    with open(requirements(name), "rb") as f:
        digest = hashlib.sha256(f.read())
    digest.update(sys.version.encode())
    return digest.hexdigest()


def python_of(folder, name):
    return os.path.join(folder, name, "bin", "python")


def run(args):
    return subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def make(folder, name, stamp):
    if sys.version_info < OLDEST:
        raise Unavailable("the pinned packages need Python %d.%d, this is %d.%d" % (OLDEST + sys.version_info[:2]))
    place = os.path.join(folder, name)
    shutil.rmtree(place, ignore_errors=True)
    print(f"sdk: making {place} (a minute, only this once)", file=sys.stderr)
    done = run([sys.executable, "-m", "venv", place])
    if done.returncode:
        raise RuntimeError(f"python3 -m venv failed (Debian: apt-get install python3-venv):\n{done.stdout}")
    done = run([python_of(folder, name), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                "--no-input", "--no-deps", "--only-binary", ":all:", "--retries", "2", "--timeout", "30",
                "-r", requirements(name)])
    if done.returncode:
        shutil.rmtree(place, ignore_errors=True)
        last = (done.stdout.strip().splitlines() or ["no output"])[-1]
        if any(mark in done.stdout for mark in NO_NETWORK):
            raise Unavailable(f"the packages of {os.path.basename(requirements(name))} cannot be fetched: {last}")
        raise RuntimeError(f"pip failed:\n{done.stdout}")
    with open(os.path.join(place, "stamp"), "w", encoding="ascii") as f:
        f.write(stamp)


def ensure(name, folder=FOLDER):
    """The environment's Python. Two callers at once do not disturb each other."""
    os.makedirs(folder, exist_ok=True)
    stamp = stamp_of(name)
    with open(os.path.join(folder, name + ".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            with open(os.path.join(folder, name, "stamp"), encoding="ascii") as f:
                fresh = f.read() == stamp
        except FileNotFoundError:
            fresh = False
        if not fresh:
            make(folder, name, stamp)
    return python_of(folder, name)


def main(args):
    folder = FOLDER
    if "--folder" in args:
        i = args.index("--folder")
        folder = os.path.abspath(args[i + 1])
        del args[i : i + 2]
    for name in args or NAMES:
        if name not in NAMES:
            print(__doc__, file=sys.stderr)
            return 2
        print(ensure(name, folder))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Unavailable as why:
        print(f"sdk: skipped: {why}", file=sys.stderr)
        sys.exit(77)
    except RuntimeError as why:
        print(f"sdk: {why}", file=sys.stderr)
        sys.exit(1)
