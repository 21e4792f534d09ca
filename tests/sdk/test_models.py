# SPDX-License-Identifier: MIT
"""Several models in one server: which one a name means, when one is loaded and when it goes, and what is said when one
cannot come."""
import http.client
import json
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time

import httpx
import ollama
import openai
import pytest
from openai import OpenAI

import toymodels
from conftest import GLIM
from server import SLOW

CHAT = {"messages": [{"role": "user", "content": "Who are you?"}], "max_tokens": 6, "temperature": 0}


def embed(server, model, text="hello", **more):
    return server.post("/v1/embeddings", {"model": model, "input": text, **more})


def chat(server, model="", **more):
    return server.post("/v1/chat/completions", {"model": model, **CHAT, **more})


def vector(server, model, text="hello"):
    r = embed(server, model, text)
    assert r.status == 200, r
    return r.json()["data"][0]["embedding"]


def loaded(server):
    return {m["name"].removesuffix(":latest") for m in server.get("/api/ps").json()["models"]}


def oll_show(server, model):
    return server.post("/api/show", {"model": model}).json()


def ids(server):
    return [m["id"] for m in server.get("/v1/models").json()["data"]]


def is_idle(server):
    """Of all models; /slots shows the first chat model's."""
    return server.metric("glim_requests_running") == server.metric("glim_requests_waiting") == 0


def wait_for(what, seconds=10):
    until = time.monotonic() + seconds * SLOW
    while not what():
        assert time.monotonic() < until, "it never came to pass"
        time.sleep(0.02)


@pytest.fixture
def folder(tmp_path):
    """A models folder as GLIM_MODELS names it: real folders, links and a lone file."""
    real = tmp_path / "real"
    models = tmp_path / "models"
    models.mkdir()
    toymodels.make(str(models / "one"), "ernie", seed=1)
    toymodels.make(str(real / "ernie"), "ernie", seed=2)
    (models / "linked").symlink_to(real / "ernie")
    toymodels.make(str(models / "ranker"), "xlm-roberta-reranker")
    shutil.copyfile(toymodels.DEMO, models / "chatty.gguf")
    (models / "notes.txt").write_text("no model")
    (models / "broken").mkdir()
    (models / "broken" / "model.safetensors").write_bytes(b"not at all")
    return models


def found_in(folder):
    return {"GLIM_MODELS": str(folder)}


# ---- names -------------------------------------------------------------------------------------------


def test_several_given(start, folder):
    s = start("-m", toymodels.DEMO, "-m", str(folder / "one"), "-m", str(folder / "linked") + "/", "-m", str(folder / "ranker"),
              "--on-demand", "off", "--alias", "gpt-4", "--alias", "ada=one", "--alias", "bge=ranker")
    assert ids(s) == ["glim-demo", "gpt-4", "one", "ada", "linked", "ranker", "bge"]
    assert loaded(s) == {"glim-demo"}, "the others come when they are asked for"
    # The first of each kind is what no name means.
    for name in ("", "default"):
        assert embed(s, name).json()["data"][0]["embedding"] == vector(s, "one") != vector(s, "linked")
        assert chat(s, name).json()["choices"][0]["message"] == chat(s, "glim-demo").json()["choices"][0]["message"]
    r = s.post("/rerank", {"query": "a", "documents": ["b"]})
    assert r.status == 200 and r.json()["model"] == "ranker"
    assert r.json()["results"] == s.post("/rerank", {"model": "BGE", "query": "a", "documents": ["b"]}).json()["results"]
    # Aliases: of the first chat model, or of the one that they name; the answer repeats the name.
    assert chat(s, "gpt-4").json()["model"] == "gpt-4" and embed(s, "ada").json()["model"] == "ada"
    assert vector(s, "ADA") == vector(s, "one")
    assert embed(s, "gpt-4").status == 400 and "chat model" in embed(s, "gpt-4").json()["error"]["message"]
    assert chat(s, "ada").status == 400 and chat(s, "chatty").status == 404
    assert loaded(s) == {"glim-demo", "one", "linked", "ranker"}
    s.stop()


def test_found(start, folder):
    """Names from GLIM_MODELS, loaded when they are asked for."""
    s = start("-m", str(folder / "one"), env=found_in(folder), cwd=folder)
    assert ids(s)[0] == "one" and ids(s).count("one") == 1, "what was given is not found again"
    assert {"one", "linked", "ranker", "chatty"} <= set(ids(s))
    assert not {"broken", "notes", "notes.txt", "ernie"} & set(ids(s))
    kinds = {m["id"]: m["object"] for m in s.get("/models").json()["data"]}
    assert (kinds["linked"], kinds["ranker"], kinds["chatty"]) == ("embedding", "rerank", "chat.completion")
    assert loaded(s) == {"one"} and s.metric("glim_models_loaded") == 1 and s.metric("glim_model_loads_total") == 1
    assert s.metric("glim_models") == len(ids(s))
    # What is not known before it is here is not made up.
    assert oll_show(s, "chatty")["parameters"] == oll_show(s, "linked")["parameters"] == ""
    assert "temperature" not in s.get("/get_model_info").json()["preferred_sampling_params"]
    assert vector(s, "linked") != vector(s, "one")
    assert chat(s, "chatty").status == 200 and chat(s, "chatty").json()["model"] == "chatty"
    assert loaded(s) == {"one", "linked", "chatty"} and s.metric("glim_models_loaded") == 3
    assert s.metric("glim_model_loads_total") == 3 and s.metric("glim_model_unloads_total") == 0
    assert "temperature 1" in oll_show(s, "chatty")["parameters"] and "temperature" not in oll_show(s, "linked")["parameters"]
    # Several chat models: each has its own tokens and template.
    one, two = (s.post("/v1/tokenize", {"model": m, "prompt": "Hello"}).json()["tokens"] for m in ("glim-demo", "chatty"))
    assert one == two == s.post("/tokenize", {"content": "Hello", "model": "chatty"}).json()["tokens"]
    assert s.post("/v1/detokenize", {"model": "chatty", "tokens": one}).json()["text"] == "Hello"
    assert s.post("/v1/detokenize", {"model": "linked", "tokens": one}).status == 400
    assert s.post("/v1/detokenize", {"model": "nope", "tokens": one}).status == 404
    s.stop()


def test_on_demand_off(start, folder):
    s = start("-m", str(folder / "one"), "--on-demand", "off", env=found_in(folder))
    assert ids(s) == ["one"] and s.metric("glim_models") == 1
    r = embed(s, "linked")
    assert r.status == 404 and r.json()["error"]["code"] == "model_not_found" and '"one"' in r.json()["error"]["message"]
    # Nothing here chats: said on every mount, and no path is worse for it.
    for path in ("/v1/chat/completions", "/chat", "/api/chat", "/api/paas/v4/chat/completions", "/apply-template"):
        for model in ("", "default", "glm-4.7-flash", "one"):
            r = s.post(path, {"model": model, **CHAT})
            assert r.status == 400 and "chat models here: none" in r.text, (path, model, r)
    for method, path in (("GET", "/health"), ("GET", "/metrics"), ("GET", "/slots"), ("GET", "/props"), ("GET", "/models"), ("GET", "/api/tags"),
                         ("GET", "/api/ps"), ("GET", "/get_model_info"), ("POST", "/flush_cache"), ("GET", "/health_generate"), ("GET", "/")):
        r = s.ask(method, path)
        assert r.status < 500 or "no chat model" in r.text, (path, r)
    assert s.get("/health").status == 200
    s.stop()


def test_glm_model_is_a_name(start, folder):
    """GLM_MODEL, as S4's guide sets it: a name of a models folder, of any kind."""
    s = start(env={**found_in(folder), "GLM_MODEL": "chatty"}, cwd=folder)
    assert ids(s)[0] == "chatty" and loaded(s) == {"chatty"} and chat(s).json()["model"] == "chatty"
    s.stop()
    s = start(env={**found_in(folder), "GLM_MODEL": "ranker"}, cwd=folder)
    assert ids(s)[0] == "ranker" and loaded(s) == {"ranker"}
    assert s.post("/rerank", {"query": "a", "documents": ["b"]}).json()["model"] == "ranker"
    assert embed(s, "").status == 200 and embed(s, "").json()["model"] in ("linked", "one")
    s.stop()


@pytest.mark.parametrize("args,words", [
    (["-m", "{f}/one", "-m", "{f}/../models/one"], ["two models are called", "one"]),
    (["-m", "{f}/one", "--alias", "x=nope"], ["x=nope", "there is no model"]),
    (["-m", "{f}/one", "--alias", "x="], ["x="]),
    (["-m", "{f}/one", "--alias", "=one"], ["empty"]),
    (["-m", "{f}/one", "-m", "{f}/nothing"], ["nothing"]),
    (["-m", "{f}/one", "-m", "{f}/broken"], ["broken", "config.json is missing"]),
    (["-m", "{f}/notes.txt"], ["notes.txt"]),
    (["-m", "{f}/one", "--models-max", "-1"], ["--models-max"]),
    (["-m", "{f}/one", "--model-memory", "much"], ["--model-memory"]),
    (["-m", "{f}/one", "--on-demand", "perhaps"], ["--on-demand"]),
], ids=lambda v: " ".join(v)[:50])
def test_wrong_at_the_start(folder, args, words):
    """Said before anything is served, with an exit status."""
    done = subprocess.run([GLIM, "serve", "--listen", "127.0.0.1:0", *(a.format(f=folder) for a in args)], capture_output=True, text=True,
                          timeout=60 * SLOW, stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"})
    assert done.returncode not in (0, 1) and done.returncode > 0, done
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("glim serve: ") and all(w in last for w in words), done.stderr


# ---- coming and going --------------------------------------------------------------------------------


def test_keep_alive(start, folder):
    """0 lets a found model go when its last answer is out; one that was given stays."""
    s = start("-m", toymodels.DEMO, "-m", str(folder / "one"), env=found_in(folder))
    oll = ollama.Client(host=s.root)
    oll.embed(model="linked", input="x")
    assert "linked" in loaded(s)
    oll.embed(model="linked", input="x", keep_alive=0)
    wait_for(lambda: "linked" not in loaded(s))
    assert s.metric("glim_model_unloads_total") == 1
    oll.embeddings(model="linked", prompt="x", keep_alive=0)  # comes, answers, goes
    wait_for(lambda: "linked" not in loaded(s))
    for _ in range(2):  # the second time it has to come for that
        oll.embed(model="linked", input=[], keep_alive=0)
        wait_for(lambda: "linked" not in loaded(s))
    r = oll.generate(model="chatty", prompt="hello", options={"num_predict": 2}, keep_alive="5m")
    assert r.done and "chatty" in loaded(s)
    assert oll.generate(model="chatty", prompt="", keep_alive=0).done_reason == "unload"
    wait_for(lambda: "chatty" not in loaded(s))
    oll.chat(model="chatty", messages=[{"role": "user", "content": "x"}], options={"num_predict": 2}, keep_alive=0)
    wait_for(lambda: "chatty" not in loaded(s))
    for model in ("glim-demo", "one"):
        vectors = oll.embed(model="one", input="x", keep_alive=0).embeddings
        assert oll.generate(model="glim-demo", prompt="", keep_alive=0).done_reason == "unload" and len(vectors) == 1
        assert model in loaded(s)
    s.stop()


def alternate(s, jobs, n_thread, n_each):
    """Every job's answer alone, then all of them from several threads in any order: each must be the same, none may be
    lost. Returns the most models that were seen in memory meanwhile."""
    alone = [job(s) for job in jobs]
    wrong, most, over = [], [0], threading.Event()

    def client(seed):
        rng = random.Random(seed)
        for _ in range(n_each):
            i = rng.randrange(len(jobs))
            try:
                got = jobs[i](s)
            except Exception as e:  # noqa: BLE001: whatever it is, it is a wrong answer
                got = repr(e)
            if got != alone[i]:
                wrong.append((i, got))

    def watch():
        while not over.is_set():
            most[0] = max(most[0], s.metric("glim_models_loaded"))
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    threads = [threading.Thread(target=client, args=(k,)) for k in range(n_thread)]
    watcher.start()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    over.set()
    watcher.join()
    assert not wrong, wrong[:3]
    return most[0]


def chat_job(model, text):
    def job(s):
        r = chat(s, model, messages=[{"role": "user", "content": text}])
        assert r.status == 200, r
        c = r.json()["choices"][0]
        return r.json()["model"], c["message"], c["finish_reason"]
    return job


def embed_job(model, text):
    def job(s):
        r = embed(s, model, text)
        assert r.status == 200, r
        return r.json()
    return job


def rerank_job(model, text):
    def job(s):
        r = s.post("/rerank", {"model": model, "query": text, "documents": ["a", "bb", text]})
        assert r.status == 200, r
        return r.json()
    return job


@pytest.mark.parametrize("n_max", [1, 2])
def test_models_max(start, folder, n_max):
    s = start("-m", toymodels.DEMO, "-m", str(folder / "one"), "--models-max", str(n_max), env=found_in(folder))
    jobs = [chat_job("glim-demo", "Who are you?"), chat_job("chatty", "What is 12 plus 7?"), embed_job("one", "hello"),
            embed_job("linked", ["hello", "你好"]), rerank_job("ranker", "hello"), embed_job("", "x")]
    n_each = 6 if SLOW > 1 else 15
    most = alternate(s, jobs, 6, n_each)
    assert 1 <= most <= n_max, "more models in memory than --models-max"
    assert s.metric("glim_model_unloads_total") >= 3
    assert s.metric("glim_model_loads_total") - s.metric("glim_model_unloads_total") == s.metric("glim_models_loaded")
    assert len(loaded(s)) <= n_max and is_idle(s)
    for line in s.get("/metrics").text.splitlines():  # /health: asked while the first model came
        assert not re.match(r'glim_requests_total\{route="(?!/health).*code="(5..|429)"', line), line
    s.stop()


def test_a_long_answer_is_finished_first(start, folder):
    """A model in use does not go; who needs its room waits, and gets it."""
    s = start("-m", toymodels.DEMO, "-m", str(folder / "one"), "--models-max", "1", "--on-demand", "off")
    oai = OpenAI(api_key="EMPTY", base_url=s.v1, max_retries=0)
    stream = oai.chat.completions.create(model="glim-demo", stream=True, temperature=0, max_tokens=60, extra_body={"ignore_eos": True},
                                         messages=[{"role": "user", "content": "Tell me a story about a fox."}])
    next(stream)
    got = []
    waiting = threading.Thread(target=lambda: got.append(embed(s, "one").status))
    waiting.start()
    n = sum(1 for _ in stream)
    assert n > 10
    waiting.join(30 * SLOW)
    assert got == [200] and loaded(s) == {"one"}
    s.stop()


@pytest.mark.parametrize("drain_s", [int(30 * SLOW), 1])
def test_ends_while_somebody_waits(start, folder, drain_s):
    """SIGTERM with a request that waits for a model: within --drain it is answered, else cut off with all others; the
    server ends with status 0."""
    s = start("-m", toymodels.DEMO, "-m", str(folder / "one"), "--models-max", "1", "--on-demand", "off", "--drain", str(drain_s))
    oai = OpenAI(api_key="EMPTY", base_url=s.v1, max_retries=0)
    stream = oai.chat.completions.create(model="glim-demo", stream=True, max_tokens=int(2000 / SLOW) if drain_s > 1 else 4000,
                                         extra_body={"ignore_eos": True}, messages=[{"role": "user", "content": "Tell me a story."}])
    next(stream)
    got = []

    def ask():
        try:
            got.append(embed(s, "one").status)
        except (OSError, http.client.HTTPException):
            got.append("cut off")

    waiting = threading.Thread(target=ask)
    waiting.start()
    wait_for(lambda: s.metric("glim_connections") >= 3)  # the stream, who waits, and this one
    time.sleep(0.05)
    assert not got
    s.process.send_signal(signal.SIGTERM)
    if drain_s > 1:
        assert sum(1 for _ in stream) > 50
    else:
        with pytest.raises((openai.APIError, httpx.HTTPError)):
            for _ in stream:
                pass
    waiting.join(30 * SLOW)
    assert got == [200 if drain_s > 1 else "cut off"]
    s.stop()


# ---- what cannot come --------------------------------------------------------------------------------


def test_memory_is_too_small(start, folder):
    """503 that names the option and both sizes, each time; what fits goes on."""
    s = start("-m", str(folder / "one"), "--model-memory", "6", env=found_in(folder), cwd=folder)
    oai = OpenAI(api_key="EMPTY", base_url=s.v1, max_retries=0)
    for _ in range(2):
        with pytest.raises(openai.InternalServerError) as caught:
            oai.chat.completions.create(model="chatty", messages=CHAT["messages"])
        e = caught.value
        assert e.status_code == 503 and e.code == "out_of_memory" and "--model-memory allows 6" in e.message and "chatty" in e.message
        # Asking again cures nothing, and the clients are told so.
        assert e.response.headers["x-should-retry"] == "false" and "Retry-After" not in e.response.headers
        with pytest.raises(ollama.ResponseError) as caught:
            ollama.Client(host=s.root).chat(model="chatty", messages=CHAT["messages"])
        assert caught.value.status_code == 503 and "--model-memory" in caught.value.error
        r = s.post("/api/paas/v4/chat/completions", {"model": "chatty", **CHAT})
        assert r.status == 503 and r.json()["error"]["code"] == "1305" and "--model-memory" in r.json()["error"]["message"]
        assert embed(s, "one").status == embed(s, "linked").status == 200
    s.stop()


def test_memory_makes_room(start, folder):
    """Room for one model with what it takes to compute, not for all."""
    s = start("-m", str(folder / "one"), "--model-memory", "6", env=found_in(folder))
    jobs = [embed_job("one", "hello"), embed_job("linked", "hello"), rerank_job("ranker", "x")]
    alternate(s, jobs, 4, 8)
    assert s.metric("glim_model_unloads_total") >= 2
    s.stop()


@pytest.mark.parametrize("harm", ["vanished", "cut", "header", "config", "tokenizer"])
def test_damage_after_the_start(start, folder, harm):
    """A model that was fine when the server looked: 500 with a clear text that gives no path away, the reason in the log,
    nobody else concerned. Whole again, it serves."""
    s = start("-m", str(folder / "one"), env=found_in(folder))
    place = folder / "ranker"
    backup = folder.parent / "backup"
    shutil.copytree(place, backup)
    if harm == "vanished":
        shutil.rmtree(place)
    elif harm == "cut":
        os.truncate(place / "model.safetensors", 300000)
    elif harm == "header":
        with open(place / "model.safetensors", "r+b") as f:
            f.write(b"\xff" * 100)
    else:
        (place / f"{harm}.json").write_text("{")
    for _ in range(2):
        r = s.post("/v1/rerank", {"model": "ranker", "query": "a", "documents": ["b"]})
        error = r.json()["error"]
        assert r.status == 500 and error["type"] == "server_error" and "cannot be loaded" in error["message"], r
        assert str(folder) not in r.text
        r = s.post("/api/paas/v4/rerank", {"model": "ranker", "query": "a", "documents": ["b"]})
        assert r.status == 500 and r.json()["error"]["code"] == "500", r
        assert embed(s, "one").status == embed(s, "linked").status == 200
    why = [line for line in s.stderr if "ev=load" in line and "lvl=error" in line]
    assert len(why) == 4 and all("ranker" in line for line in why), s.log()
    assert loaded(s) == {"one", "linked"}
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(backup, place)
    r = s.post("/v1/rerank", {"model": "ranker", "query": "a", "documents": ["b"]})
    assert r.status == 200, "a model that is whole again is tried again"
    s.stop()


def test_cut_while_in_memory(start, folder):
    """The weights are mapped: when the file shrinks under the server, its requests fail and everybody else's go on."""
    s = start("-m", str(folder / "one"), env=found_in(folder))
    want = vector(s, "one")
    assert embed(s, "linked").status == 200
    os.truncate(folder / "linked" / "model.safetensors", 4096)
    for _ in range(3):
        r = embed(s, "linked", "other words, whose rows were not read yet")
        assert r.status == 500 and r.json()["error"]["message"], r
        assert vector(s, "one") == want
    assert s.get("/health").status == 200
    s.stop()


def test_gone_while_waiting(start, folder):
    """A client that leaves while its model is on the way is no loss to anybody."""
    s = start("-m", toymodels.DEMO, "-m", str(folder / "one"), "--models-max", "1", env=found_in(folder))
    oai = OpenAI(api_key="EMPTY", base_url=s.v1, max_retries=0)
    stream = oai.chat.completions.create(model="glim-demo", stream=True, max_tokens=4000, extra_body={"ignore_eos": True},
                                         messages=[{"role": "user", "content": "Tell me a story."}])
    next(stream)
    for model in ("one", "linked") * 4:
        body = json.dumps({"model": model, "input": "x"})
        c = s.connect()
        c.request("POST", "/v1/embeddings", body=body, headers={"Content-Type": "application/json"})
        time.sleep(0.02)
        c.close()
    stream.close()
    wait_for(lambda: is_idle(s))
    assert embed(s, "one").status == embed(s, "linked").status == chat(s).status == 200
    assert s.metric("glim_connections") <= 2
    s.stop()
