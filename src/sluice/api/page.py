"""The API's description as one page that needs no network and no script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
    "code{font-family:ui-monospace,monospace}h2{border-top:1px solid #ccc;padding-top:1rem;font-size:1.1rem}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}"
    "td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}"
    "@media(prefers-color-scheme:dark){body{background:#161616;color:#e8e8e8}h2{border-color:#444}a{color:#8ab4f8}}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
PAGE_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}


def description_page(schema: Mapping[str, Any]) -> str:
    """HTML of an OpenAPI schema: every path with its parameters."""
    info = schema["info"]
    parts = [_path(path, method, said) for path, each in schema["paths"].items() for method, said in each.items()]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])} API</h1><p>{escape(info['description'])}</p>"
        "<p>Send a key as <code>Authorization: Bearer KEY</code>, where the server asks for one. Lists are"
        " <code>{&quot;items&quot;: […], &quot;next_cursor&quot;: …}</code>: hand a cursor back to get the next page."
        ' For programs: <a href="/v1/openapi.json">/v1/openapi.json</a>.</p>'
        f"{''.join(parts)}</body></html>"
    )


def _path(path: str, method: str, said: Mapping[str, Any]) -> str:
    rows = "".join(_parameter(each) for each in said.get("parameters", ()))
    table = f"<table><tr><th>parameter</th><th>type</th><th>meaning</th></tr>{rows}</table>" if rows else ""
    return (
        f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2><p>{escape(said.get('summary', ''))}</p>{table}"
    )


def _parameter(said: Mapping[str, Any]) -> str:
    schema = said.get("schema", {})
    kinds = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    kind = " or ".join(", ".join(each["enum"]) if "enum" in each else str(each.get("type", "")) for each in kinds)
    about = said.get("description") or schema.get("description", "")
    return f"<tr><td><code>{escape(said['name'])}</code></td><td>{escape(kind)}</td><td>{escape(about)}</td></tr>"
