"""Compaction, VACUUM, retention and short logs for the tables of all layers, beside running jobs or without them.

From the project's folder, after `make setup`; it starts no Spark, so plain Python does:

    .venv/bin/python jobs/maintain.py

and where jobs are only started through spark-submit:

    PYSPARK_PYTHON=.venv/bin/python .venv/bin/spark-submit --properties-file conf/spark-defaults.conf jobs/maintain.py

`--layers bronze,silver` takes some layers, `--dry-run` only tells; `--config FILE` lies over conf/base.yaml. A layer
that a job owns is asked to do it between two micro-batches. Retention is off until maintain.…_days are set.
"""

import sys

from sluice.pipelines.maintain_requests import job_main

if __name__ == "__main__":
    sys.exit(job_main())
