"""How to reach a server: address, TLS, headers and a token."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toonface_contract.errors import ConfigError
from toonface_contract.names import TOKEN_HEADER

DEFAULT_ADDRESS = "127.0.0.1:8001"

_ADDRESS = re.compile(r"(dns:(///?)?)?(\[[0-9a-fA-F:.]+\]|[^:/\s]+):\d{1,5}|unix:.+")
_HEADER = re.compile(r"[a-z0-9_.-]+")

# Setting any channel argument replaces tritonclient's own, so its limit on message sizes is repeated here. gRPC would
# let up to two minutes pass before it looks for a lost server again; one that restarts is back in seconds.
_CHANNEL_ARGUMENTS = [
    ("grpc.max_send_message_length", 2**31 - 1),
    ("grpc.max_receive_message_length", 2**31 - 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # Notices a peer that vanished without a word; servers take more frequent pings for an attack.
    ("grpc.keepalive_time_ms", 300_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]


@dataclass(frozen=True, slots=True)
class Tls:
    """Encryption of the connection. PEM files.

    Attributes:
        root_certificates: whom to trust; the system's certificates where it is None.
        private_key: the client's own, for servers that ask for one; with `certificate_chain`.
        certificate_chain: the client's own.
    """

    root_certificates: str | os.PathLike[str] | None = None
    private_key: str | os.PathLike[str] | None = None
    certificate_chain: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if (self.private_key is None) != (self.certificate_chain is None):
            raise ConfigError("a client's private_key and certificate_chain come together; one of them is missing")
        for name in ("root_certificates", "private_key", "certificate_chain"):
            path = getattr(self, name)
            if path is not None and not os.access(path, os.R_OK):
                raise ConfigError(f"{name} is {os.fspath(path)!r}, which is not a file that can be read")


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the server is and what to show it. Headers and token stay out of `repr`, and so out of logs.

    Attributes:
        address: `host:port` of the server's gRPC endpoint, `[ipv6]:port`, or `unix:/path`.
        tls: encryption; none where it is None.
        headers: sent with every call, such as a gateway asks for.
        token: the admin token, or a gallery's read token, sent as `authorization: Bearer <token>` with every call to a
            model. Without TLS it crosses the network readably.
    """

    address: str = DEFAULT_ADDRESS
    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.address):
            raise ConfigError(
                f"address is {self.address!r}; it must be host:port, as in {DEFAULT_ADDRESS}, with no http:// before it"
            )
        for name, value in self.headers.items():
            if not _HEADER.fullmatch(name.lower()) or not _printable(value):
                raise ConfigError(
                    f"header {name!r} cannot be sent: its name or its value has characters that HTTP forbids"
                )
        if self.token is not None and (not self.token or not _printable(self.token)):
            raise ConfigError("the token is empty, or has spaces at its ends or characters that HTTP forbids")
        if self.token is not None and TOKEN_HEADER in map(str.lower, self.headers):
            raise ConfigError(f"give a token or the header {TOKEN_HEADER!r}, not both")

    def client_arguments(self) -> dict[str, Any]:
        """Arguments for tritonclient's `InferenceServerClient`."""
        arguments: dict[str, Any] = {"url": self.address, "channel_args": _CHANNEL_ARGUMENTS}
        if self.tls is not None:
            arguments |= {
                "ssl": True,
                "root_certificates": self.tls.root_certificates,
                "private_key": self.tls.private_key,
                "certificate_chain": self.tls.certificate_chain,
            }
        return arguments

    def headers_for(self, *, model: bool) -> dict[str, str]:
        """Headers of one call; with the token where the call is to a model."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        if model and self.token is not None:
            headers[TOKEN_HEADER] = f"Bearer {self.token}"
        return headers


def find_token(path: Path | None, *variables: str) -> str | None:
    """The token in a file, without the line end; without a file, the first that these environment variables hold.

    Raises:
        ConfigError: the file cannot be read.
    """
    if path is None:
        return next((value for name in variables if (value := os.environ.get(name))), None)
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the token from {str(path)!r}: {error}") from error


def _printable(value: str) -> bool:
    return value.isascii() and value.isprintable() and value == value.strip()
