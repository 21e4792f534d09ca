# SPDX-License-Identifier: MIT
"""The Zhipu SDK of this virtual environment under one set of names: zai beside openai, zhipuai in the other one."""
import os

SUITE = os.environ.get("GLIM_SDK_SUITE", "openai")
if SUITE == "zhipuai":
    import zhipuai as module
    from zhipuai import ZhipuAI as Client
    Clients = {"ZhipuAI": Client}
    errors = module
else:
    import zai as module
    from zai import ZaiClient, ZhipuAiClient as Client
    from zai import core as errors
    Clients = {"ZaiClient": ZaiClient, "ZhipuAiClient": Client}

__all__ = ["Client", "Clients", "SUITE", "errors", "module"]
