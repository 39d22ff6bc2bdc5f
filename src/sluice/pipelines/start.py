"""From settings to running layers, for the command line and the jobs: finds the broker, checks the topic."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sluice.embedded.broker import running_broker
from sluice.errors import SluiceError, naming_full_disk, print_error
from sluice.pipelines.driver import order_layers, run_layers, start_logging
from sluice.settings import Settings, load_settings
from sluice.sources.kafka import require_topic, resolve_bootstrap


def run_from_settings(settings: Settings, layers: Sequence[str], *, once: bool) -> None:
    """Runs the layers as `run_layers` does.

    Raises:
        JavaMissing: no Java that Spark runs on.
        BrokerDown, TopicMissing: bronze is among the layers and cannot read its topic.
    """
    start_logging()
    wanted = order_layers([layer.strip() for layer in layers])
    bootstrap_servers = find_topic(settings) if "bronze" in wanted else None
    run_layers(settings, wanted, bootstrap_servers, once=once)


def find_broker(settings: Settings) -> str:
    """The address in kafka.bootstrap_servers, else that of the embedded broker, if it is up; asks neither.

    Raises:
        BrokerDown: there is neither.
    """
    embedded = None if settings.kafka.bootstrap_servers else running_broker(settings.broker.data_path)
    return resolve_bootstrap(settings, embedded.bootstrap_servers if embedded else None)


def find_topic(settings: Settings) -> str:
    """The broker's address, once it is sure that the topic is there.

    Raises:
        BrokerDown, TopicMissing: as it says.
    """
    bootstrap_servers = find_broker(settings)
    require_topic(bootstrap_servers, settings.kafka.topic, settings.kafka.options)
    return bootstrap_servers


def job_main(layer: str) -> int:
    """Entry point of a spark-submit job of one layer.

    Returns:
        The exit code: 0 when drained or stopped, else that of the error, which is printed in one line.
    """
    parser = job_parser(f"The {layer} job.")
    parser.add_argument("--once", action="store_true", help="drain what is there, then exit")
    arguments = parser.parse_args()
    return run_job(arguments, {}, lambda settings: run_from_settings(settings, [layer], once=arguments.once))


def job_parser(description: str) -> argparse.ArgumentParser:
    """The options of every job."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file over conf/base.yaml")
    return parser


def run_job(arguments: argparse.Namespace, options: Mapping[str, object], work: Callable[[Settings], None]) -> int:
    """Carries out a job's work under the settings that its arguments name.

    Args:
        options: dotted keys to values that stand over all other settings; None values are left out.

    Returns:
        The exit code: 0, or that of the error, which is printed in one line.
    """
    try:
        with naming_full_disk():
            work(load_settings(arguments.config, options))
    except SluiceError as error:
        print_error(error)
        return error.exit_code
    return 0
