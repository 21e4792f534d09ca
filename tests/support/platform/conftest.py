# SPDX-License-Identifier: MIT
"""One stand-in for all tests of a suite, fresh for each. GLIM_SDK_SUITE says which virtual environment this is."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "sdk")]  # the stand-in; zsdk.py
from standin import Platform  # noqa: E402

SUITE = os.environ.get("GLIM_SDK_SUITE", "openai")

# The tests of Zhipu's SDKs run in both environments, with the package that is there; all others beside openai.
collect_ignore_glob = [] if SUITE == "openai" else ["test_[!c]*.py", "test_contract_openai.py"]


@pytest.fixture(scope="session")
def shared():
    with Platform() as platform:
        yield platform


@pytest.fixture
def platform(shared):
    """Empty: no files, no tasks, no script, no log."""
    shared.reset()
    yield shared
    assert not [e["bug"] for e in shared.log() if "bug" in e]
