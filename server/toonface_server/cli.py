"""The command `toonface serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from toonface_contract.errors import ConfigError, ToonfaceError
from toonface_contract.names import ACCESS_FILE_ENV, ADMIN_TOKEN_ENV, GALLERY_URL_ENV
from toonface_server.events import Reporter
from toonface_server.options import ServeOptions
from toonface_server.server import serve as run

_PORT = click.IntRange(0, 65535)
_SECONDS = click.FloatRange(min=0, min_open=True)


@click.command(context_settings={"show_default": True})
@click.option(
    "--repository",
    type=click.Path(path_type=Path),
    required=True,
    help="Model repository that `toonface export` wrote.",
)
@click.option(
    "--host", default="127.0.0.1", help="IPv4 address to listen on; others than loopback need an admin token."
)
@click.option("--grpc-port", type=_PORT, default=8001, help="Port of the gRPC protocol; 0 takes a free one.")
@click.option("--http-port", type=_PORT, default=8000, help="Port of the HTTP protocol; 0 takes a free one.")
@click.option("--metrics-port", type=_PORT, default=8002, help="Port of the Prometheus metrics; 0 takes a free one.")
@click.option(
    "--gallery-store",
    envvar=GALLERY_URL_ENV,
    default="",
    show_default="gallery.sqlite3 beside the repository",
    show_envvar=True,
    help="SQLAlchemy URL of the gallery database.",
)
@click.option(
    "--admin-token-file",
    type=click.Path(path_type=Path),
    show_default=f"the token in ${ADMIN_TOKEN_ENV}, or none",
    help="File with the token that changes of a gallery must carry.",
)
@click.option(
    "--access-file",
    type=click.Path(path_type=Path),
    envvar=ACCESS_FILE_ENV,
    show_default="everybody may read all galleries",
    show_envvar=True,
    help="TOML file of read tokens, by gallery; needs an admin token.",
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path),
    help="Written, with the addresses as JSON, while the server is ready.",
)
@click.option("--start-seconds", type=_SECONDS, default=300.0, help="Time to load the models and answer once.")
@click.option("--canary-seconds", type=_SECONDS, default=5.0, help="Pause between two canary requests.")
@click.option("--hang-seconds", type=_SECONDS, default=30.0, help="A stage that is silent for so long is restarted.")
@click.option(
    "--drain-seconds",
    type=click.FloatRange(min=0),
    default=30.0,
    help="Time for accepted requests to finish after SIGTERM.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object for each event to stdout.")
@click.option("--verbose", is_flag=True, help="Pass on tritonserver's whole log.")
def serve(admin_token_file: Path | None, as_json: bool, **given: Any) -> None:
    """Serve an exported repository with NVIDIA's tritonserver.

    Runs the tritonserver that $TOONFACE_TRITONSERVER names, that of NVIDIA's container, or the one in the package
    nvidia-pytriton. It counts as ready when a picture was recognised. A stage whose process dies or hangs is repaired
    while the others go on. SIGTERM or Ctrl-C drains: accepted requests finish, new ones are refused; a second signal
    hurries.

    \b
    Examples:
      toonface serve --repository build/repository
      toonface serve --repository build/repository --grpc-port 0 --ready-file /run/toonface.json
      toonface serve --repository /models --host 0.0.0.0 --admin-token-file /run/secrets/admin-token

    Ends with 0 after a drain, and with 1 when the server cannot start or has stopped working.
    """
    reporter = Reporter(as_json=as_json, verbose=given["verbose"])
    try:
        run(ServeOptions(admin_token=_read_token(admin_token_file), **given), reporter)
    except ToonfaceError as error:
        reporter.event("failed", error.message, level="error", code=error.code)
        raise click.exceptions.Exit(1) from error


def _read_token(file: Path | None) -> str:
    if file is None:
        return os.environ.get(ADMIN_TOKEN_ENV, "")
    try:
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--admin-token-file {file} cannot be read: {error}") from error
    if not token:
        raise ConfigError(f"--admin-token-file {file} is empty; write the token into it")
    return token
