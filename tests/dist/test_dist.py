#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks dist/; standard library only.

  test_dist.py settings GLIM   the example settings are taken by the program, as they are and with every key switched on
  test_dist.py units GLIM      systemd-analyze takes the units (exit 77 where there is none), and the times in them fit
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

DIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "dist")


def read(name):
    with open(os.path.join(DIST, name), encoding="utf-8") as f:
        return f.read()


def run(*args, **env):
    return subprocess.run(args, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **env}, capture_output=True, text=True, timeout=60)


def settings(glim):
    text = read("glim.conf")
    switched_on, n = re.subn(r"^#(?=[a-z])", "", text, flags=re.M)
    assert n >= 10, n
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("as-it-is", text), ("switched-on", switched_on)):
            path = os.path.join(folder, name)
            with open(path, "w", encoding="utf-8") as f:
                f.write(content)
            r = run(glim, "config", "check", path)
            assert r.returncode == 0, r.stderr
        shown = run(glim, "config", "show", "--config", path).stdout
    for key in set(re.findall(r"^([a-z-]+) =", switched_on, re.M)):
        assert re.search(rf"^{key} .*switched-on", shown, re.M), (key, shown)
        # Every key of the example is the server's business.
        assert f"--{key}" in run(glim, "serve", "--help").stdout, key
    return 0


def seconds(unit, key):
    value = re.search(rf"^{key}=(\d+)(min)?$", unit, re.M)
    return int(value.group(1)) * (60 if value.group(2) else 1)


def units(glim):
    service, socket = read("systemd/glim.service"), read("systemd/glim.socket")
    drain = re.search(r"^drain +(\d+)", run(glim, "config", "show").stdout, re.M)
    assert seconds(service, "TimeoutStopSec") >= int(drain.group(1)) + 10, "a stop would cut off answers that may still run"
    command = re.search(r"^ExecStart=/usr/bin/glim (.*)$", service, re.M).group(1)
    assert command.split() == ["serve", "--config", "/etc/glim/glim.conf"], command
    if not shutil.which("systemd-analyze"):
        print("systemd-analyze is not there: the units were not verified")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("glim.service", service.replace("/usr/bin/glim", os.path.abspath(glim))), ("glim.socket", socket)):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write(text)
        paths = [os.path.join(folder, n) for n in ("glim.service", "glim.socket")]
        r = run("systemd-analyze", "verify", "--recursive-errors=no", "--man=no", *paths, SYSTEMD_UNIT_PATH=folder + ":")
        # Only what it says of these files counts: units of this machine may have faults of their own.
        ours = [line for line in r.stderr.splitlines() if "glim" in line]
        assert r.returncode == 0 and not ours, r.stderr
        # It must be able to fail.
        with open(paths[0], "a", encoding="utf-8") as f:
            f.write("[Service]\nNoSuchSetting=1\n")
        r = run("systemd-analyze", "verify", "--recursive-errors=no", "--man=no", *paths, SYSTEMD_UNIT_PATH=folder + ":")
        assert "NoSuchSetting" in r.stderr, r.stderr
    return 0


if __name__ == "__main__":
    sys.exit({"settings": settings, "units": units}[sys.argv[1]](sys.argv[2]))
