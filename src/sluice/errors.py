"""Every error a user can meet: a fact, what to do next, and the exit code of the command.

A message says what happened and where; ``hint`` says what to type or edit. Both are printed without a stack trace.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_DONE = 0
EXIT_NOT_ALL_RIGHT = 1
EXIT_USAGE = 2
EXIT_DEPENDENCY = 3
_FULL = (errno.ENOSPC, errno.EDQUOT)


class SluiceError(Exception):
    """Root of all errors meant for people.

    Args:
        message: what happened and where, one line.
        hint: what to do next, one line; empty when there is nothing to add.
    """

    exit_code = EXIT_NOT_ALL_RIGHT

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def in_one_line(self) -> str:
        """What happened and what to do next, for an answer or a table."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


def print_error(error: SluiceError, program: str = "sluice") -> None:
    """One line for what happened, one for what to do next, on standard error."""
    sys.stderr.write(f"{program}: {error.message}\n" + (f"  next: {error.hint}\n" if error.hint else ""))


class UsageError(SluiceError):
    """Wrong usage, settings, contract, registry or suite (exit 2)."""

    exit_code = EXIT_USAGE


class DependencyError(SluiceError):
    """Something the command needs is missing, down or owned by someone else (exit 3)."""

    exit_code = EXIT_DEPENDENCY


class SettingsInvalid(UsageError):
    """A settings file, environment variable or option is wrong."""


class YamlInvalid(UsageError):
    """A YAML file cannot be read, or breaks a limit."""


class ContractInvalid(UsageError):
    """conf/contract.yaml does not describe versions that can be applied."""


class RegistryInvalid(UsageError):
    """conf/devices.yaml does not describe devices that can be applied."""


class AlertRulesInvalid(UsageError):
    """conf/alerts.yaml, or what it names, is not as it must be."""


class RealTimeUnavailable(DependencyError):
    """Spark does not run the alert query in real-time mode here."""


class SignalInvalid(SluiceError):
    """A message in the topic of alerts is neither a signal nor an acknowledgement, or cannot be applied."""


class SecretMissing(UsageError):
    """A secret is not where the settings say, or others can read it."""


class TargetRefused(SluiceError):
    """What a channel would send to is an address that it must not."""


class AlertUnknown(SluiceError):
    """There is no such alert, or none that can be acknowledged."""


class DeadLettersBusy(SluiceError):
    """What could not be delivered is being delivered again by another process."""


class SuiteInvalid(UsageError):
    """A file under expectations/ is not a suite that can be applied whole."""


class InputInvalid(UsageError):
    """A file given to import, or an option that describes it, cannot be used."""


class QueryInvalid(UsageError):
    """A query is unknown, lacks a parameter, or is not valid read-only SQL."""


class OutputInvalid(UsageError):
    """A file that an answer is to be written to has a name or a place that cannot be used."""


class KeysInvalid(UsageError):
    """The file of API keys cannot be used, or a key asked for is not in it."""


class TargetInvalid(UsageError):
    """What to trace is not written in a way that can be looked for."""


class LakeTooNew(UsageError):
    """The lake was written by a newer version of Sluice."""


class LakeMissing(DependencyError):
    """There is no lake, or not yet the table asked for, at the given path."""


class BooksUnreadable(SluiceError):
    """The books cannot be checked: a table or a file of it cannot be read (exit 2)."""

    exit_code = EXIT_USAGE


class JavaMissing(DependencyError):
    """Java is absent or not of a version that Spark runs on."""


class JarsMissing(DependencyError):
    """The JVM jars have not been fetched, or not those of this version."""


class AddressTaken(DependencyError):
    """A server cannot listen where it is told to."""


class SparkNotStarted(DependencyError):
    """Spark does not start: its master does not answer, its memory is not to be had, or its Java options are wrong."""


class BrokerDown(DependencyError):
    """No Kafka broker answers at the configured address."""


class BrokerFailed(DependencyError):
    """The embedded broker cannot be started or stopped."""


class TopicMissing(DependencyError):
    """The configured topic does not exist on the broker."""


class DiskFull(DependencyError):
    """There is no space left for what has to be written.

    Args:
        what: that stopped, or could not be written.
    """

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: no space left on the disk", "free some space and type the same again; it goes on where it was"
        )

    @classmethod
    def of(cls, error: OSError) -> DiskFull | None:
        """What an error of the system says about a full disk; None for any other."""
        return cls(f"{error.filename or 'writing'}") if error.errno in _FULL else None


@contextmanager
def naming_full_disk() -> Iterator[None]:
    """Turns the system's errors about a full disk into DiskFull; others pass.

    Raises:
        DiskFull: there was no space left.
    """
    try:
        yield
    except OSError as error:
        full = DiskFull.of(error)
        if full is None:
            raise
        raise full from error


class StoreDown(DependencyError):
    """The database that is published to cannot be reached, or gave up in the middle."""


class StoreLocked(DependencyError):
    """Another process publishes or exports to the same place."""


class StoreRefused(SluiceError):
    """The database that is published to holds something else, or refuses what is asked of it."""


class DsnInvalid(UsageError):
    """What says where the database is cannot be used; it is not shown, as it may hold a password."""


class ExportInvalid(UsageError):
    """What to export, or what to verify, cannot be used as it is given."""


class TopicUnsuited(DependencyError):
    """A topic that Sluice needs for itself is there, and keeps its records otherwise than it must."""


class DispatcherReplaced(DependencyError):
    """Another dispatcher has taken over the work of this one."""


class LayerLocked(DependencyError):
    """Another process owns the layer."""


class BreakerOpen(SluiceError):
    """A gate held batch after batch and lets none come for a while."""


class RequestUnanswered(SluiceError):
    """The owner of a layer has not answered a request in time."""


class GateBroken(SluiceError):
    """A gate could not decide, and so does not promote."""


class CheckpointLost(SluiceError):
    """A checkpoint, or the part of it that ties it to its tables, is gone."""


class CheckpointDamaged(SluiceError):
    """A file of a checkpoint is missing, cut off or changed, or is not what the tables tell."""


class TopicReplaced(SluiceError):
    """The topic is not the one that bronze has read so far."""


class RecordsLost(SluiceError):
    """Records went out of the topic before bronze had read them."""


class StreamFailed(SluiceError):
    """A streaming query stopped with an error that is not the data's."""


class EventUnknown(SluiceError):
    """No table of the lake knows the event or record asked for."""


class NothingToReport(SluiceError):
    """There is nothing of the day or the customer that a report is asked for."""


class PromotionUnknown(SluiceError):
    """No ledger of the lake has the promotion asked for."""
