# SPDX-License-Identifier: MIT
"""Scripted failures: a list of steps, each waiting for a request that fits it. The README has the table of members.

A step is checked when it is given, so that a misspelt member fails the test that wrote it and not one that comes later.
"""
import base64
import fnmatch
import gzip
import json

from .wire import Plan, Reply

EFFECTS = {  # member: types
    "status": int, "code": str, "message": str, "body": str, "headers": dict, "redirect": str, "content_type": str,
    "broken_utf8": bool, "broken_json": bool, "events": (str, list), "disposition": str, "gzip": bool,
    "delay_ms": (int, float), "chunk_delay_ms": (int, float), "slow_bytes": int, "slow_ms": (int, float), "cut_after": int,
    "length_off": int, "endless": str, "close": str, "silent": bool, "raw": str, "raw_base64": str,
    "stream_error": dict, "finish_reason": str, "polls": int, "outcome": str,
}
MATCHERS = {"path": str, "method": str, "times": int, "name": str}
CHOICES = {"close": ("end", "reset"), "outcome": ("SUCCESS", "FAIL")}
ORDERS = ("reversed", "done_first", "finish_first", "no_done", "doubled", "none")
WIRE = ("delay_ms", "chunk_delay_ms", "slow_bytes", "slow_ms", "cut_after", "length_off", "close", "silent")


class BadStep(ValueError):
    """The script itself is wrong."""


def check(step):
    """A copy of one step with its defaults."""
    if not isinstance(step, dict):
        raise BadStep(f"a step is an object, not {step!r}")
    for name, value in step.items():
        kinds = {**EFFECTS, **MATCHERS}.get(name)
        if kinds is None:
            raise BadStep(f"no member of a step is called {name!r}")
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            raise BadStep(f"{name}: {value!r} is of the wrong type")
        if name in CHOICES and value not in CHOICES[name]:
            raise BadStep(f"{name}: {value!r} is none of {', '.join(CHOICES[name])}")
        if isinstance(value, (int, float)) and name not in ("length_off",) and value < 0:
            raise BadStep(f"{name}: {value} is negative")
    if isinstance(step.get("events"), str) and step["events"] not in ORDERS:
        raise BadStep(f"events: {step['events']!r} is none of {', '.join(ORDERS)}")
    if "status" in step and not 200 <= step["status"] <= 599:
        raise BadStep(f"status: {step['status']}")
    if step.get("endless") == "":
        raise BadStep("endless: nothing to repeat")
    if "raw_base64" in step:
        base64.b64decode(step["raw_base64"], validate=True)
    return {"path": "*", "times": 1, **step}


class Script:
    """Steps in order. A request meets the first step that fits it and has not been used up."""

    def __init__(self):
        self.steps = []

    def add(self, steps):
        self.steps += [check(s) for s in (steps if isinstance(steps, list) else [steps])]

    def take(self, method, path):
        """The step for a request; {} for none. `times` 0 means always."""
        for step in self.steps:
            if fnmatch.fnmatchcase(path, step["path"]) and step.get("method", method) == method:
                if step["times"]:
                    step["times"] -= 1
                    if step["times"] == 0:
                        self.steps.remove(step)
                return dict(step)
        return {}


def replaces(step):
    """Whether a step answers instead of the handler; everything else is done to the handler's own reply."""
    return "status" in step or "redirect" in step or "body" in step


def replacement(step, error):
    """The scripted answer; `error(status, code, message)` makes one in the dialect of the path."""
    if "redirect" in step:
        return Reply(step.get("status", 302), [("Location", step["redirect"])], [b""])
    if "body" in step:
        return Reply(step.get("status", 200), [("Content-Type", "application/json; charset=UTF-8")], [step["body"].encode("utf-8")])
    return error(step["status"], step.get("code"), step.get("message"))


def damage(step, reply):
    """Does to a reply what a step says about its content and headers."""
    if isinstance(step.get("events"), list):
        reply.parts, reply.stream = [e.encode("utf-8", "surrogateescape") for e in step["events"]], True
    elif "events" in step and reply.stream:
        reply.parts = reorder(reply.parts, step["events"])
    if step.get("broken_utf8"):
        i = len(reply.parts) // 2
        at = reply.parts[i].rfind(b'":"')
        at = at + 3 if at >= 0 else len(reply.parts[i]) // 2
        reply.parts[i] = reply.parts[i][:at] + b"\xe4\xbd" + reply.parts[i][at:]
    if step.get("broken_json"):
        i = 1 if len(reply.parts) > 2 else 0
        text = reply.parts[i].rstrip(b"\n")
        reply.parts[i] = text[: -max(2, len(text) // 4)] + reply.parts[i][len(text):]
    if step.get("gzip"):
        reply.parts = [gzip.compress(b"".join(reply.parts), mtime=0)]
        reply.set("Content-Encoding", "gzip")
    if "content_type" in step:
        reply.set("Content-Type", step["content_type"])
    if "disposition" in step:
        reply.set("Content-Disposition", step["disposition"])
    for name, value in step.get("headers", {}).items():
        reply.set(name, None)
        for one in value if isinstance(value, list) else [] if value is None else [value]:
            reply.headers.append((name, str(one)))
    return reply


def reorder(parts, how):
    """Whole events in an order in which no client expects them."""
    if how == "reversed":
        return parts[::-1]
    if how == "done_first":
        return parts[-1:] + parts[:-1]
    if how == "finish_first":
        return parts[-2:-1] + parts[:-2] + parts[-1:]
    if how == "no_done":
        return parts[:-1]
    if how == "doubled":
        return [p for part in parts for p in (part, part)]
    return []


def plan_of(step, settings):
    """How the wire is to behave."""
    plan = Plan(chunk_delay_ms=settings["chunk_delay_ms"])
    for name in WIRE:
        if name in step:
            setattr(plan, name, step[name])
    if "endless" in step:
        plan.endless = step["endless"].encode("utf-8")
    if "raw" in step:
        plan.raw = step["raw"].encode("utf-8", "surrogateescape")
    elif "raw_base64" in step:
        plan.raw = base64.b64decode(step["raw_base64"])
    return plan


def view(step):
    """A step as JSON shows it."""
    return json.loads(json.dumps(step))
