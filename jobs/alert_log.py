"""gold/alerts: one row an alert, from the topics of the dispatcher. For where `sluice dispatch --no-log` runs.

From the project's folder, after `make setup`; it starts no Spark, so plain Python does:

    .venv/bin/python jobs/alert_log.py

and where jobs are only started through spark-submit:

    PYSPARK_PYTHON=.venv/bin/python .venv/bin/spark-submit --properties-file conf/spark-defaults.conf jobs/alert_log.py

`--once` writes what is there and exits; `--config FILE` lies over conf/base.yaml.
"""

import sys

from sluice.pipelines.alert_log import job_main

if __name__ == "__main__":
    sys.exit(job_main())
