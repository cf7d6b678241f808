"""Commands that change and list galleries: checked, allowed or refused, and run on the store."""

from __future__ import annotations

import hmac
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from toonface_contract.admin import (
    READ_ONLY,
    Add,
    Build,
    Change,
    Command,
    Drop,
    Faces,
    Galleries,
    ListFaces,
    ListGalleries,
    Remove,
)
from toonface_contract.errors import ConfigError, InvalidRequest, PermissionDenied
from toonface_contract.names import DEFAULT_GALLERY, TOKEN_HEADER
from toonface_gallery.embeddings import unit_rows
from toonface_gallery.store import GalleryStore

_COMMANDS: TypeAdapter[Command] = TypeAdapter(Command)

# Wrong fields that one error names, and characters of a wrong value that it repeats.
_NAMED: Final = 3
_SHOWN: Final = 60


class GalleryAdmin:
    """Runs the commands of one server, whose embedder is the only one that its enrolments may come from."""

    def __init__(self, store: GalleryStore, embedder: str, dimension: int, admin_token: str | None) -> None:
        """Serve one store.

        Args:
            store: remains the caller's to close.
            embedder: digest of the model that makes the embeddings.
            dimension: their length.
            admin_token: what commands that change something must show; with None they need nothing, which is for
                servers that only their own host can reach.

        Raises:
            ConfigError: the token is empty.
        """
        if admin_token is not None and not admin_token.strip():
            raise ConfigError("the admin token is empty; give one of at least one character, or none at all")
        self._store = store
        self._embedder = embedder
        self._dimension = dimension
        self._admin_token = admin_token

    def handle(self, command_json: str, embeddings: NDArray[np.float32] | None, token: str | None) -> str:
        """Run one command.

        Args:
            command_json: a command of `toonface_contract.admin`, as JSON.
            embeddings: FP32 [N,D] for `build` and `add`, a row for each face; None for all others. They need not be
                of unit length.
            token: value of the header `authorization`, ``Bearer <token>``, or None where there was none.

        Returns:
            The command's answer as JSON: Change, Galleries or Faces of `toonface_contract.admin`.

        Raises:
            InvalidRequest: `invalid_command`, `invalid_embedding` or `embedder_mismatch`.
            PermissionDenied: the command changes something, and the token is missing or wrong.
            NotFound: `gallery_not_found` or `not_found`.
            AlreadyExists: `gallery_exists`.
            Unavailable: `store_unavailable`.
        """
        command = _parse(command_json)
        if not isinstance(command, READ_ONLY):
            self._check_token(command.op, token)
        if embeddings is not None and not isinstance(command, Build | Add):
            raise InvalidRequest(
                f"the command {command.op!r} takes no embeddings; 'build' and 'add' do", code="invalid_embedding"
            )
        return self._run(command, embeddings).model_dump_json()

    def _run(self, command: Command, embeddings: NDArray[np.float32] | None) -> Change | Galleries | Faces:
        match command:
            case Build():
                rows = self._rows(command, embeddings)
                return self._store.build(command.gallery, command.faces, rows, self._embedder, replace=command.replace)
            case Add():
                rows = self._rows(command, embeddings)
                return self._store.add(command.gallery, command.faces, rows, self._embedder)
            case Remove():
                return self._store.remove(command.gallery, ids=command.ids, labels=command.labels)
            case Drop():
                if command.gallery == DEFAULT_GALLERY:
                    raise InvalidRequest(
                        f"the gallery {DEFAULT_GALLERY!r} always exists and cannot be dropped; to empty it, build it "
                        "of no faces with replace",
                        code="invalid_command",
                    )
                return self._store.drop(command.gallery)
            case ListGalleries():
                return Galleries(galleries=self._store.galleries())
            case ListFaces():
                return self._store.page(
                    command.gallery, after_id=command.after_id, limit=command.limit, label=command.label
                )

    def _rows(self, command: Build | Add, embeddings: NDArray[np.float32] | None) -> NDArray[np.float32]:
        given = np.empty((0, self._dimension), np.float32) if embeddings is None else embeddings
        return unit_rows(given, len(command.faces), self._dimension)

    def _check_token(self, op: str, token: str | None) -> None:
        if self._admin_token is None:
            return
        if token is None:
            raise PermissionDenied(
                f"the command {op!r} changes a gallery and needs the admin token: "
                f"send the header '{TOKEN_HEADER}: Bearer <token>'"
            )
        scheme, _, given = token.partition(" ")
        # In constant time, or the time would tell how many of the first characters are right.
        right = hmac.compare_digest(given.strip().encode(errors="surrogatepass"), self._admin_token.encode())
        if scheme.lower() != "bearer" or not right:
            raise PermissionDenied(
                f"the command {op!r} needs the admin token, and the one given is not right; "
                f"the header is '{TOKEN_HEADER}: Bearer <token>'"
            )


def _parse(command_json: str) -> Command:
    try:
        # Strict: without it, JSON's true would pass as the id 1, and "1" too.
        return _COMMANDS.validate_json(command_json, strict=True)
    except ValidationError as error:
        problems = [_problem(details) for details in error.errors(include_url=False)]
        more = f"; and {len(problems) - _NAMED} more" * (len(problems) > _NAMED)
        raise InvalidRequest(f"{'; '.join(problems[:_NAMED])}{more}", code="invalid_command") from None


def _problem(details: Any) -> str:
    """One of pydantic's findings in a sentence: the field, what it must be, and its value."""
    # The first step of a path is the command's op, where that was understood.
    field = ".".join(map(str, details["loc"])) or "the command"
    text = f"{field}: {details['msg'].removeprefix('Value error, ')}"
    readable = details["loc"] and isinstance(details["input"], str | int | float)
    if not readable or details["type"] == "extra_forbidden":
        return text  # what has no business here may be a secret, and a whole command may hold one
    shown = repr(details["input"])
    return f"{text}, and it is {shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '...'}"
