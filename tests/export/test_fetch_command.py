"""`toonface fetch`, as a user runs it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from export_helpers import MODELS
from store import Store, running_store

from toonface_contract.errors import ExportError
from toonface_export.families import EMBEDDERS
from toonface_export.fetch_catalogue import find_item
from toonface_export.networks import export_embedder
from toonface_export.paddle_model import read_paddle_model
from toonface_export.pipeline import Module
from toonface_export.serving import Serving

TOONFACE = Path(sys.executable).with_name("toonface")


@pytest.fixture
def store() -> Iterator[Store]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(MODELS / "MobileFaceNet", "MobileFaceNet_infer")
    with running_store() as store:
        store.files[find_item("MobileFaceNet").path] = buffer.getvalue()
        yield store


def _fetch(store: Store, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TOONFACE_MIRROR": store.address, "TOONFACE_CACHE": str(folder)}
    return subprocess.run(
        [str(TOONFACE), "fetch", *arguments], capture_output=True, text=True, timeout=60, env=environment
    )


def test_a_model_comes_by_name_and_its_path_is_printed(store: Store, tmp_path: Path) -> None:
    done = _fetch(store, tmp_path, "MobileFaceNet")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'MobileFaceNet_infer'}\n"
    assert read_paddle_model(tmp_path / "MobileFaceNet_infer", known=EMBEDDERS).name == "MobileFaceNet"
    again = _fetch(store, tmp_path, "MobileFaceNet", "MobileFaceNet_infer", "--json")
    (described,) = json.loads(again.stdout)
    assert not described["new"]
    assert described["path"] == str(tmp_path / "MobileFaceNet_infer")
    assert (
        described["sha256"]
        == json.loads((tmp_path / "toonface-fetch.lock").read_text())["items"][find_item("MobileFaceNet").path][
            "sha256"
        ]
    )
    assert "was here already" in again.stderr


def test_the_list_says_what_there_is_and_what_is_here(store: Store, tmp_path: Path) -> None:
    _fetch(store, tmp_path, "MobileFaceNet")
    lines = _fetch(store, tmp_path, "--list").stdout.splitlines()
    assert len(lines) == 17
    assert [line.split()[0] for line in lines if line.rstrip().endswith("yes")] == ["MobileFaceNet_infer"]
    (row,) = json.loads(_fetch(store, tmp_path, "--list", "--json", "face_demo_gallery").stdout)
    assert row["url"] == f"{store.address}/data/face_demo_gallery.tar"
    assert row["path"] is None


def test_what_the_store_does_not_have_fails_in_one_line(store: Store, tmp_path: Path) -> None:
    done = _fetch(store, tmp_path, "face_demo_gallery", "--output", str(tmp_path / "out"))
    assert done.returncode == 1
    assert done.stderr == (
        f"error: fetch_failed: {store.address}/data/face_demo_gallery.tar cannot be fetched: "
        "the server answers 404 Not Found\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "`toonface fetch --list` shows what there is"),
        (("BlazFace",), 1, "nothing to fetch is called 'BlazFace'; near it are BlazeFace"),
        (("BlazeFace", "--mirror", "nowhere"), 1, "mirror 'nowhere' is no address"),
    ],
)
def test_a_wrong_command_line_says_what_is_right(
    store: Store, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = _fetch(store, tmp_path, *arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_dir_of_null_is_paddlex_own_model(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOONFACE_MIRROR", store.address)
    monkeypatch.setenv("TOONFACE_CACHE", str(tmp_path))
    steps: list[str] = []
    exported = export_embedder(Module(model_name="MobileFaceNet", model_dir=None), Serving(), steps.append)
    assert exported.source.folder == tmp_path / "MobileFaceNet_infer"
    assert steps[0] == "MobileFaceNet: fetch PaddleX's official inference model"
    fetched = [step for step in steps if "MobileFaceNet: fetched" in step]
    assert steps[1 : 1 + len(fetched)] == fetched
    assert fetched[-1].endswith("MB (100 %)")
    with pytest.raises(ExportError, match="model_name 'BlazeFace'; known are MobileFaceNet, ResNet50_face"):
        export_embedder(Module(model_name="BlazeFace", model_dir=None), Serving(), steps.append)
