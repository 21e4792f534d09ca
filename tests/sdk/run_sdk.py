#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs one suite against a server: makes its virtual environment when needed, then pytest inside it.

  run_sdk.py openai|zhipuai --glim FILE [--glim-test FILE] [--folder DIR] [pytest's arguments...]

--glim is the program with the bundled model, --glim-test the one with the scripted engine (tests that need it are
skipped without it). Exit status 77: skipped, because the packages cannot be had.
"""
import argparse
import os
import sys

import setup_venv


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("suite", choices=setup_venv.NAMES)
    p.add_argument("--glim", required=True)
    p.add_argument("--glim-test", default="")
    p.add_argument("--folder", default=setup_venv.FOLDER)
    p.add_argument("--slow", type=float, default=1.0, help="factor for every time limit (sanitizers)")
    args, rest = p.parse_known_args()
    try:
        python = setup_venv.ensure(args.suite, os.path.abspath(args.folder))
    except setup_venv.Unavailable as why:
        print(f"sdk: skipped: {why}", file=sys.stderr)
        return 77
    env = dict(os.environ, GLIM_SDK_SUITE=args.suite, GLIM_SDK_GLIM=os.path.abspath(args.glim),
               GLIM_SDK_GLIM_TEST=os.path.abspath(args.glim_test) if args.glim_test else "",
               GLIM_SDK_SLOW=str(args.slow), PYTHONDONTWRITEBYTECODE="1")
    # What the clients would read by themselves must not come from outside.
    for name in list(env):
        if name.startswith(("OPENAI_", "ZAI_", "ZHIPUAI_", "OLLAMA_", "GLM_")) or name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
            del env[name]
    here = os.path.dirname(os.path.abspath(__file__))
    os.execve(python, [python, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=short", here, *rest], env)
    return 1


if __name__ == "__main__":
    sys.exit(main())
