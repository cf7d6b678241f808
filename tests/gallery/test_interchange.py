from __future__ import annotations

import errno
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from gallery_helpers import unit_vectors

from toonface_contract.errors import ConfigError
from toonface_gallery.interchange.formats import check_target, open_faces, write_faces
from toonface_gallery.interchange.portable import Origin, PortableFaces

DIMENSION = 8
ORIGIN = Origin(DIMENSION, "friends", "sha256:abc")


def some_faces(count: int) -> PortableFaces:
    """The first has all that a face can have, the second as little as it can."""
    qualities = np.linspace(0.1, 1, count, dtype=np.float32)
    created = np.datetime64("2026-01-02T03:04:05.678901", "us") + np.arange(count)
    qualities[1::2], created[1::2] = np.nan, np.datetime64("NaT")
    return PortableFaces(
        labels=[f"Name {number} – ü" for number in range(count)],
        sources=[f"{number}.png" * (number % 2 == 0) for number in range(count)],
        embeddings=unit_vectors(count, 7, DIMENSION),
        ids=np.arange(1, count + 1),
        qualities=qualities,
        created=created,
    )


def read(path: Path) -> PortableFaces:
    return PortableFaces.joined(list(open_faces(path).portions()))


@pytest.mark.parametrize("name", ["faces.npz", "faces.parquet"])
def test_what_is_written_is_read_again(tmp_path: Path, name: str) -> None:
    faces = some_faces(10_001)  # more than a portion
    path = tmp_path / name

    def portions() -> Iterator[PortableFaces]:
        yield faces.part(0, 7)
        yield faces.part(7, len(faces))

    assert write_faces(path, ORIGIN, portions()) == len(faces)
    opened = open_faces(path)
    assert (opened.origin, opened.count, opened.remarks) == (ORIGIN, len(faces), ())
    again = read(path)
    assert (again.labels, again.sources) == (faces.labels, faces.sources)
    for column in ("embeddings", "ids", "qualities", "created"):
        np.testing.assert_array_equal(getattr(again, column), getattr(faces, column))
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["faces.npz", "faces.parquet", "faces"])
def test_an_empty_gallery_survives(tmp_path: Path, name: str) -> None:
    assert write_faces(tmp_path / name, ORIGIN, []) == 0
    opened = open_faces(tmp_path / name)
    assert (opened.origin, opened.count) == (Origin(DIMENSION) if name == "faces" else ORIGIN, 0)
    assert sum(len(part) for part in opened.portions()) == 0


@pytest.mark.parametrize("name", ["faces.npz", "faces.parquet"])
def test_a_failed_export_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("yesterday's")

    def broken() -> Iterator[PortableFaces]:
        yield some_faces(3)
        raise RuntimeError("the server went away")

    with pytest.raises(RuntimeError, match="went away"):
        write_faces(tmp_path / name, ORIGIN, broken())
    assert (tmp_path / name).read_text() == "yesterday's"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("target", ["saved", "saved.v2/"])
def test_what_is_written_for_paddlex_is_its_saved_index(tmp_path: Path, target: str) -> None:
    faces = some_faces(9000)  # more than a portion
    faces.labels[:3] = ["123", "yes", "孫悟空: 'ü'"]  # which YAML would take for something else
    assert write_faces(f"{tmp_path}/{target}", ORIGIN, [faces.part(0, 7), faces.part(7, 9000)]) == 9000
    folder = tmp_path / target
    assert sorted(os.listdir(folder)) == ["id_map.yaml", "vector.index"]
    content = yaml.load((folder / "id_map.yaml").read_text(encoding="utf-8"), Loader=yaml.FullLoader)  # noqa: S506
    assert (content["index_type"], content["metric_type"]) == ("Flat", "IP")
    assert content["id_map"] == dict(enumerate(faces.labels))
    index = faiss.read_index(str(folder / "vector.index"))
    assert isinstance(index, faiss.IndexIDMap2)
    assert isinstance(faiss.downcast_index(index.index), faiss.IndexFlat)
    assert index.metric_type == faiss.METRIC_INNER_PRODUCT
    scores, ids = index.search(faces.embeddings[:5], 1)
    assert ids[:, 0].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(scores[:, 0], 1, atol=1e-5)
    again = read(folder)
    assert (again.labels, again.sources[17]) == (faces.labels, f"{folder.name}#17")
    np.testing.assert_array_equal(again.embeddings, faces.embeddings)

    write_faces(f"{tmp_path}/{target}", ORIGIN, [faces.part(0, 3)])  # in its place
    assert read(folder).labels == faces.labels[:3]
    assert os.listdir(tmp_path) == [folder.name]


def test_a_failed_export_for_paddlex_leaves_what_was_there(tmp_path: Path) -> None:
    write_faces(tmp_path / "saved", ORIGIN, [some_faces(3)])
    long = "x" * 250  # a name beside which there is no room for another
    with pytest.raises(ConfigError, match="cannot write"):
        write_faces(tmp_path / long, ORIGIN, [some_faces(4)])
    assert os.listdir(tmp_path) == ["saved"]
    (tmp_path / "saved" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("saved", "file"):
        with pytest.raises(ConfigError, match="no saved gallery of PaddleX, or holds more"):
            write_faces(tmp_path / name, ORIGIN, [some_faces(4)])
    assert sorted(os.listdir(tmp_path / "saved")) == ["id_map.yaml", "notes.txt", "vector.index"]
    assert read(tmp_path / "saved").labels == some_faces(3).labels


@pytest.mark.parametrize(("failures", "there"), [(1, True), (2, False)])
def test_an_export_that_fails_at_the_last_moment_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, there: bool
) -> None:
    write_faces(tmp_path / "saved", ORIGIN, [some_faces(3)])
    rename = Path.rename
    failed: list[Path] = []

    def renamed(self: Path, target: Path) -> Path:
        if Path(target) == tmp_path / "saved" and len(failed) < failures:
            failed.append(self)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", renamed)
    with pytest.raises(ConfigError, match="cannot write .*saved': Input/output error") as refused:
        write_faces(tmp_path / "saved", ORIGIN, [some_faces(4)])
    assert len(failed) == failures
    if there:
        assert os.listdir(tmp_path) == ["saved"]
        assert read(tmp_path / "saved").labels == some_faces(3).labels
    else:  # nor can the old one be put back: it stays where it is, and the error says where
        (old,) = tmp_path.glob(".saved.*/old")
        assert str(old) in refused.value.message
        assert read(old).labels == some_faces(3).labels


@pytest.mark.parametrize("name", ["faces.csv", "no/faces.npz", "no/faces"])
def test_what_cannot_be_written_is_known_before(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="faces"):
        check_target(tmp_path / name)


def test_a_numpy_file_made_by_hand_needs_embeddings_and_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", embeddings=np.eye(3), labels=["a", "b", "c"])
    faces = read(tmp_path / "own.npz")
    assert (faces.labels, faces.sources, faces.embeddings.dtype) == (["a", "b", "c"], ["", "", ""], np.float32)
    assert np.isnan(faces.qualities).all()
    assert (faces.ids == -1).all()


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"labels": ["a"]}, "no array 'embeddings'.*labels"),
        ({"embeddings": np.eye(2)}, "no array 'labels'"),
        ({"embeddings": np.eye(2), "labels": ["a"]}, r"'labels' is <U1 \[1\].*2 embeddings"),
        ({"embeddings": np.eye(2), "labels": [1, 2]}, "'labels' is int64"),
        ({"embeddings": np.ones(2), "labels": ["a", "b"]}, r"float64 \[2\]"),
        ({"embeddings": np.eye(2, dtype=int), "labels": ["a", "b"]}, "int64"),
        ({"embeddings": np.eye(2), "labels": np.array(["a", "b"], object)}, "pickle"),
        ({"embeddings": np.eye(2), "labels": ["a", "b"], "embedder": ["x", "y"]}, "'embedder'.*one text"),
        ({"embeddings": np.eye(2), "labels": ["a", "b"], "qualities": [1.0]}, "'qualities'"),
    ],
)
def test_a_wrong_numpy_file_is_refused(tmp_path: Path, arrays: dict[str, Any], reason: str) -> None:
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(ConfigError, match=reason):
        open_faces(tmp_path / "own.npz")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
            return Path.touch, (tmp_path / "sprung",)

    (tmp_path / "trap.npz").write_bytes(pickle.dumps(Trap()))
    np.savez(tmp_path / "inside.npz", embeddings=np.eye(1), labels=np.array([Trap()], object))
    for name in ("trap.npz", "inside.npz"):
        with pytest.raises(ConfigError, match="without pickles"):
            open_faces(tmp_path / name)
    folder = saved_index(tmp_path / "paddlex", "Flat")
    (folder / "id_map.yaml").write_text(f"!!python/object/apply:os.mkdir ['{tmp_path}/sprung']")
    with pytest.raises(ConfigError, match="plain values"):
        open_faces(folder)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"label": ["a"]}, "no column 'embedding'"),
        ({"embedding": [[1.0, 0.0]]}, "no column 'label'"),
        ({"label": ["a"], "embedding": [1.0]}, "must be a list of numbers"),
        ({"label": ["a"], "embedding": [["x"]]}, "'embedding' cannot be taken as float"),
        ({"label": ["a", "b"], "embedding": [[1.0, 0.0], [1.0]]}, "not every embedding is a list of 2 numbers"),
        ({"label": ["a", "b", "c"], "embedding": [[1.0], [], [1.0, 0.0]]}, "not every embedding"),
        ({"label": ["a", "b"], "embedding": [[1.0, 0.0], None]}, "not every embedding"),
        ({"label": ["a"], "embedding": [[1.0, None]]}, "not every embedding"),
        ({"label": [None], "embedding": [[1.0]]}, "'label' has empty places"),
        ({"label": ["a"], "embedding": [[1.0]], "quality": ["good"]}, "'quality' cannot be taken as float"),
    ],
)
def test_a_wrong_parquet_file_is_refused(tmp_path: Path, columns: dict[str, Any], reason: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "own.parquet")
    with pytest.raises(ConfigError, match=reason):
        list(open_faces(tmp_path / "own.parquet").portions())


@pytest.mark.parametrize("name", ["faces.npz", "faces.parquet"])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_faces(path, ORIGIN, [some_faces(100)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ConfigError, match="cannot be read"):
        open_faces(path)
    path.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        open_faces(path)


def damage(path: Path, harm: Callable[[bytearray, int, int], None]) -> None:
    """Harm the first member of a zip file, given where its entry in the table of contents and its data begin."""
    with zipfile.ZipFile(path) as archive:
        entry, member = archive.start_dir, archive.infolist()[0]
    content = bytearray(path.read_bytes())
    name, extra = struct.unpack_from("<HH", content, member.header_offset + 26)
    harm(content, entry, member.header_offset + 30 + name + extra)
    path.write_bytes(content)


def set_bytes(content: bytearray, place: int, new: bytes) -> None:
    content[place : place + len(new)] = new


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda content, entry, data: set_bytes(content, data, b"\xff" * 8), "decompressing"),  # the stream of deflate
        (lambda content, entry, data: set_bytes(content, data + 200, b"\xff" * 8), ""),
        (lambda content, entry, data: set_bytes(content, entry + 8, b"\x01\x00"), "encrypted"),  # a flag
        (lambda content, entry, data: set_bytes(content, entry + 10, b"\x63\x00"), "compression method"),
        (lambda content, entry, data: set_bytes(content, entry + 10, b"\x0e\x00"), ""),  # LZMA, which it is not
    ],
)
def test_a_numpy_file_that_is_damaged_inside_is_refused_by_its_name(
    tmp_path: Path, harm: Callable[[bytearray, int, int], None], reason: str
) -> None:
    write_faces(tmp_path / "faces.npz", ORIGIN, [some_faces(100)])
    damage(tmp_path / "faces.npz", harm)
    with pytest.raises(ConfigError, match=rf"faces.npz' cannot be read as a NumPy file.*{reason}"):
        open_faces(tmp_path / "faces.npz")


def saved_index(folder: Path, index_type: str, metric: str = "IP", count: int = 400) -> Path:
    """A gallery as PaddleX saves it."""
    vectors = unit_vectors(count, 3, DIMENSION)
    kind = {"IP": faiss.METRIC_INNER_PRODUCT, "L2": faiss.METRIC_L2}[metric]
    factory = f"IVF{count // 8},Flat" if index_type == "IVF" else index_type
    index = faiss.IndexIDMap2(faiss.index_factory(DIMENSION, factory, kind))
    index.train(vectors)
    index.add_with_ids(vectors, np.arange(count))
    save(folder, index, {number: f"label {number}" for number in range(count)}, index_type, metric)
    return folder


def save(folder: Path, index: Any, labels: dict[int, str], index_type: str = "Flat", metric: str = "IP") -> None:
    folder.mkdir(exist_ok=True)
    faiss.write_index(index, str(folder / "vector.index"))
    document = {"id_map": labels, "metric_type": metric, "index_type": index_type}
    (folder / "id_map.yaml").write_text(yaml.safe_dump(document))


@pytest.mark.parametrize("index_type", ["Flat", "IVF", "HNSW32"])
@pytest.mark.parametrize("metric", ["IP", "L2"])
def test_paddlex_s_saved_indices_are_read(tmp_path: Path, index_type: str, metric: str) -> None:
    folder = saved_index(tmp_path / "saved", index_type, metric)
    opened = open_faces(folder)
    assert (opened.origin, opened.count) == (Origin(DIMENSION), 400)
    assert index_type in opened.remarks[0]
    faces = read(folder)
    assert faces.labels == [f"label {number}" for number in range(400)]
    assert faces.sources[17] == "saved#17"
    np.testing.assert_array_equal(faces.embeddings, unit_vectors(400, 3, DIMENSION))


def test_a_flat_index_is_read_after_removals(tmp_path: Path) -> None:
    folder = saved_index(tmp_path / "saved", "Flat")
    index = faiss.read_index(str(folder / "vector.index"))
    index.remove_ids(np.array([0, 5]))
    save(folder, index, {number: f"label {number}" for number in range(400) if number not in (0, 5)})
    faces = read(folder)
    assert faces.labels[:5] == [f"label {number}" for number in (1, 2, 3, 4, 6)]
    np.testing.assert_array_equal(faces.embeddings[4], unit_vectors(400, 3, DIMENSION)[6])


def test_an_ivf_index_is_refused_after_removals(tmp_path: Path) -> None:
    folder = saved_index(tmp_path / "saved", "IVF")
    index = faiss.read_index(str(folder / "vector.index"))
    index.remove_ids(np.array([7]))
    save(folder, index, {number: f"label {number}" for number in range(400) if number != 7}, "IVF")
    probe = unit_vectors(400, 3, DIMENSION)[300:301]
    assert index.search(probe, 1)[1][0, 0] != 300  # it answers, and wrongly
    with pytest.raises(ConfigError, match=r"corrupt: faces were removed from an IVF index.*anew"):
        open_faces(folder)


def broken_index(folder: Path, content: bytes) -> None:
    (folder / "vector.index").write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda folder: (folder / "id_map.yaml").unlink(), "id_map.yaml.*No such file"),
        (lambda folder: (folder / "vector.index").unlink(), "vector.index.*No such file"),
        (lambda folder: (folder / "id_map.yaml").write_text("[1, 2"), "not YAML"),
        (lambda folder: (folder / "id_map.yaml").write_text("- 1"), "no `id_map`"),
        (lambda folder: (folder / "id_map.yaml").write_text("id_map: {a: b}"), "'a': 'b'"),
        (lambda folder: (folder / "id_map.yaml").write_text("id_map: {1: yes}"), "1: True"),
        (lambda folder: (folder / "id_map.yaml").write_text("id_map: {1: a}"), "no label for 399.*0, 2, 3, ..."),
        (lambda folder: (folder / "id_map.yaml").write_text("{id_map: {}, metric_type: hamming}"), "'hamming'.*bits"),
        (lambda folder: broken_index(folder, b""), "damaged"),
        (lambda folder: broken_index(folder, b"IBxF" + bytes(100)), "binary index"),
        (lambda folder: broken_index(folder, (folder / "vector.index").read_bytes()[:-100]), "damaged"),
        (lambda folder: faiss.write_index(faiss.IndexFlatIP(4), str(folder / "vector.index")), "IndexFlat"),
        (
            lambda folder: faiss.write_index(
                faiss.IndexIDMap2(faiss.IndexScalarQuantizer(4, faiss.ScalarQuantizer.QT_8bit)),
                str(folder / "vector.index"),
            ),
            "IndexScalarQuantizer.*Flat, IVF and HNSW32",
        ),
    ],
)
def test_a_wrong_index_folder_is_refused(tmp_path: Path, harm: Callable[[Path], Any], reason: str) -> None:
    folder = saved_index(tmp_path / "saved", "Flat")
    harm(folder)
    with pytest.raises(ConfigError, match=reason):
        open_faces(folder)


def test_labels_without_vectors_are_left_out_and_said(tmp_path: Path) -> None:
    folder = saved_index(tmp_path / "saved", "Flat")
    document = yaml.safe_load((folder / "id_map.yaml").read_text())
    document["id_map"][4000] = "gone"
    (folder / "id_map.yaml").write_text(yaml.safe_dump(document))
    opened = open_faces(folder)
    assert opened.count == 400
    assert "1 labels have no vector" in opened.remarks[1]


def test_a_pipeline_file_names_its_index(tmp_path: Path) -> None:
    saved_index(tmp_path / "saved", "Flat")
    pipeline = tmp_path / "face_recognition.yaml"
    pipeline.write_text("pipeline_name: face_recognition\nindex: saved\n")
    assert open_faces(pipeline).count == 400
    for content, reason in (
        ("index: None", "names no saved gallery"),
        ("pipeline_name: x", "names no saved gallery"),
        ("- 1", "names no saved gallery"),
        ("index: [", "not YAML"),
        ("index: elsewhere", "No such file"),
    ):
        pipeline.write_text(content)
        with pytest.raises(ConfigError, match=reason):
            open_faces(pipeline)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "faces.pkl").write_bytes(pickle.dumps({}))
    with pytest.raises(ConfigError, match="cannot be imported; it must be"):
        open_faces(tmp_path / "faces.pkl")
