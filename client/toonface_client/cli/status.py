"""The command `toonface status`."""

from __future__ import annotations

import click
from rich.table import Table

from toonface_client.cli.options import json_option, tables, with_client, write_json
from toonface_client.client import ToonfaceClient
from toonface_client.status import ServerStatus


@click.command()
@json_option
@with_client
def status(client: ToonfaceClient, as_json: bool) -> None:
    """Say how a server is.

    Recognises a blank picture, since Triton calls itself ready even when a stage has died. Ends with 1 when the server
    is not healthy.

    \b
    Examples:
      toonface status
      toonface status --address 10.0.0.7:8001 --json
    """
    found = client.status()
    if as_json:
        write_json(found.as_dict())
    else:
        _show(found)
    if not found.healthy:
        click.get_current_context().exit(1)


def _show(status: ServerStatus) -> None:
    health = "healthy" if status.healthy else "NOT healthy"
    click.echo(f"{status.address}: {health}, tritonserver {status.version}, round trip {status.round_trip_ms:.1f} ms")
    if status.recognition_error is not None:
        click.echo(f"recognition fails: {status.recognition_error.to_wire()}")
    else:
        click.echo(f"recognised a blank picture in {status.recognition_ms:.0f} ms")
    table = Table("model", "version", "answered", "failed")
    for model in status.models:
        table.add_row(model.name, model.version, str(model.answered), str(model.failed))
    tables().print(table)
