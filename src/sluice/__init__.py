"""Sluice: a streaming lakehouse for device telemetry whose books balance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sluice.serving.lake import open_lake
    from sluice.session import register

__all__ = ["open_lake", "register"]


def __getattr__(name: str) -> Any:
    # Loaded when first used: `import sluice` must cost neither Spark nor DuckDB.
    if name == "open_lake":
        from sluice.serving.lake import open_lake

        return open_lake
    if name == "register":
        from sluice.session import register

        return register
    raise AttributeError(f"module 'sluice' has no attribute {name!r}")
