"""The job of gold/alerts on its own, where `sluice dispatch --no-log` leaves it to another process."""

from __future__ import annotations

import os
import signal
import threading

from sluice.alerting.alert_log import AlertLog, open_log_reader
from sluice.pipelines.driver import start_logging
from sluice.pipelines.start import find_broker
from sluice.settings import Settings
from sluice.tables.lake import Lake

_LOOK_SECONDS = 1.0


def run_alert_log(settings: Settings, *, once: bool) -> None:
    """Brings gold/alerts up to date until it is stopped; `once` with what is there now.

    Raises:
        BrokerDown, TopicMissing, SettingsInvalid: it cannot begin.
        LayerLocked: another process writes the table.
    """
    lake = Lake(settings.lake.path)
    lake.prepare()
    with open_log_reader(settings, find_broker(settings)) as reader:
        ends = reader.ends()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        # spark-submit that is ended does not end the Python it has started.
        threading.Thread(target=_stop_with, args=(os.getppid(), stop), daemon=True).start()
    log = AlertLog(settings, lake, lambda: open_log_reader(settings, find_broker(settings)), stop)
    log.run((lambda: ends) if once else (lambda: None), must_own=True)


def _stop_with(parent: int, stop: threading.Event) -> None:
    while os.getppid() == parent and not stop.wait(_LOOK_SECONDS):
        pass
    stop.set()


def job_main() -> int:
    """Entry point of jobs/alert_log.py.

    Returns:
        The exit code: 0 when done or stopped, else that of the error, which is printed in one line.
    """
    import argparse
    from pathlib import Path

    from sluice.errors import SluiceError, naming_full_disk, print_error
    from sluice.settings import load_settings

    parser = argparse.ArgumentParser(description="The job of gold/alerts.")
    parser.add_argument("--once", action="store_true", help="write what is there, then exit")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file over conf/base.yaml")
    arguments = parser.parse_args()
    start_logging()
    try:
        with naming_full_disk():
            run_alert_log(load_settings(arguments.config), once=arguments.once)
    except SluiceError as error:
        print_error(error)
        return error.exit_code
    return 0
