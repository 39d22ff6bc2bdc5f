"""What the Data Docs are made of: stored validation results and texts of suites, read and checked, nothing rendered."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sluice.quality.docs_page import (
    CANDIDATE_SUFFIX,
    CHECKPOINTS_FOLDER,
    VALIDATIONS_FOLDER,
    promotion_page,
    suite_page,
)
from sluice.schemas import CRITICAL, ERROR, VERDICTS

# A result holds samples, never rows: one that is larger was not written by a gate.
MAX_RESULT_BYTES = 16 * 1024 * 1024
COUNTS = ("rows_in", "rows_promoted", "rows_quarantined", "rows_duplicate", "rows_held")
_SUITE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_PART_OF_PATH = re.compile(r"[A-Za-z0-9_.:=+@-]{1,200}")
_HASH = re.compile(r"[0-9a-f]{12,64}")
_KINDS_OF_DAMAGE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Skipped:
    """A file that no page could be made of, and why."""

    file: Path
    reason: str


class ResultDamaged(ValueError):
    """A stored file is not what its place says; never leaves `quality`."""


@dataclass(frozen=True)
class StoredResult:
    """The validation result of one promotion.

    Attributes:
        promotion_id: the file's name, which the ledger's `docs_page` is made of as well.
        content: the result as Great Expectations wrote it.
        digest: SHA-256 of the file.
    """

    path: Path
    layer: str
    promotion_id: str
    content: Mapping[str, Any]
    digest: str
    decided_at: datetime

    @property
    def meta(self) -> Mapping[str, Any]:
        """What the gate wrote beside the result."""
        return self.content["meta"]  # type: ignore[no-any-return]

    @property
    def verdict(self) -> str:
        """The gate's decision; one that is unknown counts as ERROR."""
        found = self.meta.get("verdict")
        return found if found in VERDICTS else ERROR

    @property
    def suite_hash(self) -> str:
        """The SHA-256 of the suite's text; empty if the gate did not write it."""
        return str(self.meta.get("suite_hash") or "")

    @property
    def page(self) -> str:
        """Its page, relative to the folder of the Data Docs."""
        return promotion_page(self.layer, self.promotion_id)

    @property
    def failed_rules(self) -> list[tuple[str, str]]:
        """Rule id and severity of each rule that was broken or could not be judged, critical ones first."""
        failed = [each["expectation_config"] for each in self.content["results"] if not each["success"]]
        rules = [(rule_id(config), str(config.get("severity") or CRITICAL)) for config in failed]
        return sorted(rules, key=lambda rule: rule[1] != CRITICAL)

    def count(self, name: str) -> int | None:
        """One of COUNTS; None if the gate did not write it."""
        found = self.meta.get(name)
        return found if isinstance(found, int) and not isinstance(found, bool) else None


@dataclass(frozen=True)
class StoredSuite:
    """One text of a suite that decided something, or would decide now."""

    path: Path
    name: str
    hash: str
    is_current: bool
    content: Mapping[str, Any]

    @property
    def page(self) -> str:
        """Its page, relative to the folder of the Data Docs."""
        return suite_page(self.name, self.hash)


def rule_id(config: Mapping[str, Any]) -> str:
    """The name of a rule; its type if it has none."""
    meta = config.get("meta")
    found = meta.get("rule_id") if isinstance(meta, Mapping) else None
    return str(found or config["type"])


def result_files(lake: Path) -> list[Path]:
    """The files of all stored results, newest first by the file system's time; ties by name."""
    found = []
    for path in (lake / VALIDATIONS_FOLDER).glob("*/*.json"):
        # What a candidate suite would have decided is no promotion.
        if path.name.startswith(".") or path.parent.name.endswith(CANDIDATE_SUFFIX):
            continue
        # One that retention removes just now is none.
        with contextlib.suppress(FileNotFoundError):
            found.append((-path.stat().st_mtime_ns, str(path), path))
    return [path for _, _, path in sorted(found)]


def read_result(path: Path) -> StoredResult:
    """The result in `<lake>/_validations/<layer>/<promotion_id>.json`.

    Raises:
        ResultDamaged: the file cannot be read, or is no result of a suite; says what is wrong.
    """
    if not all(_PART_OF_PATH.fullmatch(part) for part in (path.parent.name, path.stem)):
        raise ResultDamaged("its name is not that of a promotion")
    data = _bytes_of(path)
    content = _object_in(data)
    try:
        decided_at = _moment(content["meta"]["decided_at"])
        for each in content["results"]:
            rule_id(each["expectation_config"])
            if not isinstance(each["success"], bool):
                raise ResultDamaged("a result without success")
    except ResultDamaged:
        raise
    except _KINDS_OF_DAMAGE as error:
        raise ResultDamaged(f"no validation result of a gate ({type(error).__name__}: {error})") from None
    return StoredResult(path, path.parent.name, path.stem, content, hashlib.sha256(data).hexdigest(), decided_at)


def read_suites(lake: Path, expectations: Path) -> tuple[list[StoredSuite], list[Skipped]]:
    """Every text of a suite that decided something in the lake, and those that would decide now.

    Returns:
        The suites by name, current ones first; and the files that are no suite.
    """
    found: dict[tuple[str, str], StoredSuite] = {}
    skipped = []
    for path, is_current in _suite_files(lake, expectations):
        try:
            suite = _read_suite(path, is_current)
        except ResultDamaged as error:
            skipped.append(Skipped(path, str(error)))
            continue
        found.setdefault((suite.name, suite.hash), suite)
    ordered = sorted(found.values(), key=lambda suite: (suite.name, not suite.is_current, suite.hash))
    return ordered, skipped


def _suite_files(lake: Path, expectations: Path) -> Iterator[tuple[Path, bool]]:
    for path in sorted(expectations.glob("*.json")):
        yield path, True
    for path in sorted((lake / CHECKPOINTS_FOLDER).glob("*/configs/suite-*")):
        yield path, False


def _read_suite(path: Path, is_current: bool) -> StoredSuite:
    data = _bytes_of(path)
    content = _object_in(data)
    name = content.get("name")
    if not isinstance(name, str) or not _SUITE_NAME.fullmatch(name):
        raise ResultDamaged("a suite without a name that can be a file's")
    rules = content.get("expectations")
    if not isinstance(rules, list) or not all(_is_rule(rule) for rule in rules):
        raise ResultDamaged("a suite without a list of expectations")
    return StoredSuite(path, name, _suite_hash(path, data, is_current), is_current, content)


def _suite_hash(path: Path, data: bytes, is_current: bool) -> str:
    # A gate hashes the text, in which line ends are those of Python.
    kept = path.name.removeprefix("suite-")
    if not is_current and _HASH.fullmatch(kept):
        return kept
    return hashlib.sha256(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")).hexdigest()


def _is_rule(rule: Any) -> bool:
    return isinstance(rule, Mapping) and isinstance(rule.get("type"), str) and isinstance(rule.get("kwargs"), Mapping)


def _bytes_of(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_RESULT_BYTES:
            raise ResultDamaged(f"larger than {MAX_RESULT_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ResultDamaged(f"cannot be read: {error.strerror}") from None


def _object_in(data: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ResultDamaged(f"not valid JSON: {error}") from None
    if not isinstance(content, Mapping):
        raise ResultDamaged("no JSON object")
    return content


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(timezone.utc) if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
