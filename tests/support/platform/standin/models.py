# SPDX-License-Identifier: MIT
"""The models on offer. A name asked for in any case is found; the reply repeats it as it was asked for."""
import dataclasses

from .refusal import Refusal


@dataclasses.dataclass(frozen=True)
class Model:
    name: str
    kind: str  # chat, character, code, embedding, rerank, image, video, speech, search, moderation
    max_out: int = 0  # limit of max_tokens
    context: int = 0
    thinks: bool = False
    sees: bool = False
    sizes: tuple = ()  # allowed dimensions; the first is the default


def _table():
    rows = [Model(n, "chat", 131072, 200_000, thinks=True) for n in (
        "glm-4.5", "glm-4.5-air", "glm-4.5-flash", "glm-4.6", "glm-4.7", "glm-4.7-flash", "glm-4.7-flashx", "glm-5")]
    rows += [Model(n, "chat", 4095, 128_000) for n in (
        "glm-4", "glm-4-plus", "glm-4-air", "glm-4-airx", "glm-4-long", "glm-4-flash", "glm-4-flashx", "glm-4-assistant")]
    rows += [Model("glm-4-flash-250414", "chat", 16384, 128_000)]
    rows += [Model(n, "chat", 4095, 16_000, sees=True) for n in ("glm-4v", "glm-4v-plus", "glm-4v-flash")]
    rows += [Model(n, "chat", 32768, 64_000, thinks=True, sees=True) for n in ("glm-4.5v", "glm-4.6v", "glm-4.6v-flash")]
    rows += [Model(n, "character", 4095, 8_000) for n in ("charglm-3", "charglm-4", "emohaa")]
    rows += [Model("codegeex-4", "code", 32768, 128_000)]
    rows += [Model("embedding-2", "embedding", context=512, sizes=(1024,)),
             Model("embedding-3", "embedding", context=3072, sizes=(2048, 1024, 512, 256))]
    rows += [Model("rerank", "rerank", context=4096)]
    rows += [Model(n, "image") for n in ("cogview-3", "cogview-3-plus", "cogview-3-flash", "cogview-4", "glm-image")]
    rows += [Model(n, "video") for n in ("cogvideox", "cogvideox-2", "cogvideox-3", "cogvideox-flash")]
    rows += [Model(n, "speech") for n in ("glm-tts", "cogtts")]
    rows += [Model("web-search-pro", "search"), Model("moderation", "moderation")]
    return {row.name: row for row in rows}


ALL = _table()


def find(name, *kinds):
    """The model; 1211 when there is none, 1212 when it is of another kind."""
    model = ALL.get(name.lower())
    if model is None:
        raise Refusal("1211", name)
    if model.kind not in kinds:
        raise Refusal("1212", "/".join(kinds))
    return model
