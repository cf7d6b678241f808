"""What the command line reads and where it writes, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from toonface_client import ToonfaceClient, cli
from toonface_client.cli.gallery_list import read_gallery_list
from toonface_client.cli.gallery_verify import is_found, lowest_score
from toonface_client.cli.options import printable, tables
from toonface_client.cli.pictures import find_pictures, save_paths
from toonface_client.results import Match
from toonface_contract.admin import FaceInfo, GalleryStats
from toonface_contract.errors import ConfigError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_list_that_paddlex_reads(tmp_path: Path) -> None:
    listed = write(tmp_path / "gallery.txt", "images/Chandler/Chandler00037.jpg Chandler\nimages/孫.jpg 孫悟空\n")
    first, second = read_gallery_list(listed)
    assert first.path == tmp_path / "images/Chandler/Chandler00037.jpg"
    assert (first.label, first.source) == ("Chandler", "images/Chandler/Chandler00037.jpg")
    assert first.place == f"{listed}, line 1"
    assert second.label == "孫悟空"


def test_a_list_with_spaces_tabs_blank_lines_and_windows_line_ends(tmp_path: Path) -> None:
    text = "\ufeffa.jpg Grace Hopper\r\n\r\nmy pictures/b.jpg\tAda Lovelace\r\n/abs/c.jpg  Bob \r\n"
    listed = write(tmp_path / "gallery.txt", text)
    first, second, third = read_gallery_list(listed)
    assert (first.label, second.label, third.label) == ("Grace Hopper", "Ada Lovelace", "Bob")
    assert second.path == tmp_path / "my pictures/b.jpg"
    assert third.path == Path("/abs/c.jpg")
    assert second.place.endswith("line 3")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a.jpg Ada\nb.jpg\n", "line 2: 'b.jpg' has no label"),
        (f"a.jpg {'x' * 300}\n", "line 1: the label 'xxx.*256"),
        ("\n\n", "has no lines"),
    ],
)
def test_a_malformed_list_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_gallery_list(write(tmp_path / "gallery.txt", text))


def test_a_list_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "gallery.txt").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(ConfigError, match="cannot read the gallery list"):
        read_gallery_list(tmp_path / "gallery.txt")


def test_paths_in_what_is_printed_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    path = "wrote a[red]/b[/red]/:cat:"
    tables().print(path)
    assert capsys.readouterr().out == f"{path}\n"


def test_pictures_are_found_in_a_stable_order(tmp_path: Path) -> None:
    for name in ("b.jpg", "a/z.PNG", "a/b/c.tiff", "a/notes.txt", ".thumbnails/t.png", "a/.x.jpg", "out/old.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    odd = write(tmp_path / "picture-without-suffix", "")
    found = find_pictures([odd, tmp_path], leave_out=tmp_path / "out")
    assert [str(each.relative) for each in found] == ["picture-without-suffix", "a/b/c.tiff", "a/z.PNG", "b.jpg"]


def test_pictures_of_one_name_are_saved_apart(tmp_path: Path) -> None:
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "a.jpg").touch()
    found = find_pictures([tmp_path / "one", tmp_path / "two" / "a.jpg", tmp_path / "two"])
    saved = save_paths(found, tmp_path / "out")
    assert [path.name for path in saved] == ["a.jpg", "a-2.jpg", "a-3.jpg"]


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert printable("Zoë\x1b[2J\n 孫\u200d悟") == "Zoë\\x1b[2J\\x0a 孫\u200d悟"


@pytest.mark.parametrize(
    ("chosen", "shown"),
    [({"chosen_index": "Flat", "index_reason": "few faces"}, "Flat (few faces)"), ({}, "which is │ not known")],
)
def test_figures_show_the_index_and_why_where_the_server_tells_it(
    monkeypatch: pytest.MonkeyPatch, chosen: dict[str, str], shown: str
) -> None:
    now = "2026-01-01T00:00:00Z"
    gallery = {"name": "g", "faces": 0, "labels": 0, "dimension": 4, "embedder": "e", "created": now}
    figures = {"single": 0, "most": [], "rated": 0, "quality": None, "first": None, "last": None, "sequence": 1}
    stats = GalleryStats.model_validate({"gallery": gallery, **figures, **chosen})
    monkeypatch.setattr(ToonfaceClient, "stats", lambda self, name: stats)
    assert shown in " ".join(CliRunner().invoke(cli.main, ["gallery", "stats", "g"]).stdout.split())


@pytest.mark.parametrize(
    ("index_type", "accurate"),
    [
        *((kind, True) for kind in (None, "Flat", "IVF", "IVF1024,SQ8;nprobe=32", "HNSW32", "HNSW32,SQ8", "SQfp16")),
        *((kind, True) for kind in ("PQ64x4fs,Refine(SQfp16)", "OPQ64,IVF,PQ64,RFlat;nprobe=8", "SQ4,Refine(Flat)")),
        *((kind, False) for kind in ("PQ64", "PQ64x4fs", "SQ4", "IVF,SQ4", "OPQ64,IVF,PQ64", "PCA64,Flat")),
    ],
)
def test_only_accurate_indices_are_held_to_a_similarity(index_type: str | None, accurate: bool) -> None:
    assert (lowest_score(index_type) > 0.9) is accurate


@pytest.mark.parametrize(
    ("matches", "found"),
    [
        ([(9, "Eve", 1.0), (7, "Ada", 1.0)], True),
        ([(7, "Ada", 0.97)], False),  # less than its similarity to itself can be
        ([(7, "Eve", 1.0)], False),  # under another label
        ([(9, "Eve", 1.0)], False),
        ([], False),
        ([(number, "Ada", 1.0 - number % 2 * 1e-6) for number in range(10, 30)], True),  # it may be one more of them
        ([(number, "Ada", 1.0) for number in range(10, 29)], False),  # it would be among them
        ([*((number, "Ada", 1.0) for number in range(10, 29)), (29, "Eve", 0.99)], False),
        ([(number, "Ada", 0.5) for number in range(10, 30)], False),
        ([(7, "Eve", 1.0), *((number, "Ada", 1.0) for number in range(10, 29))], False),
    ],
)
def test_a_face_is_found_unless_more_have_the_same_embedding_than_are_asked_for(
    matches: list[tuple[int, str, float]], found: bool
) -> None:
    face = FaceInfo.model_validate({"id": 7, "label": "Ada", "source": "", "created": "2026-01-01T00:00:00Z"})
    assert is_found(face, [Match(*match) for match in matches], lowest_score("Flat")) is found
