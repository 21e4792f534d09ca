# SPDX-License-Identifier: MIT
"""The Zhipu v4 mount beside chat: embeddings, reranking, counting, files, batches."""
import dataclasses
import json

from . import chat, models, words
from .fields import Field, read
from .refusal import Refusal
from .store import File
from .wire import Reply, dump

EMBEDDINGS = (
    Field("model", "str", required=True, low=1),
    Field("input", "str strs", required=True, low=1, high=65536),
    Field("dimensions", "int"),
    Field("encoding_format", "str", one_of=("float",)),
    Field("user", "str"),
    Field("request_id", "str", low=6, high=64),
    Field("user_id", "str", low=6, high=128),
    Field("sensitive_word_check", "dict"),
)
RERANK = (
    Field("model", "str", required=True, low=1),
    Field("query", "str", required=True, low=1, high=4096),
    Field("documents", "strs", required=True, low=1, high=128),
    Field("top_n", "int", low=0),
    Field("return_documents", "bool"),
    Field("return_raw_scores", "bool"),
    Field("request_id", "str", low=6, high=64),
    Field("user_id", "str", low=6, high=128),
)
TOKENIZER = (
    Field("model", "str", required=True, low=1),
    Field("messages", "list", required=True, low=1),
    Field("tools", "list", high=128),
    Field("request_id", "str", low=6, high=64),
    Field("user_id", "str", low=6, high=128),
)
PURPOSES = ("batch", "retrieval", "fine-tune", "fine-tune-function-calling", "voice-clone-input", "agent", "user_data")
ENDPOINTS = ("/v4/chat/completions", "/v1/chat/completions", "/v4/embeddings", "/v1/embeddings")
BATCH = (
    Field("input_file_id", "str", required=True, low=1),
    Field("endpoint", "str", required=True, one_of=ENDPOINTS),
    Field("completion_window", "str"),
    Field("metadata", "dict"),
    Field("auto_delete_input_file", "bool"),
)
BATCH_LINE = (
    Field("custom_id", "str", required=True, low=1),
    Field("method", "str", required=True, one_of=("POST",)),
    Field("url", "str", required=True, one_of=ENDPOINTS),
    Field("body", "dict", required=True),
)
STAGES = ("validating", "in_progress", "finalizing", "completed")


# ---- vectors, scores, counts -----------------------------------------------------------------------------


def embed(rq, body):
    e = read(body, EMBEDDINGS, rq)
    model = models.find(e["model"], "embedding")
    texts = [e["input"]] if isinstance(e["input"], str) else e["input"]
    size = e.get("dimensions", model.sizes[0])
    if size not in model.sizes:
        raise Refusal("1214", "dimensions")
    if len(texts) > 64 or any(not t or words.count(t) > model.context for t in texts):
        raise Refusal("1214", "input")
    used = sum(map(words.count, texts))
    return {"object": "list", "model": e["model"],
            "data": [{"object": "embedding", "index": i, "embedding": words.vector(t, size)} for i, t in enumerate(texts)],
            "usage": {"prompt_tokens": used, "completion_tokens": 0, "total_tokens": used}}


def embeddings(site, rq):
    return Reply.of_json(embed(rq, rq.json))


def rerank(site, rq):
    r = read(rq.json, RERANK, rq)
    models.find(r["model"], "rerank")
    results = []
    for i, document in enumerate(r["documents"]):
        row = {"index": i, "relevance_score": words.relevance(r["query"], document)}
        if r.get("return_documents"):
            row["document"] = document
        results.append(row)
    results.sort(key=lambda row: (-row["relevance_score"], row["index"]))
    used = words.count(r["query"]) + sum(map(words.count, r["documents"]))
    return Reply.of_json({"id": rq.made, "request_id": rq.request_id, "created": site.store.now,
                          "results": results[: r.get("top_n") or None],
                          "usage": {"prompt_tokens": used, "total_tokens": used}})


def tokenizer(site, rq):
    t = read(rq.json, TOKENIZER, rq)
    model = models.find(t["model"], "chat", "character", "code")
    chat.check_messages(t["messages"], model, rq)
    chat.check_tools(t.get("tools", []), rq)
    used = sum(map(chat.message_tokens, t["messages"]))
    return Reply.of_json({"id": rq.made, "created": site.store.now, "request_id": rq.request_id,
                          "usage": {"prompt_tokens": used, "image_tokens": 0, "video_tokens": 0, "total_tokens": used}})


def model_list(site, rq):
    return Reply.of_json({"object": "list", "data": [
        {"id": m.name, "object": "model", "created": 1_700_000_000, "owned_by": "z-ai"} for m in models.ALL.values()]})


# ---- files -----------------------------------------------------------------------------------------------


def files_create(site, rq):
    """multipart with exactly one `file` and a `purpose`."""
    if rq.parts is None:
        raise Refusal("1210", "Content-Type multipart/form-data")
    plain, uploads = {}, [p for p in rq.parts if p.filename is not None]
    for part in rq.parts:
        if part.filename is None:
            if part.name in plain:
                raise Refusal("1210", f"{part.name} twice")
            plain[part.name] = part.data.decode("utf-8", "replace")
    if "purpose" not in plain:
        raise Refusal("1213", "purpose")
    if plain["purpose"] not in PURPOSES:
        raise Refusal("1214", "purpose")
    if len(uploads) != 1 or uploads[0].name != "file":
        raise Refusal("1213", "file")
    if "sentence_size" in plain:
        chat.number(plain["sentence_size"], 20, 2000, "sentence_size")
    if plain["purpose"] == "retrieval" and "knowledge_id" not in plain:
        raise Refusal("1213", "knowledge_id")
    rq.unknown += [k for k in plain if k not in ("purpose", "sentence_size", "knowledge_id", "custom_separator")]
    name = uploads[0].filename
    if not name or name.startswith(".") or any(c in name for c in "/\\\0\r\n"):
        raise Refusal("1214", "file.filename")
    if not uploads[0].data:
        raise Refusal("1214", "file")
    return Reply.of_json(add_file(site, rq.key, name, plain["purpose"], uploads[0].data).view())


def add_file(site, key, name, purpose, data):
    made = File(site.store.new_id("file-"), name, purpose, data, site.store.now)
    site.store.files[key, made.id] = made
    return made


def file_of(site, rq, file_id):
    found = site.store.files.get((rq.key, file_id))
    if found is None:
        raise Refusal("1214", "file_id", status=404)
    return found


def page(rq, items, views):
    """A part of a list, by the queries `limit` and `after`."""
    limit = chat.number(rq.query.get("limit", "20"), 1, 100, "limit")
    after = rq.query.get("after")
    ids = [i.id if hasattr(i, "id") else i["id"] for i in items]
    if after and after not in ids:
        raise Refusal("1214", "after")
    start = ids.index(after) + 1 if after else 0
    shown = [views(i) for i in items[start : start + limit]]
    return Reply.of_json({"object": "list", "data": shown, "has_more": start + limit < len(items),
                          **({"first_id": shown[0]["id"], "last_id": shown[-1]["id"]} if shown else {})})


def files_list(site, rq):
    if rq.query.get("purpose") not in (None, *PURPOSES):
        raise Refusal("1214", "purpose")
    if rq.query.get("order") not in (None, "created_at", "asc", "desc"):
        raise Refusal("1214", "order")
    mine = [f for (key, _), f in site.store.files.items() if key == rq.key]
    mine = [f for f in mine if rq.query.get("purpose") in (None, f.purpose)]
    if rq.query.get("order") != "asc":
        mine.reverse()
    return page(rq, mine, File.view)


def files_get(site, rq, file_id):
    return Reply.of_json(file_of(site, rq, file_id).view())


def files_content(site, rq, file_id):
    found = file_of(site, rq, file_id)
    name = found.filename.replace("\\", "\\\\").replace('"', '\\"')
    return Reply.of_bytes(found.data, "application/octet-stream", [("Content-Disposition", f'attachment; filename="{name}"')])


def files_delete(site, rq, file_id):
    file_of(site, rq, file_id)
    del site.store.files[rq.key, file_id]
    return Reply.of_json({"id": file_id, "object": "file", "deleted": True})


# ---- batches ---------------------------------------------------------------------------------------------


def batches_create(site, rq):
    b = read(rq.json, BATCH, rq)
    source = file_of(site, rq, b["input_file_id"])
    if source.purpose != "batch":
        raise Refusal("1214", "input_file_id")
    made = {"id": site.store.new_id("batch_"), "object": "batch", "endpoint": b["endpoint"], "input_file_id": source.id,
            "completion_window": b.get("completion_window", "24h"), "status": "validating", "created_at": site.store.now,
            "output_file_id": None, "error_file_id": None, "metadata": b.get("metadata"), "errors": None,
            "request_counts": {"total": 0, "completed": 0, "failed": 0}}
    made["_delete"] = b.get("auto_delete_input_file", True)
    site.store.batches[rq.key, made["id"]] = made
    return Reply.of_json(batch_view(made))


def batch_view(batch):
    return {k: v for k, v in batch.items() if not k.startswith("_")}


def batch_of(site, rq, batch_id):
    found = site.store.batches.get((rq.key, batch_id))
    if found is None:
        raise Refusal("1214", "batch_id", status=404)
    return found


def batches_get(site, rq, batch_id):
    """Each look moves a batch one stage further."""
    batch = batch_of(site, rq, batch_id)
    if batch["status"] == "cancelling":
        batch.update(status="cancelled", cancelled_at=site.store.now)
    elif batch["status"] in STAGES[:-1]:
        stage = STAGES[STAGES.index(batch["status"]) + 1]
        batch.update({"status": stage, stage + "_at": site.store.now})
        if stage == "in_progress":
            validate_batch(site, rq, batch)
        elif stage == "completed":
            finish_batch(site, rq, batch)
    return Reply.of_json(batch_view(batch))


def lines_of(site, rq, batch):
    source = site.store.files.get((rq.key, batch["input_file_id"]))
    return [] if source is None else [line for line in source.data.split(b"\n") if line.strip()]


def validate_batch(site, rq, batch):
    """Every line must be a request of its own; one that is not fails the whole batch, with its number."""
    errors, seen = [], set()
    lines = lines_of(site, rq, batch)
    for i, line in enumerate(lines, 1):
        try:
            entry = read(json.loads(line), BATCH_LINE)
            if entry["url"] != batch["endpoint"] or entry["custom_id"] in seen:
                raise Refusal("1214", "custom_id" if entry["custom_id"] in seen else "url")
            seen.add(entry["custom_id"])
        except (ValueError, Refusal) as why:
            param = why.what if isinstance(why, Refusal) else "line"
            errors.append({"code": "invalid_line", "line": i, "message": f"line {i}: {param}", "param": param})
    if errors or not lines:
        errors = errors or [{"code": "empty_file", "line": 0, "message": "no line", "param": "input_file_id"}]
        batch.update(status="failed", failed_at=site.store.now, errors={"object": "list", "data": errors})
    else:
        batch["request_counts"]["total"] = len(lines)


def finish_batch(site, rq, batch):
    """Runs the lines; what is refused goes to the file of errors, everything else to the file of output."""
    good, bad = [], []
    for line in lines_of(site, rq, batch):
        entry = json.loads(line)
        try:
            if entry["url"].endswith("/embeddings"):
                body = embed(rq, entry["body"])
            else:
                line_rq = dataclasses.replace(rq, json=entry["body"], made=site.store.new_id())
                body = chat.complete(site, line_rq, *chat.check(line_rq, entry["body"]))
            good.append({"id": batch["id"], "custom_id": entry["custom_id"], "response": {"status_code": 200, "body": body}})
        except Refusal as why:
            error = {"code": why.code, "message": why.text(rq.english)}
            bad.append({"id": batch["id"], "custom_id": entry["custom_id"],
                        "response": {"status_code": why.status, "body": {"error": error}}})
    for rows, member in ((good, "output_file_id"), (bad, "error_file_id")):
        if rows:
            data = b"".join(dump(row) + b"\n" for row in rows)
            batch[member] = add_file(site, rq.key, f"{batch['id']}_{member[:-8]}.jsonl", "batch", data).id
    batch["request_counts"].update(completed=len(good), failed=len(bad))
    if batch["_delete"]:
        site.store.files.pop((rq.key, batch["input_file_id"]), None)


def batches_list(site, rq):
    mine = [b for (key, _), b in site.store.batches.items() if key == rq.key]
    return page(rq, mine[::-1], batch_view)


def batches_cancel(site, rq, batch_id):
    batch = batch_of(site, rq, batch_id)
    if batch["status"] not in STAGES[:-1]:
        raise Refusal("1214", "batch_id")
    batch.update(status="cancelling", cancelling_at=site.store.now)
    return Reply.of_json(batch_view(batch))
