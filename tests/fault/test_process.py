#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What goes wrong around the program: outputs that are full or closed, disks that are full or read-only, a model that
is cut while it answers, limits of the system, a process that is stopped and continued. Standard library only.

  test_process.py GLIM [--sanitized] [TestName...]
"""
import glob
import os
import pty
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

GLIM = os.path.abspath(sys.argv.pop(1))
SANITIZED = "--sanitized" in sys.argv
if SANITIZED:
    sys.argv.remove("--sanitized")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TINY = os.path.join(ROOT, "tests", "golden", "models", "glm-lite-small")
ANSWER = ["run", "-p", "How do I get the real model?", "--cpu", "ref", "--kv", "f32", "--temperature", "0", "--think", "off", "-t", "2"]
IO, LONG = 4, 60  # exit status, seconds


def clean_env(home, **more):
    env = {"PATH": os.environ["PATH"], "HOME": home, "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    env.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
    env.update(more)
    return env


def limit(what, n):
    return lambda: resource.setrlimit(what, (n, n))


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = folder.name

    def run_glim(self, *args, **how):
        how.setdefault("stdin", subprocess.DEVNULL)
        how.setdefault("stdout", subprocess.PIPE)
        how.setdefault("stderr", subprocess.PIPE)
        p = subprocess.run([GLIM, *args], cwd=self.home, env=clean_env(self.home), timeout=10 * LONG, **how)
        p.err = (p.stderr or b"").decode(errors="replace")
        self.assertGreaterEqual(p.returncode, 0, f"{args}: ended by a signal: {p.err}")
        self.assertNotIn("Sanitizer", p.err)
        return p

    def copy(self, name="model.gguf"):
        path = os.path.join(self.home, name)
        shutil.copy(os.path.join(TINY, "model.gguf"), path)
        return path


class Output(Case):
    """What does not reach its file is a failure, and says so."""

    def commands(self):
        with open(os.path.join(self.home, "tokens"), "w") as f:
            f.write("[1, 2, 3]")
        return [
            ["version"],
            ["help"],
            ["run", "--help"],
            ["features", "--json"],
            ["config", "show"],
            ["list"],
            ["inspect"],
            ["inspect", "--json"],
            ["logits", "--tokens", "tokens", "--all"],
            ["run", "-p", "Hi", "-n", "3", "--think", "off"],
            ["run", "-p", "Hi", "-n", "3", "--json"],
        ]

    def fails(self, args, **how):
        p = self.run_glim(*args, **how)
        self.assertEqual(p.returncode, IO, f"{args}: {p.err}")
        self.assertIn("standard output", p.err, args)

    def test_full(self):
        for args in self.commands():
            with open("/dev/full", "w") as full:
                self.fails(args, stdout=full)

    def test_closed(self):
        for args in self.commands():
            self.fails(args, stdout=None, preexec_fn=lambda: os.close(1))

    def test_file_size_limit(self):
        for args in self.commands():
            with open(os.path.join(self.home, "out"), "w") as out:
                self.fails(args, stdout=out, preexec_fn=limit(resource.RLIMIT_FSIZE, 1))

    def test_all_closed(self):
        """No file that is opened takes the place of a standard one and gets what is printed."""
        target = os.path.join(self.home, "synth.gguf")
        p = self.run_glim("synth", target, "--layers", "2", "--type", "q8_0", "--help", stdin=None, stdout=None, stderr=None, preexec_fn=lambda: os.closerange(0, 3))
        self.assertEqual(p.returncode, IO)
        self.assertFalse(os.path.exists(target))
        p = self.run_glim(*ANSWER, stdin=None, stdout=None, stderr=None, preexec_fn=lambda: os.closerange(0, 3))
        self.assertEqual(p.returncode, IO)

    def test_no_errors_to_be_said(self):
        want = self.run_glim(*ANSWER).stdout
        self.assertEqual(self.run_glim(*ANSWER, stderr=None, preexec_fn=lambda: os.close(2)).stdout, want)
        self.assertEqual(self.run_glim(*ANSWER, stdin=None, preexec_fn=lambda: os.close(0)).stdout, want)
        with open("/dev/full", "w") as full:
            self.assertEqual(self.run_glim(*ANSWER, stderr=full).stdout, want)


class Cut(Case):
    """The model is cut while it answers."""

    def cut_while_running(self, threads, size):
        path = self.copy()
        args = ["run", "-m", path, "-p", "Hi", "--min-tokens", "100000", "-t", str(threads), "--ctx", "4000"]
        p = subprocess.Popen([GLIM, *args], cwd=self.home, env=clean_env(self.home), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertTrue(os.read(p.stdout.fileno(), 1))
        os.truncate(path, size)
        rest = p.stdout.read().decode(errors="replace")
        p.stdout.close()
        self.assertEqual(p.wait(LONG), IO, rest[-1000:])
        self.assertIn(f"glim run: {path}: cannot be read at byte ", rest)
        self.assertIn("was cut while in use", rest)
        self.assertNotIn("Sanitizer", rest)

    def test_cut(self):
        for threads in (1, 2):
            for size in (0, 4096, 700000, os.path.getsize(os.path.join(TINY, "model.gguf")) - 1):
                self.cut_while_running(threads, size)


class Limits(Case):
    @unittest.skipIf(SANITIZED, "a sanitizer needs terabytes of addresses")
    def test_address_space(self):
        """Whatever is too little: an error of glim's own or none, at every size; in the end it works."""
        seen = set()
        for mib in [*range(4, 80), 400, 4000]:  # the tables that words are cut by map 32 MiB before main()
            p = self.run_glim("run", "-m", os.path.join(TINY, "model.gguf"), "-p", "Hi", "-n", "5", "--seed", "1", "--ctx", "512", "-t", "2", preexec_fn=limit(resource.RLIMIT_AS, mib << 20))
            if p.returncode == 127 or "error while loading shared libraries" in p.err:
                continue  # it did not even begin
            self.assertIn(p.returncode, (0, 3, 4, 12), f"{mib} MiB: {p.err}")
            if p.returncode:
                self.assertTrue(p.err.startswith("glim run: "), f"{mib} MiB: {p.err}")
            seen.add(p.returncode)
        self.assertIn(0, seen)
        self.assertEqual(p.returncode, 0)
        self.assertIn(3, seen)


class Stopped(Case):
    def test_stop_and_continue(self):
        want = self.run_glim(*ANSWER).stdout
        p = subprocess.Popen([GLIM, *ANSWER], cwd=self.home, env=clean_env(self.home), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(150):
            for s in (signal.SIGSTOP, signal.SIGCONT, signal.SIGWINCH):
                if p.poll() is None:
                    p.send_signal(s)
            time.sleep(0.001)
        out, err = p.communicate(timeout=LONG)
        self.assertEqual((p.returncode, out), (0, want), err)


class Writing(Case):
    """Files of ours on disks that are full or may not be written."""

    def synth(self, path, **how):
        return self.run_glim("synth", path, "--layers", "2", "--type", "q4_k_m", **how)

    def check_refused(self, p, *says):
        self.assertIn(p.returncode, (IO, 10), p.err)
        self.assertTrue(p.err.startswith("glim synth: "), p.err)
        for word in says:
            self.assertIn(word, p.err)

    def test_model_file(self):
        self.check_refused(self.synth("/dev/full"), "/dev/full", "device")
        self.check_refused(self.synth("/proc/model.gguf"), "/proc/model.gguf")
        self.check_refused(self.synth("nowhere/model.gguf"), "nowhere/model.gguf")
        self.check_refused(self.synth(self.home), "folder")
        old = os.path.join(self.home, "model.gguf")
        with open(old, "w") as f:
            f.write("old")
        self.check_refused(self.synth(old, preexec_fn=limit(resource.RLIMIT_FSIZE, 100000)), "ulimit")
        self.assertEqual(os.listdir(self.home), ["model.gguf"])
        with open(old) as f:
            self.assertEqual(f.read(), "old")

    def in_small_disk(self, script):
        """A real full or read-only disk, where one may be made: a file system of 1 MiB in memory."""
        how = ["unshare", "-m", "sh", "-ec", 'mkdir disk; mount -t tmpfs -o size=1m none disk; echo mounted; ' + script, GLIM]
        try:
            p = subprocess.run(how, cwd=self.home, env=clean_env(self.home), capture_output=True, timeout=LONG)
        except FileNotFoundError:
            self.skipTest("no unshare")
        if not p.stdout.startswith(b"mounted"):
            self.skipTest("no file system may be mounted here")
        return p.stdout.decode(), p.stderr.decode()

    def test_full_disk(self):
        out, err = self.in_small_disk('set +e; "$0" synth disk/m.gguf --layers 2; echo $?; ls disk; "$0" inspect >disk/list; echo $?; dd if=/dev/zero of=disk/zero 2>/dev/null; "$0" inspect >disk/more; echo $?')
        self.assertEqual(out.split(), ["mounted", "4", "0", "4"], err)
        self.assertIn("No space left on device", err)
        self.assertIn("make room or choose another place", err)

    def test_read_only_disk(self):
        out, err = self.in_small_disk('mount -o remount,ro disk; set +e; "$0" synth disk/m.gguf --layers 2; echo $?')
        self.assertEqual(out.split(), ["mounted", "4"], err)
        self.assertIn("Read-only file system; choose another place", err)


class History(Case):
    """Typed lines are kept where they can be; a chat goes on in any case."""

    def setUp(self):
        super().setUp()
        if b'"line_editing":true' not in self.run_glim("features", "--json").stdout.replace(b": ", b":"):
            self.skipTest("no line editing in this build")
        self.dir = os.path.join(self.home, "state", "glim")
        self.path = os.path.join(self.dir, "history")
        os.makedirs(self.dir)

    def chat(self, state=None, before=None):
        """A short chat at a terminal must go as ever."""
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(self.home)
            if before:
                before()
            os.execve(GLIM, [GLIM, "chat", "--cpu", "ref", "--temperature", "0"], clean_env(self.home, XDG_STATE_HOME=state or os.path.dirname(self.dir)))
        got = b""
        for text, answer in ((b"", b"> "), (b"/stats\r", b"messages: 0"), (b"/nonsense\r", b"nonsense"), (b"/quit\r", None)):
            os.write(fd, text)
            end = time.time() + LONG
            while answer is None or answer not in got:
                self.assertLess(time.time(), end, got)
                if not select.select([fd], [], [], 0.2)[0]:
                    continue
                try:
                    piece = os.read(fd, 65536)
                except OSError:
                    piece = b""
                if not piece:
                    self.assertIsNone(answer, f"ended before {answer}: {got}")
                    break
                got += piece
        os.close(fd)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, got)
        self.assertNotIn(b"Sanitizer", got)

    def test_as_ever(self):
        self.chat()
        with open(self.path) as f:
            self.assertIn("/stats", f.read())
        self.assertEqual(os.listdir(self.dir), ["history"])

    def test_nowhere(self):
        self.chat(state="/proc/nowhere")
        self.chat(state="/dev/null")

    def test_in_the_way(self):
        os.mkdir(self.path)
        self.chat()
        self.assertEqual(os.listdir(self.dir), ["history"])

    def test_links_stay(self):
        for target in ("/dev/full", "/dev/null", os.path.join(self.home, "elsewhere")):
            os.symlink(target, self.path)
            self.chat()
            self.assertEqual(os.readlink(self.path), target)
            os.unlink(self.path)
        with open(os.path.join(self.home, "elsewhere")) as f:
            self.assertIn("/stats", f.read())

    def test_full_disk_keeps_old_lines(self):
        self.chat()
        with open(self.path) as f:
            old = f.read()
        self.chat(before=limit(resource.RLIMIT_FSIZE, 5))
        with open(self.path) as f:
            self.assertEqual(f.read(), old)
        self.assertEqual(os.listdir(self.dir), ["history"])


if __name__ == "__main__":
    unittest.main()
