"""What the subcommands share: how to reach the server, and what goes to the terminal."""

from __future__ import annotations

import functools
import json
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from toonface_client.client import DEFAULT_CONCURRENCY, DEFAULT_TIMEOUT, ToonfaceClient
from toonface_client.connection import DEFAULT_ADDRESS, Tls, find_token
from toonface_contract.errors import ConfigError, ToonfaceError
from toonface_contract.names import ADMIN_TOKEN_ENV, TOKEN_ENV

R = TypeVar("R")
Command: TypeAlias = Callable[..., R]
_Option: TypeAlias = Callable[[Callable[..., R]], Callable[..., R]]

# Columns of a table that is piped into a file or another program; a terminal tells its own.
_PIPED_WIDTH = 160

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_CONNECTION = (
    click.option(
        "--address",
        envvar="TOONFACE_ADDRESS",
        default=DEFAULT_ADDRESS,
        show_default=True,
        show_envvar=True,
        metavar="HOST:PORT",
        help="The server's gRPC endpoint.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=DEFAULT_TIMEOUT,
        show_default=True,
        help="Seconds for each picture or other call, retries included.",
    ),
)

_TLS = (
    click.option("--tls", is_flag=True, help="Encrypt the connection, and trust the system's certificates."),
    click.option("--tls-root", type=_FILE, help="Encrypt the connection, and trust the certificates in this PEM file."),
    click.option("--tls-key", type=_FILE, help="Client's private key, for servers that ask for one (PEM)."),
    click.option("--tls-cert", type=_FILE, help="Client's certificate chain, with --tls-key (PEM)."),
)

_TOKEN = click.option(
    "--token-file",
    type=_FILE,
    show_default=f"the token in ${TOKEN_ENV} or ${ADMIN_TOKEN_ENV}, or none",
    help="File with a token that may read the gallery, for one that is not open to everybody.",
)

_ADMIN_TOKEN = click.option(
    "--token-file",
    type=_FILE,
    show_default=f"the token in ${ADMIN_TOKEN_ENV}, or none",
    help="File with the admin token, for a server that asks for one.",
)

concurrency_option = click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=DEFAULT_CONCURRENCY,
    show_default=True,
    help="Pictures to send at once.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Write one JSON document, for programs.")


dry_run_option = click.option("--dry-run", is_flag=True, help="Check and report, and change nothing.")


def with_client(command: Command[R]) -> Command[R]:
    """Adds the connection's options to a command, and gives it a `client`, closed when the command ends."""
    return _with_options(command, _TOKEN, (TOKEN_ENV, ADMIN_TOKEN_ENV))


def with_admin_client(command: Command[R]) -> Command[R]:
    """`with_client`, with the admin token."""
    return _with_options(command, _ADMIN_TOKEN, (ADMIN_TOKEN_ENV,))


def with_tls(command: Command[R]) -> Command[R]:
    """Adds the options of an encrypted connection to a command, and gives it a `tls`: None where none is given."""

    @functools.wraps(command)
    def wrapper(
        *, tls: bool, tls_root: Path | None, tls_key: Path | None, tls_cert: Path | None, **arguments: Any
    ) -> R:
        encrypted = tls or tls_root or tls_key or tls_cert
        return command(tls=Tls(tls_root, tls_key, tls_cert) if encrypted else None, **arguments)

    return _with(wrapper, _TLS)


def _with_options(command: Command[R], token: _Option[R], variables: Sequence[str]) -> Command[R]:
    @functools.wraps(command)
    def wrapper(*, address: str, timeout: float, tls: Tls | None, token_file: Path | None, **arguments: Any) -> R:
        client = ToonfaceClient(address, timeout=timeout, tls=tls, token=find_token(token_file, *variables))
        return command(client=click.get_current_context().with_resource(client), **arguments)

    return _with(with_tls(token(wrapper)), _CONNECTION)


def _with(command: Command[R], options: Sequence[_Option[R]]) -> Command[R]:
    for option in reversed(options):
        command = option(command)
    return command


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Says which extra brings a package that is not installed.

    Raises:
        ConfigError: a package is not there.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"this needs {error.name}, which is not installed: pip install 'toonface[{extra}]'"
        ) from error


def tables() -> Console:
    """Where tables go: standard output. Text comes out as it is, also what rich would take for markup."""
    plain = functools.partial(Console, highlight=False, markup=False, emoji=False)
    console = plain()
    return console if console.is_terminal else plain(width=_PIPED_WIDTH)


def progress(*, shown: bool = True) -> Progress:
    """A progress bar on standard error; nothing where that is no terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not shown or not console.is_terminal,
    )


def write_json(document: Any) -> None:
    """Writes one JSON document to standard output."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def write_error(error: ToonfaceError, subject: str) -> None:
    """Writes what went wrong with one picture to standard error, in one line."""
    click.echo(f"error: {error.code}: {subject}: {' '.join(error.message.split())}", err=True)


def counted(number: int, noun: str) -> str:
    """`no faces`, `1 face`, `2 faces`."""
    return f"1 {noun}" if number == 1 else f"{number or 'no'} {noun}s"


def printable(text: str) -> str:
    """Text from elsewhere for a terminal: control characters, which a terminal would obey, become escapes."""
    return "".join(
        character if unicodedata.category(character) != "Cc" else f"\\x{ord(character):02x}" for character in text
    )
