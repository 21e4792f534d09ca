# SPDX-License-Identifier: MIT
"""runner.py - runs the program under limits and judges how it failed. Shared by damage.py and badinput.py.

A failure is well behaved when the program ends by itself in time, with an exit status that is neither 0 (done) nor 2 (the
command line is wrong) nor that of a crash or of a defect of glim's own (70), prints no result on standard output and exactly
one line "glim COMMAND: ..." on standard error that names what was wrong, and never held more memory than the file explains.
"""
import concurrent.futures
import json
import os
import resource
import subprocess
import tempfile
import threading
import time

# What a small process holds anyway; the rest is a multiple of the input.
BASE_BYTES = 96 << 20
PER_BYTE = 6
NOMEM, INTERNAL = 3, 70


class Result:
    def __init__(self, args, code, out, err, rss, seconds):
        self.args, self.code, self.out, self.err, self.rss, self.seconds = args, code, out, err, rss, seconds

    def last(self):
        lines = self.err.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""

    def __str__(self):
        return f"exit status {self.code}: {self.last()[:300] or 'nothing on standard error'}"


class Runner:
    def __init__(self, glim, sanitized=False, jobs=2, seconds=10):
        self.glim, self.sanitized, self.jobs = os.path.abspath(glim), sanitized, jobs
        self.seconds = seconds * (6 if sanitized else 1)
        self.failures, self.n_run = [], 0
        self.slowest, self.largest = (0, ""), (0, "")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("GLIM_")}
        if sanitized:
            self.env["ASAN_OPTIONS"] = "allocator_may_return_null=1:max_allocation_size_mb=1024:exitcode=99:abort_on_error=0"
            self.env["UBSAN_OPTIONS"] = "print_stacktrace=1:exitcode=99"

    def run(self, args, stdin=b"", size=0):
        """size: bytes of input; bounds the memory the program may hold."""
        most = BASE_BYTES + PER_BYTE * size
        with tempfile.TemporaryFile() as fin, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            fin.write(stdin)
            fin.seek(0)

            def limit():
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                if not self.sanitized:  # address space: mapped files, thread stacks and promised pages count too
                    resource.setrlimit(resource.RLIMIT_AS, (most + (256 << 20), most + (256 << 20)))

            begin = time.monotonic()
            p = subprocess.Popen([self.glim] + args, stdin=fin, stdout=out, stderr=err, env=self.env, preexec_fn=limit)
            timer = threading.Timer(self.seconds, p.kill)
            timer.start()
            _, status, usage = os.wait4(p.pid, 0)
            p.returncode = os.waitstatus_to_exitcode(status)  # so that Popen does not wait again
            timer.cancel()
            seconds = time.monotonic() - begin
            out.seek(0)
            err.seek(0)
            r = Result(args, p.returncode, out.read(), err.read(), usage.ru_maxrss * 1024, seconds)
        self.n_run += 1
        line = " ".join(map(str, args))[:120]
        self.slowest = max(self.slowest, (seconds, line))
        self.largest = max(self.largest, (r.rss, line))
        return r

    def crash(self, r, size=0):
        """What no input may do; a text, or None."""
        most = (BASE_BYTES + PER_BYTE * size) * (8 if self.sanitized else 1)
        if r.seconds >= self.seconds:
            return f"not done after {self.seconds} s"
        if r.code < 0 or r.code >= 99 or b"Sanitizer" in r.err or b"runtime error" in r.err:
            tail = r.err.decode("utf-8", "replace")
            return f"crashed, exit status {r.code}: {tail[:600]}"
        if r.code == INTERNAL:
            return f"blames itself: {r.last()}"
        # A child starts as a copy of this process, and the system counts that too.
        if r.rss > max(most, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + (16 << 20)):
            return f"held {r.rss >> 20} MiB, {most >> 20} are explained"
        return None

    def judge(self, r, names=(), size=0, codes=None):
        """A failure that must be well behaved; names: one of them has to be in the message. A text, or None."""
        bad = self.crash(r, size)
        if bad:
            return bad
        if r.code == 0:
            return "accepted"
        if r.code == 2 and 2 not in (codes or ()):
            return f"blamed the command line: {r.last()}"
        if r.code == NOMEM and NOMEM not in (codes or ()):
            return f"asked for more memory than the file explains: {r.last()}"
        if codes and r.code not in codes:
            return f"exit status {r.code} instead of {' or '.join(map(str, codes))}: {r.last()}"
        text = r.err.decode("utf-8", "replace")
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("lvl=")]
        if r.code != 2 and (len(lines) != 1 or not lines[0].startswith("glim")):
            return f"{len(lines)} lines of error instead of one 'glim COMMAND: ...': {text[:300]!r}"
        if any(ord(c) < 32 and c != "\n" for c in text):
            return f"control characters in the message: {text[:300]!r}"
        if names and not any(n.lower() in text.lower() for n in names):
            return f"names none of {', '.join(names)}: {r.last()}"
        if r.out and r.args[0] != "inspect":  # which shows what it could read, then what is wrong with it
            return f"printed {r.out[:80]!r} before it failed"
        return None

    def may_pass(self, r, names=(), size=0):
        """Either way is fine: a result that is JSON, or a well-behaved failure."""
        bad = self.crash(r, size)
        if bad or r.code != 0:
            return bad or self.judge(r, names, size)
        if r.args[0] in ("logits", "tokenize") and "--help" not in r.args:
            for line in r.out.splitlines():
                try:
                    json.loads(line, parse_constant=lambda c: int("not JSON: " + c))
                except ValueError as e:
                    return f"printed what is not JSON ({e}): {line[:120]!r}"
        return None

    def each(self, fn, cases):
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            for bad in pool.map(fn, cases):
                self.failures += bad

    def report(self, what, show):
        print(f"{what}: {self.n_run} runs, {len(self.failures)} failures; slowest {self.slowest[0]:.2f} s ({self.slowest[1]}),"
              f" most memory {self.largest[0] >> 20} MiB ({self.largest[1]})")
        for text in self.failures[:show]:
            print("FAILED", text)
        if len(self.failures) > show:
            print(f"... and {len(self.failures) - show} more")
        return 1 if self.failures else 0
