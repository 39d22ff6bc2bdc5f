"""`sluice serve`: the read-only REST API, and its keys."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated

import typer

from sluice.commands.context import invocation, print_json, print_table, say
from sluice.errors import SettingsInvalid

app = typer.Typer(name="serve", help="Serve the lake as a read-only REST API; needs neither Java nor a running job.")
keys = typer.Typer(name="keys", help="The API keys, in the file serve.keys_path.", no_args_is_help=True)
app.add_typer(keys)


def register(parent: typer.Typer) -> None:
    """Adds `sluice serve`."""
    parent.add_typer(app)


@app.callback(invoke_without_command=True)
def serve(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Default serve.host.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Default serve.port; 0: any free one.")] = None,
) -> None:
    """Serve the lake until Ctrl-C or SIGTERM."""
    if ctx.invoked_subcommand is not None:
        return
    settings = invocation(ctx).settings(serve__host=host, serve__port=port)
    _log_to_standard_error()
    from sluice.api.server import serve as run_server

    who = "whoever reaches it reads all" if settings.serve.keys_path is None else "with keys"
    run_server(
        settings.serve, settings.lake.path, lambda address: say(f"serving {settings.lake.path} at {address} ({who})")
    )


def _log_to_standard_error() -> None:
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("sluice.api")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


@keys.command("add")
def add(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="NAME", help="What the key is called in lists and logs.")],
    customer: Annotated[list[str], typer.Option(help="Whose rows it may see; may be repeated; '*' is all.")],
    days: Annotated[float | None, typer.Option(min=0.01, help="It expires after so many days; default: never.")] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Make a key and print it, this once: the file holds only its SHA-256."""
    from sluice.api.keys import add_key

    now = datetime.now(timezone.utc).replace(microsecond=0)
    token = add_key(_path(ctx), key_id, customer, _expiry(now, days), now)
    if as_json:
        print_json({"id": key_id, "key": token})
    else:
        typer.echo(token)
        say("keep it now: it is stored nowhere and cannot be shown again", err=True)


@keys.command("ls")
def list_keys(ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Show the keys' names, customers and ends."""
    from sluice.api.keys import EVERYTHING, read_keys
    from sluice.serving.values import plain

    now = datetime.now(timezone.utc)
    found = [
        {
            "id": key.key_id,
            "customers": [EVERYTHING] if key.customers is None else sorted(key.customers),
            "created_at": plain(key.created_at),
            "expires_at": plain(key.expires_at),
            "is_expired": key.is_expired(now),
        }
        for key in read_keys(_path(ctx))
    ]
    if as_json:
        print_json(found)
        return
    columns = ("id", "customers", "created_at", "expires_at", "is_expired")
    print_table(columns, [tuple(each.values()) for each in found])


@keys.command("revoke")
def revoke(ctx: typer.Context, key_id: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Take a key away; running servers refuse it from the next request on."""
    from sluice.api.keys import revoke_key

    revoke_key(_path(ctx), key_id)
    say(f"{key_id} is revoked")


def _path(ctx: typer.Context) -> Path:
    path = invocation(ctx).settings().serve.keys_path
    if path is None:
        raise SettingsInvalid(
            "serve.keys_path is not set", "e.g. --set serve.keys_path=var/api-keys.json, or SLUICE_SERVE__KEYS_PATH"
        )
    return path


def _expiry(now: datetime, days: float | None) -> datetime | None:
    try:
        return None if days is None else now + timedelta(days=days)
    except OverflowError:
        raise SettingsInvalid(f"--days {days:g} is beyond the year 9999", "leave it out for a key that stays") from None
