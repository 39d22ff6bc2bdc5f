"""API keys: a file of mode 0600 that holds their hashes, and whose rows each of them may see."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sluice.errors import KeysInvalid, YamlInvalid
from sluice.settings import read_yaml

EVERYTHING = "*"
_PREFIX = "slk"
_SECRET_BYTES = 32
_KEY_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")
_FIELDS = frozenset({"id", "sha256", "customers", "created_at", "expires_at"})
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class Key:
    """One key, without its secret.

    Attributes:
        sha256: of the whole key as it is sent.
        customers: whose rows it sees; None sees all, those of unregistered devices among them.
        expires_at: from then on it is refused; None never.
    """

    key_id: str
    sha256: str
    customers: frozenset[str] | None
    created_at: datetime | None = None
    expires_at: datetime | None = None

    def is_expired(self, now: datetime) -> bool:
        """Whether it is refused at that time."""
        return self.expires_at is not None and now >= self.expires_at


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys in a file, in its order; none where the file is absent.

    Raises:
        KeysInvalid: others may read the file, or it does not hold keys.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise KeysInvalid(f"cannot read {path}: {error.strerror}", "check the path and its permissions") from None
    if mode & _OTHERS:
        raise KeysInvalid(f"{path} is open to others (mode {stat.S_IMODE(mode):04o})", f"chmod 600 {path}")
    try:
        content = read_yaml(path)
        keys = tuple(_parse_key(entry, f"keys[{place}]") for place, entry in enumerate(content["keys"]))
    except YamlInvalid as error:
        raise KeysInvalid(error.message, error.hint) from None
    except (KeyError, TypeError, ValueError) as error:
        raise KeysInvalid(f"{path} does not hold keys: {error}", "`sluice serve keys add` writes such a file") from None
    if len({key.key_id for key in keys}) != len(keys):
        raise KeysInvalid(f"{path} holds a key id twice", "remove one of the entries")
    return keys


def add_key(path: Path, key_id: str, customers: Sequence[str], expires_at: datetime | None, now: datetime) -> str:
    """Adds a key to a file, which is made if absent; gives the key back, which is written nowhere.

    Args:
        customers: whose rows it may see; `*` is all.

    Raises:
        KeysInvalid: the id is no id or is taken, no customer is named, or the file cannot be used.
    """
    if not _KEY_ID.fullmatch(key_id):
        raise KeysInvalid(f"{key_id!r} is no key id", "use small letters, digits and -, at most 64")
    named = frozenset(customers)
    if not named or not all(named) or (EVERYTHING in named and len(named) > 1):
        raise KeysInvalid("a key needs customers: names, or * alone", "--customer acme, or --customer '*'")
    token = f"{_PREFIX}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    seen = None if EVERYTHING in named else named
    with _locked(path):
        keys = read_keys(path)
        if key_id in {key.key_id for key in keys}:
            raise KeysInvalid(f"there is a key {key_id} already", "revoke it first, or choose another id")
        _write_keys(path, (*keys, Key(key_id, hash_of(token), seen, now, expires_at)))
    return token


def revoke_key(path: Path, key_id: str) -> None:
    """Takes a key out of a file; servers that use the file refuse it from then on.

    Raises:
        KeysInvalid: there is no such key, or the file cannot be used.
    """
    with _locked(path):
        keys = read_keys(path)
        left = tuple(key for key in keys if key.key_id != key_id)
        if len(left) == len(keys):
            raise KeysInvalid(f"there is no key {key_id!r}", "`sluice serve keys ls` shows their ids")
        _write_keys(path, left)


def hash_of(token: str) -> str:
    """What a file holds of a key."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class KeyRing:
    """The keys of a file as it now is: one that is added or revoked counts from the next request on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, ...] | None = None
        self._keys: dict[str, Key] = {}
        self.problem = ""

    def find(self, token: str, now: datetime) -> Key | None:
        """The key sent, if it is one and has not expired; none at all while the file cannot be used."""
        self._reload()
        # Only hashes are compared: how long that takes tells nothing of a key.
        key = self._keys.get(hash_of(token))
        return None if key is None or key.is_expired(now) else key

    def _reload(self) -> None:
        try:
            found = self._path.stat()
            stamp: tuple[int, ...] = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode)
        except OSError:
            stamp = ()
        if stamp == self._stamp:
            return
        try:
            self._keys, self.problem = {key.sha256: key for key in read_keys(self._path)}, ""
        except KeysInvalid as error:
            self._keys, self.problem = {}, error.in_one_line
        self._stamp = stamp


def _parse_key(entry: Any, where: str) -> Key:
    if not isinstance(entry, dict) or set(entry) - _FIELDS or not {"id", "sha256", "customers"} <= set(entry):
        raise ValueError(f"{where} must hold {', '.join(sorted(_FIELDS))}")
    key_id, digest, customers = entry["id"], entry["sha256"], entry["customers"]
    if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
        raise ValueError(f"{where}: id is no key id")
    if not isinstance(digest, str) or not _HASH.fullmatch(digest):
        raise ValueError(f"{where}: sha256 is not 64 hex digits")
    is_list = isinstance(customers, list) and all(isinstance(each, str) and each for each in customers)
    if customers != EVERYTHING and (not is_list or not customers or EVERYTHING in customers):
        raise ValueError(f"{where}: customers is neither a list of names nor '*'")
    seen = None if customers == EVERYTHING else frozenset(customers)
    return Key(key_id, digest, seen, _moment(entry.get("created_at")), _moment(entry.get("expires_at")))


def _moment(written: Any) -> datetime | None:
    if written is None:
        return None
    # YAML reads a bare time by itself.
    moment = written if isinstance(written, datetime) else datetime.fromisoformat(str(written).replace("Z", "+00:00"))
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keeps two commands from each writing over what the other has added."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KeysInvalid(f"cannot use {path.parent}: {error.strerror}", "set serve.keys_path") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _write_keys(path: Path, keys: Sequence[Key]) -> None:
    entries = [
        {
            "id": key.key_id,
            "sha256": key.sha256,
            "customers": EVERYTHING if key.customers is None else sorted(key.customers),
            "created_at": key.created_at.isoformat() if key.created_at else None,
            "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        }
        for key in keys
    ]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps({"keys": entries}, indent=1, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise KeysInvalid(f"cannot write {path}: {error.strerror}", "check the path and its permissions") from None
