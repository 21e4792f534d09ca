# SPDX-License-Identifier: MIT
"""Pictures, films, speech, search, reading pages, moderation; and the second address where results are downloaded.

What is made is small and follows from the prompt: a PNG of one colour, bytes with an MP4 head, a WAV of a square wave.
"""
import base64
import hashlib
import io
import re
import struct
import wave
import zlib

from . import chat, models, words
from .fields import Field, read
from .refusal import Refusal
from .store import Download
from .wire import Reply

ASKER = (Field("request_id", "str", low=6, high=64), Field("user_id", "str", low=6, high=128),
         Field("sensitive_word_check", "dict"), Field("watermark_enabled", "bool"))
IMAGE = (
    Field("model", "str", required=True, low=1),
    Field("prompt", "str", required=True, low=1, high=1000),
    Field("n", "int", low=1, high=1),
    Field("size", "str"),
    Field("quality", "str", one_of=("standard", "hd")),
    Field("style", "str"),
    Field("response_format", "str", one_of=("url", "b64_json")),
    Field("user", "str"),
    *ASKER,
)
VIDEO = (
    Field("model", "str", required=True, low=1),
    Field("prompt", "str", low=1, high=512),
    Field("image_url", "str strs dict"),
    Field("quality", "str", one_of=("speed", "quality")),
    Field("with_audio", "bool"),
    Field("size", "str", one_of=("720x480", "1024x1024", "1280x960", "960x1280", "1280x720", "720x1280", "1920x1080",
                                 "1080x1920", "2048x1080", "3840x2160")),
    Field("duration", "int", one_of=(5, 10)),
    Field("fps", "int", one_of=(30, 60)),
    Field("style", "str", one_of=("general", "anime")),
    Field("aspect_ratio", "str", one_of=("16:9", "9:16", "1:1")),
    Field("movement_amplitude", "str", one_of=("auto", "small", "medium", "large")),
    Field("off_peak", "bool"),
    *ASKER,
)
SPEECH = (
    Field("model", "str", required=True, low=1),
    Field("input", "str", required=True, low=1, high=1024),
    Field("voice", "str", required=True, low=1),
    Field("response_format", "str", one_of=("wav", "pcm")),
    Field("encode_format", "str", one_of=("base64", "hex")),
    Field("speed", "num", low=0.5, high=2),
    Field("volume", "num", low=0.1, high=10),
    Field("stream", "bool"),
    *ASKER,
)
SEARCH = (
    Field("search_engine", "str", required=True,
          one_of=("search_std", "search_pro", "search_pro_sogou", "search_pro_quark", "search-prime")),
    Field("search_query", "str", required=True, low=1, high=70),
    Field("search_intent", "bool"),
    Field("count", "int", low=1, high=50),
    Field("search_domain_filter", "str"),
    Field("search_recency_filter", "str", one_of=chat.RECENCY),
    Field("content_size", "str", one_of=("medium", "high")),
    Field("include_image", "bool"),
    Field("location", "str"),
    *ASKER,
)
READER = (
    Field("url", "str", required=True, low=1),
    Field("timeout", "int", low=1),
    Field("no_cache", "bool"),
    Field("return_format", "str", one_of=("markdown", "text")),
    Field("retain_images", "bool"),
    Field("no_gfm", "bool"),
    Field("keep_img_data_url", "bool"),
    Field("with_images_summary", "bool"),
    Field("with_links_summary", "bool"),
    *ASKER,
)
TOOLS = (
    Field("model", "str", required=True, low=1),
    Field("messages", "list", required=True, low=1),
    Field("stream", "bool"),
    Field("scope", "str"),
    Field("location", "str"),
    Field("recent_days", "int", low=1, high=30),
    *ASKER,
)
MODERATION = (Field("model", "str", required=True, low=1), Field("input", "str strs dict", required=True))


# ---- what is made ----------------------------------------------------------------------------------------


def picture(prompt):
    """A PNG of 2 by 2 points whose colour is the beginning of the prompt's SHA-256."""
    colour = hashlib.sha256(prompt.encode("utf-8")).digest()[:3]

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + colour * 2 for _ in range(2))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def film(prompt, size=4096):
    """Bytes that begin as an MP4 does and go on with the prompt's SHA-256, over and over."""
    head = struct.pack(">I", 20) + b"ftypisom\0\0\2\0isom"
    digest = hashlib.sha256(prompt.encode("utf-8")).digest()
    return (head + digest * (size // 32 + 1))[:size]


def sound(text):
    """A WAV, 8 kHz, 16 bit: ten samples a character of the text."""
    out = io.BytesIO()
    with wave.open(out, "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(8000)
        w.writeframes(b"".join(struct.pack("<h", 8000 if i // 5 % 2 else -8000) for i in range(10 * len(text))))
    return out.getvalue()


def publish(site, data, content_type, filename):
    """The address where these bytes can be fetched, on the second listener, without a key."""
    place = site.store.new_id() + "/" + filename
    site.store.downloads[place] = Download(data, content_type, filename)
    return f"{site.files_url}/media/{place}"


def download(site, rq, folder, name):
    """A published file; honours one open Range, so that a client can go on where it was cut off."""
    found = site.store.downloads.get(f"{folder}/{name}")
    if found is None:
        return Reply(404, [("Content-Type", "text/plain")], [b"no such file\n"])
    headers = [("Accept-Ranges", "bytes"), ("ETag", '"%s"' % hashlib.sha256(found.data).hexdigest()[:16]),
               ("Content-Disposition", f'attachment; filename="{found.filename}"')]
    wanted = re.fullmatch(r"bytes=(\d{1,18})-", rq.header("Range", ""))
    if not wanted:
        return Reply.of_bytes(found.data, found.content_type, headers)
    start, size = int(wanted.group(1)), len(found.data)
    if start >= size:
        return Reply(416, [("Content-Range", f"bytes */{size}")])
    headers.append(("Content-Range", f"bytes {start}-{size - 1}/{size}"))
    reply = Reply.of_bytes(found.data[start:], found.content_type, headers)
    reply.status = 206
    return reply


# ---- calls -----------------------------------------------------------------------------------------------


def check_image(rq):
    i = read(rq.json, IMAGE, rq)
    models.find(i["model"], "image")
    if "size" in i and not re.fullmatch(r"\d{3,4}x\d{3,4}", i["size"]):
        raise Refusal("1214", "size")
    return i


def images(site, rq):
    i = check_image(rq)
    data = picture(i["prompt"])
    if i.get("response_format") == "b64_json":
        made = {"b64_json": base64.b64encode(data).decode()}
    else:
        made = {"url": publish(site, data, "image/png", "picture.png")}
    return Reply.of_json({"created": site.store.now, "request_id": rq.request_id, "data": [made],
                          "content_filter": [{"role": "user", "level": 3}]})


def images_async(site, rq):
    i = check_image(rq)
    url = publish(site, picture(i["prompt"]), "image/png", "picture.png")
    return Reply.of_json(site.add_task(rq, i["model"], {"image_result": [{"url": url}]}))


def videos(site, rq):
    v = read(rq.json, VIDEO, rq)
    models.find(v["model"], "video")
    if "prompt" not in v and "image_url" not in v:
        raise Refusal("1213", "prompt")
    pictures = v.get("image_url", [])
    for url in [pictures] if isinstance(pictures, str) else pictures.values() if isinstance(pictures, dict) else pictures:
        words.picture_size(url if isinstance(url, str) else "")
    prompt = v.get("prompt", "")
    result = {"video_result": [{"url": publish(site, film(prompt), "video/mp4", "video.mp4"),
                                "cover_image_url": publish(site, picture(prompt), "image/png", "cover.png")}]}
    return Reply.of_json(site.add_task(rq, v["model"], result))


def speech(site, rq):
    """Binary, or with stream the same bytes as base64 in two events."""
    s = read(rq.json, SPEECH, rq)
    models.find(s["model"], "speech")
    data = sound(s["input"])
    if not s.get("stream"):
        return Reply.of_bytes(data, "audio/wav")
    base = {"request_id": rq.request_id, "created": site.store.now}
    halves = (data[: len(data) // 2], data[len(data) // 2 :])
    pack = bytes.hex if s.get("encode_format") == "hex" else lambda b: base64.b64encode(b).decode()
    events = [{**base, "choices": [{"index": 0, "delta": {"role": "assistant", "content": pack(h)}}]} for h in halves]
    events.append({**base, "choices": [{"index": 0, "finish_reason": "stop", "delta": {"content": ""}}]})
    return Reply.of_events(events)


def web_search(site, rq):
    s = read(rq.json, SEARCH, rq)
    intent = [{"query": s["search_query"], "intent": "SEARCH_ALL", "keywords": s["search_query"]}] if s.get("search_intent") else []
    return Reply.of_json({"id": rq.made, "request_id": rq.request_id, "created": site.store.now,
                          "search_intent": intent, "search_result": chat.search_hits(s["search_query"], s.get("count", 10))})


def reader(site, rq):
    r = read(rq.json, READER, rq)
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", r["url"]):
        raise Refusal("1214", "url")
    mark = "" if r.get("return_format") == "text" else "# "
    page = {"title": "Title of " + r["url"], "description": "about " + r["url"], "url": r["url"],
            "content": f"{mark}Title of {r['url']}\n\nText of the page.", "metadata": {"lang": "en"}}
    if r.get("with_links_summary"):
        page["links"] = {"home": r["url"]}
    return Reply.of_json({"id": rq.made, "request_id": rq.request_id, "created": site.store.now, "model": "reader",
                          "reader_result": page})


def tools(site, rq):
    """web-search-pro: the search's intent and its results as tool calls of one message."""
    t = read(rq.json, TOOLS, rq)
    models.find(t["model"], "search")
    chat.check_messages(t["messages"], models.ALL["glm-4"], rq)
    query = words.last_user(t["messages"])[0]
    base = {"id": rq.made, "request_id": rq.request_id, "created": site.store.now}
    intent = [{"index": 0, "query": query, "intent": "SEARCH_ALL", "keywords": query}]
    hits = [{"index": i, **hit} for i, hit in enumerate(chat.search_hits(query, 3))]
    calls = [{"id": site.store.new_id("call_"), "index": 0, "type": "search_intent", "search_intent": intent},
             {"id": site.store.new_id("call_"), "index": 1, "type": "search_result", "search_result": hits}]
    if not t.get("stream"):
        message = {"role": "assistant", "tool_calls": calls}
        return Reply.of_json({**base, "choices": [{"index": 0, "finish_reason": "stop", "message": message}]})
    events = [{**base, "choices": [{"index": 0, "delta": {"role": "assistant", "tool_calls": [call]}}]} for call in calls]
    events.append({**base, "choices": [{"index": 0, "finish_reason": "stop", "delta": {"role": "assistant"}}]})
    return Reply.of_events(events)


def moderations(site, rq):
    """Text with the word "unsafe" is found to be so."""
    m = read(rq.json, MODERATION, rq)
    models.find(m["model"], "moderation")
    text = m["input"] if isinstance(m["input"], str) else str(m["input"])
    level = "REJECT" if "unsafe" in text else "PASS"
    return Reply.of_json({"id": rq.made, "request_id": rq.request_id, "created": site.store.now, "model": m["model"],
                          "result_list": [{"content_type": "text", "risk_level": level,
                                           "risk_type": ["unsafe"] if level == "REJECT" else []}],
                          "usage": {"moderation_text": {"call_count": 1}}})
