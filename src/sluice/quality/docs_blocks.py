"""Content blocks of Great Expectations as HTML. Everything is escaped here.

The templates that Great Expectations brings load styles and scripts from several CDNs, need a script to unfold
anything, and do not escape table cells, descriptions and tooltips. So they are not used: only the blocks are.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

# A sample can be a whole message.
MAX_TEXT_CHARACTERS = 300
# Tracebacks and the like.
MAX_LONG_CHARACTERS = 10_000
_TAGS = frozenset({"span", "i", "b", "strong", "em", "code", "p", "div", "h5", "h6", "hr"})
_CLASS = re.compile(r"[a-z0-9-]{1,40}")
_PLACEHOLDER = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
# Invisible or able to turn the text around it: control characters, format characters (bidi), lone surrogates.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_ICONS = {"fa-check-circle": "met", "fa-times": "not met", "fa-exclamation-triangle": "could not be judged"}


def text(value: Any, limit: int = MAX_TEXT_CHARACTERS) -> str:
    """A value as escaped text: nothing in it is markup, and nothing in it is invisible.

    Args:
        limit: characters shown; how many are left out is said.
    """
    whole = str(value)
    shown = "".join(_visible(character) for character in whole[:limit])
    more = f" … ({len(whole):,} characters)" if len(whole) > limit else ""
    return html.escape(shown) + more


def _visible(character: str) -> str:
    if character != "\n" and unicodedata.category(character) in _HIDDEN_CATEGORIES:
        return f"\\u{ord(character):04x}"
    return character


def render_block(block: Any) -> str:
    """A content block, a cell, or a list of them, as HTML; a kind that is not known shows as text."""
    if block is None:
        return ""
    if isinstance(block, (list, tuple)):
        if not any(isinstance(each, (Mapping, list, tuple)) for each in block):
            # The values of several columns in one row, or a single observed value.
            return text(", ".join(str(each) for each in block))
        return "".join(f"<div>{render_block(each)}</div>" for each in block)
    if not isinstance(block, Mapping):
        return text(block)
    renderer = _RENDERERS.get(str(block.get("content_block_type")))
    return renderer(block) if renderer else text(dict(block))


def _render_string(block: Mapping[str, Any]) -> str:
    content = block["string_template"]
    if not isinstance(content, Mapping):
        return text(content)
    params = content.get("params") or {}
    styling = content.get("styling") or {}
    limit = MAX_LONG_CHARACTERS if content.get("tag") == "code" else MAX_TEXT_CHARACTERS
    template = str(content.get("template", "")).strip("\n")
    pieces = []
    end = 0
    for match in _PLACEHOLDER.finditer(template):
        name = match[1] or match[2]
        if name not in params:
            continue
        pieces.append(text(template[end : match.start()], limit))
        pieces.append(_render_param(params[name], _style_of(styling, name)))
        end = match.end()
    pieces.append(text(template[end:], limit))
    inner = "".join(pieces)
    if content.get("tag") == "code":
        return f'<pre class="trace">{inner}</pre>'
    return _element(content.get("tag"), styling.get("classes"), inner.replace("\n", "<br>"))


def _style_of(styling: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    own = (styling.get("params") or {}).get(name)
    return own or styling.get("default") or {}


def _render_param(value: Any, style: Mapping[str, Any]) -> str:
    classes = style.get("classes") or []
    meaning = next((_ICONS[each] for each in classes if each in _ICONS), None)
    if meaning:
        return f'<i class="{_classes(classes)}" role="img" aria-label="{meaning}" title="{meaning}"></i>'
    return _element(style.get("tag"), classes, text(value))


def _element(tag: Any, classes: Any, inner: str) -> str:
    name = tag if tag in _TAGS else "span"
    if name == "hr":
        return "<hr>"
    named = _classes(classes or [])
    return f'<{name} class="{named}">{inner}</{name}>' if named else f"<{name}>{inner}</{name}>"


def _classes(classes: Any) -> str:
    return " ".join(each for each in classes if isinstance(each, str) and _CLASS.fullmatch(each))


def _render_table(block: Mapping[str, Any]) -> str:
    header = block.get("header_row") or []
    head = "".join(f'<th scope="col">{render_block(cell)}</th>' for cell in header)
    rows = ("".join(f"<td>{render_block(cell)}</td>" for cell in row) for row in block["table"])
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    top = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f'{_header_of(block)}<div class="scroll"><table class="samples">{top}<tbody>{body}</tbody></table></div>'


def _render_header(block: Mapping[str, Any]) -> str:
    return f"{_header_of(block)}{render_block(block.get('subheader'))}"


def _header_of(block: Mapping[str, Any]) -> str:
    return render_block(block["header"]) if "header" in block else ""


def _render_collapse(block: Mapping[str, Any]) -> str:
    link = block.get("collapse_toggle_link") or "Show more …"
    return f"<details><summary>{render_block(link)}</summary>{render_block(block['collapse'])}</details>"


def _render_bullets(block: Mapping[str, Any]) -> str:
    items = "".join(f"<li>{render_block(each)}</li>" for each in block["bullet_list"])
    return f"{_header_of(block)}<ul>{items}</ul>"


def _render_list_in(key: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda block: _header_of(block) + render_block(block[key])


_RENDERERS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "string_template": _render_string,
    "table": _render_table,
    "header": _render_header,
    "collapse": _render_collapse,
    "bullet_list": _render_bullets,
    "text": _render_list_in("text"),
    "value_list": _render_list_in("value_list"),
    "markdown": _render_list_in("markdown"),
    "content_block_container": _render_list_in("content_blocks"),
}
