# SPDX-License-Identifier: MIT
"""What the platform remembers: ids, files, batches, tasks that finish later, downloads, seen prompts. Empty after reset."""
import dataclasses
import hashlib

EPOCH = 1_767_225_600  # "now" of a fresh stand-in, 2026-01-01; every reply is one second later than the one before


@dataclasses.dataclass
class File:
    id: str
    filename: str
    purpose: str
    data: bytes
    created: int

    def view(self):
        return {"id": self.id, "object": "file", "bytes": len(self.data), "created_at": self.created,
                "filename": self.filename, "purpose": self.purpose, "status": "processed"}


@dataclasses.dataclass
class Task:
    """Something that is asked for until it is there: `polls` times PROCESSING, then `result` with `outcome`."""

    id: str
    request_id: str
    model: str
    result: dict
    polls: int
    outcome: str = "SUCCESS"

    def view(self):
        base = {"id": self.id, "request_id": self.request_id, "model": self.model}
        if self.polls > 0:
            self.polls -= 1
            return {**base, "task_status": "PROCESSING"}
        if self.outcome != "SUCCESS":
            return {**base, "task_status": self.outcome, "error": {"code": "1234", "message": "the task failed"}}
        return {**base, "task_status": "SUCCESS", **self.result}


@dataclasses.dataclass
class Download:
    """A file at the second address."""

    data: bytes
    content_type: str
    filename: str


class Store:
    def __init__(self):
        self.files, self.batches, self.tasks, self.downloads = {}, {}, {}, {}
        self.running = {}  # model: chats being sent
        self.prompts = set()  # digests of the beginnings of chats, for cached_tokens
        self.counter = 0

    def tick(self):
        """A number that no earlier call got; also the clock."""
        self.counter += 1
        return self.counter

    @property
    def now(self):
        return EPOCH + self.counter

    def new_id(self, prefix=""):
        return f"{prefix}20260101{self.tick():06d}" + hashlib.sha256(str(self.counter).encode()).hexdigest()[:12]

    def cached(self, model, messages, count):
        """Tokens of the longest beginning of messages that an earlier chat shared; remembers this one."""
        digest, best, seen = hashlib.sha256(model.encode()), 0, 0
        for message in messages:
            digest.update(repr(sorted(message.items(), key=lambda kv: kv[0])).encode())
            seen += count(message)
            if digest.hexdigest() in self.prompts:
                best = seen
            self.prompts.add(digest.hexdigest())
        return best
