#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the stand-in as a program of its own:

  python3 tests/support/platform [--port N] [--key KEY]... [--cert FILE --cert-key FILE] [--set NAME=JSON]... [--until-eof]

Prints one line, the address of the API and that of the files, then serves until SIGTERM or SIGINT; with --until-eof also
until its standard input closes, so that it cannot outlive the test that started it.
"""
import argparse
import json
import signal
import sys
import threading

from standin import KEYS, SETTINGS, Platform


def setting(text):
    name, _, value = text.partition("=")
    if name not in SETTINGS:
        raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(SETTINGS)}")
    try:
        return name, json.loads(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{name}: {value!r} is no JSON") from None


def main():
    p = argparse.ArgumentParser(prog="platform", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--port", type=int, default=0, help="of the API; a free one by default")
    p.add_argument("--key", action="append", help=f"a key that is let in (default: {', '.join(KEYS)})")
    p.add_argument("--cert", help="a certificate: TLS on both ports")
    p.add_argument("--cert-key", help="its key")
    p.add_argument("--set", action="append", type=setting, default=[], metavar="NAME=JSON", help="see README.md, settings")
    p.add_argument("--until-eof", action="store_true")
    args = p.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with Platform(args.key or KEYS, args.port, (args.cert, args.cert_key) if args.cert else None, **dict(args.set)) as platform:
        print(platform.url, platform.files_url, flush=True)
        if args.until_eof:
            threading.Thread(target=lambda: (sys.stdin.buffer.read(), ended.set()), daemon=True).start()
        ended.wait()


if __name__ == "__main__":
    main()
