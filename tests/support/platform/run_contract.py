#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the tests of the stand-in beside the real packages: the virtual environment of tests/sdk, then pytest inside it.

  run_contract.py openai|zhipuai [--folder DIR] [pytest's arguments...]

Exit status 77: skipped, because the packages cannot be had. Nothing here needs glim.
"""
import argparse
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "sdk"))
import setup_venv  # noqa: E402

OUTSIDE = ("OPENAI_", "ZAI_", "ZHIPUAI_", "OLLAMA_", "GLM_")  # what the packages would read by themselves


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("suite", choices=setup_venv.NAMES)
    p.add_argument("--folder", default=setup_venv.FOLDER)
    args, rest = p.parse_known_args()
    try:
        python = setup_venv.ensure(args.suite, os.path.abspath(args.folder))
    except setup_venv.Unavailable as why:
        print(f"platform: skipped: {why}", file=sys.stderr)
        return 77
    env = {k: v for k, v in os.environ.items() if not k.startswith(OUTSIDE) and not k.lower().endswith("_proxy")}
    env.update(GLIM_SDK_SUITE=args.suite, PYTHONDONTWRITEBYTECODE="1")
    os.execve(python, [python, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=short", HERE, *rest], env)


if __name__ == "__main__":
    sys.exit(main())
