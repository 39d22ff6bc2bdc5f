"""Customers as names of folders: safe on every file system, and back again. Pure.

Small letters, digits, - and _ stand for themselves, everything else as %XX of its UTF-8 bytes: so no name leaves its
folder, and two that differ in case alone stay apart where case does not count. Readers of Hive's layout (Spark, DuckDB,
Arrow) turn it back by themselves.
"""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote, unquote

NOBODY = "__HIVE_DEFAULT_PARTITION__"
_PLAIN = re.compile(r"[a-z0-9_-]*")
_MOST_BYTES = 200
_FOLDER = re.compile(r"customer=(?:[a-z0-9_-]|%[0-9A-F]{2})*|customer=~[0-9a-f]{64}|customer=" + NOBODY)


def folder_of(customer: str | None) -> str:
    """The folder of a customer; that of rows without one is what Hive's layout calls null.

    A name that would be too long for a file system is its SHA-256 after a ~; the manifest says whose it is.
    """
    if customer is None:
        return f"customer={NOBODY}"
    encoded = "".join(_encoded(character) for character in customer)
    if len(encoded) > _MOST_BYTES:
        encoded = "~" + hashlib.sha256(customer.encode("utf-8", "surrogatepass")).hexdigest()
    return f"customer={encoded}"


def customer_of(folder: str) -> str | None:
    """The customer of a folder; None for that of rows without one.

    Raises:
        ValueError: it is not of this form, or only the manifest knows.
    """
    name = folder.removeprefix("customer=")
    if not is_folder(folder) or name.startswith("~"):
        raise ValueError(f"{folder!r} does not name a customer")
    return None if name == NOBODY else unquote(name, errors="surrogatepass")


def is_folder(name: str) -> bool:
    """Whether `folder_of` can have given it."""
    return _FOLDER.fullmatch(name) is not None


def _encoded(character: str) -> str:
    if _PLAIN.fullmatch(character):
        return character
    if character.isascii():
        return f"%{ord(character):02X}"
    return quote(character, safe="", errors="surrogatepass")
