"""Commands that change and list galleries: checked, allowed or refused, and run on the store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, TypeAdapter, ValidationError

from toonface_contract.admin import (
    READ_ONLY,
    Add,
    Build,
    Change,
    Command,
    Configure,
    Drop,
    Galleries,
    GalleryStats,
    IndexSettings,
    ListFaces,
    ListGalleries,
    Remove,
    Rename,
    Stats,
    Update,
    UpdateLabel,
    Verify,
)
from toonface_contract.errors import InvalidRequest
from toonface_contract.names import DEFAULT_GALLERY
from toonface_gallery.access import Access
from toonface_gallery.embeddings import unit_rows
from toonface_gallery.store import GalleryStore

_COMMANDS: TypeAdapter[Command] = TypeAdapter(Command)

# Wrong fields that one error names, and characters of a wrong value that it repeats.
_NAMED: Final = 3
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """A command's answer: its JSON, and FP32 [N,D], the embeddings of the N faces in it where these were asked for."""

    result: str
    face_embeddings: NDArray[np.float32]


class GalleryAdmin:
    """Runs the commands of one server, whose embedder is the only one that its enrolments may come from."""

    def __init__(
        self, store: GalleryStore, embedder: str, dimension: int, access: Access, *, saved_in: Path | None = None
    ) -> None:
        """Serve one store.

        Args:
            store: remains the caller's to close.
            embedder: digest of the model that makes the embeddings.
            dimension: their length.
            access: who may do what.
            saved_in: folder of saved indices, to be verified; None where there is none.
        """
        self._store = store
        self._embedder = embedder
        self._dimension = dimension
        self._access = access
        self._saved_in = saved_in

    def handle(self, command_json: str, embeddings: NDArray[np.float32] | None, token: str | None) -> Answered:
        """Run one command.

        Args:
            command_json: a command of `toonface_contract.admin`, as JSON.
            embeddings: FP32 [N,D] for `build` and `add`, a row for each face, and for `update` where it replaces
                embeddings; None for all others. They need not be of unit length.
            token: value of the header `authorization`, ``Bearer <token>``, or None where there was none.

        Raises:
            InvalidRequest: `invalid_command`, `invalid_embedding` or `embedder_mismatch`.
            PermissionDenied: the token does not allow it, or is missing.
            NotFound: `gallery_not_found` or `not_found`.
            AlreadyExists: `gallery_exists`.
            Conflict: `gallery_changed`.
            Unavailable: `store_unavailable`.
        """
        command = _parse(command_json)
        self._check_access(command, token)
        if embeddings is not None and not isinstance(command, Build | Add | Update):
            raise InvalidRequest(
                f"the command {command.op!r} takes no embeddings; 'build', 'add' and 'update' do",
                code="invalid_embedding",
            )
        if isinstance(command, READ_ONLY):
            return self._read(command, token)
        change = self._write(command, embeddings)
        if command.dry_run:
            new = isinstance(command, Build | Add)
            change = Change(ids=[] if new else change.ids, sequence=self._store.sequence())
        return _answered(change)

    def _check_access(self, command: Command, token: str | None) -> None:
        """Writing is the administrator's; and so are embeddings, from which faces could be told elsewhere."""
        if not isinstance(command, READ_ONLY):
            self._access.check_admin(f"the command {command.op!r} changes a gallery and", token)
        elif isinstance(command, ListFaces) and command.embeddings:
            self._access.check_admin("listing faces with their embeddings", token)
        elif not isinstance(command, ListGalleries):
            self._access.check_read(command.gallery, token)

    def _read(self, command: ListGalleries | ListFaces | Stats | Verify, token: str | None) -> Answered:
        match command:
            case ListGalleries():
                visible = [each for each in self._store.galleries() if self._access.may_read(each.name, token)]
                return _answered(Galleries(galleries=visible, embedder=self._embedder, dimension=self._dimension))
            case ListFaces():
                name, wanted = command.gallery, command.model_dump(include={"after_id", "limit", "label", "ids"})
                if command.embeddings:
                    return _answered(*self._store.page_with_embeddings(name, **wanted))
                return _answered(self._store.page(name, **wanted))
            case Stats():
                return _answered(self._with_index(self._store.stats(command.gallery)))
            case Verify():
                page = self._store.verify_page(
                    command.gallery, after_id=command.after_id, limit=command.limit, saved_in=self._saved_in
                )
                return _answered(page)

    def _write(
        self,
        command: Build | Add | Update | UpdateLabel | Remove | Configure | Rename | Drop,
        embeddings: NDArray[np.float32] | None,
    ) -> Change:
        store, name, dry_run = self._store, command.gallery, command.dry_run
        match command:
            case Build() | Add():
                self._check_embedder(command.embedder)
                self._check_index(command.index)
                given = np.empty((0, self._dimension), np.float32) if embeddings is None else embeddings
                rows = unit_rows(given, len(command.faces), self._dimension)
                if isinstance(command, Add):
                    return store.add(name, command.faces, rows, self._embedder, index=command.index, dry_run=dry_run)
                return store.build(
                    name,
                    command.faces,
                    rows,
                    self._embedder,
                    replace=command.replace,
                    index=command.index,
                    dry_run=dry_run,
                )
            case Update():
                self._check_embedder(command.embedder)
                new = None if embeddings is None else unit_rows(embeddings, len(command.faces), self._dimension)
                return store.update(name, command.faces, new, self._embedder, dry_run=dry_run)
            case UpdateLabel():
                return store.update_label(
                    name, command.label, set_label=command.set_label, set_source=command.set_source, dry_run=dry_run
                )
            case Remove():
                return store.remove(name, ids=command.ids, labels=command.labels, dry_run=dry_run)
            case Configure():
                self._check_index(command.index)
                return store.configure(name, command.index, dry_run=dry_run)
            case Rename():
                if name == DEFAULT_GALLERY:
                    raise _always_exists("renamed; to let another take its place, rename that one to it with replace")
                return store.rename(
                    name,
                    command.to,
                    replace=command.replace,
                    unchanged_since=command.unchanged_since,
                    dry_run=dry_run,
                )
            case Drop():
                if name == DEFAULT_GALLERY:
                    raise _always_exists("dropped; to empty it, build it of no faces with replace")
                return store.drop(name, dry_run=dry_run)

    def _with_index(self, found: GalleryStats) -> GalleryStats:
        """A gallery's figures with the index that the stage `gallery_search` chooses for it, and why."""
        gallery = found.gallery
        if (gallery.embedder, gallery.dimension) != (self._embedder, self._dimension):
            return found
        from toonface_gallery.plan import memory_budget, plan  # only here, for FAISS takes time and memory

        settings = IndexSettings.model_validate({"type": gallery.index_type, "metric": gallery.metric})
        memory, refused = memory_budget(), ""
        try:
            chosen = plan(settings, gallery.faces, gallery.dimension, memory)
        except InvalidRequest as error:  # by this version of FAISS
            chosen = plan(IndexSettings(metric=settings.metric), gallery.faces, gallery.dimension, memory)
            refused = f"; {error.message}"
        return found.model_copy(update={"chosen_index": chosen.name, "index_reason": chosen.reason + refused})

    def _check_index(self, index: IndexSettings | None) -> None:
        """Refuse an index that could never be made: the galleries' followers would only find out later."""
        if index is None or index.type is None:
            return
        from toonface_gallery.plan import check  # only here, for FAISS takes time and memory

        try:
            check(index, self._dimension)
        except MemoryError:
            raise InvalidRequest(
                f"an index of the type {index.type!r} takes more memory than there is", code="invalid_command"
            ) from None

    def _check_embedder(self, embedder: str | None) -> None:
        if embedder not in (None, self._embedder):
            raise InvalidRequest(
                f"the embeddings are of the embedder {embedder}, and this server's is {self._embedder}: they cannot be "
                "compared. Embed the pictures themselves (toonface gallery build), or send these to a server of theirs",
                code="embedder_mismatch",
            )


def _answered(answer: BaseModel, embeddings: NDArray[np.float32] | None = None) -> Answered:
    return Answered(answer.model_dump_json(), np.empty((0, 0), np.float32) if embeddings is None else embeddings)


def _always_exists(how: str) -> InvalidRequest:
    return InvalidRequest(f"the gallery {DEFAULT_GALLERY!r} always exists and cannot be {how}", code="invalid_command")


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
