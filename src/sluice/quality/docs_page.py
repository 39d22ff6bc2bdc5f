"""Where validation results and their pages lie in a lake. Names only: reads nothing, knows no Great Expectations."""

from __future__ import annotations

from pathlib import Path

VALIDATIONS_FOLDER = "_validations"
CHECKPOINTS_FOLDER = "_checkpoints"
DOCS_FOLDER = "_docs"
# Of the folder of results that decided nothing: those of a suite that judges beside a layer's own.
CANDIDATE_SUFFIX = "-candidate"
# Enough of a SHA-256 to tell suites of one name apart.
_HASH_CHARACTERS = 12


def docs_page(layer: str, promotion_id: str) -> str:
    """The page of a promotion, relative to the lake, as the ledger's `docs_page` names it."""
    return f"{DOCS_FOLDER}/{promotion_page(layer, promotion_id)}"


def promotion_page(layer: str, promotion_id: str) -> str:
    """The page of a promotion, relative to the folder of the Data Docs."""
    return f"promotions/{layer}/{promotion_id}.html"


def suite_page(name: str, suite_hash: str) -> str:
    """The page of one text of a suite, relative to the folder of the Data Docs."""
    return f"suites/{name}-{suite_hash[:_HASH_CHARACTERS]}.html"


def result_path(lake: Path, layer: str, promotion_id: str) -> Path:
    """The file that holds the validation result of a promotion."""
    return lake / VALIDATIONS_FOLDER / layer / f"{promotion_id}.json"
