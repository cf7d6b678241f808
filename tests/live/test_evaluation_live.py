"""A figure followed from the exported graphs to the live server: it stays the same."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
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
