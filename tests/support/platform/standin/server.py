# SPDX-License-Identifier: MIT
"""The stand-in itself: two listeners on loopback, the table of paths, the log of requests and the paths of control."""
import base64
import fnmatch
import hashlib
import http.server
import json
import re
import socket
import socketserver
import ssl
import sys
import threading
import time
import traceback
import urllib.parse

from . import auth, chat, faults, media, multipart, ollama_api, v1, zhipu
from .refusal import CODES, Refusal
from .store import Store, Task
from .wire import BadWire, Gone, Plan, Reply, Request, Writer, check_head, read_body

KEYS = ("testid.testsecret", "your-api-key")
SETTINGS = {
    "polls": 2,  # PROCESSING that many times before a task is done
    "chunk_delay_ms": 0,  # between the events of every stream
    "concurrency": {},  # model: chats at once; one more is 1302
    "max_body": 104_857_600,  # a longer body is 435
}

ZHIPU = [
    ("POST", "/chat/completions", chat.completions),
    ("POST", "/async/chat/completions", chat.async_completions),
    ("GET", "/async-result/{}", chat.async_result),
    ("POST", "/embeddings", zhipu.embeddings),
    ("POST", "/rerank", zhipu.rerank),
    ("POST", "/tokenizer", zhipu.tokenizer),
    ("GET", "/models", zhipu.model_list),
    ("POST", "/files", zhipu.files_create),
    ("GET", "/files", zhipu.files_list),
    ("GET", "/files/{}", zhipu.files_get),
    ("DELETE", "/files/{}", zhipu.files_delete),
    ("GET", "/files/{}/content", zhipu.files_content),
    ("POST", "/batches", zhipu.batches_create),
    ("GET", "/batches", zhipu.batches_list),
    ("GET", "/batches/{}", zhipu.batches_get),
    ("POST", "/batches/{}/cancel", zhipu.batches_cancel),
    ("POST", "/images/generations", media.images),
    ("POST", "/async/images/generations", media.images_async),
    ("POST", "/videos/generations", media.videos),
    ("POST", "/audio/speech", media.speech),
    ("POST", "/web_search", media.web_search),
    ("POST", "/reader", media.reader),
    ("POST", "/tools", media.tools),
    ("POST", "/moderations", media.moderations),
]
V1 = [
    ("POST", "/chat/completions", v1.completions_chat),
    ("POST", "/completions", v1.completions),
    ("POST", "/embeddings", v1.embeddings),
    ("GET", "/models", v1.model_list),
    ("GET", "/models/{}", v1.model_get),
]
OLLAMA = [
    ("POST", "/generate", ollama_api.generate),
    ("POST", "/chat", ollama_api.chat_route),
    ("POST", "/embed", ollama_api.embed),
    ("POST", "/embeddings", ollama_api.embeddings_old),
    ("GET", "/tags", ollama_api.tags),
    ("GET", "/ps", ollama_api.ps),
    ("POST", "/show", ollama_api.show),
    ("POST", "/pull", ollama_api.pull),
    ("GET", "/version", ollama_api.version),
    ("DELETE", "/delete", ollama_api.not_here),
    ("POST", "/copy", ollama_api.not_here),
    ("POST", "/create", ollama_api.not_here),
    ("POST", "/push", ollama_api.not_here),
]


def zhipu_error(refusal, english):
    body = {"error": {"code": refusal.code, "message": refusal.text(english)}}
    return Reply.of_json(body, refusal.status, refusal.headers)


# prefix, paths, errors, whether a key is needed; the first prefix that fits
MOUNTS = [
    ("/api/coding/paas/v4", ZHIPU, zhipu_error, True),
    ("/api/paas/v4", ZHIPU, zhipu_error, True),
    ("/v1", V1, v1.error, True),
    ("/api", OLLAMA, ollama_api.error, False),
]


def match(pattern, path):
    """The values of a pattern's {} segments, or None."""
    wanted, given = pattern.split("/"), path.split("/")
    if len(wanted) != len(given):
        return None
    values = []
    for w, g in zip(wanted, given):
        if w == "{}" and g:
            values.append(urllib.parse.unquote(g))
        elif w != g:
            return None
    return values


def strict_json(data):
    """JSON that every reader understands alike."""
    def pairs(items):
        out = dict(items)
        if len(out) != len(items):
            raise ValueError("a member is given twice")
        return out

    def constant(name):
        raise ValueError(f"{name} is no JSON")

    return json.loads(data.decode("utf-8"), object_pairs_hook=pairs, parse_constant=constant)


class Site:
    """Everything that requests share. Handlers run one at a time; only sending and waiting happens side by side."""

    def __init__(self, keys, settings):
        self.lock = threading.RLock()
        self.keys, self.given = list(keys), dict(settings)
        self.files_url = ""
        self.began = time.monotonic()
        self.reset()

    def reset(self):
        self.store, self.script, self.log = Store(), faults.Script(), []
        self.settings = {**SETTINGS, **self.given}

    # -- used by handlers

    def take_slot(self, model):
        """Counts a chat that is being sent; 1302 when its model has no place left. Returns what gives the place back."""
        running, limit = self.store.running, self.settings["concurrency"].get(model)
        if limit is not None and running.get(model, 0) >= limit:
            raise Refusal("1302", model)
        running[model] = running.get(model, 0) + 1

        def release():
            running[model] -= 1

        return release

    def add_task(self, rq, model, result):
        """A task that is asked for later; the view that its creation answers with."""
        task = Task(rq.made, rq.request_id, model, result, rq.step.get("polls", self.settings["polls"]),
                    rq.step.get("outcome", "SUCCESS"))
        self.store.tasks[rq.key, task.id] = task
        return {"id": task.id, "request_id": task.request_id, "model": model, "task_status": "PROCESSING"}

    # -- one request

    def answer(self, rq, entry, main):
        """The reply to a request and how to send it."""
        rq.made = self.store.new_id()
        rq.step = self.script.take(rq.method, rq.path)
        if rq.step:
            entry["step"] = rq.step.get("name", len(self.log))
        prefix, routes, error, locked = next((m for m in MOUNTS if rq.path.startswith(m[0] + "/")), ("", [], zhipu_error, False))
        barred = self._admit(rq, entry, locked)
        try:
            if faults.replaces(rq.step):
                reply = faults.replacement(rq.step, self._scripted(rq, error))
            elif not main:
                reply = self._file(rq)
            else:
                reply = self._route(rq, rq.path[len(prefix):], routes, barred)
        except Refusal as no:
            reply = error(no, rq.english)
        if locked:
            self._stamp(rq, reply)
        entry.update(status=reply.status, unknown=rq.unknown, key=rq.key)
        return faults.damage(rq.step, reply), faults.plan_of(rq.step, self.settings)

    def _scripted(self, rq, error):
        """Errors of the script, in the dialect of the path; a code of the table brings its own text."""
        def make(status, code, message):
            no = Refusal(code if code in CODES else "500", rq.path, status)
            reply = error(no, rq.english)
            if message is not None or (code is not None and code not in CODES):
                body = json.loads(reply.parts[0])
                if isinstance(body["error"], dict):
                    body["error"].update({k: v for k, v in (("code", code), ("message", message)) if v is not None})
                elif message is not None:
                    body["error"] = message
                reply.parts = Reply.of_json(body).parts
            return reply

        return make

    def _stamp(self, rq, reply):
        """Every reply names its request: in a header, and in the body of an error on the Zhipu mounts."""
        if reply.status >= 400 and rq.path.startswith("/api/") and reply.parts[0].startswith(b'{"error"'):
            reply.parts = Reply.of_json({**json.loads(reply.parts[0]), "request_id": rq.request_id}).parts
        if re.fullmatch(r"[!-~]{1,128}", rq.request_id):
            reply.set("x-request-id", rq.request_id)

    def _file(self, rq):
        found = match("/media/{}/{}", rq.path)
        if found is None or rq.method not in ("GET", "HEAD"):
            return Reply(404, [("Content-Type", "text/plain")], [b"no such file\n"])
        return media.download(self, rq, *found)

    def _admit(self, rq, entry, locked):
        """Looks at key and body of every request, scripted or not, so that the log has both. What is wrong with them is
        handed back and not raised: a scripted step comes first."""
        barred = None
        for look in (self._identify, self._open_body) if locked else (self._open_body,):
            try:
                look(rq, entry, locked)
            except Refusal as no:
                barred = barred or no
        return barred

    def _identify(self, rq, entry, locked):
        rq.key = auth.identify(rq, self.keys)

    def _route(self, rq, path, routes, barred):
        if rq.path == "/" and not routes:
            return Reply.of_bytes(b"stand-in of the platform\n", "text/plain")
        if barred and barred.status == 401:
            raise barred
        allowed = []
        for method, pattern, handler in routes:
            values = match(pattern, path)
            if values is None:
                continue
            if method == rq.method or (method == "GET" and rq.method == "HEAD"):
                if barred:
                    raise barred
                return handler(self, rq, *values)
            allowed.append(method)
        if allowed:
            raise Refusal("1212", rq.method, status=405, headers=[("Allow", ", ".join(allowed))])
        raise Refusal("1222", rq.path)

    def _open_body(self, rq, entry, locked):
        """Reads what the request brought, by its type."""
        if rq.body is None:
            raise Refusal("1210", "the body is too large", status=435)
        if not rq.body:
            return
        kind = rq.header("Content-Type", "")
        if kind.lower().startswith("multipart/form-data"):
            rq.parts = multipart.parse(kind, rq.body)
            entry["parts"] = [part_view(p) for p in rq.parts]
            return
        if locked and kind.partition(";")[0].strip().lower() != "application/json":
            raise Refusal("1210", f"Content-Type {kind}")
        try:
            rq.json = strict_json(rq.body)
        except (ValueError, RecursionError) as why:
            raise Refusal("1210", f"JSON: {why}") from None
        entry["json"] = rq.json

    # -- the paths of control

    def control(self, rq):
        """GET and DELETE /__log, GET, POST and DELETE /__script, POST /__settings, POST /__reset."""
        if rq.path == "/__log" and rq.method == "GET":
            wanted = rq.query.get("path", "*")
            return Reply.of_json([e for e in self.log if fnmatch.fnmatchcase(e["path"], wanted)])
        if rq.path == "/__log" and rq.method == "DELETE":
            self.log.clear()
        elif rq.path == "/__script" and rq.method == "POST":
            try:
                self.script.add(strict_json(rq.body))
            except ValueError as why:
                return Reply.of_json({"error": str(why)}, 400)
        elif rq.path == "/__script" and rq.method == "GET":
            return Reply.of_json([faults.view(s) for s in self.script.steps])
        elif rq.path == "/__script" and rq.method == "DELETE":
            self.script.steps.clear()
        elif rq.path == "/__settings" and rq.method == "POST":
            return self._set(rq)
        elif rq.path == "/__reset" and rq.method == "POST":
            self.reset()
        else:
            return Reply.of_json({"error": f"no {rq.method} {rq.path}"}, 404)
        return Reply.of_json({"ok": True})

    def _set(self, rq):
        try:
            wanted = strict_json(rq.body)
            wrong = [k for k, v in wanted.items() if k not in SETTINGS or not isinstance(v, type(SETTINGS[k]))]
        except (ValueError, AttributeError) as why:
            return Reply.of_json({"error": str(why)}, 400)
        if wrong:
            return Reply.of_json({"error": f"no such setting, or of another type: {', '.join(wrong)}"}, 400)
        self.settings.update(wanted)
        return Reply.of_json(self.settings)


def part_view(part):
    """A part of a form in the log: its text when it is short and is text."""
    out = {"name": part.name, "filename": part.filename, "content_type": part.content_type, "size": len(part.data),
           "sha256": hashlib.sha256(part.data).hexdigest()}
    if len(part.data) <= 4096:
        try:
            out["text"] = part.data.decode("utf-8")
        except UnicodeDecodeError:
            out["base64"] = base64.b64encode(part.data).decode()
    return out


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.server.enter(self.connection)
        self.writer = Writer(self.connection, self.server.stopping)

    def finish(self):
        self.server.leave(self.connection)
        try:
            super().finish()
        except OSError:
            pass  # the client was faster

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (ConnectionError, ssl.SSLError, socket.timeout):
            self.close_connection = True  # gone, or a handshake that failed

    def log_message(self, format, *args):
        """Nothing on standard error: the log is read at /__log."""

    def serve(self):
        site = self.server.site
        rq = Request(self.command, self.path, list(self.headers.items()))
        control = self.server.main and rq.path.startswith("/__")
        entry = {"ms": round((time.monotonic() - site.began) * 1000), "connection": self.server.number_of(self.connection),
                 "listener": "main" if self.server.main else "files", "method": rq.method, "path": rq.path,
                 "query": rq.query, "headers": [list(h) for h in rq.headers], "problems": rq.problems}
        try:
            check_head(rq)
            rq.body = read_body(rq, self.rfile, site.settings["max_body"])
        except BadWire as why:
            entry["problems"] = rq.problems + [str(why)]
            with site.lock:
                site.log.append({**entry, "status": 400})
            self._send(rq, Reply(400, [("Content-Type", "text/plain"), ("Connection", "close")], [f"{why}\n".encode()]), None)
            self.close_connection = True
            return
        with site.lock:
            if control:
                reply, plan = site.control(rq), None
            else:
                entry["bytes"] = len(rq.body or b"")
                site.log.append(entry)
                reply, plan = self._answer(rq, entry)
        if not self._send(rq, reply, plan, entry) or rq.body is None:
            self.close_connection = True

    def _answer(self, rq, entry):
        """A fault of the stand-in itself is no answer of the platform: it says so, and the log has it as `bug`."""
        try:
            return self.server.site.answer(rq, entry, self.server.main)
        except Exception:
            entry["bug"] = traceback.format_exc()
            print(entry["bug"], file=sys.stderr, flush=True)
            return Reply(500, [("Content-Type", "text/plain")], [b"a bug in the stand-in\n"]), None

    def _send(self, rq, reply, plan, entry=None):
        """True when the connection is still good. The log says whether the client stayed to the end."""
        end, again = "sent", False
        try:
            again = self.writer.send(rq, reply, plan or Plan())
        except Gone:
            end = "gone"
        with self.server.site.lock:
            if entry is not None:
                entry[end] = True
            if reply.after:
                reply.after()
        return again

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = serve


class Listener(socketserver.ThreadingTCPServer):
    """One port. The main one speaks the API; the other one has the files, as results lie at another host than the API."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, site, main, port, context):
        self.site, self.main, self.context = site, main, context
        self.stopping = threading.Event()
        self.live, self.count, self.guard = {}, 0, threading.Lock()
        super().__init__(("127.0.0.1", port), Handler)

    def get_request(self):
        connection, address = super().get_request()
        if self.context:
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def enter(self, connection):
        with self.guard:
            self.count += 1
            self.live[connection] = self.count

    def leave(self, connection):
        with self.guard:
            self.live.pop(connection, None)

    def number_of(self, connection):
        return self.live.get(connection, 0)

    def stop(self):
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self.guard:
            for connection in self.live:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class Platform:
    """A running stand-in, for tests in Python: with Platform() as p: ... p.paas, p.log(), p.script({...})."""

    def __init__(self, keys=KEYS, port=0, cert=None, **settings):
        context = None
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*cert)
        self.scheme = "https" if cert else "http"
        self.site = Site(keys, settings)
        self.main, self.files = Listener(self.site, True, port, context), Listener(self.site, False, 0, context)
        self.url, self.files_url = (f"{self.scheme}://127.0.0.1:{s.server_address[1]}" for s in (self.main, self.files))
        self.site.files_url = self.files_url
        self.paas, self.coding = self.url + "/api/paas/v4", self.url + "/api/coding/paas/v4"
        self.v1, self.key = self.url + "/v1", keys[0]
        for server in (self.main, self.files):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        for server in (self.main, self.files):
            server.stop()

    def log(self, path="*"):
        """Requests so far, oldest first."""
        with self.site.lock:
            return [dict(e) for e in self.site.log if fnmatch.fnmatchcase(e["path"], path)]

    def script(self, *steps):
        with self.site.lock:
            self.site.script.add(list(steps))

    def set(self, **settings):
        with self.site.lock:
            self.site.settings.update(settings)

    def reset(self):
        with self.site.lock:
            self.site.reset()
