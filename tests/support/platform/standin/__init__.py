# SPDX-License-Identifier: MIT
"""A stand-in of the Zhipu platform, of an OpenAI-compatible server and of Ollama, for tests of clients. See README.md."""
from .auth import make_token
from .server import KEYS, SETTINGS, Platform

__all__ = ["KEYS", "SETTINGS", "Platform", "make_token"]
