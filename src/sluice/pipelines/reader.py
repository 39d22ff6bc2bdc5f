"""What reads and judges records under a rulebook of silver."""

from __future__ import annotations

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from sluice.pipelines.facts import LATE, UNKNOWN_DEVICE
from sluice.pipelines.rulebook import RowRules, Rulebook, compile_row_rules, registry_frame
from sluice.settings import Settings
from sluice.transforms.judge import JUDGED_TYPES, Mark, is_late
from sluice.transforms.parse import Limits
from sluice.transforms.silver import Reader


def open_reader(spark: SparkSession, settings: Settings, rulebook: Rulebook) -> tuple[RowRules, Reader]:
    """The rulebook's row rules as columns, and what reads and judges with them; keep it, making it takes seconds.

    Raises:
        SuiteInvalid: Spark or Great Expectations does not take a row rule.
    """
    silver = settings.silver
    limits = Limits(silver.max_message_bytes, silver.max_nesting, silver.max_text_characters, silver.max_id_characters)
    own = [Mark(UNKNOWN_DEVICE, ~F.col("is_registered")), Mark(LATE, is_late(silver.late_after_seconds))]
    rules = compile_row_rules(spark, rulebook.suite, JUDGED_TYPES, own)
    registry = registry_frame(spark, rulebook.registry)
    return rules, Reader(rulebook.contract, registry, rules.rules, limits, tuple(rules.marks), rules.judges_together)
