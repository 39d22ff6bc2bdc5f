"""Regular expressions of rules: those that mean the same to Python and Java, and cannot take for ever.

Java's matcher tries alternatives one after the other, so `(a+)+b` needs time exponential in the length of a
text that does not match: one message could stop the gate. What is accepted needs at most time quadratic in it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any

MAX_CHARACTERS = 200
# Beyond that many times a repeat counts as endless.
_ENDLESS = 50
_MAX_ENDLESS_REPEATS = 2
# Ways through the optional parts, short repeats and alternatives of a pattern.
_MAX_WAYS = 100_000
_GROUPS_OF_BOTH = re.compile(r"(?<!\\)\(\?(?!:)")
# Python's own parser of patterns: the tree that it compiles.
_parser: Any = import_module("re._parser")


def pattern_fault(pattern: object) -> str | None:
    """What is wrong with a regex, in words; None if it may be used.

    Refused: more than 200 characters, groups other than `(…)` and `(?:…)`, references to groups, what varies
    (a repeat, an optional part, an alternative) within a repeat, optional parts and alternatives that multiply to
    more than 100,000 ways, and more than two endless repeats where one could also match what ends it (`.*.*.*`).
    """
    if not isinstance(pattern, str) or not pattern:
        return "a regex is a text"
    if len(pattern) > MAX_CHARACTERS:
        return f"the regex has {len(pattern)} characters, at most {MAX_CHARACTERS}"
    if _GROUPS_OF_BOTH.search(pattern):
        return "of groups a regex may have only (…) and (?:…)"
    try:
        with warnings.catch_warnings():
            # What Python only warns of, such as [[a] or [a&&b], means something else in Java.
            warnings.simplefilter("error")
            re.compile(pattern)
            tree = _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError, Warning) as error:
        return f"the regex cannot be used: {error}"
    return _danger(tree)


def _danger(tree: Any) -> str | None:
    endless, ways = 0, 1
    for operation, argument, is_repeated in _walk(tree, False):
        name = str(operation)
        if name.startswith("GROUPREF"):
            return "the regex refers to one of its groups"
        choices = _choices(name, argument)
        if is_repeated and choices > 1:
            return "a repeat or an alternative within a repeat, such as (a+)+ or (a|b)+, can take for ever"
        if choices > _ENDLESS:
            endless += 1
        else:
            ways *= choices
    if ways > _MAX_WAYS:
        return "its optional parts and alternatives are too many: trying them can take for ever"
    if endless > _MAX_ENDLESS_REPEATS and not _are_apart(tree):
        return f"more than {_MAX_ENDLESS_REPEATS} endless repeats of what could match the same, such as .*.*.*"
    return None


_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


def _choices(name: str, argument: Any) -> int:
    """In how many ways one operation can match, apart from those of its parts."""
    if name in _REPEATS:
        return int(argument[1]) - int(argument[0]) + 1
    return len(argument[1]) if name == "BRANCH" else 1


def _walk(tree: Any, is_repeated: bool) -> Iterator[tuple[Any, Any, bool]]:
    for operation, argument in tree:
        yield operation, argument, is_repeated
        inner = is_repeated or (str(operation) in _REPEATS and argument[1] > 1)
        for part in _parts(argument):
            yield from _walk(part, inner)


def _parts(argument: Any) -> Iterator[Any]:
    """The sub-patterns of an operation."""
    if isinstance(argument, _parser.SubPattern):
        yield argument
    elif isinstance(argument, (tuple, list)):
        for each in argument:
            yield from _parts(each)


def _are_apart(tree: Any) -> bool:
    """Whether each endless repeat is followed by a literal that it cannot itself match: `\\d+\\.\\d+\\.\\d+`."""
    items = list(tree)
    for index, (operation, argument) in enumerate(items):
        if str(operation) in _REPEATS and _choices(str(operation), argument) > _ENDLESS:
            following = items[index + 1] if index + 1 < len(items) else None
            if following is None or str(following[0]) == "AT":
                continue
            body = argument[2]
            if str(following[0]) != "LITERAL" or _can_match(body, chr(following[1])):
                return False
        elif any(_choices(str(inner), each) > _ENDLESS for inner, each, _ in _walk_inside(argument)):
            return False
    return True


def _walk_inside(argument: Any) -> Iterator[tuple[Any, Any, bool]]:
    for part in _parts(argument):
        yield from _walk(part, False)


def _can_match(body: Any, character: str) -> bool:
    if len(body) != 1:
        return True
    operation, argument = body[0]
    name = str(operation)
    if name == "LITERAL":
        return bool(chr(argument) == character)
    if name != "IN":
        return True
    return any(_includes(each, character) for each in argument)


def _includes(part: Any, character: str) -> bool:
    name, argument = str(part[0]), part[1]
    if name == "LITERAL":
        return bool(chr(argument) == character)
    if name == "RANGE":
        return bool(argument[0] <= ord(character) <= argument[1])
    if name == "CATEGORY" and str(argument) == "CATEGORY_DIGIT":
        return character.isdigit()
    return True
