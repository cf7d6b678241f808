"""PaddleX's saved gallery: a folder with `vector.index` (FAISS) and `id_map.yaml`.

The latter has `id_map`, from ids to labels, `index_type` and `metric_type`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np
import yaml
from numpy.typing import NDArray

from toonface_contract.errors import ConfigError
from toonface_gallery.interchange.portable import FacesInMemory, Origin, PortableFaces, defaults, folder_written_whole

VECTORS: Final = "vector.index"
LABELS: Final = "id_map.yaml"

# The first bytes of FAISS's files name the kind of index; those of binary ones begin so.
_BINARY: Final = b"IB"
_NAMED: Final = 3


def read(folder: Path) -> FacesInMemory:
    """Read a saved gallery.

    Each face's source is the folder's name and PaddleX's id, as in ``friends#17``, since the index does not remember
    the pictures. FAISS parses `vector.index` in C++: read only files that you trust.

    Raises:
        ConfigError: a file is missing, damaged or of a kind that PaddleX does not write; the index was corrupted by a
            removal; or labels are missing.
    """
    labels, index_type = _read_labels(folder / LABELS)
    index = _read_index(folder / VECTORS)
    ids: NDArray[np.int64] = faiss.vector_to_array(index.id_map)
    vectors = _vectors(index, folder)
    if len(np.unique(ids)) != len(ids):
        raise ConfigError(f"{str(folder / VECTORS)!r} has an id twice, so a label cannot be told from another")
    missing = [face for face in ids.tolist() if face not in labels]
    if missing:
        named = ", ".join(map(str, missing[:_NAMED])) + ", ..." * (len(missing) > _NAMED)
        raise ConfigError(f"{str(folder / LABELS)!r} has no label for {len(missing)} of the index's ids: {named}")
    remarks = [f"PaddleX index of type {index_type}, {len(ids)} faces"]
    if len(labels) > len(ids):
        remarks.append(f"{len(labels) - len(ids)} labels have no vector in the index, and are left out")
    _, qualities, created = defaults(len(ids))
    faces = PortableFaces(
        labels=[labels[face] for face in ids.tolist()],
        sources=[f"{folder.resolve().name}#{face}" for face in ids.tolist()],
        embeddings=vectors,
        ids=ids,
        qualities=qualities,
        created=created,
    )
    return FacesInMemory(Origin(dimension=vectors.shape[1]), faces, tuple(remarks))


def check_replaceable(folder: Path) -> None:
    """Refuse to write a saved gallery over what is none.

    Raises:
        ConfigError: there is a file, or a folder with other files than a saved gallery's.
    """
    if folder.exists() and (not folder.is_dir() or {each.name for each in folder.iterdir()} - {VECTORS, LABELS}):
        raise ConfigError(f"{str(folder)!r} is no saved gallery of PaddleX, or holds more; name another folder")


def write(folder: Path, origin: Origin, portions: Iterable[PortableFaces]) -> int:
    """Write a saved gallery as PaddleX does for the index type `Flat` and the metric `IP`, and return its size.

    It keeps their labels and embeddings alone, and numbers them from 0 in their order. A saved gallery that is there
    gives way.

    Raises:
        ConfigError: the folder or the disk does not let it be written, or there is something else in the folder.
    """
    check_replaceable(folder)
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(origin.dimension))
    labels: list[str] = []
    for faces in portions:
        ids = np.arange(len(labels), len(labels) + len(faces))
        index.add_with_ids(np.ascontiguousarray(faces.embeddings, np.float32), ids)
        labels += faces.labels
    content = {"id_map": dict(enumerate(labels)), "index_type": "Flat", "metric_type": "IP"}
    with folder_written_whole(folder) as temporary:
        try:
            faiss.write_index(index, str(temporary / VECTORS))
        except RuntimeError as error:
            raise ConfigError(f"cannot write {str(folder / VECTORS)!r}: {error}") from error
        # The same as yaml.SafeDumper, in C where that is there, as for reading.
        with (temporary / LABELS).open("w", encoding="utf-8") as file:
            yaml.dump(
                content, file, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), allow_unicode=True, sort_keys=False
            )
    return len(labels)


def folder_of_pipeline(file: Path) -> Path:
    """The saved gallery that a pipeline file names under `index`; a relative path starts from the file's folder.

    Raises:
        ConfigError: the file cannot be read, or names none.
    """
    content = _read_yaml(file, "pipeline file")
    index = content.get("index") if isinstance(content, dict) else None
    if not isinstance(index, str) or index == "None":  # PaddleX's own file says `index: None`, a string in YAML
        raise ConfigError(f"pipeline file {str(file)!r} names no saved gallery under `index`")
    return file.parent / index


def _read_yaml(path: Path, what: str) -> Any:
    # The same safe loader as yaml.safe_load's, in C where that is there: a million lines take seconds, not minutes.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506
    except OSError as error:
        raise ConfigError(f"cannot read the {what} {str(path)!r}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{str(path)!r} is not YAML, or holds more than plain values: {error}") from error


def _read_labels(path: Path) -> tuple[dict[int, str], str]:
    content = _read_yaml(path, "labels of PaddleX")
    if not isinstance(content, dict) or not isinstance(content.get("id_map"), dict):
        raise ConfigError(f"{str(path)!r} has no `id_map` of ids and labels; PaddleX writes one")
    labels = content["id_map"]
    for face, label in labels.items():
        if isinstance(face, bool) or not isinstance(face, int) or not isinstance(label, str):
            raise ConfigError(f"{str(path)!r}: id_map has {face!r}: {label!r}; it must be a whole number and a text")
    metric = content.get("metric_type", "IP")
    if metric not in ("IP", "L2"):
        raise ConfigError(
            f"{str(path)!r}: metric_type is {metric!r}, for which PaddleX keeps bits rather than embeddings; "
            "enrol the pictures anew (toonface gallery build)"
        )
    return labels, str(content.get("index_type", "unknown"))


def _read_index(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            beginning = file.read(len(_BINARY))
        if beginning == _BINARY:
            raise ConfigError(
                f"{str(path)!r} holds a binary index, for which PaddleX keeps bits rather than embeddings; "
                "enrol the pictures anew (toonface gallery build)"
            )
        index = faiss.read_index(str(path))
    except OSError as error:
        raise ConfigError(f"cannot read PaddleX's index {str(path)!r}: {error.strerror}") from error
    except (RuntimeError, MemoryError) as error:
        raise ConfigError(f"{str(path)!r} is no FAISS index, or a damaged one") from error
    if not isinstance(index, faiss.IndexIDMap):
        raise ConfigError(f"{str(path)!r} is a {type(index).__name__}; PaddleX saves an IndexIDMap2")
    return index


def _vectors(index: Any, folder: Path) -> NDArray[np.float32]:
    """The stored vectors FP32 [N,D], in the order of the id map."""
    inner = faiss.downcast_index(index.index)
    if inner.ntotal != index.id_map.size():
        raise ConfigError(
            f"{str(folder / VECTORS)!r} is corrupt: it has {inner.ntotal} vectors and {index.id_map.size()} ids"
        )
    if isinstance(inner, faiss.IndexIVFFlat):
        _check_positions(inner, folder)
        inner.make_direct_map()
    elif not isinstance(inner, faiss.IndexFlat | faiss.IndexHNSWFlat):
        raise ConfigError(
            f"{str(folder / VECTORS)!r} is an IndexIDMap2 over {type(inner).__name__}; "
            "PaddleX saves Flat, IVF and HNSW32"
        )
    vectors: NDArray[np.float32] = inner.reconstruct_n(0, inner.ntotal)
    return vectors


def _check_positions(inner: Any, folder: Path) -> None:
    """Refuse an IVF index after a removal through IndexIDMap2.

    Each vector in it is stored with its position in the id map. A removal closes the gap in the map, and leaves the
    positions as they were: from then on every later vector answers with the id of another.
    """
    lists = inner.invlists
    sizes = [lists.list_size(number) for number in range(inner.nlist)]
    stored = [faiss.rev_swig_ptr(lists.get_ids(n), size) for n, size in enumerate(sizes) if size]
    positions = np.sort(np.concatenate([np.empty(0, np.int64), *stored]))
    if not np.array_equal(positions, np.arange(inner.ntotal)):
        raise ConfigError(
            f"{str(folder / VECTORS)!r} is corrupt: faces were removed from an IVF index through IndexIDMap2, which "
            "does not move the positions of the vectors behind them: ids no longer belong to their vectors. "
            "Enrol the pictures anew (toonface gallery build)"
        )
