# SPDX-License-Identifier: MIT
"""Servers and clients for the suites. GLIM_SDK_SUITE says which virtual environment this is (run_sdk.py sets it)."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "support")]
import toymodels  # noqa: E402
from server import Server  # noqa: E402

SUITE = os.environ.get("GLIM_SDK_SUITE", "openai")
GLIM = os.environ.get("GLIM_SDK_GLIM", "")
GLIM_TEST = os.environ.get("GLIM_SDK_GLIM_TEST", "")
SAMPLE_MODELS = ["--alias", "glm-4", "--alias", "charglm-3", "--alias", "glm-4v"]

# test_zhipu_* runs in both, each time with the package that is there.
collect_ignore_glob = [] if SUITE == "openai" else ["test_[!z]*.py"]


@pytest.fixture(scope="session")
def start():
    """start(*options, scripted=False, ...) -> Server; whatever is not stopped by the test is stopped at the end."""
    running = []

    def go(*options, scripted=False, **more):
        program = GLIM_TEST if scripted else GLIM
        if not program:
            pytest.skip("no glim-test given" if scripted else "no glim given")
        s = Server(program, *options, **more)
        running.append(s)
        return s

    yield go
    for s in running:
        if s.process.poll() is None:
            s.process.kill()
            s.process.wait()


def _lasting(start, *options, **more):
    s = start(*options, **more)
    yield s
    assert s.process.poll() is None, f"the server ended by itself:\n{s.log()}"
    assert s.wait_idle(2), "a slot is still busy after all tests"
    s.stop()


@pytest.fixture(scope="session")
def demo(start):
    """The bundled model."""
    yield from _lasting(start, *SAMPLE_MODELS)


@pytest.fixture(scope="session")
def scripted(start):
    """The scripted engine: what the demo model cannot be brought to write."""
    yield from _lasting(start, *SAMPLE_MODELS, scripted=True)


@pytest.fixture(scope="session")
def locked(start):
    """The scripted engine behind keys."""
    yield from _lasting(start, "--api-key", "plain-key", "--api-key", "demo.sekret", scripted=True, key="plain-key")


@pytest.fixture(scope="session")
def narrow(start):
    """One slot, one place in the queue."""
    yield from _lasting(start, "--parallel", "1", "--queue", "1", scripted=True)


@pytest.fixture(scope="session")
def encoders(start, tmp_path_factory):
    """The bundled model and encoders under the names of the guides. Whatever golden encoder is there is served too, as
    golden-NAME and, with its other poolings, golden-NAME-cls and so on."""
    folder = tmp_path_factory.mktemp("encoders")

    def made(name, *args, **more):
        return ["-m", toymodels.make(str(folder / name), *args, **more)]

    models = ["-m", toymodels.DEMO]
    models += made("text2vec-base-chinese-paraphrase", "ernie", pooling="mean")
    models += made("bge-m3", "ernie", pooling="cls", normalize=True, seed=3)
    models += made("short", "ernie", max_length=16)
    models += made("bge-reranker-v2-m3", "xlm-roberta-reranker")
    for name in toymodels.NAMES:
        if toymodels.is_there(name) and toymodels.golden(name, "vectors.jsonl"):
            models += made("golden-" + name, name)
            for pooling in ("cls", "lasttoken"):
                models += made(f"golden-{name}-{pooling}", name, pooling=pooling)
        gguf = toymodels.golden(name, "model.gguf")
        if gguf:
            path = folder / f"golden-{name}-gguf.gguf"
            path.symlink_to(os.path.abspath(gguf))
            models += ["-m", str(path)]
    yield from _lasting(start, *models, "--on-demand", "off",
                        "--alias", "text2vec-base-multilingual=text2vec-base-chinese-paraphrase", "--alias", "glm-4")
