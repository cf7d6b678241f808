"""A figure followed from the exported graphs to the live server: it stays the same."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from gateway import gateway
from live_server import CHECKOUT, TOONFACE

from toonface_training.evaluation.datasets import read_picture
from toonface_training.evaluation.subjects.opening import SubjectSettings, open_subject


def test_the_server_answers_as_its_repository(server_address: str, repository: Path) -> None:
    live, exported = (open_subject(name, SubjectSettings()) for name in (server_address, str(repository)))
    assert (live.det_threshold, live.rec_threshold) == (exported.det_threshold, exported.rec_threshold)
    pictures = [read_picture(CHECKOUT / "demo" / "pictures" / f"{name}.jpg") for name in ("class", "two", "nobody")]
    for one, two in zip(*(subject.must_recognise().find(pictures, 0.3) for subject in (live, exported)), strict=True):
        assert np.allclose(one.found.boxes, two.found.boxes, atol=0.01)
        assert np.allclose(one.found.scores, two.found.scores, atol=1e-4)
        if len(two.embeddings):
            assert np.sum(one.embeddings * two.embeddings, axis=1).min() > 0.9999
    faces = [read_picture(CHECKOUT / "demo" / "gallery" / f"{number:02d}-1.jpg") for number in range(1, 6)]
    one, two = (np.stack(list(subject.must_embed().embed(faces))) for subject in (live, exported))
    assert np.sum(one * two, axis=1).min() > 0.9999


def test_the_command_measures_a_live_server(server_address: str, tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "demo" / "gallery", tmp_path / "set")
    lines = (tmp_path / "set" / "gallery.txt").read_text().splitlines(keepends=True)
    (tmp_path / "set" / "gallery.txt").write_text("".join(lines[::3]))
    (tmp_path / "set" / "probe.txt").write_text("".join(lines[1::3]))
    done = subprocess.run(
        [TOONFACE, "evaluate", "feature", server_address, tmp_path / "set", "--json"], capture_output=True, check=True
    )
    figures = json.loads(done.stdout)["figures"]["galleries"]["all"]
    assert (figures["rank1"]["of"], figures["gallery_pictures"]) == (24, 24)
    assert figures["rank1"]["hits"] >= 22


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_server_is_evaluated_behind_a_gateway_that_encrypts_and_asks_for_a_token(
    server_address: str, repository: Path, tmp_path: Path
) -> None:
    scenes = _scene(tmp_path / "scenes", "two.jpg")
    faces = CHECKOUT / "demo" / "gallery"
    some = (faces / "gallery.txt").read_text().splitlines()[::3]
    (tmp_path / "faces.txt").write_text("".join(f"{faces / line}\n" for line in some))
    (tmp_path / "token").write_text("s3cret\n")
    with gateway(server_address, "s3cret", tmp_path) as (address, certificate):
        encrypted, token = ["--tls-root", certificate], ["--token-file", tmp_path / "token"]
        lists = ["--scenes", scenes, "--gallery", tmp_path / "faces.txt", "--probes", tmp_path / "faces.txt"]
        for command in (
            ["detection", address, scenes],
            ["recognition", address, scenes, "--gallery", tmp_path / "faces.txt"],
            ["changes", repository, address, *lists],
        ):
            done = _evaluate(*command, *encrypted, *token, "--json")
            assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["others"][0]["faces"]["of"] == 2
        refused = _evaluate("detection", address, scenes, *encrypted)
        assert (refused.returncode, "show your token" in refused.stderr) == (1, True)
        unencrypted = _evaluate("detection", address, scenes, *token)
        assert (unencrypted.returncode, "error: unavailable" in unencrypted.stderr) == (1, True)


def _evaluate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([TOONFACE, "evaluate", *arguments], capture_output=True, text=True, check=False)


def _scene(folder: Path, name: str) -> Path:
    """A detection set of one of the demo's pictures."""
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    shutil.copy(CHECKOUT / "demo" / "pictures" / name, folder / "images")
    pictures = json.loads((CHECKOUT / "demo" / "expected.json").read_text())["pictures"]
    (picture,) = (each for each in pictures if Path(each["file"]).name == name)
    annotations = []
    for number, face in enumerate(picture["faces"]):
        left, top, right, bottom = face["box"]
        box = {"bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top), "iscrowd": 0}
        annotations.append({"id": number, "image_id": 0, "category_id": 1, "character": face["label"], **box})
    image = {"id": 0, "file_name": name, "width": picture["width"], "height": picture["height"]}
    content = {"images": [image], "annotations": annotations, "categories": [{"id": 1, "name": "face"}]}
    (folder / "annotations" / "instance_val.json").write_text(json.dumps(content))
    return folder
