"""The command line: puts the commands together and turns errors into one clear line and an exit code."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from sluice.commands import alert_views as _alert_views  # noqa: F401 (adds to the commands of alerts)
from sluice.commands import (
    alerts,
    audit,
    broker,
    dashboard,
    demo,
    dispatch,
    docs,
    doctor,
    export,
    gate,
    generate,
    importing,
    maintain,
    publish,
    quarantine,
    query,
    recover,
    replay,
    report,
    run,
    serve,
    status,
    trace,
)
from sluice.commands import gate_check as _gate_check  # noqa: F401 (adds to the commands of gate)
from sluice.commands import gate_decisions as _gate_decisions  # noqa: F401 (as well)
from sluice.commands import quarantine_decisions as _quarantine_decisions  # noqa: F401 (those of quarantine)
from sluice.commands.context import Invocation
from sluice.errors import EXIT_DONE, EXIT_USAGE, SluiceError, naming_full_disk, print_error

app = typer.Typer(
    name="sluice",
    help="A streaming lakehouse for device telemetry whose books balance.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# Options that may stand anywhere on the command line.
_GLOBAL_OPTIONS = ("--config", "--set")


@app.callback()
def _globals(
    ctx: typer.Context,
    config: Annotated[Path | None, typer.Option(help="YAML file over conf/base.yaml.", metavar="FILE")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="One setting; may be repeated.", metavar="SECTION.KEY=VALUE")
    ] = None,
) -> None:
    ctx.obj = Invocation(config, assignments or [])


for module in (
    broker,
    status,
    generate,
    importing,
    run,
    audit,
    query,
    report,
    trace,
    gate,
    alerts,
    quarantine,
    docs,
    serve,
    demo,
    doctor,
    recover,
    maintain,
    replay,
    publish,
    export,
    dashboard,
    alerts,
    dispatch,
):
    module.register(app)


def hoist_global_options(arguments: list[str]) -> list[str]:
    """The arguments with --config and --set moved in front of the command's name."""
    hoisted: list[str] = []
    rest: list[str] = []
    pending = list(arguments)
    while pending:
        argument = pending.pop(0)
        if argument == "--":
            return [*hoisted, *rest, argument, *pending]
        if argument in _GLOBAL_OPTIONS and pending:
            hoisted += [argument, pending.pop(0)]
        elif argument.startswith(tuple(f"{name}=" for name in _GLOBAL_OPTIONS)):
            hoisted.append(argument)
        else:
            rest.append(argument)
    return [*hoisted, *rest]


def main() -> None:
    """Entry point of the console script `sluice`; always leaves by sys.exit."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Carries out one command line.

    Returns:
        0 done, 1 the data or the service is not all right, 2 usage or settings, 3 a dependency is missing.
    """
    try:
        with naming_full_disk():
            result = app(hoist_global_options(arguments), standalone_mode=False)
            sys.stdout.flush()
    except SluiceError as error:
        print_error(error)
        return error.exit_code
    except typer.Exit as stop:
        return stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        typer.echo("stopped", err=True)
        return EXIT_DONE
    except (BrokenPipeError, SystemExit) as stop:
        # Typer and Rich turn the first into the second.
        if not isinstance(stop, BrokenPipeError) and not isinstance(stop.__context__, BrokenPipeError):
            raise
        _forget_output()
        return EXIT_DONE
    except Exception as error:
        if shown := getattr(error, "show", None):
            shown()
            return int(getattr(error, "exit_code", EXIT_USAGE))
        raise
    return result if isinstance(result, int) else EXIT_DONE


def _forget_output() -> None:
    """Once its reader has gone (`sluice query … | head`), what is still buffered must not fail again at the exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
