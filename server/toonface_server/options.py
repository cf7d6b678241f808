"""What a server is started with."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class ServeOptions(BaseModel):
    """Options of `toonface serve`, as given, before anything was looked at.

    Attributes:
        repository: folder that `toonface export` wrote.
        host: IPv4 address (or `localhost`) to listen on.
        grpc_port, http_port, metrics_port: 0 to 65535; 0 takes a free one.
        gallery_store: SQLAlchemy URL; empty for a SQLite file beside the repository.
        admin_token: what gallery changes must carry; empty for none.
        access_file: TOML file of who may read which gallery; None lets everybody read all of them.
        ready_file: where the addresses are written, as JSON, while the server is ready.
        start_seconds: how long the models may take to load, until the first right answer.
        canary_seconds: pause between two canary requests.
        hang_seconds: a stage that finishes nothing for so long, with a request waiting, hangs.
        drain_seconds: how long accepted requests may take to finish after SIGTERM.
        verbose: pass on every line that tritonserver logs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    repository: Path
    host: str = "127.0.0.1"
    grpc_port: int = Field(default=8001, ge=0, le=65535)
    http_port: int = Field(default=8000, ge=0, le=65535)
    metrics_port: int = Field(default=8002, ge=0, le=65535)
    gallery_store: str = ""
    admin_token: str = Field(default="", repr=False)
    access_file: Path | None = None
    ready_file: Path | None = None
    start_seconds: float = Field(default=300, gt=0)
    canary_seconds: float = Field(default=5, gt=0)
    hang_seconds: float = Field(default=30, gt=0)
    drain_seconds: float = Field(default=30, ge=0)
    verbose: bool = False

    @property
    def gallery_url(self) -> str:
        """The gallery store's URL; by default a file beside the repository, whose folder an export replaces."""
        return self.gallery_store or f"sqlite:///{self.repository.absolute().parent / 'gallery.sqlite3'}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host == "localhost" or ipaddress.IPv4Address(self.host).is_loopback
