from __future__ import annotations

from typing import Any

import pytest

from sluice.quality.docs_blocks import MAX_TEXT_CHARACTERS, render_block, text
from sluice.quality.docs_html import number


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a<b>&\"'", "a&lt;b&gt;&amp;&quot;&#x27;"),
        ("a\x00b\u202ec\ud800d", "a\\u0000b\\u202ec\\ud800d"),
        (None, "None"),
        ("ä€𝄞", "ä€𝄞"),
        ("x" * (MAX_TEXT_CHARACTERS + 1), "x" * MAX_TEXT_CHARACTERS + " … (301 characters)"),
    ],
)
def test_text_is_never_markup_nor_invisible(value: Any, shown: str) -> None:
    assert text(value) == shown


@pytest.mark.parametrize(
    ("block", "shown"),
    [
        (None, ""),
        (["<a>", 1.5], "&lt;a&gt;, 1.5"),
        (
            {"content_block_type": "unheard", "x": "<"},
            "{&#x27;content_block_type&#x27;: &#x27;unheard&#x27;, &#x27;x&#x27;: &#x27;&lt;&#x27;}",
        ),
        (
            {
                "content_block_type": "string_template",
                "string_template": {"template": "$$ $a ${b}$c", "params": {"a": "<", "b": "$a"}},
            },
            "<span>$$ <span>&lt;</span> <span>$a</span>$c</span>",
        ),
        (
            {
                "content_block_type": "string_template",
                "string_template": {"template": "x", "tag": "script", "styling": {"classes": ['a"b', "ok"]}},
            },
            '<span class="ok">x</span>',
        ),
        (
            {"content_block_type": "table", "table": [["<", 2]]},
            '<div class="scroll"><table class="samples"><tbody><tr><td>&lt;</td><td>2</td></tr></tbody></table></div>',
        ),
    ],
)
def test_content_blocks_become_escaped_html(block: Any, shown: str) -> None:
    assert render_block(block) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (1234567, "1,234,567"), (0.0125, "0.0125"), (True, "True"), ("<", "&lt;")]
)
def test_numbers_are_for_people(value: object, shown: str) -> None:
    assert number(value) == shown
