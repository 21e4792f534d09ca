# SPDX-License-Identifier: MIT
"""The pretended model: what it answers follows from the request alone, by rules that a test can apply itself.

A token is an optional blank with the ASCII letters, digits and underscores behind it, or any other single character.
The answer to the last user text T:

  T contains "call NAME {json}"   calls of those offered functions, in order (without {json}: with {})
  T begins with "say "            the rest of T
  T is "repeat N W"               W, N times, with blanks between
  anything else                   "echo: " and T; " [image N bytes]" for each image, " [video]", " [file]"
  the last message is a tool's    "result: " and the contents of the tool messages at the end

response_format json_object wraps the text as {"answer":"..."}; CharGLM answers as "BOT to USER: T"; reasoning, when a
model thinks, is "thinking about: " and T. A `stop` text ends the answer before it, max_tokens after that many tokens,
those of reasoning included.
"""
import base64
import binascii
import dataclasses
import hashlib
import json
import re

from .refusal import Refusal

TOKEN = re.compile(r" ?[A-Za-z0-9_]+|.", re.S)
CALL = re.compile(r"\bcall ([A-Za-z0-9_-]{1,64})\s*")
REPEAT = re.compile(r"repeat (\d{1,6}) (\S+)")


def tokens(text):
    return TOKEN.findall(text)


def count(text):
    return len(tokens(text))


def text_of(content):
    """The text of a message's content: itself, or its text parts joined by line ends."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "\n".join(p.get("text", "") for p in content if p.get("type") == "text")


def picture_size(url):
    """Bytes of a picture that came as base64, with or without a data: prefix; None for an address."""
    if url.startswith(("http://", "https://")):
        return None
    data = url.partition(";base64,")[2] if url.startswith("data:") else url
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal("1214", "image_url.url") from None
    if not raw:
        raise Refusal("1214", "image_url.url")
    return len(raw)


def _marks(content):
    """What else a message shows."""
    if not isinstance(content, list):
        return ""
    out = ""
    for part in content:
        if part["type"] == "image_url":
            size = picture_size(part["image_url"]["url"])
            out += " [image]" if size is None else f" [image {size} bytes]"
        elif part["type"] in ("video_url", "file_url"):
            out += f" [{part['type'][:-4]}]"
    return out


@dataclasses.dataclass
class Answer:
    reasoning: str = ""
    content: str = ""
    calls: list = dataclasses.field(default_factory=list)  # (name, arguments as JSON text)
    finish: str = "stop"

    @property
    def reasoning_tokens(self):
        return count(self.reasoning)

    @property
    def completion_tokens(self):
        return count(self.reasoning) + count(self.content) + sum(count(n) + count(a) for n, a in self.calls)


def find_calls(text, offered):
    """The offered functions that a text calls."""
    out = []
    for found in CALL.finditer(text):
        if found.group(1) not in offered:
            continue
        arguments = {}
        if text.startswith("{", found.end()):
            try:
                arguments = json.JSONDecoder().raw_decode(text, found.end())[0]
            except json.JSONDecodeError:
                continue
        out.append((found.group(1), json.dumps(arguments, ensure_ascii=False)))
    return out


def last_user(messages):
    """Text and extra marks of the last user message."""
    for m in reversed(messages):
        if m["role"] == "user":
            return text_of(m.get("content")), _marks(m.get("content"))
    return "", ""


def write(messages, offered=(), thinking=False, json_mode=False, meta=None, stop=(), max_tokens=None):
    """The answer to checked messages."""
    text, marks = last_user(messages)
    answer = Answer(reasoning="thinking about: " + text if thinking else "")
    repeat = REPEAT.fullmatch(text.strip())
    if messages[-1]["role"] == "tool":
        results = []
        for m in reversed(messages):
            if m["role"] != "tool":
                break
            results.insert(0, text_of(m.get("content")))
        answer.content = "result: " + "; ".join(results)
    elif calls := find_calls(text, offered):
        answer.calls, answer.finish = calls, "tool_calls"
    elif meta:
        answer.content = f"{meta['bot_name']} to {meta['user_name']}: {text}"
    elif text.startswith("say "):
        answer.content = text[4:]
    elif repeat:
        answer.content = " ".join([repeat.group(2)] * int(repeat.group(1)))
    else:
        answer.content = "echo: " + text + marks
    if json_mode and answer.content:
        answer.content = json.dumps({"answer": answer.content}, ensure_ascii=False, separators=(",", ":"))
    _limit(answer, stop, max_tokens)
    return answer


def _limit(answer, stop, max_tokens):
    ends = [at for s in stop if s and (at := answer.content.find(s)) >= 0]
    if ends:
        answer.content = answer.content[: min(ends)]
    if max_tokens is None or answer.completion_tokens <= max_tokens:
        return
    answer.finish, answer.calls = "length", []
    answer.reasoning = "".join(tokens(answer.reasoning)[:max_tokens])
    answer.content = "".join(tokens(answer.content)[: max_tokens - count(answer.reasoning)])


def vector(text, size):
    """A vector of length 1 that depends on the text alone (SHA-256 in counter mode, 16 bits a member)."""
    raw = b""
    while len(raw) < size * 2:
        raw += hashlib.sha256(text.encode("utf-8") + len(raw).to_bytes(8, "little")).digest()
    numbers = [int.from_bytes(raw[2 * i : 2 * i + 2], "little") / 32767.5 - 1 for i in range(size)]
    norm = sum(x * x for x in numbers) ** 0.5
    return [x / norm for x in numbers]


def relevance(query, document):
    """Between 0 and 1: the share of the query's words that the document has."""
    wanted = {t.strip().lower() for t in tokens(query)} - {""}
    there = {t.strip().lower() for t in tokens(document)}
    return round(len(wanted & there) / len(wanted), 6) if wanted else 0.0
