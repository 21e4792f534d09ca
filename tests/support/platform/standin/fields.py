# SPDX-License-Identifier: MIT
"""Tables of documented members, and the one reader that checks a body against them.

A row says what a member may be; `null` is the same as absent. A missing member that is required is 1213, anything that
breaks its row 1214, both with the member's name. Members without a row are let through, as the platform does, and noted
in the log of the request.
"""
import dataclasses

from .refusal import Refusal

KINDS = {
    "str": lambda v: isinstance(v, str),
    "int": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "num": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "bool": lambda v: isinstance(v, bool),
    "list": lambda v: isinstance(v, list),
    "dict": lambda v: isinstance(v, dict),
    "strs": lambda v: isinstance(v, list) and all(isinstance(s, str) for s in v),
}


@dataclasses.dataclass(frozen=True)
class Field:
    """name; kinds, one or several of KINDS; limits of a number, or of the length of a text or list; allowed values."""

    name: str
    kinds: str
    required: bool = False
    low: float = None
    high: float = None
    one_of: tuple = ()

    def check(self, value, where):
        if not any(KINDS[k](value) for k in self.kinds.split()):
            raise Refusal("1214", where)
        if self.one_of and value not in self.one_of:
            raise Refusal("1214", where)
        size = value if KINDS["num"](value) else len(value) if isinstance(value, (str, list)) else None
        if size is not None and ((self.low is not None and size < self.low) or (self.high is not None and size > self.high)):
            raise Refusal("1214", where)


def read(body, table, rq=None, where=""):
    """A dict with every given member that is in the table, checked; the others go to rq.unknown."""
    if not isinstance(body, dict):
        raise Refusal("1210", where or "the body is not an object")
    given = {k: v for k, v in body.items() if v is not None}
    out = {}
    for row in table:
        place = f"{where}.{row.name}" if where else row.name
        if row.name in given:
            row.check(given[row.name], place)
            out[row.name] = given[row.name]
        elif row.required:
            raise Refusal("1213", place)
    if rq is not None:
        known = {row.name for row in table}
        rq.unknown += [f"{where}.{k}" if where else k for k in body if k not in known]
    return out
