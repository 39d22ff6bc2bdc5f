"""silver/readings to gold: 1-minute aggregates and latest readings.

From the project's folder, after `make setup`:

    PYSPARK_PYTHON=.venv/bin/python .venv/bin/spark-submit --properties-file conf/spark-defaults.conf jobs/gold.py

`--once` drains what is there and exits; `--config FILE` lies over conf/base.yaml.
One process per layer; it owns the layer (a second one exits 3) and goes on where it was after any stop.
Settings come from conf/base.yaml, --config FILE and SLUICE_SECTION__KEY, as everywhere.
"""

import sys

from sluice.pipelines.start import job_main

if __name__ == "__main__":
    sys.exit(job_main("gold"))
