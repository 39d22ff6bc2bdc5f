"""The one pattern that proves a message's form: JSON of known fields, each with a value of its type, all ASCII.

Whatever it matches is a strict JSON object by RFC 8259; whatever it does not match may be one as well. Repeated
fields it lets pass. Every repetition is possessive or bounded, so that no text makes it slow or deep.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sluice.transforms.contract import NUMBER, Contract
from sluice.transforms.fields import SCHEMA_VERSION

_SPACE = r"[ \t\r\n]*+"
# Printable ASCII but for the quote and the backslash: in such a text no quote is meant otherwise.
_TEXT = r'"[ !#-\[\]-~]*+"'
_NUMBER = r"-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+"

_Tree = Mapping[str, "str | _Tree"]


def message_pattern(contract: Contract) -> str:
    r"""A regular expression of Java for whole messages, to be used with `rlike`.

    Between a field's name and its colon there is no space, so every `":` in a match ends a name.
    """
    top = {name: kind for name, kind in contract.field_types.items() if "." not in name}
    inner: dict[str, dict[str, str]] = {name: {} for name in contract.objects}
    for source, kind in contract.field_types.items():
        above, _, name = source.rpartition(".")
        if above:
            inner[above][name] = kind
    tree: _Tree = {SCHEMA_VERSION: NUMBER, **top, **inner}
    return rf"\A{_SPACE}{_object(tree)}{_SPACE}\z"


def _object(fields: _Tree) -> str:
    one = _one_of(fields)
    more = rf"(?:{_SPACE},{_SPACE}{one}){{0,{len(fields) - 1}}}+"
    return rf"\{{{_SPACE}{one}{more}{_SPACE}\}}"


def _one_of(fields: _Tree) -> str:
    texts = [name for name, kind in fields.items() if isinstance(kind, str) and kind != NUMBER]
    numbers = [name for name, kind in fields.items() if kind == NUMBER]
    inner = [rf"{_names([name])}:{_SPACE}{_object(kind)}" for name, kind in fields.items() if not isinstance(kind, str)]
    parts = [rf"{_names(names)}:{_SPACE}{value}" for names, value in ((texts, _TEXT), (numbers, _NUMBER)) if names]
    return f"(?>{'|'.join([*parts, *inner])})"


def _names(names: list[str]) -> str:
    return f'"(?:{"|".join(re.escape(name) for name in names)})"'
