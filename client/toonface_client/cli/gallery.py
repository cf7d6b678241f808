"""The group of the commands `toonface gallery ...`."""

from __future__ import annotations

import click

from toonface_client.cli.gallery_calibrate import calibrate
from toonface_client.cli.gallery_change import configure, drop, remove, rename, update
from toonface_client.cli.gallery_enrol import add, build
from toonface_client.cli.gallery_files import export, import_
from toonface_client.cli.gallery_reembed import re_embed
from toonface_client.cli.gallery_show import list_, show, stats
from toonface_client.cli.gallery_verify import verify


@click.group()
def gallery() -> None:
    """Change, list and check the galleries of enrolled faces.

    Changes are searchable within a second; no model is reloaded. Commands that change something take --dry-run, and
    the admin token where the server asks for one.

    \b
    Examples:
      toonface gallery build friends friends/gallery.txt
      toonface gallery add friends new.jpg --label Joey
      toonface gallery list friends
      toonface gallery remove friends --label Gunther
      toonface gallery export friends friends.parquet
      toonface gallery calibrate friends --far 0.001
    """


for _command in (
    build,
    add,
    remove,
    update,
    list_,
    show,
    stats,
    export,
    import_,
    configure,
    rename,
    drop,
    re_embed,
    calibrate,
    verify,
):
    gallery.add_command(_command)
