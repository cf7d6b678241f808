"""Faces in one Parquet file, read and written in portions, so that it may be larger than memory.

Columns: `label` string and `embedding`, a list of D numbers, which are all that a file made elsewhere needs; `source`
string, `id` int64, `quality` float, `created` timestamp, each of which may be null or missing. The gallery's name and
the embedder's digest are metadata of the schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from toonface_contract.errors import ConfigError
from toonface_gallery.interchange.portable import PORTION, Origin, PortableFaces, defaults, written_whole

_GALLERY: Final = b"toonface.gallery"
_EMBEDDER: Final = b"toonface.embedder"
_OPTIONAL: Final = {
    "source": pa.string(),
    "id": pa.int64(),
    "quality": pa.float32(),
    "created": pa.timestamp("us"),
}


class ParquetFaces:
    """A Parquet file of faces, open for reading."""

    remarks: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        """Open the file, and read its schema.

        Raises:
            ConfigError: it cannot be read, or a column is missing or of another type.
        """
        self._path = path
        try:
            self._file = pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise ConfigError(f"{str(path)!r} cannot be read as Parquet: {error}") from error
        schema = self._file.schema_arrow
        missing = [name for name in ("label", "embedding") if name not in schema.names]
        if missing:
            raise ConfigError(f"{str(path)!r} has no column {missing[0]!r} (there are: {', '.join(schema.names)})")
        kind = schema.field("embedding").type
        if not (pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)):
            raise ConfigError(f"{str(path)!r}: the column 'embedding' is {kind}; it must be a list of numbers")
        metadata = schema.metadata or {}
        self.count = self._file.metadata.num_rows
        self._columns = [name for name in ("label", "embedding", *_OPTIONAL) if name in schema.names]
        dimension = kind.list_size if pa.types.is_fixed_size_list(kind) else self._first_length()
        self.origin = Origin(
            dimension, metadata.get(_GALLERY, b"").decode(), metadata.get(_EMBEDDER, b"").decode(errors="replace")
        )

    def portions(self) -> Iterator[PortableFaces]:
        """See FacesFile."""
        for batch in self._batches(PORTION):
            yield self._faces(batch)

    def _first_length(self) -> int:
        first = next((batch.column("embedding") for batch in self._batches(1)), None)
        return 0 if first is None or not first[0].is_valid else len(first[0])

    def _batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._file.iter_batches(rows, columns=self._columns)
        except (OSError, pa.ArrowException) as error:
            raise ConfigError(f"{str(self._path)!r} is damaged: {error}") from error

    def _faces(self, batch: pa.RecordBatch) -> PortableFaces:
        rows = len(batch)
        ids, qualities, created = defaults(rows)
        return PortableFaces(
            labels=self._cast(batch, "label", pa.string()).to_pylist(),
            sources=self._optional(batch, "source", np.full(rows, "")).tolist(),
            embeddings=self._embeddings(batch),
            ids=self._optional(batch, "id", ids),
            qualities=self._optional(batch, "quality", qualities),
            created=self._optional(batch, "created", created),
        )

    def _embeddings(self, batch: pa.RecordBatch) -> NDArray[np.float32]:
        lists = batch.column("embedding")
        lengths = pc.unique(pc.list_value_length(lists)).to_pylist()  # None among them for a list that is not there
        values = lists.flatten()
        if lengths not in ([], [self.origin.dimension]) or values.null_count:
            raise ConfigError(
                f"{str(self._path)!r}: not every embedding is a list of {self.origin.dimension} numbers, "
                "as the first is"
            )
        flat = self._converted(values, "embedding", pa.float32()).to_numpy(zero_copy_only=False)
        embeddings: NDArray[np.float32] = flat.reshape(len(batch), self.origin.dimension)
        return embeddings

    def _optional(self, batch: pa.RecordBatch, name: str, default: NDArray[Any]) -> NDArray[Any]:
        if name not in self._columns:
            return default
        column = self._cast(batch, name, _OPTIONAL[name], null=default[0] if len(default) else None)
        values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        return values

    def _cast(self, batch: pa.RecordBatch, name: str, kind: pa.DataType, null: Any = None) -> pa.Array:
        column = self._converted(batch.column(name), name, kind)
        if column.null_count and null is None:
            raise ConfigError(f"{str(self._path)!r}: the column {name!r} has empty places")
        if column.null_count and not pa.types.is_timestamp(kind):  # NumPy has a null of its own for those
            column = column.fill_null(null.item())
        return column

    def _converted(self, column: pa.Array, name: str, kind: pa.DataType) -> pa.Array:
        try:
            return column.cast(kind)
        except pa.ArrowException as error:
            raise ConfigError(f"{str(self._path)!r}: the column {name!r} cannot be taken as {kind}: {error}") from error


def write(path: Path, origin: Origin, portions: Iterable[PortableFaces]) -> int:
    """Write a file, and return how many faces are in it.

    Raises:
        ConfigError: the folder or the disk does not let it be written.
    """
    metadata = {_GALLERY: origin.gallery.encode(), _EMBEDDER: origin.embedder.encode()}
    fields = {
        "label": pa.string(),
        **_OPTIONAL,
        "embedding": pa.list_(pa.float32(), origin.dimension),
    }
    schema = pa.schema(list(fields.items()), metadata)
    written = 0
    with written_whole(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for faces in portions:
            values = pa.array(np.ascontiguousarray(faces.embeddings, np.float32).ravel())
            columns = [
                pa.array(faces.labels, pa.string()),
                pa.array(faces.sources, pa.string()),
                pa.array(faces.ids, mask=faces.ids < 0),
                pa.array(faces.qualities, mask=np.isnan(faces.qualities)),
                pa.array(faces.created, pa.timestamp("us")),
                pa.FixedSizeListArray.from_arrays(values, origin.dimension),
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            written += len(faces)
    return written
