"""Sections of the settings that stand apart from the others; settings.py puts all of them together."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """One section: no unknown keys, no changes, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MaintainSettings(Section):
    """What `sluice maintain` makes of the tables; days that are null keep everything."""

    target_megabytes: int = Field(ge=1, le=4096)
    bronze_days: int | None = Field(ge=1)
    quarantine_days: int | None = Field(ge=1)
    duplicates_days: int | None = Field(ge=1)
