"""Gold's minutes, latest readings and devices to PostgreSQL or SQLite, once or again and again; it starts no Spark.

From the project's folder, after `make setup`:

    .venv/bin/python jobs/publish.py --every 10

`--config FILE` lies over conf/base.yaml. The DSN of PostgreSQL stands in SLUICE_PUBLISH_DSN or in the file that
publish.dsn_path names, never among the arguments; without one the rows go to the SQLite file publish.path.
"""

import sys

from sluice.pipelines.publish import job_main

if __name__ == "__main__":
    sys.exit(job_main())
