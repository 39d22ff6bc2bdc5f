"""iot.raw to iot.processed, iot.alerts and iot.dlq within milliseconds, in Spark's real-time mode.

From the project's folder, after `make setup`, with two slots for each partition of the topic (one with
`alerts.overlap: false`), and one more:

    PYSPARK_PYTHON=.venv/bin/python .venv/bin/spark-submit --master 'local[9]' \\
        --properties-file conf/spark-defaults.conf jobs/alerts.py

`--mode micro` does it in micro-batches; `--config FILE` lies over conf/base.yaml. One process per lake (a second
one exits 3); it goes on where it was after any stop, and repeats at most one batch.
"""

import sys

from sluice.pipelines.alerts import job_main

if __name__ == "__main__":
    sys.exit(job_main())
