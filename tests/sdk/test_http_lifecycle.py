# SPDX-License-Identifier: MIT
"""Start and end of a server: addresses, keys from files, SIGTERM while answers run."""
import json
import os
import signal
import subprocess
import threading
import time

import openai
import pytest
from openai import OpenAI

from conftest import GLIM
from server import MODEL, SLOW, chunks, say


def refused(*options):
    p = subprocess.run([GLIM, "serve", *options], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60 * SLOW)
    assert p.returncode not in (0, 1) or p.stderr
    assert p.returncode != 0
    return p.stderr


def test_no_open_door():
    text = refused("--listen", "0.0.0.0:0")
    assert "--api-key" in text and "--insecure" in text


def test_port_in_use(start):
    s = start()
    assert str(s.port) in refused("--listen", f"127.0.0.1:{s.port}")
    s.stop()


def test_bad_address():
    assert "nonsense" in refused("--listen", "nonsense")


def test_key_file(start, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# the team's\nfile-key\n\nid.secret\n")
    os.chmod(keys, 0o600)
    s = start("--api-key-file", str(keys), key="file-key")
    assert s.get("/v1/models").status == 401
    assert s.get("/v1/models", {"Authorization": "Bearer file-key"}).status == 200
    assert s.get("/v1/models", {"Authorization": "Bearer id.secret"}).status == 200
    s.stop()
    assert "file-key" not in s.log() and "secret" not in s.log()
    os.chmod(keys, 0o644)
    s = start("--api-key-file", str(keys), key="file-key")
    s.stop()
    assert str(keys) in s.log()
    empty = tmp_path / "empty"
    empty.write_text("# nothing\n")
    os.chmod(empty, 0o600)
    assert str(empty) in refused("--listen", "127.0.0.1:0", "--api-key-file", str(empty))
    assert "absent" in refused("--listen", "127.0.0.1:0", "--api-key-file", str(tmp_path / "absent"))


def test_two_listeners(start):
    s = start("--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0")
    import re
    ports = re.findall(r"http://127\.0\.0\.1:(\d+)", s.log())
    assert len(set(ports)) == 2, s.log()
    s.stop()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_stop_when_idle(start, sig):
    s = start()
    idle = s.connect()
    idle.request("GET", "/health")
    idle.getresponse().read()
    began = time.monotonic()
    s.process.send_signal(sig)
    assert s.wait(10) == 0
    assert time.monotonic() - began < 3 * SLOW
    idle.close()


def test_stop_while_streaming(start):
    """A running answer ends as it would have; nobody new is let in; exit status 0."""
    s = start(scripted=True)
    client = OpenAI(api_key="EMPTY", base_url=s.v1, max_retries=0)
    words = " ".join(f"w{i}" for i in range(40))
    got = {}

    def whole():
        got["whole"] = client.chat.completions.create(model=MODEL, messages=say(words, token_ms=30),
                                                      extra_body={"thinking": {"type": "disabled"}})

    t = threading.Thread(target=whole)
    t.start()
    stream = client.chat.completions.create(model=MODEL, messages=say(words, token_ms=30), stream=True,
                                            extra_body={"thinking": {"type": "disabled"}})
    text, finish, told = "", None, False
    for chunk in stream:
        text += chunk.choices[0].delta.content or ""
        finish = chunk.choices[0].finish_reason or finish
        if len(text) > 10 and not told:
            s.wait_busy(2)
            s.terminate()
            told = True
            time.sleep(0.3)
            with pytest.raises((openai.APIConnectionError, openai.InternalServerError)):
                OpenAI(api_key="EMPTY", base_url=s.v1, max_retries=0, timeout=5.0).models.list()
    assert told and text == words and finish == "stop"
    t.join(30 * SLOW)
    assert got["whole"].choices[0].message.content == words
    assert s.wait(10) == 0


def test_stop_twice(start):
    """A second signal does not wait for answers that would take an hour."""
    s = start(scripted=True)
    client = OpenAI(api_key="EMPTY", base_url=s.v1, max_retries=0)
    stream = client.chat.completions.create(model=MODEL, messages=say("tick ", stop=False, token_ms=50), stream=True,
                                            extra_body={"ignore_eos": True})
    it = iter(stream)
    next(it)
    s.terminate()
    time.sleep(0.5)
    assert s.process.poll() is None
    s.terminate()
    began = time.monotonic()
    s.wait(10)
    assert time.monotonic() - began < 3 * SLOW
    with pytest.raises(Exception):
        for _ in it:
            pass


def test_draining_answers_503(start):
    """A request whose head came before the signal and whose body came after it is told to go elsewhere, or is served; it is
    never left without an answer."""
    s = start(scripted=True)
    running = OpenAI(api_key="EMPTY", base_url=s.v1, max_retries=0).chat.completions.create(
        model=MODEL, messages=say("tick tock " * 20, token_ms=30), stream=True, extra_body={"thinking": {"type": "disabled"}})
    it = iter(running)
    next(it)
    body = json.dumps({"model": MODEL, "messages": say("t</think>late")}).encode()
    c = s.connect(20)
    c.putrequest("POST", "/v1/chat/completions")
    c.putheader("Content-Type", "application/json")
    c.putheader("Content-Length", str(len(body)))
    c.endheaders()
    time.sleep(0.2)
    s.terminate()
    time.sleep(0.3)
    c.send(body)
    r = c.getresponse()
    answer = r.read()
    assert r.status in (200, 503), answer
    if r.status == 503:
        assert json.loads(answer)["error"]["code"] == "draining" and int(r.headers["Retry-After"]) >= 1
    for _ in it:
        pass
    assert s.wait(20) == 0


def test_many_connections(start):
    """300 silent connections starve nobody."""
    s = start(scripted=True)
    import socket
    idle = [socket.create_connection(("127.0.0.1", s.port)) for _ in range(300)]
    assert s.get("/health").status == 200
    r = s.events("/v1/chat/completions", {"model": MODEL, "messages": say("t</think>ok"), "stream": True})
    assert chunks(r)[-1]["choices"][0]["finish_reason"] == "stop"
    for c in idle:
        c.close()
    s.stop()
