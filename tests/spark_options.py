"""How tests start Spark, in their own process and in those they start."""

from __future__ import annotations

# Tests never run long enough to win back what the optimising compiler costs.
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC"
# As environment variables: of a `sluice run` or a notebook; a job under spark-submit takes its own.
OF_A_PROCESS = {
    "SLUICE_SPARK__JAVA_OPTIONS": JAVA_OPTIONS,
    "SLUICE_SPARK__DRIVER_MEMORY_MEGABYTES": "1024",
    "SLUICE_SPARK__SHUFFLE_PARTITIONS": "2",
}
